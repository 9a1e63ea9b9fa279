"""What lies beyond the level, from rows made for it."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from raypipe.features.touch.runway import GROUP
from raypipe.schema.touches import OPTION_GREEKS
from tests.features.touch.scenes import SESSION, at, build, params, scene


def computed(signal: str = "NEUTRAL", kinds: tuple[int, ...] = (0,), greeks: Any = None, **row: Any):
    averages = {name: pa.array([row.pop(name, None)], pa.float64()) for name in ("sma_200", "sma_400")}
    more = {} if greeks is None else {"greeks": greeks}
    given = scene([row], added={**averages, "signal": [signal]}, params=params(levels={"kinds": kinds}), **more)
    found = {name: column[0].as_py() for name, column in GROUP.compute(given).items()}
    return tuple(found[f"runway_{name}"] for name in ("direction", "next_level_price", "distance", "quality"))


def test_nothing_beyond():
    assert computed() == ("UP", None, None, "CLEAR")


def test_the_nearest_level_that_way_whether_or_not_its_kind_is_enabled():
    levels = {"or_high": 601.5, "vwap": 599.5, "sma_400": 601.25}
    assert computed(**levels) == ("UP", 601.25, 1.25, "CLEAR")
    assert computed(direction="DOWN", **levels) == ("DOWN", 599.5, 0.5, "OBSTRUCTED")


def test_a_rejected_touch_goes_back():
    assert computed("REJECT", or_high=601.5, or_low=599.0) == ("DOWN", 599.0, 1.0, "CLEAR")
    assert computed("REJECT", direction="DOWN", or_high=601.5) == ("UP", 601.5, 1.5, "CLEAR")


@pytest.mark.parametrize("gap", [0.0, 0.01])
def test_levels_at_the_same_place_are_not_beyond(gap):
    assert computed(or_high=600.0 + gap, pm_low=600.011) == ("UP", 600.011, pytest.approx(0.011), "CLEAR")


@pytest.mark.parametrize("name", ["call_wall", "put_wall", "session_high", "session_low", "vwap", "gamma_flip"])
def test_obstacles_within_reach(name):
    assert computed(**{name: 602.0})[3] == "OBSTRUCTED"
    assert computed(**{name: 602.01})[3] == "CLEAR"
    assert computed(**{name: 599.0})[3] == "CLEAR"


def test_an_obstacle_need_not_be_the_next_level():
    assert computed(or_high=600.5, call_wall=601.5) == ("UP", 600.5, 0.5, "OBSTRUCTED")


def test_round_prices_only_if_enabled():
    assert computed(kinds=(0, 8), level_price=600.3) == ("UP", 601.0, pytest.approx(0.7), "CLEAR")
    assert computed(kinds=(0, 8), level_price=600.0)[1] == 601.0
    assert computed(kinds=(0, 8), level_price=600.99)[1] == 602.0
    assert computed(kinds=(0, 8), direction="DOWN", level_price=600.0)[1] == 599.0


def test_strikes_that_are_levels():
    rows = [
        {"session": SESSION.date, "ts_event_ns": at(5), "strike_e3": k, "right": "P", "size": n, "aggressor": 1}
        for k, n in ((601_000, 99), (602_000, 100), (598_000, 100))
    ]
    greeks = build(OPTION_GREEKS, rows)
    assert computed(kinds=(9,), greeks=greeks)[:3] == ("UP", 602.0, 2.0)
    assert computed(kinds=(9,), greeks=greeks, direction="DOWN")[:3] == ("DOWN", 598.0, 2.0)
    assert computed(kinds=(0,), greeks=greeks)[1] is None
    assert computed(kinds=(9,), greeks=greeks, decision_ns=at(5.5))[1] is None
