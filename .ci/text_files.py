"""Check text files: one newline at the end, no trailing space, YAML and TOML that parse.

Called by pre-commit with the names of the changed files; changes nothing, exits 1 on a finding.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

import yaml


def findings(path: Path) -> list[str]:
    """What is wrong with one file, one line per finding."""
    text = path.read_text(encoding="utf-8")
    found = [f"{path}:{i}: trailing space" for i, line in enumerate(text.split("\n"), 1) if line != line.rstrip()]
    if text and (not text.endswith("\n") or text.endswith("\n\n")):
        found.append(f"{path}: must end with exactly one newline")
    return found + _syntax(path, text)


def _syntax(path: Path, text: str) -> list[str]:
    try:
        if path.suffix in {".yaml", ".yml"}:
            list(yaml.safe_load_all(text))
        elif path.suffix == ".toml":
            tomllib.loads(text)
    except (yaml.YAMLError, tomllib.TOMLDecodeError) as error:
        return [f"{path}: {error}"]
    return []


def main(names: list[str]) -> int:
    """Print all findings; 1 if there are any."""
    found = [line for name in names for line in findings(Path(name))]
    sys.stdout.write("".join(f"{line}\n" for line in found))
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
