"""Group score against its definition, every signal on a session built for it, and nothing carried between rows."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from raypipe.features.touch import barrier, fuel, score, tape
from raypipe.features.touch.group import add_columns
from raypipe.schema.touches import OPTION_GREEKS
from tests.features.touch import scenes
from tests.features.touch.order_books import OPEN, RATIO, Made, assert_same, random_session, touch
from tests.reference import book as naive_book
from tests.reference import score as naive
from tests.reference.book import F_LAST, Record, Trade

SECOND = 10**9
T = OPEN + 600 * SECOND
L = 24_000
OURS = (barrier.GROUP, tape.GROUP, fuel.GROUP, score.GROUP)
BIDS = tuple((L - 1 - k, 100) for k in range(10))


def greeks(*prints):
    """Option prints (seconds from T, strike, dealer gamma)."""
    return scenes.build(
        OPTION_GREEKS,
        [
            {
                "session": scenes.SESSION.date,
                "ts_event_ns": T + round(seconds * SECOND),
                "strike_e3": round(strike * 1000),
                "right": "C",
                "size": 400,
                "aggressor": 1,
                "dealer_gamma": gamma,
                "gross_gamma": abs(gamma),
            }
            for seconds, strike, gamma in prints
        ],
    )


SHORT, LONG = greeks((-300, 600.0, -50_000.0)), greeks((-300, 600.0, 50_000.0))


def computed(made: Made, prints=SHORT, **given):
    columns = add_columns(made.scene(greeks=prints, **given), OURS)
    return [
        dict(zip(columns, values, strict=True))
        for values in zip(*(c.to_pylist() for c in columns.values()), strict=True)
    ]


def asks(*changed):
    sizes = dict.fromkeys(range(10), 100) | dict(changed)
    return tuple((L + k, size) for k, size in sizes.items() if size)


def session(*events, trades=(), rows=None, first=None):
    """A book that changes at some seconds before T, a beat each second, and trades (seconds, tick, size, side)."""
    records = [Record(T - 500 * SECOND, "A", F_LAST, 0, 0, 0, BIDS, first or asks())]
    todo = sorted([*events, *((s, "A", {}) for s in range(-120, 0))], key=lambda event: event[0])
    for seconds, action, change in todo:
        last = records[-1]
        one = Record(T + round(seconds * SECOND), action, F_LAST, 0, 0, 0, last.bids, last.asks)
        records.append(one._replace(**change))
    tape = [Trade(T + round(s * SECOND), *rest) for s, *rest in trades]
    return Made(records, tape, rows or [touch(T, L + 4)])


PULLED = (-50, "C", {"asks": asks((3, 10), (4, 10), (5, 10))})
GREW = (-50, "A", {"asks": asks((4, 400))})
CLIMB = [(-30 + 0.25 * k, L + k // 40, 1, 1) for k in range(119)]


# --- definition --------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_all_columns_follow_their_definitions(seed):
    made = random_session(seed, 500, touches=4, step_s=0.4)
    rng = np.random.default_rng(seed)
    middle = (made.rows[0]["decision_ns"] + made.rows[-1]["decision_ns"]) // 2
    prints = [
        ((middle - T) / SECOND + s, 600.0, g) for s, g in zip(range(-40, 40, 4), rng.normal(0, 3e4, 20), strict=True)
    ]
    table = greeks(*prints)
    changes, states = made.truth

    def state_at(row):
        def at(t):
            up = row["direction"] == "UP"
            return naive_book.barrier(changes, states, t, row["level_price_es"] * 4, up, OPEN)["barrier_state"]

        return at

    def effect_at(row):
        def at(t):
            net = sum(
                gamma
                for ts, strike, gamma in zip(
                    *(table[n].to_pylist() for n in ("ts_event_ns", "strike_e3", "dealer_gamma")), strict=True
                )
                if OPEN <= ts < t and abs(strike / 1000 - row["level_price"]) <= 2.0
            )
            return "AMPLIFY" if net < -1e4 else "DAMPEN" if net > 1e4 else "NEUTRAL"

        return at

    for given, found in zip(made.rows, computed(made, table), strict=True):
        row = {"distance": 0.0, "direction_sign": 1 if given["direction"] == "UP" else -1} | given | found
        wanted = naive.score(row, made.trades, state_at(given), effect_at(given), RATIO)
        assert_same({name: found[name] for name in wanted}, wanted)


def test_types_and_nulls_are_as_declared():
    columns = add_columns(random_session(1, 200).scene(greeks=LONG), OURS)
    for column in score.GROUP.columns:
        assert columns[column.name].type == column.arrow.type, column.name
        assert not columns[column.name].null_count, column.name


def test_no_touch():
    columns = add_columns(random_session(1, 50).replaced(rows=[]).scene(greeks=LONG), OURS)
    assert {len(column) for column in columns.values()} == {0}


def test_without_option_prints_there_is_no_score():
    (row,) = computed(session(PULLED), OPTION_GREEKS.empty())
    assert [row[name] for name in ("hedge_score", "break_score_raw", "break_score_smooth", "confidence")] == [None] * 4
    assert (row["liquidity_score"], row["signal"]) == (100.0, "NEUTRAL")


# --- the four signals --------------------------------------------------------------------------


def test_break():
    (row,) = computed(session(PULLED, trades=CLIMB))
    assert (row["barrier_state"], row["fuel_effect"], row["signal"]) == ("VACUUM", "AMPLIFY", "BREAK")
    assert row["break_score_raw"] > 80


def test_reject():
    (row,) = computed(session(GREW), LONG)
    assert (row["barrier_state"], row["fuel_effect"], row["signal"]) == ("WALL", "DAMPEN", "REJECT")
    assert row["break_score_raw"] == 0.0
    (far,) = computed(session(GREW, rows=[touch(T, L + 4, distance=0.11)]), LONG)
    assert far["signal"] == "NEUTRAL"


def consumed(traded):
    """Half of what takers took was put back."""
    taken = [
        (-50, "T", {"side": 1, "tick": L, "size": 300, "flags": 0}),
        (-50 + 1e-6, "C", {"asks": asks((0, 0))}),
        (-40, "A", {"asks": asks((0, 150))}),
    ]
    return session(*taken, trades=[(-30, L, traded, 1)], first=asks((0, 300)))


def test_contested():
    (row,) = computed(consumed(500), greeks((-300, 600.0, 0.0)))
    assert (row["barrier_state"], row["signal"]) == ("CONSUMED", "CONTESTED")
    assert 30 <= row["break_score_raw"] <= 70
    assert computed(consumed(499), greeks((-300, 600.0, 0.0)))[0]["signal"] == "NEUTRAL"


@pytest.mark.parametrize(("seconds", "signal"), [(-3.001, "BREAK"), (-2.999, "NEUTRAL")])
def test_a_break_must_have_held_for_three_seconds(seconds, signal):
    """The vacuum is there at each of the 13 moments from 3 s before the touch to the touch, or not."""
    pulled = (seconds, *PULLED[1:])
    (row,) = computed(session(pulled, trades=CLIMB))
    assert row["break_score_raw"] > 80
    assert row["signal"] == signal


@pytest.mark.parametrize(("way", "up"), [(1, True), (-1, False), (1, False)])
def test_a_sweep_counts_along_the_break(way, up):
    trades = [(-5 + 0.01 * k, L + way * k, 30, way) for k in range(4)]
    (row,) = computed(session(trades=trades, rows=[touch(T, L, up)]))
    assert row["tape_score"] == (100.0 if (way > 0) == up else 0.0)


# --- smoothing ---------------------------------------------------------------------------------


def test_a_step_is_half_smoothed_after_tau_times_ln_two():
    """Trap: a half-life is not a time constant. 1.386 s after a step half of it shows."""
    tau = 1.0 / np.log(2)
    (row,) = computed(session((-1.1, *PULLED[1:])), params=scenes.params(score={"tau_s": tau}))
    before, now = 0.45 * 50 + 0.35 * 100, 0.45 * 100 + 0.35 * 100
    assert row["break_score_raw"] == pytest.approx(now)
    # In force at the moments 1, 0.75, 0.5, 0.25 and 0 s before.
    assert row["break_score_smooth"] == pytest.approx(now - (now - before) * 0.5 ** (5 / 4))


def test_rows_do_not_know_of_each_other():
    """Trap: signals that latch, or leak between levels."""
    rows = [touch(T - 20 * SECOND, L + 4), touch(T, L + 4), touch(T, L - 5, up=False), touch(T + SECOND, L + 4)]
    events = [(-70, *PULLED[1:]), (-10, "A", {"asks": asks((4, 400))})]
    made = session(*events, trades=CLIMB, rows=rows)
    whole = computed(made)
    assert whole == [computed(made.replaced(rows=[row]))[0] for row in rows]
    assert len({row["signal"] for row in whole}) > 1


@pytest.mark.parametrize("seed", range(3))
def test_nothing_at_or_after_the_touch_counts(seed):
    made = random_session(seed, 600, step_s=0.4)
    row = made.rows[len(made.rows) // 2]
    t = row["decision_ns"]
    cut = made.replaced(
        records=[r for r in made.records if r.ts < t], trades=[x for x in made.trades if x.ts < t], rows=[row]
    )
    late = greeks((-300, 600.0, -50_000.0), ((t - T) / SECOND, 600.0, 1e9))
    assert computed(made.replaced(rows=[row]), late) == computed(cut)


def test_the_confidence_is_a_mean():
    (row,) = computed(session(PULLED, trades=CLIMB))
    mean = np.mean([row[f"{name}_confidence"] for name in ("barrier", "tape", "fuel")])
    assert row["confidence"] == ("HIGH" if mean >= 0.7 else "MEDIUM" if mean >= 0.4 else "LOW")
    assert pa.types.is_dictionary(score.GROUP.columns[-1].arrow.type)
