"""Touches against the naive engine, and the laws that no parameter changes."""

from __future__ import annotations

import dataclasses
import datetime as dt

import pytest

from raypipe.calendar import calendar
from raypipe.schema.frames import check_table
from raypipe.schema.touches import TOUCHES
from tests.events.days import MadeDay, made_day
from tests.events.tape import SESSION
from tests.kernels.test_trade_bars import records
from tests.reference import touches as reference

ALL = {"kinds": list(range(14))}
VARIANTS = {
    "default": {},
    "all kinds": {"levels": ALL},
    "forming": {"levels": {**ALL, "or_forming": True, "or_minutes": 30, "wall_basis": "decayed"}},
    "typical": {"levels": {**ALL, "vwap_price": "typical", "round_spacing_usd": 0.5, "strike_min_contracts": 300}},
    "close": {
        "levels": {**ALL, "vwap_price": "close", "flip_range_usd": 3.0},
        "options": {"option_latency_ms": 30_000},
    },
    "bands": {"levels": ALL, "touch": {"touch_usd": 0.03, "rearm_usd": 0.6, "warm_start_min": 5}},
}


@pytest.mark.parametrize("groups", VARIANTS.values(), ids=VARIANTS)
@pytest.mark.parametrize("seed", [1, 2])
def test_events_are_those_of_the_naive_engine(seed, groups):
    day = made_day(seed)
    table = day.touches(**groups).table
    check_table(TOUCHES, table, partition=SESSION.key)
    got = [
        (
            row["ts_ns"],
            row["level_id"],
            row["direction"],
            row["es_price"],
            pytest.approx(row["level_price_es"], rel=1e-9),
        )
        for row in table.to_pylist()
    ]
    bands = {name[:-4]: value for name, value in groups.get("touch", {}).items() if name.endswith("_usd")}
    expected = [tuple(touch) for touch in reference.by_events(day.told(**groups), **bands)]
    assert len(expected) > 25
    assert sorted(got, key=lambda row: row[:3]) == sorted(expected, key=lambda row: row[:3])


@pytest.mark.parametrize("groups", VARIANTS.values(), ids=VARIANTS)
def test_bars_are_those_of_the_naive_engine(groups):
    day = made_day(3, count=600)
    groups = {**groups, "touch": {"cadence": "bar"}}
    table = day.touches(**groups).table
    check_table(TOUCHES, table, partition=SESSION.key)
    got = [
        (
            row["ts_ns"],
            row["level_id"],
            row["direction"],
            row["es_price"],
            pytest.approx(row["level_price_es"], rel=1e-9),
        )
        for row in table.to_pylist()
    ]
    expected = [tuple(touch) for touch in reference.by_bars(day.told(**groups))]
    assert len(expected) > 25
    assert sorted(got, key=lambda row: row[:3]) == sorted(expected, key=lambda row: row[:3])


def test_a_real_tape(shared_data):
    """The prints of a real session, its cents taken for ticks, at a ratio that makes them busy."""
    found = records(shared_data / "dbn_xnas" / "xnas-itch-20250403.FROG.trades.dbn.zst")
    session = calendar().session(dt.date(2025, 4, 3))
    tape = [
        (int(row["ts_event"]), int(row["price"]) // 10_000_000, int(row["size"]), 0, "ESM5")
        for row in found[:: len(found) // 1500 + 1]
    ]
    made = MadeDay(tape, [(session.open_ns - 3600 * 10**9, 0.25)], session=session)
    kinds = [kind for kind in range(14) if kind not in (6, 9, 10, 11, 12, 13)]
    groups = {"levels": {"kinds": kinds, "round_spacing_usd": 50.0}, "touch": {"touch_usd": 4.0, "rearm_usd": 10.0}}
    got = [(row["ts_ns"], row["level_id"], row["direction"], row["es_price"]) for row in made.rows(**groups)]
    day = dataclasses.replace(made.told(**groups), rounds=(2000.0, 4500.0))
    expected = [touch[:4] for touch in reference.by_events(day, touch=4.0, rearm=10.0)]
    assert len(expected) > 30
    assert sorted(got) == sorted(expected)
