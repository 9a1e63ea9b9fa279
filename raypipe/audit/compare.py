"""Two versions of the same rows held against each other, to the last bit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["NO_ROW", "Fault", "Paired", "differing"]

#: What stands for the value of a row that one side does not have.
NO_ROW = "(no row)"
#: How many rows, and of the first one its key, its value, and what that became.
Fault: TypeAlias = tuple[int, dict[str, Any], Any, Any]
_SEPARATOR = "\x1f"


class Paired:
    """The rows of two tables beside each other.

    Parameters
    ----------
    key
        Columns that name a row; unique in each table. Without any, rows are named by their place.
    before, after
        The tables; equal schemas.

    Attributes
    ----------
    rows, others
        Rows of each with equal keys, by number, in order of the first; int64.
    missing, extra
        Rows of the first, and of the second, that the other does not have; int64.
    """

    def __init__(self, key: tuple[str, ...], before: pa.Table, after: pa.Table) -> None:
        self._key, self._before, self._after = key, before, after
        self.rows, self.others = _matches(key, before, after)
        self.missing = np.setdiff1d(np.arange(before.num_rows), self.rows)
        self.extra = np.setdiff1d(np.arange(after.num_rows), self.others)
        whole = len(self.rows) == before.num_rows == after.num_rows
        aligned = whole and bool((self.rows == self.others).all())
        self._changed: dict[str, np.ndarray] = {}
        self._left = before if aligned else before.take(self.rows)
        self._right = after if aligned else after.take(self.others)

    def changed(self, column: str) -> np.ndarray:
        """Which pairs differ in a column, bool (pairs,)."""
        if column not in self._changed:
            self._changed[column] = differing(self._left[column], self._right[column])
        return self._changed[column]

    def unequal(self, column: str, where: np.ndarray | bool = True) -> Iterator[Fault]:
        """How many pairs differ in a column, of those given, with key and values of the first; nothing if none does."""
        bad = np.flatnonzero(self.changed(column) & where)
        if len(bad):
            first = int(bad[0])
            values = self._left[column][first].as_py(), self._right[column][first].as_py()
            yield len(bad), self._named(self._left, first), *values

    def lonely(self, column: str, missing: np.ndarray, extra: np.ndarray) -> Iterator[Fault]:
        """The same of rows that only the first table, or only the second, has."""
        for rows, at, values in ((self._before, missing, (0, 1)), (self._after, extra, (1, 0))):
            if len(at):
                both = (rows[column][int(at[0])].as_py(), NO_ROW)
                yield len(at), self._named(rows, int(at[0])), both[values[0]], both[values[1]]

    def _named(self, rows: pa.Table, row: int) -> dict[str, Any]:
        return {name: rows[name][row].as_py() for name in self._key}


def _matches(key: tuple[str, ...], before: pa.Table, after: pa.Table) -> tuple[np.ndarray, np.ndarray]:
    if before.num_rows == after.num_rows and not any(differing(before[name], after[name]).any() for name in key):
        rows = np.arange(before.num_rows)
        return rows, rows
    if not key:
        # Rows in the vendor's order: what is cut off stood at the end.
        rows = np.arange(min(before.num_rows, after.num_rows))
        return rows, rows
    place = pc.index_in(_words(key, before), value_set=_words(key, after)).fill_null(-1).to_numpy().astype(np.int64)
    rows = np.flatnonzero(place >= 0)
    return rows, place[rows]


def _words(key: tuple[str, ...], rows: pa.Table) -> pa.Array:
    """Each row's key as one text."""
    words = pc.binary_join_element_wise(*(rows[name].cast(pa.string()) for name in key), _SEPARATOR)
    return words.combine_chunks()


def differing(left: pa.ChunkedArray, right: pa.ChunkedArray) -> np.ndarray:
    """Which values differ, bool (rows,): nulls equal nulls only, and -0.0 is not 0.0."""
    left, right = _plain(left), _plain(right)
    nulls = left.is_null().to_numpy(), right.is_null().to_numpy()
    if pa.types.is_floating(left.type):
        ours, theirs = (_bits(values) for values in (left, right))
        unequal: np.ndarray = ours != theirs
    else:
        unequal = pc.not_equal(left, right).fill_null(False).to_numpy()
    found: np.ndarray = (unequal & ~nulls[0] & ~nulls[1]) | (nulls[0] != nulls[1])
    return found


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.cast(pa.string()) if pa.types.is_dictionary(column.type) else column


def _bits(values: pa.ChunkedArray) -> np.ndarray:
    """Floats as the integers that they are stored as."""
    numbers: np.ndarray = values.fill_null(0.0).to_numpy()
    return numbers.view(np.int64 if numbers.dtype == np.float64 else np.int32)
