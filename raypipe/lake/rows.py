"""Rows on their way into a file: checked as a stream, brought into one canonical form, cut into groups."""

from __future__ import annotations

from bisect import bisect_left

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raypipe.errors import SchemaError
from raypipe.schema.frames import check_table
from raypipe.schema.spec import Table

__all__ = ["GROUP_ROWS", "GROUP_ROWS_BY_VALUE", "RowsCheck", "canonical", "canonical_table", "group_end"]

#: Most rows of a row group; groups end at symbol borders where the table is sorted by symbol.
GROUP_ROWS = 262_144
#: Most rows of a row group that holds one value: what such a table's writer and readers keep in memory.
GROUP_ROWS_BY_VALUE = 131_072


class RowsCheck:
    """Checks the rows of one partition as they pass: schema, nulls, NaN, key order, membership.

    Attributes
    ----------
    rows
        Rows that passed so far.
    """

    def __init__(self, table: Table, partition: str) -> None:
        self.rows = 0
        self._table, self._partition = table, partition
        self._last: pa.Table | None = None

    def add(self, data: pa.Table) -> pa.Table:
        """Check rows that follow those before, and return them with the declared schema's metadata.

        Raises
        ------
        SchemaError
            With table, partition, column and the row counted from the first one added.
        """
        try:
            check_table(self._table, data, partition=self._partition)
            plain = pa.Table.from_arrays(data.columns, schema=self._table.arrow)
            if self._last is not None:
                border = pa.concat_tables([self._last, plain.slice(0, 1)])
                check_table(self._table, border, partition=self._partition)
        except SchemaError as error:
            row = error.values.get("row")
            values = error.values if row is None else {**error.values, "row": row + self.rows}
            raise SchemaError(error.message, hint=error.hint, **values) from None
        _check_membership(self._table, self._partition, plain)
        if plain.num_rows:
            self._last = plain.slice(plain.num_rows - 1)
            self.rows += plain.num_rows
        return plain


def _check_membership(table: Table, partition: str, data: pa.Table) -> None:
    column = table.split_column
    if column not in table or data.num_rows == 0:
        return
    if table.grain == "symbol":
        present = canonical(data[column]).dictionary.to_pylist()
    else:
        present = [date.isoformat() for date in pc.min_max(data[column]).as_py().values()]
    strange = [value for value in present if value != partition]
    if strange:
        msg = f"rows of {strange[0]} do not belong here"
        raise SchemaError(msg, table=table.name, partition=partition, column=column)


def group_end(table: Table, rows: pa.Table) -> int:
    """Where the first row group ends; the number of rows if more may belong to it."""
    count: int = rows.num_rows
    if table.group_by and count:
        column = rows[table.group_by]
        others: int = pc.index(pc.not_equal(column, column[0]), True).as_py()
        return min(count if others < 0 else others, GROUP_ROWS_BY_VALUE)
    if count <= GROUP_ROWS:
        return count
    if table.key[:1] != ("symbol",):
        return GROUP_ROWS
    symbols = rows["symbol"]
    following = symbols[GROUP_ROWS].as_py()
    # Rows are sorted, so some twenty looks find the border; code points order as bytes do.
    border: int = bisect_left(range(GROUP_ROWS), following, key=lambda i: symbols[i].as_py())
    return border or GROUP_ROWS


def canonical_table(table: Table, rows: pa.Table) -> pa.Table:
    """The same rows in one chunk per column, dictionaries canonical."""
    columns = [canonical(c) if pa.types.is_dictionary(c.type) else _one_chunk(c) for c in rows.columns]
    return pa.Table.from_arrays(columns, schema=table.arrow)


def canonical(column: pa.ChunkedArray) -> pa.DictionaryArray:
    """The same values over a dictionary of just the values in use, sorted bytewise.

    Otherwise the bytes of a file would tell how its dictionary came about.
    """
    if any(chunk.dictionary.null_count for chunk in column.chunks):
        column = column.cast(pa.string()).dictionary_encode()
    array = _one_chunk(column)
    null = array.is_null().to_numpy(zero_copy_only=False) if array.null_count else None
    codes = (array.indices if null is None else array.indices.fill_null(0)).to_numpy()
    used = _used(codes if null is None else codes[~null], len(array.dictionary))
    names, remap = _sorted_names(array.dictionary, used)
    return pa.DictionaryArray.from_arrays(pa.array(remap.take(codes), pa.int32(), mask=null), names)


def _used(codes: np.ndarray, size: int) -> np.ndarray:
    runs = np.flatnonzero(codes[1:] != codes[:-1]) + 1  # few in sorted columns, and cheaper to mark than rows
    used = np.zeros(size, dtype=bool)
    used[codes[runs]] = True
    used[codes[:1]] = True
    return used


def _sorted_names(dictionary: pa.Array, used: np.ndarray) -> tuple[pa.Array, np.ndarray]:
    """Distinct used values, sorted bytewise, and for each old code its new one (0 where unused)."""
    names = dictionary.filter(pa.array(used))
    if pc.all(pc.less(names.slice(0, max(len(names) - 1, 0)), names.slice(1))).as_py() is not False:
        remap = np.cumsum(used, dtype=np.int32) - np.int32(1)
        return names, np.append(np.maximum(remap, 0), np.int32(0))
    names = pc.unique(names)
    names = names.take(pc.sort_indices(names.cast(pa.binary())))
    remap = pc.index_in(dictionary, value_set=names).fill_null(0).to_numpy(zero_copy_only=False)
    return names, remap.astype(np.int32)


def _one_chunk(column: pa.ChunkedArray) -> pa.Array:
    if column.num_chunks == 1:
        return column.chunk(0)
    return pa.concat_arrays(column.unify_dictionaries().chunks) if column.num_chunks else pa.array([], column.type)
