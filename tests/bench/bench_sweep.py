"""What a search on the real 46 symbols costs beside its libraries, and a whole run of them: aims, 1.05 times the CPU
time of the libraries, and 60 CPU seconds for a run of defaults.

A whole search is 6,900 configurations. Here studies of 50 are run one after the other, of symbols that are spread over
the list, for as many minutes as there are; libraries are timed in the same run, so a busy machine slows both alike.
"""

from __future__ import annotations

import datetime as dt
import itertools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import catboost
import lightgbm
import optuna.samplers  # noqa: F401 - a search loads it; that is no part of a configuration
import pytest
import xgboost
from pytest_benchmark.fixture import BenchmarkFixture

from raypipe.dataset.selection import select
from raypipe.dataset.splits import fold_rows, make_splits
from raypipe.lake.location import Location
from raypipe.models import catboost as cb
from raypipe.models import lightgbm as lgb
from raypipe.models import xgboost as xgb
from raypipe.schema.modeling import CvParams, SelectionParams, TuneParams
from raypipe.training.study import run_study
from raypipe.training.study_data import StudyData
from raypipe.training.sweep_plan import plan_sweep
from tests.controls.chain import Setup, chain
from tests.controls.markets import real

pytestmark = [pytest.mark.realdata, pytest.mark.bench]
TARGET, FEATURES, EVERY, SECONDS = "vol_regime_20d", 33, 15, 420.0
BARS, HOLDOUT = Path("daily", "ohlcv_46_2018_2023.parquet"), dt.date(2023, 1, 3)


class Libraries:
    """CPU seconds inside the libraries: matrices, fits, predictions."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.seconds = 0.0
        calls = [(xgboost, "QuantileDMatrix"), (xgboost, "train"), (lightgbm, "train")]
        calls += [(catboost, "Pool"), (catboost.Pool, "quantize"), (catboost.CatBoost, "fit")]
        for owner, name in (*calls, *((module.Boosted, "predict") for module in (xgb, lgb, cb))):
            patch.setattr(owner, name, self._timed(getattr(owner, name)))

    def _timed(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any, **options: Any) -> Any:
            begun = time.process_time()
            try:
                return call(*args, **options)
            finally:
                self.seconds += time.process_time() - begun

        return timed


def _data(path: Path) -> StudyData:
    panel, target = real(path).data(TARGET)
    splits = make_splits(panel, target, CvParams(), holdout_start=HOLDOUT)
    folds, names = fold_rows(splits, panel, target), panel.features[::3][:FEATURES]
    selected = {(fold.id, symbol): names for fold in folds for symbol in panel.symbols}
    hashes = {"splits_sha256": splits.sha256, "data_sha256": splits.data_sha256, "features_sha256": ""}
    return StudyData.of(panel, target, folds, selected, **hashes)


@pytest.mark.timeout(1_200)
def test_a_search_of_real_symbols(
    benchmark: BenchmarkFixture, shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = _data(shared_data / BARS)
    plan = plan_sweep(data, TuneParams(pooled=False), Location.parse(str(tmp_path)))
    jobs = [job for job in plan.jobs if job.scope in data.symbols[::EVERY]]
    # Symbol by symbol, so that each algorithm has its share whenever the time is over.
    jobs.sort(key=lambda job: job.scope)
    found: dict[str, float] = {}

    def search() -> None:
        libraries, end = Libraries(monkeypatch), time.monotonic() + SECONDS
        begun, asked = time.process_time(), 0
        for job in jobs:
            asked += run_study(job, data, stop=lambda: time.monotonic() > end).asked
        found.update(cpu=time.process_time() - begun, libraries=libraries.seconds, asked=asked)

    benchmark.pedantic(search, rounds=1)
    cpu, inside = (found[name] / found["asked"] * 1e3 for name in ("cpu", "libraries"))
    said = f"{cpu:.1f} ms CPU, libraries {inside:.1f}, {cpu / inside:.3f} x (aim 1.05)"
    benchmark.extra_info[f"a configuration of {found['asked']:.0f}"] = said


@pytest.mark.timeout(1_200)
def test_a_run_of_defaults(
    benchmark: BenchmarkFixture, shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From bars to gates: three boosters over all symbols and for each, 282 fits and the final ones among them."""
    libraries, spent, found = Libraries(monkeypatch), [time.process_time()], {}

    def lap() -> None:
        spent.append(time.process_time())

    def run() -> None:
        market = real(shared_data / BARS)
        data = market.data(TARGET)
        lap()
        splits = make_splits(*data, CvParams(), holdout_start=HOLDOUT)
        chosen = select(*data, splits, SelectionParams(), 42)
        lap()
        libraries.seconds = 0.0
        setup = Setup(TuneParams(n_configs=1), HOLDOUT, choose=lambda *_: chosen)
        found.update(chain(data, market.market(data[0]), setup, tmp_path).metrics)
        lap()

    benchmark.pedantic(run, rounds=1)
    panel, selection, models = (later - one for one, later in itertools.pairwise(spent))
    said = f"{models:.1f} CPU s, {libraries.seconds:.1f} of it in the libraries (aim 60)"
    benchmark.extra_info["search, stack, gates"] = said
    benchmark.extra_info["before"] = f"panel {panel:.1f}, selection {selection:.1f} CPU s"
    benchmark.extra_info["AUC of the hold-out"] = f"{found['auc']:.4f}"
