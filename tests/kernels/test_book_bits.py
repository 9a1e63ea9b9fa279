"""Levels that two records differ in, found as bits, against looking at each of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.kernels import _book_bits as bits
from raypipe.kernels._jit import kernel
from raypipe.kernels.book import DEPTH, BookScan
from tests.kernels.books import columns_of, random_records, words_of
from tests.reference.book import Record

HEAD = 6
#: Fields of a level after its two prices: sizes, the bid's in the low half, and counts.
SIZES, COUNTS = 2, 3


@kernel
def compared(words, one, other):
    low, high = bits.book_differences(words, np.uint64(one), np.uint64(other))
    alone = bool(low | high != np.uint64(0)) and bits.is_one_bit(low, high)
    return bits.changed_levels(low, high), alone


@kernel
def ends(mask):
    return bits.first_bit(mask), bits.last_bit(mask)


@given(st.integers(0, 10_000), st.sampled_from([46, 47]))
def test_changed_levels_are_those_whose_price_or_size_differs(seed, width):
    rng = np.random.default_rng(seed)
    rows = np.tile(rng.integers(-(2**63), 2**63 - 1, width), (2, 1))
    changed = []
    for _ in range(int(rng.integers(0, 4))):
        level, field, bit = int(rng.integers(DEPTH)), int(rng.integers(4)), int(rng.integers(64))
        if (level, field, bit) not in changed:
            changed.append((level, field, bit))
            rows[1, HEAD + 4 * level + field] ^= np.uint64(1 << bit).astype(np.int64)
    rows[1, :HEAD] += 1  # the head is not compared
    sides = [0, 0]
    for level, field, bit in changed:
        if field != COUNTS:
            sides[field if field != SIZES else int(bit >= 32)] |= 1 << level
    (bids, asks), alone = compared(rows.reshape(-1), width, 0)
    assert [bids, asks] == sides
    assert compared(rows.reshape(-1), 0, width) == ((bids, asks), alone)
    halves = {(level, field, bit >= 32) for level, field, bit in changed if field != COUNTS}
    assert alone == (len(halves) == 1 and next(iter(halves))[0] < 8)


@pytest.mark.parametrize("mask", [1, 2, 0b1010, 0x200, 0x3FF])
def test_first_and_last_bit(mask):
    assert ends(mask) == (bin(mask)[::-1].index("1"), mask.bit_length() - 1)


@pytest.mark.parametrize("down", [0, 50_000])
@pytest.mark.parametrize("nanos", [1, 3, 10_000_000, 250_000_000])
def test_prices_between_ticks_fall_to_the_tick_below(nanos, down):
    """As whole division does, of either sign."""
    records = [moved(record, -down) for record in random_records(5, 60)]
    rng = np.random.default_rng(nanos)
    words = words_of(records)
    prices = np.r_[2, [HEAD + 4 * k + s for k in range(DEPTH) for s in (0, 1)]]
    there = words[:, prices] != np.iinfo(np.int64).max
    between = words[:, prices] // 250_000_000 * nanos + rng.integers(0, nanos, there.shape)
    words[:, prices] = np.where(there, between, words[:, prices])
    one, other = BookScan(np.empty(0, np.int64)), BookScan(np.empty(0, np.int64))
    one.records(words, 7, nanos)
    other.columns(columns_of(records))
    for found, wanted in zip(one.finish().flow, other.finish().flow, strict=True):
        assert np.array_equal(found, wanted)


def moved(record: Record, ticks: int) -> Record:
    """The same book at other prices."""
    sides = (tuple((tick + ticks, size) for tick, size in levels) for levels in (record.bids, record.asks))
    return Record(*record[:4], record.tick + ticks, record.size, *sides)
