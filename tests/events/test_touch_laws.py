"""Laws of touches: mirrored, scaled, cut off, with another future, with another contract, and where contacts lie."""

from __future__ import annotations

import dataclasses
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest

from raypipe.events.touches import FAMILY
from raypipe.schema.touches import LEVEL_KINDS
from tests.events.days import MadeDay, made_day
from tests.events.tape import MINUTE_NS, SESSION, at, run, walk

ALL = {"kinds": list(range(14))}
CADENCES = [{"cadence": "event"}, {"cadence": "bar"}]
MIDDLE, RATIO = 24_000, 10.0
cadences = pytest.mark.parametrize("touch", CADENCES, ids=["event", "bar"])


def steady(seed: int, **changes) -> MadeDay:
    """A made-up day whose ratio is 10 throughout."""
    return dataclasses.replace(made_day(seed), ratio=[(at(-60), RATIO)], **changes)


def short(row):
    return row["decision_ns"], row["level_id"], row["direction"]


# --- mirror and scale --------------------------------------------------------------------------

_MIRRORED = {"HIGH": "LOW", "LOW": "HIGH", "CALL": "PUT", "PUT": "CALL", "UP": "DOWN", "DOWN": "UP"}


def mirrored(day: MadeDay) -> MadeDay:
    """The day turned upside down about 6000 points, that is 600 dollars."""
    flipped = {date: [(start, 2 * MIDDLE - ticks) for start, ticks in bars] for date, bars in day.warm.items()}
    prints = [
        {**row, "strike": 1200 - row["strike"], "right": {"C": "P", "P": "C"}[row["right"]]} for row in day.prints
    ]
    tape = [(ts, 2 * MIDDLE - ticks, size, -side, name) for ts, ticks, size, side, name in day.tape]
    return dataclasses.replace(day, tape=tape, prints=prints, warm=flipped)


def reflected(row):
    """A row as it must be in the mirror."""
    words = row["level_kind_name"].split("_")
    kind = "_".join(_MIRRORED.get(word, word) for word in words)
    return (row["decision_ns"], kind, _MIRRORED[row["direction"]], row["touch_type"]), 1200 - row["level_price"]


@cadences
def test_mirror(touch):
    day = steady(11)
    groups = {"levels": ALL, "touch": touch}
    expected = sorted(map(reflected, day.rows(**groups)))
    rows = mirrored(day).rows(**groups)
    got = sorted(
        ((row["decision_ns"], row["level_kind_name"], row["direction"], row["touch_type"]), row["level_price"])
        for row in rows
    )
    assert len(got) > 60
    assert len({key[1] for key, _ in got}) >= len(LEVEL_KINDS) - (touch["cadence"] == "bar")
    assert [key for key, _ in got] == [key for key, _ in expected]
    np.testing.assert_allclose([price for _, price in got], [price for _, price in expected], rtol=1e-12)


@cadences
def test_scale(touch):
    """Twice the points and twice the ratio are the same dollars."""
    day = steady(12)
    double = dataclasses.replace(
        day,
        tape=[(ts, 2 * ticks, *rest) for ts, ticks, *rest in day.tape],
        warm={date: [(start, 2 * ticks) for start, ticks in bars] for date, bars in day.warm.items()},
        ratio=[(at(-60), 2 * RATIO)],
    )
    groups = {"levels": ALL, "touch": touch}
    points = {"es_price", "level_price_es", "es_spy_ratio"}
    once, twice = ([{**row, **dict.fromkeys(points)} for row in one.rows(**groups)] for one in (day, double))
    assert len(once) > 60
    assert once == twice


# --- what is known -----------------------------------------------------------------------------


def with_noise(day: MadeDay, from_ns: int) -> MadeDay:
    """The same records before a moment, others from it on."""
    noise = made_day(977)
    return dataclasses.replace(
        day,
        tape=sorted(
            [*(t for t in day.tape if t[0] < from_ns), *(t for t in noise.tape if t[0] >= from_ns)],
            key=lambda trade: trade[0],
        ),
        prints=[
            *(p for p in day.prints if p["ts_event_ns"] < from_ns),
            *(p for p in noise.prints if p["ts_event_ns"] >= from_ns),
        ],
        ratio=[*(r for r in day.ratio if r[0] <= from_ns), *(r for r in noise.ratio if r[0] > from_ns)],
    )


@pytest.mark.parametrize("seed", [13, 14])
@cadences
def test_no_row_looks_beyond_its_decision(touch, seed):
    """Whatever comes at a moment or later, rows decided before it stand; a bar that ends then does too."""
    day, groups = made_day(seed), {"levels": {**ALL, "or_forming": True}, "touch": touch}
    rows = day.rows(**groups)
    moments = [row["decision_ns"] for row in rows[3::17]]
    assert len(moments) > 4
    for moment in [*moments, at(15), at(60)]:
        known = [row for row in rows if row["decision_ns"] < moment + (touch["cadence"] == "bar")]
        for other in (with_noise(day, moment), dataclasses.replace(day, tape=[t for t in day.tape if t[0] < moment])):
            again = other.rows(**groups)
            for row in (*known, *again):
                row["front_dominance"] = None  # a fact of the finished session
            assert known == again[: len(known)]
            assert all(row["decision_ns"] >= moment for row in again[len(known) :])


def test_only_the_price_of_the_touching_trade_shows():
    """Another price at the touch's own nanosecond, and no level moves."""
    day, groups = made_day(15), {"levels": ALL}
    rows = day.rows(**groups)
    own = {"spot", "es_price", "distance", "distance_signed", "touch_type"}
    compared = 0
    for row in rows[::7]:
        tape = [
            (ts, ticks + (ts >= row["decision_ns"]) * row["direction_sign"], *rest) for ts, ticks, *rest in day.tape
        ]
        again = {short(other): other for other in dataclasses.replace(day, tape=tape).rows(**groups)}
        if short(row) in again:
            compared += 1
            moved = {name for name in row if row[name] != again[short(row)][name]}
            assert moved <= own
            assert again[short(row)]["es_price"] == row["es_price"] + row["direction_sign"] * 0.25
    assert compared > 5


@cadences
def test_trades_of_another_contract_change_nothing(touch):
    day, rng = made_day(16), np.random.default_rng(16)
    more = walk(rng, len(day.tape) // 33, contract="ESM5", middle=24_220)
    mixed = dataclasses.replace(day, tape=sorted([*day.tape, *more], key=lambda trade: trade[0]))
    groups = {"levels": ALL, "touch": touch}
    alone, both = day.rows(**groups), mixed.rows(**groups)
    for row in (*alone, *both):
        row["front_dominance"] = None
    assert alone == both


# --- where touches lie -------------------------------------------------------------------------


def test_contacts_lie_in_the_bar_of_their_minute():
    day = made_day(17)
    bars = {bar.start: bar for bar in day.told().bars()}
    contacts = [row for row in day.rows(levels=ALL) if row["touch_type"] == "contact"]
    assert len(contacts) > 30
    for row in contacts:
        bar, band = bars[row["ts_ns"] // MINUTE_NS * MINUTE_NS], 0.1 * row["es_spy_ratio"] + 1e-6
        assert bar.low - band <= row["level_price_es"] <= bar.high + band


def test_between_touches_of_a_level_the_price_was_away():
    """Or the level jumped; levels that stand still cannot."""
    day = steady(18)
    rows = [row for row in day.rows(levels=ALL) if row["level_kind_name"] in ("ROUND", "STRIKE", "PM_HIGH", "PM_LOW")]
    again = 0
    for level_id in {row["level_id"] for row in rows}:
        times = [row for row in rows if row["level_id"] == level_id]
        for first, second in pairwise(times):
            between = [ticks for ts, ticks, *_ in day.tape if first["ts_ns"] <= ts < second["ts_ns"]]
            away = [abs(ticks / 4 - first["level_price_es"]) / RATIO for ticks in between]
            assert max(away) >= 0.25
            again += 1
    assert again > 10


def test_ids_are_unique_and_tell_the_row():
    rows = made_day(19).rows(levels=ALL)
    ids = [row["event_id"] for row in rows]
    assert len(set(ids)) == len(ids)
    for row in rows:
        words = [row["symbol"], SESSION.key, row["level_id"], row["direction"], str(row["ts_ns"])]
        assert row["event_id"] == ".".join(words)


def test_order_and_no_cap():
    rows = made_day(20, count=3000).rows(levels={**ALL, "round_spacing_usd": 0.05})
    keys = [(row["decision_ns"], row["level_kind"], row["level_price"]) for row in rows]
    assert keys == sorted(keys)
    assert len(rows) > 5000


def test_capacity_of_the_kernel_is_no_limit(monkeypatch):
    from raypipe.kernels import touches as kernel

    day = made_day(21)
    expected = day.rows(levels=ALL)
    monkeypatch.setattr(kernel, "_CAPACITY", 3)
    assert day.rows(levels=ALL) == expected


def test_trades_in_other_chunks_are_the_same_trades():
    day = made_day(22)
    tables = day.tables()
    whole = run(FAMILY, tables).table
    for name in ("bronze/es_trades", "silver/option_greeks"):
        table = tables[name][SESSION.date]
        parts = [table.slice(0, 7), table.slice(7, 100), table.slice(107)]
        tables[name] = {SESSION.date: pa.concat_tables(parts)}
    assert run(FAMILY, tables).table.equals(whole)
