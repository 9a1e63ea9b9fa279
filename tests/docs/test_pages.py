"""Every page, typed from top to bottom in a folder of its own: bash for commands, Python and DuckDB for code."""

from __future__ import annotations

import pytest

from tests.docs.blocks import CODE, ROOT, SHELL, blocks, pages, script

#: What lies in the folder where a page starts.
GIVEN = {
    "docs/audit.md": ("lake",),
    "docs/cli.md": ("lake", "es"),
    "docs/cluster.md": ("lake",),
    "docs/daily-bars.md": ("bars",),
    "docs/data.md": ("lake",),
    "docs/modeling.md": ("bars",),
    "docs/reports.md": ("lake",),
    "docs/signals.md": ("es", "opra", "bars"),
}
#: Every block that is not run, by page and reason: no other may be.
NOT_RUN = {
    ("README.md", "makes its own environment, from the network"),
    ("README.md", "needs a Ray head"),
    ("CONTRIBUTING.md", "makes its own environment, from the network"),
    ("docs/cli.md", "needs a Ray head"),
    ("docs/cli.md", "needs years of daily bars; the tour of the modeller runs it"),
    ("docs/cluster.md", "needs a Ray head"),
    ("docs/cluster.md", "needs AWS"),
    ("docs/signals-columns.md", "a minute of made-up books"),
}


def typed(page: str) -> list:
    """The blocks of a page that are run."""
    return [block for block in blocks(page) if block.language in {*SHELL, *CODE} and not block.reason]


@pytest.mark.parametrize("page", [page for page in pages() if typed(page)])
def test_a_page_can_be_typed(page, bash, vendor, given, tmp_path):
    for name in GIVEN.get(page, ()):
        given(name)
    home = {
        "HOME": str(tmp_path),
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
    }
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    done = bash.run(script(typed(page)), tmp_path, **{name: str(path) for name, path in home.items()}, **vendor)
    assert done.returncode == 0, f"exit {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"


def test_only_these_blocks_are_not_run():
    assert {(page, block.reason) for page in pages() for block in blocks(page) if block.reason} == NOT_RUN
