"""The DBN kernels by themselves: counting, gathering, routing, and rows that do not fit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.kernels import dbn
from raypipe.schema.books import ES_MBP10, ES_TRADES
from raypipe.sources.databento_columns import Buffer
from tests.sources.dbn_files import ESH4, ESM4, at, books, trades

HEAD = 12 | 0 << 8
ALWAYS = (-(2**63), 2**63 - 1)


def words(rows: np.ndarray) -> np.ndarray:
    return rows.view(np.int64).reshape(len(rows), -1)


def table(**slots: int) -> np.ndarray:
    found = np.full((8, 2), -1, dtype=np.int64)
    for number, slot in slots.items():
        k = int(number[1:]) & 7
        while found[k, 0] != -1:
            k = (k + 1) & 7
        found[k] = int(number[1:]), slot
    return found


def test_leading_records_stop_at_the_first_other():
    rows = trades([at("14:30")] * 6)
    assert dbn.leading_records(words(rows), HEAD) == 6
    rows["rtype"][4] = 1
    assert dbn.leading_records(words(rows), HEAD) == 4


@given(st.lists(st.sampled_from([6, 8, 12, 14, 92]), max_size=30), st.integers(1, 5))
def test_gathering_is_walking_by_lengths(quads, room):
    stream = []
    for k, length in enumerate(quads):
        record = np.zeros(length // 2, dtype=np.int64)
        record[0] = length | (0 if length == 12 else 9) << 8
        record[1] = k
        stream.append(record)
    flat = np.concatenate([*stream, np.zeros(0, dtype=np.int64)])
    found, others, at_word, bad = [], 0, 0, False
    while at_word < len(flat) and not bad:
        wanted = np.zeros((room, 6), dtype=np.int64)
        step, copied, passed, bad = dbn.gather_records(flat[at_word:], HEAD, wanted)
        found += wanted[:copied, 1].tolist()
        others += passed
        at_word += step
    assert not bad
    assert found == [k for k, length in enumerate(quads) if length == 12]
    assert others == len(quads) - len(found)


@pytest.mark.parametrize("head", [0, 4 | 9 << 8, 13 | 9 << 8, 14])
def test_lengths_that_cannot_be_stop_the_walk(head):
    stream = np.zeros(20, dtype=np.int64)
    stream[0] = head
    assert dbn.gather_records(stream, HEAD, np.zeros((2, 6), dtype=np.int64)) == (0, 0, 0, True)


def test_routing_stops_at_what_it_does_not_know():
    rows = trades([at("14:30"), at("14:31"), at("23:00"), at("14:32")], ids=[ESH4, ESM4, ESM4, 7])
    slot_of = np.full(4, 9, dtype=np.int32)
    window = np.array([at("00:00"), at("22:00")])
    known = table(**{f"n{ESH4}": 0, f"n{ESM4}": 1})
    valid = np.array([ALWAYS, ALWAYS])
    excluded, counts = np.array([False, True]), np.zeros((2, 2), dtype=np.int64)
    assert dbn.route(words(rows), 0, window, known, valid, excluded, counts, slot_of) == (3, dbn.UNKNOWN)
    assert slot_of[:3].tolist() == [0, -1, -1]
    assert counts.tolist() == [[0, 0], [1, 1]]
    valid[0] = at("15:00"), at("16:00")
    assert dbn.route(words(rows), 0, window, known, valid, excluded, counts, slot_of) == (0, dbn.UNKNOWN)
    rows["ts_event"][1] = 5
    valid[0] = ALWAYS
    assert dbn.route(words(rows), 0, window, known, valid, excluded, counts, slot_of) == (1, dbn.BAD_EPOCH)


@pytest.mark.parametrize("make", [trades, books])
def test_rows_that_do_not_fit_are_left(make):
    rows = make(at("14:30") + np.arange(10) * 10**9)
    spec = ES_TRADES if make is trades else ES_MBP10
    buffer, codes = Buffer(spec, 4), np.zeros(10, dtype=np.uint8)
    tally = dbn.Tally(dbn.new_stats(1), np.zeros((1, 390), dtype=np.uint8))
    rules = dbn.Rules(250_000_000, 0, 2**62, at("14:30"), at("21:00"))
    slot_of, chosen = np.zeros(10, dtype=np.int32), np.arange(10)
    for first in (0, 4, 8):
        used, buffer.rows = dbn.book_rows(
            words(rows), chosen[first:], slot_of, rules, tally, buffer.columns, 0, buffer.room, codes
        )
        assert used == buffer.rows == min(4, 10 - first)
        assert buffer.columns.longs[0, :used].tolist() == rows["ts_event"][first : first + used].tolist()
    stats = tally.stats[0]
    assert (stats[dbn.ROWS], stats[dbn.LAST_EVENT] - stats[dbn.FIRST_EVENT], stats[dbn.STEPS_BACK]) == (
        10,
        9 * 10**9,
        0,
    )
    assert tally.minutes.sum() == 1
