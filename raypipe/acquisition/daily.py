"""Adoption of daily bars in plain files: read once to see that they can be, then kept as they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from raypipe.acquisition.digest import digest
from raypipe.acquisition.place import publish
from raypipe.acquisition.receipts import Receipt, known_sha256, receipt_of
from raypipe.errors import UnsafeNameError, UsageError
from raypipe.lake.names import check_key, check_symbol
from raypipe.sources.daily_files import DailyFile, file_kind
from raypipe.sources.daily_names import NamedFile

if TYPE_CHECKING:
    from raypipe.lake.objects import ObjectStore
    from raypipe.sources.symbol_lists import VendorName

__all__ = ["DAILY_FILES", "AdoptedFile", "adopt_daily"]

#: Where they stand in the lake.
DAILY_FILES = "raw/ohlcv_1d"


@dataclass(frozen=True, slots=True)
class AdoptedFile:
    """What became of one file: its key, whether the lake had it, how many symbols it holds, its size."""

    key: str
    state: Literal["new", "changed", "current"]
    symbols: int
    bytes: int


def adopt_daily(
    lake: ObjectStore,
    where: Path,
    *,
    now_ns: Callable[[], int],
    names: tuple[VendorName, ...] = (),
    dry_run: bool = False,
) -> list[AdoptedFile]:
    """Take a file of daily bars, or all of a folder, into the lake; a file of the same name is replaced.

    Parameters
    ----------
    lake
        The store of the lake.
    where
        A Parquet or CSV file, or a folder of such files.
    now_ns
        The clock, nanoseconds UTC.
    names
        What the vendor of the files calls symbols; files are kept as they are.
    dry_run
        Only say what would be done.

    Raises
    ------
    UsageError
        If there is no such file, or none in the folder; if a symbol or a file's name is not allowed.
    SourceError
        If a file cannot be read as daily bars, naming it and the row. None is taken then.
    """
    paths = _files(where)
    checked = [(path, _symbols(path, names)) for path in paths]
    return [_take(lake, path, symbols, now_ns, dry_run=dry_run) for path, symbols in checked]


def _files(where: Path) -> list[Path]:
    found = [where] if where.is_file() else sorted(path for path in where.glob("*") if path.is_file())
    found = [path for path in found if file_kind(path.name)]
    if not found:
        msg = f"no file of daily bars at {where}"
        raise UsageError(msg, hint="name a .parquet, .csv or .csv.gz file, or a folder of them, with --from-dir")
    return found


def _symbols(path: Path, names: tuple[VendorName, ...]) -> int:
    try:
        file = DailyFile(path.read_bytes(), path.name)
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror}"
        raise UsageError(msg, hint="name a file that can be read") from None
    file.check()
    symbols = NamedFile(file, names).symbols
    for symbol in symbols:
        try:
            check_symbol(symbol)
        except UnsafeNameError as error:
            hint = f"{error.hint}; a vendor's own names are mapped by ingest.vendor and ingest.symbol_map"
            raise UnsafeNameError(error.message, hint=hint, **error.values, file=path.name) from None
    return len(symbols)


def _take(lake: ObjectStore, path: Path, symbols: int, now_ns: Callable[[], int], *, dry_run: bool) -> AdoptedFile:
    key = check_key(f"{DAILY_FILES}/{path.name}")
    with path.open("rb") as stream:
        content = digest(stream)
    stat = lake.stat(key)
    if stat and known_sha256(lake, stat, receipt_of(lake, key), save=False) == content.sha256:
        return AdoptedFile(key, "current", symbols, content.size)
    if not dry_run:
        fresh = Receipt(key, "", "", content.size, "", content.sha256)
        publish(lake, fresh, partial(lake.put_file, path=path), now_ns())
    return AdoptedFile(key, "changed" if stat else "new", symbols, content.size)
