"""Minute and MACD families on real minute bars: SPY IBM BAC AIG in 2013, AAPL TWX over AAPL's split in 2014."""

from __future__ import annotations

import csv
import datetime as dt
import gzip
from pathlib import Path

import pytest

from raypipe.calendar import calendar
from raypipe.features import macd, minute, minute_macd
from raypipe.schema.macd import WIDTH_NS, MacdParams
from raypipe.schema.minutes import MinuteParams, window_of
from tests.features.bars import run
from tests.features.minutes import COLUMNS, Minutes, assert_values, of_session
from tests.reference.macd import Recipe, State, session_features
from tests.reference.minute import minute_features

DATES_2013 = tuple(calendar().dates(dt.date(2013, 10, 4), dt.date(2013, 10, 9)))
DATES_2014 = tuple(calendar().dates(dt.date(2014, 6, 5), dt.date(2014, 6, 9)))
SPLIT = {("AAPL", DATES_2014[-1]): 7.0}


@pytest.fixture(scope="module")
def folder(shared_data: Path) -> Path:
    return shared_data / "polygon" / "us_stocks_sip" / "minute_aggs_v1"


def sample(folder: Path, dates: tuple[dt.date, ...]) -> Minutes:
    bars: dict[tuple[dt.date, str], list] = {}
    for date in dates:
        with gzip.open(folder / f"{date:%Y/%m}" / f"{date}.csv.gz", "rt") as file:
            for row in csv.DictReader(file):
                values = {name: float(row[name]) for name in COLUMNS}
                bars.setdefault((date, row["ticker"]), []).append({"start_ns": int(row["window_start"]), **values})
    return Minutes(bars)


@pytest.mark.parametrize("dates", [DATES_2013, DATES_2014], ids=["2013", "2014"])
@pytest.mark.parametrize("mode", ["rth", "all"])
def test_minute_features_equal_the_definition(folder: Path, dates, mode):
    made = sample(folder, dates)
    expected = []
    for session in made.sessions:
        windows = window_of(session, mode), window_of(session, "rth")
        for symbol in made.symbols(session.date):
            row = minute_features(made.bars[session.date, symbol], *windows)
            assert row is not None
            expected.append({"session": session.date, "symbol": symbol, **row})
    table = run(minute.FAMILY, made.market(), made.sessions, MinuteParams(mode=mode)).table
    assert table.num_rows >= 6
    assert_values(table, expected)


@pytest.mark.parametrize("state", ["session", "carry"])
@pytest.mark.parametrize("dates", [DATES_2013, DATES_2014], ids=["2013", "2014"])
def test_macd_equals_the_definition(folder: Path, dates, state):
    made = sample(folder, dates)
    made.splits = dict(SPLIT)
    params = MacdParams(state=state, modes=("all", "rth"))
    market = made.carried(params) if state == "carry" else made.market()
    before: dict[tuple[str, str, str], State | None] = {}
    expected = []
    for session in made.sessions:
        for mode in params.modes:
            for symbol in made.symbols(session.date):
                row: dict = {"session": session.date, "mode": mode, "symbol": symbol}
                for tf in params.timeframes:
                    key, ratio = (mode, tf, symbol), SPLIT.get((symbol, session.date), 1.0)
                    old = before.get(key) if state == "carry" else None
                    old = old.after_split(ratio) if old else None
                    bars, window = made.bars[session.date, symbol], window_of(session, mode)
                    found, before[key] = session_features(bars, tf, WIDTH_NS[tf], window, Recipe(), old)
                    row |= found or {}
                expected.append(row)
    table = run(macd.FAMILY, market, made.sessions, params).table
    assert_values(table, expected)
    crossings = table["hist_zero_cross_up_count__1m"].to_pylist()
    assert min(crossings) > 5


def test_a_split_over_night_is_no_move(folder: Path):
    """Carried over AAPL's 7:1 split, the lines go on; taken as they stand they would fall by six sevenths."""
    made = sample(folder, DATES_2014)
    params = MacdParams(state="carry", modes=("rth",), timeframes=("5m",))

    def worst() -> float:
        rows = run(macd.FAMILY, made.carried(params), made.sessions[-1:], params).table.to_pylist()
        row = next(row for row in rows if row["symbol"] == "AAPL")
        return min(row["hist_min__5m"], -row["hist_max__5m"]) / row["close_last__5m"]

    unscaled = worst()
    made.splits = dict(SPLIT)
    assert unscaled < -0.1 < -0.005 < worst() < 0


def test_the_join_has_the_rows_of_minute_features(folder: Path):
    made = sample(folder, DATES_2013)
    left = run(minute.FAMILY, made.market(), made.sessions).table
    right = run(macd.FAMILY, made.market(), made.sessions).table
    tables = {
        name: {date: of_session(whole, date) for date in made.dates}
        for name, whole in ((minute.MINUTE_FEATURES.name, left), (macd.table(MacdParams()).name, right))
    }
    joined = run(minute_macd.FAMILY, made.market(tables), made.sessions).table
    assert joined.num_rows == left.num_rows == 16
    assert joined["close_last__1m"].null_count == 0
