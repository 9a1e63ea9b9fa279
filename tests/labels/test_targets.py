"""Targets against their definition, where they are null, and when they are known."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from raypipe.errors import UsageError
from raypipe.labels import forward_return
from raypipe.labels.targets import FAMILY, TargetsParams, compute, table, targets_of
from raypipe.schema.family import Inputs
from raypipe.schema.frames import check_table
from raypipe.schema.targets import TARGETS, target_spec
from tests.features.daily_bars import SESSIONS, bars_table, walk
from tests.reference import targets as naive

PARAMS = TargetsParams()


def forward_of(bars: pa.Table, last: int, params: TargetsParams = PARAMS) -> pa.Table:
    sessions = pa.table({"session": pa.array([s.date for s in SESSIONS[: last + 1]], pa.date32())})
    by_symbol = {"silver/bars_1d": {"AAA": bars}}
    inputs = Inputs((), {"silver/universe": {None: sessions}}, symbols=("AAA",), by_symbol=by_symbol)
    return forward_return.compute(inputs, params.forward_labels).table


def made(bars: pa.Table, last: int, params: TargetsParams = PARAMS) -> pa.Table:
    """Targets of one symbol; other symbols traded until session number ``last``."""
    sessions = pa.table({"session": pa.array([s.date for s in SESSIONS[: last + 1]], pa.date32())})
    by_symbol = {"silver/bars_1d": {"AAA": bars}, "gold/forward_labels": {"AAA": forward_of(bars, last, params)}}
    inputs = Inputs((), {"silver/universe": {None: sessions}}, symbols=("AAA",), by_symbol=by_symbol)
    return compute(inputs, params).table


@pytest.mark.parametrize("seed", range(4))
def test_every_target_of_closes_is_the_definition(seed):
    rng = np.random.default_rng(seed)
    values = walk(rng, 260)
    missing = {130, 190} if seed % 2 else {75}
    rows = [i for i in range(250) if i not in missing]
    closes = {i: float(values["close"][i] * values["div_factor"][i]) for i in rows}
    got = made(bars_table(values).take(pa.array(rows)), 255).to_pylist()
    for i, row in zip(rows, got, strict=True):
        assert row["close_ns"] == SESSIONS[i].close_ns
        wanted = {f"close_direction_{h}d": naive.close_direction(closes, i, h) for h in (1, 5, 20)}
        wanted |= {"vol_regime_20d": naive.vol_regime(closes, i), "abs_return_1d": naive.abs_return(closes, i)}
        for name, value in wanted.items():
            end = None if value is None else SESSIONS[i + target_spec(name).horizon].close_ns
            assert (row[name], row[f"{name}_end_ns"]) == (value, end), (name, i)
    assert any(row["vol_regime_20d"] is not None for row in got)


def test_targets_of_opens_are_those_of_the_forward_labels():
    bars = bars_table(walk(np.random.default_rng(3), 120)).take(pa.array([*range(60), *range(62, 110)]))
    got, forward = made(bars, 119).to_pylist(), forward_of(bars, 119).to_pylist()
    for row, label in zip(got, forward, strict=True):
        assert row["entry_ns"] == label["entry_ns"]
        for horizon in (1, 5, 10, 20):
            value = label[f"forward_return_{horizon}d"]
            single = None if value is None else float(np.float32(value))
            assert row[f"forward_return_{horizon}d"] == single
            assert row[f"forward_return_{horizon}d_end_ns"] == label[f"exit_ns_{horizon}d"]
            if horizon != 10:
                assert row[f"direction_{horizon}d"] == (None if value is None else float(value > 0))
                assert row[f"direction_{horizon}d_end_ns"] == label[f"exit_ns_{horizon}d"]


def test_the_last_sessions_are_null_and_never_zero():
    got = made(bars_table(walk(np.random.default_rng(4), 150)), 149)
    for name, spec in TARGETS.items():
        tail = spec.horizon + (spec.start == "open")
        assert got[name][-tail:].null_count == tail
        assert got[f"{name}_end_ns"][-tail:].null_count == tail
        assert got[name][-tail - 5 : -tail].null_count == 0
    known = got["label_known_ns"].to_pylist()
    assert known[-21:] == [None] * 21
    assert known[:-21] == [SESSIONS[i + 21].close_ns for i in range(129)]


def test_a_tie_is_not_up():
    flat = {name: np.full(100, 10.0) for name in ("open", "high", "low", "close", "volume", "div_factor")}
    got = made(bars_table(flat), 99)
    for name in (name for name, spec in TARGETS.items() if spec.kind == "class"):
        assert set(got[name].drop_null().to_pylist()) == {0.0}


def test_intervals_begin_no_earlier_than_they_say():
    got = made(bars_table(walk(np.random.default_rng(5), 150)), 149).to_pylist()
    for row in got:
        for name, spec in TARGETS.items():
            end = row[f"{name}_end_ns"]
            assert (end is None) == (row[name] is None)
            assert end is None or row[spec.start_column] < end


def test_the_table_holds_what_it_declares():
    got = made(bars_table(walk(np.random.default_rng(6), 150)), 149)
    check_table(table(PARAMS), got, partition="AAA")
    assert {c.role for c in table(PARAMS).columns} == {"key", "time", "label"}
    fewer = PARAMS.model_copy(update={"forward_labels": forward_return.ForwardLabelsParams(horizons=(5,))})
    names = table(fewer).names
    assert "direction_5d" in names
    assert "direction_1d" not in names
    assert "close_direction_1d" in names


def test_a_bar_without_forward_labels_is_not_settled():
    bars = bars_table(walk(np.random.default_rng(7), 150))
    forward = forward_of(bars, 149)
    whole = targets_of(bars, forward, 149, PARAMS).to_pylist()
    fewer = targets_of(bars, pa.concat_tables([forward[:40], forward[41:]]), 149, PARAMS).to_pylist()
    assert fewer[:40] + fewer[41:] == whole[:40] + whole[41:]
    assert fewer[40]["label_known_ns"] is None
    assert fewer[40]["direction_1d"] is None
    assert fewer[40]["close_direction_1d"] == whole[40]["close_direction_1d"]


def test_other_bars_leave_no_table():
    daily = PARAMS.model_copy(update={"target": PARAMS.target.model_copy(update={"bars": "silver/daily"})})
    assert FAMILY.enabled(PARAMS)
    assert not FAMILY.enabled(daily)


def test_a_target_that_is_none_is_refused():
    with pytest.raises(UsageError, match="did you mean vol_regime_20d"):
        target_spec("vol_regime_10d")
