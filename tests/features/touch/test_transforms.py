"""Distances in other units."""

from __future__ import annotations

import pyarrow as pa
import pytest

from raypipe.features.touch.transforms import GROUP
from tests.features.touch.scenes import scene

FROM_GROUPS = (
    *("dist_to_pm_high", "dist_to_pm_low", "dist_to_sma_200", "dist_to_sma_400"),
    *("confluence_min_distance", "approach_distance"),
)


def test_units():
    atr = [2.0, 0.0, None]
    added = {name: pa.array([1.0, 1.0, None]) for name in FROM_GROUPS} | {"atr": pa.array(atr)}
    rows = [{"spot": 500.0, "level_price": 499.0}] * 3
    found = {name: column.to_pylist() for name, column in GROUP.compute(scene(rows, added=added)).items()}
    assert found["distance_atr"] == [0.5, None, None]
    assert found["distance_signed_pct"] == [pytest.approx(-0.002)] * 3
    assert found["approach_distance_atr"] == [0.5, None, None]
    assert found["approach_distance_pct"] == [0.002, 0.002, None]


def test_order_of_columns():
    names = [column.name for column in GROUP.columns]
    assert names[:4] == ["distance_atr", "distance_pct", "distance_signed_atr", "distance_signed_pct"]
    assert names[-1] == "level_price_pct"
    assert GROUP.columns[-1].alias_of == "distance_signed_pct"
    assert len(names) == 17
