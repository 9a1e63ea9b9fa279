"""How the vendor names, places and publishes its flat files: facts only, no access.

Keys look like ``us_stocks_sip/day_aggs_v1/2025/01/2025-01-02.csv.gz``. The date is the exchange session;
the folder says which data set it is. Both data sets use the same file names, so a file is always told by
its whole key.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass

from raypipe.calendar import at_exchange_time
from raypipe.errors import UsageError

__all__ = [
    "DATASETS",
    "DAY",
    "MINUTE",
    "Dataset",
    "Month",
    "dataset",
    "find_key",
    "key_of",
    "month_prefix",
    "months_between",
    "parse_folder_key",
    "parse_key",
    "published_ns",
]

#: A calendar month: (year, month).
Month = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Dataset:
    """One of the vendor's data sets.

    Attributes
    ----------
    name
        What users call it: ``day`` or ``minute``.
    prefix
        Where its keys start, without a slash at the end.
    table
        The bronze table that is made of it.
    """

    name: str
    prefix: str
    table: str

    @property
    def folder(self) -> str:
        """The vendor's own name, the last part of the prefix: ``minute_aggs_v1``."""
        return self.prefix.rpartition("/")[2]


DAY = Dataset("day", "us_stocks_sip/day_aggs_v1", "bronze/day_aggs")
MINUTE = Dataset("minute", "us_stocks_sip/minute_aggs_v1", "bronze/minute_aggs")
#: All data sets by name.
DATASETS = {DAY.name: DAY, MINUTE.name: MINUTE}

_BY_PREFIX = {each.prefix: each for each in DATASETS.values()}
_DATE = r"(?P<date>(?P<year>[0-9]{4})-(?P<month>[0-9]{2})-[0-9]{2})\.csv\.gz"
_KEY = re.compile(rf"(?P<prefix>{'|'.join(_BY_PREFIX)})/(?P<y>[0-9]{{4}})/(?P<m>[0-9]{{2}})/{_DATE}")
_FOLDER_KEY = re.compile(rf"(?P<y>[0-9]{{4}})/polygon_(?P<name>day|minute)_aggs/(?P<m>[0-9]{{2}})/{_DATE}")


def dataset(name: str) -> Dataset:
    """The data set called ``name``.

    Raises
    ------
    UsageError
        If there is no such data set.
    """
    if name not in DATASETS:
        msg = f"{name!r} is not a data set"
        raise UsageError(msg, hint=f"use {' or '.join(DATASETS)}")
    return DATASETS[name]


def month_prefix(data: Dataset, month: Month) -> str:
    """Where the keys of one month start.

    Examples
    --------
    >>> month_prefix(DAY, (2025, 1))
    'us_stocks_sip/day_aggs_v1/2025/01/'
    """
    year, number = month
    return f"{data.prefix}/{year:04d}/{number:02d}/"


def key_of(data: Dataset, session: dt.date) -> str:
    """The vendor's key of one session.

    Examples
    --------
    >>> key_of(MINUTE, dt.date(2025, 1, 2))
    'us_stocks_sip/minute_aggs_v1/2025/01/2025-01-02.csv.gz'
    """
    return f"{month_prefix(data, (session.year, session.month))}{session.isoformat()}.csv.gz"


def parse_key(key: str) -> tuple[Dataset, dt.date] | None:
    """Data set and date of a key; None unless the key is exactly as the vendor writes them.

    Examples
    --------
    >>> parse_key("us_stocks_sip/day_aggs_v1/2025/01/2025-01-02.csv.gz")[1]
    datetime.date(2025, 1, 2)
    >>> parse_key("us_stocks_sip/day_aggs_v1/2025/02/2025-01-02.csv.gz") is None
    True
    """
    match = _KEY.fullmatch(key)
    date = _date(match) if match else None
    return (_BY_PREFIX[match["prefix"]], date) if match and date else None


def find_key(text: str) -> str | None:
    """The vendor's key at the end of a line of text, whatever bucket or folder stands before it.

    Examples
    --------
    >>> find_key("s3://flatfiles/us_stocks_sip/day_aggs_v1/2025/01/2025-01-02.csv.gz")
    'us_stocks_sip/day_aggs_v1/2025/01/2025-01-02.csv.gz'
    """
    start = text.rfind("us_stocks_sip/")
    key = text[start:].strip() if start >= 0 else ""
    return key if parse_key(key) else None


def parse_folder_key(path: str) -> tuple[Dataset, dt.date] | None:
    """Data set and date of a relative path in the folder layout of older downloads.

    Examples
    --------
    >>> parse_folder_key("2025/polygon_minute_aggs/01/2025-01-02.csv.gz")[0].name
    'minute'
    """
    match = _FOLDER_KEY.fullmatch(path)
    date = _date(match) if match else None
    return (DATASETS[match["name"]], date) if match and date else None


def _date(match: re.Match[str]) -> dt.date | None:
    """The date in a file name, if it exists and its folders agree with it."""
    if (match["y"], match["m"]) != (match["year"], match["month"]):
        return None
    try:
        return dt.date.fromisoformat(match["date"])
    except ValueError:
        return None


def published_ns(session: dt.date, publish_time_et: str = "11:00") -> int:
    """When a session's files are due: the next calendar day at a wall-clock time of the exchange, ns UTC.

    Raises
    ------
    UsageError
        If the time is not ``HH:MM``.

    Examples
    --------
    >>> published_ns(dt.date(2025, 1, 3)) // 10**9  # Saturday 2025-01-04 16:00 UTC
    1736006400
    """
    try:
        time = dt.datetime.strptime(publish_time_et, "%H:%M").replace(tzinfo=dt.UTC).time()
    except ValueError:
        msg = f"publish_time_et {publish_time_et!r} is not a time"
        raise UsageError(msg, hint="write it as HH:MM, for example 11:00") from None
    return at_exchange_time(session + dt.timedelta(days=1), time)


def months_between(start: dt.date, end: dt.date) -> list[Month]:
    """Every calendar month that touches the closed range [start, end].

    Examples
    --------
    >>> months_between(dt.date(2024, 12, 30), dt.date(2025, 1, 2))
    [(2024, 12), (2025, 1)]
    """
    first, last = start.year * 12 + start.month - 1, end.year * 12 + end.month - 1
    return [(number // 12, number % 12 + 1) for number in range(first, last + 1)]
