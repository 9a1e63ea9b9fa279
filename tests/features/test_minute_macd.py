"""The join: as many rows as minute features, each with the MACD of all bars beside it."""

from __future__ import annotations

import pyarrow as pa
from hypothesis import given, settings

from raypipe.features import macd, minute
from raypipe.features.minute_macd import FAMILY, JoinParams, table
from raypipe.schema.macd import MacdParams
from tests.features.bars import run
from tests.features.minutes import DATES, Minutes, of_session, samples, session_bars

_, MONDAY, _, _ = DATES


def both(made: Minutes, p: MacdParams) -> tuple[pa.Table, pa.Table]:
    market = made.market()
    return run(minute.FAMILY, market, made.sessions).table, run(macd.FAMILY, market, made.sessions, p).table


def joined(made: Minutes, left: pa.Table, right: pa.Table, p: MacdParams) -> pa.Table:
    parts = {
        name: {date: of_session(whole, date) for date in made.dates}
        for name, whole in ((minute.MINUTE_FEATURES.name, left), (macd.table(p).name, right))
    }
    return run(FAMILY, made.market(parts), made.sessions, JoinParams(macd=p)).table


@settings(max_examples=15)
@given(samples())
def test_a_row_for_every_row_of_minute_features(made):
    p = MacdParams(modes=("all", "rth"), min_bars=3)
    left, right = both(made, p)
    rows = joined(made, left, right, p)
    assert rows.select(left.schema.names).equals(left.select(left.schema.names))
    beside = {(row["session"], row["symbol"]): row for row in right.to_pylist() if row["mode"] == "all"}
    for row in rows.to_pylist():
        own = beside[row["session"], row["symbol"]]
        assert {name: row[name] for name in own if "__" in name} == {n: v for n, v in own.items() if "__" in n}


def test_a_symbol_without_macd_keeps_its_row():
    made = Minutes({(MONDAY, symbol): session_bars(0, MONDAY, range(330, 400)) for symbol in ("A", "b")})
    p = MacdParams()
    left, right = both(made, p)
    rows = joined(made, left, right.filter(pa.compute.equal(right["symbol"], "b")), p).to_pylist()
    assert [(row["symbol"], row["bars_n"], row["bars_n__1m"]) for row in rows] == [("A", 70, None), ("b", 70, 70)]


def test_columns_follow_the_timeframes():
    names = table(JoinParams(macd=MacdParams(timeframes=("15m",)))).names
    assert "hist_last__15m" in names
    assert "hist_last__1m" not in names
    assert names[-1] == "available_ns"


def test_there_is_no_join_without_mode_all():
    assert FAMILY.enabled(JoinParams())
    assert not FAMILY.enabled(JoinParams(macd=MacdParams(modes=("rth",))))
