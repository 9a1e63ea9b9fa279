"""Vendor CSV of bars (day and minute aggregates) to columns, in one pass over the bytes.

The fast path of the reader, and a strict one: it takes plain unsigned numbers whose float64 is provably the nearest one
to the text, and refuses all else with a reason and a byte offset. After a refusal the caller starts over with a general
CSV parser, unless :attr:`Status.is_final` says that none would do better.

:func:`parse_blocks` is the way in; :func:`parse_block` is one step of it. :func:`ohlc_rules` judges what was read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from raypipe.kernels._csv import (
    DECIMAL_CHARS,
    EXACT_MANTISSA,
    HEAD,
    INT32_MAX,
    INT64_MAX,
    INTEGER_CHARS,
    LINE_CAP,
    REFUSED,
    parse,
)
from raypipe.kernels._jit import as_input, kernel

__all__ = [
    "LINE_CAP",
    "Block",
    "Columns",
    "Field",
    "OhlcRule",
    "Status",
    "line_number",
    "ohlc_rules",
    "parse_block",
    "parse_blocks",
]


class Field(IntEnum):
    """What a CSV column holds; a layout is one code per column, in the order of the header."""

    IGNORED = -1
    SYMBOL = 0
    OPEN = 1
    HIGH = 2
    LOW = 3
    CLOSE = 4
    VOLUME = 5
    WINDOW_START = 6
    TRANSACTIONS = 7


class Status(IntEnum):
    """How a block ended."""

    OK = 0  # max_rows or the end of the text was reached
    NEED_ROWS = 1  # one symbol fills the whole block: call again with a larger one
    EMPTY_FIELD = 2
    QUOTE = 3
    BAD_BYTE = 4  # sign, exponent, letter, space, a second point: not a plain number
    TOO_PRECISE = 5  # more digits than a correctly rounded float64 by one division allows
    OVERFLOW = 6  # an integer above the range of its column
    TOO_FEW_FIELDS = 7
    TOO_MANY_FIELDS = 8
    LINE_TOO_LONG = 9
    TRUNCATED = 10  # the text stops without a line end

    @property
    def is_refusal(self) -> bool:
        """Whether a line was refused."""
        return self >= Status.EMPTY_FIELD

    @property
    def is_final(self) -> bool:
        """Whether the file is broken, so that another parser must not be asked."""
        return self >= Status.TOO_FEW_FIELDS


class OhlcRule(IntEnum):
    """What is wrong with a bar: the first of these."""

    OK = 0
    PRICE = 1  # a price is NaN, infinite, zero or negative
    ORDER = 2  # not low <= min(open, close) <= max(open, close) <= high
    VOLUME = 3  # volume is NaN, infinite or negative


class Columns(NamedTuple):
    """Arrays that a block is parsed into, one element per row or per run.

    A run is a series of consecutive rows of one symbol, so that a caller makes one string per run, never one per row.
    """

    values: NDArray[np.float64]
    """Shape (5, rows): open, high, low, close (usd) and volume (shares), each contiguous. Never NaN."""
    window_start_ns: NDArray[np.int64]
    """Start of the bar, as the file states it."""
    transactions: NDArray[np.int32]
    """Trades in the bar; not written if the layout has no such column."""
    symbol_start: NDArray[np.int64]
    """Per run: offset of the symbol's first byte; the bytes are printable ASCII."""
    symbol_end: NDArray[np.int64]
    """Per run: offset behind the symbol's last byte."""
    first_row: NDArray[np.int64]
    """Per run: its first row."""

    @classmethod
    def empty(cls, rows: int) -> Columns:
        """Allocate columns for up to ``rows`` rows and as many runs; untouched memory costs nothing."""
        return cls(
            np.empty((5, rows)),
            np.empty(rows, np.int64),
            np.empty(rows, np.int32),
            np.empty(rows, np.int64),
            np.empty(rows, np.int64),
            np.empty(rows, np.int64),
        )

    def head(self, rows: int, runs: int) -> Columns:
        """Views of the first ``rows`` rows and ``runs`` runs."""
        per_run = (column[:runs] for column in (self.symbol_start, self.symbol_end, self.first_row))
        return Columns(self.values[:, :rows], self.window_start_ns[:rows], self.transactions[:rows], *per_run)


class Block(NamedTuple):
    """What one call of :func:`parse_block` found."""

    rows: int
    """Rows written, whole symbols only; on a refusal the rows before the refused line."""
    runs: int
    """Runs written."""
    next_offset: int
    """Where the next block starts; the end of the text when it is done; on a refusal the refused line."""
    status: int
    """A :class:`Status`."""
    error_offset: int
    """First offending byte; -1 if nothing was refused."""
    symbols_ascend: bool
    """Whether each run's symbol is bytewise greater than the one before."""
    times_ascend: bool
    """Whether ``window_start_ns`` grows strictly within every run."""


# --- the way in -------------------------------------------------------------------------------


def parse_blocks(
    text: NDArray[np.uint8], start: int, layout: ArrayLike, block_rows: int = 65_536
) -> Iterator[tuple[Columns, Block]]:
    r"""Parse a text block by block, cut at symbol borders.

    Parameters
    ----------
    text
        Shape (bytes,), uint8: a whole file, header included.
    start
        Offset of the first line behind the header, at least 8.
    layout
        One :class:`Field` per CSV column, in the order of the header.
    block_rows
        Rows to allocate per block; a symbol with more rows gets a larger block. 65,536 rows are 4 MB of columns, small
        enough for the cache when they are worked on next.

    Yields
    ------
    Columns
        New arrays, cut to the block's rows and runs.
    Block
        ``status`` is OK, or a refusal, after which nothing follows. ``symbols_ascend`` covers the border to the block
        before. NaN handling: none is ever read.

    Examples
    --------
    >>> text = np.frombuffer(b"ticker,volume,open,close,high,low,window_start\nA,10,1.5,2,2.25,1,60\n", np.uint8)
    >>> layout = [Field.SYMBOL, Field.VOLUME, Field.OPEN, Field.CLOSE, Field.HIGH, Field.LOW, Field.WINDOW_START]
    >>> [(columns, block)] = parse_blocks(text, 47, layout)
    >>> block.rows, columns.values[:, 0].tolist(), columns.window_start_ns.tolist()
    (1, [1.5, 2.25, 1.0, 2.0, 10.0], [60])
    """
    text, rows, last_symbol = as_input(text, np.uint8), block_rows, b""
    while start < text.size:
        columns = Columns.empty(rows)
        block = parse_block(text, start, layout, columns, rows)
        if block.status == Status.NEED_ROWS:
            rows *= 2
            continue
        columns = columns.head(block.rows, block.runs)
        if block.runs:
            first, last = (text[columns.symbol_start[k] : columns.symbol_end[k]].tobytes() for k in (0, -1))
            block = block._replace(symbols_ascend=block.symbols_ascend and last_symbol < first)
            last_symbol = last
        yield columns, block
        if block.status != Status.OK:
            return
        start, rows = block.next_offset, block_rows


def parse_block(text: NDArray[np.uint8], start: int, layout: ArrayLike, out: Columns, max_rows: int) -> Block:
    """Parse lines from ``start`` until the end of the text or until ``max_rows`` rows are there.

    A full block is cut back to the start of its last run, as the symbol may go on; the next call reads that run again.

    Parameters
    ----------
    text, layout
        As of :func:`parse_blocks`.
    start
        Offset of a line's first byte, at least 8.
    out
        Columns of at least ``max_rows`` rows; written from row 0 on.
    max_rows
        Rows of the block, at least 1.

    Returns
    -------
    Block
        Offsets are those of ``text``.

    Raises
    ------
    ValueError
        If ``start`` is below 8, ``max_rows`` is not in 1 .. rows of ``out``, or the layout does not have each field at
        most once, symbol and window start among them.
    """
    fields = as_input(layout, np.int8)
    _check_request(start, fields.tolist(), out.window_start_ns.size, max_rows)
    text = as_input(text, np.uint8)
    block = Block(*parse(text, start, fields, out, max_rows))
    if block.status != REFUSED:
        return block
    status, offset = _why(text, block.next_offset, fields.tolist())
    return block._replace(status=status, error_offset=offset)


def _check_request(start: int, layout: list[int], capacity: int, max_rows: int) -> None:
    """The kernel checks no bounds, so a wrong request would write anywhere."""
    named = [Field(code) for code in layout if code != Field.IGNORED]
    if len(set(named)) < len(named) or not {Field.SYMBOL, Field.WINDOW_START} <= set(named):
        msg = f"a layout has each field once, SYMBOL and WINDOW_START among them; got {[field.name for field in named]}"
        raise ValueError(msg)
    if start < HEAD or not 1 <= max_rows <= capacity:
        msg = f"expected start >= {HEAD} and 1 <= max_rows <= {capacity}; got start {start}, max_rows {max_rows}"
        raise ValueError(msg)


def line_number(text: NDArray[np.uint8], offset: int) -> int:
    """Number of the line that holds a byte, the header being line 1."""
    return int(np.count_nonzero(text[:offset] == ord("\n"))) + 1


# --- why a line was refused -------------------------------------------------------------------

_NUMBER = re.compile(rb"[0-9]+(?:\.[0-9]+)?")
_INTEGER = re.compile(rb"[0-9]+")
_NEVER_PLAIN = re.compile(rb"[\x00-\x1f\x80-\xff]")


def _why(text: NDArray[np.uint8], line: int, layout: list[int]) -> tuple[Status, int]:
    """Find the reason and the byte of a refusal. Slow and plain: it runs once per file at most."""
    raw = text[line : line + LINE_CAP + 2].tobytes()
    body, end, _ = raw.partition(b"\n")
    if not end and line + len(raw) == text.size:
        return Status.TRUNCATED, line
    body = body.removesuffix(b"\r")
    if len(body) >= LINE_CAP:
        return Status.LINE_TOO_LONG, line
    if b'"' in body:
        return Status.QUOTE, line + body.index(b'"')
    if other := _NEVER_PLAIN.search(body):
        return Status.BAD_BYTE, line + other.start()
    return _wrong_field(body.split(b","), line, layout)


def _wrong_field(fields: list[bytes], line: int, layout: list[int]) -> tuple[Status, int]:
    offset = line
    for content, code in zip(fields, layout, strict=False):
        status, at = _judge_field(content, code)
        if status != Status.OK:
            return status, offset + at
        offset += len(content) + 1
    too_many = len(fields) > len(layout)
    return (Status.TOO_MANY_FIELDS, offset) if too_many else (Status.TOO_FEW_FIELDS, offset - 1)


def _judge_field(content: bytes, code: int) -> tuple[Status, int]:
    if code == Field.IGNORED:
        return Status.OK, 0
    if not content:
        return Status.EMPTY_FIELD, 0
    if code == Field.SYMBOL:
        return Status.OK, 0
    is_integer = code >= Field.WINDOW_START
    plain = (_INTEGER if is_integer else _NUMBER).match(content)
    if plain is None or plain.end() < len(content):
        return Status.BAD_BYTE, plain.end() if plain else 0
    if is_integer:
        most = INT32_MAX if code == Field.TRANSACTIONS else INT64_MAX
        return (Status.OVERFLOW if len(content) > INTEGER_CHARS or int(content) > most else Status.OK), 0
    is_exact = len(content) <= DECIMAL_CHARS and int(content.replace(b".", b"")) <= EXACT_MANTISSA
    return (Status.OK if is_exact else Status.TOO_PRECISE), 0


# --- checks of bars ---------------------------------------------------------------------------


def ohlc_rules(
    open: ArrayLike, high: ArrayLike, low: ArrayLike, close: ArrayLike, volume: ArrayLike
) -> NDArray[np.uint8]:
    """Judge bars.

    Parameters
    ----------
    open, high, low, close
        Shape (rows,), usd.
    volume
        Shape (rows,), shares.

    Returns
    -------
    numpy.ndarray
        Shape (rows,), uint8: the first :class:`OhlcRule` that a bar breaks, 0 for a sound bar. NaN handling: a NaN
        breaks the rule of its column.

    Examples
    --------
    >>> ohlc_rules([2.0, 2.0, np.nan], [3.0, 1.5, 3.0], [1.0] * 3, [2.0] * 3, [0.0] * 3).tolist()
    [0, 2, 1]
    """
    return _judge_bars(*(as_input(column, np.float64) for column in (open, high, low, close, volume)))


@kernel
def _judge_bars(
    open: NDArray[np.float64],
    high: NDArray[np.float64],
    low: NDArray[np.float64],
    close: NDArray[np.float64],
    volume: NDArray[np.float64],
) -> NDArray[np.uint8]:
    broken = np.empty(open.size, np.uint8)
    for k in range(open.size):
        o, h, lo, c, v = open[k], high[k], low[k], close[k], volume[k]
        # Each rule says what must hold, as comparisons with NaN are false; & instead of `and` lets LLVM take 8 rows at
        # a time, which is 6 times as fast.
        finite = (o < np.inf) & (h < np.inf) & (lo < np.inf) & (c < np.inf)
        price = finite & (o > 0.0) & (h > 0.0) & (lo > 0.0) & (c > 0.0)
        order = (lo <= o) & (lo <= c) & (o <= h) & (c <= h)
        sized = (v >= 0.0) & (v < np.inf)
        broken[k] = 0 if price & order & sized else 3 if price & order else 2 if price else 1
    return broken
