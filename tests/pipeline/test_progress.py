"""Progress as lines: few, however many jobs there are."""

from __future__ import annotations

from itertools import pairwise

import pytest

from raypipe.pipeline.driver import Progress
from raypipe.pipeline.job import Failure, Outcome
from raypipe.pipeline.plan import Plan
from raypipe.pipeline.progress import LineProgress, failure_line


class Clock:
    """A clock that stands still until it is moved."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def told():
    return []


@pytest.fixture
def lines(clock, told):
    return LineProgress(told.append, lambda text: told.append(f"! {text}"), clock)


def run(lines, clock, total: int, seconds: float) -> None:
    """A run of equal jobs that each take so long."""
    for done in range(1, total + 1):
        clock.now += seconds
        lines.progress(Progress(done, total, ()))


@pytest.mark.parametrize(
    ("total", "seconds", "expected"),
    [(100, 0.01, 0), (100, 1.0, 9), (1000, 1.0, 16), (10_000, 0.1, 16), (3, 600.0, 2), (60, 30.0, 29)],
)
def test_never_more_than_a_line_per_tenth_or_minute(lines, clock, told, total, seconds, expected):
    run(lines, clock, total, seconds)
    assert len(told) == expected


def test_never_two_lines_within_ten_seconds(lines, clock, told):
    times = []
    for done in range(1, 1000):
        clock.now += 0.5
        before = len(told)
        lines.progress(Progress(done, 1000, ()))
        times += [clock.now] * (len(told) - before)
    assert all(later - earlier >= 10 for earlier, later in pairwise(times))


def test_the_last_job_needs_no_line(lines, clock, told):
    clock.now = 1e6
    lines.progress(Progress(5, 5, ()))
    assert told == []


def test_what_the_lines_say(lines, clock, told):
    lines.planned(Plan((), ()), "serial", 1)
    clock.now = 100
    lines.progress(Progress(20, 40, ()))
    assert told == [
        "building 0 partitions in 0 jobs, about 0 CPU-s, executor serial with 1 worker",
        "20 of 40 partitions (50%)",
    ]


def test_failures_are_told_at_once_but_not_without_end(lines, told):
    failed = Outcome("daily", "silver/daily", "2025-01-02", "failed", error=Failure("SourceError", "row 7 is bad"))
    blocked = Outcome("weekly", "silver/weekly", "2024-12-30", "blocked", error=Failure("BlockedError", "no"))
    lines.progress(Progress(1, 100, (failed, blocked)))
    assert told == ["! silver/daily 2025-01-02 failed: row 7 is bad"]
    for _ in range(50):
        lines.progress(Progress(1, 100, (failed,)))
    assert len(told) == 21
    assert told[-1].startswith("! further failures are not shown")
    assert failure_line("t", "p", "m") == "t p failed: m"
