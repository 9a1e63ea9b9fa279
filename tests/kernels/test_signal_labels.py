"""First passages and overlaps of windows: the definitions on random walks, cases by hand, and laws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.kernels.signal_labels import Windows, last_rows, passages, true_ranges, uniqueness, windows
from tests.reference.signal_labels import first_passed
from tests.reference.signal_labels import uniqueness as naive_uniqueness

spans = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 30)), min_size=1, max_size=12)


@st.composite
def walks(draw):
    """Trades of a walk in ticks with jumps, some at one time, and windows over them."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    count = draw(st.integers(0, 60))
    ticks = (20_000 + np.cumsum(rng.choice([-9, -1, 0, 0, 1, 9], count))).astype(np.int32)
    ts = np.cumsum(rng.choice([0, 1, 5], count)).astype(np.int64)
    begin = rng.integers(-2, 160, 8)
    return ts, ticks, begin, begin + rng.integers(0, 80, 8), rng


@given(walks(), st.booleans())
def test_equals_the_definition(walk, strict):
    ts, ticks, begin, end, rng = walk
    center, sign = 5_000 + rng.integers(-3, 3, 8) * 0.25, rng.choice([-1.0, 1.0], 8)
    ratio = rng.choice([10.0, 10.07, 9.93], 8)
    limits = rng.choice([0.1, 0.25, 1.0, np.nan], (8, 3))
    inside = windows(ts, begin, end)
    found = passages(ticks, inside, center, sign * ratio, limits, strict=strict)
    for e in range(8):
        rows = [i for i in range(len(ts)) if begin[e] < ts[i] <= end[e]]
        assert rows == list(range(inside.first[e], inside.behind[e]))
        trades = [(i, ticks[i] * 0.25) for i in rows]
        x = [sign[e] * (price - center[e]) / ratio[e] for _, price in trades]
        for k in range(3):
            limit = None if np.isnan(limits[e, k]) else limits[e, k]
            _, up, down = first_passed(
                trades, lambda p, e=e: sign[e] * (p - center[e]) / ratio[e], limit, strict=strict
            )
            assert (found.up[e, k], found.down[e, k]) == (-1 if up is None else up, -1 if down is None else down)
        np.testing.assert_equal(found.highest[e], max(x, default=np.nan))
        np.testing.assert_equal(found.lowest[e], min(x, default=np.nan))


@given(walks())
def test_a_mirrored_walk_swaps_the_sides(walk):
    ts, ticks, begin, end, rng = walk
    inside, center = windows(ts, begin, end), np.full(8, 5_000.25)
    limits = rng.choice([0.1, 1.0], (8, 2))
    found = passages(ticks, inside, center, np.full(8, 10.0), limits)
    mirrored = passages(40_002 - ticks, inside, center, np.full(8, 10.0), limits)
    turned = passages(40_002 - ticks, inside, center, np.full(8, -10.0), limits)
    np.testing.assert_array_equal(mirrored.up, found.down)
    np.testing.assert_array_equal(mirrored.highest, -found.lowest)
    for ours, theirs in zip(turned, found, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_of_trades_at_one_moment_the_first_in_the_record_decides():
    one = Windows(np.array([0]), np.array([2]))
    center, scale, limits = np.array([100.0]), np.array([1.0]), np.array([[1.0]])
    up_first = passages(np.array([404, 396], np.int32), one, center, scale, limits)
    down_first = passages(np.array([396, 404], np.int32), one, center, scale, limits)
    assert (up_first.up[0, 0], up_first.down[0, 0]) == (0, 1)
    assert (down_first.up[0, 0], down_first.down[0, 0]) == (1, 0)


def test_just_at_a_threshold_passes_it_unless_strict():
    one, ticks = Windows(np.array([0]), np.array([1])), np.array([404], np.int32)
    found = {
        strict: passages(ticks, one, np.array([100.0]), np.array([1.0]), np.array([[1.0]]), strict=strict).up[0, 0]
        for strict in (False, True)
    }
    assert found == {False: 0, True: -1}


def test_without_a_center_nothing_is_passed():
    one = Windows(np.array([0]), np.array([1]))
    found = passages(np.array([404], np.int32), one, np.array([np.nan]), np.array([1.0]), np.array([[1.0]]))
    assert (found.up[0, 0], found.down[0, 0]) == (-1, -1)
    assert np.isnan(found.highest[0])


def test_the_begin_is_outside_and_the_end_inside():
    found = windows(np.array([10, 20, 20, 30]), np.array([10, 20, 30]), np.array([20, 30, 10]))
    assert found.first.tolist() == [1, 3, 4]
    assert found.behind.tolist() == [3, 4, 4]


def test_a_driftless_walk_breaks_as_often_as_it_bounces():
    rng = np.random.default_rng(11)
    events, steps = 4_000, 400
    ticks = (20_000 + np.cumsum(rng.choice([-1, 1], (events, steps)), axis=1)).astype(np.int32).ravel()
    first = np.arange(events) * steps
    found = passages(
        ticks,
        Windows(first, first + steps),
        np.full(events, 5_000.0),
        rng.choice([-10.0, 10.0], events),
        np.full((events, 1), 0.2),
    )
    up, down = found.up[:, 0], found.down[:, 0]
    broke = int(((up >= 0) & ((down < 0) | (up < down))).sum())
    bounced = int(((down >= 0) & ((up < 0) | (down < up))).sum())
    assert broke + bounced > 0.9 * events
    assert abs(broke - bounced) < 4 * np.sqrt(broke + bounced)  # four standard deviations


def test_the_last_trade_at_or_before():
    row, fresh = last_rows(np.array([10, 20, 20, 30]), np.array([9, 10, 25, 91, 90]), 60)
    assert row.tolist() == [0, 0, 2, 3, 3]
    assert fresh.tolist() == [False, True, True, False, True]
    assert not last_rows(np.array([], np.int64), np.array([5]), 60)[1].any()


# --- uniqueness --------------------------------------------------------------------------------


@given(spans)
def test_uniqueness_equals_the_definition(drawn):
    begin, end = (np.array(values) for values in zip(*((b, b + width) for b, width in drawn), strict=True))
    found = uniqueness(begin, end)
    exact = naive_uniqueness(list(zip(begin.tolist(), end.tolist(), strict=True)))
    for got, wanted in zip(found, exact, strict=True):
        assert np.isnan(got) if wanted is None else got == pytest.approx(float(wanted), rel=1e-12)


@given(spans)
def test_weighted_lengths_add_up_to_the_time_covered(drawn):
    begin = np.array([b for b, _ in drawn]) * 10**9
    end = begin + np.array([width for _, width in drawn]) * 10**9
    lengths = end - begin
    weight = np.nan_to_num(uniqueness(begin, end))
    covered = {second for b, width in drawn for second in range(b, b + width)}
    assert (weight * lengths).sum() == pytest.approx(len(covered) * 10**9, rel=1e-12)
    assert (weight[lengths > 0] > 0).all()
    assert (weight <= 1).all()


def test_later_windows_leave_earlier_ones_as_they_are():
    rng = np.random.default_rng(3)
    begin = np.sort(rng.integers(0, 10**13, 300))
    end = begin + 480 * 10**9
    early = np.flatnonzero(end < begin[200])
    np.testing.assert_array_equal(uniqueness(begin[:200], end[:200])[early], uniqueness(begin, end)[early])


def test_true_ranges_see_gaps():
    high, low, close = np.array([10.0, 21.0, 21.0]), np.array([8.0, 19.0, 3.0]), np.array([9.0, 20.0, 3.0])
    assert true_ranges(high, low, close).tolist() == [2.0, 12.0, 18.0]
    assert true_ranges(*([np.array([])] * 3)).tolist() == []
