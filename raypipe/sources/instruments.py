"""Corporate files of the vendor: share splits, and the list of symbols with their types.

They come as CSV, JSON lines or Parquet (the first two also gzipped), told by the name's suffix, with the
vendor's column names. Columns that are not needed are passed over.
"""

from __future__ import annotations

import csv
import datetime as dt
import gzip
import io
import zlib
from collections.abc import Callable, Sequence
from typing import NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raypipe.calendar import calendar, parse_session
from raypipe.errors import SourceError, UsageError
from raypipe.schema.family import Finding
from raypipe.schema.frames import date_array, floats, ranks
from raypipe.schema.tables import REFERENCE, SPLITS

__all__ = ["NO_SNAPSHOT_DATE", "inflated", "read_reference", "read_splits"]

#: Snapshot date of a reference file that has no ``as_of`` column: older than any session.
NO_SNAPSHOT_DATE = dt.date(1970, 1, 1)
_ALIASES = {"ticker": "symbol"}
_NUMBER = r"^\+?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?$"
_LONGEST_CLOSURE = dt.timedelta(days=14)

_Columns = dict[str, pa.Array]


def read_splits(data: bytes, name: str, noted: list[Finding] | None = None) -> pa.Table:
    """Share splits from the vendor's ``ticker, execution_date, split_from, split_to``.

    An ex-date on which the exchange was closed moves to the next session. Rows given twice count once.

    Parameters
    ----------
    data
        The file's bytes.
    name
        Its name, for the suffix and for errors.
    noted
        Receives what the user should know: repeated rows, dates before the calendar begins.

    Returns
    -------
    pa.Table
        Of the schema `bronze/splits`, sorted by symbol and ex-session.

    Raises
    ------
    SourceError
        Naming the row (1 = the first below the header): for a missing column, a value that cannot be
        read, a ratio that is not above 0, two splits of one symbol on one ex-session.

    Examples
    --------
    >>> text = b"ticker,execution_date,split_from,split_to" + bytes([10]) + b"AAPL,2014-06-09,1,7"
    >>> read_splits(text, "splits.csv").to_pylist()
    [{'symbol': 'AAPL', 'ex_session': datetime.date(2014, 6, 9), 'split_ratio': 7.0}]
    """
    raw = _load(data, name, ("ticker", "execution_date", "split_from", "split_to"))
    symbols, dates = _texts(raw["ticker"], name, "ticker"), _dates(raw["execution_date"], name, "execution_date")
    ratios = _ratios(raw, name)
    ex_sessions, known = _ex_sessions(dates, name)
    kept = _without_repeats(symbols, dates, ratios, noted)
    kept = kept[known[kept]]
    _note(noted, "split_before_calendar", "splits before the calendar begins were passed over", int((~known).sum()))
    order = _sorted_by(kept, (_codes(symbols), ex_sessions))
    _refuse_equal(order, (_codes(symbols), ex_sessions), name, "two splits of {} on one ex-session", symbols)
    return SPLITS.build(
        {
            "symbol": symbols.take(pa.array(order)).dictionary_encode(),
            "ex_session": pa.array(ex_sessions[order]).view(pa.date32()),
            "split_ratio": pa.array(ratios[order]),
        }
    )


def read_reference(data: bytes, name: str, noted: list[Finding] | None = None) -> pa.Table:
    """Symbols and their types from the vendor's ``ticker, type`` and, where there is one, ``as_of``.

    Rows given twice count once; rows without a type are passed over, so that spelling decides.

    Parameters
    ----------
    data, name, noted
        As for `read_splits`.

    Returns
    -------
    pa.Table
        Of the schema `bronze/reference`, sorted by snapshot date and symbol.

    Raises
    ------
    SourceError
        Naming the row: for a missing column, a value that cannot be read, two types of one symbol in one
        snapshot.
    """
    raw = _load(data, name, ("ticker", "type"), optional=("as_of",))
    symbols, types = _texts(raw["ticker"], name, "ticker"), raw["type"].cast(pa.string()).fill_null("")
    dates = _dates(raw["as_of"], name, "as_of") if "as_of" in raw else _days(date_array(NO_SNAPSHOT_DATE, len(symbols)))
    kept = _without_repeats(symbols, dates, _codes(types), noted)
    typed = np.asarray(pc.not_equal(types, ""))
    _note(noted, "reference_without_type", "reference rows without a type were passed over", int((~typed).sum()))
    order = _sorted_by(kept[typed[kept]], (dates, _codes(symbols)))
    _refuse_equal(order, (dates, _codes(symbols)), name, "two types of {} in one snapshot", symbols)
    return REFERENCE.build(
        {
            "as_of": pa.array(dates[order]).view(pa.date32()),
            "symbol": symbols.take(pa.array(order)).dictionary_encode(),
            "type": types.take(pa.array(order)).dictionary_encode(),
        }
    )


# --- formats -----------------------------------------------------------------------------------


def _load(data: bytes, name: str, wanted: Sequence[str], optional: Sequence[str] = ()) -> _Columns:
    """The wanted columns, one array each."""
    plain, suffix = inflated(data, name), name.lower().removesuffix(".gz").rpartition(".")[2]
    readers: dict[str, Callable[[bytes, Sequence[str]], pa.Table]] = {
        "csv": _read_csv,
        "jsonl": _read_json_lines,
        "ndjson": _read_json_lines,
        "parquet": _read_parquet,
    }
    if suffix not in readers:
        msg = f"the suffix .{suffix} says nothing about the format"
        raise SourceError(msg, hint="give a .csv, .jsonl or .parquet file", file=name)
    aliases = [_ALIASES[column] for column in wanted if column in _ALIASES]
    try:
        table = readers[suffix](plain, [*wanted, *optional, *aliases])
    except (pa.ArrowInvalid, pa.ArrowKeyError, OSError, UnicodeDecodeError) as error:
        msg = f"cannot be read as {suffix}: {error}"
        raise SourceError(msg, file=name) from error
    found = {column: table[column].combine_chunks() for column in table.column_names}
    found |= {column: found[other] for column, other in _ALIASES.items() if other in found and column not in found}
    missing = [column for column in wanted if column not in found]
    if missing:
        msg = f"column {missing[0]!r} is missing"
        raise SourceError(msg, hint=f"the file needs {', '.join(wanted)}", file=name, column=missing[0])
    return found


def inflated(data: bytes, name: str) -> bytes:
    """The bytes of a file, inflated if its name says that it is gzipped."""
    if not name.lower().endswith(".gz"):
        return data
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        msg = f"is not whole gzip data: {error}"
        raise SourceError(msg, hint="fetch the file again", file=name) from error


def _read_csv(data: bytes, columns: Sequence[str]) -> pa.Table:
    """As text throughout: a symbol may be called NA, TRUE or 1."""
    from pyarrow import csv as arrow_csv

    text = data.removeprefix(b"\xef\xbb\xbf")
    header = next(csv.reader(io.StringIO(text.partition(b"\n")[0].decode())), [])
    present = [column for column in columns if column in header]
    if not present:
        return pa.table({})
    return arrow_csv.read_csv(
        pa.BufferReader(text),
        read_options=arrow_csv.ReadOptions(use_threads=False),
        convert_options=arrow_csv.ConvertOptions(
            include_columns=present, column_types=dict.fromkeys(present, pa.string()), strings_can_be_null=False
        ),
    )


def _read_json_lines(data: bytes, columns: Sequence[str]) -> pa.Table:
    from pyarrow import json as arrow_json

    if not data.strip():
        return pa.table({})
    # Without a stated type, dates would be taken for timestamps.
    types = {column: pa.float64() if column.startswith("split_") else pa.string() for column in columns}
    options = arrow_json.ParseOptions(explicit_schema=pa.schema(types), unexpected_field_behavior="ignore")
    table = arrow_json.read_json(pa.BufferReader(data), arrow_json.ReadOptions(use_threads=False), options)
    return table.select([c for c in columns if c in table.column_names and table[c].null_count < table.num_rows])


def _read_parquet(data: bytes, columns: Sequence[str]) -> pa.Table:
    import pyarrow.parquet as pq

    file = pq.ParquetFile(pa.BufferReader(data))
    return file.read(columns=[column for column in columns if column in file.schema_arrow.names], use_threads=False)


# --- values ------------------------------------------------------------------------------------


def _refuse(name: str, row: int, column: str, problem: str) -> NoReturn:
    raise SourceError(problem, hint="mend the row, then ingest the file again", file=name, row=row + 1, column=column)


def _texts(values: pa.Array, name: str, column: str) -> pa.Array:
    texts = values.cast(pa.string()).fill_null("")
    empty = np.asarray(pc.equal(texts, ""))
    if empty.any():
        _refuse(name, int(empty.argmax()), column, "the value is empty")
    return texts


def _numbers(values: pa.Array, name: str, column: str) -> np.ndarray:
    if not (pa.types.is_integer(values.type) or pa.types.is_floating(values.type)):
        texts = pc.utf8_trim_whitespace(values.cast(pa.string()).fill_null(""))
        wrong = ~np.asarray(pc.match_substring_regex(texts, _NUMBER))
        if wrong.any():
            row = int(wrong.argmax())
            _refuse(name, row, column, f"{texts[row].as_py()!r} is not a number")
        values = texts
    return floats(values.cast(pa.float64()))


def _ratios(raw: _Columns, name: str) -> np.ndarray:
    before, after = (_numbers(raw[column], name, column) for column in ("split_from", "split_to"))
    wrong = ~((before > 0) & (after > 0) & np.isfinite(before) & np.isfinite(after))
    if wrong.any():
        row = int(wrong.argmax())
        problem = f"a split of {after[row]:g} for {before[row]:g} is not a ratio above 0"
        _refuse(name, row, "split_to", problem)
    ratios: np.ndarray = after / before
    return ratios


def _dates(values: pa.Array, name: str, column: str) -> np.ndarray:
    """Days since 1970-01-01, int32."""
    if pa.types.is_temporal(values.type):
        dates = values.cast(pa.date32(), safe=False)
        if dates.null_count:
            _refuse(name, int(np.asarray(dates.is_null()).argmax()), column, "the date is missing")
        return _days(dates)
    encoded = values.cast(pa.string()).fill_null("").dictionary_encode()
    codes: np.ndarray = encoded.indices.to_numpy()
    first = np.unique(codes, return_index=True)[1]
    days = [_day(text, name, int(row), column) for text, row in zip(encoded.dictionary.to_pylist(), first, strict=True)]
    rows: np.ndarray = np.array(days, dtype=np.int32)[codes]
    return rows


def _day(text: str, name: str, row: int, column: str) -> int:
    try:
        return (parse_session(text) - NO_SNAPSHOT_DATE).days
    except UsageError:
        _refuse(name, row, column, f"{text!r} is not a date like 2025-01-02")


def _days(dates: pa.Array) -> np.ndarray:
    days: np.ndarray = dates.view(pa.int32()).to_numpy()
    return days


def _codes(texts: pa.Array) -> np.ndarray:
    """Bytewise rank of each text, int32 (rows,)."""
    encoded = texts.dictionary_encode()
    codes: np.ndarray = ranks(encoded.dictionary)[encoded.indices.to_numpy()]
    return codes


def _ex_sessions(days: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
    """The session on or after each date, and whether the calendar reaches back to it."""
    sessions = calendar()
    first = sessions.dates(dt.date.min, dt.date.max)[0]
    distinct, place = np.unique(days, return_inverse=True)
    moved = []
    for day in distinct:
        date = NO_SNAPSHOT_DATE + dt.timedelta(days=int(day))
        near = sessions.dates(date, date + _LONGEST_CLOSURE)
        if not near and date > first:
            _refuse(name, int((days == day).argmax()), "execution_date", f"{date} lies after the end of the calendar")
        moved.append((near[0] - NO_SNAPSHOT_DATE).days if near else 0)
    known = days >= (first - NO_SNAPSHOT_DATE).days
    return np.array(moved, dtype=np.int32)[place], known


# --- repeats and order -------------------------------------------------------------------------


def _without_repeats(
    symbols: pa.Array, dates: np.ndarray, values: np.ndarray, noted: list[Finding] | None
) -> np.ndarray:
    """Rows less those that repeat an earlier one in full."""
    columns = np.rec.fromarrays([_codes(symbols), dates, values])
    _, rows = np.unique(columns, return_index=True)
    _note(noted, "repeated_rows", "rows that repeat an earlier one were passed over", len(symbols) - len(rows))
    return np.sort(rows)


def _sorted_by(rows: np.ndarray, keys: Sequence[np.ndarray]) -> np.ndarray:
    return rows[np.lexsort([key[rows] for key in reversed(keys)])]


def _refuse_equal(order: np.ndarray, keys: Sequence[np.ndarray], name: str, problem: str, symbols: pa.Array) -> None:
    """Refuse two rows of one key; rows are in order of the keys."""
    equal = np.ones(max(len(order) - 1, 0), dtype=bool)
    for key in keys:
        equal &= key[order][1:] == key[order][:-1]
    if equal.any():
        row = int(order[int(equal.argmax()) + 1])
        _refuse(name, row, "ticker", problem.format(symbols[row].as_py()))


def _note(noted: list[Finding] | None, kind: str, message: str, count: int) -> None:
    if noted is not None and count:
        noted.append(Finding(kind, message, count))
