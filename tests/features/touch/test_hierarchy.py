"""Every state of the breakout and every level of confluence, from rows made for them."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from raypipe.calendar import calendar
from raypipe.features.touch.hierarchy import BREAKOUT_STATES, CONFLUENCE_LEVELS, GROUP
from tests.features.touch.scenes import MINUTE_NS, SESSION, at, bars, params, scene, warm

BOUNDS = {"pm_high": 601.0, "or_high": 602.0, "pm_low": 599.0, "or_low": 598.0}
FULL, PARTIAL, INSIDE, BELOW = 603.0, 601.5, 600.0, 597.0
FAR, HIGH, NORMAL, LOW = 650.0, 1.5, 1.0, 0.5


def prior(volume: int, sessions: int = 7):
    """Sessions before with the same volume in each regular minute."""
    dates = [calendar().session(calendar().offset(SESSION.date, -k)) for k in range(sessions, 0, -1)]
    return tuple(warm(one, regular(one, volume)) for one in dates)


def regular(session, volume: int):
    starts = np.arange(session.open_ns, session.close_ns, MINUTE_NS)
    return bars(starts, np.full(len(starts), 24_000.0), volume=np.full(len(starts), volume))


def computed(ratio: float = NORMAL, *, minutes: float = 30.5, sma: Any = None, effect: str | None = None, **row: Any):
    """The group of one touch; averages are at the price unless told."""
    spot = row.get("spot", 600.0)
    averages = spot if sma is None else sma
    given = scene(
        [{**BOUNDS, "decision_ns": at(minutes), **row}],
        bars=regular(SESSION, round(1000 * ratio)),
        warm=prior(1000),
        added={
            "sma_200": pa.array([averages], pa.float64()),
            "sma_400": pa.array([averages], pa.float64()),
            "fuel_effect": pa.array([effect], pa.string()),
        },
    )
    return {name: column[0].as_py() for name, column in GROUP.compute(given).items()}


ALIGNED = {"spot": FULL, "call_wall": 602.5, "effect": "AMPLIFY"}


@pytest.mark.parametrize(
    ("level", "given"),
    [
        ("UNDEFINED", {"spot": FULL, "pm_high": None}),
        ("UNDEFINED", {"spot": FULL, "or_low": None}),
        ("UNDEFINED", {"spot": FULL, "minutes": 0.5}),
        ("ULTRA_PREMIUM", {**ALIGNED, "ratio": HIGH}),
        ("ULTRA_PREMIUM", {"spot": BELOW, "put_wall": 597.5, "effect": "AMPLIFY", "ratio": HIGH}),
        ("PREMIUM", ALIGNED),
        ("STRONG", {"spot": FULL}),
        ("STRONG", {"spot": FULL, "ratio": HIGH}),
        ("STRONG", {**ALIGNED, "effect": "DAMPEN", "ratio": HIGH}),
        ("MOMENTUM", {**ALIGNED, "ratio": HIGH, "sma": FAR}),
        ("EXTENDED", {**ALIGNED, "sma": FAR}),
        ("EXTENDED", {"spot": FULL, "ratio": HIGH, "sma": FAR}),
        ("LATE_REVERSION", {"spot": FULL, "ratio": HIGH, "minutes": 60.0}),
        ("FADING", {"spot": FULL, "minutes": 60.0}),
        ("FADING", {**ALIGNED, "ratio": HIGH, "sma": FAR, "minutes": 200.0}),
        ("DEVELOPING", {"spot": PARTIAL, "call_wall": 601.2, "effect": "AMPLIFY", "ratio": HIGH}),
        ("DEVELOPING", {"spot": 598.5, "put_wall": 598.7, "effect": "AMPLIFY", "ratio": HIGH, "minutes": 200.0}),
        ("WEAK", {"spot": PARTIAL, "ratio": HIGH}),
        ("WEAK", {"spot": PARTIAL, "call_wall": 601.2, "effect": "AMPLIFY", "ratio": HIGH, "sma": FAR}),
        ("CONSOLIDATION", {"spot": INSIDE, "call_wall": 599.0, "effect": "AMPLIFY", "ratio": HIGH}),
    ],
)
def test_every_level_of_confluence(level, given):
    assert CONFLUENCE_LEVELS[computed(**given)["confluence_level"]] == level


def test_averages_that_are_missing_leave_it_undefined():
    found = computed(spot=FULL, sma=float("nan"))
    assert (found["sma_proximity"], found["confluence_level"]) == (None, 0)


@pytest.mark.parametrize(
    ("state", "given"),
    [
        ("INSIDE", {"spot": 600.0}),
        ("INSIDE", {"spot": 601.0}),
        ("PARTIAL", {"spot": 601.01}),
        ("PARTIAL", {"spot": 602.0}),
        ("ABOVE_ALL", {"spot": 602.01}),
        ("PARTIAL", {"spot": 598.0}),
        ("BELOW_ALL", {"spot": 597.99}),
        ("INSIDE", {"spot": 603.0, "or_low": None}),
        # The level may be far from it: the price breaks out, not the level.
        ("ABOVE_ALL", {"spot": 602.01, "level_price": 600.0}),
    ],
)
def test_breakout_states(state, given):
    assert BREAKOUT_STATES[computed(**given)["breakout_state"]] == state


@pytest.mark.parametrize(
    ("gex", "given"),
    [
        (1, {"spot": FULL, "call_wall": 602.9, "effect": "AMPLIFY"}),
        (0, {"spot": FULL, "call_wall": 603.0, "effect": "AMPLIFY"}),
        (-1, {"spot": FULL, "call_wall": 603.9, "effect": "DAMPEN"}),
        (-1, {"spot": FULL, "call_wall": 602.1, "effect": "DAMPEN"}),
        (0, {"spot": FULL, "call_wall": 604.0, "effect": "DAMPEN"}),
        (0, {"spot": FULL, "call_wall": 602.9, "effect": "NEUTRAL"}),
        (0, {"spot": FULL, "call_wall": 602.9}),
        (0, {"spot": FULL, "put_wall": 603.5, "effect": "AMPLIFY"}),
        (1, {"spot": BELOW, "put_wall": 597.1, "effect": "AMPLIFY"}),
        (-1, {"spot": BELOW, "put_wall": 596.1, "effect": "DAMPEN"}),
        (0, {"spot": BELOW, "call_wall": 596.0, "effect": "AMPLIFY"}),
        (1, {"spot": PARTIAL, "call_wall": 601.0, "effect": "AMPLIFY"}),
        (0, {"spot": INSIDE, "call_wall": 599.0, "effect": "AMPLIFY"}),
        # Above the pre-market and below the opening range: both sides broken.
        (0, {"spot": 601.5, "or_low": 601.6, "call_wall": 601.0, "effect": "AMPLIFY"}),
    ],
)
def test_gamma_and_the_broken_side(gex, given):
    assert computed(**given)["gex_alignment"] == gex


@pytest.mark.parametrize(
    ("ratio", "state"), [(1.3, "HIGH"), (1.299, "NORMAL"), (0.701, "NORMAL"), (0.7, "LOW"), (3.0, "HIGH")]
)
def test_relative_volume(ratio, state):
    found = computed(ratio)
    assert found["rel_vol_ratio"] == pytest.approx(ratio)
    assert found["rel_vol_state"] == state


def test_the_first_hour_ends_at_its_end():
    assert computed(minutes=59.999)["time_period"] == "FIRST_HOUR"
    assert computed(minutes=60.0)["time_period"] == "REST_OF_DAY"


def test_close_means_both_averages():
    near = computed(spot=600.0, sma=602.9)
    far = computed(spot=600.0, sma=603.01)
    assert (near["sma_proximity"], far["sma_proximity"]) == ("CLOSE", "FAR")


def relative_at(minutes: float, before, **groups: Any) -> float | None:
    given = scene(
        [{"decision_ns": at(minutes)}],
        bars=regular(SESSION, 1000),
        warm=before,
        params=params(**groups),
        added={
            name: pa.array([None], kind)
            for name, kind in (("sma_200", pa.float64()), ("sma_400", pa.float64()), ("fuel_effect", pa.string()))
        },
    )
    return GROUP.compute(given)["rel_vol_ratio"][0].as_py()


def test_volume_needs_three_sessions_and_a_minute():
    assert relative_at(30.0, prior(500, 3)) == 2.0
    assert relative_at(30.0, prior(500, 2)) is None
    assert relative_at(0.99, prior(500)) is None
    assert relative_at(1.0, prior(500)) == 2.0
    assert relative_at(30.0, prior(500, 7), session={"volume_warmup_sessions": 2}) is None
    assert relative_at(30.0, prior(0, 7)) is None


def test_a_session_that_closed_early_counts_only_while_it_was_open():
    """Its 210 minutes of much volume are in the mean until then; the two others alone are too few."""
    first, *others = prior(500, 3)
    session = dataclasses.replace(first.session, close_ns=at(210, first.session))
    before = (warm(session, regular(session, 2000)), *others)
    assert relative_at(210.5, before) == pytest.approx(1000 / np.mean([500, 500, 2000]))
    assert relative_at(211.0, before) is None
    assert relative_at(211.0, (before[0], *prior(500, 4)[1:])) == 2.0


def test_the_minute_that_still_runs_does_not_count():
    assert relative_at(30.999, prior(1000)) == 1.0
