"""Charts of pages: names have room, ticks are round, whole numbers stay whole."""

from __future__ import annotations

import re

from raypipe.report.charts import Interval, Series, interval_chart, scatter_chart

LETTER = 6.0


def texts(chart: str) -> list[tuple[float, str, str]]:
    """Every text with its place and anchor."""
    found = re.findall(r'<text x="([-\d.]+)" y="[-\d.]+" text-anchor="(\w+)">([^<]*)</text>', chart)
    return [(float(x), anchor, text) for x, anchor, text in found]


def test_a_name_is_cut_before_it_leaves_the_chart() -> None:
    rows = [Interval("x" * 200, 0.4, 0.6, (0.5,)), Interval("mean", 0.45, 0.55)]
    names = [(x, text) for x, anchor, text in texts(interval_chart("t", rows, x="AUC")) if anchor == "end"]
    assert names[0][1] == "x" * 29 + "…"
    assert all(x - LETTER * len(text) >= 0 for x, text in names)


def test_short_names_leave_room_to_the_values() -> None:
    short, long = (interval_chart("t", [Interval(name, 0.4, 0.6)]) for name in ("ab", "a" * 30))
    first = [min(float(x) for x in re.findall(r'class="span" x1="([-\d.]+)"', chart)) for chart in (short, long)]
    assert first[0] < 60 < 190 < first[1]


def test_an_axis_says_what_it_measures() -> None:
    assert "rank correlation" in [
        text for _, _, text in texts(interval_chart("t", [Interval("a", 0, 1)], x="rank correlation"))
    ]


def test_whole_numbers_have_whole_ticks() -> None:
    chart = scatter_chart("t", [Series(((0, 0.5), (1, 0.61)))], x="configuration", y="AUC")
    assert [text for _, anchor, text in texts(chart) if anchor == "middle"] == ["0", "1", "configuration"]
