"""Fenced blocks of a Markdown page: which are run, which say that they are not, and the script that runs a page."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SHELL, CODE = ("sh", "bash", "console"), ("python", "sql")
#: What opens a line that belongs to a shell.
TYPED = re.compile(r"^(?:\$ )?(?:raypipe|python|make|ray|pip|export|git|source) ", re.MULTILINE)
_MARK = re.compile(r"<!-- not run: (.+?) -->\s*\Z")
_FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>\S*)[^\n]*\n(?P<body>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL
)


@dataclass(frozen=True)
class Block:
    """One fenced block.

    Attributes
    ----------
    page, line
        File below the repository, and the line of the fence.
    language, text
        What stands behind the fence, and the lines between.
    reason
        Why it is not run; empty where it is.
    """

    page: str
    line: int
    language: str
    text: str
    reason: str = ""

    @property
    def script(self) -> str:
        """The block for bash; of a console only what is typed."""
        if self.language == "console":
            return "\n".join(line[2:] for line in self.text.splitlines() if line.startswith("$ "))
        if self.language in CODE:
            program = "python -" if self.language == "python" else "python -m tests.docs.sql"
            return f"{program} <<'END_OF_BLOCK'\n{self.text}END_OF_BLOCK"
        return self.text.rstrip("\n")


def pages() -> list[str]:
    """The pages that are kept true."""
    found = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [path.relative_to(ROOT).as_posix() for path in found]


def blocks(page: str, text: str | None = None) -> list[Block]:
    """Every fenced block of a page."""
    text = (ROOT / page).read_text(encoding="utf-8") if text is None else text
    found = []
    for fence in _FENCE.finditer(text):
        mark = _MARK.search(text, 0, fence.start())
        line = text.count("\n", 0, fence.start()) + 1
        reason = mark.group(1) if mark else ""
        found.append(Block(page, line, fence["language"], fence["body"], reason))
    return found


def script(found: Iterable[Block]) -> str:
    """One bash script of all blocks of a page: what a block exports holds in the next. The first failure ends it."""
    lines = ["set -euo pipefail", "trap 'echo \"@@ failed: $BASH_COMMAND\" >&2' ERR"]
    for block in found:
        lines += [f"echo '@@ {block.page}:{block.line}' >&2", block.script]
    return "\n".join(lines) + "\n"
