"""docs/cli.md against the commands as they are."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from raypipe.cli.main import COMMANDS, cli
from raypipe.cli.options import global_options
from raypipe.cli.present import GLYPHS

DOCS = Path(__file__).resolve().parents[2] / "docs"
TEXT = (DOCS / "cli.md").read_text(encoding="utf-8")
NAMES = [name for section in COMMANDS.values() for name in section]


def section(name: str) -> str:
    """What the page says of a command."""
    found = re.search(rf"^### `raypipe {name}`\n(.*?)(?=^##|\Z)", TEXT, re.MULTILINE | re.DOTALL)
    assert found, f"docs/cli.md has no section on {name}"
    return found.group(1)


def flags(text: str) -> set[str]:
    """The flags of the table in a section."""
    return {flag for row in re.findall(r"^\|(.*?)\|", text, re.MULTILINE) for flag in re.findall(r"`(-[^`]*)`", row)}


@pytest.mark.parametrize("name", NAMES)
def test_every_flag_is_on_the_page_and_no_other(name):
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    shared = {param.name for param in global_options()}
    own = [p for p in command.params if isinstance(p, click.Option) and p.name not in shared]
    assert flags(section(name)) == {flag for option in own for flag in option.opts}
    for option in own:
        assert option.help in section(name)


def test_every_shared_flag_is_on_the_page():
    shared = TEXT.partition("## Flags of every command")[2].partition("\n## ")[0]
    assert flags(shared) == {flag for option in global_options() for flag in option.opts}


def test_the_page_has_no_command_that_is_gone():
    assert re.findall(r"^### `raypipe (.*)`$", TEXT, re.MULTILINE) == NAMES


def test_every_command_line_on_the_pages_can_be_parsed():
    pages = [DOCS.parent / "README.md", *DOCS.glob("*.md")]
    lines = [
        line for page in pages for line in re.findall(r"^(?:\$ )?raypipe (.*)$", page.read_text("utf-8"), re.MULTILINE)
    ]
    assert lines
    for line in lines:
        words = line.partition("#")[0].partition("|")[0].split()
        name = words[0]
        command = cli.get_command(click.Context(cli), name)
        assert command is not None, line
        command.make_context(name, words[1:], resilient_parsing=True).close()
        known = {flag for param in command.params for flag in param.opts} | {"--help", "-h", "--"}
        used = words[1 : words.index("--")] if "--" in words else words[1:]
        assert {word.partition("=")[0] for word in used if word.startswith("--")} <= known, line


def test_exit_codes_and_marks_are_on_the_page():
    for code in (0, 1, 2, 3, 4, 5, 130, 143):
        assert f"| {code} |" in TEXT
    assert all(f"`{glyph}` " in TEXT for glyph, *_ in GLYPHS.values())


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#:]+)\)", TEXT):
        assert (DOCS / target).exists() or target == "cluster.md"
