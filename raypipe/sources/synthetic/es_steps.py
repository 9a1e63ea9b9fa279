"""What happens in a simulated ES book and when: how busy each minute is, the pre-open, and the planted scripts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from raypipe.kernels.simbook import ADD, ASK, AUCTION, BID, CANCEL, CLEAR, PRE_ADD, RANDOM, WALL_SET
from raypipe.sources.synthetic.draws import Draws
from raypipe.sources.synthetic.es_days import SECOND_NS, EsDay

__all__ = [
    "STEP_COLUMNS",
    "Pace",
    "Scripted",
    "auction",
    "bounce_script",
    "break_script",
    "merged",
    "random_steps",
    "script_steps",
]

#: Columns of a step; see `raypipe.kernels.simbook`.
STEP_COLUMNS = 7
_TS, _KIND, _TARGET, _DEPTH, _SIDE, _TICK, _LOTS = range(STEP_COLUMNS)
_MINUTE_NS = 60 * SECOND_NS
#: Steps of a minute at activity 1, and the fewest at any: a minute without a trade would be a gap in coverage.
_HOURS_STEPS, _NIGHT_STEPS, _HOURS_FLOOR, _NIGHT_FLOOR, _BUSY_FLOOR = 3_000, 320, 24, 6, 420
_HOURS_DEPTH, _NIGHT_DEPTH = 60, 24
#: No event in the last instants of a minute: its receipt would fall into the next file at midnight UTC.
_MINUTE_USED_NS = _MINUTE_NS - 10_000_000
# Cancels of one scripted step take a nanosecond each.
_SPACING_NS = 32
_ZONE = 8
_WALL_LOTS, _VACUUM_LOTS, _RESTING_LOTS = 900, 60, 80
_PIECE = 10


@dataclass(frozen=True, slots=True)
class Scripted:
    """A step that is not drawn: time, kind, side, absolute tick and contracts."""

    ts_ns: int
    kind: int
    side: int = BID
    tick: int = 0
    lots: int = 0


@dataclass(frozen=True, slots=True)
class Pace:
    """Expected steps and usual contracts of a level, per minute of a session, from its start to its halt.

    Attributes
    ----------
    steps
        float64 (minutes,).
    depth
        int64 (minutes,).
    """

    steps: NDArray[np.float64]
    depth: NDArray[np.int64]

    @classmethod
    def of(cls, day: EsDay, activity: float) -> Pace:
        """The leading contract's: thin at night, U-shaped in regular hours, busy around the planted touches."""
        minute = day.start_ns + _MINUTE_NS * np.arange((day.halt_ns - day.start_ns) // _MINUTE_NS)
        opened, closed = day.session.open_ns, day.session.close_ns
        hours = (minute >= opened) & (minute < closed)
        x = 2 * (minute - opened) / (closed - opened) - 1
        steps = np.where(hours, activity * _HOURS_STEPS * (0.7 + 0.9 * x * x), activity * _NIGHT_STEPS)
        floor = np.where(hours, _HOURS_FLOOR, _NIGHT_FLOOR)
        floor = np.where(_busy(day, minute), _BUSY_FLOOR, floor)
        return cls(np.maximum(steps, floor), np.where(hours, _HOURS_DEPTH, _NIGHT_DEPTH).astype(np.int64))

    def thinned(self, share: float) -> Pace:
        """The same hours with a share of the steps and a third of the depth."""
        return Pace(self.steps * share, np.maximum(self.depth // 3, 6))


def _busy(day: EsDay, minute: NDArray[np.int64]) -> NDArray[np.bool_]:
    hour = int(day.bounce_time)
    spans = (("06:28", "06:34"), ("09:03", "09:09"), ("10:26", "10:35"), (f"{hour - 1:02d}:56", f"{hour:02d}:05"))
    return np.asarray(np.any([(minute >= day.at(a)) & (minute < day.at(b)) for a, b in spans], axis=0))


def random_steps(draws: Draws, pace: Pace, day: EsDay, minutes: range, fair: NDArray[np.int64]) -> NDArray[np.int64]:
    """Drawn steps of some minutes of a session.

    Parameters
    ----------
    draws
        When they happen.
    pace
        How many.
    day
        The session's plan.
    minutes
        Counted from the session's start.
    fair
        Fair price of each second of these minutes, sixteenths of a tick of the book's array.

    Returns
    -------
    int64 (n, STEP_COLUMNS), in order of time.
    """
    part = slice(minutes.start, minutes.stop)
    dice = draws.uniform(len(minutes))
    count = np.floor(pace.steps[part] * (0.7 + 0.6 * dice) + draws.uniform(len(minutes))).astype(np.int64)
    minute = np.repeat(np.arange(len(minutes)), count)
    at = np.sort(minute * _MINUTE_NS + (draws.uniform(len(minute)) * _MINUTE_USED_NS).astype(np.int64))
    steps = np.zeros((len(at), STEP_COLUMNS), np.int64)
    steps[:, _TS] = day.start_ns + minutes.start * _MINUTE_NS + at
    steps[:, _KIND] = RANDOM
    steps[:, _TARGET] = fair[at // SECOND_NS]
    steps[:, _DEPTH] = pace.depth[part][minute]
    steps[_near_touch(day, steps[:, _TS]), _LOTS] = 1
    return steps


def _near_touch(day: EsDay, ts_ns: NDArray[np.int64]) -> NDArray[np.bool_]:
    """When no taker sweeps: a planted touch is the only trade of its instant, whichever of several one counts."""
    hour = int(day.bounce_time)
    spans = (("10:29:00", "10:31:00"), (f"{hour - 1:02d}:59:00", f"{hour:02d}:01:00"))
    return np.asarray(np.any([(ts_ns >= day.at(a)) & (ts_ns < day.at(b)) for a, b in spans], axis=0))


def script_steps(scripted: Sequence[Scripted], origin: int) -> NDArray[np.int64]:
    """Scripted steps as rows, ticks counted from the book's own first."""
    steps = np.zeros((len(scripted), STEP_COLUMNS), np.int64)
    for name, column in (("ts_ns", _TS), ("kind", _KIND), ("side", _SIDE), ("tick", _TICK), ("lots", _LOTS)):
        steps[:, column] = [getattr(each, name) for each in scripted]
    steps[:, _TICK] -= origin
    return steps


def merged(*parts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Steps in order of time, some nanoseconds apart."""
    steps = np.concatenate(parts)
    steps = steps[np.argsort(steps[:, _TS], kind="stable")]
    spaced = _SPACING_NS * np.arange(len(steps))
    steps[:, _TS] = np.maximum.accumulate(steps[:, _TS] - spaced) + spaced
    return steps


def auction(day: EsDay, draws: Draws, ticks: int, levels: int) -> Iterator[Scripted]:
    """A cleared book from 17:45 on, orders that cross at the end, and the auction at 18:00."""
    start_ns, n = day.at("17:45:00"), 4 * levels
    yield Scripted(start_ns, CLEAR)
    place, dice = draws.order(2 * n), draws.uniform(2 * n)
    gap_ns = (day.start_ns - 60 * SECOND_NS - start_ns) // (2 * n + 1)
    for k in range(2 * n):
        side, away = (BID, ASK)[int(place[k]) // n], int(place[k]) % levels
        tick = ticks - 1 - away if side == BID else ticks + 1 + away
        yield Scripted(start_ns + (k + 1) * gap_ns, PRE_ADD, side, tick, 2 + int(dice[k] * 9))
    late_ns = day.start_ns - 30 * SECOND_NS
    for k, (side, away) in enumerate(((BID, 1), (ASK, -1), (BID, 2), (ASK, 0), (BID, 0), (ASK, -2))):
        yield Scripted(late_ns + k * SECOND_NS, PRE_ADD, side, ticks + away, 6 + 2 * k)
    yield Scripted(day.start_ns + 1_000_000, AUCTION)


def break_script(day: EsDay, high: int) -> Iterator[Scripted]:
    """Asks around the pre-market's high are there until 10:28, and gone when the price comes at 10:30."""
    zone = range(high - _ZONE, high + _ZONE + 1)
    resting_ns, gone_ns, over_ns = day.at("10:20:00"), day.at("10:28:00"), day.at("10:34:00")
    for k, tick in enumerate(zone):
        for piece in range(_RESTING_LOTS // _PIECE):
            yield Scripted(resting_ns + (17 * piece + k) * SECOND_NS, ADD, ASK, tick, _PIECE)
        yield Scripted(gone_ns + k, WALL_SET, ASK, tick, -_VACUUM_LOTS)
        yield Scripted(gone_ns + (10 + 5 * k) * SECOND_NS, CANCEL, ASK, tick, _RESTING_LOTS)
        yield Scripted(over_ns + k, WALL_SET, ASK, tick, 0)


def bounce_script(day: EsDay, low: int, activity: float) -> Iterator[Scripted]:
    """Bids right above the pre-market's low grow into a wall before the price comes, and hold."""
    hour = int(day.bounce_time)
    start_ns, over_ns = day.at(f"{hour - 1:02d}:58:05"), day.at(f"{hour:02d}:05:00")
    pieces = round(_WALL_LOTS * (1 + 2 * activity)) // (3 * _PIECE) + 1
    for k in range(3):
        tick = low + day.touch_ticks - k
        yield Scripted(start_ns + k, WALL_SET, BID, tick, pieces * _PIECE)
        for piece in range(pieces):
            yield Scripted(start_ns + (1 + piece * 100 // pieces) * SECOND_NS + k, ADD, BID, tick, _PIECE)
        yield Scripted(over_ns + k, WALL_SET, BID, tick, 0)
