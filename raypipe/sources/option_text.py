"""The flat file of option prints: csv.gz to columns, in pieces, whatever its size.

A full-market file has hundreds of megabytes of text, so a large one is inflated and read piece by piece. Lines that the
fast parser hands back go through ``pyarrow.csv``; what is no print then is set aside.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from raypipe.errors import SourceError
from raypipe.kernels.occ import HEAD_BYTES, PrintField, PrintStatus, Scanned, contract_of, scan_prints
from raypipe.sources.gzipped import MAGIC, MAX_RATIO, Members, inflate, not_gzip
from raypipe.sources.option_prints import QUARANTINE, ROOT, UNKNOWN, OptionFile, Prints, Wanted

__all__ = ["read_text"]

_FIELDS = {
    "ticker": PrintField.SYMBOL,
    "symbol": PrintField.SYMBOL,
    "conditions": PrintField.CONDITIONS,
    "correction": PrintField.CORRECTION,
    "exchange": PrintField.EXCHANGE,
    "price": PrintField.PRICE,
    "sip_timestamp": PrintField.SIP_NS,
    "participant_timestamp": PrintField.PARTICIPANT_NS,
    "size": PrintField.SIZE,
    "sequence_number": PrintField.SEQUENCE,
}
_REQUIRED = ("ticker", "conditions", "correction", "exchange", "price", "sip_timestamp", "size")
#: Compressed bytes of the largest file that is inflated at once, by the faster library.
_AT_ONCE_BYTES = 16 << 20
_READ_BYTES = 256 << 10
_PIECE_BYTES = 4 << 20
_HEADER_CAP = 4096
_WHY = {
    PrintStatus.TOO_FEW_FIELDS: "the line has fewer fields than the header",
    PrintStatus.TOO_MANY_FIELDS: "the line has more fields than the header",
    PrintStatus.LINE_TOO_LONG: "the line is longer than any row can be",
    PrintStatus.TRUNCATED: "the file ends in the middle of a row",
    PrintStatus.QUOTES: "a quote does not enclose its field",
}
_SYMBOL = rf"\A{ROOT}(?P<expiry>\d{{6}})(?P<right>[CP])(?P<strike>\d{{8}})\z"
_REAL = r"\A[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?\z"
_INTEGER = r"\A(\d{1,18}|[1-8]\d{18})(\.0*)?\z"


def read_text(file: OptionFile, wanted: Wanted) -> tuple[Prints, pa.Table, tuple[str, ...]]:
    """Read the prints of some expiries.

    Parameters
    ----------
    file
        A csv.gz.
    wanted
        Which expiries; times are not looked at.

    Returns
    -------
    prints
        In the order of the file; row numbers count the header as 1.
    refused
        Lines of ours that cannot be read, rows of `QUARANTINE`.
    extra
        Columns that raypipe does not know; they are passed over.

    Raises
    ------
    SourceError
        If the file is not whole gzip, its header lacks a column, or a line is broken; with row and offset.
    """
    header: _Header | None = None
    parts: list[Prints] = []
    refused = [QUARANTINE.empty_table()]
    row = 2
    offset = 0
    for text, first in _pieces(file):
        start = first
        if header is None:
            header = _Header.of(text, first, file.name)
            start = first + header.length
            offset = header.length
        found = scan_prints(text, start, len(text), header.layout, ROOT.encode(), wanted.codes)
        if found.status != PrintStatus.OK:
            where = {"row": row + found.lines, "offset": offset + found.error_offset - start}
            raise SourceError(_WHY[PrintStatus(found.status)], hint="fetch the file again", file=file.name, **where)
        parts.append(_plain(found, row))
        if len(found.odd):
            odd, broken = _odd(text, found, header, row, file.name)
            parts.append(odd)
            refused.append(broken)
        row += found.lines
        offset += len(text) - start
    if header is None:
        header = _Header.of(np.empty(0, np.uint8), 0, file.name)
    prints = Prints.joined(parts) if parts else Prints.none()
    if len(prints) and (np.diff(prints.row) < 0).any():
        prints = prints.take(np.argsort(prints.row, kind="stable"))
    return prints, pa.concat_tables(refused), header.extra


# --- the text, piece by piece ------------------------------------------------------------------


def _pieces(file: OptionFile) -> Iterator[tuple[np.ndarray, int]]:
    """Whole lines as arrays, and where they start in them."""
    with file.open() as stream:
        data = stream.read(_AT_ONCE_BYTES + 1)
        if len(data) <= _AT_ONCE_BYTES:
            yield from _cut(np.frombuffer(inflate(data, file.name), np.uint8))
        else:
            yield from _streamed(file.name, data, stream)


def _cut(text: np.ndarray) -> Iterator[tuple[np.ndarray, int]]:
    """A text in pieces that stay in the cache, cut behind line ends."""
    start = 0
    while start < len(text):
        stop = min(start + _PIECE_BYTES, len(text))
        ends = np.flatnonzero(text[max(start, stop - _HEADER_CAP) : stop] == ord("\n"))
        if stop < len(text) and len(ends):
            stop = max(start, stop - _HEADER_CAP) + int(ends[-1]) + 1
        yield text[:stop], start
        start = stop


def _streamed(name: str, first: bytes, stream: BinaryIO) -> Iterator[tuple[np.ndarray, int]]:
    """A large file, inflated as it is read: memory does not grow with it."""
    if not first.startswith(MAGIC):
        raise not_gzip(first, name)
    text = bytearray(HEAD_BYTES)
    members = Members(name, text.extend)
    read, inflated = 0, 0
    for block in _blocks(first, stream):
        held = len(text)
        members.feed(block, read)
        read, inflated = read + len(block), inflated + len(text) - held
        if inflated > MAX_RATIO * max(read, _READ_BYTES):
            msg = f"inflates to more than {MAX_RATIO} times its size"
            raise SourceError(msg, hint="no market data grows like this; look at the object", file=name, offset=read)
        end = text.rfind(b"\n") + 1
        if len(text) >= _PIECE_BYTES and end > HEAD_BYTES:
            yield np.frombuffer(bytes(memoryview(text)[:end]), np.uint8), HEAD_BYTES
            text[HEAD_BYTES:end] = b""
    members.finish(read)
    if len(text) > HEAD_BYTES:
        yield np.frombuffer(bytes(text), np.uint8), HEAD_BYTES


def _blocks(first: bytes, stream: BinaryIO) -> Iterator[bytes]:
    for at in range(0, len(first), _READ_BYTES):
        yield first[at : at + _READ_BYTES]
    while block := stream.read(_READ_BYTES):
        yield block


@dataclass(frozen=True, slots=True)
class _Header:
    """What the first line says."""

    names: tuple[str, ...]
    length: int

    @classmethod
    def of(cls, text: np.ndarray, start: int, file: str) -> _Header:
        line, _, _ = text[start : start + _HEADER_CAP].tobytes().partition(b"\n")
        names = tuple(line.decode("utf-8", errors="replace").rstrip("\r").split(","))
        found = [_FIELDS[name] for name in names if name in _FIELDS]
        missing = [name for name in _REQUIRED if _FIELDS[name] not in found]
        twice = sorted({field.name.lower() for field in found if found.count(field) > 1})
        if missing or twice:
            msg = (
                f"the header differs: missing {missing}, repeated {twice}; it has {[name[:40] for name in names[:12]]}"
            )
            raise SourceError(msg, hint=f"expected {','.join(_REQUIRED)}", file=file, row=1)
        return cls(names, len(line) + 1)

    @property
    def layout(self) -> list[int]:
        return [int(_FIELDS.get(name, PrintField.IGNORED)) for name in self.names]

    @property
    def extra(self) -> tuple[str, ...]:
        return tuple(name for name in self.names if name not in _FIELDS)


# --- lines -------------------------------------------------------------------------------------


def _plain(found: Scanned, row: int) -> Prints:
    columns = found.columns
    return Prints(
        contract=columns.contract,
        ts_ns=columns.ts_ns,
        sequence=columns.sequence,
        price=columns.price,
        size=columns.size,
        exchange=columns.exchange,
        correction=columns.correction,
        conditions=columns.conditions,
        vendor=np.full(len(columns.price), UNKNOWN, np.int8),
        row=columns.line + row,
        texts=tuple(text.decode() for text in found.conditions),
    )


def _odd(text: np.ndarray, found: Scanned, header: _Header, row: int, file: str) -> tuple[Prints, pa.Table]:
    """The lines that the fast parser handed back: prints, and what cannot be one."""
    lines = [text[begin:end].tobytes().rstrip(b"\r\n") for begin, end, _ in found.odd.tolist()]
    table = _strings(lines, header, file, row)
    numbers = {name: _numbers(table[name], _INTEGER, np.int64(-1)) for name in _INTEGERS}
    price, price_ok = _numbers(table["price"], _REAL, np.float64("nan"))
    match = pc.extract_regex(table["ticker"], _SYMBOL)
    known = match.is_valid().to_numpy(zero_copy_only=False)
    contract = np.zeros(len(lines), np.int64)
    contract[known] = _contracts(match.filter(pa.array(known)))
    rows = found.odd[:, 2] + row
    readable = known & price_ok & np.logical_and.reduce([ok for _, ok in numbers.values()])
    sip, participant = numbers["sip_timestamp"][0], numbers["participant_timestamp"][0]
    texts = table["conditions"].dictionary_encode()
    empty = [i for i, name in enumerate(texts.dictionary.to_pylist()) if not name]
    codes = texts.indices.to_numpy().astype(np.int32)
    prints = Prints(
        contract=contract,
        ts_ns=np.where(sip > 0, sip, participant),
        sequence=numbers["sequence_number"][0],
        price=price,
        size=np.where(numbers["size"][0] < 0, 0, numbers["size"][0]),
        exchange=numbers["exchange"][0],
        correction=np.maximum(numbers["correction"][0], 0),
        conditions=np.where(np.isin(codes, empty), np.int32(-1), codes),
        vendor=np.full(len(lines), UNKNOWN, np.int8),
        row=rows,
        texts=tuple(texts.dictionary.to_pylist()),
    )
    broken = _broken(lines, rows, table["ticker"], known, ~readable, file)
    return prints.take(readable), broken


_INTEGERS = ("correction", "exchange", "sip_timestamp", "participant_timestamp", "size", "sequence_number")


def _strings(lines: list[bytes], header: _Header, file: str, row: int) -> dict[str, pa.Array]:
    """The lines by the vendor's names, all as text; columns that the file lacks are empty."""
    types = {name: pa.string() for name in header.names}
    convert = pyarrow.csv.ConvertOptions(column_types=types, null_values=[], strings_can_be_null=False)
    read = pyarrow.csv.ReadOptions(column_names=list(header.names), use_threads=False)
    blob = io.BytesIO(b"\n".join(line.decode("utf-8", errors="replace").encode() for line in lines) + b"\n")
    try:
        table = pyarrow.csv.read_csv(blob, read_options=read, convert_options=convert)
    except pa.ArrowInvalid as error:
        msg = f"not a row: {str(error)[:300]}"
        raise SourceError(msg, hint="fetch the file again", file=file, row=row) from None
    by_field = {_FIELDS[name]: table[name].combine_chunks() for name in header.names if name in _FIELDS}
    none = pa.array([""] * len(lines), pa.string())
    names = {_FIELDS[name]: name for name in _FIELDS if name != "symbol"}
    return {name: _whole(by_field.get(field, none)) for field, name in names.items()}


def _whole(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return array.chunk(0) if isinstance(array, pa.ChunkedArray) else array


def _numbers(text: pa.Array, pattern: str, missing: np.generic) -> tuple[np.ndarray, np.ndarray]:
    """Values where the text is a number, ``missing`` where it is empty, and whether it is one of both."""
    there = pc.match_substring_regex(text, pattern)
    plain = pc.replace_substring_regex(text, r"\.0*\z", "") if pattern is _INTEGER else text
    values = pc.if_else(there, plain, None).cast(pa.from_numpy_dtype(missing.dtype))
    ok = pc.or_(there, pc.equal(text, "")).to_numpy(zero_copy_only=False)
    return values.fill_null(pa.scalar(missing.item())).to_numpy(zero_copy_only=False), ok


def _contracts(match: pa.StructArray) -> np.ndarray:
    expiry, strike, right = (pc.struct_field(match, name) for name in ("expiry", "strike", "right"))
    days, strikes = (column.cast(pa.int64()).to_numpy() for column in (expiry, strike))
    return contract_of(days, strikes, pc.equal(right, "P").to_numpy(zero_copy_only=False))


def _broken(
    lines: list[bytes], rows: np.ndarray, symbols: pa.Array, known: np.ndarray, bad: np.ndarray, file: str
) -> pa.Table:
    n = int(bad.sum())
    mask = pa.array(bad)
    columns = {
        "reason": pa.array(np.where(known, "unreadable", "symbol")[bad].tolist(), pa.string()),
        "file": pa.array([file] * n, pa.string()),
        "row": pa.array(rows[bad]),
        "option_symbol": symbols.filter(mask),
        "ts_event_ns": pa.nulls(n, pa.int64()),
        "price": pa.nulls(n, pa.float64()),
        "size": pa.nulls(n, pa.int64()),
        "text": pa.array([lines[i].decode("utf-8", errors="replace")[:400] for i in np.flatnonzero(bad)], pa.string()),
    }
    return pa.table(columns, schema=QUARANTINE)
