"""Queries of fuel at many moments: the same as one by one, whatever their order."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from raypipe.kernels.fuel import AMPLIFY, DAMPEN, NEUTRAL, FuelBook, effect_of, fuel_at, fuel_book, fuel_effect_at
from tests.reference import fuel as naive
from tests.reference.fuel import Print, Rules

prints = st.lists(
    st.builds(
        Print,
        st.integers(0, 60),
        st.integers(590, 610).map(lambda usd: usd * 1000),
        st.sampled_from("CP"),
        st.integers(1, 9),
        st.sampled_from([-1, 0, 1]),
        st.one_of(st.none(), st.floats(0.01, 0.2)),
    ),
    max_size=50,
).map(lambda found: sorted(found, key=lambda one: one.ts_ns))
moments = st.lists(st.integers(-2, 64), min_size=1, max_size=30)


def book_of(rows: list[Print], open_ns: int = 0) -> FuelBook:
    return fuel_book(
        np.array([one.ts_ns for one in rows], np.int64),
        np.array([one.strike_e3 for one in rows], np.int32),
        np.array([one.right == "P" for one in rows], bool),
        np.array([one.size for one in rows], np.int64),
        np.array([one.aggressor for one in rows], np.int8),
        np.array([np.nan if one.gamma is None else one.dealer for one in rows], np.float64),
        np.array([np.nan if one.gamma is None else one.gross for one in rows], np.float64),
        open_ns,
    )


@given(prints, moments, st.floats(588, 612), st.floats(0, 5), st.booleans())
def test_effects_on_a_grid_equal_single_queries(rows, times, level, near, ordered):
    book = book_of(rows)
    grid = np.array(sorted(times) if ordered else times, np.int64)
    levels = np.where(np.arange(len(grid)) % 7 < 5, level, level + 1.0)
    one_by_one = fuel_at(book, grid, levels, near, np.inf).net_gamma
    assert fuel_effect_at(book, grid, levels, near, 20.0).tolist() == effect_of(one_by_one, 20.0).tolist()


@given(prints, moments, st.floats(588, 612), st.integers(0, 30))
def test_sums_equal_the_definition(rows, times, level, open_ns):
    book, rules = book_of(rows, open_ns), Rules(range_usd=2.0, wall=40.0)
    found = fuel_at(book, np.array(times), np.full(len(times), level), 2.0, 40.0)
    for k, t in enumerate(times):
        wanted = naive.fuel(rows, open_ns, t, level, rules)
        assert np.isclose(found.call_gamma[k], wanted["fuel_call_gamma"], rtol=1e-12, atol=1e-9)
        assert np.isclose(found.put_gamma[k], wanted["fuel_put_gamma"], rtol=1e-12, atol=1e-9)
        assert np.isclose(found.gross_gamma[k], wanted["fuel_gross_gamma"], rtol=1e-12, atol=1e-9)
        assert found.volume[k] == wanted["fuel_volume"]
        for wall, name in ((found.call_wall[k], "fuel_call_wall"), (found.put_wall[k], "fuel_put_wall")):
            assert wall == wanted[name] or (np.isnan(wall) and wanted[name] is None)


def test_thresholds_are_exclusive():
    assert effect_of(np.array([-10.1, -10.0, 10.0, 10.1]), 10.0).tolist() == [AMPLIFY, NEUTRAL, NEUTRAL, DAMPEN]


def test_strikes_far_apart():
    """Too far for a table by strike."""
    rows = [Print(1, 1_000, "C", 1, -1, 0.1), Print(2, 90_000_000, "C", 2, -1, 0.1)]
    found = fuel_at(book_of(rows), np.array([5, 5]), np.array([1.0, 90_000.0]), 2.0, 1.0)
    assert found.volume.tolist() == [1, 2]
    assert found.call_wall.tolist() == [1.0, 90_000.0]


def test_a_level_that_is_not_known_has_no_fuel():
    found = fuel_at(book_of([Print(1, 600_000, "C", 1, -1, 0.1)]), np.array([5]), np.array([np.nan]), 2.0, 1.0)
    assert (found.volume.tolist(), found.net_gamma.tolist()) == ([0], [0.0])
