"""Adoption: files that are on disk already become raw files of the lake, by hard link where that works.

Flat files are found in the vendor's layout or in the folder layout of older downloads
(``YYYY/polygon_day_aggs/MM/YYYY-MM-DD.csv.gz``). Corporate files (symbols, splits) are taken as they are.
"""

from __future__ import annotations

import datetime as dt
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from raypipe.acquisition.acquire import IngestReport
from raypipe.acquisition.classify import ObjectState, State
from raypipe.acquisition.digest import digest, gzip_digest
from raypipe.acquisition.place import link_in, publish, supersede
from raypipe.acquisition.pool import run_all
from raypipe.acquisition.receipts import (
    CORPORATE,
    RAW,
    RECEIPT,
    Receipt,
    known_sha256,
    receipt_of,
    renewed_receipt,
    save_receipt,
)
from raypipe.calendar import calendar
from raypipe.errors import RaypipeError, SourceError, UsageError
from raypipe.lake.names import inside
from raypipe.sources.instruments import read_reference, read_splits
from raypipe.sources.polygon_keys import DATASETS, Dataset, find_key, key_of, parse_folder_key, parse_key

if TYPE_CHECKING:
    from raypipe.lake.objects import ObjectStore, Stat

__all__ = ["FoundFile", "adopt_corporate", "adopt_dir", "find_files"]

_FOLDER_PARTS = 4  # YYYY/polygon_day_aggs/MM/NAME
_READERS = {"reference": read_reference, "splits": read_splits}


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A flat file on disk, and those of equal name in the other layout."""

    dataset: Dataset
    session: dt.date
    path: Path
    others: tuple[Path, ...] = ()


def adopt_dir(
    lake: ObjectStore,
    folder: Path,
    *,
    start: dt.date | None = None,
    end: dt.date | None = None,
    datasets: Iterable[Dataset] = tuple(DATASETS.values()),
    now_ns: Callable[[], int],
    progress: Callable[[ObjectState], None] = lambda _state: None,
    verify: bool = False,
    stop: threading.Event | None = None,
    jobs: int = 4,
    dry_run: bool = False,
    needed: bool = True,
) -> IngestReport:
    """Take the flat files of a folder into the lake.

    Parameters
    ----------
    lake
        The store of the lake.
    folder
        Where the files are, in either layout, at any depth.
    start, end
        Closed range of dates; None leaves it open.
    datasets
        Which data sets.
    now_ns
        The clock, nanoseconds UTC.
    progress
        Called with every file when it is done, from the calling thread.
    verify
        Whether to read files that are adopted already.
    stop, jobs
        As in `ingest`.
    dry_run
        Only say what would be done.
    needed
        Whether a folder without flat files is an error.

    Raises
    ------
    UsageError
        If the folder does not exist or, where that is an error, holds no flat file.
    """
    wanted = set(datasets)
    found = [
        each
        for each in find_files(folder, needed=needed)
        if each.dataset in wanted and (start or each.session) <= each.session <= (end or each.session)
    ]
    adoption, stop = _Adoption(lake, now_ns, verify, dry_run), stop or threading.Event()
    states = run_all([partial(adoption.one, each) for each in found], progress, jobs=jobs, stop=stop)
    ordered = tuple(sorted(states, key=lambda each: (each.dataset.name, each.session)))
    return IngestReport(ordered, interrupted=stop.is_set())


def find_files(folder: Path, *, needed: bool = True) -> list[FoundFile]:
    """The flat files below a folder, by data set and date.

    Raises
    ------
    UsageError
        If the folder does not exist, or holds none and they are ``needed``.
    """
    if not folder.is_dir():
        msg = f"{folder} is not a folder"
        raise UsageError(msg, hint="name the folder of the flat files with --from-dir")
    found: dict[tuple[Dataset, dt.date], list[Path]] = {}
    for path in _walk(folder.resolve()):
        place = _place(path)
        if place:
            found.setdefault(place, []).append(path)
    if not found and needed:
        msg = f"no flat file in {folder}"
        raise UsageError(msg, hint=f"files are looked for as {key_of(*_EXAMPLE)} or YYYY/polygon_day_aggs/MM/")
    order = sorted(found, key=lambda place: (place[0].name, place[1]))
    return [FoundFile(*place, found[place][0], tuple(found[place][1:])) for place in order]


_EXAMPLE = (DATASETS["day"], dt.date(2025, 1, 2))


def _walk(folder: Path) -> Iterator[Path]:
    for where, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name != "_superseded")
        yield from (Path(where) / name for name in sorted(names))


def _place(path: Path) -> tuple[Dataset, dt.date] | None:
    """Told by the end of the whole path, so that the folder may lie anywhere inside the layout."""
    key = find_key(path.as_posix())
    return parse_key(key) if key else parse_folder_key("/".join(path.parts[-_FOLDER_PARTS:]))


# --- one file ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Adoption:
    """How one file after the other is taken."""

    lake: ObjectStore
    now_ns: Callable[[], int]
    verify: bool
    dry_run: bool

    def one(self, file: FoundFile) -> ObjectState:
        """Take a file; whatever is wrong with it becomes its state."""
        try:
            state, reason = self._take(file)
            size = file.path.stat().st_size
        except (RaypipeError, OSError) as error:
            state, reason, size = "failed", str(error), 0
        if state != "failed" and not calendar().has(file.session):
            state, reason = "not_session", "the exchange did not trade: kept, never processed"
        return ObjectState(file.dataset, file.session, state, reason, size, key_of(file.dataset, file.session))

    def _take(self, file: FoundFile) -> tuple[State, str]:
        key = RAW + key_of(file.dataset, file.session)
        stat = self.lake.stat(key)
        if stat and not self.verify and _is_same_file(self.lake, key, file.path):
            return self._current(stat, None)
        with file.path.open("rb") as stream:
            content = gzip_digest(stream, str(file.path))
        _refuse_others(file, content.sha256)
        receipt = None if self.verify else receipt_of(self.lake, key)
        if stat and known_sha256(self.lake, stat, receipt, save=False) == content.sha256:
            return self._current(stat, content.sha256)
        if not self.dry_run:
            fresh = Receipt(key, "", "", content.size, "", content.sha256)
            publish(self.lake, fresh, partial(link_in, self.lake, file.path), self.now_ns())
        return ("changed", "another content than the file in the lake") if stat else ("new", "")

    def _current(self, stat: Stat, sha256: str | None) -> tuple[State, str]:
        """Nothing to take; the receipt is written anew if it is missing or does not say what the content is."""
        receipt = receipt_of(self.lake, stat.key)
        if sha256 is None:
            known_sha256(self.lake, stat, receipt, save=not self.dry_run)
        elif (renewed := renewed_receipt(stat, receipt, sha256)) != receipt and not self.dry_run:
            save_receipt(self.lake, renewed)
        return "current", ""


def _is_same_file(lake: ObjectStore, key: str, path: Path) -> bool:
    return not lake.uri.startswith("s3://") and inside(Path(lake.uri), key).samefile(path)


def _refuse_others(file: FoundFile, sha256: str) -> None:
    for other in file.others:
        with other.open("rb") as stream:
            if digest(stream).sha256 != sha256:
                msg = f"another file of the same session differs: {other}"
                raise SourceError(msg, hint="keep one of them", file=str(file.path))


# --- corporate files ---------------------------------------------------------------------------


def adopt_corporate(lake: ObjectStore, kind: str, path: Path, *, now_ns: Callable[[], int]) -> str:
    """Take a file of symbols or of splits into the lake, as it is, in place of an older one.

    Parameters
    ----------
    lake
        The store of the lake.
    kind
        ``reference`` or ``splits``.
    path
        A CSV, JSON lines or Parquet file; the first two may be gzipped.
    now_ns
        The clock, nanoseconds UTC.

    Returns
    -------
    Its key in the lake.

    Raises
    ------
    UsageError
        If the file cannot be opened.
    SourceError
        If it cannot be read as what it should be.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror}"
        raise UsageError(msg, hint=f"name a file with --{kind}") from None
    _READERS[kind](data, path.name)
    key = f"{CORPORATE[kind]}{_suffix(path)}"
    others = [stat for stat in lake.list(f"{CORPORATE[kind]}.") if stat.key not in {key, key + RECEIPT}]
    for stat in others:
        if not stat.key.endswith(RECEIPT):
            supersede(lake, stat.key, known_sha256(lake, stat, None, save=False))
        lake.delete(stat.key)
    with path.open("rb") as stream:
        content = digest(stream)
    publish(lake, Receipt(key, "", "", content.size, "", content.sha256), partial(lake.put_file, path=path), now_ns())
    return key


def _suffix(path: Path) -> str:
    """The suffix that says how to read it: ``.csv``, ``.jsonl.gz`` ..."""
    kept = path.suffixes[-2:] if path.suffix.lower() == ".gz" else path.suffixes[-1:]
    return "".join(kept).lower()
