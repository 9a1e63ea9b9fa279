"""Forward returns against their definition, at the end of the data, over silences and across dividends."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from raypipe.calendar import calendar
from raypipe.labels.forward_return import ForwardLabelsParams, compute
from raypipe.schema.family import Inputs
from tests.features.daily_bars import SESSIONS, bars_table, walk
from tests.reference.forward import forward_return

PARAMS = ForwardLabelsParams()


def labels(bars: pa.Table, last: int, params: ForwardLabelsParams = PARAMS) -> list[dict]:
    """Rows of one symbol; other symbols traded until session number ``last``."""
    sessions = pa.table({"session": pa.array([s.date for s in SESSIONS[: last + 1]], pa.date32())})
    by_symbol = {"silver/bars_1d": {"AAA": bars}}
    inputs = Inputs((), {"silver/universe": {None: sessions}}, symbols=("AAA",), by_symbol=by_symbol)
    return compute(inputs, params).table.to_pylist()


def kept(values: dict[str, np.ndarray], rows: np.ndarray) -> pa.Table:
    return bars_table(values).take(pa.array(rows))


@pytest.mark.parametrize("seed", range(4))
def test_every_row_is_the_definition(seed):
    rng = np.random.default_rng(seed)
    values = walk(rng, 90)
    rows = np.sort(rng.choice(80, 60, replace=False))
    rows = rows[(rows < 40) | (rows > 48)]  # a halt
    opens = {int(i): values["open"][i] * values["div_factor"][i] for i in rows}
    closes = {int(i): values["close"][i] * values["div_factor"][i] for i in rows}
    for last in (int(rows[-1]), int(rows[-1]) + 3, 89):
        for i, row in zip(rows.tolist(), labels(kept(values, rows), last), strict=True):
            assert row["entry_ns"] == SESSIONS[i + 1].open_ns
            settled = []
            for horizon in PARAMS.horizons:
                want, end = forward_return(opens, closes, i, horizon, last, -0.3)
                assert row[f"forward_return_{horizon}d"] == (
                    want if want is None else pytest.approx(want, rel=1e-9, abs=1e-13)
                )
                at = SESSIONS[end[0]] if end else None
                assert row[f"exit_ns_{horizon}d"] == (at and (at.close_ns if end[1] else at.open_ns))
                settled.append(at and at.close_ns)
            assert row["label_known_ns"] == (None if None in settled else max(settled))


def test_the_last_sessions_have_no_label_and_never_a_zero():
    got = labels(bars_table(walk(np.random.default_rng(1), 60)), 59)
    for horizon in PARAMS.horizons:
        values = [row[f"forward_return_{horizon}d"] for row in got]
        assert all(value is None for value in values[-horizon - 1 :])
        assert None not in values[: -horizon - 1]


def test_a_dividend_inside_is_earned():
    flat = {name: np.full(30, 100.0) for name in ("open", "high", "low", "close")}
    for prices in flat.values():
        prices[10:] = 90.0  # ex a dividend of 10 at session 10
    factor = np.where(np.arange(30) < 10, 1.0, 100 / 90)
    got = labels(bars_table({**flat, "volume": np.full(30, 1e6), "div_factor": factor}), 29)
    assert [row["forward_return_5d"] for row in got[:24]] == pytest.approx([0.0] * 24, abs=1e-12)


def test_a_ragged_end_is_no_delisting_before_five_silent_sessions():
    values = walk(np.random.default_rng(2), 60)
    bars = kept(values, np.arange(50))
    one = ForwardLabelsParams(horizons=(1,))
    assert labels(bars, 54, one)[48]["forward_return_1d"] is None
    sold = labels(bars, 55, one)[48]
    want = values["close"][49] * 0.7 / values["open"][49] - 1
    assert sold["forward_return_1d"] == pytest.approx(want, rel=1e-12)
    assert sold["exit_ns_1d"] == SESSIONS[55].close_ns


def test_intervals_follow_the_exchange():
    got = labels(bars_table(walk(np.random.default_rng(3), 230)), 229)
    row = next(row for row in got if row["session"] == dt.date(2015, 11, 25))
    assert row["entry_ns"] == calendar().session(dt.date(2015, 11, 27)).open_ns  # after Thanksgiving
    assert row["exit_ns_1d"] == calendar().session(dt.date(2015, 11, 30)).open_ns


@pytest.mark.parametrize("horizons", [(), (0,), (5, 1), (1, 1)])
def test_horizons_are_checked(horizons):
    with pytest.raises(ValidationError, match="ascending"):
        ForwardLabelsParams(horizons=horizons)
