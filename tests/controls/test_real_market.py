"""The standing controls on real prices: direction is rejected, and volatility passes, both chosen on CV alone."""

from __future__ import annotations

import datetime as dt

import pytest

from raypipe.schema.modeling import TuneParams
from tests.controls.chain import Setup, chain
from tests.controls.markets import real

pytestmark = pytest.mark.realdata
HOLDOUT = dt.date(2023, 1, 3)
#: What the best of the AutoML tools reaches on the same sessions, and more.
FLOOR = 0.634


@pytest.fixture(scope="module")
def market(shared_data):
    return real(shared_data / "daily" / "ohlcv_46_2018_2023.parquet")


def judged(market, target, folder, n_configs=1):
    data = market.data(target)
    tune = TuneParams(algorithms=("lightgbm",), n_configs=n_configs, per_symbol=False)
    return chain(data, market.market(data[0]), Setup(tune, HOLDOUT), folder).metrics


@pytest.mark.parametrize("target", ["direction_1d", "direction_20d"])
def test_direction_is_rejected(market, target, tmp_path):
    metrics = judged(market, target, tmp_path)
    assert metrics["verdict"] == "fail"
    assert abs(metrics["auc"] - 0.5) <= 3 * metrics["auc_se"]


def is_skilled(metrics):
    passed = {gate["name"] for gate in metrics["gates"] if gate["passed"]}
    return passed >= {"auc", "auc_lower", "best_of_n"} and metrics["auc"] > max(FLOOR, metrics["auc_naive"])


def test_volatility_passes(market, tmp_path):
    metrics = judged(market, "vol_regime_20d", tmp_path)
    assert (metrics["start"], metrics["end"]) == ("2023-01-03", "2023-12-29")
    assert is_skilled(metrics), metrics


@pytest.mark.slow
@pytest.mark.timeout(1_800)
def test_volatility_passes_after_a_search(market, tmp_path):
    assert is_skilled(judged(market, "vol_regime_20d", tmp_path, n_configs=8))
