"""Trades before prints, and prices by parity, against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.kernels.prints import ParityRules, parity_spots, rows_before
from tests.reference import ratio as naive
from tests.reference.ratio import Quote

MINUTE = 60 * 10**9
RULES = ParityRules(5 * 10**9, 5.0, 3, 0.045)
times = st.lists(st.integers(0, 20), max_size=30).map(sorted)
quotes = st.lists(
    st.builds(
        Quote,
        st.integers(-10, 200).map(lambda second: second * 10**9),
        st.sampled_from([598.0, 599.0, 600.0, 601.0, 608.0]),
        st.sampled_from("CP"),
        st.integers(1, 400).map(lambda cents: cents / 100),
    ),
    max_size=80,
).map(lambda found: sorted(found, key=lambda quote: quote.ts_ns))


@given(times, times)
def test_rows_before(moments, rows):
    wanted = np.searchsorted(np.array(rows, np.int64), np.array(moments, np.int64)) - 1
    assert rows_before(np.array(moments, np.int64), np.array(rows, np.int64)).tolist() == wanted.tolist()


@given(quotes)
def test_parity_equals_the_definition(found):
    expiry = 6 * 3600 * 10**9
    minutes = np.arange(3) * MINUTE
    years = (expiry - minutes - MINUTE) / 1e9 / (252 * 6.5 * 3600)
    strikes, codes = np.unique([quote.strike for quote in found], return_inverse=True)
    got = parity_spots(
        np.array([quote.ts_ns for quote in found], np.int64),
        codes.astype(np.int32),
        strikes.astype(float),
        np.array([quote.right == "P" for quote in found], bool),
        np.array([quote.price for quote in found], float),
        years,
        0,
        RULES,
    )
    for minute, value in zip(minutes.tolist(), got.tolist(), strict=True):
        wanted = naive.parity(found, minute, expiry)
        assert np.isnan(value) if wanted is None else value == pytest.approx(wanted, rel=1e-12)
