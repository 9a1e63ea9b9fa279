"""Baselines against raw rows: percentiles, counts, distances, and the usual size of a shift."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from raypipe.evaluation.baseline import Windows, baseline_of, bin_counts, ks_of_counts, psi_of_counts


def walk(sessions=400, symbols=10, persistence=0.0, seed=0):
    """A feature that all symbols share for `persistence` of its spread, from session to session."""
    draw = np.random.default_rng(seed)
    level = np.zeros(sessions)
    for t in range(1, sessions):
        level[t] = persistence * level[t - 1] + math.sqrt(1 - persistence**2) * draw.normal()
    values = level[:, None] * (persistence > 0) + draw.normal(size=(sessions, symbols))
    return values.ravel(), np.repeat(np.arange(sessions), symbols)


def naive_psi(live, base, edges):
    ten = edges[9::10]
    total = 0.0
    groups = [(a, e) for a, e in zip(_grouped(live, ten), _grouped(base, ten), strict=True)]
    n_a, n_e = sum(a for a, _ in groups), sum(e for _, e in groups)
    for a, e in groups:
        total += (a / n_a - e / n_e) * math.log((a / n_a) / (e / n_e))
    return total


def _grouped(values, ten):
    counts = [0.5] * 11
    for value in values:
        counts[10 if math.isnan(value) else int(sum(value >= edge for edge in ten))] += 1
    return counts


def test_percentiles_counts_and_moments_are_those_of_the_rows():
    values, session = walk()
    values[::17] = np.nan
    found = baseline_of(values, session)
    known = values[~np.isnan(values)]
    np.testing.assert_allclose(found.edges, np.percentile(known, np.arange(1, 100)))
    assert (found.n, found.n_null) == (len(values), int(np.isnan(values).sum()))
    assert found.counts.sum() == found.n
    assert found.counts[:100].min() >= len(known) // 100 - 1
    assert (found.mean, found.sd) == pytest.approx((known.mean(), known.std()))
    order = np.random.default_rng(1).permutation(len(values))
    again = baseline_of(values[order], session[order])
    np.testing.assert_array_equal(again.counts, found.counts)
    assert again.psi_null95 == found.psi_null95


@given(arrays.arrays(np.float32, st.integers(1, 60), elements=st.floats(-1e3, 1e3, width=32)))
def test_percentiles_are_those_of_numpy_to_the_last_bit(values):
    found = baseline_of(values, np.arange(len(values)))
    np.testing.assert_array_equal(found.edges, np.quantile(values.astype(np.float64), np.arange(1, 100) / 100))


def test_features_may_share_their_windows():
    values, session = walk(persistence=0.9)
    order = np.random.default_rng(2).permutation(len(values))
    shared = Windows.of(session[order])
    for one in (values, np.where(values > 1, np.nan, values)):
        alone, beside = baseline_of(one, session), baseline_of(one[order], shared)
        assert (alone.psi_null95, alone.ks_null95) == (beside.psi_null95, beside.ks_null95)


def test_psi_is_its_definition_and_of_equals_zero():
    values, session = walk()
    found, live = baseline_of(values, session), np.append(values[:500] + 0.3, [np.nan] * 20)
    counts = bin_counts(live, found.edges)
    assert float(psi_of_counts(counts, found.counts)) == pytest.approx(naive_psi(live, values, found.edges))
    assert float(psi_of_counts(found.counts, found.counts)) == 0.0


def test_ks_is_near_that_of_raw_rows():
    from scipy.stats import ks_2samp

    values, session = walk()
    found = baseline_of(values, session)
    for live in (values[:900], values[:900] * 1.5, values[:900] + 0.2):
        near = float(ks_of_counts(bin_counts(live, found.edges), found.counts))
        assert near == pytest.approx(ks_2samp(live, values).statistic, abs=0.011)


def test_persistent_features_shift_more_and_the_baseline_knows_it():
    calm, wild = (baseline_of(*walk(persistence=one)) for one in (0.0, 0.97))
    assert wild.psi_null95 > 3 * calm.psi_null95
    assert wild.ks_null95 > calm.ks_null95


def test_windows_of_the_baseline_itself_rarely_exceed_what_is_usual():
    values, session = walk(persistence=0.9)
    found = baseline_of(values, session)
    beyond = 0
    for start in range(0, 380, 5):
        inside = (session >= start) & (session < start + 20)
        live = bin_counts(values[inside], found.edges)
        beyond += psi_of_counts(live, found.counts - live) > found.psi_null95
    assert beyond <= 0.08 * 76


def test_nothing_known_and_too_short_have_no_usual_shift():
    none = baseline_of(np.full(50, np.nan), np.arange(50))
    assert len(none.edges) == 0
    assert none.counts[-1] == none.n == none.n_null == 50
    assert math.isnan(none.mean)
    assert math.isnan(baseline_of(*walk(sessions=39)).psi_null95)
    flat = baseline_of(np.ones(400), np.arange(400))
    assert flat.sd == 0
    assert math.isfinite(flat.psi_null95)
