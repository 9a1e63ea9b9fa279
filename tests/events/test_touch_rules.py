"""When a touch is one: bands to the cent, arming, births and jumps, nanoseconds and bars, on tapes written out."""

from __future__ import annotations

import dataclasses
import datetime as dt

import pytest

from raypipe.calendar import calendar
from raypipe.events.touches import FAMILY
from raypipe.schema.signals import SignalsParams
from raypipe.schema.touches import ES_BARS, ES_SESSION, LEVEL_KINDS, LEVEL_VECTOR, LEVEL_WEIGHTS, TOUCHES
from tests.events.days import MadeDay, warm_row
from tests.events.tape import SESSION, at, build, run

ROUND, VWAP, HIGH, LOW, WALL = {"kinds": [8]}, {"kinds": [7]}, {"kinds": [4]}, {"kinds": [5]}, {"kinds": [10]}
SECOND = 10**9


def tape(*prices, start=1.0, step=0.5, session=SESSION):
    """A trade of one contract every half minute, from one minute after the open, at these ES prices."""
    return [(at(start + i * step, session), round(price * 4), 1, 0, "ESH5") for i, price in enumerate(prices)]


def day(*prices, ratio=10.0, **given) -> MadeDay:
    return MadeDay(given.pop("tape", tape(*prices)), [(at(-90), ratio)], **given)


def touched(made: MadeDay, **groups):
    """What is touched: minutes after the open, level, direction, kind of touch."""
    return [
        ((row["ts_ns"] - SESSION.open_ns) / 60e9, row["level_id"], row["direction"], row["touch_type"])
        for row in made.rows(**groups)
    ]


# --- bands -------------------------------------------------------------------------------------


def test_bands_are_inclusive():
    assert touched(day(5997.5, 5999.0), levels=ROUND) == [(1.5, "ROUND_600", "UP", "contact")]
    assert touched(day(5997.5, 5998.75), levels=ROUND) == []
    assert touched(day(5997.75, 5999.0), levels=ROUND) == [], "a quarter dollar away arms, less does not"
    assert touched(day(6002.5, 6001.0), levels=ROUND) == [(1.5, "ROUND_600", "DOWN", "contact")]
    assert touched(day(6002.5, 6001.25), levels=ROUND) == []


def test_a_price_that_jumps_over_a_level_crosses_it():
    (row,) = day(5996, 6002).rows(levels=ROUND)
    assert (row["direction"], row["touch_type"], row["direction_sign"]) == ("UP", "cross", 1)
    assert (row["spot"], row["level_price"], row["distance"], row["distance_signed"]) == (600.2, 600.0, 0.2, -0.2)


def test_a_level_is_armed_again_a_quarter_dollar_away():
    back_and_forth = day(5997, 5999.5, 5998, 5999.5, 5997.5, 5999.5, 6002.5, 6001)
    assert touched(back_and_forth, levels=ROUND) == [
        (1.5, "ROUND_600", "UP", "contact"),
        (3.5, "ROUND_600", "UP", "contact"),
        (4.5, "ROUND_600", "DOWN", "contact"),
    ]


def test_one_trade_may_touch_several_levels():
    rows = day(5987, 6011).rows(levels=ROUND)
    assert [row["level_id"] for row in rows] == ["ROUND_599", "ROUND_600", "ROUND_601"]
    assert len({row["decision_ns"] for row in rows}) == 1


def test_spacing():
    found = [level for _, level, *_ in touched(day(5990, 6000), levels={**ROUND, "round_spacing_usd": 0.25})]
    assert found == ["ROUND_599.25", "ROUND_599.5", "ROUND_599.75", "ROUND_600"]


# --- time --------------------------------------------------------------------------------------


def test_of_trades_at_one_nanosecond_only_the_first_fires():
    """The others may arm; what they reach is touched by the next trade that is still there."""
    sweep = [(at(1), 4 * 5997, 1, 0, "ESH5"), *[(at(2), round(4 * p), 1, 0, "ESH5") for p in (5998, 5999.5, 6000)]]
    assert touched(day(tape=[*sweep, (at(3), 4 * 5998, 1, 0, "ESH5")]), levels=ROUND) == []
    assert [minute for minute, *_ in touched(day(tape=[*sweep, (at(3), 4 * 6000, 1, 0, "ESH5")]), levels=ROUND)] == [
        3.0
    ]
    twice = [(at(1), 4 * 5997, 1, 0, "ESH5"), *[(at(2), 4 * p, 1, 0, "ESH5") for p in (6000, 6003, 6000)]]
    assert touched(day(tape=twice), levels=ROUND) == [(2.0, "ROUND_600", "UP", "contact")]


def test_levels_are_watched_from_nine_and_rows_begin_with_the_open():
    watched = [(at(-30), 4 * 5997, 1, 0, "ESH5"), (at(0), 4 * 6000, 1, 0, "ESH5")]
    assert touched(day(tape=watched), levels=ROUND) == [(0.0, "ROUND_600", "UP", "contact")]
    unseen = [(at(-30) - 1, 4 * 5997, 1, 0, "ESH5"), (at(0), 4 * 6000, 1, 0, "ESH5")]
    assert touched(day(tape=unseen), levels=ROUND) == []
    spent = [*watched[:1], (at(-1), 4 * 6000, 1, 0, "ESH5"), (at(0), 4 * 6000, 1, 0, "ESH5")]
    assert touched(day(tape=spent), levels=ROUND) == []


def test_the_close_is_no_regular_time():
    made = [(at(389), 4 * 5997, 1, 0, "ESH5"), (SESSION.close_ns, 4 * 6000, 1, 0, "ESH5")]
    assert touched(day(tape=made), levels=ROUND) == []
    made[1] = (SESSION.close_ns - 1, *made[1][1:])
    (row,) = day(tape=made).rows(levels=ROUND)
    assert row["decision_ns"] == SESSION.close_ns - 1, "to the nanosecond"


def test_early_close():
    early = calendar().session(dt.date(2025, 11, 28))
    prices = tape(5997, 6000, 6003, 6000, 6003, 6000, start=208.75, session=early)
    made = MadeDay(prices, [(at(-90, early), 10.0)], session=early)
    rows = made.rows(levels=ROUND)
    assert [row["decision_ns"] for row in rows] == [at(209.25, early)]


# --- births and jumps --------------------------------------------------------------------------


def test_a_ratio_that_changes_moves_levels_not_the_price():
    """From 10 to 9.99 a level of 600 moves by 6 points, to the price: it is not touched, but seen anew."""
    made = day(5997, 5997, 5997, 5997)
    changed = dataclasses.replace(made, ratio=[(at(-90), 10.0), (at(2), 9.99)])
    assert touched(changed, levels=ROUND) == []
    slowly = dataclasses.replace(made, ratio=[(at(-90), 10.0), (at(2), 9.996)])
    assert touched(slowly, levels=ROUND) == [(2.0, "ROUND_600", "UP", "contact")], "a drift is no jump"


def test_without_a_ratio_nothing_is_touched():
    late = MadeDay(tape(5997, 6000, 6003, 6000), [(at(2), 10.0)])
    assert touched(late, levels=ROUND) == [(2.5, "ROUND_600", "DOWN", "contact")]


def prints(*rows):
    """Option prints as (minute, strike, right, size, gross gamma)."""
    names = ("ts_event_ns", "strike", "right", "size", "gross_gamma", "dealer_gamma")
    return [dict(zip(names, (at(minute), *rest, 0.0), strict=True)) for minute, *rest in rows]


def test_a_wall_is_born_at_the_minute_border_and_takes_its_state_there():
    moves = prints((1.2, 600, "C", 100, 5.0))
    assert touched(day(tape=tape(5997, 5997, 6000), prints=moves), levels=WALL) == []
    later = tape(5997, 5997, 5997, 6000)
    assert touched(day(tape=later, prints=moves), levels=WALL) == [(2.5, "CALL_WALL", "UP", "contact")]


def test_a_wall_that_jumps_to_the_price_is_not_touched():
    moves = prints((1.2, 601, "C", 100, 5.0), (3.2, 600, "C", 100, 9.0))
    still = tape(5999.5, 5999.5, 5999.5, 5999.5, 5999.5, 5999.5, 5999.5, 5997, 5999.5)
    (row,) = day(tape=still, prints=moves).rows(levels=WALL)
    assert (row["ts_ns"], row["call_wall"], row["direction"]) == (at(5), 600.0, "UP")


def test_a_strike_lives_from_a_hundred_contracts_of_both_rights():
    moves = prints((1.2, 600, "C", 60, 5.0), (2.2, 600, "P", 40, 5.0))
    walk = tape(5997, 6000, 5997, 5997, 5997, 6000)
    assert touched(day(tape=walk, prints=moves), levels={"kinds": [9]}) == [(3.5, "STRIKE_600", "UP", "contact")]


# --- levels that trades move -------------------------------------------------------------------


def test_new_highs_do_not_touch_themselves():
    assert touched(day(*range(6000, 6040)), levels=HIGH) == []
    up_again = day(6000, 6003, 5999, 6002, 6010)
    assert touched(up_again, levels=HIGH) == [(2.5, "SESSION_HIGH", "UP", "contact")]
    (row,) = up_again.rows(levels=HIGH)
    assert (row["level_price_es"], row["session_high"], row["session_low"]) == (6003.0, 600.3, 599.9)


def test_lows_are_touched_from_above():
    assert touched(day(6003, 6000, 6004, 6001), levels=LOW) == [(2.5, "SESSION_LOW", "DOWN", "contact")]


def test_the_evening_before_belongs_to_no_mean_or_extreme():
    evening = [(at(-60 * 14), 4 * 6500, 900, 0, "ESH5"), (at(-60 * 6), 4 * 6400, 900, 0, "ESH5")]
    walk = tape(6000, 6003, 6001)
    (row,) = day(tape=[*evening, *walk]).rows(levels={"kinds": [7]})
    assert (row["session_high"], row["vwap"], row["level_price_es"]) == (600.3, 600.15, 6001.5)
    assert (row["pm_high"], row["pm_low"]) == (None, None), "nothing traded from 04:00 to the open"


def test_premarket_is_of_the_same_date_and_ends_with_the_open():
    known = [(at(-331), 4 * 6100, 1, 0, "ESH5"), (at(-330), 4 * 6010, 1, 0, "ESH5"), (at(-1), 4 * 6000, 1, 0, "ESH5")]
    made = day(tape=[*known, *tape(6007, 6009)])
    (row,) = made.rows(levels={"kinds": [0, 1]})
    assert (row["level_id"], row["pm_high"], row["pm_low"]) == ("PM_HIGH", 601.0, 600.0)


def test_opening_range_is_a_level_from_its_end_or_forming():
    walk = tape(6000, 6010, 6000, 6005, start=1) + tape(6005, 6010, start=15)
    (row,) = day(tape=walk).rows(levels={"kinds": [2]})
    assert (row["ts_ns"], row["or_high"]) == (at(15.5), 601.0)
    more = tape(6000, 6010, 6000, 6010, start=1)
    assert touched(day(tape=more), levels={"kinds": [2]}) == []
    assert touched(day(tape=more), levels={"kinds": [2], "or_forming": True}) == [(2.5, "OR_HIGH", "UP", "contact")]


# --- moving averages and warm-up ---------------------------------------------------------------


def with_warm(prices_by_back):
    """A day whose sessions before have 200 two-minute closes each."""
    made = {}
    for back, ticks in prices_by_back.items():
        session = calendar().session(calendar().offset(SESSION.date, -back))
        made[session.date] = [(at(-60, session) + i * 120 * SECOND, ticks) for i in range(200)]
    return made


def sma_level(day_, **groups):
    rows = day_.rows(levels={"kinds": [6, 12]}, **groups)
    return {row["level_id"]: row["level_price_es"] for row in rows}, rows


def test_means_reach_back_three_sessions_and_see_no_forming_bar():
    warm = with_warm({1: 24_000, 2: 24_400, 3: 90_000})
    found, rows = sma_level(day(tape=tape(5980, 6050, start=0.2), warm=warm))
    assert found == {"SMA_200": 6000.0, "SMA_400": 6050.0}
    assert {row["warmup_sma_sessions"] for row in rows} == {3}
    with_bar = day(tape=[(at(-2), 4 * 6400, 1, 0, "ESH5"), *tape(5980, 6050, start=0.2)], warm=warm)
    assert sma_level(with_bar)[0]["SMA_200"] == 6002.0, "one of 200 closes is 400 points higher"
    forming = day(tape=[(at(0.1), 4 * 6400, 1, 0, "ESH5"), *tape(5980, 6050, start=0.2)], warm=warm)
    assert sma_level(forming)[0]["SMA_200"] == 6000.0


def test_fewer_sessions_are_counted_and_means_need_all_their_closes():
    found, rows = sma_level(day(tape=tape(5980, 6050, start=0.2), warm=with_warm({1: 24_000, 6: 24_000})))
    assert found == {"SMA_200": 6000.0}
    assert (rows[0]["warmup_sma_sessions"], rows[0]["warmup_volume_sessions"]) == (1, 2)
    assert sma_level(day(tape=tape(5980, 6050), warm=with_warm({4: 24_000})))[0] == {}, "four sessions back"


def rolled(common: int) -> dict:
    """Tables of a day after a roll: the session before traded ESZ4 mostly, 50 points below."""
    warm = with_warm({1: 23_800, 2: 23_800})
    tables = day(tape=tape(5980, 6050, start=0.2), warm=warm).tables()
    for date in warm:
        bars = [warm_row(date, start, ticks, "ESZ4") for start, ticks in warm[date]]
        session = calendar().session(date)
        new = [warm_row(date, at(i * 2, session), 24_000) for i in range(common)]
        tables[ES_BARS.name][date] = build(ES_BARS, [*new, *bars])
        tables[ES_SESSION.name][date] = build(
            ES_SESSION, [{"session": date, "front_contract": "ESZ4", "front_dominance": 1.0}]
        )
    return tables


@pytest.mark.parametrize(("common", "expected"), [(30, {"SMA_200": 6000.0}), (29, {})])
def test_a_roll_in_the_warm_up_shifts_older_bars_or_voids_the_means(common, expected):
    tables = rolled(common)
    rows = run(FAMILY, tables, levels={"kinds": [6]}).table.to_pylist()
    assert {row["level_id"]: row["level_price_es"] for row in rows} == expected


# --- bars --------------------------------------------------------------------------------------

BAR = {"cadence": "bar"}


def test_a_bar_is_dated_at_its_start_and_decided_at_its_end():
    made = day(tape=tape(5990, 5998, 5999, start=0.5))
    (row,) = made.rows(levels=ROUND, touch=BAR)
    assert (row["ts_ns"], row["decision_ns"], row["es_price"]) == (at(1), at(2), 5999.0)
    assert (row["direction"], row["cadence"]) == ("UP", "bar")


def test_bar_bands_and_direction():
    came = tape(5990, start=0.0)
    near = [*came, *tape(5999, 5997.5, start=1)]
    assert touched(day(tape=near), levels=ROUND, touch=BAR) == [(1.0, "ROUND_600", "UP", "cross")]
    assert touched(day(tape=[*came, *tape(5998.75, start=1)]), levels=ROUND, touch=BAR) == [], "too low"
    assert touched(day(tape=[*came, *tape(6000, 5997.25, start=1)]), levels=ROUND, touch=BAR) == [], "closed away"
    above = [*tape(6010, 6000, start=0.0), *tape(6000, 6002, start=1)]
    assert [row[2] for row in touched(day(tape=above), levels=ROUND, touch=BAR)][-1] == "DOWN"


def test_a_row_per_bar_without_arming():
    flat = [*tape(5990, start=0.0), *tape(*[6000] * 6, start=1)]
    assert [row[:3] for row in touched(day(tape=flat), levels=ROUND, touch=BAR)] == [
        (minute, "ROUND_600", "UP") for minute in (1.0, 2.0, 3.0)
    ]


def test_levels_of_bars_are_those_at_their_start():
    made = day(tape=[*tape(6000, 6003, start=0.0), *tape(6000, 6004, start=1)])
    (row,) = [row for row in made.rows(levels=HIGH, touch=BAR) if row["ts_ns"] == at(1)]
    assert row["level_price_es"] == 6003.0
    assert row["session_high"] == 600.4, "the vector is that of the decision"


def test_bars_end_inside_regular_hours():
    ends = [*tape(5990, start=-2.0), *tape(6000, start=-1.0), *tape(6000, start=388.0), *tape(6000, start=389.0)]
    found = [row["decision_ns"] for row in day(tape=ends).rows(levels=ROUND, touch=BAR)]
    assert found == [SESSION.open_ns, at(389)]


# --- the table ---------------------------------------------------------------------------------


def test_codes_are_frozen():
    expected = "PM_HIGH PM_LOW OR_HIGH OR_LOW SESSION_HIGH SESSION_LOW SMA_200 VWAP ROUND STRIKE CALL_WALL PUT_WALL"
    assert " ".join(LEVEL_KINDS) == f"{expected} SMA_400 GAMMA_FLIP"
    assert set(LEVEL_VECTOR) < set(TOUCHES.names)


def test_weights_of_the_default_kinds():
    params = SignalsParams()
    weights = [getattr(params.confluence.weights, LEVEL_WEIGHTS[kind]) for kind in params.levels.kinds]
    assert sum(weights) == pytest.approx(9.3)


def test_without_options_walls_are_absent():
    (row,) = day(5997, 6000).rows(levels=ROUND, session={"require_options": False})
    assert [row[name] for name in ("call_wall", "put_wall", "gamma_flip", "call_wall_decayed")] == [None] * 4


def test_no_touch_is_a_valid_table_with_a_finding():
    result = day(6003, 6004).touches(levels=ROUND)
    assert (result.table.num_rows, [finding.kind for finding in result.findings]) == (0, ["no_touches"])
    assert result.table.schema.equals(TOUCHES.arrow)
