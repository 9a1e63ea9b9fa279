"""Calendar, vendor's listing, raw files and bronze held against each other, session by session.

Each data set is judged on its own, by whole keys: a day file never stands in for the minute file of the same
name. Nothing is changed.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from raypipe.acquisition.classify import LocalSide, Rules
from raypipe.acquisition.listing import Listing, RemoteObject, parse_files_list, read_files_list, saved_listing
from raypipe.acquisition.parts import part_path
from raypipe.acquisition.receipts import RAW, raw_digest
from raypipe.acquisition.remote import IngestParams, Remote, list_months
from raypipe.calendar import calendar
from raypipe.errors import StorageError, UsageError
from raypipe.sources.polygon_keys import DATASETS, Dataset, key_of, months_between

if TYPE_CHECKING:
    from raypipe.lake.objects import ObjectStore, Stat

__all__ = ["FILES_LIST", "MissingReport", "MissingRow", "MissingState", "check_missing"]

MissingState = Literal[
    "ok",
    "missing_local",
    "missing_remote",
    "missing_bronze",
    "extra_local",
    "size_mismatch",
    "etag_mismatch",
    "not_session",
    "not_yet",
]
#: Read if no other listing is asked for.
FILES_LIST = f"{RAW}files_list.txt"
_FINE = frozenset({"ok", "not_yet"})


@dataclass(frozen=True, slots=True)
class MissingRow:
    """One session of one data set.

    Attributes
    ----------
    dataset, session
        Which; the session is None for a file whose name is none of the vendor's.
    state
        The first thing that is wrong with it.
    reason
        More about it; empty where the state says all.
    key
        The vendor's key, or that of the stray file.
    """

    dataset: Dataset
    session: dt.date | None
    state: MissingState
    reason: str
    key: str


@dataclass(frozen=True, slots=True)
class MissingReport:
    """Every session of a range, and where the vendor's side was taken from."""

    rows: tuple[MissingRow, ...]
    source: str

    @property
    def summary(self) -> dict[tuple[str, str], dict[str, int]]:
        """Rows per state, by (data set, month ``YYYY-MM``); files without a date are under month ``-``."""
        counts: dict[tuple[str, str], Counter[str]] = {}
        for row in self.rows:
            month = f"{row.session:%Y-%m}" if row.session else "-"
            counts.setdefault((row.dataset.name, month), Counter())[row.state] += 1
        return {place: dict(count) for place, count in counts.items()}

    @property
    def exit_code(self) -> int:
        """1 if anything is but ok or not due yet."""
        return int(any(row.state not in _FINE for row in self.rows))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        rows = [
            {
                "dataset": row.dataset.name,
                "session": row.session.isoformat() if row.session else None,
                "state": row.state,
                "reason": row.reason,
                "key": row.key,
            }
            for row in self.rows
        ]
        months = [{"dataset": data, "month": month, **count} for (data, month), count in self.summary.items()]
        return {"source": self.source, "rows": rows, "months": months}


def check_missing(
    lake: ObjectStore,
    params: IngestParams,
    *,
    start: dt.date,
    end: dt.date,
    datasets: Iterable[Dataset] = tuple(DATASETS.values()),
    now_ns: Callable[[], int],
    files_list: Path | None = None,
    remote: bool = False,
) -> MissingReport:
    """Say of every session of a range whether its files are where they should be.

    The vendor's side is a live listing (``remote``), else ``files_list``, else ``raw/files_list.txt`` of the
    lake, else what the last ingest listed. Where it is not known, the lake alone is judged.

    Parameters
    ----------
    lake
        The store of the lake.
    params
        Endpoint, for ``remote``, and when files are due.
    start, end
        Closed range of dates.
    datasets
        Which data sets.
    now_ns
        The clock, nanoseconds UTC.
    files_list
        Text as ``aws s3 ls --recursive`` prints it, or bare keys.
    remote
        Whether to ask the endpoint.

    Raises
    ------
    UsageError
        If the range is upside down, a list cannot be read, or without credentials.
    SourceError
        If a list names no flat file.
    StorageError
        If the endpoint cannot be listed.
    """
    if start > end:
        msg = f"the range starts on {start}, after its end {end}"
        raise UsageError(msg, hint="swap them")
    wanted = tuple(datasets)
    listing = _listing(lake, params, wanted, start, end, files_list=files_list, remote=remote)
    rules = Rules(now_ns(), params.publish_time_et)
    rows = [
        row
        for data in wanted
        for row in _Judge(LocalSide.read(lake, data, start, end), listing, rules, _bronze(lake, data)).rows(start, end)
    ]
    return MissingReport(tuple(rows), listing.source)


def _listing(
    lake: ObjectStore,
    params: IngestParams,
    datasets: tuple[Dataset, ...],
    start: dt.date,
    end: dt.date,
    *,
    files_list: Path | None,
    remote: bool,
) -> Listing:
    months = months_between(start, end)
    if remote:
        listing = list_months(Remote(params), datasets, months, params.jobs)
        for data, refusal in listing.refused.items():
            raise StorageError(refusal, hint=f"leave out --data {data.name}", store=params.endpoint_url)
        return listing
    if files_list:
        return read_files_list(files_list)
    if lake.stat(FILES_LIST):
        return parse_files_list(lake.read(FILES_LIST).decode("utf-8", errors="replace"), FILES_LIST)
    return saved_listing(lake, datasets, months)


def _bronze(lake: ObjectStore, data: Dataset) -> frozenset[str]:
    """Partitions of the bronze table that are there."""
    start = f"{data.table}/date="
    return frozenset(
        stat.key.removeprefix(start).removesuffix(".parquet")
        for stat in lake.list(start)
        if stat.key.endswith(".parquet")
    )


@dataclass(frozen=True, slots=True)
class _Judge:
    """One data set and all that its sessions are held against."""

    local: LocalSide
    listing: Listing
    rules: Rules
    bronze: frozenset[str]

    def rows(self, start: dt.date, end: dt.date) -> list[MissingRow]:
        """Every session of the range, then files that no session explains."""
        listed = {day for data, day in self.listing.objects if data is self.local.data}
        odd = [
            day for day in listed | self.local.inventory.files.keys() if start <= day <= end and day not in calendar()
        ]
        sessions = calendar().dates(start, end)
        dated = [self._session(day) for day in sessions] + [self._not_session(day) for day in odd]
        dated.sort(key=lambda row: row.session or start)
        return dated + [
            MissingRow(self.local.data, None, "extra_local", "not a file of the vendor", key.removeprefix(RAW))
            for key in self.local.inventory.strays
        ]

    def _row(self, day: dt.date, state: MissingState, reason: str = "") -> MissingRow:
        return MissingRow(self.local.data, day, state, reason, key_of(self.local.data, day))

    def _not_session(self, day: dt.date) -> MissingRow:
        here = day in self.local.inventory.not_sessions
        return self._row(day, "not_session", f"the exchange did not trade; a file is {'here' if here else 'listed'}")

    def _session(self, day: dt.date) -> MissingRow:
        stat, remote = self.local.inventory.sessions.get(day), self.listing.get(self.local.data, day)
        if stat is None:
            return self._absent(day, remote)
        wrong = self._difference(stat, day, remote)
        if wrong:
            return self._row(day, *wrong)
        if day.isoformat() not in self.bronze:
            return self._row(day, "missing_bronze")
        return self._row(day, "ok")

    def _absent(self, day: dt.date, remote: RemoteObject | None) -> MissingRow:
        if remote is None and not self.rules.due(day):
            return self._row(day, "not_yet")
        if remote is None and self.listing.covers(self.local.data, day):
            return self._row(day, "missing_remote")
        part = part_path(self.local.store, RAW + key_of(self.local.data, day))
        return self._row(day, "missing_local", "a download was begun" if part.exists() else "")

    def _difference(self, stat: Stat, day: dt.date, remote: RemoteObject | None) -> tuple[MissingState, str] | None:
        receipt = self.local.receipts.get(stat.key)
        if remote is None:
            return ("extra_local", "not listed") if self.listing.covers(self.local.data, day) else None
        if remote.size is not None and stat.size != remote.size:
            return "size_mismatch", f"size {stat.size:,} here, {remote.size:,} listed"
        if receipt and receipt.etag and remote.etag and receipt.trusted(stat):
            differs = receipt.etag != remote.etag
            return ("etag_mismatch", f"ETag {receipt.etag} here, {remote.etag} listed") if differs else None
        if remote.md5 and (md5 := raw_digest(self.local.store, stat.key).md5) != remote.md5:
            return "etag_mismatch", f"MD5 {md5} here, {remote.md5} listed"
        return None
