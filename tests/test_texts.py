"""What no tracked text may hold: unfinished notes, addresses of package indexes, paths of one machine."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

_TEXTS = {".py", ".toml", ".yaml", ".yml", ".md", ".j2", ".html", ".css", ".lock", ".cfg", ".sh", ".json", ""}
_UNWANTED = {
    "an unfinished note": re.compile(r"\b(TODO|FIXME|XXX)\b"),
    "the address of a package index": re.compile(
        r"(?<!no-emit-)(?<!no-)(index-url|find-links|trusted-host)|pypi\.org|pythonhosted", re.IGNORECASE
    ),
    "a path of one machine": re.compile(r"(?<![\w.$}])(/work/|/root/|/Users/|/home/(?!ray\b|you\b|me\b)\w|[A-Z]:\\\\)"),
}


def texts() -> list[Path]:
    """Tracked text files; what a person keeps beside them is nobody's business."""
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("not a git checkout: which files belong to the repository is unknown")
    listing = ["git", "-c", "safe.directory=*", "ls-files", "-z"]
    names = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    paths = [ROOT / name for name in names if name]
    return [p for p in paths if p.suffix in _TEXTS and p.is_file() and p != Path(__file__).resolve()]


def test_texts_hold_nothing_unwanted():
    found = []
    for path in texts():
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            found += [
                f"{path.relative_to(ROOT)}:{number}: {what}" for what, rule in _UNWANTED.items() if rule.search(line)
            ]
    assert not found, "\n" + "\n".join(found)


@pytest.mark.parametrize(
    "line",
    [
        "# TO" + "DO: later",
        "pip install --index-" + "url somewhere",
        "open('/" + "root/data')",
        "cd /wo" + "rk/main",
        "data: /home/" + "someone/lake",
    ],
)
def test_an_unwanted_line_is_found(line):
    assert any(rule.search(line) for rule in _UNWANTED.values())


@pytest.mark.parametrize("line", ["--no-emit-index-url", "/home/ray/.cache", "s3://bucket/work/x", "{root}/root/x"])
def test_a_harmless_line_passes(line):
    assert not any(rule.search(line) for rule in _UNWANTED.values())
