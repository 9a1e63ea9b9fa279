"""The way to the level and the attempts at it, from rows made for them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from raypipe.features.touch.approach import GROUP
from tests.features.touch.scenes import MINUTE_NS, at, bars, scene

FLOWS = ("barrier_replenishment_ratio", "barrier_delta_liq", "tape_velocity", "tape_imbalance")


def computed(*rows: dict[str, Any], closes: Any = (), first: float = 0.0, **flows: Any) -> dict[str, list[Any]]:
    added = {name: pa.array(flows.get(name, [0.0] * len(rows)), pa.float64()) for name in FLOWS}
    starts = at(first) + np.arange(len(closes)) * MINUTE_NS
    return {
        name: column.to_pylist()
        for name, column in GROUP.compute(scene(rows, bars=bars(starts, closes), added=added)).items()
    }


def test_velocity_from_the_first_close_of_ten_minutes():
    closes = [24_000.0 + 4 * i for i in range(60)]
    found = computed({"decision_ns": at(30.5), "spot": 602.9}, closes=closes)
    # The first bar that starts at or after 20:30 is that of minute 21; it closed at 22:00.
    c0 = (24_000 + 4 * 21) * 0.25 / 10
    assert found["approach_velocity"] == [pytest.approx((602.9 - c0) / 8.5)]
    assert found["approach_distance"] == [pytest.approx(602.9 - c0)]


def test_velocity_has_the_sign_of_the_direction():
    closes = [24_000.0 + 4 * i for i in range(60)]
    up, down = computed(*({"decision_ns": at(30), "direction": d} for d in ("UP", "DOWN")), closes=closes)[
        "approach_velocity"
    ]
    assert up == -down


@pytest.mark.parametrize(("minutes", "distance"), [(0.5, None), (1.0, 0.1), (1.99, 0.1)])
def test_fewer_than_two_bars_have_no_velocity(minutes, distance):
    found = computed({"decision_ns": at(minutes), "spot": 600.1}, closes=[24_000.0] * 5)
    assert found["approach_velocity"] == [0.0]
    assert found["approach_distance"] == [pytest.approx(distance) if distance else None]


@pytest.mark.parametrize(
    ("closes", "up", "down"),
    [
        ([4, 5, 6, 7], 3, 0),
        ([9, 5, 6, 7], 2, 0),
        ([9, 5, 6, 6], 0, 0),
        ([4, 4, 3, 2], 0, 2),
        ([4], 0, 0),
        ([], 0, 0),
    ],
)
def test_run_of_closes(closes, up, down):
    rows = [{"decision_ns": at(20), "direction": d} for d in ("UP", "DOWN")]
    assert computed(*rows, closes=[float(x) for x in closes])["approach_bars"] == [up, down]


def touch(minutes: float, kind: int = 0, direction: str = "UP", level: float = 600.0) -> dict[str, Any]:
    return {"decision_ns": at(minutes), "level_kind": kind, "direction": direction, "level_price": level}


def test_clusters():
    rows = [
        touch(10),
        touch(11, 1),
        touch(20, direction="DOWN"),
        touch(25, level=600.1),
        touch(26, level=600.21),
        touch(30, 1),
        touch(41, level=600.21),
        touch(56.01, level=600.21),
    ]
    found = computed(*rows)
    assert found["attempt_cluster_id"] == [1, 2, 3, 1, 4, 5, 4, 6]
    assert found["attempt_index"] == [1, 1, 1, 2, 1, 1, 2, 1]
    assert found["prior_touches"] == [0, 0, 1, 2, 3, 1, 4, 5]


def test_the_gap_is_inclusive():
    assert computed(touch(10), touch(25), touch(40.001))["attempt_cluster_id"] == [1, 1, 2]


def test_trends_are_against_the_first_of_the_cluster():
    found = computed(
        touch(10),
        touch(12, 1),
        touch(14),
        touch(16),
        barrier_replenishment_ratio=[None, 2.0, 3.0, None],
        barrier_delta_liq=[5.0, 1.0, 3.0, None],
        tape_velocity=[1.0, 1.0, 4.0, 2.0],
        tape_imbalance=[0.5, 0.1, -0.5, 1.0],
    )
    assert found["barrier_replenishment_trend"] == [None, 0.0, None, None]
    assert found["barrier_delta_liq_trend"] == [0.0, 0.0, -2.0, None]
    assert found["tape_velocity_trend"] == [0.0, 0.0, 3.0, 1.0]
    assert found["tape_imbalance_trend"] == [0.0, 0.0, -1.0, 0.5]


def test_levels_with_prices_are_apart():
    rows = [touch(10, 8, level=600.0), touch(11, 8, level=601.0), touch(12, 8, level=600.0)]
    assert computed(*rows)["attempt_cluster_id"] == [1, 2, 1]
    assert computed(*rows)["prior_touches"] == [0, 0, 1]
