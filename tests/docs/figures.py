"""docs/benchmarks.md and its chart, made of docs/figures.json: ``python -m tests.docs.figures`` writes them anew.

Figures are typed into the JSON file by whoever ran the benchmark; pages and pictures are never edited by hand.
"""

from __future__ import annotations

import json
from html import escape
from typing import Any

from tests.docs.blocks import ROOT

FIGURES = ROOT / "docs" / "figures.json"
PAGE, CHART = ROOT / "docs" / "benchmarks.md", ROOT / "docs" / "benchmarks.svg"
COMMAND = "make bench BENCH={bench}"
HEAD = """# Benchmarks

Made of [figures.json](figures.json) by `make docs`. Measured {date} on {machine}.
Each command prints raypipe's cost and that of the others from one run, so the ratio holds on a busy machine too;
absolute figures are those of this one.

![Cost of the same work by raypipe and by other libraries](benchmarks.svg)

| work | unit | raypipe | others | times raypipe's | command |
|---|---|---|---|---|---|
"""

_STYLE = """\
text { font: 13px system-ui, sans-serif; fill: #24292f } .small { font-size: 12px; fill: #57606a }
.other { fill: #8c959f } .ours { fill: #0969da }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 } .small { fill: #9198a1 } .other { fill: #6e7681 } .ours { fill: #4493f8 }
}"""
_WIDTH, _LEFT, _ROW, _BAR = 760, 90, 20, 13


def load() -> dict[str, Any]:
    """The figures as they were typed."""
    found: dict[str, Any] = json.loads(FIGURES.read_text(encoding="utf-8"))
    return found


def page(data: dict[str, Any]) -> str:
    """The table of all figures, each with its command."""
    lines = [HEAD.format(machine=data["machine"], date=data["date"]).rstrip("\n")]
    for figure in data["figures"]:
        others = ", ".join(f"{name} {value:g}" for name, value in figure["others"].items())
        ratios = ", ".join(f"{value / figure['raypipe']:.1f}" for value in figure["others"].values())
        command = COMMAND.format(bench=figure["bench"])
        cells = (figure["work"], figure["unit"], f"{figure['raypipe']:g}", others, ratios, f"`{command}`")
        lines.append("| " + " | ".join(cells) + " |")
    lines += ["", "What is compared:", "", *(f"* {figure['work']}: {figure['note']}." for figure in data["figures"])]
    return "\n".join(lines) + "\n"


def chart(data: dict[str, Any]) -> str:
    """Bars: how many times raypipe's cost the same work takes elsewhere."""
    rows = [figure for figure in data["figures"] if figure["others"]]
    most = max(value / figure["raypipe"] for figure in rows for value in figure["others"].values())
    scale, parts, top = (_WIDTH - _LEFT - 70) / most, [], 8
    for figure in rows:
        parts.append(f'<text x="0" y="{top + 14}">{escape(figure["work"])}</text>')
        top += _ROW + 2
        for name, value in {"raypipe": figure["raypipe"], **figure["others"]}.items():
            times = value / figure["raypipe"]
            label = "1" if name == "raypipe" else f"{times:.1f}"
            kind = "ours" if name == "raypipe" else "other"
            bar = f'<rect class="{kind}" x="{_LEFT}" y="{top}" width="{times * scale:.1f}" height="{_BAR}" rx="2"/>'
            value_at = _LEFT + times * scale + 6
            told = f'<text class="small" x="{value_at:.1f}" y="{top + 11}">{label}</text>'
            parts += [f'<text class="small" x="0" y="{top + 11}">{escape(name)}</text>', bar, told]
            top += _ROW
        top += 10
    size = f'viewBox="0 0 {_WIDTH} {top}" width="{_WIDTH}" height="{top}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">'
    title = "<title>Cost of the same work, raypipe = 1</title>"
    return "\n".join([head, title, f"<style>{_STYLE}</style>", *parts, "</svg>"]) + "\n"


def write() -> None:
    """Both, anew."""
    data = load()
    PAGE.write_text(page(data), encoding="utf-8")
    CHART.write_text(chart(data), encoding="utf-8")


if __name__ == "__main__":
    write()
