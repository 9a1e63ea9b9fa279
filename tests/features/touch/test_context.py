"""Time, range and distances of a touch, from rows made for them."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from raypipe.features.touch.context import GROUP
from tests.features.touch.scenes import MINUTE_NS, at, bars, params, scene


def computed(*rows: dict[str, Any], averages: Any = None, **given: Any) -> dict[str, list[Any]]:
    added = {name: pa.array([averages] * len(rows), pa.float64()) for name in ("sma_200", "sma_400")}
    return {name: column.to_pylist() for name, column in GROUP.compute(scene(rows, added=added, **given)).items()}


def test_the_first_quarter_of_an_hour():
    rows = [{"decision_ns": at(minutes)} for minutes in (0.0, 14.9999, 15.0, 59.99)]
    found = computed(*rows)
    assert found["is_first_15m"] == found["is_opening_range"] == [True, True, False, False]
    assert found["bars_since_open"] == [0, 14, 15, 59]
    found = computed(*rows, params=params(levels={"or_minutes": 30}))
    assert found["is_first_15m"] == [True, True, False, False]
    assert found["is_opening_range"] == [True, True, True, False]


@pytest.mark.parametrize(
    ("spot", "low", "high", "position"),
    [
        (600.0, 599.0, 603.0, 0.25),
        (605.0, 599.0, 603.0, 1.0),
        (598.0, 599.0, 603.0, 0.0),
        (600.0, 600.0, 600.0, 0.5),
        (600.0, None, None, 0.5),
    ],
)
def test_position_in_the_range(spot, low, high, position):
    found = computed({"spot": spot, "session_low": low, "session_high": high})
    assert found["session_position"] == [position]


def test_distances():
    row = {"level_price": 600.5, "spot": 600.25, "pm_high": 601.0, "pm_low": None, "vwap": 600.0}
    found = computed(row, averages=599.0)
    assert found["dist_to_pm_high"] == [-0.5]
    assert found["dist_to_pm_low"] == [None]
    assert (found["dist_to_vwap"], found["spot_to_vwap"]) == ([0.5], [0.25])
    assert (found["dist_to_sma_200"], found["spot_to_sma_400"]) == ([1.5], [1.25])


def jumping(count: int) -> dict[str, Any]:
    """Bars of 4 ticks whose closes jump by 20: the true range is 22, of the first bar 4."""
    closes = 24_000.0 + 20 * np.arange(count)
    starts = at(0) + np.arange(count) * MINUTE_NS
    one = bars(starts, closes, high=closes + 2, low=closes - 2)
    return {"bars": one._replace(open_ticks=closes)}


def test_true_range_of_the_last_fourteen_bars():
    moments = [{"decision_ns": at(minutes)} for minutes in (13.99, 14.0, 15.0, 20.0)]
    atr = computed(*moments, **jumping(30))["atr"]
    tick = 0.25 / 10
    assert atr == [None, pytest.approx((13 * 22 + 4) / 14 * tick), pytest.approx(22 * tick), pytest.approx(22 * tick)]


def test_a_bar_counts_from_its_end_on():
    given = jumping(30)
    wide = given["bars"].high_ticks.copy()
    wide[20] += 1000
    given["bars"] = given["bars"]._replace(high_ticks=wide)
    at_end, before = computed({"decision_ns": at(21)}, {"decision_ns": at(21) - 1}, **given)["atr"]
    assert at_end > before == pytest.approx(22 * 0.025)


def test_dollars_are_those_of_the_row():
    low, high = computed(
        {"decision_ns": at(20), "es_spy_ratio": 10.0}, {"decision_ns": at(20), "es_spy_ratio": 20.0}, **jumping(30)
    )["atr"]
    assert low == pytest.approx(2 * high)


def test_length_of_the_range():
    given = jumping(30)
    found = computed({"decision_ns": at(2)}, **given, params=params(bars={"atr_bars": 2}))
    assert found["atr"] == [pytest.approx(13 * 0.025)]
    assert dataclasses.asdict(GROUP)["params"] == ("bars", "levels")
