"""Levels that meet, and moving averages for or against, from rows made for them."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from raypipe.features.touch.stacked import GROUP
from raypipe.schema.touches import OPTION_GREEKS
from tests.features.touch.scenes import MINUTE_NS, SESSION, at, build, params, scene

AVERAGES = ("sma_200", "sma_400", "sma_200_slope", "sma_400_slope")


def computed(kinds: tuple[int, ...] | None = None, greeks: Any = None, groups: Any = (), **row: Any):
    """The group of one touch; averages stand in the row."""
    averages = {name: pa.array([row.pop(name, None)], pa.float64()) for name in AVERAGES}
    chosen = {**dict(groups)} | ({"levels": {"kinds": kinds, **dict(groups).get("levels", {})}} if kinds else {})
    more = {} if greeks is None else {"greeks": greeks}
    found = GROUP.compute(scene([row], added=averages, params=params(**chosen), **more))
    return {name: column[0].as_py() for name, column in found.items()}


def test_what_lies_within_the_band_counts():
    found = computed(pm_high=600.0, or_high=600.1, vwap=600.2, session_high=600.21, sma_200=599.95)
    assert found["confluence_count"] == 3  # its own kind is PM_HIGH
    assert found["confluence_min_distance"] == pytest.approx(0.05)
    score = 0.9 * 0.5 + 0.7 * 0.0 + 0.8 * 0.75
    assert found["confluence_weighted_score"] == pytest.approx(score)
    assert found["confluence_pressure"] == pytest.approx(score / 9.3)


def test_nothing_near():
    found = computed(or_high=605.0)
    assert (found["confluence_count"], found["confluence_weighted_score"], found["confluence_pressure"]) == (
        0,
        0.0,
        0.0,
    )
    assert found["confluence_min_distance"] == 5.0
    assert computed()["confluence_min_distance"] is None


def test_only_enabled_kinds_count():
    assert computed(gamma_flip=600.1)["confluence_count"] == 0
    assert computed((0, 13), gamma_flip=600.1)["confluence_count"] == 1
    assert computed((0, 13), gamma_flip=600.1)["confluence_pressure"] == pytest.approx(0.8 * 0.5 / 1.8)


def test_of_round_prices_the_nearest_only():
    found = computed((0, 8), level_price=600.05)
    assert (found["confluence_count"], found["confluence_min_distance"]) == (1, pytest.approx(0.05))
    own = computed((0, 8), level_price=600.0, level_kind=8)
    assert (own["confluence_count"], own["confluence_min_distance"]) == (0, 1.0)
    fine = computed((0, 8), level_kind=8, groups={"levels": {"round_spacing_usd": 0.1}})
    assert (fine["confluence_count"], fine["confluence_min_distance"]) == (1, pytest.approx(0.1))


def prints(*rows: tuple[int, int, int]) -> pa.Table:
    return build(
        OPTION_GREEKS,
        [
            {"session": SESSION.date, "ts_event_ns": t, "strike_e3": k, "right": "C", "size": n, "aggressor": 0}
            for t, k, n in rows
        ],
    )


@pytest.mark.parametrize(
    ("last_ns", "count"),
    [(at(60) - 1, 1), (at(60), 0), (at(60) + MINUTE_NS, 0)],
    ids=["before the minute", "in the minute", "after"],
)
def test_a_strike_is_a_level_from_the_minute_after_its_hundredth_contract(last_ns, count):
    greeks = prints((at(5), 600_000, 60), (at(6), 601_000, 500), (last_ns, 600_000, 40))
    found = computed((0, 9), greeks, level_price=600.1, decision_ns=at(60.5))
    assert found["confluence_count"] == count
    assert found["confluence_min_distance"] == pytest.approx(0.1 if count else 0.9)


def test_a_strike_is_not_beside_itself():
    greeks = prints((at(5), 600_000, 100), (at(6), 601_000, 100))
    assert computed((9,), greeks, level_kind=9)["confluence_min_distance"] == 1.0
    assert computed((8, 9), greeks, level_kind=8)["confluence_min_distance"] == 0.0


def test_prints_arrive_late():
    greeks = prints((at(59.99), 600_000, 100))
    assert computed((0, 9), greeks, decision_ns=at(60.5))["confluence_count"] == 1
    late = {"options": {"option_latency_ms": 1000}}
    assert computed((0, 9), greeks, groups=late, decision_ns=at(60.5))["confluence_count"] == 0


def test_walls_of_the_basis_in_use():
    row = {"call_wall": 600.1, "call_wall_decayed": 605.0}
    assert computed(**row)["confluence_count"] == 1
    assert computed(**row, groups={"levels": {"wall_basis": "decayed"}})["confluence_count"] == 0


def test_kinds_without_weight():
    weights = {"confluence": {"weights": {"pm": 0}}}
    assert computed((0, 1), groups=weights, pm_low=600.1)["confluence_pressure"] is None


@pytest.mark.parametrize(
    ("alignment", "direction", "averages", "slopes"),
    [
        (1, "UP", 601.0, (-0.1, -0.2)),
        (0, "UP", 601.0, (-0.2, -0.1)),
        (-1, "UP", 599.0, (0.1, 0.2)),
        (0, "UP", 599.0, (0.2, 0.1)),
        (1, "DOWN", 599.0, (0.2, 0.1)),
        (0, "DOWN", 599.0, (0.1, 0.2)),
        (-1, "DOWN", 601.0, (-0.2, -0.1)),
        (0, "DOWN", 601.0, (-0.1, -0.2)),
        (0, "UP", 601.0, (-0.1, 0.2)),
        (0, "UP", 600.0, (-0.1, -0.2)),
        (0, "UP", None, (-0.1, -0.2)),
        (0, "UP", 601.0, (-0.1, None)),
    ],
)
def test_alignment(alignment, direction, averages, slopes):
    values = dict(zip(AVERAGES, (averages, averages, *slopes), strict=True))
    assert computed(direction=direction, **values)["confluence_alignment"] == alignment
