"""Acquisition as a person asks for it: a range or a year, an endpoint or a folder, files of symbols and splits."""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from raypipe.acquisition.acquire import IngestReport, ObjectState, ingest, plan_ingest
from raypipe.acquisition.adopt import adopt_corporate, adopt_dir
from raypipe.acquisition.books import BookAdoption, adopt_books, find_books
from raypipe.acquisition.check_missing import MissingReport, check_missing
from raypipe.acquisition.daily import AdoptedFile, adopt_daily
from raypipe.acquisition.receipts import raw_inventory
from raypipe.config import Config
from raypipe.errors import UsageError
from raypipe.lake.store import Lake
from raypipe.pipeline.book_probe import probe
from raypipe.pipeline.daily_index import names_of
from raypipe.sources.polygon_keys import DATASETS, Dataset

__all__ = [
    "PRESENT",
    "Intake",
    "ObjectState",
    "acquire",
    "acquire_configured",
    "keep_corporate",
    "keep_daily",
    "missing",
    "plan_acquire",
]

#: States of objects that are in the lake when an ingest has ended.
PRESENT = frozenset({"current", "new", "partial", "changed"})


@dataclass(frozen=True, slots=True)
class Intake:
    """Which files, and where from.

    Attributes
    ----------
    start, end
        Closed range of dates; open only where files come from a folder.
    datasets
        ``day``, ``minute`` or both.
    from_dir
        Adopt the files of this folder instead of asking an endpoint.
    reference, splits
        Corporate files to keep.
    wait_minutes
        How long to wait for files that are late.
    verify
        Whether every stored file is read and hashed.
    """

    start: dt.date | None = None
    end: dt.date | None = None
    datasets: tuple[str, ...] = tuple(DATASETS)
    from_dir: Path | None = None
    reference: Path | None = None
    splits: Path | None = None
    wait_minutes: float = 0
    verify: bool = False

    @classmethod
    def settle(cls, year: int | None, today: dt.date, **wanted: Any) -> Self:
        """Settle the range: the one given, else the year given, else all of a folder, else the current year.

        Raises
        ------
        UsageError
            If the range is upside down or there is nothing to fetch.
        """
        start, end, folder = wanted.get("start"), wanted.get("end"), wanted.get("from_dir")
        if not (start or end) and (year or not folder):
            start, end = dt.date(year or today.year, 1, 1), dt.date(year or today.year, 12, 31)
        if not folder and end and not start:
            start = dt.date(end.year, 1, 1)
        if not folder and start and not end:
            end = max(start, today)
        if start and end and end < start:
            msg = f"the end {end} is before the start {start}"
            raise UsageError(msg)
        if not wanted.get("datasets", ("all",)):
            msg = "--skip-daily and --skip-minute leave nothing to fetch"
            raise UsageError(msg)
        return cls(**{**wanted, "start": start, "end": end})

    @property
    def options(self) -> dict[str, Any]:
        """What the functions of acquisition have in common."""
        return {
            "start": self.start,
            "end": self.end,
            "datasets": _datasets(self.datasets),
            "now_ns": time.time_ns,
            "verify": self.verify,
        }


def _datasets(names: tuple[str, ...]) -> tuple[Dataset, ...]:
    return tuple(DATASETS[name] for name in names)


def plan_acquire(config: Config, intake: Intake) -> IngestReport:
    """Say what `acquire` would do with each file; nothing is fetched or written."""
    store = Lake(config.lake.location).store
    if intake.from_dir:
        return _adopt(config, intake, intake.from_dir, BookAdoption(store, time.time_ns, dry_run=True))
    return IngestReport(tuple(plan_ingest(store, config.ingest, **intake.options)))


def acquire(
    config: Config, intake: Intake, *, progress: Callable[[ObjectState], None], stop: threading.Event
) -> IngestReport:
    """Bring the files into the lake; see `raypipe.acquisition.acquire.ingest`."""
    keep_corporate(config, "reference", intake.reference)
    keep_corporate(config, "splits", intake.splits)
    store = Lake(config.lake.location).store
    if intake.from_dir:
        how = BookAdoption(store, time.time_ns, progress=progress, stop=stop, jobs=config.ingest.jobs)
        return _adopt(config, intake, intake.from_dir, how)
    return ingest(
        store, config.ingest, **intake.options, wait_minutes=intake.wait_minutes, progress=progress, stop=stop
    )


def _adopt(config: Config, intake: Intake, folder: Path, how: BookAdoption) -> IngestReport:
    """Everything of a folder that the lake has a use for: bars, order books and option prints."""
    books = find_books(folder, probe, intake.start, intake.end)
    bars = adopt_dir(
        how.lake,
        folder,
        **intake.options,
        progress=how.progress,
        stop=how.stop,
        jobs=config.ingest.jobs,
        dry_run=how.dry_run,
        needed=not books,
    )
    return replace(bars, objects=(*bars.objects, *adopt_books(books, how)), interrupted=how.stop.is_set())


def acquire_configured(
    config: Config,
    bounds: tuple[dt.date | None, dt.date | None],
    *,
    progress: Callable[[ObjectState], None],
    stop: threading.Event,
) -> tuple[int, str]:
    """The step `ingest` of a run: files of a range, from `ingest.from_dir` or the endpoint.

    Parameters
    ----------
    config
        Says which files, and where they are.
    bounds
        First and last date; of a folder all there is if both are None, of an endpoint the current year.

    Returns
    -------
    The exit code, and what became of the files in one line.

    Raises
    ------
    UsageError
        If daily bars come from files, and no folder is named.
    """
    folder = Path(config.ingest.from_dir) if config.ingest.from_dir else None
    if config.ingest.provider == "files":
        if folder is None:
            msg = "ingest.provider is files, and no folder is named"
            raise UsageError(msg, hint="name it with ingest.from_dir")
        kept = keep_daily(config, folder)
        return 0, f"{len(kept)} files of daily bars in {folder}"
    today = dt.datetime.now(dt.UTC).date()
    intake = Intake.settle(None, today, start=bounds[0], end=bounds[1], from_dir=folder)
    report = acquire(config, intake, progress=progress, stop=stop)
    said = ", ".join(f"{count} {state.replace('_', ' ')}" for state, count in report.counts.items()) or "no files"
    return 130 if report.interrupted else report.exit_code, said


def keep_corporate(config: Config, kind: str, path: Path | None) -> None:
    """Take a file of symbols (``reference``) or of ``splits`` into the lake; None is fine."""
    if path is not None:
        adopt_corporate(Lake(config.lake.location).store, kind, path, now_ns=time.time_ns)


def keep_daily(config: Config, where: Path, *, dry_run: bool = False) -> list[AdoptedFile]:
    """Take a file of daily bars, or a folder of them, into the lake."""
    store, names = Lake(config.lake.location).store, names_of(config.params.values())
    return adopt_daily(store, where, now_ns=time.time_ns, names=names, dry_run=dry_run)


def missing(
    config: Config,
    bounds: tuple[dt.date | None, dt.date | None],
    datasets: tuple[str, ...],
    *,
    files_list: Path | None = None,
    remote: bool = False,
) -> MissingReport:
    """Say of every session whether its files are where they should be.

    Parameters
    ----------
    config
        The configuration.
    bounds
        First and last date; None means the lake's first raw file, and today.
    datasets, files_list, remote
        As in `raypipe.acquisition.check_missing.check_missing`.
    """
    store, wanted = Lake(config.lake.location).store, _datasets(datasets)
    today = dt.datetime.now(dt.UTC).date()
    first = min((day for data in wanted for day in raw_inventory(store, data).sessions), default=None)
    start = bounds[0] or first or dt.date(today.year, 1, 1)
    return check_missing(
        store,
        config.ingest,
        start=start,
        end=bounds[1] or max(today, start),
        datasets=wanted,
        now_ns=time.time_ns,
        files_list=files_list,
        remote=remote,
    )
