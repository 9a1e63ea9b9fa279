"""Trades of futures to one-minute bars, and the volumes by which the front contract is chosen: one pass each.

Contracts are codes. A trade outside a window does not exist for it, whatever file or UTC date it came in.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from raypipe.kernels._jit import as_input, kernel

__all__ = ["FutureTrades", "TradeBars", "contract_lots", "minute_bars"]

_MINUTE_NS = 60_000_000_000


class FutureTrades(NamedTuple):
    """Trades in the vendor's order, of one contract or several; (trades,) each."""

    ts_ns: NDArray[np.int64]
    """When they happened; ascending within a contract."""
    ticks: NDArray[np.int32]
    """Prices in ticks."""
    size: NDArray[np.uint32]
    """Contracts traded."""
    side: NDArray[np.int8]
    """Aggressor: 1 buy, -1 sell, 0 unknown."""


class TradeBars(NamedTuple):
    """One-minute bars of one contract, ascending; minutes without a trade are absent. (bars,) each."""

    start_ns: NDArray[np.int64]
    open: NDArray[np.int32]
    high: NDArray[np.int32]
    low: NDArray[np.int32]
    close: NDArray[np.int32]
    volume: NDArray[np.int64]
    trades: NDArray[np.int32]
    buy_volume: NDArray[np.int64]
    sell_volume: NDArray[np.int64]
    tick_volume: NDArray[np.int64]
    """Sum of ticks x size."""


def contract_lots(
    ts_ns: NDArray[np.int64],
    size: NDArray[np.uint32],
    codes: NDArray[np.int32],
    contracts: int,
    window_ns: tuple[int, int],
) -> NDArray[np.int64]:
    """Contracts traded of each contract within a window.

    Parameters
    ----------
    ts_ns, size, codes
        Time, size and contract of each trade; codes are below ``contracts``. (trades,)
    contracts
        How many contracts there are.
    window_ns
        Trades in [first, second) count.

    Returns
    -------
    NDArray
        int64 (contracts,).

    Examples
    --------
    >>> contract_lots([0, 5, 9], [1, 2, 4], [1, 0, 1], 2, (0, 9)).tolist()
    [2, 1]
    """
    start_ns, end_ns = window_ns
    columns = as_input(ts_ns, np.int64), as_input(size, np.uint32), as_input(codes, np.int32)
    return _contract_lots(*columns, contracts, start_ns, end_ns)


@kernel
def _contract_lots(
    ts_ns: NDArray[np.int64],
    size: NDArray[np.uint32],
    codes: NDArray[np.int32],
    contracts: int,
    start_ns: int,
    end_ns: int,
) -> NDArray[np.int64]:
    lots = np.zeros(contracts, np.int64)
    for i in range(len(ts_ns)):
        if start_ns <= ts_ns[i] < end_ns:
            lots[codes[i]] += size[i]
    return lots


def minute_bars(trades: FutureTrades, codes: NDArray[np.int32], code: int, window_ns: tuple[int, int]) -> TradeBars:
    """Bars of one contract.

    Parameters
    ----------
    trades
        Trades of all contracts.
    codes
        Contract of each trade; int32 (trades,).
    code
        The contract wanted.
    window_ns
        Trades in [first, second) count; the first is a whole minute.

    Examples
    --------
    >>> made = FutureTrades([0, 10, 60 * 10**9], [8, 6, 7], [1, 2, 3], [1, -1, 0])
    >>> bars = minute_bars(made, [0, 0, 0], 0, (0, 120 * 10**9))
    >>> bars.close.tolist(), bars.volume.tolist(), bars.tick_volume.tolist()
    ([6, 7], [3, 3], [20, 21])
    """
    start_ns, end_ns = window_ns
    minutes = max(0, -(-(end_ns - start_ns) // _MINUTE_NS))
    prices, sums = np.empty((4, minutes), np.int32), np.zeros((5, minutes), np.int64)
    columns = (
        as_input(trades.ts_ns, np.int64),
        as_input(trades.ticks, np.int32),
        as_input(trades.size, np.uint32),
        as_input(trades.side, np.int8),
        as_input(codes, np.int32),
    )
    _minute_bars(*columns, code, start_ns, end_ns, prices, sums)
    there = np.flatnonzero(sums[1])
    volume, count, buys, sells, tick_volume = sums[:, there]
    first, high, low, last = prices[:, there]
    starts = start_ns + there * _MINUTE_NS
    return TradeBars(starts, first, high, low, last, volume, count.astype(np.int32), buys, sells, tick_volume)


@kernel
def _minute_bars(
    ts_ns: NDArray[np.int64],
    ticks: NDArray[np.int32],
    size: NDArray[np.uint32],
    side: NDArray[np.int8],
    codes: NDArray[np.int32],
    code: int,
    start_ns: int,
    end_ns: int,
    prices: NDArray[np.int32],
    sums: NDArray[np.int64],
) -> None:
    for i in range(len(ts_ns)):
        at_ns = ts_ns[i]
        if codes[i] != code or at_ns < start_ns or at_ns >= end_ns:
            continue
        m = (at_ns - start_ns) // _MINUTE_NS
        price, lots = ticks[i], np.int64(size[i])
        if sums[1, m] == 0:
            prices[0, m], prices[1, m], prices[2, m] = price, price, price
        prices[1, m] = max(prices[1, m], price)
        prices[2, m] = min(prices[2, m], price)
        prices[3, m] = price
        sums[0, m] += lots
        sums[1, m] += 1
        sums[2, m] += lots if side[i] > 0 else 0
        sums[3, m] += lots if side[i] < 0 else 0
        sums[4, m] += lots * price
