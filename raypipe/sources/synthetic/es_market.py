"""A simulated session of ES: two contracts with a book each, and prints of the spread between them, in one feed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from raypipe.kernels._jit import as_input
from raypipe.kernels.simbook import (
    HEADER,
    HIGHEST,
    LOWEST,
    ORIGIN,
    QUEUE,
    ROW_WORDS,
    ROWS,
    SPAN,
    STATES,
    TICK_E9,
    run_book,
)
from raypipe.kernels.simfeed import TRADE_WORDS, merge_feed
from raypipe.sources.synthetic.draws import Draws
from raypipe.sources.synthetic.es_days import SECOND_NS, Contract, EsDay
from raypipe.sources.synthetic.es_path import SIXTEENTHS, day_legs, fair_prices, night_legs
from raypipe.sources.synthetic.es_spread import spread_rows
from raypipe.sources.synthetic.es_steps import (
    Pace,
    Scripted,
    auction,
    bounce_script,
    break_script,
    merged,
    random_steps,
    script_steps,
)

__all__ = ["Feed", "Prints", "header_of", "simulate"]

_MINUTE_NS = 60 * SECOND_NS
_BLOCK_MINUTES = 30
_CAPACITY = 32_768
_OTHER_SHARE = 0.03
_LEVELS = 30
#: Streams of one session.
_PATH, _LEAD, _OTHER, _SPREAD, _CLOCK = range(1, 6)
_RTYPE, _PUBLISHER = 10, 1
_BUY, _SELL = 66, 65


def header_of(instrument_id: int, words: int = ROW_WORDS, rtype: int = _RTYPE) -> int:
    """First word of an instrument's records: length in 32-bit words, type, publisher, instrument."""
    return (2 * words) | (rtype << 8) | (_PUBLISHER << 16) | (instrument_id << 32)


@dataclass(frozen=True, slots=True)
class Prints:
    """Trades of one contract, arrays (n,) in order.

    Attributes
    ----------
    ts_ns, ticks, lots
        int64.
    side
        Aggressor, int8: 1 buy, -1 sell, 0 none.
    """

    ts_ns: NDArray[np.int64]
    ticks: NDArray[np.int64]
    lots: NDArray[np.int64]
    side: NDArray[np.int8]

    @classmethod
    def of(cls, trades: NDArray[np.int64], contract: Contract) -> Prints:
        """The trades of one contract among records, int64 (n, 6)."""
        trades = trades[trades[:, 0] >> 32 == contract.instrument_id]
        code = (trades[:, 3] >> 40) & 255
        side = np.where(code == _BUY, 1, np.where(code == _SELL, -1, 0)).astype(np.int8)
        return cls(trades[:, 1].copy(), trades[:, 2] // TICK_E9, trades[:, 3] & 0xFFFFFFFF, side)

    @classmethod
    def joined(cls, parts: Sequence[Prints]) -> Prints:
        """One after another."""
        names = ("ts_ns", "ticks", "lots", "side")
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))

    def between(self, start_ns: int, end_ns: int) -> Prints:
        """Those in ``[start_ns, end_ns)``."""
        part = slice(*np.searchsorted(self.ts_ns, [start_ns, end_ns]).tolist())
        return Prints(self.ts_ns[part], self.ticks[part], self.lots[part], self.side[part])


@dataclass(frozen=True, slots=True)
class Feed:
    """A piece of a session's feed.

    Attributes
    ----------
    rows
        MBP-10 records as words, int64 (n, 46), all instruments, in the vendor's order.
    trades
        The first words of those that are trades, int64 (t, 6).
    lead_ns
        When each record of the leading contract happened, int64 (m,).
    changes
        Of the leading contract's records: side, absolute tick, contracts added, canceled and filled, int64 (m, 5).
    """

    rows: NDArray[np.int64]
    trades: NDArray[np.int64]
    lead_ns: NDArray[np.int64]
    changes: NDArray[np.int64]


class _Book:
    """The book of one contract through a session."""

    def __init__(self, contract: Contract, ticks: int, draws: Draws) -> None:
        self.origin = ticks - SPAN // 2
        self._draws = draws
        self._orders = np.zeros((2, SPAN, QUEUE), np.int32)
        self._levels = np.zeros((4, 2, SPAN), np.int32)
        self._state = np.full(STATES, -1, np.int64)
        self._state[[LOWEST, HIGHEST, HEADER, ORIGIN]] = SPAN, -1, header_of(contract.instrument_id), self.origin

    def run(self, steps: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Rows and changes of some steps, in pieces."""
        words = (self._draws.words(2 * len(steps)) >> np.uint64(1)).view(np.int64).reshape(-1, 2)
        steps, words, at = as_input(steps), as_input(words), 0
        while at < len(steps):
            rows, changes = np.empty((_CAPACITY, ROW_WORDS), np.int64), np.empty((_CAPACITY, 5), np.int32)
            self._state[ROWS] = 0
            at = run_book(self._orders, self._levels, self._state, steps, words, rows, changes, at)
            n = int(self._state[ROWS])
            moved = changes[:n].astype(np.int64)
            moved[:, 1] += self.origin
            yield rows[:n], moved


def simulate(seed: int, day: EsDay, activity: float) -> Iterator[Feed]:
    """Run a session.

    Parameters
    ----------
    seed
        The market's seed.
    day
        The session's plan.
    activity
        About 500 thousand trades and 2 million book records at 1.

    Yields
    ------
    Pieces of the feed, in order.
    """
    return _Session(seed, day, activity).feeds()


class _Session:
    """One session being simulated."""

    def __init__(self, seed: int, day: EsDay, activity: float) -> None:
        self._seed, self._day, self._activity = seed, day, activity
        pace = Pace.of(day, activity)
        self._paces = pace, pace.thinned(_OTHER_SHARE)
        self._clocks = self._draws(_CLOCK), self._draws(_CLOCK, 1)
        self._noise, self._spread, self._receipt = self._draws(_PATH), self._draws(_SPREAD), self._draws(_SPREAD, 1)
        ticks = day.open_ticks
        self._lead = _Book(day.lead, ticks, self._draws(_LEAD))
        self._other = _Book(day.other, ticks + day.other_above_ticks, self._draws(_OTHER))
        #: Receipt time, sequence, time and instrument of the last record.
        self._last = np.zeros(4, np.int64)

    def _draws(self, *key: int) -> Draws:
        return Draws(self._seed, "es", self._day.session.date.toordinal(), *key)

    def feeds(self) -> Iterator[Feed]:
        """The night, then the day that is planned from it."""
        day, opened = self._day, (self._day.session.open_ns - self._day.start_ns) // _MINUTE_NS
        scripts = list(auction(day, self._draws(_LEAD, 1), day.open_ticks, _LEVELS))
        early: list[Prints] = []
        fair = fair_prices(day, self._noise, day.start_ns, day.open_ticks, night_legs(day))
        for feed in self._half(range(opened), fair, scripts):
            early.append(Prints.of(feed.trades, day.lead).between(day.at("04:00:00"), day.session.open_ns))
            yield feed
        ticks = Prints.joined(early).ticks
        high, low = int(ticks.max()), int(ticks.min())
        fair = fair_prices(day, self._noise, day.session.open_ns, day.pm_high_ticks - 32, day_legs(day, high, low))
        scripts = [*break_script(day, high), *bounce_script(day, low, self._activity)]
        yield from self._half(range(opened, len(self._paces[0].steps)), fair, scripts)

    def _half(self, minutes: range, fair: NDArray[np.int64], scripts: Sequence[Scripted]) -> Iterator[Feed]:
        """The leading contract's pieces, with the other's and the spread's rows where they belong in time."""
        others = self._others(minutes, fair)
        for rows, changes in self._run(self._lead, 0, minutes, fair, scripts):
            cut = int(np.searchsorted(others[:, 1], rows[-1, 1])) if len(rows) else 0
            yield Feed(*self._stamped(rows, others[:cut]), rows[:, 1], changes)
            others = others[cut:]
        empty = np.empty((0, ROW_WORDS), np.int64)
        yield Feed(*self._stamped(empty, others), empty[:, 1], np.empty((0, 5), np.int64))

    def _others(self, minutes: range, fair: NDArray[np.int64]) -> NDArray[np.int64]:
        """Rows of the other contract and of the spread, in order of time."""
        day, above = self._day, self._day.other_above_ticks
        first = list(auction(day, self._draws(_OTHER, 1), day.open_ticks + above, _LEVELS)) if not minutes.start else []
        shifted = fair + above * SIXTEENTHS
        parts = [rows for rows, _ in self._run(self._other, 1, minutes, shifted, first)]
        start_ns = day.start_ns + minutes.start * _MINUTE_NS
        parts.append(spread_rows(day, self._spread, start_ns, len(minutes), self._activity))
        rows = np.concatenate(parts)
        return rows[np.argsort(rows[:, 1], kind="stable")]

    def _run(
        self, book: _Book, place: int, minutes: range, fair: NDArray[np.int64], scripts: Sequence[Scripted]
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Blocks of minutes of one book; scripted steps before the first minute belong to the first block."""
        day, scripted = self._day, script_steps(scripts, book.origin)
        target = fair - book.origin * SIXTEENTHS
        for start in range(minutes.start, minutes.stop, _BLOCK_MINUTES):
            block = range(start, min(start + _BLOCK_MINUTES, minutes.stop))
            end_ns = day.start_ns + block.stop * _MINUTE_NS
            due = scripted[:, 0] < end_ns
            second = 60 * (block.start - minutes.start)
            drawn = random_steps(
                self._clocks[place], self._paces[place], day, block, target[second : second + 60 * len(block)]
            )
            yield from book.run(merged(scripted[due], drawn))
            scripted = scripted[~due]

    def _stamped(
        self, lead: NDArray[np.int64], others: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Both in order of time, with receipt times and sequence numbers; and the trades among them."""
        n = len(lead) + len(others)
        rows, trades = np.empty((n, ROW_WORDS), np.int64), np.empty((n, TRADE_WORDS), np.int64)
        dice = as_input(self._receipt.halves(n), np.int64)
        found = merge_feed(as_input(lead), as_input(others), dice, self._last, rows, trades)
        return rows, trades[:found]
