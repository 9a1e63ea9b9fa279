"""Which columns of a partition hold nulls, or one value only: noted while it is written.

Footers cannot tell it afterwards: floats, which most columns are, have no statistics there, because they would make
every write slower and every footer larger. Rows that pass by anyway cost 5 microseconds a column.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["ColumnNote", "ColumnNotes"]

_TEXT_LENGTH = 64
#: So many rows are looked at before all are.
_START = 64


class ColumnNote(NamedTuple):
    """A column of a partition that has nulls, or no two different values.

    Attributes
    ----------
    name, nulls
        The column, and how many of its values are null.
    constant
        Whether its values, nulls aside, are all the same; so are those of a column that is null throughout.
    value
        That value as text, long ones cut and told apart by a hash; empty if there is none.
    """

    name: str
    nulls: int
    constant: bool
    value: str = ""


class ColumnNotes:
    """Takes the row groups of a partition one by one."""

    def __init__(self) -> None:
        self._nulls: dict[str, int] = {}
        self._only: dict[str, pa.Scalar | None] = {}

    def add(self, group: pa.Table) -> None:
        """Note some rows."""
        if not group.num_rows:
            return
        if not self._nulls:
            self._nulls = dict.fromkeys(group.column_names, 0)
            self._only = dict.fromkeys(group.column_names)
        for name, column in zip(group.column_names, group.columns, strict=True):
            nulls = column.null_count
            self._nulls[name] += nulls
            if name in self._only and nulls < len(column):
                self._compare(name, column)

    def _compare(self, name: str, column: pa.ChunkedArray) -> None:
        """Strike a column off the list of constant ones when a second value turns up."""
        only = _only_value(column)
        known = self._only[name]
        if only is None or (known is not None and not known.equals(only)):
            del self._only[name]
        else:
            self._only[name] = only

    def found(self) -> tuple[ColumnNote, ...]:
        """What there is to say, in the order of the columns; nothing about columns without nulls whose values vary."""
        return tuple(
            ColumnNote(name, nulls, name in self._only, _text(self._only.get(name)))
            for name, nulls in self._nulls.items()
            if nulls or name in self._only
        )


def _only_value(column: pa.ChunkedArray) -> pa.Scalar | None:
    """The one value of a column that has any, or None if there are more; most show it at both ends or at the start."""
    first, last = column[0], column[-1]
    if first.is_valid and last.is_valid and first.as_py() != last.as_py():
        return None
    if len(_different(column.slice(0, _START))) > 1:
        return None
    values = _different(column)
    return values[0] if len(values) == 1 else None


def _different(column: pa.ChunkedArray) -> pa.Array:
    plain = column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column
    return pc.unique(plain.drop_null() if plain.null_count else plain)


def _text(value: pa.Scalar | None) -> str:
    text = "" if value is None else str(value.as_py())
    if len(text) <= _TEXT_LENGTH:
        return text
    return f"{text[: _TEXT_LENGTH - 9]} {hashlib.sha256(text.encode()).hexdigest()[:8]}"
