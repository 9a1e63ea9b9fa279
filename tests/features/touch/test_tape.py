"""Group tape against its definition, and at the edges of its windows."""

from __future__ import annotations

import pytest

from raypipe.features.touch.tape import GROUP
from tests.features.touch import scenes
from tests.features.touch.order_books import OPEN, RATIO, Made, assert_same, random_session, touch
from tests.reference import tape as naive
from tests.reference.book import Trade

SECOND = 10**9
T = OPEN + 600 * SECOND
L = 24_000


def columns(made: Made, **given):
    found = dict(GROUP.compute(made.scene(**given)))
    return {column.name: found[column.alias_of or column.name] for column in GROUP.columns}


def row(*trades, up=True, **given):
    """The tape of a touch of level L at T."""
    made = Made([], [Trade(T + round(s * SECOND), *rest) for s, *rest in trades], [touch(T, L, up)])
    return {name: column[0].as_py() for name, column in columns(made, **given).items()}


def check(made: Made, how=naive.RULES, **given):
    found = columns(made, **given)
    for i, one in enumerate(made.rows):
        wanted = naive.tape(made.trades, one["decision_ns"], one["level_price_es"] * 4, RATIO, how)
        assert_same({name: column[i].as_py() for name, column in found.items()}, wanted)


@pytest.mark.parametrize("seed", range(6))
def test_all_columns_follow_their_definitions(seed):
    check(random_session(seed, 900, touches=40, step_s=0.3 if seed % 2 else 0.1))


@pytest.mark.parametrize("seed", range(3))
def test_other_parameters(seed):
    given = {"window_s": 5, "band_usd": 0.2, "sweep_gap_ms": 900, "sweep_min_prints": 1, "sweep_min_prices": 1}
    given |= {"sweep_min_contracts": 5, "sweep_min_notional_usd": 1_500_000, "confidence_contracts": 50}
    how = {"window_ns": 5 * SECOND, "band_usd": 0.2, "gap_ns": 900_000_000, "prints": 1, "prices": 1}
    how |= {"contracts": 5, "notional": 1_500_000.0, "confident": 50}
    check(random_session(seed, 900, touches=40, step_s=0.3), naive.RULES | how, params=scenes.params(tape=given))


def test_the_sample_sees_something():
    samples = [columns(random_session(seed, 900, touches=40, step_s=step)) for seed, step in ((0, 0.1), (1, 0.3))]
    seen = {name: {value for found in samples for value in found[name].to_pylist()} for name in samples[0]}
    assert {name for name, values in seen.items() if len(values) < 2} == set()


def test_types_and_nulls_are_as_declared():
    found = columns(random_session(2, 100))
    for column in GROUP.columns:
        assert found[column.name].type == column.arrow.type, column.name
        assert not found[column.name].null_count, column.name


def test_no_touch_and_no_trade():
    assert {len(column) for column in columns(random_session(3, 50).replaced(rows=[])).values()} == {0}
    quiet = row()
    assert quiet["tape_sweep_direction"] == "NONE"
    numbers = [value for value in quiet.values() if not isinstance(value, str)]
    assert not any(numbers)


def test_windows_end_before_the_touch_and_begin_with_their_first_nanosecond():
    """Trap: the touching trade and what follows it are the label's, not the tape's."""
    edge = 1e-9
    found = row((-60 - edge, L, 1, 1), (-60, L, 2, 1), (-edge, L, 4, -1), (0, L, 8, 1), (1, L, 16, 1))
    assert (found["tape_buy_vol"], found["tape_sell_vol"]) == (2, 4)
    assert found["tape_velocity"] == 2 / 60


def test_near_is_in_dollars_of_the_row_and_inclusive():
    trades = [(-1, L + k, 10 ** abs(k - 20), 1) for k in (19, 20, 21)] + [(-1, L - 20, 1000, 0), (-1, L - 21, 7, -1)]
    found = row(*trades)
    assert (found["tape_buy_vol"], found["tape_sell_vol"], found["tape_unsided_vol"]) == (11, 0, 1000)
    assert found["tape_velocity"] == 5 / 60


def test_slopes_take_trades_at_any_price_within_their_seconds():
    found = row((-30, L - 400, 1, 1), (-2, L - 100, 1, 1), (-1, L - 96, 1, 1))
    assert found["tape_slope_3s"] == pytest.approx(1.0)
    assert found["tape_slope_60s"] == pytest.approx(
        naive.slope([Trade(-30 * SECOND, -400, 1, 1), Trade(-2 * SECOND, -100, 1, 1), Trade(-SECOND, -96, 1, 1)])
    )


def test_a_sweep_in_both_ways():
    def ladder(side):
        return [(-5 + 0.01 * k, L - 3 + k, 20, side) for k in range(4)]

    for side, word in ((1, "UP"), (-1, "DOWN"), (0, "NONE")):
        found = row(*ladder(side))
        assert found["tape_sweep_detected"]
        assert found["sweep_detected"]
        assert found["tape_sweep_direction"] == word
        assert found["tape_sweep_notional"] == pytest.approx(sum((L - 3 + k) * 0.25 * 20 * 50 for k in range(4)))
        assert (found["tape_sweep_contracts"], found["tape_sweep_prints"]) == (80, 4)
        assert found["tape_sweep_window_ms"] == pytest.approx(30)


@pytest.mark.parametrize(
    ("changed", "there"),
    [
        ({}, True),
        ({"sweep_min_prints": 4}, True),
        ({"sweep_min_prints": 5}, False),
        ({"sweep_min_prices": 4}, True),
        ({"sweep_min_prices": 5}, False),
        ({"sweep_min_contracts": 80}, True),
        ({"sweep_min_contracts": 81}, False),
        ({"sweep_gap_ms": 9.999999}, False),
        ({"sweep_gap_ms": 10}, True),
        ({"sweep_min_notional_usd": 23_998_500}, True),
        ({"sweep_min_notional_usd": 23_998_501}, False),
    ],
)
def test_what_makes_a_sweep(changed, there):
    trades = [(-5 + 0.01 * k, L - 3 + k, 20, 1) for k in range(4)]
    assert row(*trades, params=scenes.params(tape=changed))["tape_sweep_detected"] == there
