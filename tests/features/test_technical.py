"""Technical features: the definition, the n0 of every column, splits, laws, and real bars with published answers."""

from __future__ import annotations

import csv
import datetime as dt
import gzip
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import talib
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from raypipe.calendar import calendar
from raypipe.errors import BlockedError
from raypipe.features.daily import DAILY
from raypipe.features.technical import FAMILY, TECHNICAL, TechnicalParams
from raypipe.lake.location import Location
from raypipe.lake.manifest import Manifest
from raypipe.lake.store import Lake
from raypipe.schema.frames import split_table
from tests.contracts.family import Case
from tests.contracts.market import read
from tests.features.bars import Sample, bar, run, samples
from tests.kernels.day_bars import Grid, indicators
from tests.reference.technical import Bar, technical

YEAR = calendar().dates(dt.date(2024, 1, 2), dt.date(2025, 2, 28))
#: First defined row of the memory, as specified.
N0 = {
    "rsi_14": 14,
    "stoch_k": 13,
    "stoch_d": 15,
    "roc_10": 10,
    "adx_14": 27,
    "atr_14": 14,
    "atr_14_pct": 14,
    "bb_middle": 19,
    "bb_upper": 19,
    "bb_lower": 19,
    "bb_pct": 19,
    "sma_20": 19,
    "sma_50": 49,
    "sma_200": 199,
    "sma_cross_20_50": 49,
    "sma_cross_50_200": 199,
    "obv": 0,
    "vwap": 19,
    "hist_vol_20": 20,
    "rsi_overbought": 14,
    "rsi_oversold": 14,
    "above_bb_upper": 19,
    "below_bb_lower": 19,
    "strong_trend": 27,
}


def sample(*bars, splits=None, dates=YEAR) -> Sample:
    sessions = tuple(calendar().session(date) for date in dates)
    return Sample(sessions, bars, splits or {}, frozenset(dates))


def walk(symbol: str, dates, seed: int = 0, price: float = 1.0, volume: float = 1.0) -> list[dict]:
    """Bars of a random walk near 40 dollars, prices and volumes times constants."""
    rng = np.random.default_rng(seed)
    close = np.round(40 * np.exp(np.cumsum(rng.normal(0, 0.02, len(dates)))), 2)
    high, low = close + rng.integers(1, 90, len(dates)) / 100, close - rng.integers(1, 90, len(dates)) / 100
    shares = rng.integers(100, 10_000, len(dates)) * volume
    return [
        bar(date, symbol, c * price, open=c * price, high=h * price, low=lo * price, volume=float(v))
        for date, c, h, lo, v in zip(dates, close, high, low, shares, strict=True)
    ]


def build(made: Sample, targets=None, **params) -> pa.Table:
    return run(FAMILY, made.with_daily(), targets or made.targets, TechnicalParams(**params)).table


def series(table: pa.Table, symbol: str) -> dict[str, np.ndarray]:
    rows = table.filter(pa.compute.equal(table["symbol"].cast(pa.string()), symbol))
    return {name: rows[name].to_numpy() for name in N0}


def assert_equals(rows: list[dict], daily: list[dict], splits: dict, dates: list[dt.date], memory: int) -> None:
    """Every row, in every column, against the definition."""
    place = {date: i for i, date in enumerate(dates)}
    bars: dict[str, list[Bar]] = {}
    for row in daily:
        values = [row[name] for name in ("open", "high", "low", "close", "volume")]
        bars.setdefault(row["symbol"], []).append(Bar(place[row["session"]], *values))
    known: dict[str, dict[int, float]] = {}
    for (symbol, date), ratio in splits.items():
        if date in place:
            known.setdefault(symbol, {})[place[date]] = ratio
    for row in rows:
        symbol = row["symbol"]
        expected = technical(bars[symbol], known.get(symbol, {}), place[row["session"]], memory)
        for name, value in expected.items():
            near = pytest.approx(value, rel=1e-9, abs=1e-9) if value is not None else None
            assert row[name] == near, (symbol, row["session"], name)


# --- the definition ----------------------------------------------------------------------------


@settings(max_examples=25)
@given(samples(), st.integers(1, 20), st.booleans())
def test_few_rows_equal_the_definition(made, memory, adjust):
    market = made.with_daily()
    params = TechnicalParams(memory_sessions=memory, adjust="splits" if adjust else "none")
    rows = run(FAMILY, market, made.targets, params).table.to_pylist()
    daily = [row for table in market.table(DAILY.name).values() for row in table.to_pylist()]
    assert [(row["session"], row["symbol"]) for row in rows] == [(row["session"], row["symbol"]) for row in daily]
    assert_equals(rows, daily, made.splits if adjust else {}, made.dates, memory)


@pytest.mark.parametrize("params", [{}, {"adjust": "none", "memory_sessions": 230}])
def test_a_year_equals_the_definition(params):
    case = Case(FAMILY, TechnicalParams(**params), seed=11)
    daily = [row for table in case.market.table(DAILY.name).values() for row in table.to_pylist()]
    splits = case.market.table("bronze/splits")[None].to_pylist() if not params else []
    ratios = {(row["symbol"], row["ex_session"]): row["split_ratio"] for row in splits}
    dates = [session.date for session in case.sessions]
    assert_equals(case.result.table.to_pylist(), daily, ratios, dates, case.params.memory_sessions)


def test_first_defined_rows():
    table = build(sample(*walk("S", YEAR[:230])))
    for name, first in N0.items():
        null = table[name].is_null().to_pylist()
        assert null == [i < first for i in range(230)], name
    assert set(N0) == set(TECHNICAL.names[7:-1])


def test_the_memory_counts_sessions_and_holds_nothing_older():
    dates = [YEAR[0], *YEAR[20:35]]
    made = sample(*walk("S", dates))
    rsi = build(made, memory_sessions=35)["rsi_14"].to_pylist()
    assert [value is not None for value in rsi] == [False] * 14 + [True] * 2
    later = build(made, memory_sessions=34)["rsi_14"].to_pylist()
    assert later[14] == rsi[14], "the first row is still in the memory"
    assert later[15] != rsi[15]


def test_a_session_without_day_bars_is_blocked():
    made = sample(*walk("S", YEAR[:3]))
    inputs = read(made.with_daily(), FAMILY, TechnicalParams(), made.targets[:3])
    inputs.tables[DAILY.name].pop(YEAR[2])
    with pytest.raises(BlockedError, match="missing"):
        FAMILY.compute(inputs, TechnicalParams())


@pytest.mark.parametrize("params", [{"memory_sessions": 0}, {"adjust": "yes"}, {"window": 3}])
def test_parameters_that_make_no_sense(params):
    with pytest.raises(ValidationError):
        TechnicalParams(**params)


# --- splits ------------------------------------------------------------------------------------


def test_growth_over_a_split_is_growth():
    """One percent a session, four for one in between: nothing falls, nothing is overdone."""
    ex = 40
    rows = []
    for i, date in enumerate(YEAR[:60]):
        close = round(20 * 1.01**i / (4 if i >= ex else 1), 4)
        rows.append(bar(date, "S", close, volume=400.0 if i >= ex else 100.0))
    made = sample(*rows, splits={("S", YEAR[ex]): 4.0})
    found = series(build(made), "S")
    assert (found["rsi_14"][14:] == 100.0).all()
    assert found["roc_10"][45] == pytest.approx(100 * (1.01**10 - 1), rel=1e-3)
    assert found["obv"][ex - 1] == 100.0 * (ex - 1), "a session before the split knows nothing of it"
    assert found["obv"][ex] == 400.0 * ex, "old volume on the new basis"
    assert found["atr_14_pct"][ex:] == pytest.approx(0.0088, rel=0.01), "of prices that grew meanwhile"
    assert (series(build(made, adjust="none"), "S")["rsi_14"][ex : ex + 14] < 60).all()


def test_a_split_on_a_session_without_a_bar_counts():
    made = sample(bar(YEAR[0], "S", 40.0), bar(YEAR[2], "S", 10.0), splits={("S", YEAR[1]): 4.0})
    assert build(made)["obv"].to_pylist() == [0.0, 0.0], "unchanged on the new basis"


# --- laws --------------------------------------------------------------------------------------


def test_scales_of_prices_and_volumes():
    table = build(sample(*walk("A", YEAR), *walk("B", YEAR, price=3.0, volume=7.0)), memory_sessions=230)
    one, other = series(table, "A"), series(table, "B")
    for column in (TECHNICAL[name] for name in N0):
        factor = {"usd": 3.0, "shares": 7.0}.get(column.unit, 1.0)
        values = one[column.name].astype(np.float64) * factor
        np.testing.assert_allclose(other[column.name], values, rtol=1e-9, atol=1e-9, err_msg=column.name)


def test_flat_prices():
    found = series(build(sample(*(bar(date, "S", 0.1) for date in YEAR[:210]))), "S")
    last = {name: values[-1] for name, values in found.items()}
    neutral = {"rsi_14": 50, "stoch_k": 50, "stoch_d": 50, "roc_10": 0, "adx_14": 0, "atr_14": 0, "hist_vol_20": 0}
    assert {name: last[name] for name in neutral} == neutral
    assert last["bb_middle"] == last["bb_upper"] == last["bb_lower"] == 0.1
    assert np.isnan(last["bb_pct"]), "there is no width to stand in"
    assert last["sma_cross_20_50"] == last["sma_cross_50_200"] == 0.0, "no crossing by rounding"
    assert not any(last[name] for name in ("rsi_overbought", "rsi_oversold", "above_bb_upper", "below_bb_lower"))


@pytest.mark.parametrize(("step", "rsi", "flag"), [(0.5, 100.0, "rsi_overbought"), (-0.25, 0.0, "rsi_oversold")])
def test_one_direction_only(step, rsi, flag):
    found = series(build(sample(*(bar(date, "S", 50 + step * i) for i, date in enumerate(YEAR[:60])))), "S")
    assert (found["rsi_14"][14:] == rsi).all()
    assert (found[flag][14:] == 1).all()
    assert (found["adx_14"][27:] == 100.0).all()
    assert (found["strong_trend"][27:] == 1).all()


# --- stored ------------------------------------------------------------------------------------


def test_a_partition_has_the_same_bytes_alone_and_in_a_chunk(tmp_path):
    """Nulls in other partitions of the chunk, and their symbols, leave no trace in the file."""
    made = sample(*walk("A", YEAR[:40]), *walk("B", YEAR[28:30], seed=1), *walk("C", YEAR[10:40], seed=2))
    market, params = made.with_daily(), TechnicalParams()
    targets = made.targets[24:40]
    chunk = run(FAMILY, market, targets, params).table
    parts = split_table(chunk, "session", [target.date for target in targets])
    for target, part in zip(targets, parts, strict=True):
        alone = run(FAMILY, market, [target], params).table
        assert _bytes(tmp_path, target.key, part) == _bytes(tmp_path, target.key, alone)


def _bytes(folder: Path, key: str, table: pa.Table) -> str:
    manifest = Manifest(
        table=TECHNICAL.name,
        partition=key,
        fingerprint="f",
        version=1,
        params="p",
        schema=TECHNICAL.digest,
        inputs={},
        rows=table.num_rows,
        code_version="1",
        facts={},
    )
    return Lake(Location.parse(str(folder))).write(TECHNICAL, key, table, manifest).sha256


# --- real bars ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def quotes(shared_data: Path) -> list[dict]:
    """502 real day bars, as rows of the sessions that they are of."""
    rows = []
    with (shared_data / "indicators/default.csv").open() as file:
        for row in csv.DictReader(file):
            date = dt.date.fromisoformat(row["date"])
            values = {name: float(row[name]) for name in ("open", "high", "low", "volume")}
            rows.append(bar(date, "Q", float(row["close"]), **values))
    return rows


@pytest.fixture(scope="module")
def real(quotes: list[dict]) -> dict[str, np.ndarray]:
    dates = calendar().dates(quotes[0]["session"], quotes[-1]["session"])
    return series(build(sample(*quotes, dates=dates)), "Q")


def _arrays(quotes: list[dict]) -> tuple[np.ndarray, ...]:
    return tuple(np.array([row[name] for row in quotes]) for name in ("high", "low", "close", "volume"))


def _by_talib(high: np.ndarray, low: np.ndarray, close: np.ndarray, volume: np.ndarray) -> dict[str, np.ndarray]:
    upper, middle, lower = talib.BBANDS(close, 20, 2, 2)
    k, d = talib.STOCHF(high, low, close, 14, 3, 0)
    return {
        "rsi_14": talib.RSI(close, 14),
        "adx_14": talib.ADX(high, low, close, 14),
        "atr_14": talib.ATR(high, low, close, 14),
        "atr_14_pct": talib.NATR(high, low, close, 14) / 100,
        "bb_upper": upper,
        "bb_middle": middle,
        "bb_lower": lower,
        "sma_20": talib.SMA(close, 20),
        "sma_50": talib.SMA(close, 50),
        "sma_200": talib.SMA(close, 200),
        "roc_10": talib.ROC(close, 10),
        "stoch_k": k,
        "stoch_d": d,
        "obv": talib.OBV(close, volume) - volume[0],
    }


def test_talib_on_the_memory_of_real_bars(quotes, real):
    columns = _arrays(quotes)
    for last in (*range(30), 49, 199, 258, 259, 260, 300, 411, 501):
        first = max(last - 259, 0)
        for name, values in _by_talib(*(column[first : last + 1] for column in columns)).items():
            if name != "stoch_k" or last >= 15:  # with its mean, TA-Lib starts k later too
                np.testing.assert_allclose(real[name][last], values[-1], rtol=1e-9, err_msg=f"{name} {last}")


def test_talib_on_all_real_bars(quotes, real):
    """What a memory of 260 sessions costs against one without end."""
    for name, values in _by_talib(*_arrays(quotes)).items():
        if name != "obv":
            tolerance = 1e-4 if name == "adx_14" else 1e-6
            defined = np.isfinite(values)
            np.testing.assert_allclose(real[name][defined], values[defined], rtol=tolerance, err_msg=name)


@pytest.mark.parametrize(
    ("ours", "file", "key", "tolerance", "since"),
    [
        ("rsi_14", "rsi", "rsi", 1e-6, 0),
        ("atr_14", "atr", "atr", 1e-6, 0),
        ("adx_14", "adx", "adx", 1e-4, 200),
        ("stoch_d", "stoch", "k", 1e-6, 0),
        ("bb_middle", "bb", "sma", 1e-9, 0),
        ("bb_upper", "bb", "upperBand", 1e-9, 0),
        ("bb_lower", "bb", "lowerBand", 1e-9, 0),
        ("bb_pct", "bb", "percentB", 1e-9, 0),
        ("sma_20", "sma", "sma", 1e-9, 0),
    ],
)
def test_published_answers(shared_data, real, ours, file, key, tolerance, since):
    with gzip.open(shared_data / f"indicators/{file}.standard.json.gz") as text:
        published = np.array([row[key] for row in json.load(text)], dtype=np.float64)
    np.testing.assert_array_equal(np.isnan(real[ours][since:]), np.isnan(published[since:]))
    np.testing.assert_allclose(real[ours][since:], published[since:], rtol=tolerance, err_msg=ours)


def test_published_obv(shared_data, real, quotes):
    """It remembers all rows: equal while the memory holds them, and afterwards but for a constant of the rows left."""
    with gzip.open(shared_data / "indicators/obv.standard.json.gz") as text:
        published = np.array([row["obv"] for row in json.load(text)], dtype=np.float64)
    assert (real["obv"][:260] == published[:260]).all()
    later = np.arange(260, len(published))
    assert (real["obv"][later] == published[later] - published[later - 259]).all()


def test_as_traded_prices_of_real_names_over_their_splits(shared_data):
    """Rebuilt as they traded, with the splits told, they have the indicators of the adjusted series."""
    path = shared_data / "daily/ohlcv_100_2015_2025.parquet"
    long = pd.read_parquet(path, columns=["date", "symbol", "high", "low", "close", "volume", "split_ratio"])
    split = long.loc[(long.split_ratio != 0) & (long.split_ratio != 1), "symbol"].unique()
    wide = long[long.symbol.isin(split)].pivot_table(index="date", columns="symbol")
    ratios = wide.split_ratio.replace(0.0, 1.0).fillna(1.0).to_numpy()
    assert len(split) > 15
    assert (ratios != 1.0).sum() > 20
    later = np.vstack([np.cumprod(ratios[:0:-1], axis=0)[::-1], np.ones((1, len(split)))])
    high, low, close, volume = (
        wide[name].to_numpy(np.float64, copy=True) for name in ("high", "low", "close", "volume")
    )
    # Where a rise equals the fall, the rounding of the rebuilt prices would choose the direction of the movement.
    high[1:][np.diff(high, axis=0) == -np.diff(low, axis=0)] *= 1.0001
    adjusted = indicators(Grid(high, low, close, volume, np.ones_like(close)))
    traded = indicators(Grid(high * later, low * later, close * later, volume / later, ratios))
    prices = {"atr_14", "sma_20", "std_20", "sma_50", "sma_200", "vwap"}
    for name, values in adjusted.items():
        expected = values * later if name in prices else values / later if name == "obv" else values
        atol = 1e-9 * np.nanmax(np.abs(expected)) if name == "obv" else 1e-9
        np.testing.assert_allclose(traded[name], expected, rtol=1e-9, atol=atol, err_msg=name)
