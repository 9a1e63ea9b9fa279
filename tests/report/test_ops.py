"""The page of a run: complete, self-contained, and nothing in it can run or reach out."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pytest

from raypipe.report.ops import render_run

HOSTILE = "<script>alert(1)</script>\" onmouseover=\"alert(2)' onload='x"


def outcome(**changes: Any) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "stage": "daily",
        "table": "silver/daily",
        "partition": "2025-11-03",
        "status": "built",
        "reason": "missing",
        "rows": 100,
        "bytes": 5_000,
        "sha256": "0" * 64,
        "seconds": 0.1,
        "cpu_seconds": 0.1,
        "peak_rss_bytes": 10**8,
        "findings": [],
        "error": None,
    }
    return {**plain, **changes}


def record(**changes: Any) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "run_id": "20251103T000000Z-abc123",
        "command": "raypipe run --root lake",
        "executor": "process",
        "workers": 2,
        "started_ns": 1_762_128_000_000_000_000,
        "finished_ns": 1_762_128_090_000_000_000,
        "status": "done",
        "exit_code": 0,
        "planned": [],
        "blocked": [],
        "outcomes": [outcome()],
        "quality": [],
        "config": {"daily": {"adjust": "splits"}},
        "code_version": "0.1.0",
        "peak_rss_bytes": 0,
    }
    return {**plain, **changes}


def failure(message: str) -> dict[str, Any]:
    return {"kind": "SourceError", "message": message, "values": {}, "exit_code": 1, "trace": "secret trace"}


GRID = {"silver/daily": {"2025-11-03": "built", "2025-11-04": "failed"}, "bronze/splits": {"all": "current"}}


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


def test_hostile_text_in_every_field_stays_text() -> None:
    found = {"kind": HOSTILE, "message": HOSTILE, "count": 1, "samples": [HOSTILE], "level": "warning", "partition": ""}
    run = record(
        run_id=HOSTILE,
        command=HOSTILE,
        executor=HOSTILE,
        code_version=HOSTILE,
        blocked=[[HOSTILE, HOSTILE, HOSTILE]],
        outcomes=[
            outcome(findings=[found], stage=HOSTILE, table=HOSTILE),
            outcome(status="failed", error=failure(HOSTILE), table=HOSTILE),
        ],
        quality=[{"table": HOSTILE, "partition": HOSTILE, "kind": HOSTILE, "level": "failed", "message": HOSTILE}],
        config={HOSTILE: {HOSTILE: HOSTILE}},
    )
    page = Page(render_run(run, {HOSTILE: {"2025-11-03": "built"}}))
    assert "script" not in page.tags
    assert not [name for name, _ in page.attributes if name.startswith("on")]


def test_the_page_needs_nothing_from_outside() -> None:
    text = render_run(record(), GRID)
    page = Page(text)
    assert not re.search(r"https?://|//cdn|url\(", text)
    assert not {"script", "link", "img", "iframe"} & set(page.tags)
    assert ("content", "default-src 'none'; style-src 'unsafe-inline'; img-src data:") in page.attributes
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


def test_failures_say_why_and_keep_traces_out() -> None:
    text = render_run(record(outcomes=[outcome(status="failed", error=failure("file x: row 7 is cut"))]), GRID)
    assert "file x: row 7 is cut" in text
    assert "secret trace" not in text


def test_every_partition_has_its_cell() -> None:
    text = render_run(record(), GRID)
    for title in ("2025-11-03 built", "2025-11-04 failed", "all current"):
        assert f'title="{title}"' in text


def test_the_same_words_about_many_sessions_are_one_line() -> None:
    found = {
        "kind": "k",
        "message": "3 odd bars",
        "count": 3,
        "samples": ["row 2: A"],
        "level": "warning",
        "partition": "",
    }
    days = [f"2025-11-{day:02d}" for day in range(3, 8)]
    text = render_run(record(outcomes=[outcome(partition=day, findings=[found]) for day in days]), GRID)
    assert text.count("3 odd bars") == 1
    assert "5 sessions, 2025-11-03 to 2025-11-07" in text


def test_a_year_of_seven_tables_is_still_small() -> None:
    days = [f"2025-{month:02d}-{day:02d}" for month in range(1, 13) for day in range(1, 22)]
    text = render_run(record(), {f"silver/t{i}": dict.fromkeys(days, "current") for i in range(7)})
    assert len(text) < 300_000


def test_pictures_of_sessions_are_shown_as_they_are() -> None:
    text = render_run(record(), GRID, [{"session": HOSTILE, "svg": "<svg><title>PM_HIGH</title></svg>"}])
    assert "<svg><title>PM_HIGH</title></svg>" in text
    assert HOSTILE not in text
    assert "Signals of" not in render_run(record(), GRID)
