"""Which partitions and moments are looked at."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.audit.sampling import cut_times, sample, sessions_of
from raypipe.calendar import calendar
from raypipe.features.weekly import WEEKLY
from raypipe.schema.tables import DAY_AGGS, SPLITS

KEYS = [day.isoformat() for day in calendar().dates(dt.date(2025, 1, 2), dt.date(2025, 12, 31))]
EARLY = {"2025-07-03", "2025-11-28", "2025-12-24"}
CLOCKS = {"2025-03-10", "2025-11-03"}
NEWS = {"bronze/splits": frozenset({dt.date(2025, 6, 9), dt.date(2025, 8, 1)})}


def test_special_sessions_are_always_there():
    for seed in range(20):
        chosen = set(sample(DAY_AGGS, KEYS, 3, seed, NEWS))
        assert chosen & EARLY
        assert chosen & CLOCKS
        assert chosen & {"2025-06-09", "2025-08-01"}
        assert chosen & {"2025-06-06", "2025-07-31"}
        assert 3 <= len(chosen) <= 7


def test_the_sample_is_spread_and_repeats():
    chosen = sample(DAY_AGGS, KEYS, 10, 1, {})
    assert chosen == sample(DAY_AGGS, KEYS, 10, 1, {})
    assert chosen == sorted(chosen)
    tenth = len(KEYS) / 10
    assert {int(KEYS.index(key) / tenth) for key in chosen} == set(range(10))
    assert any(sample(DAY_AGGS, KEYS, 10, seed, {}) != chosen for seed in range(2, 5))


@pytest.mark.parametrize("count", [1, 4, 400])
def test_small_lakes_give_what_they_have(count):
    assert set(sample(DAY_AGGS, KEYS[5:8], count, 0, {})) <= set(KEYS[5:8])
    assert len(sample(DAY_AGGS, KEYS[5:8], count, 0, {})) == min(count, 3)


def test_weeks_are_special_by_their_sessions():
    weeks = sorted({calendar().session(dt.date.fromisoformat(key)).monday.isoformat() for key in KEYS})
    chosen = sample(WEEKLY, weeks, 1, 0, NEWS)
    assert {"2025-06-30", "2025-11-24", "2025-12-22"} & set(chosen)
    assert len(sessions_of(WEEKLY, "2025-06-30")) == 4
    assert sessions_of(SPLITS, "all") == []
    assert sample(SPLITS, ["all"], 5, 0, NEWS) == ["all"]


def test_few_moments_are_all_taken():
    assert cut_times(np.array([5, 3, 3, 9]), 6, np.random.default_rng(0)) == [3, 5, 9]


@given(st.lists(st.integers(0, 500), min_size=1, max_size=300), st.integers(0, 5))
def test_moments_are_times_of_rows_with_the_last_one(times, seed):
    found = cut_times(np.array(times), 6, np.random.default_rng(seed))
    assert found == sorted(set(found))
    assert set(found) <= set(times)
    assert len(found) <= 6
    assert found[-1] == max(times)
    assert len(found) >= min(len(set(times)), 2)


def test_moments_lie_on_and_off_the_busy_ones():
    minutes = np.repeat(np.arange(400), np.where(np.arange(400) % 5 == 0, 9, 2))
    off = [sum(t % 5 != 0 for t in cut_times(minutes, 6, np.random.default_rng(seed))[:-1]) for seed in range(20)]
    assert 0 < np.mean(off) < 4
