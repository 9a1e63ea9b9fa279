"""Moving averages, slopes and pressures, from closes that are known by formula."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from raypipe.calendar import calendar
from raypipe.features.touch.reversion import GROUP
from raypipe.schema.touches import globex_window
from tests.features.touch.scenes import MINUTE_NS, SESSION, at, bars, params, scene, trades, warm

TICK = 0.25 / 10
BEGIN, END = globex_window(SESSION)


def minutes(session=SESSION, step: float = 1.0, first: float = 24_000.0):
    """Every minute of a session, each close higher by ``step``."""
    begin, end = globex_window(session)
    starts = np.arange(begin, end, MINUTE_NS)
    return bars(starts, first + step * np.arange(len(starts)))


def computed(*rows: dict[str, Any], **given: Any) -> dict[str, list[Any]]:
    return {n: c.to_pylist() for n, c in GROUP.compute(scene(rows, **{"bars": minutes(), **given})).items()}


def close_at(moment: int) -> float:
    """Close of the last bar that ended, in dollars, of closes that rise by a tick a minute."""
    return (24_000 + (moment - BEGIN) // MINUTE_NS - 1) * TICK


@pytest.mark.parametrize("offset_ns", [0, 1, MINUTE_NS, 2 * MINUTE_NS - 1])
def test_averages_of_rising_closes(offset_ns):
    moment = at(60) + offset_ns
    found = computed({"decision_ns": moment, "spot": 601.0, "level_price": 601.2})
    last = close_at(at(60))
    # Closes of completed pairs are two ticks apart.
    assert found["sma_200"] == [pytest.approx(last - 199 * TICK)]
    assert found["sma_400"] == [pytest.approx(last - 399 * TICK)]
    assert found["sma_spread"] == [pytest.approx(200 * TICK)]
    for name in ("sma_200_slope", "sma_400_slope", "sma_200_slope_5bar", "sma_400_slope_5bar"):
        assert found[name] == [pytest.approx(TICK)]


def test_a_pair_that_still_forms_does_not_count():
    """The close of the pair's first minute is another one than in `minutes`: only the pair's last counts."""
    usual = minutes()
    spoiled = usual.close_ticks.copy()
    spoiled[(at(62) - BEGIN) // MINUTE_NS :] += 500
    row = {"decision_ns": at(63)}
    assert computed(row, bars=usual._replace(close_ticks=spoiled))["sma_200"] == computed(row)["sma_200"]
    row = {"decision_ns": at(64)}
    assert computed(row, bars=usual._replace(close_ticks=spoiled))["sma_200"] != computed(row)["sma_200"]


def before(shift: float, sessions: int = 3):
    dates = [calendar().session(calendar().offset(SESSION.date, -k)) for k in range(sessions, 0, -1)]
    return tuple(warm(one, minutes(one, 0.0, 23_000.0), shift) for one in dates)


def late(count: int):
    """Only the last bars before 10:30: so few that averages reach back."""
    whole = minutes()
    keep = slice((at(60) - BEGIN) // MINUTE_NS - count, (at(60) - BEGIN) // MINUTE_NS)
    return type(whole)(*(column[keep] for column in whole))


def test_sessions_before_are_shifted():
    row = {"decision_ns": at(60)}
    found = computed(row, bars=late(200), warm=before(400.0))
    assert found["sma_200"] == [pytest.approx((close_at(at(60)) - 99 * TICK) / 2 + 23_400 * TICK / 2)]
    assert computed(row, bars=late(200))["sma_200"] == [None]


def test_a_roll_of_unknown_size_leaves_nulls():
    row = {"decision_ns": at(60)}
    oldest, *others = before(0.0, 5)
    unknown = (oldest._replace(shift_ticks=float("nan")), *others)
    assert computed(row, warm=unknown)["sma_200"] != [None]
    few = params(session={"sma_warmup_sessions": 5})
    found = computed(row, warm=unknown, params=few)
    for name in ("sma_200", "sma_400", "sma_spread", "sma_200_slope", "mean_reversion_pressure_200"):
        assert found[name] == [None]


def test_only_the_sessions_wanted_are_looked_back_on():
    row = {"decision_ns": at(60)}
    none = params(session={"sma_warmup_sessions": 0})
    assert computed(row, bars=late(200), warm=before(0.0), params=none)["sma_200"] == [None]


def test_pressure_needs_twenty_changes_that_differ():
    level = {"decision_ns": at(60), "level_price": 603.0}
    assert computed(level)["mean_reversion_pressure_200"] == [None]  # every change is one tick
    closes = minutes().close_ticks + np.tile([0.0, 3.0], 690)
    found = computed(level, bars=minutes()._replace(close_ticks=closes))
    deviation = np.std([4, -2] * 10, ddof=1) * TICK
    assert found["mean_reversion_pressure_200"] == [pytest.approx((603.0 - found["sma_200"][0]) / (1e-6 + deviation))]
    short = computed(level, bars=late(20), warm=before(0.0))
    assert short["mean_reversion_pressure_200"] == [None]
    assert short["sma_200"] != [None]


def test_velocity_compares_with_the_price_of_ten_minutes_ago():
    moment = at(60.5)
    then = moment - 10 * MINUTE_NS
    prices = trades([then - 2, then - 1, then, moment], [24_000, 24_100, 30_000, 31_000], [1] * 4, [1] * 4)
    found = computed({"decision_ns": moment, "spot": 610.0}, trades=prices)
    now = 610.0 - found["sma_200"][0]
    before_usd = 24_100 * TICK - (close_at(at(50)) - 199 * TICK)
    assert found["mean_reversion_velocity_200"] == [pytest.approx((now - before_usd) / 10)]
    assert computed({"decision_ns": moment})["mean_reversion_velocity_200"] == [None]
