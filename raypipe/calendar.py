"""Exchange sessions: which dates trade, and when their windows open and close.

A *session* is an exchange date in ``America/New_York``. All times are int64 nanoseconds UTC and all
windows are half-open ``[start, end)``. Facts come from ``exchange_calendars`` XNYS; they are kept in a
small cache file per library version, because importing that library costs seconds in every worker.
"""

from __future__ import annotations

import datetime as dt
import os
import tempfile
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.metadata import version
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np

from raypipe.errors import UsageError

__all__ = ["EXCHANGE_TZ", "NS_PER_DAY", "Calendar", "Session", "calendar", "parse_session"]

EXCHANGE_TZ = ZoneInfo("America/New_York")
NS_PER_SECOND = 1_000_000_000
NS_PER_MINUTE = 60 * NS_PER_SECOND
NS_PER_DAY = 24 * 60 * NS_PER_MINUTE
#: Range of the calendar. The library's own default window is about 20 years back and 1 ahead.
FIRST, LAST = "1990-01-02", "2035-12-31"
_EXT_START, _EXT_END = dt.time(4, 0), dt.time(20, 0)
_CACHE_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Session:
    """One trading session and its windows, in nanoseconds UTC.

    Attributes
    ----------
    date
        Exchange date.
    ext_start_ns, ext_end_ns
        04:00 and 20:00 exchange time: the extended session.
    open_ns, close_ns
        Regular trading hours; the close is 13:00 on an early close.
    """

    date: dt.date
    ext_start_ns: int
    open_ns: int
    close_ns: int
    ext_end_ns: int

    @property
    def key(self) -> str:
        """ISO date, as it stands in partition names."""
        return self.date.isoformat()

    @property
    def midnight_ns(self) -> int:
        """00:00 exchange time: the stamp of a vendor's day bar."""
        return at_exchange_time(self.date, dt.time(0, 0))

    @property
    def early_close(self) -> bool:
        """Whether regular trading ends before 16:00."""
        return self.close_ns < at_exchange_time(self.date, dt.time(16, 0))

    @property
    def monday(self) -> dt.date:
        """Monday of the session's week: the key of weekly partitions."""
        return self.date - dt.timedelta(days=self.date.weekday())


def at_exchange_time(date: dt.date, time: dt.time) -> int:
    """Nanoseconds UTC of a wall-clock time on an exchange date.

    Examples
    --------
    >>> at_exchange_time(dt.date(2025, 1, 2), dt.time(9, 30)) // 10**9
    1735828200
    """
    moment = dt.datetime.combine(date, time, tzinfo=EXCHANGE_TZ)
    return int(moment.timestamp()) * NS_PER_SECOND


def parse_session(text: str) -> dt.date:
    """Read ``YYYY-MM-DD`` strictly.

    Raises
    ------
    UsageError
        If the text is anything else.

    Examples
    --------
    >>> parse_session("2025-01-02")
    datetime.date(2025, 1, 2)
    """
    try:
        if len(text) == len("YYYY-MM-DD") and text.isascii():
            return dt.datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=dt.UTC).date()
    except ValueError:
        pass
    msg = f"{text!r} is not a date"
    raise UsageError(msg, hint="write it as YYYY-MM-DD, for example 2025-01-02")


class Calendar:
    """The sessions of one exchange, in order.

    Parameters
    ----------
    days
        Sorted days since 1970-01-01, int64, one per session.
    open_ns, close_ns
        Regular open and close of each, int64 nanoseconds UTC.
    """

    def __init__(self, days: np.ndarray, open_ns: np.ndarray, close_ns: np.ndarray) -> None:
        self._days, self._open, self._close = days, open_ns, close_ns

    def __len__(self) -> int:
        return len(self._days)

    def __contains__(self, date: dt.date) -> bool:
        return self.has(date)

    def has(self, date: dt.date) -> bool:
        """Whether ``date`` is a session."""
        i = self._index(date)
        return i < len(self._dates) and self._dates[i] == date

    def session(self, date: dt.date) -> Session:
        """The session of ``date``.

        Raises
        ------
        UsageError
            If the exchange did not trade on that date, or it is outside the calendar.
        """
        if not self.has(date):
            msg = f"{date} is not a session of the exchange"
            raise UsageError(msg, hint="weekends and holidays have no data")
        return self._at(self._index(date))

    def between(self, start: dt.date, end: dt.date) -> list[Session]:
        """Sessions in the closed range [start, end]."""
        return [self._at(i) for i in range(self._index(start), bisect_right(self._dates, end))]

    def hours(self, days: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Open and close of many sessions at once, int64 nanoseconds UTC (sessions,).

        Parameters
        ----------
        days
            Days since 1970-01-01, int (sessions,).

        Raises
        ------
        UsageError
            If the exchange did not trade on one of them.
        """
        places = self.places(days)
        return self._open[places], self._close[places]

    def places(self, days: np.ndarray) -> np.ndarray:
        """Which session of the calendar each of many is, int64 (sessions,); parameters as of `hours`."""
        places = np.searchsorted(self._days, days)
        places[places == len(self._days)] = 0
        wrong = self._days[places] != days
        if wrong.any():
            self.session(_date(days[int(wrong.argmax())]))
        return places

    def hours_at(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Open and close of sessions by their places in the calendar, int64 nanoseconds UTC (sessions,)."""
        within = np.clip(places, 0, len(self._days) - 1)
        return self._open[within], self._close[within]

    def dates(self, start: dt.date, end: dt.date) -> list[dt.date]:
        """Dates of the sessions in the closed range [start, end]."""
        return self._dates[bisect_left(self._dates, start) : bisect_right(self._dates, end)]

    def offset(self, date: dt.date, sessions: int) -> dt.date:
        """The session ``sessions`` steps after ``date`` (before it, if negative).

        ``date`` itself must be a session. The result is clamped to the calendar's range.
        """
        i = self._index(date)
        if i == len(self._dates) or self._dates[i] != date:
            self.session(date)
        return self._dates[min(max(i + sessions, 0), len(self._dates) - 1)]

    def week(self, monday: dt.date) -> list[dt.date]:
        """Dates of the sessions in the week that starts on ``monday``."""
        return self.dates(monday, monday + dt.timedelta(days=6))

    @cached_property
    def _dates(self) -> list[dt.date]:
        """All sessions as dates: plans ask for them by the hundred thousand."""
        return [_date(day) for day in self._days]

    def _index(self, date: dt.date) -> int:
        return bisect_left(self._dates, date)

    def _at(self, i: int) -> Session:
        date = _date(self._days[i])
        return Session(
            date=date,
            ext_start_ns=at_exchange_time(date, _EXT_START),
            open_ns=int(self._open[i]),
            close_ns=int(self._close[i]),
            ext_end_ns=at_exchange_time(date, _EXT_END),
        )


@lru_cache(maxsize=1)
def calendar() -> Calendar:
    """The XNYS calendar, from the cache file or built once."""
    path = _cache_path()
    if not path.exists():
        _write_cache(path, *_build())
    with np.load(path, allow_pickle=False) as facts:
        return Calendar(facts["days"], facts["open_ns"], facts["close_ns"])


def _build() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    import warnings

    with warnings.catch_warnings():
        # The library itself uses calls that pandas 3 deprecates; nothing of ours.
        warnings.simplefilter("ignore")
        import exchange_calendars

        xnys = exchange_calendars.get_calendar("XNYS", start=FIRST, end=LAST)
        opens = xnys.opens.to_numpy().astype("datetime64[ns]").astype(np.int64)
        closes = xnys.closes.to_numpy().astype("datetime64[ns]").astype(np.int64)
        days = xnys.sessions.to_numpy().astype("datetime64[D]").astype(np.int64)
    return days, opens, closes


def _cache_path() -> Path:
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    library = version("exchange_calendars")
    return base / "raypipe" / f"xnys-{FIRST}-{LAST}-{library}-{_CACHE_FORMAT}.npz"


def _write_cache(path: Path, days: np.ndarray, open_ns: np.ndarray, close_ns: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".tmp", delete=False) as tmp:
        np.savez(tmp, days=days, open_ns=open_ns, close_ns=close_ns)
    Path(tmp.name).replace(path)


def _date(day: np.int64) -> dt.date:
    return dt.date(1970, 1, 1) + dt.timedelta(days=int(day))
