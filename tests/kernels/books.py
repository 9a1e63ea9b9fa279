"""Made-up order books for tests: a market of many levels of which ten are shown, and the arrays that kernels take."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from raypipe.kernels.book import Book, BookColumns, BookScan, Prints
from tests.reference.book import ASK, BID, DEPTH, F_LAST, Record, Trade

START = 1_736_951_400_000_000_000
CODES = {"A": 65, "C": 67, "M": 77, "R": 82, "T": 84, "": 0}


class Market:
    """Resting size by price on both sides, deeper than what is shown."""

    def __init__(self, rng: np.random.Generator, levels: int = 14, mid: int = 24_000) -> None:
        self.rng = rng
        self.sides = (
            {mid - 1 - k: int(rng.integers(1, 60)) for k in range(levels)},
            {mid + k: int(rng.integers(1, 60)) for k in range(levels)},
        )

    def shown(self, side: int) -> tuple[tuple[int, int], ...]:
        return tuple(sorted(self.sides[side].items(), reverse=side == BID)[:DEPTH])

    def best(self, side: int) -> int | None:
        book = self.sides[side]
        return (min(book) if side == ASK else max(book)) if book else None

    def record(self, ts: int, action: str, flags: int, side: int, tick: int, size: int) -> Record:
        return Record(ts, action, flags, side, tick, size, self.shown(BID), self.shown(ASK))


def random_records(seed: int, count: int = 300, step_ns: int = 10**9, odd: float = 0.1) -> list[Record]:
    """Adds, cancels, modifications and trades at random; ``odd`` is the share of clears, bad books and open events."""
    rng = np.random.default_rng(seed)
    market = Market(rng, int(rng.integers(3, 16)))
    records: list[Record] = []
    ts = START
    while len(records) < count:
        ts = max(ts, records[-1].ts if records else ts)  # a taker may end later than it began
        ts += int(rng.choice([0, 1, step_ns // 7, step_ns], p=[0.15, 0.05, 0.3, 0.5]))
        side = int(rng.integers(2))
        sign = 1 if side == BID else -1
        kind = rng.random()
        flags = F_LAST if rng.random() > odd else int(rng.choice([0, F_LAST | 32, F_LAST | 4, 8]))
        if kind < 0.45:
            records.append(_add(market, rng, ts, side, sign, flags, odd))
        elif kind < 0.75:
            records += _remove(market, rng, ts, side, sign, flags)
        elif kind < 1 - odd / 20:
            records += _trade(market, rng, ts, side, odd)
        else:
            market.sides = ({}, {})
            records.append(market.record(ts, "R", flags, 0, 0, 0))
    return records


def _add(market: Market, rng: np.random.Generator, ts: int, side: int, sign: int, flags: int, odd: float) -> Record:
    other = market.best(1 - side)
    reach = int(rng.integers(1, 14))
    tick = (other - sign * reach) if other is not None else 24_000 - sign * reach
    if other is not None and rng.random() < odd / 10:
        tick = other + sign  # through the other side: a crossed book
    size = int(rng.integers(1, 40))
    market.sides[side][tick] = market.sides[side].get(tick, 0) + size
    return market.record(ts, "A", flags, sign, tick, size)


def _remove(market: Market, rng: np.random.Generator, ts: int, side: int, sign: int, flags: int) -> list[Record]:
    book = market.sides[side]
    if not book:
        return []
    bid, ask = market.best(BID), market.best(ASK)
    crossed = bid is not None and ask is not None and bid >= ask
    tick = market.best(side) if crossed else int(rng.choice(list(book)))
    gone = book[tick] if crossed else int(rng.integers(1, book[tick] + 1))
    _take(book, tick, gone)
    return [market.record(ts, str(rng.choice(["C", "M"])), flags, sign, tick, gone)]


def _take(book: dict[int, int], tick: int, size: int) -> None:
    book[tick] -= size
    if book[tick] <= 0:
        del book[tick]


def _trade(market: Market, rng: np.random.Generator, ts: int, side: int, odd: float) -> list[Record]:
    """A taker at up to three prices: trades first, then what they took, the last record closing the event."""
    made: list[Record] = []
    taken: list[tuple[int, int]] = []
    aggressor = 1 if side == ASK else -1
    told = aggressor if rng.random() > odd else 0
    for tick, there in market.shown(side)[: int(rng.integers(1, 4))]:
        size = int(rng.integers(1, there + 1))
        hidden = int(rng.integers(0, 3)) if rng.random() < odd else 0
        made.append(market.record(ts, "T", 0, told, tick, size + hidden))
        taken.append((tick, size))
        if size < there:
            break
    for k, (tick, size) in enumerate(taken):
        _take(market.sides[side], tick, size)
        last = F_LAST if k == len(taken) - 1 else 0
        ts += int(rng.random() < odd) if k else 0
        made.append(market.record(ts, "C" if rng.random() < 0.5 else "M", last, -aggressor, tick, size))
    return made


def columns_of(records: Sequence[Record]) -> BookColumns:
    """Records as the columns of bronze; ticks of absent levels are garbage, as under a null."""
    count = len(records)
    ticks, sizes = np.full((2, DEPTH, count), -77, np.int32), np.zeros((2, DEPTH, count), np.uint32)
    for i, record in enumerate(records):
        for side, levels in enumerate((record.bids, record.asks)):
            for k, (tick, size) in enumerate(levels):
                ticks[side, k, i], sizes[side, k, i] = tick, size
    return BookColumns(
        np.array([r.ts for r in records], np.int64),
        np.array([CODES[r.action] for r in records], np.uint8),
        np.array([F_LAST if r.flags is None else r.flags for r in records], np.uint8),
        np.array([r.side for r in records], np.int8),
        np.array([r.tick for r in records], np.int32),
        np.array([r.size for r in records], np.uint32),
        tuple(ticks[0]),
        tuple(ticks[1]),
        tuple(sizes[0]),
        tuple(sizes[1]),
    )


def part(columns: BookColumns, rows: slice) -> BookColumns:
    """Some rows of the columns."""
    heads = [values[rows] for values in columns[:6]]
    levels = [tuple(values[rows] for values in group) for group in columns[6:]]
    return BookColumns(*heads, *levels)


def words_of(records: Sequence[Record], instrument: int = 7, words: int = 46) -> np.ndarray:
    """Records in Databento's layout, prices of 0.25 a tick."""
    none = np.iinfo(np.int64).max
    made = np.zeros((len(records), words), np.int64)
    for i, r in enumerate(records):
        letter = {1: ord("B"), -1: ord("A"), 0: ord("N")}[r.side]
        flags = F_LAST if r.flags is None else r.flags
        made[i, 0] = (words * 2) | 10 << 8 | instrument << 32
        made[i, 1], made[i, 2] = r.ts, r.tick * 250_000_000
        made[i, 3] = r.size | CODES[r.action] << 32 | letter << 40 | flags << 48
        for k in range(DEPTH):
            at = 6 + 4 * k
            made[i, at : at + 2] = none
            for side, levels in enumerate((r.bids, r.asks)):
                if k < len(levels):
                    made[i, at + side] = levels[k][0] * 250_000_000
                    made[i, at + 2] |= levels[k][1] << 32 * side
    return made


def prints_of(trades: Sequence[Trade]) -> Prints:
    kinds = (np.int64, np.int32, np.int64, np.int8)
    return Prints(*(np.array([t[k] for t in trades], kind) for k, kind in enumerate(kinds)))


def scan(
    records: Sequence[Record], marks: Sequence[int] = (), pieces: int = 10**9, trades: Sequence[Trade] = ()
) -> Book:
    """The pass over some records, in pieces of a length."""
    one = BookScan(np.array(sorted(marks), np.int64), prints_of(trades))
    columns = columns_of(records)
    for start in range(0, len(records), pieces):
        one.columns(part(columns, slice(start, start + pieces)))
    return one.finish()


def changes_of(book: Book) -> list[tuple[int, ...]]:
    """Rows of the flow as tuples."""
    return list(zip(*(values.tolist() for values in book.flow), strict=True))
