"""The page of a run: complete, self-contained, and nothing in it can run or reach out."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pytest

from raypipe.report.ops import Surroundings, render_run
from tests.report.samples import a_year, failure, finding, outcome, record, surroundings, whole_record, with_text

HOSTILE = "<script>alert(1)</script>\" onmouseover=\"alert(2)' onload='x"
GRID = {"silver/daily": {"2025-11-03": "built", "2025-11-04": "failed"}, "bronze/splits": {"all": "current"}}
#: The order of the page.
SECTIONS = (
    *("What failed", "Sessions", "Data quality", "Coverage", "Time and memory", "Null and constant columns"),
    *("Features against the run before", "Leakage", "Models and gates", "Signals of 2025-11-03", "Lineage"),
    "Do it again",
)


class Page(HTMLParser):
    """Collects tags and attributes, so that escaping is judged as a browser would."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs


def check_harmless(text: str) -> None:
    page = Page(text)
    assert not {"script", "link", "img", "iframe", "object", "a"} & set(page.tags)
    assert not [name for name, _ in page.attributes if name.startswith("on") or name in ("href", "src")]


def renamed(values: dict[str, Any]) -> dict[str, Any]:
    """The same values under hostile names."""
    return {f"{HOSTILE}{i}": value for i, value in enumerate(values.values())}


def hostile_page() -> str:
    """A page of which every field holds the hostile text."""
    run = with_text(whole_record(), HOSTILE)
    for name in ("config", "columns", "drift", "lineage", "versions"):
        run[name] = renamed(run[name])
    for o, status in zip(run["outcomes"], ("built", "built", "failed"), strict=True):
        o["status"] = status
    run["memory"] = whole_record()["memory"]
    run["origin"] = {"values": {HOSTILE: HOSTILE, f"{HOSTILE}.{HOSTILE}": HOSTILE}, "files": {HOSTILE: HOSTILE}}
    run["machine"] = {HOSTILE: HOSTILE, "memory_bytes": 5, "libraries": {HOSTILE: HOSTILE}}
    for table in run["columns"].values():
        table["columns"] = renamed(table["columns"])
        for column, state in zip(table["columns"].values(), ("null", "constant", "some null"), strict=True):
            column["state"] = state
    around = surroundings(pictures=[{"session": HOSTILE, "svg": "<svg></svg>"}], rows_before={HOSTILE: {HOSTILE: 3}})
    around = surroundings(
        pictures=around.pictures,
        rows_before=around.rows_before,
        verdicts=with_text(list(around.verdicts), HOSTILE),
        models=with_text(dict(around.models), HOSTILE),
    )
    for one in around.models["holdouts"]:
        one["auc_by_strategy"] = {HOSTILE: 0.5}
    for one in around.models["sweeps"]:
        one["studies"] = {HOSTILE: 1}
    return render_run(run, {HOSTILE: {"2025-11-03": "built"}, f"{HOSTILE}2": {HOSTILE: "built"}}, around)


def test_hostile_text_in_every_field_stays_text() -> None:
    text = hostile_page()
    check_harmless(text)
    assert text.count("&lt;script&gt;alert(1)") > 40
    assert "<script" not in text


def test_the_page_needs_nothing_from_outside() -> None:
    text = render_run(whole_record(), GRID, surroundings())
    check_harmless(text)
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)|//cdn|url\(", text)
    assert ("content", "default-src 'none'; style-src 'unsafe-inline'; img-src data:") in Page(text).attributes
    assert len(text) < 300_000


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, "All 1 partitions were built."),
        ({"outcomes": []}, "Nothing to do"),
        ({"status": "running", "finished_ns": None}, "raypipe retry"),
        (
            {"outcomes": [outcome(), outcome(status="failed", error=failure("cut short"))]},
            "1 built, 1 failed, 0 blocked",
        ),
        ({"blocked": [["silver/daily", "2025-11-04", "bronze missing"]]}, "1 built, 0 failed, 1 blocked"),
        ({"outcomes": [outcome(status="cancelled", error=failure("stopped"))]}, "1 not started"),
    ],
)
def test_the_verdict_comes_first(changes: dict[str, Any], verdict: str) -> None:
    text = render_run(record(**changes), GRID)
    assert verdict in text
    assert text.index(verdict) < text.index("<h2>")


def test_sections_stand_in_order_and_only_where_there_is_something() -> None:
    found = re.findall(r"<h2>(.*?)</h2>", render_run(whole_record(), GRID, surroundings()))
    assert tuple(found) == SECTIONS
    of_the_first_schema = re.findall(r"<h2>(.*?)</h2>", render_run(record(), GRID))
    always = ["Sessions", "Data quality", "Coverage", "Time and memory", "Leakage", "Do it again"]
    assert of_the_first_schema == always


@pytest.mark.parametrize(
    "said",
    [
        *("row 7 is cut", "71 % of the median", "88</td>", "flat", "void", "young", "at first", "volatility_20d"),
        *("0.81", "20251102T000000Z-abc123", "damaged: no footer", "3 days ago", "peek", "1 of 2 gates pass"),
        *("dsr is not where it must be", "6 done, 1 failed", "numpy 2.3.4", "project file /home/me/raypipe.yaml"),
        *("abababababab", "--set daily.adjust=splits", "AUC of hold-outs", "peak of a worker", "87%"),
    ],
)
def test_what_was_recorded_is_shown(said: str) -> None:
    assert said in render_run(whole_record(), GRID, surroundings())


def test_failures_say_why_and_keep_traces_out() -> None:
    text = render_run(record(outcomes=[outcome(status="failed", error=failure("file x: row 7 is cut"))]), GRID)
    assert "file x: row 7 is cut" in text
    assert "secret trace" not in text


def test_every_partition_has_its_cell() -> None:
    text = render_run(record(), GRID)
    for title in ("2025-11-03 built", "2025-11-04 failed", "all current"):
        assert f'title="{title}"' in text


def test_of_very_many_symbols_only_those_that_are_not_current_have_cells() -> None:
    states = {f"S{i:04d}": "current" for i in range(2_000)} | {"S0007": "stale"}
    text = render_run(record(), {"gold/targets": states})
    assert text.count('title="S') == 1
    assert "1999 current" in text


def test_the_same_words_about_many_sessions_are_one_line() -> None:
    found = finding("3 odd bars")
    days = [f"2025-11-{day:02d}" for day in range(3, 8)]
    text = render_run(record(outcomes=[outcome(partition=day, findings=[found]) for day in days]), GRID)
    assert text.count("3 odd bars") == 1
    assert "5 sessions, 2025-11-03 to 2025-11-07" in text


def test_numbers_that_vary_are_told_as_a_range_and_dates_stay_apart() -> None:
    said = ["86 rows were left out (1,120 lots)", "7 rows were left out (96 lots)", "no rows since 2025-11-03"]
    said += ["no rows since 2025-11-04"]
    outcomes = [
        outcome(table="gold/targets", partition=f"S{i}", findings=[finding(text)]) for i, text in enumerate(said)
    ]
    text = render_run(record(outcomes=outcomes), GRID)
    assert "<td>7 to 86 rows were left out (96 to 1,120 lots)</td>" in text
    assert "2 partitions, S0 to S1" in text
    assert {"no rows since 2025-11-03", "no rows since 2025-11-04"} <= set(re.findall("no rows since [0-9-]+", text))


def test_memory_is_drawn_against_round_numbers() -> None:
    run = whole_record()
    run["memory"]["points"] = [[0.5 * i, i, 370_800_000, 366_900_000, 433_400_000] for i in range(9)]
    chart = re.findall(r'<svg class="lines".*?</svg>', render_run(run, GRID))[0]
    assert re.findall(r'text-anchor="end">([^<]*B)<', chart) == ["0 B", "200.0 MB", "400.0 MB"]


def test_a_year_of_a_whole_market_is_less_than_a_megabyte() -> None:
    run, grid, around = a_year(tables=28, symbols=2_000)
    text = render_run(run, grid, around)
    assert len(text.encode()) < 1_000_000
    assert text.count('title="2025-') > 28 * 250


def test_a_long_message_cannot_fill_the_page() -> None:
    outcomes = [outcome(status="failed", error=failure("x" * 10**6)) for _ in range(3)]
    long = record(outcomes=outcomes, config={"run": {"steps": ["y" * 100] * 10_000}}, quality=[])
    assert len(render_run(long, GRID)) < 100_000


def test_coverage_of_one_session_is_held_against_those_before() -> None:
    before = {"silver/daily": {f"2025-10-{day}": 200 for day in range(10, 31)}}
    text = render_run(record(), GRID, Surroundings(rows_before=before))
    assert "50%" in text


def test_pictures_of_sessions_are_shown_as_they_are() -> None:
    around = Surroundings(pictures=[{"session": HOSTILE, "svg": "<svg><title>PM_HIGH</title></svg>"}])
    text = render_run(record(), GRID, around)
    assert "<svg><title>PM_HIGH</title></svg>" in text
    assert HOSTILE not in text
    assert "Signals of" not in render_run(record(), GRID)
