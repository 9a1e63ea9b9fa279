"""Sweeps: which studies, in which order, and what they leave."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.errors import UsageError
from raypipe.lake.location import Location
from raypipe.schema.modeling import TuneParams
from raypipe.training.journal import POOLED, read_study
from raypipe.training.study import StudyJob, StudyOutcome
from raypipe.training.study_data import StudyData
from raypipe.training.sweep import SweepOrder, run_sweep
from raypipe.training.sweep_plan import StudyQueue, plan_sweep
from raypipe.training.sweep_results import CONFIGURATIONS, read_sweep
from raypipe.training.sweep_run import SerialSweep
from tests.servers import S3Server
from tests.training import sweeps
from tests.training.studies import SYMBOLS, made_data, made_job
from tests.training.sweeps import PARAMS, SMALL, Silent, folder_of, plan_at, sweep

data, whole, small = sweeps.data, sweeps.whole, sweeps.small


# --- plans ---------------------------------------------------------------------------------------


def test_a_plan_has_a_study_for_every_algorithm_and_scope(tmp_path, data):
    plan = plan_at(tmp_path, data)
    assert len(plan.jobs) == 2 * (1 + len(SYMBOLS))
    assert [job.name for job in plan.jobs[:2]] == ["lightgbm/_pooled", "logistic/_pooled"]
    assert {job.pooled for job in plan.jobs[:2]} == {""}
    assert all(job.pooled == f"{plan.key}/studies/{job.algorithm}/_pooled" for job in plan.jobs[2:])
    costs = [job.algorithm for job in plan.jobs[2:]]
    assert costs == sorted(costs)


def test_the_run_has_the_name_of_what_it_does(tmp_path, data):
    def name(params: TuneParams = PARAMS, arrays: StudyData = data, **options: Any) -> str:
        return plan_at(tmp_path, arrays, params, **options).run_id

    assert name() == plan_at(tmp_path / "elsewhere", data).run_id
    assert len(name()) == 12
    same = {"threads": 4, "max_concurrent": 3, "algorithms": ("lgbm", "lr-safe")}
    for key, value in same.items():
        assert name(PARAMS.model_copy(update={key: value})) == name()
    other = {"seed": 8, "n_configs": 4, "prune": False, "early_stop": "none", "pooled": False, "per_symbol": False}
    other |= {"space": "wide", "algorithms": ("logistic",)}
    names = {name(PARAMS.model_copy(update={key: value})) for key, value in other.items()}
    names |= {name(symbols=["AAA"]), name(arrays=replace(data, sha256="0" * 64)), name()}
    assert len(names) == len(other) + 3


@pytest.mark.parametrize(
    ("params", "symbols", "message"),
    [
        ({"algorithms": ("xgb", "xgboost-wide")}, None, "stands twice"),
        ({"algorithms": ("xgbost",)}, None, "did you mean xgboost"),
        ({"algorithms": ("ols",)}, None, "cannot be fitted"),
        ({"pooled": False, "per_symbol": False}, None, "neither"),
        ({"windows": True}, None, "windows of indicators needs daily bars"),
        ({}, ["AAA", "ZZZ"], "ZZZ is not among"),
    ],
)
def test_plans_that_make_no_sense_are_refused(tmp_path, data, params, symbols, message):
    with pytest.raises(UsageError, match=message):
        plan_at(tmp_path, data, PARAMS.model_copy(update=params), symbols=symbols)


def test_a_symbol_without_rows_is_skipped_and_the_others_run(tmp_path, data):
    more = replace(
        data,
        symbols=(*data.symbols, "NEW"),
        columns={**data.columns, **{(k, "NEW"): np.arange(5) for k in range(1, 5)}},
    )
    plan = plan_at(tmp_path, more, SMALL)
    assert [(one.name, one.status) for one in plan.skipped] == [("logistic/NEW", "skipped")]
    record, _ = sweep(plan, more)
    assert (record.exit_code, record.status) == (1, "failed")
    assert sorted((one.scope, one.status) for one in record.studies) == [
        ("AAA", "done"),
        ("BRK.B", "done"),
        ("CCC", "done"),
        ("NEW", "skipped"),
        ("_pooled", "done"),
    ]


# --- the queue -----------------------------------------------------------------------------------


#: A plan without arrays.
JOBS = tuple(
    made_job(Path("/nowhere"), scope, name, pooled=scope != POOLED)
    for scope in (POOLED, *SYMBOLS)
    for name in ("lightgbm", "logistic")
)


@given(order=st.lists(st.integers(0, 20), min_size=60, max_size=60), over=st.tuples(st.booleans(), st.booleans()))
def test_no_study_of_a_symbol_starts_before_its_pooled_study_is_over(order, over):
    queue, flying, ended, handed, lost = StudyQueue(JOBS), [], set(), [], []
    states = dict(zip(("lightgbm", "logistic"), over, strict=True))
    for draw in [*order, *[1, 0] * 20]:
        job = queue.next() if draw % 3 else None
        if job is not None:
            assert not job.pooled or job.pooled in ended
            flying.append(job)
            handed.append(job.name)
        elif flying:
            job = flying.pop(draw % len(flying))
            good = states[job.algorithm]
            outcome = StudyOutcome(job.algorithm, job.scope, "done" if good else "failed", over=good)
            lost += queue.ended(job, outcome)
            ended.add(job.key)
    assert not len(queue)
    assert queue.next() is None
    assert sorted(handed + [one.name for one in lost]) == sorted(job.name for job in JOBS)
    assert len(lost) == 3 * (2 - sum(over))


# --- results -------------------------------------------------------------------------------------


def test_the_record_says_what_ran(whole, data):
    plan, record = whole
    assert read_sweep(plan.location, plan.run_id) == record
    assert record.hashes == {"data": data.sha256, "splits": "5" * 64, "rows": "d" * 64, "features": "f" * 64}
    assert record.algorithms == {"logistic": "safe", "lightgbm": "safe"}
    assert record.symbols == list(SYMBOLS)
    raw = json.loads((folder_of(plan) / "run.json").read_bytes())
    assert (raw["schema"], raw["kind"], raw["status"]) == (1, "sweep", "done")


@pytest.mark.parametrize("run_id", ["0123456789ab", "../x"])
def test_a_run_that_is_none_is_refused(whole, run_id):
    with pytest.raises(UsageError):
        read_sweep(whole[0].location, run_id)


def test_all_configurations_stand_in_one_table(whole):
    plan, _ = whole
    table = pq.read_table(folder_of(plan) / "configurations.parquet")
    assert table.schema.equals(CONFIGURATIONS)
    assert table.num_rows == 24
    for row in table.to_pylist():
        study = read_study(plan.location, f"{plan.key}/studies/{row['algorithm']}/{row['scope']}")
        one = study.configs[row["i"]]
        assert row["value"] == one.value
        assert tuple(row["fold_value"]) == one.fold_value
        assert tuple(row["fold_rounds"]) == one.fold_rounds
        assert json.loads(row["params_json"]) == one.params
        known = [value for value in one.fold_value if value is not None]
        assert row["value_se"] == pytest.approx(np.std(known, ddof=1) / len(known) ** 0.5)


def test_the_best_of_an_algorithm(whole):
    plan, _ = whole
    best = json.loads((folder_of(plan) / "best_lightgbm.json").read_bytes())
    assert set(best) == {
        "schema",
        "run_id",
        "algorithm",
        "space",
        "best_auc",
        "best_of_n_p",
        "hyperparameters",
        "rounds",
    }
    pooled = read_study(plan.location, f"{plan.key}/studies/lightgbm/_pooled").winner
    assert best["best_auc"] == pooled.value
    assert set(best["hyperparameters"]) == {POOLED, *SYMBOLS}
    assert best["hyperparameters"][POOLED] == pooled.params
    assert best["rounds"][POOLED] == round(float(np.median(pooled.fold_rounds)))
    assert 0 < best["best_of_n_p"] < 0.05  # there is something to find


def test_noise_is_called_noise(tmp_path):
    data = made_data(sessions=200, skill=0.0, seed=3)
    plan = plan_at(tmp_path, data, PARAMS.model_copy(update={"per_symbol": False}))
    sweep(plan, data)
    found = [json.loads(path.read_bytes())["best_of_n_p"] for path in folder_of(plan).glob("best_*.json")]
    assert len(found) == 2
    assert min(found) > 0.05


def test_on_s3_a_sweep_is_stopped_and_ends_the_same(s3_server: S3Server, tmp_path, data):
    there = Location.parse(f"s3://{s3_server.bucket()}/lake", endpoint_url=s3_server.endpoint_url)
    plan, here, stop = plan_sweep(data, SMALL, there), plan_at(tmp_path, data, SMALL), threading.Event()

    class Stopper(Silent):
        def running(self, job: StudyJob, done: int, best: float | None) -> None:
            if job.scope == "AAA":
                stop.set()

    run_sweep(plan, data, SweepOrder(SerialSweep(), Stopper(), stop=stop))
    assert sweep(plan, data)[0].exit_code == 0
    sweep(here, data)
    for one, other in zip(plan.jobs, here.jobs, strict=True):
        a, b = read_study(plan.location, one.key), read_study(here.location, other.key)
        assert [replace(c, seconds=0, cpu_s=0) for c in a.configs] == [
            replace(c, seconds=0, cpu_s=0) for c in b.configs
        ]
        np.testing.assert_array_equal(a.oof(2), b.oof(2))
    sweep(plan, data, fresh=True)
    keys = s3_server.client().list_objects_v2(Bucket=there.bucket)["Contents"]
    folders = {one["Key"].split("/")[2] for one in keys}
    assert folders == {plan.run_id, f"{plan.run_id}.old-1"}
