"""Option prints as other programs write them to Parquet: one file, or the many parts of a folder."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from raypipe.errors import SourceError
from raypipe.kernels.occ import contract_of
from raypipe.sources.option_prints import (
    QUARANTINE,
    ROOT,
    UNKNOWN,
    OptionFile,
    Prints,
    Wanted,
    expiry_code,
    names_of,
    refused_rows,
)

__all__ = ["parquet_range_ns", "read_parquet"]

_REQUIRED = ("ts_event_ns", "exp_date", "strike", "right", "price", "size")
_OPTIONAL = ("underlying", "option_symbol", "seq", "aggressor", "conditions", "exchange")
_UNDERLYING = ROOT.removeprefix("O:")
_SIDES = {"BUY": 1, "B": 1, "1": 1, "+1": 1, "SELL": -1, "S": -1, "-1": -1, "MID": 0, "0": 0}
_RIGHTS = {"C": 0, "P": 1, "CALL": 0, "PUT": 1}
_NO_STRIKE = 2**31 - 1
#: How far strike x 1000 may lie from a whole number.
_GRID = 1e-6
_NO_NAME = -2
#: Times outside 2000-2100 are in another unit: those rows are read, so that the file is refused.
_PLAUSIBLE = (946_684_800_000_000_000, 4_102_444_800_000_000_000)


def parquet_range_ns(file: OptionFile) -> tuple[int, int] | None:
    """First and last time of a file by its statistics; None if it has none, and then it must be read to be known.

    Raises
    ------
    SourceError
        If it is no Parquet file of option prints.
    """
    with file.open() as stream:
        ranges = _ranges(_opened(file, stream))
    known = [one for one in ranges if one is not None]
    if not known or len(known) < len(ranges):
        return None
    return min(first for first, _ in known), max(last for _, last in known)


def read_parquet(file: OptionFile, wanted: Wanted) -> tuple[Prints, pa.Table, tuple[str, ...]]:
    """Read the prints of a session and some expiries.

    Parameters
    ----------
    file
        A Parquet file with ``ts_event_ns, exp_date, strike, right, price, size``; optional are ``underlying``,
        ``option_symbol``, ``seq``, ``aggressor``, ``conditions`` and ``exchange``.
    wanted
        Which times and expiries; all others are another partition's.

    Returns
    -------
    prints
        In the order of the file.
    refused
        Rows that name no contract, or two, as rows of `QUARANTINE`.
    extra
        Always empty: other columns are what vendors add.

    Raises
    ------
    SourceError
        If it cannot be read, lacks a column, or has one of another type.
    """
    with file.open() as stream:
        reader = _opened(file, stream)
        names = [name for name in (*_REQUIRED, *_OPTIONAL) if name in reader.schema_arrow.names]
        groups, rows = _groups(reader, wanted)
        try:
            table = reader.read_row_groups(groups, names, use_threads=False)
        except (OSError, pa.ArrowException) as error:
            raise _unreadable(file, error) from None
    table = _of_session(table.append_column("_row", pa.array(rows)), file, wanted)
    prints, problems = _prints(table, file)
    bad = np.flatnonzero(problems != "")
    refused = (
        refused_rows(prints.take(bad), problems[bad].tolist(), file.name) if len(bad) else QUARANTINE.empty_table()
    )
    return prints.take(problems == ""), refused, ()


def _ranges(reader: pq.ParquetFile) -> list[tuple[int, int] | None]:
    """First and last time of each row group, by its statistics; None where it has none."""
    meta = reader.metadata
    column = [meta.schema.column(i).name for i in range(meta.num_columns)].index("ts_event_ns")
    found = [meta.row_group(group).column(column).statistics for group in range(meta.num_row_groups)]
    return [
        (_as_ns(s.min), _as_ns(s.max)) if s is not None and s.has_min_max and not s.null_count else None for s in found
    ]


def _groups(reader: pq.ParquetFile, wanted: Wanted) -> tuple[list[int], np.ndarray]:
    """Row groups that may hold prints of the session, and the numbers of their rows in the file."""
    sizes = [reader.metadata.row_group(group).num_rows for group in range(reader.metadata.num_row_groups)]
    starts = np.cumsum([0, *sizes])
    groups = [
        group
        for group, span in enumerate(_ranges(reader))
        if span is None
        or (span[1] >= wanted.first_ns and span[0] < wanted.end_ns)
        or not _PLAUSIBLE[0] <= span[0] < _PLAUSIBLE[1]
    ]
    rows = [np.arange(starts[group], starts[group + 1]) for group in groups]
    return groups, np.concatenate([np.empty(0, np.int64), *rows])


def _opened(file: OptionFile, stream: Any) -> pq.ParquetFile:
    try:
        reader = pq.ParquetFile(stream, page_checksum_verification=True)
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(file, error) from None
    schema = reader.schema_arrow
    missing = [name for name in _REQUIRED if name not in schema.names]
    wrong = [
        f"{name} is {schema.field(name).type}"
        for name in (*_REQUIRED, *_OPTIONAL)
        if name in schema.names and not _is_plain(schema.field(name).type)
    ]
    if missing or wrong:
        msg = f"not a file of option prints: missing {missing}, of a wrong type {wrong}"
        raise SourceError(msg, hint=f"expected the columns {', '.join(_REQUIRED)}", file=file.name)
    return reader


def _is_plain(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _is_plain(kind.value_type)
    of = pa.types
    checks = (of.is_integer, of.is_floating, of.is_string, of.is_large_string, of.is_date, of.is_timestamp, of.is_null)
    return any(check(kind) for check in checks)


def _unreadable(file: OptionFile, error: Exception) -> SourceError:
    msg = f"not a readable Parquet file: {str(error)[:300]}"
    return SourceError(msg, hint="write or fetch it again", file=file.name)


def _as_ns(value: Any) -> int:
    if isinstance(value, dt.datetime):
        whole = value if value.tzinfo else value.replace(tzinfo=dt.UTC)
        return int(whole.timestamp()) * 10**9 + whole.microsecond * 1000
    return int(value)


# --- columns -----------------------------------------------------------------------------------


def _of_session(table: pa.Table, file: OptionFile, wanted: Wanted) -> pa.Table:
    """Rows of the session's time, of our underlying, and of the expiries; a row without a time stays, to be refused."""
    ts_ns = _times(table["ts_event_ns"])
    strange = (ts_ns < _PLAUSIBLE[0]) | (ts_ns >= _PLAUSIBLE[1])
    keep = ((ts_ns >= wanted.first_ns) & (ts_ns < wanted.end_ns)) | strange
    if "underlying" in table.column_names:
        keep &= pc.equal(_text(table["underlying"]), _UNDERLYING).fill_null(False).to_numpy(zero_copy_only=False)
    expiry = _expiries(table["exp_date"], file)
    keep &= np.isin(expiry, [*wanted.codes, -1])
    at = ["ts_event_ns", "exp_date"]
    kept = table.drop_columns(at).append_column("ts_ns", pa.array(ts_ns)).append_column("expiry", pa.array(expiry))
    return kept.filter(pa.array(keep))


def _times(column: pa.ChunkedArray) -> np.ndarray:
    """Nanoseconds, -1 where null."""
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("ns", column.type.tz))
    times: np.ndarray = column.cast(pa.int64()).fill_null(-1).to_numpy()
    return times


def _text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.cast(pa.string())


def _expiries(column: pa.ChunkedArray, file: OptionFile) -> np.ndarray:
    """The yymmdd of each row as a number; -1 where there is no date."""
    encoded = column.combine_chunks()
    encoded = encoded.chunk(0) if isinstance(encoded, pa.ChunkedArray) else encoded
    encoded = encoded if pa.types.is_dictionary(encoded.type) else encoded.dictionary_encode()
    codes = [_expiry(value, file) for value in encoded.dictionary.to_pylist()]
    found: np.ndarray = np.array([*codes, -1], np.int64)[encoded.indices.fill_null(len(codes)).to_numpy()]
    return found


def _expiry(value: Any, file: OptionFile) -> int:
    if isinstance(value, dt.datetime):
        return expiry_code(value.date())
    if isinstance(value, dt.date):
        return expiry_code(value)
    if isinstance(value, str):
        try:
            return expiry_code(dt.date.fromisoformat(value))
        except ValueError:
            return -1
    if value is None:
        return -1
    msg = f"an expiry is {value!r}, which is no date"
    raise SourceError(msg, hint="exp_date is a date, or text as YYYY-MM-DD", file=file.name, column="exp_date")


def _prints(table: pa.Table, file: OptionFile) -> tuple[Prints, np.ndarray]:
    """Every row as a print, and what is wrong with its contract (an empty text if nothing is)."""
    n = table.num_rows
    strike = _reals(table["strike"]) * 1000.0
    on_grid = np.isfinite(strike) & (strike >= 0.0) & (strike < _NO_STRIKE) & (abs(strike - np.rint(strike)) < _GRID)
    right = _mapped(table["right"], _RIGHTS, -1)
    expiry = table["expiry"].to_numpy()
    sound = on_grid & (right >= 0) & (expiry > 0)
    strike_e3 = np.where(on_grid, np.rint(np.where(on_grid, strike, 0.0)), 0.0).astype(np.int64)
    contract = contract_of(np.maximum(expiry, 0), strike_e3, right == 1)
    sound &= _names_agree(table, contract)
    conditions, texts = _conditions(table)
    vendor = _mapped(table["aggressor"], _SIDES, UNKNOWN) if "aggressor" in table.column_names else None
    size = _reals(table["size"])
    prints = Prints(
        contract=contract,
        ts_ns=table["ts_ns"].to_numpy(),
        sequence=_integers(table, "seq", file),
        price=_reals(table["price"]),
        size=np.where((size > 0) & (size == np.rint(size)), size, 0.0).astype(np.int64),
        exchange=_integers(table, "exchange", file),
        correction=np.zeros(n, np.int64),
        conditions=conditions,
        vendor=np.full(n, UNKNOWN, np.int8) if vendor is None else vendor.astype(np.int8),
        row=table["_row"].to_numpy(),
        texts=texts,
    )
    return prints, np.where(sound, "", "symbol").astype(object)


def _reals(column: pa.ChunkedArray) -> np.ndarray:
    values: np.ndarray = column.cast(pa.float64()).to_numpy()
    return values


def _integers(table: pa.Table, name: str, file: OptionFile) -> np.ndarray:
    """An optional column, -1 where it has nothing."""
    if name not in table.column_names:
        return np.full(table.num_rows, -1, np.int64)
    try:
        values: np.ndarray = table[name].cast(pa.int64()).fill_null(-1).to_numpy()
    except pa.ArrowInvalid as error:
        msg = f"a column of integers holds something else: {str(error)[:200]}"
        raise SourceError(msg, hint="write it as int64", file=file.name, column=name) from None
    return values


def _mapped(column: pa.ChunkedArray, meaning: dict[str, int], other: int) -> np.ndarray:
    """What the words of a column mean, whatever their case; ``other`` where they mean nothing."""
    encoded = _text(column).combine_chunks()
    encoded = (encoded.chunk(0) if isinstance(encoded, pa.ChunkedArray) else encoded).dictionary_encode()
    words = [
        meaning.get(word.strip().upper().removeprefix("AGGRESSOR."), other) for word in encoded.dictionary.to_pylist()
    ]
    found: np.ndarray = np.array([*words, other], np.int64)[encoded.indices.fill_null(len(words)).to_numpy()]
    return found


def _conditions(table: pa.Table) -> tuple[np.ndarray, tuple[str, ...]]:
    if "conditions" not in table.column_names:
        return np.full(table.num_rows, -1, np.int32), ()
    encoded = _text(table["conditions"]).combine_chunks()
    encoded = (encoded.chunk(0) if isinstance(encoded, pa.ChunkedArray) else encoded).dictionary_encode()
    texts = encoded.dictionary.to_pylist()
    codes = np.array([*(i if text else -1 for i, text in enumerate(texts)), -1], np.int32)
    return codes[encoded.indices.fill_null(len(texts)).to_numpy()], tuple(texts)


def _names_agree(table: pa.Table, contract: np.ndarray) -> np.ndarray:
    """Whether the symbol, where there is one, names the contract of the other columns."""
    agree = np.ones(table.num_rows, dtype=bool)
    if "option_symbol" not in table.column_names or not table.num_rows:
        return agree
    given = _text(table["option_symbol"]).combine_chunks()
    given = (given.chunk(0) if isinstance(given, pa.ChunkedArray) else given).dictionary_encode()
    distinct, of_row = np.unique(contract, return_inverse=True)
    expected = {name.removeprefix("O:"): code for code, name in enumerate(names_of(distinct))}
    words = [(word or "").replace(" ", "").removeprefix("O:") for word in given.dictionary.to_pylist()]
    codes = np.array([*(expected.get(word, -1) for word in words), _NO_NAME], np.int64)
    named = codes[given.indices.fill_null(len(words)).to_numpy()]
    agree[:] = (named == of_row) | (named == _NO_NAME)
    return agree
