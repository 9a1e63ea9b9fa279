"""The flow of a book: its definition on made-up books, single cases by hand, and laws of conservation and pieces."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.kernels.book import ASK, BID, NEVER, NO_ASK_LIMIT, NO_BID_LIMIT, BookScan
from tests.kernels.books import START, changes_of, columns_of, part, random_records, scan, words_of
from tests.reference.book import F_LAST, Record, Trade, last_before, replay, tenth

seeds = st.integers(0, 10_000)
BIDS = tuple((99 - k, 10) for k in range(10))
ASKS = tuple((100 + k, 10) for k in range(10))


def rec(ts, action="A", *, flags=F_LAST, side=0, tick=0, size=0, bids=BIDS, asks=ASKS):
    return Record(ts, action, flags, side, tick, size, bids, asks)


def less(levels, tick, size):
    """The levels with some size gone at a price."""
    left = [(k, there - size * (k == tick)) for k, there in levels]
    return tuple(level for level in left if level[1])


def flow(*records, trades=()):
    """What the records after the first changed: (time, side, tick, added, canceled, filled, view)."""
    return [row for row in changes_of(scan(records, trades=trades)) if row[0] > records[0].ts]


@given(seeds)
def test_equals_the_definition(seed):
    records = random_records(seed, odd=0.3)
    changes, states = replay(records)
    book = scan(records)
    assert changes_of(book) == [tuple(change) for change in changes]
    assert book.first_ns == (states[0].ts if states else NEVER)
    assert book.unnamed == 0


@given(seeds)
def test_marks_hold_the_last_settled_book_before_them(seed):
    records = random_records(seed, 150, odd=0.3)
    rng = np.random.default_rng(seed)
    times = rng.choice([r.ts for r in records], 30) + rng.integers(-1, 2, 30)
    marks = sorted({*times.tolist(), START - 1, records[-1].ts + 10**12})
    changes, states = replay(records)
    book = scan(records, marks)
    for k, at in enumerate(marks):
        state = last_before(states, at)
        assert book.marks.time_ns[k] == (NEVER if state is None else state.ts)
        assert book.marks.row[k] == (0 if state is None else sum(change.ts <= state.ts for change in changes))
        for side in (BID, ASK):
            shown = zip(book.marks.tick[k, side].tolist(), book.marks.size[k, side].tolist(), strict=True)
            assert {tick: size for tick, size in shown if size} == (state.side(side) if state else {})
            spans = zip(states, [*(s.ts for s in states[1:]), 2**62], strict=True)
            load = sum(sum(s.side(side).values()) * max(0, min(end, at) - s.ts) for s, end in spans)
            assert book.marks.load[k, side] == load


@given(seeds)
def test_limits_are_those_of_the_settled_books(seed):
    records = random_records(seed, 150)
    wanted = []
    for state in replay(records)[1]:
        bid, ask = tenth(state.bids, BID), tenth(state.asks, ASK)
        pair = (NO_BID_LIMIT if bid == float("inf") else -bid, NO_ASK_LIMIT if ask == float("inf") else ask)
        if not wanted or wanted[-1][1:] != pair:
            wanted.append((state.ts, *pair))
    limits = scan(records).limits
    assert list(zip(*(values.tolist() for values in limits), strict=True)) == wanted


@given(seeds)
def test_flow_adds_up_to_the_change_of_every_price(seed):
    """Conservation, exactly: added - canceled - filled + view is what the book at the end has more, price by price."""
    records = random_records(seed, odd=0.3)
    _, states = replay(records)
    flow = scan(records).flow
    rng = np.random.default_rng(seed)
    for _ in range(5 if states else 0):
        first, last = sorted(rng.integers(0, len(states), 2))
        start, end = states[first], states[last]
        rows = (flow.time_ns > start.ts) & (flow.time_ns <= end.ts)
        start, end = last_before(states, start.ts + 1), last_before(states, end.ts + 1)
        for side in (BID, ASK):
            net = dict.fromkeys({*start.side(side), *end.side(side)}, 0)
            for k in np.flatnonzero(rows & (flow.side == side)):
                change = int(flow.added[k]) - int(flow.canceled[k]) - int(flow.filled[k]) + int(flow.scrolled[k])
                net[int(flow.tick[k])] = net.get(int(flow.tick[k]), 0) + change
            assert net == {tick: end.side(side).get(tick, 0) - start.side(side).get(tick, 0) for tick in net}


@given(seeds)
def test_no_more_is_filled_at_a_price_than_was_traded_there(seed):
    records = random_records(seed)
    flow, traded = scan(records).flow, {}
    for r in records:
        if r.action == "T":
            traded[r.tick] = traded.get(r.tick, 0) + r.size
    for tick in set(flow.tick.tolist()):
        assert flow.filled[flow.tick == tick].sum() <= traded.get(tick, 0)


@given(seeds, st.sampled_from([1, 2, 7, 64, 299]))
def test_pieces_change_nothing(seed, length):
    records = random_records(seed)
    marks = [r.ts for r in records[::17]]
    whole, pieces = scan(records, marks), scan(records, marks, length)
    for one, other in zip(whole[:3], pieces[:3], strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@given(seeds, st.sampled_from([46, 47]))
def test_binary_records_give_the_same(seed, words):
    """46 words of a record, or 47 with the time of sending; another contract and another schema in between."""
    records = random_records(seed)
    marks = np.array(sorted(r.ts for r in records[::17]), np.int64)
    one = BookScan(marks)
    rows = words_of(records, 7, words)
    strange = rows[:5].copy()
    strange[:, 0] += np.array([1, 2, 3, 4, 5]) << 32
    trades = rows[:3].copy()
    trades[:, 0] -= 10 << 8  # rtype 0
    mixed = np.insert(rows, [0, 9, 10, 100, 299], strange, axis=0)
    mixed = np.insert(mixed, [5, 6, 200], trades, axis=0)
    for start in range(0, len(mixed), 101):
        one.records(mixed[start : start + 101], 7, 250_000_000)
    found, wanted = one.finish(), scan(records, marks)
    for a, b in zip(found[:3], wanted[:3], strict=True):
        assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))
    assert found[3:] == wanted[3:]


@given(seeds)
def test_mirrored_books_flow_alike(seed):
    """Prices reflected, sides swapped: the same changes on the other side, bids still before asks."""
    records = random_records(seed)

    def reflect(r):
        flip = [tuple((50_000 - tick, size) for tick, size in levels) for levels in (r.asks, r.bids)]
        return Record(r.ts, r.action, r.flags, -r.side, 50_000 - r.tick, r.size, *flip)

    mirrored = changes_of(scan([reflect(r) for r in records]))
    back = sorted((ts, 1 - side, 50_000 - tick, *rest) for ts, side, tick, *rest in mirrored)
    assert back == sorted(changes_of(scan(records)))


@given(seeds, st.integers(0, 299), st.integers(0, 2**31))
def test_the_past_does_not_depend_on_the_future(seed, cut, noise):
    """Everything from a moment on replaced: the flow before it and the marks up to it stay as they are."""
    records = random_records(seed)
    at = records[cut].ts
    future = [r._replace(ts=r.ts - START + at) for r in random_records(noise % 9973, 60)]
    other = [r for r in records if r.ts < at] + future
    marks = sorted({r.ts for r in records if r.ts <= at})
    books = [scan(some, marks) for some in (records, other)]
    before = [[row for row in changes_of(book) if row[0] < at] for book in books]
    assert before[0] == before[1]
    assert all(np.array_equal(a, b) for a, b in zip(books[0].marks, books[1].marks, strict=True))


# --- by hand -----------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ["C", "M"])
def test_what_a_trade_took_is_filled_whatever_the_removal_is_called(action):
    rows = flow(
        rec(1),
        rec(2, "T", flags=0, side=1, tick=100, size=4),
        rec(2, action, side=-1, tick=100, size=6, asks=less(ASKS, 100, 6)),
    )
    assert rows == [(2, ASK, 100, 0, 2, 4, 0)]


def test_the_change_is_that_of_the_books_not_the_size_of_the_record():
    assert flow(rec(1), rec(2, "C", size=9, tick=99, bids=less(BIDS, 99, 3))) == [(2, BID, 99, 0, 3, 0, 0)]


def test_one_trade_explains_one_removal():
    rows = flow(
        rec(1),
        rec(2, "T", flags=0, side=-1, tick=99, size=5),
        rec(2, "C", flags=0, bids=less(BIDS, 99, 4)),
        rec(2, "C", bids=less(BIDS, 99, 8)),
    )
    assert rows == [(2, BID, 99, 0, 0, 4, 0), (2, BID, 99, 0, 3, 1, 0)]


def test_a_trade_waits_for_the_first_record_of_a_later_time_and_no_longer():
    gone, more = less(ASKS, 100, 3), less(ASKS, 100, 6)
    lent = rec(2, "T", side=1, tick=100, size=10)  # closes its own event: that is not its end
    assert flow(rec(1), lent, rec(3, "C", asks=gone))[-1][3:] == (0, 0, 3, 0)
    assert flow(rec(1), lent, rec(2), rec(3, "C", asks=gone))[-1][3:] == (0, 0, 3, 0)
    assert flow(rec(1), lent, rec(3), rec(3, "C", asks=gone))[-1][3:] == (0, 3, 0, 0)
    assert [r[3:] for r in flow(rec(1), lent, rec(3, "C", asks=gone), rec(3, "C", asks=more))] == [
        (0, 0, 3, 0),
        (0, 3, 0, 0),
    ]


@pytest.mark.parametrize(("tick", "side"), [(100, ASK), (101, ASK), (99, BID), (98, BID)])
def test_a_trade_without_aggressor_hits_the_side_whose_best_it_reaches(tick, side):
    kept = {"asks": less(ASKS, tick, 2)} if side == ASK else {"bids": less(BIDS, tick, 2)}
    rows = flow(rec(1), rec(2, "T", flags=0, tick=tick, size=2), rec(2, "C", **kept))
    assert rows == [(2, side, tick, 0, 0, 2, 0)]


def test_a_trade_inside_the_spread_took_nothing_displayed():
    asks = tuple((tick + 1, size) for tick, size in ASKS)
    first = rec(1, asks=asks)
    rows = flow(first, rec(2, "T", flags=0, tick=100, size=2, asks=asks), rec(2, "C", asks=less(asks, 101, 2)))
    assert rows == [(2, ASK, 101, 0, 2, 0, 0)]


def test_depth_that_scrolls_is_view():
    """The best bid goes: a tenth level comes into sight. It comes back: that level goes out of sight again."""
    fell = (*BIDS[1:], (89, 7))
    assert flow(rec(1), rec(2, "C", bids=fell)) == [(2, BID, 99, 0, 10, 0, 0), (2, BID, 89, 0, 0, 0, 7)]
    assert flow(rec(1, bids=fell), rec(2, "A")) == [(2, BID, 99, 10, 0, 0, 0), (2, BID, 89, 0, 0, 0, -7)]


def test_a_side_with_fewer_levels_shows_everything():
    few = BIDS[:8]
    deep = (*few, (40, 5))
    assert flow(rec(1, bids=few), rec(2, bids=deep)) == [(2, BID, 40, 5, 0, 0, 0)]
    assert flow(rec(1, bids=deep), rec(2, "C", bids=few)) == [(2, BID, 40, 0, 5, 0, 0)]


@pytest.mark.parametrize("changed", [{"action": "R"}, {"flags": F_LAST | 32}, {"flags": F_LAST | 4}])
def test_clears_snapshots_and_bad_books_are_view(changed):
    record = {"action": "C", "bids": less(BIDS, 99, 4), **changed}
    lent = rec(2, "T", flags=0, side=-1, tick=99, size=9)
    assert flow(rec(1), lent, rec(2, **record)) == [(2, BID, 99, 0, 0, 0, -4)]


def test_only_closed_uncrossed_books_that_hold_something_are_states():
    crossed = ((101, 1), *BIDS[:9])
    records = [
        rec(10),
        rec(20, "C", flags=0, bids=less(BIDS, 99, 1)),
        rec(30, "A", bids=crossed),
        rec(40, "R", bids=(), asks=()),
        rec(50, bids=BIDS[:1], asks=()),
    ]
    book = scan(records, [10, 11, 25, 35, 45, 50, 51])
    assert book.marks.time_ns.tolist() == [NEVER, 10, 10, 10, 10, 10, 50]
    assert set(book.flow.time_ns[book.flow.time_ns > 10].tolist()) == {50}
    assert book.marks.size[5, BID].tolist() == [10] * 10  # what stood before, not what was there since


def test_what_was_never_settled_is_left_out():
    assert flow(rec(1), rec(2, "C", flags=0, bids=less(BIDS, 99, 1))) == []


def test_records_without_actions_take_what_was_traded_since_the_one_before():
    trades = [Trade(5, 100, 3, 1), Trade(6, 100, 2, 1), Trade(10, 99, 4, 0), Trade(11, 100, 50, 1)]
    records = [
        rec(5, "", flags=None),
        rec(10, "", flags=None, asks=less(ASKS, 100, 6), bids=less(BIDS, 99, 5)),
        rec(10, "", flags=None, asks=less(ASKS, 100, 7), bids=less(BIDS, 99, 5)),
        rec(12, "", flags=None, asks=less(ASKS, 100, 8), bids=less(BIDS, 99, 6)),
    ]
    assert flow(*records, trades=trades) == [
        (10, BID, 99, 0, 1, 4, 0),
        (10, ASK, 100, 0, 4, 2, 0),
        (10, ASK, 100, 0, 1, 0, 0),
        (12, BID, 99, 0, 1, 0, 0),
        (12, ASK, 100, 0, 0, 1, 0),
    ]
    assert scan(records, trades=trades).unnamed == 4


@given(seeds)
def test_records_without_actions_equal_the_definition(seed):
    named = random_records(seed)
    trades = [Trade(r.ts, r.tick, r.size, r.side) for r in named if r.action == "T"]
    records = [r._replace(action="", flags=None) for r in named]
    assert changes_of(scan(records, trades=trades)) == [tuple(c) for c in replay(records, trades)[0]]


def test_times_that_step_back_stay_in_order():
    book = scan([rec(10), rec(8, bids=less(BIDS, 99, 1)), rec(12, bids=less(BIDS, 99, 2))], [9, 11, 13])
    assert book.flow.time_ns.tolist() == [10] * 21 + [12]
    assert book.marks.time_ns.tolist() == [NEVER, 10, 12]


def test_nothing_at_all():
    book = scan([], [5])
    assert len(book.flow.tick) == len(book.limits.bid) == 0
    assert book.first_ns == NEVER
    assert book.marks.time_ns.tolist() == [NEVER]


def test_too_narrow_records_are_refused():
    with pytest.raises(ValueError, match=r"\(3, 10\), expected \(records, 46 or more\)"):
        BookScan(np.empty(0, np.int64)).records(np.zeros((3, 10), np.int64), 7, 1)


def test_many_records_grow_the_arrays():
    records = random_records(1, 400)
    columns = columns_of(records)
    one = BookScan(np.empty(0, np.int64))
    for k in range(200):  # each time the book jumps back, which changes every price
        shift = columns._replace(time_ns=columns.time_ns + k * 10**12)
        one.columns(part(shift, slice(0, 400)))
    flow = one.finish().flow
    assert len(flow.tick) > 1 << 16
    assert (np.diff(flow.time_ns) >= 0).all()
