"""Small sweeps, whoever watches them, and what they leave."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from raypipe.lake.location import Location
from raypipe.schema.modeling import TuneParams
from raypipe.training.journal import ConfigResult
from raypipe.training.study import StudyJob, StudyOutcome
from raypipe.training.study_data import StudyData
from raypipe.training.sweep import SweepOrder, run_sweep
from raypipe.training.sweep_plan import SweepPlan, plan_sweep
from raypipe.training.sweep_results import SweepRecord
from raypipe.training.sweep_run import SerialSweep
from tests.training.studies import made_data

PARAMS = TuneParams(algorithms=("logistic", "lightgbm"), n_configs=3, seed=7)
SMALL = PARAMS.model_copy(update={"algorithms": ("logistic",)})
ROOT = str(Path(__file__).parents[2])


class Silent:
    """Watches and keeps what it was told."""

    def __init__(self) -> None:
        self.outcomes: list[StudyOutcome] = []
        self.seen: list[tuple[str, int]] = []

    def running(self, job: StudyJob, done: int, best: float | None) -> None:
        self.seen.append((job.name, done))

    def ended(self, outcome: StudyOutcome) -> None:
        self.outcomes.append(outcome)


def plan_at(root: Path, data: StudyData, params: TuneParams = PARAMS, **options: Any) -> SweepPlan:
    return plan_sweep(data, params, Location.parse(str(root)), **options)


def sweep(plan: SweepPlan, data: StudyData, executor: Any = None, **options: Any) -> tuple[SweepRecord, Silent]:
    watch = Silent()
    return run_sweep(plan, data, SweepOrder(executor or SerialSweep(), watch, **options)), watch


def folder_of(plan: SweepPlan) -> Path:
    return Path(plan.location.root) / plan.key


#: The clock stands in them, or a pid of the killed.
_CHANGING = {"run.json", "configurations.parquet", "lock"}


def sweep_bytes(plan: SweepPlan) -> dict[str, Any]:
    """Journals without times, predictions and best files of a run; temporaries of the killed are passed over."""
    found: dict[str, Any] = {}
    folder = folder_of(plan)
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.name == "journal.jsonl":
            lines = [json.loads(line) for line in path.read_bytes().splitlines()]
            found[name] = [{k: v for k, v in line.items() if k not in {"seconds", "cpu_s"}} for line in lines]
        elif path.is_file() and not path.name.startswith(".") and path.name not in _CHANGING:
            found[name] = path.read_bytes()
    return found


def timeless(configs: Sequence[ConfigResult]) -> list[ConfigResult]:
    return [replace(one, seconds=0.0, cpu_s=0.0) for one in configs]


# --- fixtures: a module names those that it uses ------------------------------------------------


@pytest.fixture(scope="module")
def data() -> StudyData:
    return made_data(sessions=160)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, data: StudyData) -> tuple[SweepPlan, SweepRecord]:
    """A serial sweep, undisturbed; not to be changed."""
    plan = plan_at(tmp_path_factory.mktemp("whole"), data)
    return plan, sweep(plan, data)[0]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, data: StudyData) -> SweepPlan:
    """The same of one algorithm, for what starts processes."""
    plan = plan_at(tmp_path_factory.mktemp("small"), data, SMALL)
    sweep(plan, data)
    return plan
