"""Strikes with enough contracts against a dictionary."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.kernels.strikes import strikes_with

PRINT = st.tuples(st.sampled_from([1, 500, 500_000, 600_500, 2_147_483_647]), st.integers(1, 40))


@given(st.lists(PRINT, max_size=60), st.integers(1, 90))
def test_as_a_dictionary_says(prints, enough):
    traded: dict[int, int] = {}
    reached: dict[int, int] = {}
    for i, (strike, size) in enumerate(prints):
        traded[strike] = traded.get(strike, 0) + size
        if traded[strike] >= enough:
            reached.setdefault(strike, i)
    strikes, found = strikes_with(*np.array(prints, np.int64).reshape(-1, 2).T, enough)
    assert dict(zip(strikes.tolist(), found.tolist(), strict=True)) == reached
    assert strikes.tolist() == sorted(reached)


@pytest.mark.parametrize("count", [5_000, 100_000])
def test_more_strikes_than_the_table_holds(count):
    rng = np.random.default_rng(1)
    strike = rng.integers(1, count, 40_000)
    strikes, prints = strikes_with(strike, np.full(40_000, 5), 5)
    first = {int(k): i for i, k in reversed(list(enumerate(strike)))}
    assert dict(zip(strikes.tolist(), prints.tolist(), strict=True)) == first
