"""What the panel of models joins, and when its rows are decided."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from raypipe.calendar import calendar
from raypipe.dataset.load import panel_of
from raypipe.errors import ConfigError, SchemaError
from raypipe.features.bars_1d import BARS_1D
from raypipe.schema.family import Inputs, Result
from raypipe.schema.frames import check_table, floats
from tests.contracts.market import Market, all_families
from tests.features.daily_bars import SESSIONS, bars_table, walk

FAMILY = all_families()["model_panel"]
PANEL, TECHNICAL = "gold/panel_technical", "silver/technical_features"


def params(*symbols: str, tables=("silver/bars_1d",), levels=True, means=()):
    panel = {"tables": tables, "keep_levels": levels, "market_means": means}
    return FAMILY.params(listed=symbols, panel=panel)


def bars(symbol: str, rows: int = 30, seed: int = 0) -> pa.Table:
    return bars_table(walk(np.random.default_rng(seed), rows), symbol)


def built(params, tables=None, **by_symbol: pa.Table) -> Result:
    return FAMILY.compute(Inputs((), tables or {}, by_symbol={"silver/bars_1d": by_symbol}), params)


def with_times(table: pa.Table, times: list[int]) -> pa.Table:
    return table.set_column(table.num_columns - 1, BARS_1D.arrow.field("available_ns"), pa.array(times, pa.int64()))


def test_rows_stand_in_the_order_of_the_list():
    result = built(params("B", "NONE", "A"), A=bars("A"), B=bars("B", 25, 1), C=bars("C"))
    table = result.table
    check_table(FAMILY.table(params("B", "NONE", "A")), table, partition="all")
    assert table["symbol"].cast(pa.string()).to_pylist() == ["B"] * 25 + ["A"] * 30
    assert table["symbol_id"].to_pylist() == [0] * 25 + [2] * 30
    assert table["session_id"].to_pylist() == [*range(25), *range(30)]
    assert table["decision_ns"].to_pylist()[25:] == [session.close_ns for session in SESSIONS[:30]]
    assert result.facts["symbols"] == "B NONE A"
    assert panel_of(table.replace_schema_metadata(dict(result.facts))).symbols == ("B", "NONE", "A")


def test_levels_are_left_out_unless_asked_for():
    names = FAMILY.table(params("A", levels=False)).names
    assert "close" not in names
    assert "volume" not in names
    assert "div_factor" in names
    assert {"close", "volume"} <= set(FAMILY.table(params("A")).names)
    assert not {"split_factor", "is_stale", "available_ns"} & set(FAMILY.table(params("A")).names)


def test_a_row_known_after_the_next_open_fails_the_build():
    late = bars("A")
    times = late["available_ns"].to_pylist()
    times[12] = SESSIONS[13].open_ns
    late = with_times(late, times)
    with pytest.raises(SchemaError, match=rf"symbol A, session {SESSIONS[12].key}: .* 0 s after the next open"):
        built(params("A"), A=late)
    times[12] -= 1
    assert built(params("A"), A=with_times(late, times)).table["decision_ns"][12].as_py() == times[12]


def test_means_need_five_symbols_and_half_of_the_list():
    symbols = tuple("ABCDEF")
    tables = {name: bars(name, 20 + i, i) for i, name in enumerate(symbols)}
    table = built(params(*symbols, means=("close",)), **tables).table
    close, mean, session = (floats(table[name]) for name in ("close", "mkt_close", "session_id"))
    for i in range(25):
        values = close[session == i]
        expected = np.float32(values.mean()) if len(values) >= 5 else np.nan
        assert np.array_equal(np.unique(mean[session == i]), [expected], equal_nan=True)
    many = tuple("ABCDEFGHIJKLM")
    alone = built(params(*many, means=("close",)), **tables).table
    assert alone["mkt_close"].null_count == alone.num_rows


@pytest.mark.parametrize(("listed", "told"), [("ABCD", "need 5 symbols"), ("ABCDEFGHIJKLM", "need 7 symbols")])
def test_means_that_cannot_be_are_told(listed, told):
    tables = {name: bars(name, 20 + i, i) for i, name in enumerate("ABCD")}
    (finding,) = built(params(*listed, means=("close", "volume")), **tables).findings
    assert (finding.kind, finding.level, finding.count) == ("no_market_means", "warning", 2)
    assert finding.samples == ("mkt_close", "mkt_volume")
    assert told in finding.message
    assert "panel.market_means=[]" in finding.message
    six = {name: bars(name, 20 + i, i) for i, name in enumerate("ABCDEF")}
    assert built(params(*"ABCDEF", means=("close",)), **six).findings == ()
    assert built(params(*listed), **tables).findings == ()


def test_other_tables_are_joined_as_of_the_session():
    market = Market(calendar().between(SESSIONS[0].date, SESSIONS[120].date))
    whole = FAMILY.params(
        listed=("AAA", "TT"), panel={"tables": (PANEL, "silver/bars_1d"), "market_means": (), "keep_levels": True}
    )
    technical, own = market.table(PANEL), dict(market.table("silver/bars_1d"))
    gone = own["AAA"].num_rows - 40
    own["AAA"] = pa.concat_tables([own["AAA"][:gone], own["AAA"][gone + 12 :]])
    inputs = Inputs((), {}, by_symbol={PANEL: technical, "silver/bars_1d": own})
    table = FAMILY.compute(inputs, whole).table
    mine = table.filter(pa.array(floats(table["symbol_id"]) == 0))
    assert mine["session"].to_pylist() == technical["AAA"]["session"].to_pylist()
    places = calendar().places(mine["session"].combine_chunks().view(pa.int32()).to_numpy())
    have = dict(
        zip(
            calendar().places(own["AAA"]["session"].combine_chunks().view(pa.int32()).to_numpy()).tolist(),
            own["AAA"]["close"].to_pylist(),
            strict=True,
        )
    )
    for place, close in zip(places.tolist(), mine["close"].to_pylist(), strict=True):
        latest = next((have[p] for p in range(place, place - 6, -1) if p in have), None)
        assert close == (None if latest is None else float(np.float32(latest)))
    assert mine["close"].null_count


def test_a_table_of_sessions_is_joined_too():
    market = Market(calendar().between(SESSIONS[0].date, SESSIONS[60].date))
    asked = FAMILY.params(listed=("AAA", "TT"), panel={"tables": ("silver/daily",), "market_means": ()})
    daily = market.table("silver/daily")
    table = FAMILY.compute(Inputs((), {"silver/daily": daily}), asked).table
    whole = pa.concat_tables(daily.values()).unify_dictionaries()
    rows = whole.filter(pa.compute.equal(whole["symbol"].cast(pa.string()), "TT"))
    mine = table.filter(pa.array(floats(table["symbol_id"]) == 1))
    assert mine["session"].to_pylist() == rows["session"].to_pylist()
    assert mine["ret_d"].to_pylist() == rows["ret_d"].cast(pa.float32()).to_pylist()
    assert {"close", "dollar_volume"}.isdisjoint(mine.column_names)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (params("A", tables=("gold/targets",)), "gold/targets has no row per symbol and session"),
        (params("A", tables=()), "name tables"),
        (params("A", tables=("silver/daily", "silver/bars_1d")), "two of the tables have a column"),
        (params("A", means=("rsi_14d",)), "none of silver/bars_1d has a feature rsi_14d"),
    ],
)
def test_what_cannot_be_joined_is_refused(asked, message):
    with pytest.raises(ConfigError, match=message):
        FAMILY.table(asked)


def test_without_a_list_there_is_no_panel():
    assert not FAMILY.enabled(FAMILY.params())
    assert FAMILY.enabled(params("A"))


def test_labels_are_never_joined():
    for family in all_families().values():
        table = family.table(family.params())
        if any(column.role == "label" for column in table.columns):
            with pytest.raises(ConfigError, match="no row per symbol and session"):
                FAMILY.table(params("A", tables=(table.name,)))
    assert BARS_1D.name in {read.table for read in FAMILY.requires(params("A"))}
