"""Bars before a session across rolls, holidays and holes."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pytest

from raypipe.calendar import NS_PER_MINUTE, calendar
from raypipe.schema.touches import ES_BARS, ES_SESSION
from raypipe.schema.warmup import (
    Bars,
    front_bars,
    recent,
    roll_ticks,
    trailing_mean,
    trailing_sum,
    two_minute_closes,
    warm_sessions,
)

TARGET = calendar().session(dt.date(2024, 12, 3))
BACK = [calendar().session(calendar().offset(TARGET.date, -k)) for k in range(8)]


def es_session(date: dt.date, contract: str) -> pa.Table:
    row = {"session": date, "front_contract": contract}
    columns = [
        pa.array([row.get(f.name)], pa.string() if f.name == "front_contract" else f.type) for f in ES_SESSION.arrow
    ]
    return pa.table(columns, ES_SESSION.arrow.names)


def es_bars(session, prices: Mapping[str, float], minutes: int = 390, first: int = 0) -> pa.Table:
    """Bars of some contracts from ``first`` minutes after the open on, rising by a tick a minute."""
    tables = []
    for contract, price in sorted(prices.items()):
        starts = session.open_ns + np.arange(first, first + minutes) * NS_PER_MINUTE
        ticks = (price + np.arange(minutes)).astype(np.int32)
        columns = {"contract": pa.array([contract] * minutes).dictionary_encode(), "start_ns": pa.array(starts)}
        columns |= {f"{name}_ticks": pa.array(ticks) for name in ("open", "high", "low", "close")}
        tables.append(pa.table(columns | {"volume": pa.array(np.full(minutes, 7))}))
    return pa.concat_tables(tables).unify_dictionaries()


def test_columns_read_are_declared():
    assert set(es_bars(TARGET, {"ESZ4": 1}).column_names) <= set(ES_BARS.names)


def lake(contracts: Sequence[str], bars: Mapping[int, pa.Table]):
    """Sessions with these front contracts, the target first, and bars by how far back."""
    sessions = {one.date: es_session(one.date, name) for one, name in zip(BACK, contracts, strict=False)}
    return sessions, {BACK[k].date: table for k, table in bars.items()}


def test_one_contract_needs_no_shift():
    sessions, bars = lake(["ESZ4"] * 8, {k: es_bars(BACK[k], {"ESZ4": 100 * k}) for k in range(8)})
    found = warm_sessions(TARGET, sessions, bars, 7)
    assert [one.session for one in found] == BACK[:0:-1]
    assert {one.shift_ticks for one in found} == {0.0}
    assert found[-1].adjusted.close_ticks[0] == 100


def test_a_roll_shifts_all_that_is_older():
    both = es_bars(BACK[3], {"ESZ4": 1000, "ESH5": 1240})
    bars = {k: es_bars(BACK[k], {"ESZ4": 900}) for k in (4, 5)} | {
        k: es_bars(BACK[k], {"ESH5": 1300}) for k in (0, 1, 2)
    }
    sessions, bars = lake(["ESH5"] * 3 + ["ESZ4"] * 5, bars | {3: both})
    found = warm_sessions(TARGET, sessions, bars, 7)
    assert [one.contract for one in found] == ["ESZ4", "ESZ4", "ESZ4", "ESH5", "ESH5"]
    assert [one.shift_ticks for one in found] == [240.0, 240.0, 240.0, 0.0, 0.0]
    assert found[0].adjusted.close_ticks[0] == 1140


def test_two_rolls_add_up():
    bars = {0: es_bars(BACK[0], {"C": 0}), 1: es_bars(BACK[1], {"B": 0, "C": 5}), 2: es_bars(BACK[2], {"A": 0, "B": 7})}
    sessions, partitions = lake(["C", "B", "A"], bars)
    assert [one.shift_ticks for one in warm_sessions(TARGET, sessions, partitions, 7)] == [12.0, 5.0]


@pytest.mark.parametrize(
    ("minutes", "first", "known"),
    [(30, 0, True), (29, 0, False), (390, -361, False), (390, -360, True), (30, 361, False)],
)
def test_the_difference_needs_thirty_regular_minutes(minutes, first, known):
    old = front_bars(es_bars(TARGET, {"A": 0}, 1000, -500), "A")
    new = front_bars(es_bars(TARGET, {"B": 40}, minutes, first), "B")
    assert np.isnan(roll_ticks(old, new, TARGET)) != known


def test_an_unknown_difference_is_unknown_for_all_that_is_older():
    bars = {1: es_bars(BACK[1], {"B": 9}), 2: es_bars(BACK[2], {"A": 0}), 3: es_bars(BACK[3], {"A": 0})}
    sessions, partitions = lake(["B", "B", "A", "A"], bars)
    found = warm_sessions(TARGET, sessions, partitions, 7)
    assert np.isnan([one.shift_ticks for one in found]).tolist() == [True, True, False]
    assert np.isnan(found[0].adjusted.close_ticks).all()


def test_sessions_that_are_missing_are_passed_over():
    sessions, bars = lake(["A"] * 8, {k: es_bars(BACK[k], {"A": 1}) for k in (0, 1, 3, 7)})
    del sessions[BACK[3].date]
    found = warm_sessions(TARGET, sessions, bars, 7)
    assert [one.session for one in found] == [BACK[7], BACK[1]]
    assert [one.session for one in recent(found, TARGET, 6)] == [BACK[1]]
    assert warm_sessions(TARGET, sessions, bars, 0) == ()


def bars_at(minutes: Sequence[int], close: Sequence[float]) -> Bars:
    starts = TARGET.open_ns + np.array(minutes, np.int64) * NS_PER_MINUTE
    prices = np.array(close, float)
    return Bars(starts, prices, prices, prices, prices, np.ones(len(minutes), np.int64))


def test_two_minute_bars_are_pairs_on_even_minutes():
    end_ns, close = two_minute_closes([bars_at([0, 1, 3, 4, 8, 9], [1, 2, 3, 4, 5, 6])])
    assert ((end_ns - TARGET.open_ns) // NS_PER_MINUTE).tolist() == [2, 4, 6, 10]
    assert close.tolist() == [2, 3, 4, 6]


def test_no_bars():
    for parts in ([], [bars_at([], [])]):
        end_ns, close = two_minute_closes(parts)
        assert len(end_ns) == len(close) == 0


def test_one_unknown_price_makes_all_unknown():
    _, close = two_minute_closes([bars_at([-9], [1.0]).shifted(float("nan")), bars_at([0], [1.0])])
    assert np.isnan(close).all()


def test_means_of_half_ticks_are_exact_wherever_they_begin():
    rng = np.random.default_rng(0)
    values = rng.integers(40_000, 50_000, 3_000) / 2
    means, sums = trailing_mean(values, 400), trailing_sum(values, 400)
    assert np.isnan(means[:399]).all()
    for i in (399, 1000, 2999):
        assert sums[i] == values[i - 399 : i + 1].sum()
        assert means[i] == trailing_mean(values[i - 399 : i + 1], 400)[-1]
    assert np.isnan(trailing_mean(values[:5], 6)).all()
