"""Fuel and dealer flow against their definitions, laws of mirror, scale and time, and the traps."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raypipe.features.touch import dealer_flow, fuel
from raypipe.features.touch.group import add_columns, in_order
from raypipe.schema.touches import OPTION_GREEKS
from tests.features.touch import scenes
from tests.features.touch.scenes import MINUTE_NS, SESSION, at
from tests.reference import fuel as naive
from tests.reference.fuel import Print, Rules

GROUPS = in_order({module.GROUP.name: module.GROUP for module in (fuel, dealer_flow)})
#: Thresholds that the small sums of a test reach.
SMALL = {"effect_gamma": 300.0, "wall_gamma": 200.0, "confidence_contracts": 200.0}
RULES = Rules(effect=300.0, wall=200.0, confidence=200.0)

prints = st.lists(
    st.builds(
        Print,
        # Whole seconds from before the open on: windows then have prints on their borders.
        st.integers(-600, 2400).map(lambda second: SESSION.open_ns + second * 10**9),
        st.sampled_from([596_000, 597_500, 598_000, 599_000, 600_000, 601_000, 602_000, 602_500, 640_000]),
        st.sampled_from("CP"),
        st.integers(1, 60),
        st.sampled_from([-1, 0, 1]),
        st.one_of(st.none(), st.floats(0.001, 0.2)),
    ),
    max_size=60,
).map(lambda found: sorted(found, key=lambda one: one.ts_ns))
queries = st.lists(
    st.tuples(
        st.integers(0, 2400).map(lambda second: SESSION.open_ns + second * 10**9),
        st.sampled_from([598.0, 599.5, 600.0, 600.25, 604.5, 700.0]),
    ),
    min_size=1,
    max_size=12,
)


def greeks(rows: Sequence[Print]) -> pa.Table:
    return scenes.build(
        OPTION_GREEKS,
        [
            {
                "session": SESSION.date,
                **dataclasses.asdict(one),
                "ts_event_ns": one.ts_ns,
                "dealer_gamma": None if one.gamma is None else one.dealer,
                "gross_gamma": None if one.gamma is None else one.gross,
            }
            for one in rows
        ],
    )


def columns(rows: Sequence[Print], asked: Sequence[tuple[int, float]], **more: Any) -> dict[str, list[Any]]:
    touches = [{"decision_ns": t, "level_price": level} for t, level in asked]
    params = scenes.params(**{"fuel": SMALL, **more})
    made = add_columns(scenes.scene(touches, greeks=greeks(rows), params=params), GROUPS)
    return {name: column.to_pylist() for name, column in made.items()}


def assert_close(got: object, wanted: object, name: str) -> None:
    if isinstance(wanted, float):
        wanted = pytest.approx(wanted, rel=1e-9, abs=1e-6 if "impulse" in name else 1e-9)
    assert got == wanted, name


@given(prints, queries)
def test_equal_the_definitions(rows, asked):
    got = columns(rows, asked)
    for i, (t, level) in enumerate(asked):
        wanted = naive.fuel(rows, SESSION.open_ns, t, level, RULES)
        wanted |= naive.dealer_flow(rows, SESSION.open_ns, t, level, RULES)
        if not rows:
            wanted = {name: wanted[name] if name in {"fuel_volume", "gamma_bucket"} else None for name in wanted}
        for name, value in wanted.items():
            assert_close(got[name][i], value, name)


@given(prints, queries)
def test_calls_and_puts_make_up_the_whole(rows, asked):
    got = columns(rows, asked)
    for whole, call, put in zip(
        *(got[f"{n}"] for n in ("gamma_exposure", "fuel_call_gamma", "fuel_put_gamma")), strict=True
    ):
        assert whole == (None if not rows else call + put)


@given(prints, queries)
def test_rows_do_not_know_what_is_printed_from_the_decision_on(rows, asked):
    """To the last bit: changing, adding or dropping later prints moves nothing."""
    t = asked[0][0]
    early = [one for one in rows if one.ts_ns < t]
    late = [dataclasses.replace(one, size=7, aggressor=1, gamma=0.1) for one in rows if one.ts_ns >= t]
    if early:
        assert columns(early, asked[:1]) == columns([*early, *late], asked[:1])


@given(prints, queries)
def test_mirror(rows, asked):
    """Strikes reflected at 600, rights swapped: calls and puts change places, the sums stay."""
    swap = {"C": "P", "P": "C"}
    turned = [
        dataclasses.replace(one, strike_e3=1_200_000 - one.strike_e3, right=swap[one.right], aggressor=one.aggressor)
        for one in rows
    ]
    got, mirrored = columns(rows, asked), columns(turned, [(t, 1200.0 - level) for t, level in asked])
    swapped = {"fuel_call_gamma": "fuel_put_gamma", "fuel_put_gamma": "fuel_call_gamma"}
    for name in got:
        if name in {"fuel_call_wall", "fuel_put_wall"}:
            other = "fuel_put_wall" if name == "fuel_call_wall" else "fuel_call_wall"
            expected = [None if price is None else 1200.0 - price for price in mirrored[other]]
        else:
            expected = mirrored[swapped.get(name, name)]
        for one, other_one in zip(got[name], expected, strict=True):
            assert_close(one, other_one, name)


def test_dealers_take_the_other_side_of_calls_and_puts_alike():
    """Customers who buy leave dealers short of gamma, whichever right it is."""
    bought = [Print(at(1), 600_000, right, 10, 1, 0.1) for right in "CP"]
    got = columns(bought, [(at(2), 600.0)])
    assert got["fuel_call_gamma"] == got["fuel_put_gamma"] == [-100.0]
    assert got["gamma_bucket"] == ["SHORT_GAMMA"]
    assert got["dealer_pressure"][0] > 0


def test_prints_at_the_decision_are_not_known_and_those_just_before_are():
    rows = [Print(at(5), 600_000, "C", 3, 1, 0.1), Print(at(5) + 1, 600_000, "C", 5, 1, 0.1)]
    assert columns(rows, [(at(5), 600.0), (at(5) + 1, 600.0), (at(5) + 2, 600.0)])["fuel_volume"] == [0, 3, 8]


def test_latency_of_the_feed():
    rows = [Print(at(5), 600_000, "C", 3, 1, 0.1)]
    asked = [(at(5) + 250 * 10**6, 600.0), (at(5) + 250 * 10**6 + 1, 600.0)]
    assert columns(rows, asked, options={"option_latency_ms": 250})["fuel_volume"] == [0, 3]


def test_a_print_on_the_border_of_two_windows_counts_once():
    rows = [Print(at(9), 600_000, "C", 10, -1, 0.1)]
    got = columns(rows, [(at(10), 600.0), (at(11), 600.0)])
    assert got["gamma_flow_accel_1m"] == [100.0, -100.0]


def test_strikes_on_the_border_of_the_range_count():
    rows = [Print(at(1), strike, "C", 1, 1, 0.1) for strike in (597_999, 598_000, 602_000, 602_001)]
    assert columns(rows, [(at(2), 600.0)])["fuel_volume"] == [2]


def test_prints_before_the_open_do_not_count():
    rows = [Print(SESSION.open_ns - 1, 600_000, "C", 3, 1, 0.1), Print(SESSION.open_ns, 600_000, "C", 4, 1, 0.1)]
    assert columns(rows, [(at(30), 600.0)])["fuel_volume"] == [4]


def test_without_gamma_only_contracts_count():
    got = columns([Print(at(1), 600_000, "C", 300, 1, None)], [(at(2), 600.0)])
    assert (got["fuel_volume"], got["gamma_exposure"], got["gamma_bucket"]) == ([300], [0.0], ["UNKNOWN"])
    assert got["fuel_confidence"] == [1.0]


def test_a_session_without_prints_has_no_fuel():
    got = columns([], [(at(2), 600.0)])
    assert (got["fuel_effect"], got["gamma_exposure"], got["dealer_pressure"]) == ([None], [None], [None])
    assert (got["fuel_volume"], got["gamma_bucket"]) == ([0], ["UNKNOWN"])


def test_of_equal_walls_the_nearest():
    rows = [Print(at(1), strike, right, 50, -1, 0.1) for strike in (599_000, 600_000, 601_000) for right in "CP"]
    got = columns(rows, [(at(2), 599.5), (at(2), 600.5)])
    assert got["fuel_call_wall"] == [600.0, 601.0]
    assert got["fuel_put_wall"] == [599.0, 600.0]


def test_effects_and_buckets_are_all_reached():
    rows = [Print(at(k), 600_000 + 10_000 * k, "C", 40, side, 0.1) for k, side in enumerate((1, -1, 0))]
    got = columns(rows, [(at(30), 600.0 + 10 * k) for k in range(3)])
    assert got["fuel_effect"] == ["AMPLIFY", "DAMPEN", "NEUTRAL"]
    assert got["gamma_bucket"] == ["SHORT_GAMMA", "LONG_GAMMA", "UNKNOWN"]


def test_impulse_of_hardly_any_flow_is_zero():
    rows = [Print(at(1), 600_000, "C", 1, 1, 1e-9)]
    assert columns(rows, [(at(2), 600.0)])["gamma_flow_impulse"] == [0.0]


@settings(max_examples=20)
@given(prints.filter(bool), queries)
def test_types_and_nulls_are_as_declared(rows, asked):
    touches = [{"decision_ns": t, "level_price": level} for t, level in asked]
    made = add_columns(scenes.scene(touches, greeks=greeks(rows)), GROUPS)
    for column in (column for group in GROUPS for column in group.columns):
        assert made[column.name].type == column.arrow.type, column.name
        assert column.nullable or not made[column.name].null_count, column.name


def test_hvl_is_the_flip():
    touches = [{"decision_ns": at(5), "gamma_flip": 601.25}, {"decision_ns": at(6), "gamma_flip": None}]
    made = add_columns(scenes.scene(touches), GROUPS)
    assert made["fuel_hvl"].to_pylist() == [601.25, None]


def test_windows_are_minutes_not_rows():
    """A busy minute does not push a quiet one out of the window, nor does a quiet one stay in it."""
    rows = [Print(at(1), 600_000, "C", 1, -1, 0.1)]
    rows += [Print(at(4) + k, 600_000, "C", 1, -1, 0.1) for k in range(500)]
    got = columns(rows, [(at(5.5), 600.0), (at(6.5), 600.0), (at(9.5), 600.0)])
    assert np.allclose(got["gamma_flow_velocity"], [501 * 10 / 5, 500 * 10 / 5, 0.0], atol=1e-9)
    assert MINUTE_NS == naive.MINUTE
