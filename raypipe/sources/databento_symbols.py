"""Which contract an instrument id stands for: from a file's own metadata, or from what lies beside it.

Ids are the exchange's and are used again; a mapping holds between two UTC dates. An outright ES contract is known by
its raw symbol; spreads print near 50 points and must never reach a bar.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import numpy as np

from raypipe.errors import SourceError
from raypipe.sources.databento import Header, Interval
from raypipe.sources.databento_bytes import WholeBytes

__all__ = ["Meaning", "Symbology", "is_outright", "is_root", "likely_outrights", "read_definitions", "read_symbology"]

OUTRIGHT = re.compile(r"ES[HMUZ]\d{1,2}")
#: A spread, or any other instrument that is made of ES outrights.
_COMPOUND = re.compile(r"ES[HMUZ]\d{1,2}-ES[HMUZ]\d{1,2}|ES:.*|UD:.*ES.*")
#: How far an outright's median price may be from that of the most traded one, and how much of its volume another
#: instrument may have before the choice is not clear.
_NEAR, _RIVAL = 0.20, 0.5


@dataclass(frozen=True, slots=True)
class Meaning:
    """The symbol of an id, and from when until when (ns UTC, end exclusive) it holds."""

    symbol: str
    start_ns: int
    end_ns: int


@dataclass(frozen=True, slots=True)
class Symbology:
    """Symbols by instrument id; intervals in no particular order."""

    by_id: Mapping[int, tuple[Interval, ...]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.by_id)

    @property
    def symbols(self) -> frozenset[str]:
        """Every symbol that it knows."""
        return frozenset(interval.symbol for intervals in self.by_id.values() for interval in intervals)

    def meaning(self, number: int, ts_ns: int) -> Meaning | None:
        """What an id stands for at a moment; None if it is not known."""
        for interval in self.by_id.get(number, ()):
            start, end = _ns(interval.start), _ns(interval.end)
            if start <= ts_ns < end:
                return Meaning(interval.symbol, start, end)
        return None

    @classmethod
    def of_header(cls, header: Header) -> Symbology:
        """The mappings in a file's metadata, whichever way they map."""
        pairs = [
            (i.symbol, Interval(i.start, i.end, symbol)) if header.stype_out == "instrument_id" else (symbol, i)
            for symbol, intervals in header.mappings.items()
            for i in intervals
        ]
        return cls.of_pairs(pairs)

    @classmethod
    def of_pairs(cls, pairs: Iterable[tuple[str, Interval]]) -> Symbology:
        """From (id as text, interval) pairs; what is no id, and what is no raw symbol, is passed over."""
        found: dict[int, list[Interval]] = defaultdict(list)
        for number, interval in pairs:
            # ES.FUT and ES.c.0 name what was asked for, not what an id is.
            if number.isdecimal() and "." not in interval.symbol:
                found[int(number)].append(interval)
        return cls({number: tuple(intervals) for number, intervals in found.items()})


def _ns(date: dt.date) -> int:
    return (date - dt.date(1970, 1, 1)).days * 86_400 * 10**9


def is_outright(symbol: str) -> bool:
    """Whether a raw symbol is an outright ES contract.

    Examples
    --------
    >>> is_outright("ESU4"), is_outright("ESU4-ESZ4"), is_outright("ESTX")
    (True, False, False)
    """
    return OUTRIGHT.fullmatch(symbol) is not None


def is_root(symbol: str) -> bool:
    """Whether a raw symbol is ES, outright or made of it."""
    return is_outright(symbol) or _COMPOUND.fullmatch(symbol) is not None


def read_symbology(data: bytes, name: str) -> Symbology:
    """Read the vendor's ``symbology.json``.

    Raises
    ------
    SourceError
        If it is not that.
    """
    try:
        raw = json.loads(data)
        by_id = raw.get("stype_in") == "instrument_id"
        pairs = []
        for symbol, intervals in raw["result"].items():
            for each in intervals:
                other = str(each["s"] if "s" in each else each["i"])
                span = dt.date.fromisoformat(each["d0"]), dt.date.fromisoformat(each["d1"])
                number, meant = (symbol, other) if by_id else (other, symbol)
                pairs.append((number, Interval(*span, meant)))
        return Symbology.of_pairs(pairs)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        msg = f"not a symbology.json of the vendor ({type(error).__name__}: {error})"
        raise SourceError(msg, hint="fetch it again, or take it away", file=name) from None


def read_definitions(raw: BinaryIO, name: str) -> Symbology:
    """Read the symbols of a ``definition`` file; each holds from its date on, until the file's end.

    Raises
    ------
    SourceError
        If the vendor's library cannot read it.
    """
    from databento_dbn import DBNDecoder, InstrumentDefMsg

    try:
        decoder = DBNDecoder()
        decoder.write(_inflated(raw, name))
        rows: list[Any] = [row for row in decoder.decode() if isinstance(row, InstrumentDefMsg)]
    except (KeyboardInterrupt, SystemExit, SourceError):
        raise
    except BaseException as error:  # noqa: BLE001 - the library's PanicException is not an Exception
        msg = f"the definitions cannot be read ({type(error).__name__}: {error})"
        raise SourceError(msg, hint="fetch them again", file=name) from None
    first, last = dt.date(1971, 1, 1), dt.date(2200, 1, 1)
    return Symbology.of_pairs((str(row.instrument_id), Interval(first, last, str(row.raw_symbol))) for row in rows)


def _inflated(raw: BinaryIO, name: str) -> bytes:
    source, parts = WholeBytes(raw, name), list[bytes]()
    buffer = memoryview(bytearray(1 << 20))
    while got := source.readinto(buffer):
        parts.append(bytes(buffer[:got]))
    source.finish()
    return b"".join(parts)


def likely_outrights(prices: Mapping[int, np.ndarray], lots: Mapping[int, int], name: str) -> set[int]:
    """Tell outrights from spreads where there is no symbology: by the median price.

    Parameters
    ----------
    prices
        Prices of each id, a sample, (n,).
    lots
        Traded lots of each id.
    name
        The file's name, for the error.

    Returns
    -------
    The ids whose median price is within 20 % of that of the most traded one.

    Raises
    ------
    SourceError
        If another id that is not near it trades half as much: which of them is the outright cannot be said.
    """
    medians = {number: float(np.median(found)) for number, found in prices.items() if len(found)}
    most = max(medians, key=lambda number: (lots.get(number, 0), medians[number], -number), default=None)
    if most is None:
        return set()
    near = {number for number, price in medians.items() if abs(price - medians[most]) <= _NEAR * abs(medians[most])}
    rivals = [n for n in medians if n not in near and lots.get(n, 0) >= max(_RIVAL * lots.get(most, 0), 1)]
    if rivals:
        msg = f"no symbology, and instruments {most} and {rivals[0]} trade alike at prices that are not"
        raise SourceError(msg, hint="put symbology.json or a definition file beside it", file=name)
    return near
