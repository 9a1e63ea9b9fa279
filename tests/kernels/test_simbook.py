"""The simulated book, order by order, against a book of Python lists."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from raypipe.kernels._jit import as_input
from raypipe.kernels._simbook import (
    ASK,
    BID,
    COUNT,
    HEAD,
    HEADER,
    HIGHEST,
    LOWEST,
    ORIGIN,
    QUEUE,
    ROW_WORDS,
    ROWS,
    SPAN,
    STATES,
    TOTAL,
)
from raypipe.kernels.simbook import ADD, AUCTION, CANCEL, CLEAR, MAX_ROWS, PRE_ADD, RANDOM, WALL_SET, run_book

NO_PRICE = 2**63 - 1
MIDDLE = 4_000


class Book:
    """The kernel with its arrays."""

    def __init__(self) -> None:
        self.orders = np.zeros((2, SPAN, QUEUE), np.int32)
        self.levels = np.zeros((4, 2, SPAN), np.int32)
        self.state = np.full(STATES, -1, np.int64)
        self.state[[LOWEST, HIGHEST, HEADER, ORIGIN, ROWS]] = SPAN, -1, 92 | (10 << 8), 20_000, 0

    def run(self, steps: list[tuple[int, ...]], words: np.ndarray | None = None) -> list[dict]:
        array = np.array(steps, np.int64)
        words = np.zeros((len(steps), 2), np.int64) if words is None else words
        rows, changes = (
            np.empty((20 * len(steps) + MAX_ROWS, ROW_WORDS), np.int64),
            np.zeros((20 * len(steps) + MAX_ROWS, 5), np.int32),
        )
        self.state[ROWS] = 0
        done = run_book(self.orders, self.levels, self.state, as_input(array), as_input(words), rows, changes, 0)
        assert done == len(steps)
        return [shown(rows[k], changes[k]) for k in range(self.state[ROWS])]


def shown(row: np.ndarray, change: np.ndarray) -> dict:
    word = int(row[3])
    sides = {}
    for side, name in ((0, "bid"), (1, "ask")):
        found = []
        for level in range(10):
            if row[6 + 4 * level + side] != NO_PRICE:
                size, count = (int(row[k + 4 * level]) >> 32 * side & 0xFFFFFFFF for k in (8, 9))
                found.append((int(row[6 + 4 * level + side]) // 250_000_000 - 20_000, size, count))
        sides[name] = found
    return {
        "ts": int(row[1]),
        "tick": None if row[2] == NO_PRICE else int(row[2]) // 250_000_000 - 20_000,
        "size": word & 0xFFFFFFFF,
        "action": chr(word >> 32 & 255),
        "side": chr(word >> 40 & 255),
        "flags": word >> 48 & 255,
        "depth": word >> 56,
        "change": tuple(change.tolist()),
        **sides,
    }


def step(ts: int, kind: int, side: int = BID, tick: int = 0, lots: int = 0) -> tuple[int, ...]:
    return ts, kind, 16 * MIDDLE, 20, side, tick, lots


def filled_book(lots: int = 10, levels: int = 12) -> Book:
    book = Book()
    steps = [step(k, PRE_ADD, BID, MIDDLE - 1 - k, lots) for k in range(levels)]
    book.run(steps + [step(levels + k, PRE_ADD, ASK, MIDDLE + k, lots) for k in range(levels)])
    return book


def test_orders_beyond_ten_levels_are_not_shown() -> None:
    book = Book()
    rows = book.run([step(k, PRE_ADD, ASK, MIDDLE + k, 5) for k in range(12)])
    assert [row["depth"] for row in rows] == list(range(10))
    assert rows[-1]["ask"] == [(MIDDLE + k, 5, 1) for k in range(10)]
    assert rows[-1]["bid"] == []
    assert {row["action"] + row["side"] for row in rows} == {"AA"}
    assert {row["flags"] for row in rows} == {130}


def test_a_clear_has_no_price_and_no_book() -> None:
    (row,) = Book().run([step(1, CLEAR)])
    assert (row["action"], row["side"], row["tick"], row["bid"], row["ask"]) == ("R", "N", None, [], [])


def test_an_order_joins_its_queue_and_a_cancel_takes_the_oldest() -> None:
    book = filled_book()
    added, canceled = book.run([step(50, ADD, ASK, MIDDLE, 7), step(60, CANCEL, ASK, MIDDLE, 1)])
    assert added["ask"][0] == (MIDDLE, 17, 2)
    assert added["change"] == (ASK, MIDDLE, 7, 0, 0)
    assert canceled["ask"][0] == (MIDDLE, 7, 1)
    assert (canceled["action"], canceled["size"], canceled["change"]) == ("C", 10, (ASK, MIDDLE, 0, 10, 0))


def test_an_order_that_would_cross_is_not_taken() -> None:
    assert filled_book().run([step(50, ADD, BID, MIDDLE, 7)]) == []


def test_the_last_order_of_a_side_stays() -> None:
    book = Book()
    book.run([step(0, PRE_ADD, BID, MIDDLE, 3), step(1, PRE_ADD, ASK, MIDDLE + 1, 3)])
    assert book.run([step(5, CANCEL, BID, MIDDLE, 50)]) == []


def taker(dice: int, more: int, target: int) -> tuple[list[tuple[int, ...]], np.ndarray]:
    return [(100, RANDOM, target, 20, 0, 0, 0)], np.array([[dice, more]], np.int64)


def test_a_taker_shows_trades_before_the_fills() -> None:
    book = filled_book()
    # Far above: the dice clear the best level and take three contracts of the next.
    rows = book.run(*taker(3 << 17, 0, 16 * (MIDDLE + 50)))
    assert [(r["action"], r["side"], r["tick"], r["size"], r["flags"]) for r in rows] == [
        ("T", "B", MIDDLE, 10, 0),
        ("T", "B", MIDDLE + 1, 3, 0),
        ("C", "A", MIDDLE, 10, 0),
        ("M", "A", MIDDLE + 1, 7, 130),
    ]
    assert rows[0]["ask"] == rows[1]["ask"]
    assert rows[0]["ask"][0] == (MIDDLE, 10, 1)
    assert rows[3]["ask"][0] == (MIDDLE + 1, 7, 1)
    assert [r["change"][2:] for r in rows] == [(0, 0, 0), (0, 0, 0), (0, 0, 10), (0, 0, 3)]
    assert len({r["ts"] for r in rows}) == 1


def test_a_wall_is_not_cleared_at_once() -> None:
    book = filled_book()
    rows = book.run([step(50, WALL_SET, ASK, MIDDLE, 10)])
    assert rows == []
    rows = book.run(*taker(3 << 17, 1 << 16, 16 * (MIDDLE + 50)))
    assert [(r["action"], r["size"]) for r in rows] == [("T", 1), ("M", 9)]


def test_the_auction_leaves_an_uncrossed_book() -> None:
    book = filled_book()
    crossing = [step(40, PRE_ADD, BID, MIDDLE + 2, 25), step(41, PRE_ADD, ASK, MIDDLE - 3, 4)]
    rows = book.run([*crossing, step(50, AUCTION)])
    last = rows[-1]
    assert last["bid"][0][0] < last["ask"][0][0]
    trades = [r for r in rows if r["action"] == "T"]
    assert {r["side"] for r in trades} == {"N"}
    filled = sum(r["change"][4] for r in rows)
    assert filled == 2 * sum(r["size"] for r in trades) > 0


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_rows_follow_from_their_changes(seed: int) -> None:
    """The shown book is the one before with the change applied, and totals are sums over orders."""
    book, bits = filled_book(40, 30), np.random.default_rng(seed)
    words = bits.integers(0, 2**63, (400, 2))
    steps = [(100 + 40 * k, RANDOM, 16 * MIDDLE + 40 * (k // 20 % 5), 30, 0, 0, 0) for k in range(400)]
    rows = book.run(steps, words)
    assert len(rows) > 300
    for before, after in itertools.pairwise(rows):
        side, tick, added, canceled, filled = after["change"]
        for k, name in enumerate(("bid", "ask")):
            old, new = ({t: lots for t, lots, _ in row[name]} for row in (before, after))
            if k == side and (added or canceled or filled):
                assert new.get(tick, 0) - old.get(tick, 0) == added - canceled - filled
            shared = (old.keys() & new.keys()) - ({tick} if k == side else set())
            assert all(old[t] == new[t] for t in shared)
        assert after["bid"][0][0] < after["ask"][0][0] or after["flags"] == 0
    actions = {row["action"] for row in rows}
    assert actions == {"A", "C", "M", "T"}
    assert np.array_equal(totals(book), book.levels[TOTAL])
    assert (book.levels[COUNT] >= 0).all()


def totals(book: Book) -> np.ndarray:
    place = np.arange(QUEUE)
    first, count = book.levels[HEAD][..., None], book.levels[COUNT][..., None]
    there = (place - first) % QUEUE < count
    return np.where(there, book.orders, 0).sum(axis=-1)


def test_equal_words_give_equal_books() -> None:
    words = np.random.default_rng(5).integers(0, 2**63, (200, 2))
    steps = [(100 + 40 * k, RANDOM, 16 * MIDDLE, 30, 0, 0, 0) for k in range(200)]
    first, second = filled_book(), filled_book()
    assert first.run(steps, words) == second.run(steps, words)
    assert np.array_equal(first.orders, second.orders)
