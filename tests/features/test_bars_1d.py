"""Daily bars: adjustment, dividends and total return, by their laws."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from raypipe.errors import SchemaError
from raypipe.features.bars_1d import Bars1dParams, compute, table
from raypipe.schema.daily_bars import OHLCV_1D, PRICES, DailyIngest
from raypipe.schema.family import Inputs, Result
from raypipe.schema.frames import constant_dictionary, nullable
from tests.features.daily_bars import SESSIONS, walk

ROWS = 60


def vendor(**columns: np.ndarray) -> pa.Table:
    """Rows of bronze/ohlcv_1d; columns that are not given have no values."""
    rows = len(columns["close"])
    optional = ("adj_close", "dividends", "split_ratio", "shares_outstanding")
    values = {name: np.full(rows, np.nan) for name in optional} | columns
    return OHLCV_1D.build(
        {
            "session": pa.array([s.date for s in SESSIONS[:rows]], pa.date32()),
            "symbol": constant_dictionary("AAA", rows),
            **{name: nullable(values[name]) for name in (*PRICES, "volume", *optional)},
            "vintage_ns": pa.nulls(rows, pa.int64()),
        }
    )


def built(adjustment: str = "split", **columns: np.ndarray) -> Result:
    params = Bars1dParams(ingest=DailyIngest(adjustment=adjustment))
    inputs = Inputs((), {}, symbols=("AAA",), by_symbol={OHLCV_1D.name: {"AAA": vendor(**columns)}})
    result = compute(inputs, params)
    table(params).check_schema(result.table.schema)
    return result


def column(result: Result, name: str) -> np.ndarray:
    return result.table[name].to_numpy()


def bars(seed: int = 0) -> dict[str, np.ndarray]:
    values = walk(np.random.default_rng(seed), ROWS)
    return {name: values[name] for name in (*PRICES, "volume")}


def at(row: int, value: float, otherwise: float = 0.0) -> np.ndarray:
    out = np.full(ROWS, otherwise)
    out[row] = value
    return out


def test_raw_prices_and_split_prices_are_one_history():
    split = bars()
    ratio = at(20, 4.0)
    ratio[40] = 0.5
    later = np.where(np.arange(ROWS) < 20, 2.0, np.where(np.arange(ROWS) < 40, 0.5, 1.0))
    raw = {name: split[name] * later for name in PRICES} | {"volume": split["volume"] / later}
    paid = at(30, 0.4)
    a = built("raw", **raw, split_ratio=ratio, dividends=paid * later)
    b = built("split", **split, split_ratio=ratio, dividends=paid)
    assert column(b, "split_factor").tolist() == later.tolist()
    for name in (*PRICES, "volume", "split_factor", "dividend_usd", "div_factor"):
        np.testing.assert_allclose(column(a, name), column(b, name), rtol=1e-13)
    assert a.findings == b.findings == ()


def test_holding_over_an_ex_session_earns_price_and_dividend():
    values = bars()
    result = built(**values, dividends=at(30, 1.5))
    close, factor = values["close"], column(result, "div_factor")
    earned = close[30] * factor[30] / (close[29] * factor[29])
    # The dividend is put back into the share at the close before: c / (c_prev - d).
    assert earned == pytest.approx(close[30] / (close[29] - 1.5))
    assert factor[:30].tolist() == [1.0] * 30
    assert np.ptp(factor[30:]) == 0


def test_dividends_come_from_adj_close_where_there_is_no_column():
    values = bars()
    stated = built(**values, dividends=at(30, 1.5) + at(45, 0.2))
    factor = column(stated, "div_factor")
    found = built(**values, adj_close=np.float32(values["close"] * factor / factor[-1]).astype(float))
    np.testing.assert_allclose(column(found, "div_factor"), factor, rtol=1e-6)
    assert np.flatnonzero(column(found, "dividend_usd")).tolist() == [30, 45]


def test_columns_that_disagree_are_told_with_both_values():
    values = bars()
    result = built(**values, dividends=at(30, 5.0), adj_close=values["close"])
    (finding,) = result.findings
    assert (finding.kind, finding.count, finding.partition) == ("dividends_disagree", 1, "AAA")
    assert "dividend 5, by adj_close 0" in finding.samples[0]
    assert column(result, "dividend_usd")[30] == 5.0


def test_full_prices_have_no_dividends_and_no_split_factor():
    values = bars()
    result = built("full", **values, dividends=at(30, 1.5), split_ratio=at(20, 2.0))
    assert column(result, "dividend_usd").tolist() == [0.0] * ROWS
    assert column(result, "div_factor").tolist() == [1.0] * ROWS
    assert result.table["split_factor"].null_count == ROWS


def test_a_later_dividend_moves_no_earlier_factor():
    values = bars()
    early = built(**values, dividends=at(10, 0.5))
    late = built(**values, dividends=at(10, 0.5) + at(50, 2.0))
    assert column(early, "div_factor")[:50].tolist() == column(late, "div_factor")[:50].tolist()


def test_a_stale_row_has_no_volume_and_the_price_of_the_row_before():
    values = bars()
    for name in PRICES:
        values[name][12] = values["close"][11]
    values["volume"][[12, 14]] = 0.0
    assert np.flatnonzero(column(built(**values), "is_stale")).tolist() == [12]


def test_a_move_overnight_is_told_unless_a_split_or_dividend_explains_it():
    values = bars()
    jumped = {name: np.where(np.arange(ROWS) >= 30, column * 0.5, column) for name, column in values.items()}
    (finding,) = built(**jumped).findings
    assert (finding.kind, finding.count) == ("suspect_move", 1)
    assert finding.samples[0].startswith(str(SESSIONS[30].date))
    assert built(**jumped, dividends=at(30, 15.0)).findings == ()
    assert built(**jumped, split_ratio=at(30, 2.0)).findings == ()


def test_a_dividend_above_the_price_is_refused_with_its_row():
    with pytest.raises(SchemaError, match=f"{SESSIONS[30].date}.*a dividend of 9999"):
        built(**bars(), dividends=at(30, 9999.0))


def test_levels_of_raw_prices_are_restated_by_later_splits_and_say_so():
    roles = {mode: table(Bars1dParams(ingest=DailyIngest(adjustment=mode))) for mode in ("raw", "split")}
    assert roles["split"]["close"].role == "feature"
    assert roles["raw"]["close"].role == "vintage"
    assert roles["split"]["split_factor"].role == "vintage"
    assert roles["raw"]["div_factor"].role == "feature"
