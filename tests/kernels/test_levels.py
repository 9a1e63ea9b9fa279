"""Levels made of running sums and option prints, against the words."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.kernels.levels import Prints, StrikeRules, running, strike_levels
from tests.reference.touches import MINUTE, Day, Print, Trade, options

STRIKES = [597.0, 598.0, 599.0, 600.0, 601.0, 602.5]
OPEN = 5 * MINUTE
AT = np.arange(3, 15) * MINUTE
WALLS = {
    "call_wall": "CALL_WALL_cumulative",
    "put_wall": "PUT_WALL_cumulative",
    "call_wall_decayed": "CALL_WALL_decayed",
    "put_wall_decayed": "PUT_WALL_decayed",
    "gamma_flip": "GAMMA_FLIP",
}

prints = st.lists(
    st.tuples(
        st.integers(3, 14).map(lambda m: m * MINUTE) | st.integers(3 * MINUTE, 14 * MINUTE),
        st.integers(0, len(STRIKES) - 1),
        st.booleans(),
        st.integers(1, 90),
        st.sampled_from([0.0, 1.0, 2.0]) | st.floats(0, 50),
        st.sampled_from([0.0, -1.0, 1.0]) | st.floats(-9, 9),
    ),
    max_size=40,
).map(lambda rows: sorted(rows, key=lambda row: row[0]))


def made(rows):
    return Prints(*zip(*rows, strict=True)) if rows else Prints(*[np.empty(0)] * 6)


@given(
    prints, st.sampled_from([None, 598.5, 599.0, 600.2]), st.sampled_from([0, 30 * 10**9]), st.sampled_from([3.0, 10.0])
)
def test_walls_and_flip_are_as_the_words_say(rows, spot, latency, reach):
    rules = StrikeRules(OPEN, latency, 2.0 * MINUTE, 120, 100, reach)
    found = strike_levels(made(rows), STRIKES, AT, np.full(len(AT), np.nan if spot is None else spot), rules)
    trades = [] if spot is None else [Trade(0, spot * 10, 1)]
    told = [Print(ts, STRIKES[k], "C" if call else "P", size, gross, net) for ts, k, call, size, gross, net in rows]
    day = Day(0, OPEN, 10**15, trades, [(0, 10.0)], told, latency=latency, halflife=2.0, flip_range=reach)
    for m, t in enumerate(AT.tolist()):
        expected = options(day, t)
        for name, key in WALLS.items():
            value = getattr(found, name)[m]
            assert value == pytest.approx(expected[key], rel=1e-12) if key in expected else np.isnan(value), (name, m)
    for k, strike in enumerate(STRIKES):
        enough = [
            m for m, t in enumerate(AT) if sum(p.size for p in told if p.strike == strike and p.ts < t - latency) >= 120
        ]
        assert found.born[k] == (enough[0] if enough else len(AT))


def test_a_half_life_halves():
    """A print of one half-life ago weighs half: 2.1 then is a little more than 1 now, 1.9 a little less."""
    rules = StrikeRules(0, 0, 2.0 * MINUTE, 1, 1, 10.0)
    for old, wall in ((2.1, 599.0), (1.9, 600.0)):
        rows = [(0, 0, True, 1, old, 0.0), (2 * MINUTE, 1, True, 1, 1.0, 0.0)]
        found = strike_levels(made(rows), [599.0, 600.0], [2 * MINUTE, 2 * MINUTE + 1], [599.9, 599.9], rules)
        assert found.call_wall_decayed[1] == wall
        assert found.call_wall[1] == 599.0


def test_old_prints_fade_by_the_clock_not_by_rows():
    """However many prints of other strikes come between, only minutes count."""
    rules = StrikeRules(0, 0, 30.0 * MINUTE, 1, 1, 10.0)
    quiet = [(0, 0, True, 1, 3.0, 0.0), (60 * MINUTE - 1, 1, True, 1, 1.0, 0.0)]
    busy = sorted([*quiet, *[(i * MINUTE // 100, 2, True, 1, 1e-6, 0.0) for i in range(1, 5000)]])
    for rows in (quiet, busy):
        found = strike_levels(made(rows), [599.0, 600.0, 601.0], np.arange(61) * MINUTE, np.full(61, 600.0), rules)
        assert (found.call_wall[60], found.call_wall_decayed[60]) == (599.0, 600.0)


@given(prints, st.integers(3 * MINUTE, 14 * MINUTE))
def test_later_prints_do_not_show(rows, cut):
    rules = StrikeRules(OPEN, 0, 2.0 * MINUTE, 120, 100, 10.0)
    spots = np.full(len(AT), 599.4)
    whole, early = (
        strike_levels(made(some), STRIKES, AT, spots, rules) for some in (rows, [row for row in rows if row[0] < cut])
    )
    known = cut >= AT
    for name in WALLS:
        np.testing.assert_array_equal(getattr(whole, name)[known], getattr(early, name)[known])


def test_a_flip_needs_three_strikes_and_a_price():
    rows = [(OPEN, k, True, 1, 1.0, net) for k, net in ((1, -2.0), (3, 1.0))]
    rules = StrikeRules(OPEN, 0, 2.0 * MINUTE, 120, 100, 10.0)
    at = np.array([OPEN + MINUTE])
    assert np.isnan(strike_levels(made(rows), STRIKES, at, [600.0], rules).gamma_flip[0])
    third = [*rows, (OPEN, 4, True, 1, 1.0, 5.0)]
    assert strike_levels(made(third), STRIKES, at, [600.0], rules).gamma_flip[0] == pytest.approx(598 + 2 * 2 / 3)
    assert np.isnan(strike_levels(made(third), STRIKES, at, [np.nan], rules).gamma_flip[0])


@given(st.lists(st.tuples(st.integers(-(10**6), 10**6), st.integers(1, 2**32 - 1)), min_size=1, max_size=30))
def test_running(rows):
    ticks, sizes = zip(*rows, strict=True)
    so_far = running(np.array(ticks, np.int32), np.array(sizes, np.uint32))
    for n in range(1, len(rows) + 1):
        worth = sum(tick * size for tick, size in rows[:n])
        expected = max(ticks[:n]), min(ticks[:n]), sum(sizes[:n]), worth
        assert tuple(int(column[n - 1]) for column in so_far) == expected


def test_the_reference_tells_both_bases():
    day = Day(0, 0, 10**15, [], [], [Print(0, 599.0, "C", 100, 1.0, None)])
    assert options(day, MINUTE)["CALL_WALL"] == 599.0
    assert options(dataclasses.replace(day, basis="decayed"), MINUTE)["CALL_WALL"] == 599.0
