"""Daily bars of a file under canonical symbols, where their vendor has other names for some of them.

Which name stands for which symbol in which session is told by a map that people write, and by nothing else.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from raypipe.errors import SourceError
from raypipe.sources.daily_files import DailyFile, SymbolBars
from raypipe.sources.symbol_lists import VendorName

__all__ = ["NamedFile", "names_about"]

_FIRST, _LAST = np.iinfo(np.int32).min, np.iinfo(np.int32).max


def names_about(symbol: str, names: Sequence[VendorName]) -> tuple[VendorName, ...]:
    """The entries of a map on which the bars of a symbol depend: those that give it rows, or take some away.

    Examples
    --------
    >>> names = (VendorName("BRK.B", "yahoo", "BRK-B", None, None), VendorName("V", "yahoo", "V", None, None))
    >>> [len(names_about(symbol, names)) for symbol in ("BRK.B", "BRK-B", "V")]
    [1, 1, 0]
    """
    return tuple(one for one in names if one.symbol != one.vendor_symbol and symbol in (one.symbol, one.vendor_symbol))


@dataclass(frozen=True)
class NamedFile:
    """A file of daily bars, by canonical symbols.

    Parameters
    ----------
    file
        The file.
    names
        What its vendor calls symbols, all entries of that one vendor; a name that none of them has is the symbol.
    """

    file: DailyFile
    names: tuple[VendorName, ...] = ()

    @cached_property
    def symbols(self) -> list[str]:
        """Every canonical symbol, sorted."""
        mapped = {one.vendor_symbol for one in self.names}
        found = {name for name in self.file.symbols if name not in mapped}
        touched = {one.symbol for one in self.names} | mapped
        return sorted(found | {symbol for symbol in touched if any(len(part.days) for part in self._parts(symbol))})

    def bars(self, symbol: str) -> SymbolBars:
        """The rows of one canonical symbol, in order of sessions.

        Raises
        ------
        SourceError
            If a row has the symbol for its name in a session for which the map gives the symbol another name: whose
            row that is cannot be known, and two names would meet in one bar.
        """
        parts = [part for part in self._parts(symbol) if len(part.days)]
        self._refuse_strange(symbol, [part for part in parts if part.symbol == symbol])
        found = SymbolBars.joined(parts)
        return replace(found, symbol=symbol, files=(self.file.name,), source=np.zeros_like(found.source))

    def _parts(self, symbol: str) -> Iterator[SymbolBars]:
        """The rows of a symbol, by the vendor's names: its own less what others are given, then those it is given."""
        there, about = set(self.file.symbols), names_about(symbol, self.names)
        if symbol in there:
            own = self.file.bars(symbol)
            taken = [_held(one, own.days) for one in about if one.vendor_symbol == symbol]
            yield own.only(~np.logical_or.reduce(taken)) if taken else own
        for one in about:
            if one.symbol == symbol and one.vendor_symbol in there:
                given = self.file.bars(one.vendor_symbol)
                yield given.only(_held(one, given.days))

    def _refuse_strange(self, symbol: str, own: list[SymbolBars]) -> None:
        for one in names_about(symbol, self.names):
            for part in own if one.symbol == symbol else []:
                strange = np.flatnonzero(_held(one, part.days))
                if len(strange):
                    bar = int(strange[0])
                    msg = f"the row is named {symbol}, which {one.vendor} calls {one.vendor_symbol} in that session"
                    hint = "say in ingest.symbol_map whose the name is then; of canonical symbols, empty ingest.vendor"
                    session = str(np.datetime64(int(part.days[bar]), "D"))
                    where = {"file": self.file.name, "row": int(part.row[bar]) + 1}
                    raise SourceError(msg, hint=hint, **where, symbol=symbol, session=session)


def _held(name: VendorName, days: np.ndarray) -> np.ndarray:
    """Which days since 1970-01-01 a name is of, bool (days,)."""
    epoch = dt.date(1970, 1, 1).toordinal()
    start = name.start.toordinal() - epoch if name.start else _FIRST
    end = name.end.toordinal() - epoch if name.end else _LAST
    held: np.ndarray = (days >= start) & (days < end)
    return held
