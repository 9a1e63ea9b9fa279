"""What is made of the source is up to date, links lead somewhere, and figures can be measured again."""

from __future__ import annotations

import re

import pytest

from tests.docs import commands, figures
from tests.docs.blocks import ROOT, pages

_LINK = re.compile(r"\]\(([^)\s]+)\)")
_FENCED = re.compile(r"```.*?```", re.DOTALL)


def anchors(text: str) -> set[str]:
    """The anchors that headings make: lower case, spaces as dashes, without other signs."""
    heads = re.findall(r"^#+ (.+)$", _FENCED.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def test_the_table_of_commands_is_up_to_date():
    text = commands.README.read_text(encoding="utf-8")
    assert text == commands.readme(text), "write it anew: make docs"


def test_benchmarks_are_up_to_date():
    data = figures.load()
    assert figures.PAGE.read_text(encoding="utf-8") == figures.page(data), "write it anew: make docs"
    assert figures.CHART.read_text(encoding="utf-8") == figures.chart(data), "write it anew: make docs"


def test_the_readme_repeats_what_was_measured():
    minutes = figures.load()["figures"][0]
    said = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert f"in {minutes['raypipe']} CPU seconds" in said
    assert minutes["work"].partition(",")[0] in said


def test_every_figure_has_a_benchmark():
    for figure in figures.load()["figures"]:
        assert (ROOT / "tests" / "bench" / figure["bench"]).is_file()


def test_the_readme_leads_to_every_page():
    linked = {link.partition("#")[0] for link in _LINK.findall((ROOT / "README.md").read_text(encoding="utf-8"))}
    of_signals = {"docs/signals-columns.md"}  # reached from docs/signals.md
    assert {page for page in pages() if page.startswith("docs/")} - of_signals <= linked


@pytest.mark.parametrize("page", [*pages(), "CHANGELOG.md"])
def test_links_lead_somewhere(page):
    text = _FENCED.sub("", (ROOT / page).read_text(encoding="utf-8"))
    for link in _LINK.findall(text):
        if link.startswith(("http://", "https://")):
            continue
        path, _, anchor = link.partition("#")
        target = (ROOT / page).parent / path if path else ROOT / page
        assert target.exists(), f"{page}: {link}"
        if anchor:
            assert anchor in anchors(target.read_text(encoding="utf-8")), f"{page}: {link}"
