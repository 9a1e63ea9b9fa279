"""Sessions and their windows. Expected values are written down, never derived from the code under test."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.calendar import Session, calendar, parse_session
from raypipe.errors import UsageError

MINUTE = 60_000_000_000


def utc(session: Session, name: str) -> str:
    return f"{dt.datetime.fromtimestamp(getattr(session, name) // 10**9, dt.UTC):%Y-%m-%d %H:%M}"


@pytest.mark.parametrize(
    ("date", "open_utc", "close_utc", "minutes"),
    [
        ("2025-03-07", "2025-03-07 14:30", "2025-03-07 21:00", 390),  # the Friday before clocks go forward
        ("2025-03-10", "2025-03-10 13:30", "2025-03-10 20:00", 390),
        ("2025-03-11", "2025-03-11 13:30", "2025-03-11 20:00", 390),
        ("2025-10-31", "2025-10-31 13:30", "2025-10-31 20:00", 390),  # the Friday before clocks go back
        ("2025-11-03", "2025-11-03 14:30", "2025-11-03 21:00", 390),
        ("2025-11-04", "2025-11-04 14:30", "2025-11-04 21:00", 390),
        ("2025-07-03", "2025-07-03 13:30", "2025-07-03 17:00", 210),  # the eve of Independence Day
        ("2025-11-28", "2025-11-28 14:30", "2025-11-28 18:00", 210),  # the day after Thanksgiving
        ("2025-12-24", "2025-12-24 14:30", "2025-12-24 18:00", 210),
        ("2026-07-02", "2026-07-02 13:30", "2026-07-02 20:00", 390),  # Independence Day is observed on the 3rd
    ],
)
def test_regular_hours_in_utc(date: str, open_utc: str, close_utc: str, minutes: int) -> None:
    session = calendar().session(dt.date.fromisoformat(date))
    assert (utc(session, "open_ns"), utc(session, "close_ns")) == (open_utc, close_utc)
    assert (session.close_ns - session.open_ns) // MINUTE == minutes
    assert session.early_close == (minutes == 210)


@pytest.mark.parametrize(
    ("date", "start", "end"),
    [
        ("2025-03-07", "2025-03-07 09:00", "2025-03-08 01:00"),  # the evening lies on the next UTC date
        ("2025-03-10", "2025-03-10 08:00", "2025-03-11 00:00"),
        ("2025-11-03", "2025-11-03 09:00", "2025-11-04 01:00"),
    ],
)
def test_the_extended_session_in_utc(date: str, start: str, end: str) -> None:
    session = calendar().session(dt.date.fromisoformat(date))
    assert (utc(session, "ext_start_ns"), utc(session, "ext_end_ns")) == (start, end)


@pytest.mark.parametrize(
    ("date", "why"),
    [
        ("2025-01-09", "mourning for President Carter"),
        ("2012-10-29", "Hurricane Sandy"),
        ("2025-04-18", "Good Friday"),
        ("2025-06-19", "Juneteenth"),
        ("2025-11-01", "a Saturday"),
        ("2026-07-03", "Independence Day, observed"),
    ],
)
def test_closed(date: str, why: str) -> None:
    assert dt.date.fromisoformat(date) not in calendar(), why
    with pytest.raises(UsageError, match="not a session"):
        calendar().session(dt.date.fromisoformat(date))


def test_a_year_has_its_sessions() -> None:
    assert [len(calendar().dates(dt.date(y, 1, 1), dt.date(y, 12, 31))) for y in (2022, 2023, 2024, 2025)] == [
        251,
        250,
        252,
        250,
    ]


def test_steps_and_weeks() -> None:
    c = calendar()
    assert c.offset(dt.date(2025, 11, 28), 1) == dt.date(2025, 12, 1)
    assert c.offset(dt.date(2025, 11, 28), -1) == dt.date(2025, 11, 26)
    assert c.week(dt.date(2025, 11, 24)) == [dt.date(2025, 11, d) for d in (24, 25, 26, 28)]
    assert c.session(dt.date(2025, 11, 28)).monday == dt.date(2025, 11, 24)


@given(st.dates(dt.date(1995, 1, 1), dt.date(2030, 1, 1)), st.integers(-50, 50))
def test_stepping_there_and_back(date: dt.date, steps: int) -> None:
    start = calendar().dates(date, date + dt.timedelta(days=10))[0]
    assert calendar().offset(calendar().offset(start, steps), -steps) == start


@pytest.mark.parametrize(
    "text",
    ["2025-1-2", "20250102", "2025-13-01", "2025-02-30", "today", "", "2025-01-02x", "\u0662\u0660\u0662\u0665-01-02"],
)
def test_dates_are_read_strictly(text: str) -> None:
    with pytest.raises(UsageError, match="YYYY-MM-DD"):
        parse_session(text)


def test_the_machine_s_own_time_zone_does_not_matter(tmp_path: Path) -> None:
    code = (
        "import datetime as dt; from raypipe.calendar import calendar;"
        "s = calendar().session(dt.date(2025, 11, 28)); print(s.ext_start_ns, s.open_ns, s.close_ns, s.ext_end_ns)"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"TZ": zone, "XDG_CACHE_HOME": str(tmp_path)},
            capture_output=True,
            check=True,
        ).stdout
        for zone in ("UTC", "Asia/Tokyo", "America/New_York")
    }
    assert len(found) == 1


def test_the_cache_file_gives_what_the_library_gives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    calendar.cache_clear()
    first = [calendar().session(dt.date(2025, 11, d)) for d in (3, 28)]
    (cached,) = (tmp_path / "raypipe").iterdir()
    assert cached.suffix == ".npz"
    calendar.cache_clear()
    assert [calendar().session(dt.date(2025, 11, d)) for d in (3, 28)] == first
    calendar.cache_clear()
