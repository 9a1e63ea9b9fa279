"""The formatting kernel against Python's own decimals."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from raypipe.kernels._jit import as_input
from raypipe.kernels.csvout import ROW_BYTES, format_bars

NAMES = ("A", "BRK.B", "NTEST.A", "x" * 40)
big = st.integers(0, 2**63 - 1)
rows = st.lists(st.tuples(st.integers(0, len(NAMES) - 1), st.lists(big, min_size=7, max_size=7)), max_size=20)


def written(symbol: list[int], numbers: list[list[int]]) -> bytes:
    """What the kernel makes of rows of volume, four prices, start and transactions."""
    values = np.array(numbers, np.int64).reshape(-1, 7)
    flat = np.frombuffer("".join(NAMES).encode(), np.uint8)
    starts = np.concatenate([[0], np.cumsum([len(name) for name in NAMES])])
    out = np.zeros(len(symbol) * (ROW_BYTES + 40), np.uint8)
    size = format_bars(
        as_input(flat),
        as_input(starts, np.int64),
        as_input(symbol, np.int64),
        as_input(values[:, 1:5]),
        as_input(values[:, 5]),
        as_input(values[:, 0]),
        as_input(values[:, 6]),
        out,
    )
    assert not out[size:].any()
    return out[:size].tobytes()


def expected(symbol: list[int], numbers: list[list[int]]) -> bytes:
    return "".join(
        f"{NAMES[s]},{volume},{','.join(price(p) for p in prices)},{start},{trades}\n"
        for s, (volume, *prices, start, trades) in zip(symbol, numbers, strict=True)
    ).encode()


def price(value_e4: int) -> str:
    text = f"{Decimal(value_e4).scaleb(-4):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


@given(rows)
@example([(3, [2**63 - 1] * 7)])
@example([(0, [0, 9_999, 10_000, 10_100, 1, 10**18, 9])])
@example([(1, [10**k for k in range(7)]), (2, [10**k - 1 for k in range(12, 19)])])
def test_rows_are_written_as_python_writes_them(given_rows: list[tuple[int, list[int]]]) -> None:
    symbol, numbers = [row[0] for row in given_rows], [row[1] for row in given_rows]
    assert written(symbol, numbers) == expected(symbol, numbers)


def test_prices_are_the_shortest_decimals() -> None:
    text = written([0], [[0, 105_000, 100_000, 75_600, 1, 0, 0]])
    assert text == b"A,0,10.5,10,7.56,0.0001,0,0\n"
