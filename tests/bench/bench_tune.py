"""What a search costs beside its fits: asking, scoring and journaling; going on from a journal; a whole sweep.

Aims of one core: 6 ms of CPU for a configuration of a symbol's study, 50 ms to replay a journal of 50, and a sweep at
1.05 times the bare loop of the same fits. On Ray: what Tune adds to a study, and by how much its driver grows.
"""

from __future__ import annotations

import resource
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from raypipe.models.catalog import model
from raypipe.schema.modeling import TuneParams
from raypipe.training import study as study_module
from raypipe.training.journal import read_study
from raypipe.training.study import Study, StudyOutcome, run_study
from raypipe.training.study_ask import Asker, hashed_seed
from raypipe.training.study_data import StudyData, StudyView
from raypipe.training.sweep import SweepOrder, run_sweep
from raypipe.training.sweep_run import SerialSweep
from tests.training import studies
from tests.training.studies import made_data, made_job
from tests.training.sweeps import Silent, plan_at, sweep

CONFIGS = 50
#: Of studies that are fitted.
FEW = 12
#: Studies of one configuration; after the first few nothing is loaded any more.
CHEAP = TuneParams(algorithms=("logistic",), n_configs=1, seed=7, early_stop="none")
STEADY = 5


class NoFit:
    """Stands for a library that takes no time."""

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Something that varies."""
        return np.nan_to_num(x[:, 0])

    def save(self, folder: Path) -> tuple[str, ...]:
        """Nothing."""
        return ()

    def importance(self) -> np.ndarray:
        """Nothing."""
        return np.zeros(1)


@pytest.fixture(scope="module")
def data() -> StudyData:
    """Three symbols of 1,500 sessions, 33 features, 5 folds."""
    return made_data(5, sessions=1_500, features=33, horizon=20)


@pytest.fixture
def no_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    """XGBoost's space, and nothing behind it."""
    family = replace(model("xgboost")[0], learn=lambda x, y, how: NoFit())
    monkeypatch.setattr(study_module, "model", lambda name: (family, None))


@pytest.mark.bench
def test_a_configuration_beside_its_fits(
    benchmark: BenchmarkFixture, tmp_path: Path, data: StudyData, no_fits: None
) -> None:
    spent: list[tuple[float, float]] = []

    def search() -> None:
        job = made_job(tmp_path / str(len(spent)), "AAA", "xgboost", n_configs=CONFIGS, prune=False, early_stop="none")
        wall, cpu = time.perf_counter(), time.process_time()
        run_study(job, data)
        spent.append((time.process_time() - cpu, time.perf_counter() - wall))

    benchmark.pedantic(search, rounds=4, warmup_rounds=1)
    cpu, wall = (min(one[i] for one in spent) / CONFIGS * 1e3 for i in (0, 1))
    benchmark.extra_info["a configuration"] = f"{cpu:.2f} ms CPU, {wall:.2f} ms wall (aim 6)"


@pytest.mark.bench
def test_a_question(benchmark: BenchmarkFixture) -> None:
    from raypipe.models.space import distributions
    from raypipe.training.journal import ConfigResult

    dims = distributions(model("xgboost")[0].spaces["safe"])

    def ask() -> None:
        asker = Asker(dims, 42)
        for i in range(CONFIGS):
            params, source = asker.ask(i)
            value = params["eta"] + params["max_depth"] / 10
            asker.tell(ConfigResult(i, source, params, (value,) * 5, (1,) * 5, ("drawn",) * 5, value, "complete"))

    benchmark.pedantic(ask, rounds=4, warmup_rounds=1)
    benchmark.extra_info["a question"] = f"{benchmark.stats.stats.min / CONFIGS * 1e3:.2f} ms"


@pytest.mark.bench
def test_a_journal_is_replayed(benchmark: BenchmarkFixture, tmp_path: Path, data: StudyData, no_fits: None) -> None:
    """From a journal of 50 configurations to the point where the 51st could be asked for."""
    job = made_job(tmp_path, "AAA", "xgboost", n_configs=CONFIGS, prune=False, early_stop="none")
    run_study(job, data)
    path = tmp_path / job.key / "journal.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-1]))
    spent: list[float] = []

    def replay() -> None:
        begun = time.process_time()
        with Study.open(job, data) as study:
            asker = Asker(study_module.distributions(model("xgboost")[0].spaces["safe"]), 1)
            for one in study.results:
                asker.tell(one)
        spent.append(time.process_time() - begun)
        path.write_bytes(b"".join(lines[:-1]))

    benchmark.pedantic(replay, rounds=6, warmup_rounds=1)
    benchmark.extra_info["a replay"] = f"{min(spent) * 1e3:.1f} ms CPU (aim 50)"


@pytest.mark.bench
@pytest.mark.parametrize("algorithm", ["xgboost", "catboost", "lightgbm"])
def test_bins_that_are_kept(
    benchmark: BenchmarkFixture, tmp_path: Path, data: StudyData, monkeypatch: pytest.MonkeyPatch, algorithm: str
) -> None:
    """A symbol's study whose folds are binned once, beside one that bins them for each configuration."""
    spent: dict[bool, list[float]] = {True: [], False: []}

    def search(kept: bool) -> None:
        folder = tmp_path / f"{kept}{len(spent[kept])}"
        job = made_job(folder, "AAA", algorithm, n_configs=FEW, prune=False)
        with monkeypatch.context() as patch:
            if not kept:
                patch.setattr(StudyView, "kept", lambda *_: None)
            begun = time.process_time()
            run_study(job, data)
        spent[kept].append(time.process_time() - begun)

    search(False)
    benchmark.pedantic(lambda: search(True), rounds=2)
    search(False)
    kept, anew = (min(spent[one]) / FEW * 1e3 for one in (True, False))
    benchmark.extra_info["a configuration"] = f"{kept:.0f} ms CPU, binned anew {anew:.0f} ms, {kept / anew:.2f} x"


@pytest.mark.bench
def test_a_sweep_beside_the_bare_loop_of_its_fits(benchmark: BenchmarkFixture, tmp_path: Path, data: StudyData) -> None:
    """One process; the loop takes parameters and rounds from the journals, and stops early where they did."""
    params = made_job(tmp_path, n_configs=12).params
    spent: list[float] = []

    def searched() -> None:
        plan = plan_at(tmp_path / str(len(spent)), data, params)
        begun = time.process_time()
        sweep(plan, data)
        spent.append(time.process_time() - begun)

    sweep(plan_at(tmp_path / "warm", data, params.model_copy(update={"n_configs": 1})), data)
    benchmark.pedantic(searched, rounds=2)
    plan = plan_at(tmp_path / "0", data, params)
    bare = min(_bare(plan.jobs, data) for _ in range(2))
    ratio = min(spent) / bare
    benchmark.extra_info["sweep"] = f"{min(spent):.2f} s CPU, bare loop {bare:.2f} s, {ratio:.3f} x (aim 1.05)"


@pytest.mark.ray
@pytest.mark.bench
@pytest.mark.timeout(300)
def test_what_ray_tune_adds_to_a_study(
    benchmark: BenchmarkFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Studies of one cheap configuration, one at a time in one actor, beside the same in this process.

    Slopes over the studies leave out what starting Ray costs.
    """
    from tuning.executor import RaySweep

    monkeypatch.setattr(studies, "SYMBOLS", tuple(f"S{i:02d}" for i in range(40)))
    data = made_data(sessions=160, features=4)
    plan, watch = plan_at(tmp_path / "ray", data, CHEAP), Clocked()
    order = SweepOrder(RaySweep("local", 1), watch)
    benchmark.pedantic(lambda: run_sweep(plan, data, order), rounds=1)
    alone = Clocked()
    run_sweep(plan_at(tmp_path / "serial", data, CHEAP), data, SweepOrder(SerialSweep(), alone))
    (seconds, grown), (plain, _) = watch.slopes(), alone.slopes()
    benchmark.extra_info["a study on Ray"] = f"{seconds * 1e3:.0f} ms, in one process {plain * 1e3:.0f} ms"
    benchmark.extra_info["it leaves in the driver"] = f"{grown / 1024:.0f} KiB"


class Clocked(Silent):
    """Notes when each study ended, and how much memory this process had then."""

    def __init__(self) -> None:
        super().__init__()
        self.clock: list[tuple[float, int]] = []

    def ended(self, outcome: StudyOutcome) -> None:
        """One more."""
        super().ended(outcome)
        self.clock.append((time.perf_counter(), _rss()))

    def slopes(self) -> tuple[float, float]:
        """Seconds and bytes of a study, without the first ones."""
        (first, small), (last, large) = self.clock[STEADY], self.clock[-1]
        count = len(self.clock) - 1 - STEADY
        return (last - first) / count, (large - small) / count


def _rss() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def _bare(jobs: Any, data: StudyData) -> float:
    total = 0.0
    for job in jobs:
        study, view = read_study(job.location, job.key), StudyView(data, job.scope, early_stop=True)
        family = model(job.algorithm)[0]
        seed = hashed_seed(hashed_seed(job.params.seed, data.target, job.algorithm, job.scope), "model")
        begun = time.process_time()
        for one in study.configs:
            own, _ = family.split(one.params)
            for fold, rounds in zip(view.folds, one.fold_rounds, strict=True):
                if rounds is None:
                    continue
                if fold.tail is not None:
                    inner, tail = view.matrix(fold, "inner"), view.matrix(fold, "tail")
                    y, y_tail = view.labels(fold.inner), view.labels(fold.tail)
                    family.best_rounds(inner, y, tail, y_tail, task="class", params=one.params, seed=seed)
                x, y = view.matrix(fold, "train"), view.labels(fold.train)
                fitted = family.fit(x, y, task="class", params=own, rounds=rounds, seed=seed)
                fitted.predict(view.matrix(fold, "test"))
        total += time.process_time() - begun
    return total
