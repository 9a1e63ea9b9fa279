"""The loop behind :mod:`raypipe.kernels.occ`: lines of option prints to columns, those of other contracts passed over.

Ends of fields come from a bit mask of 64 bytes at once, as in the parser of bars.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from raypipe.kernels._bytes import as_int, byte_at, marks_at, trailing_zeros
from raypipe.kernels._csv import HEAD, LINE_CAP, decimal, integer, is_same
from raypipe.kernels._jit import inlined, kernel

if TYPE_CHECKING:
    from raypipe.kernels.occ import PrintColumns

__all__ = ["HEAD_BYTES", "scan"]

#: Bytes that must stand before the first line: long numbers are read as words, backwards from their end.
HEAD_BYTES = 4 * HEAD
_ONE, _ZERO = np.uint64(1), np.uint64(0)
_NEWLINE, _RETURN, _QUOTE, _COMMA, _0, _9 = 10, 13, 34, 44, 48, 57
_C, _P, _A, _Z = 67, 80, 65, 90
_OK, _TOO_FEW, _TOO_MANY, _TOO_LONG, _TRUNCATED, _QUOTES = range(6)
_OTHER, _OURS, _BAD = 0, 1, 2
_FIELDS = 9


@kernel
def scan(
    text: NDArray[np.uint8],
    start: int,
    stop: int,
    layout: NDArray[np.int8],
    root: NDArray[np.uint8],
    expiries: NDArray[np.int64],
    out: PrintColumns,
    odd: NDArray[np.int64],
    known: NDArray[np.int64],
) -> tuple[int, int, int, int, int, int]:
    places = np.zeros((_FIELDS, 2), np.int64)
    row, odd_row, texts, lines, line = 0, 0, 0, 0, start
    while line < stop:
        places[:] = 0
        kind, contract, begin, base = _OTHER, 0, line, line
        marks, field = marks_at(text, line), 0
        while True:
            while marks == _ZERO:
                base += 64
                if base >= stop:
                    return row, odd_row, texts, lines, _TRUNCATED, line
                if base >= line + LINE_CAP:
                    return row, odd_row, texts, lines, _TOO_LONG, line
                marks = marks_at(text, base)
            end = base + as_int(trailing_zeros(marks))
            if end >= stop:
                return row, odd_row, texts, lines, _TRUNCATED, line
            marks &= marks - _ONE
            mark = byte_at(text, end)
            content_begin, content_end = begin, end
            if mark == _QUOTE and end == begin:
                close = _closing_quote(text, begin + 1, min(stop, line + LINE_CAP))
                if close < 0:
                    return row, odd_row, texts, lines, _QUOTES, line
                content_begin, content_end, end, base = begin + 1, close, close + 1, close + 1
                marks = marks_at(text, base)
                if end >= stop:
                    return row, odd_row, texts, lines, _TRUNCATED, line
                mark = byte_at(text, end)
                if mark not in (_COMMA, _NEWLINE, _RETURN):
                    return row, odd_row, texts, lines, _QUOTES, line
                marks &= ~_ONE
            elif mark not in (_COMMA, _NEWLINE, _RETURN):
                continue  # a stray quote or a byte that is no ASCII: part of the field, which then is not plain
            if field == layout.size:
                return row, odd_row, texts, lines, _TOO_MANY, line
            code = layout[field]
            if code == 0:
                kind, contract = _symbol(text, content_begin, content_end, root, expiries)
                if kind == _OTHER:
                    line = _line_end(text, end, stop)
                    if line < 0:
                        return row, odd_row, texts, lines, _TRUNCATED, begin
                    break
            if code >= 0:
                places[code, 0], places[code, 1] = content_begin, content_end
            field, begin = field + 1, end + 1
            if mark == _COMMA:
                continue
            if mark == _RETURN:
                if end + 1 >= stop or byte_at(text, end + 1) != _NEWLINE:
                    return row, odd_row, texts, lines, _TRUNCATED, line
                begin += 1
            if field < layout.size:
                return row, odd_row, texts, lines, _TOO_FEW, line
            code_of_text, plain = -1, kind == _OURS and _store(text, places, out, row)
            if plain and places[1, 1] > places[1, 0]:
                code_of_text, texts = _condition_code(text, places[1, 0], places[1, 1], known, texts)
                plain = code_of_text >= 0
            if plain:
                out.contract[row], out.conditions[row], out.line[row] = contract, code_of_text, lines
                row += 1
            else:
                odd[odd_row, 0], odd[odd_row, 1], odd[odd_row, 2] = line, end, lines
                odd_row += 1
            line = begin
            break
        lines += 1
    return row, odd_row, texts, lines, _OK, -1


@inlined
def _closing_quote(text: NDArray[np.uint8], at: int, stop: int) -> int:
    while at < stop and byte_at(text, at) != _NEWLINE:
        if byte_at(text, at) == _QUOTE:
            return at
        at += 1
    return -1


@inlined
def _line_end(text: NDArray[np.uint8], at: int, stop: int) -> int:
    """Offset behind the line that holds ``at``; -1 if it has no end."""
    while at < stop:
        if byte_at(text, at) == _NEWLINE:
            return at + 1
        at += 1
    return -1


@inlined
def _is_digits(text: NDArray[np.uint8], begin: int, end: int) -> bool:
    for at in range(begin, end):  # noqa: SIM110 - numba inlines no generators
        if not _0 <= byte_at(text, at) <= _9:
            return False
    return True


@inlined
def _number(text: NDArray[np.uint8], begin: int, end: int) -> int:
    value = 0
    for at in range(begin, end):
        value = 10 * value + byte_at(text, at) - _0
    return value


@inlined
def _symbol(
    text: NDArray[np.uint8], begin: int, end: int, root: NDArray[np.uint8], expiries: NDArray[np.int64]
) -> tuple[int, int]:
    """Whether a symbol is another's, one of ours, or meant to be ours and broken; and which contract."""
    first = begin + root.size
    if end < first:
        return _OTHER, 0
    for k in range(root.size):
        if byte_at(text, begin + k) != root[k]:
            return _OTHER, 0
    if end - first == 15 and _is_contract(text, first):
        expiry = _number(text, first, first + 6)
        for k in range(expiries.size):
            if expiries[k] == expiry:
                strike = _number(text, first + 7, first + 15)
                put = 1 if byte_at(text, first + 6) == _P else 0
                return _OURS, (expiry << 32) | (strike << 1) | put
        return _OTHER, 0
    if end == first:
        return _BAD, 0
    following = byte_at(text, first)
    is_letter = _A <= following <= _Z
    # SPY1 and the like: the root of a contract that a corporate action adjusted.
    is_adjusted = end - first == 16 and _0 <= following <= _9 and _is_contract(text, first + 1)
    return _OTHER if is_letter or is_adjusted else _BAD, 0


@inlined
def _is_contract(text: NDArray[np.uint8], at: int) -> bool:
    right = byte_at(text, at + 6)
    return _is_digits(text, at, at + 6) and right in (_C, _P) and _is_digits(text, at + 7, at + 15)


@inlined
def _optional(text: NDArray[np.uint8], begin: int, end: int, missing: int) -> tuple[int, bool]:
    if begin == end:
        return missing, True
    return integer(text, begin, end)


@inlined
def _store(text: NDArray[np.uint8], places: NDArray[np.int64], out: PrintColumns, row: int) -> bool:
    out.correction[row], ok_correction = _optional(text, places[2, 0], places[2, 1], 0)
    out.exchange[row], ok_exchange = _optional(text, places[3, 0], places[3, 1], -1)
    out.price[row], ok_price = decimal(text, places[4, 0], places[4, 1])
    ts_ns, ok_time = _optional(text, places[5, 0], places[5, 1], 0)
    ok = ok_correction and ok_exchange and ok_price and ok_time
    if ts_ns == 0:
        ts_ns, ok_time = _optional(text, places[6, 0], places[6, 1], -1)
        ok = ok and ok_time
    out.ts_ns[row] = ts_ns
    out.size[row], ok_size = integer(text, places[7, 0], places[7, 1])
    out.sequence[row], ok_sequence = _optional(text, places[8, 0], places[8, 1], -1)
    return ok and ok_size and ok_sequence


@inlined
def _condition_code(
    text: NDArray[np.uint8], begin: int, end: int, known: NDArray[np.int64], texts: int
) -> tuple[int, int]:
    for code in range(texts):
        if is_same(text, begin, end, known[code, 0], known[code, 1]):
            return code, texts
    if texts == known.shape[0]:
        return -1, texts
    known[texts, 0], known[texts, 1] = begin, end
    return texts, texts + 1
