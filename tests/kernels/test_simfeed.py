"""Merged feeds against a sort in Python."""

from __future__ import annotations

import numpy as np
import pytest

from raypipe.kernels._jit import as_input
from raypipe.kernels.simfeed import TRADE_WORDS, merge_feed

WORDS = 46


def records(ts: list[int], instrument: int, *, traded: set[int] = frozenset()) -> np.ndarray:
    rows = np.arange(len(ts) * WORDS, dtype=np.int64).reshape(-1, WORDS) + 1_000 * instrument
    rows[:, 0], rows[:, 1] = instrument, ts
    rows[:, 3] = [(84 if at in traded else 65) << 32 for at in ts]
    return rows


def merge(lead: np.ndarray, others: np.ndarray, last: np.ndarray, dice: int = 0) -> tuple[np.ndarray, np.ndarray]:
    n = len(lead) + len(others)
    rows, trades = np.empty((n, WORDS), np.int64), np.empty((n, TRADE_WORDS), np.int64)
    found = merge_feed(as_input(lead), as_input(others), as_input(np.full(n, dice, np.int64)), last, rows, trades)
    return rows, trades[:found]


def test_records_are_merged_by_time_and_the_leading_ones_come_first() -> None:
    lead, others = records([1, 5, 5, 9], 7, traded={5}), records([0, 5, 9, 10], 8, traded={10})
    rows, trades = merge(lead, others, np.zeros(4, np.int64))
    assert list(zip(rows[:, 1].tolist(), rows[:, 0].tolist(), strict=True)) == [
        *((0, 8), (1, 7), (5, 7), (5, 7)),
        *((5, 8), (9, 7), (9, 8), (10, 8)),
    ]
    kept = [k for k in range(WORDS) if k not in (4, 5)]
    both = np.concatenate([lead, others])
    order = np.lexsort((both[:, 0], both[:, 1]))
    assert np.array_equal(rows[:, kept], both[order][:, kept])
    assert np.array_equal(trades, rows[[2, 3, 7], :TRADE_WORDS])


def test_events_are_numbered_on_from_the_piece_before() -> None:
    last = np.zeros(4, np.int64)
    first, _ = merge(records([5, 5, 6], 7), records([5], 8), last)
    second, _ = merge(records([6, 7], 7), records([], 8), last)
    assert (first[:, 5] >> 32).tolist() == [1, 1, 2, 3]
    assert (second[:, 5] >> 32).tolist() == [3, 4]


@pytest.mark.parametrize(("dice", "late"), [(0, 90_000), (2**32 - 1, 329_999)])
def test_receipt_is_later_and_never_falls(dice: int, late: int) -> None:
    last = np.zeros(4, np.int64)
    rows, _ = merge(records([10, 10_000], 7), records([], 8), last, dice)
    assert (rows[:, 4] - rows[:, 1]).tolist() == [late, late]
    assert ((rows[:, 5] & 0xFFFFFFFF) == 12_000 + (dice & 8_191)).all()
    sooner, _ = merge(records([10_001], 7), records([], 8), last, 0)
    assert sooner[0, 4] == max(10_001 + 90_000, rows[-1, 4])


def test_nothing_merges_to_nothing() -> None:
    rows, trades = merge(records([], 7), records([], 8), np.zeros(4, np.int64))
    assert rows.shape == (0, WORDS)
    assert trades.shape == (0, TRADE_WORDS)
