"""Option prints as columns, however they were delivered: what the readers of text and of Parquet both give."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa

__all__ = ["QUARANTINE", "ROOT", "UNKNOWN", "OptionFile", "Prints", "Wanted", "expiry_code", "names_of", "refused_rows"]

#: The underlying with the prefix that symbols of options carry.
ROOT = "O:SPY"
#: In `Prints.vendor`: the vendor does not say who the aggressor was.
UNKNOWN = 2

#: Rows set aside: reason, where they stand, and what was read of them.
QUARANTINE = pa.schema(
    [
        ("reason", pa.string()),
        ("file", pa.string()),
        ("row", pa.int64()),
        ("option_symbol", pa.string()),
        ("ts_event_ns", pa.int64()),
        ("price", pa.float64()),
        ("size", pa.int64()),
        ("text", pa.string()),
    ]
)


@dataclass(frozen=True, slots=True)
class OptionFile:
    """A file of option prints.

    Attributes
    ----------
    name
        For messages; what it ends in says what it is: ``.csv.gz`` or ``.parquet``.
    open
        Opens it for reading bytes, from the start.
    """

    name: str
    open: Callable[[], BinaryIO]

    @classmethod
    def at(cls, path: Path) -> OptionFile:
        """The file at a local path."""
        return cls(str(path), lambda: path.open("rb"))


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which prints are looked for.

    Attributes
    ----------
    first_ns, end_ns
        Prints in [first, end) belong to the session.
    expiries
        Expiries that count, in order.
    """

    first_ns: int
    end_ns: int
    expiries: tuple[dt.date, ...]

    @property
    def codes(self) -> list[int]:
        """The expiries as they stand in symbols: yymmdd as numbers."""
        return [expiry_code(date) for date in self.expiries]


def expiry_code(date: dt.date) -> int:
    """The yymmdd of a symbol as a number.

    Examples
    --------
    >>> expiry_code(dt.date(2025, 12, 16))
    251216
    """
    return (date.year % 100) * 10_000 + date.month * 100 + date.day


def names_of(contracts: np.ndarray) -> list[str]:
    """Symbols of contracts, as `raypipe.kernels.occ.contract_of` numbers them.

    Examples
    --------
    >>> names_of(np.array([(251216 << 32) | (600_000 << 1) | 1]))
    ['O:SPY251216P00600000']
    """
    return [
        f"{ROOT}{code >> 32:06d}{'CP'[code & 1]}{(code >> 1) & 0x7FFF_FFFF:08d}"
        for code in contracts.astype(np.int64).tolist()
    ]


@dataclass(frozen=True, slots=True)
class Prints:
    """Prints in the order of their file, one element each.

    Attributes
    ----------
    contract
        Number of the contract (`raypipe.kernels.occ.contract_of`), int64.
    ts_ns
        Nanoseconds UTC; -1 where the file has no time. int64.
    sequence, exchange
        int64; -1 where the file has none.
    price
        usd, float64; NaN where the file has none.
    size, correction
        int64.
    conditions
        Code of the text, int32; -1 where there is none.
    vendor
        The vendor's aggressor: 1, -1, 0 or `UNKNOWN`; int8.
    row
        Row in the file, int64; a text's header is row 1, a Parquet file's first row is row 0.
    texts
        Conditions by code.
    """

    contract: np.ndarray
    ts_ns: np.ndarray
    sequence: np.ndarray
    price: np.ndarray
    size: np.ndarray
    exchange: np.ndarray
    correction: np.ndarray
    conditions: np.ndarray
    vendor: np.ndarray
    row: np.ndarray
    texts: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.contract)

    def take(self, at: np.ndarray) -> Prints:
        """The prints at some positions (or where a mask is true), in that order."""
        return _made({name: getattr(self, name)[at] for name in _ARRAYS}, self.texts)

    def same_as(self, other: Prints) -> bool:
        """Whether both hold the same prints in the same order."""
        names = ("contract", "ts_ns", "sequence", "price", "size")
        return all(np.array_equal(getattr(self, name), getattr(other, name), equal_nan=True) for name in names)

    @classmethod
    def joined(cls, parts: Sequence[Prints]) -> Prints:
        """Several as one, on one list of conditions."""
        if len(parts) == 1:
            return parts[0]
        known: dict[str, int] = {}
        recoded = []
        for part in parts:
            codes = [known.setdefault(text, len(known)) for text in part.texts]
            recoded.append(np.array([*codes, -1], np.int32)[part.conditions])
        arrays = {name: np.concatenate([getattr(part, name) for part in parts]) for name in _ARRAYS}
        arrays["conditions"] = np.concatenate(recoded)
        return _made(arrays, tuple(known))

    @classmethod
    def none(cls) -> Prints:
        """No prints."""
        kinds = {"price": np.float64, "conditions": np.int32, "vendor": np.int8}
        return _made({name: np.empty(0, kinds.get(name, np.int64)) for name in _ARRAYS}, ())


_ARRAYS = tuple(field.name for field in fields(Prints) if field.name != "texts")


def _made(arrays: Mapping[str, np.ndarray], texts: tuple[str, ...]) -> Prints:
    return Prints(**arrays, texts=texts)


def refused_rows(prints: Prints, reasons: Sequence[str], file: str) -> pa.Table:
    """Prints as rows of the quarantine."""
    n = len(prints)
    columns = {
        "reason": pa.array(reasons, pa.string()),
        "file": pa.array([file] * n, pa.string()),
        "row": pa.array(prints.row),
        "option_symbol": pa.array(names_of(prints.contract), pa.string()),
        "ts_event_ns": pa.array(prints.ts_ns),
        "price": pa.array(prints.price),
        "size": pa.array(prints.size),
        "text": pa.nulls(n, pa.string()),
    }
    return pa.table(columns, schema=QUARANTINE)
