"""Lists of symbols, and what vendors call them: two small files that people edit.

A list is text with a symbol per line and ``#`` comments; its order numbers the symbols. A map says under which name a
vendor has a symbol and in which sessions. Nothing is ever matched by similarity.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
from dataclasses import dataclass
from typing import NoReturn

from raypipe.calendar import parse_session
from raypipe.errors import UsageError

__all__ = ["SymbolMap", "VendorName", "read_symbol_list", "read_symbol_map"]

_HEADER = ["symbol", "vendor", "vendor_symbol", "from_session", "to_session"]


def read_symbol_list(text: str, name: str) -> tuple[str, ...]:
    """The symbols of a list, in its order.

    Parameters
    ----------
    text
        Content of the file.
    name
        Its name, for errors.

    Raises
    ------
    UsageError
        Naming the line: for a symbol given twice or with a blank inside; and for a list without any.

    Examples
    --------
    >>> read_symbol_list("# two" + chr(10) + "NA" + chr(10) + "BRK.B  # class B", "list.txt")
    ('NA', 'BRK.B')
    """
    found: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        symbol = line.partition("#")[0].strip()
        if not symbol:
            continue
        if len(symbol.split()) > 1:
            _refuse(name, number, f"{symbol!r} is more than one symbol", "write one symbol per line")
        if symbol in found:
            _refuse(name, number, f"{symbol!r} stands in line {found[symbol]} already", "remove one of them")
        found[symbol] = number
    if not found:
        msg = "the list holds no symbol"
        raise UsageError(msg, hint="write one symbol per line", file=name)
    return tuple(found)


@dataclass(frozen=True, slots=True)
class VendorName:
    """What a vendor calls a symbol from one session on until before another; None is open."""

    symbol: str
    vendor: str
    vendor_symbol: str
    start: dt.date | None
    end: dt.date | None

    def holds(self, session: dt.date) -> bool:
        """Whether the name is that of a session."""
        return not (self.start and session < self.start) and not (self.end and session >= self.end)


@dataclass(frozen=True, slots=True)
class SymbolMap:
    """Names that differ between vendors; a symbol that is not in the map has one name everywhere."""

    names: tuple[VendorName, ...]

    def of(self, vendor: str) -> tuple[VendorName, ...]:
        """All entries of one vendor, in their order; empty if there is none."""
        return tuple(name for name in self.names if name.vendor == vendor)

    def to_vendor(self, symbol: str, vendor: str, session: dt.date) -> str:
        """What a vendor calls a symbol in a session."""
        mine = [name for name in self.names if (name.symbol, name.vendor) == (symbol, vendor)]
        return next((name.vendor_symbol for name in mine if name.holds(session)), symbol)

    def from_vendor(self, vendor_symbol: str, vendor: str, session: dt.date) -> str:
        """Which symbol a vendor's name stands for in a session."""
        mine = [name for name in self.names if (name.vendor_symbol, name.vendor) == (vendor_symbol, vendor)]
        return next((name.symbol for name in mine if name.holds(session)), vendor_symbol)


def read_symbol_map(text: str, name: str) -> SymbolMap:
    """Read ``symbol, vendor, vendor_symbol, from_session, to_session``; sessions half-open, empty is open.

    Raises
    ------
    UsageError
        Naming the line: for another header, an empty name, a date that is none, two names of one symbol, or two
        symbols of one name, at one time.
    """
    rows = list(csv.reader(io.StringIO(text)))
    if not rows or rows[0] != _HEADER:
        _refuse(name, 1, f"the header is {rows[0] if rows else []}", f"write {','.join(_HEADER)}")
    found: list[VendorName] = []
    for number, row in enumerate(rows[1:], start=2):
        if row:
            found.append(_entry(row, name, number))
            _check_apart(found, name, number)
    return SymbolMap(tuple(found))


def _entry(row: list[str], name: str, number: int) -> VendorName:
    if len(row) != len(_HEADER) or not all(row[:3]):
        _refuse(name, number, f"{row} is no entry", f"write {','.join(_HEADER)}")
    start, end = (parse_session(text) if text else None for text in row[3:])
    if start and end and end <= start:
        _refuse(name, number, f"the name ends on {end}, before it begins", "to_session is the first without it")
    return VendorName(row[0], row[1], row[2], start, end)


def _check_apart(found: list[VendorName], name: str, number: int) -> None:
    new = found[-1]
    for old in found[:-1]:
        same = old.vendor == new.vendor and (old.symbol == new.symbol or old.vendor_symbol == new.vendor_symbol)
        if same and not _apart(old, new) and not _apart(new, old):
            problem = f"{new.vendor} has {new.vendor_symbol} for {new.symbol} and {old.vendor_symbol} for {old.symbol}"
            _refuse(name, number, f"{problem} at one time", "give each its sessions")


def _apart(first: VendorName, second: VendorName) -> bool:
    return first.end is not None and second.start is not None and first.end <= second.start


def _refuse(name: str, line: int, problem: str, hint: str) -> NoReturn:
    raise UsageError(problem, hint=hint, file=name, line=line)
