"""Day-level families on real bars: pandas as the independent library, and the law of splits."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from raypipe.calendar import Session, calendar
from raypipe.features import daily, filtered, weekly
from raypipe.schema.tables import DAY_AGGS, SPLITS
from tests.contracts.sources import Partitions
from tests.features.bars import Fixed, day_tables, run, splits_table

PRICES = ("open", "high", "low", "close")
PLAIN = daily.DailyParams(clean_symbols=False)


def market_of(bars: pd.DataFrame, splits: dict[tuple[str, dt.date], float] | None = None) -> Fixed:
    """Bronze of a frame with ``session, symbol`` and prices."""
    rows = bars.to_dict("records")
    dates = sorted({row["session"] for row in rows})
    tables: dict[str, Partitions] = {DAY_AGGS.name: day_tables(rows, dates)}
    if splits is not None:
        tables[SPLITS.name] = {None: splits_table(splits)}
    return Fixed([calendar().session(date) for date in dates], tables=tables)


def with_daily(market: Fixed, targets: list[Session]) -> Fixed:
    built = run(daily.FAMILY, market, targets, PLAIN).table
    parts = {t.date: built.filter(pa.compute.equal(built["session"], t.date)) for t in targets}
    return Fixed(market.sessions, tables={**(market.tables or {}), daily.DAILY.name: parts})


# --- flat files --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def flat(shared_data: Path) -> pd.DataFrame:
    """Four months of the vendor's day files as they stand."""
    folder = shared_data / "polygon" / "us_stocks_sip" / "day_aggs_v1" / "2022"
    files = [path for month in ("10", "11", "12") for path in sorted((folder / month).glob("*.csv.gz"))]
    files += sorted((folder.parent / "2023" / "01").glob("*.csv.gz"))
    if not files:
        pytest.skip(f"no day files under {folder}")
    parts = [pd.read_csv(path).assign(session=dt.date.fromisoformat(path.name[:10])) for path in files]
    return pd.concat(parts, ignore_index=True).rename(columns={"ticker": "symbol"})


@pytest.fixture(scope="module")
def lake(flat: pd.DataFrame) -> Fixed:
    market = market_of(flat)
    return with_daily(market, list(market.sessions))


def wide(flat: pd.DataFrame, column: str) -> pd.DataFrame:
    return flat.pivot(index="session", columns="symbol", values=column)


def test_daily_returns_are_those_of_pandas(flat, lake):
    got = pa.concat_tables(lake.table(daily.DAILY.name).values()).to_pandas()
    assert len(got) == len(flat)
    expected = wide(flat, "close").pct_change(fill_method=None).stack().rename("expected").reset_index()
    both = got.merge(expected, on=["session", "symbol"])
    np.testing.assert_allclose(both["ret_d"], both["expected"], rtol=0, atol=1e-12)
    assert int(got["ret_d"].isna().sum()) == flat["symbol"].nunique(), "only the first session has none before it"
    assert set(got["gap_sessions"].dropna()) == {1}
    for column in (*PRICES, "volume"):
        np.testing.assert_array_equal(
            got.pivot(index="session", columns="symbol", values=column), wide(flat, column).astype("float64")
        )


def test_weekly_bars_are_those_of_pandas(flat, lake):
    table = run(weekly.FAMILY, lake, list(lake.sessions)).table
    got = table.to_pandas().set_index(["week_start", "symbol"])
    frames = {}
    for column, how in (("open", "first"), ("high", "max"), ("low", "min"), ("close", "last"), ("volume", "sum")):
        values = wide(flat, column)
        values.index = pd.to_datetime(values.index)
        frames[f"{column}_w"] = values.resample("W-SUN").agg(how).stack()
    expected = pd.DataFrame(frames)
    expected.index = expected.index.set_levels(
        [(sunday - pd.Timedelta(days=6)).date() for sunday in expected.index.levels[0]], level=0
    )
    expected = expected.reindex(got.index)
    for column in frames:
        np.testing.assert_allclose(got[column], expected[column], rtol=1e-12)
    returns = expected["close_w"].groupby(level=1, observed=True).pct_change()
    np.testing.assert_allclose(got["ret_w"], returns, rtol=0, atol=1e-12)
    assert (got["week_end"] >= got.index.get_level_values(0)).all()


def test_the_prefilter_is_a_rolling_mean_of_pandas(flat, lake):
    params = filtered.FilteredParams(
        prefilter_price_range=(20.0, 150.0),
        prefilter_window_sessions=40,
        prefilter_min_avg_volume=5e6,
        prefilter_min_days=30,
    )
    got = run(filtered.FAMILY, lake, list(lake.sessions), params).table.to_pandas()
    volume, close = wide(flat, "volume").astype("float64"), wide(flat, "close")
    mean, days = volume.rolling(40, min_periods=1).mean(), volume.rolling(40, min_periods=1).count()
    passes = ((close >= 20) & (close <= 150) & (mean >= 5e6) & (days >= 30)).stack()
    assert set(zip(got["session"], got["symbol"], strict=True)) == set(passes[passes].index)
    expected = mean.stack().loc[list(zip(got["session"], got["symbol"], strict=True))]
    np.testing.assert_allclose(got["avg_volume"], expected, rtol=1e-9)


# --- the law of splits -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def adjusted(shared_data: Path) -> pd.DataFrame:
    """Adjusted bars of the names that split, with the factor that each bar was divided by."""
    bars = pd.read_parquet(shared_data / "daily" / "ohlcv_100_2015_2025.parquet").rename(columns={"date": "session"})
    bars = bars[bars["symbol"].isin(set(bars.loc[bars["split_ratio"] != 0, "symbol"]))]
    bars = bars.assign(session=bars["session"].dt.date, ratio=bars["split_ratio"].replace(0.0, 1.0), transactions=1)
    bars = bars.sort_values(["symbol", "session"])
    later = bars.iloc[::-1].groupby("symbol")["ratio"].cumprod().iloc[::-1] / bars["ratio"]
    return bars.assign(factor=later)[bars["session"] >= dt.date(2020, 6, 1)]


def near_splits(bars: pd.DataFrame) -> list[Session]:
    """Two weeks on either side of every ex-session, in whole weeks."""
    days: set[dt.date] = set()
    for date in bars.loc[bars["ratio"] != 1, "session"]:
        monday = date - dt.timedelta(days=date.weekday())
        days.update(calendar().dates(monday - dt.timedelta(weeks=1), monday + dt.timedelta(days=13)))
    held = set(bars["session"])
    return [calendar().session(date) for date in sorted(days & held)]


def test_the_as_traded_series_has_the_returns_of_the_adjusted_one(adjusted):
    traded = adjusted.copy()
    for name in PRICES:
        traded[name] = adjusted[name] * adjusted["factor"]
    traded["volume"] = adjusted["volume"] / adjusted["factor"]
    exes = adjusted[adjusted["ratio"] != 1]
    splits = {(row.symbol, row.session): row.ratio for row in exes.itertuples()}
    assert len(splits) > 10
    targets = near_splits(adjusted)
    as_traded, plain = with_daily(market_of(traded, splits), targets), with_daily(market_of(adjusted, {}), targets)
    _same(as_traded, plain, daily.DAILY.name, ("ret_d", "abs_ret_d"))
    first = [run(weekly.FAMILY, market, targets).table for market in (as_traded, plain)]
    _close(first[0], first[1], ("ret_w", "abs_ret_w"))
    unaware = pa.concat_tables(with_daily(market_of(traded, {}), targets).table(daily.DAILY.name).values())
    assert np.nanmin(unaware["ret_d"].to_numpy()) < -0.7, "without splits the law does not hold: the test sees them"


def _same(got: Fixed, expected: Fixed, name: str, columns: tuple[str, ...]) -> None:
    _close(*(pa.concat_tables(market.table(name).values()) for market in (got, expected)), columns)


def _close(got: pa.Table, expected: pa.Table, columns: tuple[str, ...]) -> None:
    assert got.num_rows == expected.num_rows > 500
    for column in columns:
        np.testing.assert_allclose(got[column].to_numpy(), expected[column].to_numpy(), rtol=0, atol=1e-9)
