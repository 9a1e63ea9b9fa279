"""Group pressure against its definition, and what it says of books out of sight."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.features.touch.pressure import GROUP
from tests.features.touch import scenes
from tests.features.touch.order_books import assert_same
from tests.reference.score import pressure

floats = st.floats(-1e6, 1e6)
perhaps = st.none() | floats
rows = st.fixed_dictionaries(
    {
        "direction": st.sampled_from(["UP", "DOWN"]),
        "barrier_delta_liq": perhaps,
        "wall_ratio": st.none() | st.floats(0, 20),
        "tape_imbalance": st.floats(-1, 1),
        "tape_slope_3s": st.floats(-3, 3),
        "gamma_exposure": perhaps,
        "gamma_flow_accel_3m": perhaps,
        "mean_reversion_pressure_200": st.none() | st.floats(-3, 3),
        "mean_reversion_pressure_400": st.none() | st.floats(-3, 3),
        "confluence_alignment": st.sampled_from([-1, 0, 1]),
        "confluence_pressure": st.floats(0, 1),
    }
)
DULL = {
    "direction": "UP",
    "barrier_delta_liq": 0.0,
    "wall_ratio": 2.0,
    "tape_imbalance": 0.0,
    "tape_slope_3s": 0.0,
    "gamma_exposure": 0.0,
    "gamma_flow_accel_3m": 0.0,
    "mean_reversion_pressure_200": 0.0,
    "mean_reversion_pressure_400": 0.0,
    "confluence_alignment": 0,
    "confluence_pressure": 0.0,
}


def computed(made):
    names = [name for name in DULL if name != "direction"]
    kinds = {name: pa.int8() if name == "confluence_alignment" else pa.float64() for name in names}
    added = {name: pa.array([row[name] for row in made], kinds[name]) for name in names}
    touches = [{"direction": row["direction"]} for row in made]
    return {name: column.to_pylist() for name, column in GROUP.compute(scenes.scene(touches, added=added)).items()}


@given(st.lists(rows, min_size=1, max_size=8))
def test_all_columns_follow_their_definitions(made):
    found = computed(made)
    for i, row in enumerate(made):
        wanted = pressure(row | {"direction_sign": 1 if row["direction"] == "UP" else -1})
        assert_same({name: found[name][i] for name in found}, wanted)


@given(st.lists(rows, min_size=1, max_size=8))
def test_all_lie_between_minus_one_and_one(made):
    values = [value for column in computed(made).values() for value in column if value is not None]
    assert np.abs(values).max(initial=0) <= 1


@pytest.mark.parametrize(
    ("changed", "name", "sign"),
    [
        ({"barrier_delta_liq": -300.0}, "liquidity_pressure", 1),
        ({"wall_ratio": 6.0}, "liquidity_pressure", -1),
        ({"barrier_delta_liq": None, "wall_ratio": None}, "liquidity_pressure", 0),
        ({"tape_slope_3s": 0.4}, "tape_pressure", 1),
        ({"tape_slope_3s": 0.4, "direction": "DOWN"}, "tape_pressure", -1),
        ({"gamma_exposure": -5e4}, "gamma_pressure", 1),
        ({"gamma_flow_accel_3m": 5e4}, "gamma_pressure_accel", -1),
        ({"mean_reversion_pressure_200": None, "mean_reversion_pressure_400": 1.0}, "reversion_pressure", -1),
        ({"confluence_alignment": 1, "confluence_pressure": 0.5}, "net_break_pressure", 1),
    ],
)
def test_which_way_each_pushes(changed, name, sign):
    assert np.sign(computed([DULL | changed])[name][0]) == sign


def test_no_touch():
    assert set(map(len, computed([]).values())) == {0}


def test_declared():
    names = [column.name for column in GROUP.columns]
    assert set(names) == set(computed([DULL]))
    assert set(GROUP.params) == {"pressure"}
