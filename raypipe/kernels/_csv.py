"""The loop behind :mod:`raypipe.kernels.csv`: lines of plain fields to columns, or a refusal.

How it is fast: the ends of fields come from a bit mask of 64 bytes at once, so that fields do not wait for each other,
and digits are valued eight at a time. Walking the bytes one by one took 2.6 times as long, eight at a time without the
mask 1.6 times.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from raypipe.kernels._bytes import as_int, byte_at, digits_before, eight_digits, marks_at, non_digits, trailing_zeros
from raypipe.kernels._jit import inlined, kernel

if TYPE_CHECKING:
    from raypipe.kernels.csv import Columns

__all__ = [
    "DECIMAL_CHARS",
    "EXACT_MANTISSA",
    "HEAD",
    "INT32_MAX",
    "INT64_MAX",
    "INTEGER_CHARS",
    "LINE_CAP",
    "REFUSED",
    "decimal",
    "integer",
    "is_same",
    "parse",
]

U64 = np.uint64
_ZERO, _ONE, _SEVEN, _EIGHT, _255 = U64(0), U64(1), U64(7), U64(8), U64(255)
# Words are read backwards from the end of a field, so no row may start nearer to the start of the text.
HEAD = 8
#: Bytes of the longest line that is read, without its end: a bound on the work that a damaged file can cause.
LINE_CAP = 4096

_NEWLINE, _RETURN, _COMMA, _POINT, _DIGIT_0 = 10, 13, 44, 46, 48
_POINT_AS_DIGIT = U64(_POINT ^ _DIGIT_0)
_LAST_BYTE = U64(56)

_OK, _NEED_ROWS, REFUSED = 0, 1, -1
_SYMBOL, _OPEN, _VOLUME, _WINDOW_START, _TRANSACTIONS = 0, 1, 5, 6, 7

# A decimal is mantissa / 10**places. Both are exact in float64 up to 2**53 and 10**22, and IEEE division rounds the
# quotient to the nearest float64, as a correct parser does (Clinger 1990). 18 characters hold no power above 10**16.
EXACT_MANTISSA = 2**53
DECIMAL_CHARS = 18
_POWERS_OF_TEN = 10.0 ** np.arange(DECIMAL_CHARS)

INTEGER_CHARS = 19
INT64_MAX = 2**63 - 1
INT32_MAX = 2**31 - 1
_UPPER_MAX, _LOWER_MAX = divmod(INT64_MAX, 10**8)


@kernel
def parse(
    text: NDArray[np.uint8], start: int, layout: NDArray[np.int8], out: Columns, max_rows: int
) -> tuple[int, int, int, int, int, bool, bool]:
    line, row, run = start, 0, 0
    symbol_begin, symbol_end = 0, 0
    symbols_ascend, times_ascend = True, True
    # What held before the last run: a full block gives that run back.
    cut_line, cut_symbols_ascend, cut_times_ascend = start, True, True
    while line < text.size and row < max_rows:
        next_line, begin, end = _parse_line(text, line, layout, out, row)
        if next_line < 0:
            return row, run, line, REFUSED, line, symbols_ascend, times_ascend
        if is_same(text, begin, end, symbol_begin, symbol_end):
            times_ascend &= out.window_start_ns[row - 1] < out.window_start_ns[row]
        else:
            cut_line, cut_symbols_ascend, cut_times_ascend = line, symbols_ascend, times_ascend
            symbols_ascend &= _precedes(text, symbol_begin, symbol_end, begin, end)
            symbol_begin, symbol_end = begin, end
            out.symbol_start[run], out.symbol_end[run], out.first_row[run] = begin, end, row
            run += 1
        line = next_line
        row += 1
    if line == text.size:
        return row, run, line, _OK, -1, symbols_ascend, times_ascend
    if run == 1:
        return 0, 0, start, _NEED_ROWS, -1, True, True
    return out.first_row[run - 1], run - 1, cut_line, _OK, -1, cut_symbols_ascend, cut_times_ascend


@inlined
def _parse_line(
    text: NDArray[np.uint8], line: int, layout: NDArray[np.int8], out: Columns, row: int
) -> tuple[int, int, int]:
    """Write one row; give the start of the next line (-1: refused) and the place of the symbol."""
    refused = (-1, 0, 0)
    symbol_begin, symbol_end = 0, 0
    begin, base, marks = line, line, marks_at(text, line)
    for field in range(layout.size):
        while marks == _ZERO:
            base += 64
            if base >= text.size or base >= line + LINE_CAP:
                return refused
            marks = marks_at(text, base)
        end = base + as_int(trailing_zeros(marks))
        marks &= marks - _ONE
        code = layout[field]
        if code == _SYMBOL:
            symbol_begin, symbol_end = begin, end
            if begin == end:
                return refused
        elif not _store(text, begin, end, code, out, row):
            return refused
        is_last = field == layout.size - 1
        mark = byte_at(text, end)
        if is_last and mark == _RETURN and end + 1 < text.size:
            end += 1
            mark = byte_at(text, end)
        if mark != (_NEWLINE if is_last else _COMMA):
            return refused
        begin = end + 1
    return begin, symbol_begin, symbol_end


@inlined
def _store(text: NDArray[np.uint8], begin: int, end: int, code: int, out: Columns, row: int) -> bool:
    if _OPEN <= code <= _VOLUME:
        out.values[code - _OPEN, row], ok = decimal(text, begin, end)
        return ok
    if code == _WINDOW_START:
        out.window_start_ns[row], ok = integer(text, begin, end)
        return ok
    if code == _TRANSACTIONS:
        count, ok = integer(text, begin, end)
        out.transactions[row] = count if count <= INT32_MAX else 0
        return ok and count <= INT32_MAX
    return True


@inlined
def decimal(text: NDArray[np.uint8], begin: int, end: int) -> tuple[float, bool]:
    length = end - begin
    if length == 0 or length > 8:
        return _long_decimal(text, begin, end)
    digits = digits_before(text, end, length)
    others = non_digits(digits)
    if others == _ZERO:
        return float(eight_digits(digits)), True
    point = trailing_zeros(others) - _SEVEN
    is_inside = U64(64 - 8 * length) < point < _LAST_BYTE
    if others & (others - _ONE) != _ZERO or (digits >> point) & _255 != _POINT_AS_DIGIT or not is_inside:
        return 0.0, False
    # Close the gap: the digits before the point move one byte towards those behind it.
    before = (_ONE << point) - _ONE
    behind = ~((before << _EIGHT) | _255)
    joined = ((digits & before) << _EIGHT) | (digits & behind)
    return eight_digits(joined) / _POWERS_OF_TEN[_SEVEN - (point >> U64(3))], True


@kernel
def _long_decimal(text: NDArray[np.uint8], begin: int, end: int) -> tuple[float, bool]:
    if begin == end or end - begin > DECIMAL_CHARS:
        return 0.0, False
    mantissa, places, point = 0, 0, -1
    for at in range(begin, end):
        byte = byte_at(text, at)
        if byte == _POINT and begin < at < end - 1 and point < 0:
            point, places = at, end - 1 - at
        elif _DIGIT_0 <= byte <= _DIGIT_0 + 9:
            mantissa = 10 * mantissa + (byte - _DIGIT_0)
        else:
            return 0.0, False
    return mantissa / _POWERS_OF_TEN[places], mantissa <= EXACT_MANTISSA


@inlined
def integer(text: NDArray[np.uint8], begin: int, end: int) -> tuple[int, bool]:
    length = end - begin
    if 0 < length <= 8:
        digits = digits_before(text, end, length)
        return (eight_digits(digits), True) if non_digits(digits) == _ZERO else (0, False)
    if length == INTEGER_CHARS:  # nanoseconds since 2001-09-09
        return _nineteen_digits(text, end)
    return _long_integer(text, begin, end)


@inlined
def _nineteen_digits(text: NDArray[np.uint8], end: int) -> tuple[int, bool]:
    high, middle, low = digits_before(text, end - 16, 3), digits_before(text, end - 8, 8), digits_before(text, end, 8)
    if non_digits(high) | non_digits(middle) | non_digits(low) != _ZERO:
        return 0, False
    upper, lower = eight_digits(high) * 10**8 + eight_digits(middle), eight_digits(low)
    if upper > _UPPER_MAX or (upper == _UPPER_MAX and lower > _LOWER_MAX):
        return 0, False
    return upper * 10**8 + lower, True


@kernel
def _long_integer(text: NDArray[np.uint8], begin: int, end: int) -> tuple[int, bool]:
    if begin == end or end - begin >= INTEGER_CHARS:
        return 0, False
    value = 0
    for at in range(begin, end):
        byte = byte_at(text, at)
        if not _DIGIT_0 <= byte <= _DIGIT_0 + 9:
            return 0, False
        value = 10 * value + (byte - _DIGIT_0)
    return value, True


@inlined
def is_same(text: NDArray[np.uint8], begin: int, end: int, other_begin: int, other_end: int) -> bool:
    length = end - begin
    if length != other_end - other_begin:
        return False
    if length <= 8:
        return bool(digits_before(text, end, length) == digits_before(text, other_end, length))
    return not _precedes(text, begin, end, other_begin, other_end) and not _precedes(
        text, other_begin, other_end, begin, end
    )


@kernel
def _precedes(text: NDArray[np.uint8], begin: int, end: int, other_begin: int, other_end: int) -> bool:
    """Whether the first name is bytewise smaller than the other; a prefix is."""
    for k in range(min(end - begin, other_end - other_begin)):
        byte, other = byte_at(text, begin + k), byte_at(text, other_begin + k)
        if byte != other:
            return byte < other
    return end - begin < other_end - other_begin
