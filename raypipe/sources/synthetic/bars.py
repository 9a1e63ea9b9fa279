"""Bars in columns, and the rules that tie day bars to minute bars."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from raypipe.calendar import Session

__all__ = ["CLOSE", "HIGH", "LOW", "MINUTE_NS", "OPEN", "Bars", "concat", "day_bars", "to_e4"]

MINUTE_NS = 60_000_000_000
#: Columns of ``Bars.prices_e4``, in the vendor's order.
OPEN, CLOSE, HIGH, LOW = range(4)


@dataclass(frozen=True, slots=True)
class Bars:
    """Day or minute bars of one session, arrays of equal length n.

    Attributes
    ----------
    symbol
        Index into the market's sorted names, int64.
    start_ns
        Start of the bar, int64 nanoseconds UTC.
    prices_e4
        Open, close, high, low in ten-thousandths of a US dollar, int64 (n, 4).
    volume, transactions
        Shares and trades, int64.
    """

    symbol: NDArray[np.int64]
    start_ns: NDArray[np.int64]
    prices_e4: NDArray[np.int64]
    volume: NDArray[np.int64]
    transactions: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.symbol)

    def take(self, rows: NDArray[np.int64]) -> Bars:
        """The given rows, in the given order."""
        columns = (self.symbol, self.start_ns, self.prices_e4, self.volume, self.transactions)
        return Bars(*(column[rows] for column in columns))

    def sorted(self) -> Bars:
        """By symbol, then time."""
        minute = self.start_ns // MINUTE_NS
        span = int(minute.max(initial=0)) + 1
        return self.take(np.argsort(self.symbol * span + minute, kind="stable"))


def concat(parts: Sequence[Bars]) -> Bars:
    """One after another, in the given order."""
    names = ("symbol", "start_ns", "prices_e4", "volume", "transactions")
    return Bars(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def to_e4(price_usd: NDArray[np.float64]) -> NDArray[np.int64]:
    """Round to the tick, a cent or below $1 a hundredth of a cent, and count ten-thousandths.

    Monotone, so that rounding never turns a high below a close.
    """
    ticks = np.where(price_usd < 1.0, np.rint(price_usd * 10_000), np.rint(price_usd * 100) * 100)
    return ticks.astype(np.int64)


def day_bars(minutes: Bars, session: Session) -> Bars:
    """Day bars as the vendor makes them from sorted minute bars.

    Prices come from regular hours and the closing cross, which is the bar that starts at the close;
    volume and transactions from all bars. A symbol without such a price has no day bar.
    """
    first = _starts(minutes.symbol)
    regular = np.flatnonzero((minutes.start_ns >= session.open_ns) & (minutes.start_ns <= session.close_ns))
    priced = minutes.symbol[regular]
    begin = _starts(priced)
    prices = minutes.prices_e4[regular]
    last = np.append(begin[1:], len(priced))[: len(begin)] - 1
    symbol = priced[begin]
    kept = np.isin(minutes.symbol[first], symbol)
    return Bars(
        symbol=symbol,
        start_ns=np.full(len(symbol), session.midnight_ns, np.int64),
        prices_e4=np.column_stack(
            [
                prices[begin, OPEN],
                prices[last, CLOSE],
                _reduce(np.maximum, prices[:, HIGH], begin),
                _reduce(np.minimum, prices[:, LOW], begin),
            ]
        ),
        volume=_reduce(np.add, minutes.volume, first)[kept],
        transactions=_reduce(np.add, minutes.transactions, first)[kept],
    )


def _starts(symbol: NDArray[np.int64]) -> NDArray[np.int64]:
    """Row at which each symbol begins."""
    return np.flatnonzero(np.diff(symbol, prepend=-1)).astype(np.int64)


def _reduce(how: np.ufunc, values: NDArray[np.int64], starts: NDArray[np.int64]) -> NDArray[np.int64]:
    # reduceat refuses an empty array.
    return np.asarray(how.reduceat(values, starts) if len(starts) else values[:0], dtype=np.int64)
