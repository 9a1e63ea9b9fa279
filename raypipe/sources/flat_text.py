"""The text of a flat file as columns: by the fast parser block by block, or by ``pyarrow.csv`` as a whole.

Both give equal rows. The fast parser refuses what it does not expect; then, and when rows must be sorted, the
whole file is read at once.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from raypipe.errors import SourceError
from raypipe.kernels.csv import Block, Columns, Field, Status, line_number, parse_blocks
from raypipe.schema.frames import dictionary_array

__all__ = ["Rows", "Text", "read_header", "read_rows", "scan_blocks"]

#: Vendor's column names, and the others that are accepted for them.
_FIELDS = {
    "ticker": Field.SYMBOL,
    "symbol": Field.SYMBOL,
    "volume": Field.VOLUME,
    "open": Field.OPEN,
    "close": Field.CLOSE,
    "high": Field.HIGH,
    "low": Field.LOW,
    "window_start": Field.WINDOW_START,
    "timestamp": Field.WINDOW_START,
    "t": Field.WINDOW_START,
    "transactions": Field.TRANSACTIONS,
}
_REQUIRED = tuple(field for field in Field if field not in (Field.IGNORED, Field.TRANSACTIONS))
_VENDOR_HEADER = ("ticker", "volume", "open", "close", "high", "low", "window_start", "transactions")
_ARROW_TYPES = {
    Field.SYMBOL: pa.dictionary(pa.int32(), pa.string()),
    Field.WINDOW_START: pa.int64(),
    Field.TRANSACTIONS: pa.int32(),
    Field.IGNORED: pa.string(),
}
_BLOCK_ROWS = 131_072
_HEADER_CAP = 4096
_CSV_BLOCK_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class Text:
    """An inflated file and what its header says.

    Attributes
    ----------
    name
        For errors.
    data
        Every byte, header included.
    header
        Column names as written.
    start
        Offset of the first row.
    extra
        Columns that raypipe does not know; they are passed over.
    """

    name: str
    data: bytes | bytearray
    header: tuple[str, ...]
    start: int
    extra: tuple[str, ...]

    @property
    def layout(self) -> list[int]:
        """One `Field` per column."""
        return [int(_FIELDS.get(name, Field.IGNORED)) for name in self.header]

    @property
    def has_transactions(self) -> bool:
        """Whether the file counts trades."""
        return "transactions" in self.header


def read_header(data: bytes | bytearray, name: str, *, allow_extra: bool) -> Text:
    """Read the first line.

    Raises
    ------
    SourceError
        If a column is missing, repeated, or (unless allowed) unknown; the message is the difference.
    """
    line, _, _ = data[:_HEADER_CAP].partition(b"\n")
    header = tuple(line.decode("utf-8", errors="replace").rstrip("\r").split(","))
    found = [_FIELDS[column] for column in header if column in _FIELDS]
    missing = [field.name.lower() for field in _REQUIRED if field not in found]
    extra = tuple(column for column in header if column not in _FIELDS)
    twice = sorted({field.name.lower() for field in found if found.count(field) > 1})
    if missing or twice or (extra and not allow_extra):
        msg = f"the header differs: missing {missing}, repeated {twice}, unknown {[c[:40] for c in extra[:10]]}"
        hint = f"expected {','.join(_VENDOR_HEADER)}; extra_columns: warn passes over others"
        raise SourceError(msg, hint=hint, file=name, row=1)
    return Text(name, data, header, len(line) + 1, extra)


@dataclass(frozen=True, slots=True)
class Rows:
    """Consecutive rows of a file, as columns.

    Attributes
    ----------
    names
        Distinct symbols, a string array; sorted bytewise if `ascending`.
    codes
        Per row its symbol, int32 into ``names``.
    lines
        Per row its line in the file, int64; the header is line 1.
    window_start_ns, open, high, low, close, volume
        int64 and float64.
    transactions
        int32, or None where the file has no such column.
    ascending
        Whether rows are strictly sorted by symbol and time, also against earlier blocks.
    """

    names: pa.StringArray
    codes: np.ndarray
    lines: np.ndarray
    window_start_ns: np.ndarray
    open: np.ndarray
    high: np.ndarray
    low: np.ndarray
    close: np.ndarray
    volume: np.ndarray
    transactions: np.ndarray | None
    ascending: bool

    def __len__(self) -> int:
        return len(self.codes)

    def take(self, at: np.ndarray) -> Rows:
        """The rows at some positions, in that order."""
        columns = ("codes", "lines", "window_start_ns", "open", "high", "low", "close", "volume")
        taken = {name: getattr(self, name)[at] for name in columns}
        return replace(self, **taken, transactions=None if self.transactions is None else self.transactions[at])

    @property
    def distinct(self) -> int:
        """How many symbols have a row."""
        return int(np.count_nonzero(np.bincount(self.codes, minlength=1)))

    def equal_to_previous(self) -> np.ndarray:
        """For each row but the first, whether all its values equal those of the row before. Shape (rows - 1,)."""
        columns = [self.open, self.high, self.low, self.close, self.volume]
        columns += [] if self.transactions is None else [self.transactions]
        equal: np.ndarray = np.logical_and.reduce([column[1:] == column[:-1] for column in columns])
        return equal

    def symbols(self) -> list[str]:
        """The symbol of each row; for a few rows."""
        return list(self.names.take(pa.array(self.codes)).to_pylist())

    def symbol_column(self) -> pa.DictionaryArray:
        """The symbols as a dictionary that holds just those in use."""
        return dictionary_array(self.codes, self.names)

    def to_quarantine(self, reasons: Sequence[str]) -> pa.Table:
        """The rows as they were read, with line and reason; values may be NaN here."""
        n = len(self)
        values = {name: pa.array(getattr(self, name)) for name in ("open", "high", "low", "close", "volume")}
        return pa.table(
            {
                "reason": pa.array(reasons, pa.string()),
                "line": pa.array(self.lines),
                "symbol": pa.array(self.symbols(), pa.string()),
                "window_start_ns": pa.array(self.window_start_ns),
                **values,
                "transactions": pa.nulls(n, pa.int32()) if self.transactions is None else pa.array(self.transactions),
            }
        )


# --- the fast path -----------------------------------------------------------------------------


def scan_blocks(text: Text) -> Iterator[Rows]:
    """Parse block by block, cut at symbol borders.

    A block that the fast parser refuses ends the scan with rows that are not `ascending`, so that the caller reads
    the file as a whole.

    Raises
    ------
    SourceError
        If the file is broken for any parser: a line cut short, too long, or with other fields than the header.
    """
    array = np.frombuffer(text.data, np.uint8)
    line = 2
    for columns, block in parse_blocks(array, text.start, text.layout, _BLOCK_ROWS):
        if Status(block.status).is_final:
            raise _broken(text, array, block)
        refused = Status(block.status).is_refusal
        if block.rows or refused:
            yield _rows(text, columns, block, line, ascending=not refused)
        line += block.rows


def _rows(text: Text, columns: Columns, block: Block, line: int, *, ascending: bool) -> Rows:
    names = _strings(np.frombuffer(text.data, np.uint8), columns.symbol_start, columns.symbol_end)
    lengths = np.diff(columns.first_row, append=block.rows)
    return Rows(
        names=names,
        codes=np.repeat(np.arange(len(names), dtype=np.int32), lengths),
        lines=np.arange(line, line + block.rows),
        window_start_ns=columns.window_start_ns,
        open=columns.values[0],
        high=columns.values[1],
        low=columns.values[2],
        close=columns.values[3],
        volume=columns.values[4],
        transactions=columns.transactions if text.has_transactions else None,
        ascending=ascending and block.symbols_ascend and block.times_ascend,
    )


def _strings(text: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> pa.StringArray:
    """Pieces of printable ASCII as strings. A Python string for each made day files twice as slow."""
    lengths = ends - starts
    offsets = np.zeros(len(starts) + 1, dtype=np.int32)
    np.cumsum(lengths, out=offsets[1:])
    at = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], lengths)
    return pa.StringArray.from_buffers(len(starts), pa.py_buffer(offsets), pa.py_buffer(text[at]))


def _broken(text: Text, array: np.ndarray, block: Block) -> SourceError:
    reasons = {
        Status.TOO_FEW_FIELDS: "the line has fewer fields than the header",
        Status.TOO_MANY_FIELDS: "the line has more fields than the header",
        Status.LINE_TOO_LONG: "the line is longer than any row can be",
        Status.TRUNCATED: "the file ends in the middle of a row",
    }
    msg = f"{reasons[Status(block.status)]} (byte {block.error_offset:,} of {len(text.data):,})"
    row = line_number(array, block.error_offset)
    return SourceError(msg, hint="fetch the file again", file=text.name, row=row, offset=block.error_offset)


# --- the whole file ----------------------------------------------------------------------------


def read_rows(text: Text) -> Rows:
    """Read every row, by the fast parser if it takes them all, else by ``pyarrow.csv``.

    Raises
    ------
    SourceError
        If neither can read the file.
    """
    blocks = []
    array = np.frombuffer(text.data, np.uint8)
    line = 2
    for columns, block in parse_blocks(array, text.start, text.layout, _BLOCK_ROWS):
        status = Status(block.status)
        if status.is_final:
            raise _broken(text, array, block)
        if status.is_refusal:
            return _read_with_arrow(text)
        blocks.append(_rows(text, columns, block, line, ascending=True))
        line += block.rows
    return _joined(blocks)


def _joined(blocks: list[Rows]) -> Rows:
    """All blocks as one, on one sorted list of names."""
    runs = pa.concat_arrays([block.names for block in blocks])
    offsets = np.cumsum([0, *(len(block.names) for block in blocks)])[:-1]
    codes = [block.codes + np.int32(offset) for block, offset in zip(blocks, offsets, strict=True)]
    first = blocks[0]
    return _ranked(
        runs,
        np.concatenate(codes),
        {
            name: np.concatenate([getattr(block, name) for block in blocks])
            for name in ("lines", "window_start_ns", "open", "high", "low", "close", "volume")
        },
        None
        if first.transactions is None
        else np.concatenate([b.transactions for b in blocks if b.transactions is not None]),
    )


def _ranked(
    names: pa.StringArray, codes: np.ndarray, columns: dict[str, np.ndarray], transactions: np.ndarray | None
) -> Rows:
    """Rows whose codes are ranks of the distinct names."""
    coded = names.dictionary_encode()
    distinct = coded.dictionary.take(pc.sort_indices(coded.dictionary.cast(pa.binary())))
    rank_of = pc.index_in(names, value_set=distinct).to_numpy(zero_copy_only=False).astype(np.int32)
    ranks = rank_of[codes]
    starts = columns["window_start_ns"]
    later = (ranks[1:] > ranks[:-1]) | ((ranks[1:] == ranks[:-1]) & (starts[1:] > starts[:-1]))
    return Rows(names=distinct, codes=ranks, **columns, transactions=transactions, ascending=bool(later.all()))


def _read_with_arrow(text: Text) -> Rows:
    fields = {name: _FIELDS.get(name, Field.IGNORED) for name in text.header}
    convert = pyarrow.csv.ConvertOptions(
        column_types={name: _ARROW_TYPES.get(field, pa.float64()) for name, field in fields.items()},
        null_values=[],
        strings_can_be_null=False,
        auto_dict_encode=False,
    )
    read = pyarrow.csv.ReadOptions(use_threads=False, block_size=_CSV_BLOCK_BYTES)
    try:
        table = pyarrow.csv.read_csv(io.BytesIO(text.data), read_options=read, convert_options=convert)
    except pa.ArrowInvalid as error:
        msg = f"not a number or not a row: {str(error)[:300]}"
        raise SourceError(msg, hint="fetch the file again, or mend the row", file=text.name) from None
    by_field = {field: table[name].combine_chunks() for name, field in fields.items()}
    symbols = by_field[Field.SYMBOL]
    names = ("open", "high", "low", "close", "volume", "window_start")
    columns = {name: by_field[Field[name.upper()]].to_numpy(zero_copy_only=False) for name in names}
    columns["window_start_ns"] = columns.pop("window_start")
    columns["lines"] = np.arange(2, 2 + table.num_rows)
    transactions = by_field[Field.TRANSACTIONS].to_numpy() if text.has_transactions else None
    return _ranked(symbols.dictionary, symbols.indices.to_numpy(), columns, transactions)
