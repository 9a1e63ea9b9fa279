"""Files of daily bars in a lake: which there are, whose bars they hold, and a fingerprint for each symbol.

They stand under ``raw/ohlcv_1d/`` under any names. A symbol's fingerprint is made of the contents of all files that
hold bars of it, and of what the vendor's map of names says of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import cached_property
from typing import Any

from pydantic import Field

from raypipe.acquisition.daily import DAILY_FILES as DAILY_RAW
from raypipe.acquisition.receipts import RAW, RECEIPT, RawFile, known_sha256, receipt_of
from raypipe.errors import SourceError
from raypipe.lake.objects import ObjectStore
from raypipe.schema.daily_bars import DailyIngest
from raypipe.schema.family import Params, shared
from raypipe.sources.daily_files import DailyFile, SymbolBars, file_kind
from raypipe.sources.daily_names import NamedFile, names_about
from raypipe.sources.symbol_lists import VendorName

__all__ = ["DAILY_RAW", "DailyFilesParams", "DailyIndex", "names_of", "read_daily"]

#: Files that stay parsed: the symbols of a job come from the same few.
_KEPT_FILES = 4
_PARSED: dict[tuple[str, str], DailyFile] = {}


class DailyFilesParams(Params):
    """Which bars of files are taken.

    Attributes
    ----------
    ingest
        First and last session count.
    max_share
        Share of a symbol's rows that may be set aside before the symbol fails.
    names
        What the vendor of the files calls symbols; empty: as ingest.symbol_map says for ingest.vendor.
    """

    ingest: DailyIngest = shared("ingest", DailyIngest)
    max_share: float = Field(0.001, ge=0, le=1, description="Share of rows set aside before a symbol fails.")
    names: tuple[VendorName, ...] = Field(())

    def tracked(self) -> dict[str, Any]:
        """The values that count here; names count by symbol, as part of its raw files."""
        dates = {"start_date": str(self.ingest.start_date), "end_date": str(self.ingest.end_date)}
        return {"max_share": self.max_share, **dates}


def names_of(params: Iterable[Params]) -> tuple[VendorName, ...]:
    """What parameter sets say that the vendor of daily files calls symbols."""
    return next((one.names for one in params if isinstance(one, DailyFilesParams)), ())


class DailyIndex:
    """The files of daily bars of a lake. Reads files; writes nothing.

    Parameters
    ----------
    store
        The lake's store.
    names
        What the vendor of the files calls symbols.
    """

    def __init__(self, store: ObjectStore, names: tuple[VendorName, ...] = ()) -> None:
        self._store = store
        self._names = names

    @cached_property
    def files(self) -> dict[str, str]:
        """SHA-256 of each file, by key, in order."""
        stats = [stat for stat in self._store.list(f"{DAILY_RAW}/") if _is_daily(stat.key)]
        found = {s.key: known_sha256(self._store, s, receipt_of(self._store, s.key), save=False) for s in stats}
        return dict(sorted(found.items()))

    @cached_property
    def _files_of(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for key, sha256 in self.files.items():
            for symbol in self._open(key, sha256).symbols:
                found.setdefault(symbol, []).append(key)
        return found

    def _open(self, key: str, sha256: str) -> NamedFile:
        return NamedFile(read_daily(self._store, key, sha256), self._names)

    @property
    def symbols(self) -> list[str]:
        """Every symbol with bars, sorted."""
        return sorted(self._files_of)

    def files_of(self, symbol: str) -> dict[str, str]:
        """The files that hold bars of a symbol, with their SHA-256."""
        return {key: self.files[key] for key in self._files_of.get(symbol, ())}

    def get(self, symbol: str) -> RawFile | None:
        """What a plan knows of a symbol's bars, or None if there are none."""
        files = self.files_of(symbol)
        if not files:
            return None
        lines = [f"{key} {sha256}" for key, sha256 in files.items()]
        lines += [f"{n.symbol} {n.vendor_symbol} {n.start} {n.end}" for n in names_about(symbol, self._names)]
        text = "\n".join(lines)
        return RawFile(None, None, next(iter(files)), 0, hashlib.sha256(text.encode()).hexdigest(), "")

    def bars(self, symbol: str) -> SymbolBars:
        """The rows of a symbol in all files, in order of sessions; its ``files`` are in the order of `files_of`.

        Raises
        ------
        SourceError
            If a file has another content by now, or a row a name that is not the symbol's in its session.
        """
        return SymbolBars.joined(
            [self._open(key, sha256).bars(symbol) for key, sha256 in self.files_of(symbol).items()]
        )


def _is_daily(key: str) -> bool:
    return not key.endswith(RECEIPT) and bool(file_kind(key))


def read_daily(store: ObjectStore, key: str, sha256: str) -> DailyFile:
    """A file of daily bars, kept parsed; ``sha256`` says which content is meant.

    Raises
    ------
    SourceError
        If the file has another content by now.
    """
    if (key, sha256) not in _PARSED:
        data = store.read(key)
        if hashlib.sha256(data).hexdigest() != sha256:
            msg = "the raw file is not the one that the plan saw"
            raise SourceError(msg, hint="run again", file=key)
        while len(_PARSED) >= _KEPT_FILES:
            del _PARSED[next(iter(_PARSED))]
        _PARSED[key, sha256] = DailyFile(data, key.removeprefix(RAW))
    return _PARSED[key, sha256]
