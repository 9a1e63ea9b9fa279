"""Futures bars of the sessions before one, on the price basis of its front contract.

The front contract changes four times a year, and the next one trades tens of points away. Bars of sessions before the
change are shifted by the median difference of the two contracts' closes over the minutes in which both traded.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raypipe.calendar import NS_PER_MINUTE, Session, calendar

__all__ = [
    "MIN_COMMON_MINUTES",
    "Bars",
    "WarmSession",
    "front_bars",
    "front_contract",
    "recent",
    "roll_ticks",
    "trailing_mean",
    "trailing_sum",
    "two_minute_closes",
    "warm_sessions",
]

#: Regular minutes in which both contracts must have traded for a roll's price difference.
MIN_COMMON_MINUTES = 30

_PRICES = ("open_ticks", "high_ticks", "low_ticks", "close_ticks")


class Bars(NamedTuple):
    """One-minute bars of one contract, ascending; minutes without a trade are absent. Shape (bars,) each.

    Starts are int64 ns, prices float64 ticks (a shifted price may be half a tick), volumes int64 contracts.
    """

    start_ns: np.ndarray
    open_ticks: np.ndarray
    high_ticks: np.ndarray
    low_ticks: np.ndarray
    close_ticks: np.ndarray
    volume: np.ndarray

    @property
    def end_ns(self) -> np.ndarray:
        """When each bar is complete."""
        ends: np.ndarray = self.start_ns + NS_PER_MINUTE
        return ends

    def shifted(self, ticks: float) -> Bars:
        """The same bars with ``ticks`` added to every price."""
        return self._replace(**{name: getattr(self, name) + ticks for name in _PRICES})


class WarmSession(NamedTuple):
    """A session before the target, seen from it.

    Attributes
    ----------
    session, contract
        Which it is, and its front contract then.
    bars
        Bars of that contract at the prices of that time.
    shift_ticks
        What to add to its prices to compare them with the target's front contract; NaN if that is not known.
    """

    session: Session
    contract: str
    bars: Bars
    shift_ticks: float

    @property
    def adjusted(self) -> Bars:
        """Its bars on the target's price basis; NaN prices if the shift is not known."""
        return self.bars.shifted(self.shift_ticks)


def front_contract(es_session: pa.Table) -> str:
    """The front contract of a partition of `silver/es_session`, which has one row."""
    name: str = es_session["front_contract"][0].as_py()
    return name


def front_bars(es_bars: pa.Table, contract: str) -> Bars:
    """The bars of one contract of a partition of `silver/es_bars`, which is sorted by contract and start."""
    rows = es_bars.filter(pc.equal(es_bars["contract"].cast(pa.string()), contract))
    prices = {name: rows[name].to_numpy().astype(np.float64) for name in _PRICES}
    return Bars(start_ns=rows["start_ns"].to_numpy(), volume=rows["volume"].to_numpy(), **prices)


def roll_ticks(old: Bars, new: Bars, session: Session) -> float:
    """Median of new close - old close over the regular minutes in which both traded; NaN if those are too few.

    Examples
    --------
    >>> from raypipe.calendar import calendar, parse_session
    >>> session = calendar().session(parse_session("2024-09-13"))
    >>> start = session.open_ns + np.arange(30) * 60 * 10**9
    >>> old = Bars(start, *[np.full(30, 22_500.0)] * 4, np.full(30, 5))
    >>> roll_ticks(old, old.shifted(230.0), session)
    230.0
    """
    common, at, then = np.intersect1d(old.start_ns, new.start_ns, assume_unique=True, return_indices=True)
    regular = (common >= session.open_ns) & (common < session.close_ns)
    if np.count_nonzero(regular) < MIN_COMMON_MINUTES:
        return float("nan")
    return float(np.median(new.close_ticks[then[regular]] - old.close_ticks[at[regular]]))


def warm_sessions(
    target: Session,
    es_session: Mapping[dt.date | None, pa.Table],
    es_bars: Mapping[dt.date | None, pa.Table],
    sessions: int,
) -> tuple[WarmSession, ...]:
    """Those of the ``sessions`` exchange sessions before the target that have bars, older first.

    Parameters
    ----------
    target
        The session that looks back; its own front contract is that of its row in ``es_session``.
    es_session, es_bars
        Partitions of these tables by date.
    """
    found: list[WarmSession] = []
    contract, shift = front_contract(es_session[target.date]), 0.0
    for back in range(1, sessions + 1):
        date = calendar().offset(target.date, -back)
        own, bars = es_session.get(date), es_bars.get(date)
        if own is None or bars is None or not own.num_rows or not bars.num_rows:
            continue
        session, front = calendar().session(date), front_contract(own)
        mine = front_bars(bars, front)
        if front != contract:
            # This is the last session before the roll: both contracts are among its two most traded.
            shift += roll_ticks(mine, front_bars(bars, contract), session)
        contract = front
        found.append(WarmSession(session, front, mine, shift))
    return tuple(reversed(found))


def recent(warm: Sequence[WarmSession], target: Session, sessions: int) -> tuple[WarmSession, ...]:
    """Of the sessions found those among the last ``sessions`` exchange sessions before the target."""
    first = calendar().offset(target.date, -sessions)
    return tuple(one for one in warm if one.session.date >= first)


def two_minute_closes(parts: Sequence[Bars]) -> tuple[np.ndarray, np.ndarray]:
    """Ends and closes of the two-minute bars of consecutive sessions: pairs on even minutes, existing bars only.

    Returns
    -------
    end_ns
        int64 (bars,), ascending: a bar may be used from then on.
    close
        float64 ticks (bars,); all NaN if any price is NaN: a mean over a roll of unknown size means nothing.
    """
    start = np.concatenate([part.start_ns for part in parts]) if parts else np.empty(0, np.int64)
    close = np.concatenate([part.close_ticks for part in parts]) if parts else np.empty(0)
    pair = start // (2 * NS_PER_MINUTE)
    last = np.flatnonzero(np.append(pair[1:] != pair[:-1], True)) if len(pair) else np.empty(0, np.int64)
    unknown = bool(np.isnan(close).any())
    return (pair[last] + 1) * (2 * NS_PER_MINUTE), np.full(len(last), np.nan) if unknown else close[last]


def trailing_mean(values: np.ndarray, window: int) -> np.ndarray:
    """Mean of the last ``window`` values at each place, NaN where there are fewer. float64, same shape.

    Exact for values on a grid of half ticks: their running sum has no rounding, so nothing older shows.

    Examples
    --------
    >>> trailing_mean(np.array([1.0, 2.0, 4.0]), 2).tolist()
    [nan, 1.5, 3.0]
    """
    return trailing_sum(values, window) / window


def trailing_sum(values: np.ndarray, window: int) -> np.ndarray:
    """Sum of the last ``window`` values at each place, NaN where there are fewer. float64, same shape."""
    running = np.concatenate([[0.0], np.cumsum(values)])
    sums = np.full(len(values), np.nan)
    sums[window - 1 :] = running[window:] - running[:-window]
    return sums
