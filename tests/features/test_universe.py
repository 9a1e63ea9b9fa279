"""The universe against its definition, and the traps that it is there to avoid."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from raypipe.errors import ConfigError
from raypipe.features.bars_1d import BARS_1D
from raypipe.features.universe import UniverseParams, compute, requires
from raypipe.kernels._jit import as_input
from raypipe.kernels.medians import trailing_median
from raypipe.schema.daily_bars import DailyIngest
from raypipe.schema.family import Inputs
from tests.features.daily_bars import bars_table, walk
from tests.reference.forward import reason

SMALL = UniverseParams(min_history_sessions=40, window_sessions=10, min_presence=0.8, min_dollar_volume_usd=1.5e7)


def universe(params: UniverseParams = SMALL, **tables: pa.Table) -> dict[tuple, str]:
    """Reason by session and symbol."""
    found = compute(Inputs((), {}, by_symbol={BARS_1D.name: tables}), params).table.to_pylist()
    assert [(row["session"], row["symbol"]) for row in found] == sorted((r["session"], r["symbol"]) for r in found)
    assert all(row["in_universe"] == (row["reason"] == "ok") for row in found)
    return {(row["session"], row["symbol"]): row["reason"] for row in found}


@pytest.mark.parametrize("seed", range(3))
def test_every_row_is_the_definition(seed):
    rng = np.random.default_rng(seed)
    tables, bars = {}, {}
    for name in ("AAA", "BBB", "CCC"):
        values = walk(rng, 200, sigma=0.1)
        stale, factor = rng.random(200) < 0.03, np.full(200, 2.0)
        rows = np.sort(rng.choice(200, 185, replace=False))
        whole = bars_table(values, name, is_stale=stale, split_factor=factor)
        tables[name] = whole.take(pa.array(rows))
        dollars = values["close"] * values["volume"]
        bars[name] = {int(i): (values["close"][i] * 2, dollars[i], stale[i]) for i in rows}
    got = universe(**tables)
    for name, mine in bars.items():
        dates = tables[name]["session"].to_pylist()
        for place, date in zip(mine, dates, strict=True):
            rules = {"history": 40, "window": 10, "presence": 0.8, "price": 5.0, "dollars": 1.5e7}
            assert got[date, name] == reason(mine, place, **rules), (name, date)
    assert len(set(got.values())) >= 4


def test_a_price_is_judged_as_it_traded_then():
    """A name at 100 that later split 50 for 1 stood at 100 then, not at 2."""
    values = {name: np.full(60, 2.0) for name in ("open", "high", "low", "close")}
    values |= {"volume": np.full(60, 1e8), "div_factor": np.ones(60)}
    before = bars_table(values, split_factor=np.full(60, 50.0))
    assert set(list(universe(AAA=before).values())[40:]) == {"ok"}
    assert set(list(universe(AAA=bars_table(values)).values())[40:]) == {"low_price"}


def test_undoing_a_split_does_not_cross_a_threshold():
    for factor in (3.0, 7.0, 1.081, 20.0):
        close = np.full(60, 5.0 / factor)
        values = dict.fromkeys(("open", "high", "low", "close"), close)
        values |= {"volume": np.full(60, 1e8), "div_factor": np.ones(60)}
        got = universe(AAA=bars_table(values, split_factor=np.full(60, factor)))
        assert set(list(got.values())[40:]) == {"ok"}


def test_most_members_are_the_largest_and_ties_go_by_name():
    values = {name: np.full(60, 10.0) for name in ("open", "high", "low", "close")} | {"div_factor": np.ones(60)}
    sizes = {"AAA": 5e6, "BBB": 9e6, "CCC": 5e6, "DDD": 1e6}
    tables = {name: bars_table({**values, "volume": np.full(60, size)}, name) for name, size in sizes.items()}
    got = universe(SMALL.model_copy(update={"max_members": 2}), **tables)
    last = max(date for date, _ in got)
    want = {"AAA": "ok", "BBB": "ok", "CCC": "rank_cut", "DDD": "low_dollar_volume"}
    assert {name: got[last, name] for name in sizes} == want


def test_without_members_known_survivorship_is_unknown():
    found = compute(Inputs((), {}, by_symbol={}), SMALL)
    assert found.facts == {"survivorship": "unknown"}
    assert found.table.num_rows == 0


def test_fully_adjusted_prices_judge_no_price():
    params = UniverseParams(ingest=DailyIngest(adjustment="full"))
    with pytest.raises(ConfigError, match="min_price_usd=0"):
        requires(params)
    assert requires(params.model_copy(update={"min_price_usd": 0.0}))


@pytest.mark.parametrize("seed", range(5))
def test_medians_are_those_of_numpy(seed):
    rng = np.random.default_rng(seed)
    values = np.round(rng.normal(0, 3, 300))  # many ties
    first = np.maximum.accumulate(np.maximum(np.arange(300) - rng.integers(0, 40, 300), 0))
    out = np.empty(300)
    trailing_median(as_input(values), as_input(first, np.int64), out)
    assert out.tolist() == [np.median(values[a : t + 1]) for t, a in enumerate(first)]
