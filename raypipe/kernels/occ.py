"""Lines of option prints to columns, and whose side each print took.

The fast path of the reader: one pass over the bytes keeps the contracts of one root and some expiries and passes over
all other lines as soon as their symbol is seen, so a full-market file costs little more than its bytes. A line of ours
that is not plain (an exponent, an empty price, a bad symbol) is handed back as *odd*, for a general parser.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from raypipe.kernels._jit import as_input, kernel
from raypipe.kernels._occ import HEAD_BYTES, scan

__all__ = [
    "HEAD_BYTES",
    "PrintColumns",
    "PrintField",
    "PrintStatus",
    "Scanned",
    "contract_of",
    "scan_prints",
    "tick_signs",
]

_MOST_CONDITIONS = 1024


class PrintField(IntEnum):
    """What a CSV column holds; a layout is one code per column, in the order of the header."""

    IGNORED = -1
    SYMBOL = 0
    CONDITIONS = 1
    CORRECTION = 2
    EXCHANGE = 3
    PRICE = 4
    SIP_NS = 5
    PARTICIPANT_NS = 6
    SIZE = 7
    SEQUENCE = 8


class PrintStatus(IntEnum):
    """How a scan ended; all but OK mean that the file is broken for any parser."""

    OK = 0
    TOO_FEW_FIELDS = 1
    TOO_MANY_FIELDS = 2
    LINE_TOO_LONG = 3
    TRUNCATED = 4  # the text stops without a line end
    QUOTES = 5  # a quote that does not enclose a field


class PrintColumns(NamedTuple):
    """Plain prints of the wanted contracts, in the order of the file; one element each."""

    contract: NDArray[np.int64]
    """As of :func:`contract_of`."""
    ts_ns: NDArray[np.int64]
    """SIP time, else the participant's; -1 where both are empty."""
    sequence: NDArray[np.int64]
    """-1 where there is none."""
    price: NDArray[np.float64]
    """usd."""
    size: NDArray[np.int64]
    """Contracts."""
    exchange: NDArray[np.int64]
    """-1 where there is none."""
    correction: NDArray[np.int64]
    """0 where there is none."""
    conditions: NDArray[np.int32]
    """Code of the text; -1 where it is empty."""
    line: NDArray[np.int64]
    """Lines before it in the scanned text."""

    @classmethod
    def empty(cls, rows: int) -> PrintColumns:
        """Allocate; untouched memory costs nothing."""
        whole = [np.empty(rows, np.int64) for _ in range(7)]
        contract, ts_ns, sequence, size, exchange, correction, line = whole
        conditions = np.empty(rows, np.int32)
        return cls(contract, ts_ns, sequence, np.empty(rows), size, exchange, correction, conditions, line)

    def head(self, rows: int) -> PrintColumns:
        """Copies of the first ``rows`` rows: a view would keep the whole allocation."""
        return PrintColumns._make(column[:rows].copy() for column in self)


class Scanned(NamedTuple):
    """What :func:`scan_prints` found."""

    columns: PrintColumns
    """The plain prints."""
    conditions: list[bytes]
    """Texts by code."""
    odd: NDArray[np.int64]
    """Shape (odd lines, 3): begin and end of the line without its end, and lines before it."""
    lines: int
    """Lines passed."""
    status: int
    """A :class:`PrintStatus`."""
    error_offset: int
    """First byte of the refused line; -1 without one."""


def contract_of(expiry: ArrayLike, strike_e3: ArrayLike, is_put: ArrayLike) -> NDArray[np.int64]:
    """One number for each contract, ascending by expiry, strike and right.

    Parameters
    ----------
    expiry
        yymmdd as a number.
    strike_e3
        Strike x 1000, below 2**31.
    is_put
        Whether it is a put.

    Examples
    --------
    >>> bool(contract_of(251216, 600_000, True) < contract_of(251217, 1, False))
    True
    """
    days, strikes, puts = (np.asarray(values, dtype=np.int64) for values in (expiry, strike_e3, is_put))
    number: NDArray[np.int64] = (days << 32) | (strikes << 1) | puts
    return number


def scan_prints(
    text: NDArray[np.uint8], start: int, stop: int, layout: ArrayLike, root: bytes, expiries: ArrayLike
) -> Scanned:
    """Read the lines in ``text[start:stop]``.

    Parameters
    ----------
    text
        Shape (bytes,), uint8.
    start
        Offset of a line's first byte, at least `HEAD_BYTES`.
    stop
        Offset behind a line's end.
    layout
        One :class:`PrintField` per CSV column, in the order of the header.
    root
        The root with its prefix, such as ``b"O:SPY"``.
    expiries
        Wanted expiries, yymmdd as numbers.

    Returns
    -------
    Scanned
        Offsets are those of ``text``. NaN handling: none is ever read.

    Raises
    ------
    ValueError
        If the request would read outside the text, or the layout has a field twice or no symbol.
    """
    fields = as_input(layout, np.int8)
    named = [code for code in fields.tolist() if code != PrintField.IGNORED]
    if len(set(named)) < len(named) or PrintField.SYMBOL not in named or not HEAD_BYTES <= start <= stop <= text.size:
        msg = f"expected {HEAD_BYTES} <= start <= stop <= {text.size} and each field once; got {start}, {stop}, {named}"
        raise ValueError(msg)
    shortest = len(root) + fields.size
    most = (stop - start) // shortest + 1
    columns, odd = PrintColumns.empty(most), np.empty((most, 3), np.int64)
    known = np.zeros((_MOST_CONDITIONS, 2), np.int64)
    found = scan(
        as_input(text, np.uint8),
        start,
        stop,
        fields,
        as_input(np.frombuffer(root, np.uint8)),
        as_input(expiries, np.int64),
        columns,
        odd,
        known,
    )
    rows, odd_rows, texts, lines, status, offset = found
    conditions = [text[a:b].tobytes() for a, b in known[:texts].tolist()]
    return Scanned(columns.head(rows), conditions, odd[:odd_rows], lines, status, offset)


def tick_signs(
    contract: NDArray[np.int32], price: NDArray[np.float64], silent: NDArray[np.bool_], carry: bool
) -> NDArray[np.int8]:
    """The tick test per contract: above the previous price +1, below it -1, the first print 0.

    Parameters
    ----------
    contract
        Code of each print's contract from 0 on, int32 (prints,); prints of a contract in order.
    price
        usd, float64 (prints,), without NaN.
    silent
        Prints whose price belongs to a package: they get 0 and are no previous price. bool (prints,).
    carry
        Whether a print at the previous price takes the last sign that was not 0; else it gets 0.

    Returns
    -------
    NDArray
        int8 (prints,).

    Examples
    --------
    >>> prices = np.array([1.0, 1.1, 1.1, 1.0])
    >>> tick_signs(np.zeros(4, np.int32), prices, np.zeros(4, bool), True).tolist()
    [0, 1, 1, -1]
    """
    return _tick_signs(
        as_input(contract, np.int32), as_input(price, np.float64), as_input(silent, np.bool_), bool(carry)
    )


@kernel
def _tick_signs(
    contract: NDArray[np.int32], price: NDArray[np.float64], silent: NDArray[np.bool_], carry: bool
) -> NDArray[np.int8]:
    signs = np.zeros(price.size, np.int8)
    contracts = 0
    for k in range(price.size):
        contracts = max(contracts, contract[k] + 1)
    last_price, last_sign = np.full(contracts, np.nan), np.zeros(contracts, np.int8)
    for k in range(price.size):
        if silent[k]:
            continue
        code = contract[k]
        if price[k] > last_price[code]:
            last_sign[code] = 1
            signs[k] = 1
        elif price[k] < last_price[code]:
            last_sign[code] = -1
            signs[k] = -1
        elif carry:
            signs[k] = last_sign[code]
        last_price[code] = price[k]
    return signs
