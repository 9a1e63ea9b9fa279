"""Bars to CSV text: the writing half of the vendor's flat-file format, one pass over the rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from raypipe.kernels._jit import inlined, kernel

__all__ = ["ROW_BYTES", "format_bars"]

#: Bytes that one row needs at most beside its name: seven separators and a newline, and seven numbers.
ROW_BYTES = 8 + 7 * 20
_COMMA, _NEWLINE, _POINT, _ZERO = 44, 10, 46, 48
_E4 = 10_000


@inlined
def _put_int(out: NDArray[np.uint8], at: int, value: int) -> int:
    digits = 1
    bound = 10
    while digits < 19 and value >= bound:
        digits += 1
        bound *= 10
    end = at + digits
    for i in range(end - 1, at - 1, -1):
        rest = value // 10
        out[i] = _ZERO + (value - 10 * rest)
        value = rest
    return end


@inlined
def _put_price(out: NDArray[np.uint8], at: int, value_e4: int) -> int:
    whole = value_e4 // _E4
    rest = value_e4 - whole * _E4
    at = _put_int(out, at, whole)
    if rest == 0:
        return at
    out[at] = _POINT
    at += 1
    unit = 1000
    while rest > 0:
        digit = rest // unit
        out[at] = _ZERO + digit
        at += 1
        rest -= digit * unit
        unit //= 10
    return at


@kernel
def format_bars(
    names: NDArray[np.uint8],
    name_starts: NDArray[np.int64],
    symbol: NDArray[np.int64],
    prices_e4: NDArray[np.int64],
    start_ns: NDArray[np.int64],
    volume: NDArray[np.int64],
    transactions: NDArray[np.int64],
    out: NDArray[np.uint8],
) -> int:
    """Write rows ``name,volume,open,close,high,low,start,transactions`` as text.

    Numbers are written the shortest way: no sign, no exponent, no trailing zeros.

    Parameters
    ----------
    names, name_starts
        All names one after another, uint8; where each begins and the last one ends, int64 (m + 1,).
    symbol
        Index of each row's name, int64 (n,).
    prices_e4
        Open, close, high and low in ten-thousandths, int64 (n, 4), not negative.
    start_ns, volume, transactions
        int64 (n,), not negative.
    out
        uint8; holds at least the names' lengths plus ``ROW_BYTES`` for each row.

    Returns
    -------
    int
        Bytes written.
    """
    at = 0
    for row in range(symbol.shape[0]):
        name = symbol[row]
        for i in range(name_starts[name], name_starts[name + 1]):
            out[at] = names[i]
            at += 1
        out[at] = _COMMA
        at = _put_int(out, at + 1, volume[row])
        for k in range(4):
            out[at] = _COMMA
            at = _put_price(out, at + 1, prices_e4[row, k])
        out[at] = _COMMA
        at = _put_int(out, at + 1, start_ns[row])
        out[at] = _COMMA
        at = _put_int(out, at + 1, transactions[row])
        out[at] = _NEWLINE
        at += 1
    return at
