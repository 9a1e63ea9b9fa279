"""Which partitions are proved, and at which moments: few, spread out, and those where mistakes hide."""

from __future__ import annotations

import datetime as dt
import zlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np

from raypipe.calendar import EXCHANGE_TZ, Session, calendar
from raypipe.schema.spec import Table

__all__ = ["cut_times", "sample", "sessions_of"]


def sessions_of(spec: Table, partition: str) -> list[Session]:
    """The calendar sessions of a partition; none of a table that is one file."""
    if spec.grain not in ("session", "week"):
        return []
    date = dt.date.fromisoformat(partition)
    dates = calendar().week(date) if spec.grain == "week" else [date]
    return [calendar().session(day) for day in dates]


def sample(
    spec: Table, partitions: Sequence[str], count: int, seed: int, news: Mapping[str, frozenset[dt.date]]
) -> list[str]:
    """Some partitions of a table, in order.

    Parameters
    ----------
    spec, partitions
        The table, and what the lake holds of it, sorted.
    count
        How many, one from each of so many stretches of equal length. Special ones come on top where these have none.
    seed
        Of the choice. Tables with the same partitions have the same ones chosen.
    news
        Dates on which tables that are read as a whole change, by a name for it: the sessions of such a date and those
        before it are special. So are early closes, and the first session after a change of the clocks.
    """
    special: dict[str, Callable[[Session], bool]] = {"early close": _is_early, "clocks changed": _after_clock_change}
    for name, dates in news.items():
        special |= {name: partial(_is_on, dates=dates), f"before {name}": partial(_is_before, dates=dates)}
    kinds = {key: {k for k, test in special.items() if any(map(test, sessions_of(spec, key)))} for key in partitions}
    blocks = enumerate(np.array_split(np.array(partitions), min(count, len(partitions))))
    chosen = {str(block[_draws(seed, f"block {i}").integers(len(block))]) for i, block in blocks}
    for kind in special:
        there = [key for key in partitions if kind in kinds[key]]
        if there and not chosen & set(there):
            chosen.add(there[int(_draws(seed, kind).integers(len(there)))])
    return sorted(chosen)


def _draws(seed: int, what: str) -> np.random.Generator:
    return np.random.default_rng([seed, zlib.crc32(what.encode())])


def _is_early(session: Session) -> bool:
    return session.early_close


def _after_clock_change(session: Session) -> bool:
    before = calendar().session(calendar().offset(session.date, -1))
    return _utc_offset(session) != _utc_offset(before)


def _utc_offset(session: Session) -> dt.timedelta | None:
    return dt.datetime.fromtimestamp(session.open_ns // 10**9, EXCHANGE_TZ).utcoffset()


def _is_on(session: Session, dates: frozenset[dt.date]) -> bool:
    return session.date in dates


def _is_before(session: Session, dates: frozenset[dt.date]) -> bool:
    return calendar().offset(session.date, 1) in dates


def cut_times(times: np.ndarray, most: int, draws: np.random.Generator) -> list[int]:
    """Moments to cut at, ascending: always such at which rows are decided, because just those are cut to the quick.

    Parameters
    ----------
    times
        When rows are decided, int64 (rows,), in any order.
    most
        How many moments at most, the last one included.
    draws
        Random numbers.

    Returns
    -------
    Every moment if there are no more. Else one from each stretch of the session with equally many rows: in turn that
    of most rows, and any.
    """
    moments, counts = np.unique(times, return_counts=True)
    if len(moments) <= most:
        return [int(moment) for moment in moments]
    stretch = np.cumsum(counts)[:-1] * (most - 1) // len(times)
    chosen = {int(moments[-1])}
    for i in range(most - 1):
        at = np.flatnonzero(stretch == i)
        if len(at):
            chosen.add(int(moments[at[int(np.argmax(counts[at])) if i % 2 == 0 else int(draws.integers(len(at)))]]))
    return sorted(chosen)
