"""Columns of Arrow tables as numpy arrays, and back: the friendly side of the kernels.

Symbols travel as dictionary codes. Codes are ranks in bytewise order of the symbols, so sorting codes
sorts symbols, and comparing codes compares symbols.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raypipe.errors import SchemaError
from raypipe.schema.spec import Table

__all__ = [
    "check_table",
    "codes_of",
    "constant_dictionary",
    "date_array",
    "dictionary_array",
    "floats",
    "nullable",
    "ranks",
    "split_by_symbol",
    "split_table",
]

_EPOCH = dt.date(1970, 1, 1)


def floats(column: pa.ChunkedArray | pa.Array) -> np.ndarray:
    """A numeric column as float64, null as NaN. Shape (rows,)."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    values = array.to_numpy(zero_copy_only=False)
    return np.ascontiguousarray(values, dtype=np.float64)


def nullable(values: np.ndarray, dtype: pa.DataType | None = None, *, null: np.ndarray | None = None) -> pa.Array:
    """An Arrow array of ``values`` with null where not finite (and where ``null`` is true)."""
    mask = ~np.isfinite(values) if values.dtype.kind == "f" else np.zeros(len(values), dtype=bool)
    if null is not None:
        mask = mask | null
    if dtype is not None and values.dtype.kind == "f" and pa.types.is_integer(dtype):
        values = np.where(mask, 0, values)
    return pa.array(values, type=dtype, mask=mask if mask.any() else None)


def ranks(names: pa.Array) -> np.ndarray:
    """Bytewise rank of each of the (distinct) ``names``. Shape (names,), int32."""
    order = pc.sort_indices(names.cast(pa.binary())).to_numpy()
    rank = np.empty(len(order), dtype=np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    return rank


def codes_of(columns: Sequence[pa.ChunkedArray]) -> tuple[pa.Array, list[np.ndarray]]:
    """Put dictionary columns on one shared, bytewise sorted dictionary.

    Returns
    -------
    names
        Distinct values, sorted bytewise.
    codes
        For each column its codes into ``names``, int32.
    """
    flat = [column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column for column in columns]
    parts = [array.chunk(0) if isinstance(array, pa.ChunkedArray) else array for array in flat]
    if len(parts) == 1 and _ascending(parts[0].dictionary):
        return parts[0].dictionary, [parts[0].indices.to_numpy(zero_copy_only=False)]
    pool = pc.unique(pa.chunked_array([part.dictionary for part in parts], type=pa.string()))
    names = pool.take(pc.sort_indices(pool.cast(pa.binary())))
    codes = []
    for part in parts:
        to_shared = pc.index_in(part.dictionary, value_set=names).to_numpy(zero_copy_only=False).astype(np.int32)
        local = part.indices.to_numpy(zero_copy_only=False)
        codes.append(to_shared[local] if len(local) else np.empty(0, dtype=np.int32))
    return names, codes


def _ascending(names: pa.Array) -> bool:
    """Whether names are distinct and sorted bytewise already, as they are in every table of the lake."""
    return names.null_count == 0 and pc.all(pc.less(names[:-1], names[1:])).as_py() is not False


def dictionary_array(codes: np.ndarray, names: pa.Array) -> pa.DictionaryArray:
    """A dictionary column that holds just the names in use, still sorted bytewise."""
    used = np.zeros(len(names), dtype=bool)
    used[codes] = True
    remap = np.cumsum(used, dtype=np.int32) - np.int32(1)
    return pa.DictionaryArray.from_arrays(pa.array(remap[codes], pa.int32()), names.filter(pa.array(used)))


def constant_dictionary(value: str, rows: int) -> pa.DictionaryArray:
    """A dictionary column that repeats one value."""
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, dtype=np.int32)), pa.array([value], pa.string()))


def date_array(date: dt.date, rows: int) -> pa.Array:
    """A date32 column that repeats one date."""
    days = np.full(rows, (date - _EPOCH).days, dtype=np.int32)
    return pa.array(days).view(pa.date32())


def split_table(table: pa.Table, column: str, values: Sequence[dt.date]) -> list[pa.Table]:
    """Cut a table that is sorted by a date column into one slice per value (empty where absent)."""
    days = table[column].combine_chunks().view(pa.int32()).to_numpy(zero_copy_only=False) if table.num_rows else []
    wanted = np.array([(value - _EPOCH).days for value in values])
    lo, hi = np.searchsorted(days, wanted, side="left"), np.searchsorted(days, wanted, side="right")
    return [table.slice(int(a), int(b - a)) for a, b in zip(lo, hi, strict=True)]


def split_by_symbol(table: pa.Table, symbols: Sequence[str]) -> list[pa.Table]:
    """Cut a table that is sorted by its column ``symbol`` into one slice per symbol (empty where absent)."""
    names, (codes,) = codes_of([table["symbol"].unify_dictionaries()])
    ends = {name: i for i, name in enumerate(names.to_pylist())}
    found = []
    for symbol in symbols:
        code = ends.get(symbol, len(names))
        lo, hi = np.searchsorted(codes, code, side="left"), np.searchsorted(codes, code, side="right")
        found.append(table.slice(int(lo), int(hi - lo)))
    return found


def check_table(spec: Table, table: pa.Table, *, partition: str) -> None:
    """Refuse a table that breaks its schema: types, nulls, NaN, order or uniqueness of keys.

    Raises
    ------
    SchemaError
        Naming table, partition, column and the first offending row.
    """
    spec.check_schema(table.schema, partition=partition)
    for column in spec.columns:
        _check_column(spec, column.name, column.nullable, table[column.name], partition)
    _check_keys(spec, table, partition)


def _check_column(spec: Table, name: str, nullable: bool, values: pa.ChunkedArray, partition: str) -> None:
    if values.null_count and not nullable:
        row = pc.index(pc.is_null(values), True).as_py()
        msg = f"{values.null_count} nulls in a column that has none"
        raise SchemaError(msg, table=spec.name, partition=partition, column=name, row=row)
    if pa.types.is_floating(values.type):
        for chunk in values.chunks:
            if _all_finite(chunk):
                continue
            finite = np.isfinite(chunk.drop_null().to_numpy(zero_copy_only=False))
            if not finite.all():
                msg = "NaN or infinity stored; undefined values are null"
                raise SchemaError(msg, table=spec.name, partition=partition, column=name, row=int(np.argmin(finite)))


def _all_finite(chunk: pa.Array) -> bool:
    """Whether every value is finite, those under nulls too: told by one look at the memory."""
    data = chunk.buffers()[1]
    if data is None:
        return True
    values = np.frombuffer(data, chunk.type.to_pandas_dtype(), len(chunk), chunk.offset * chunk.type.byte_width)
    return bool(np.isfinite(values).all())


def _check_keys(spec: Table, table: pa.Table, partition: str) -> None:
    if table.num_rows <= 1 or not spec.key:
        return
    greater = np.zeros(table.num_rows - 1, dtype=bool)
    equal = np.ones(table.num_rows - 1, dtype=bool)
    for name in spec.key:
        values = sortable(table[name])
        greater |= equal & (values[1:] > values[:-1])
        equal &= values[1:] == values[:-1]
    if not greater.all():
        row = int(np.argmin(greater)) + 1
        what = "duplicate key" if equal[row - 1] else "rows are not sorted by key"
        raise SchemaError(what, table=spec.name, partition=partition, column=",".join(spec.key), row=row)


def sortable(column: pa.ChunkedArray) -> np.ndarray[Any, Any]:
    """A key column as integers that sort as its values do (text bytewise)."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        _, (codes,) = codes_of([column.unify_dictionaries()])
        return codes
    if pa.types.is_date32(kind):
        days: np.ndarray = column.combine_chunks().view(pa.int32()).to_numpy(zero_copy_only=False)
        return days
    if pa.types.is_string(kind):
        _, (codes,) = codes_of([column.dictionary_encode()])
        return codes
    values: np.ndarray = column.to_numpy()
    return values
