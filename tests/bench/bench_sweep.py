"""What a search on the real 46 symbols costs beside its libraries: aim, 1.05 times their CPU time.

A whole search is 6,900 configurations. Here studies of 50 are run one after the other, of symbols that are spread over
the list, for as many minutes as there are; libraries are timed in the same run, so a busy machine slows both alike.
"""

from __future__ import annotations

import datetime as dt
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

from raypipe.dataset.splits import fold_rows, make_splits
from raypipe.lake.location import Location
from raypipe.models import catboost as cb
from raypipe.models import lightgbm as lgb
from raypipe.models import xgboost as xgb
from raypipe.pipeline.study import run_study
from raypipe.pipeline.study_data import StudyData
from raypipe.pipeline.sweep_plan import plan_sweep
from raypipe.schema.modeling import CvParams, TuneParams
from tests.controls.markets import real

pytestmark = [pytest.mark.realdata, pytest.mark.bench]
TARGET, FEATURES, EVERY, SECONDS = "vol_regime_20d", 33, 15, 420.0


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
    splits = make_splits(panel, target, CvParams(), holdout_start=dt.date(2023, 1, 3))
    folds, names = fold_rows(splits, panel, target), panel.features[::3][:FEATURES]
    selected = {(fold.id, symbol): names for fold in folds for symbol in panel.symbols}
    hashes = {"splits_sha256": splits.sha256, "data_sha256": splits.data_sha256, "features_sha256": ""}
    return StudyData.of(panel, target, folds, selected, **hashes)


@pytest.mark.timeout(1_200)
def test_a_search_of_real_symbols(
    benchmark: BenchmarkFixture, shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = _data(shared_data / "daily" / "ohlcv_46_2018_2023.parquet")
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
