"""The table of commands in README.md, made of the command line: ``python -m tests.docs.commands`` writes it anew."""

from __future__ import annotations

from raypipe.cli.main import COMMANDS
from tests.docs.blocks import ROOT

README = ROOT / "README.md"
BEGIN, END = "<!-- commands -->\n", "<!-- end of commands -->"


def table() -> str:
    """A row per command, by section."""
    lines = ["| | command | what it does |", "|---|---|---|"]
    for section, commands in COMMANDS.items():
        for i, (name, (_, text)) in enumerate(commands.items()):
            link = f"[`{name}`](docs/cli.md#raypipe-{name})"
            lines.append(f"| {section if i == 0 else ''} | {link} | {text[:1].lower() + text[1:].rstrip('.')} |")
    return "\n".join(lines) + "\n"


def readme(text: str) -> str:
    """The page with the table as it should be."""
    head, _, rest = text.partition(BEGIN)
    return head + BEGIN + table() + END + rest.partition(END)[2]


if __name__ == "__main__":
    README.write_text(readme(README.read_text(encoding="utf-8")), encoding="utf-8")
