"""Sweeps by processes, stopped, killed and gone on with: whoever runs them, they leave the same."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from raypipe.errors import DataQualityError, UsageError
from raypipe.training import sweep_run
from raypipe.training.journal import POOLED, read_study
from raypipe.training.study import StudyJob, StudyOutcome
from raypipe.training.study_data import StudyData
from raypipe.training.study_lock import locked
from raypipe.training.sweep import SweepOrder, run_sweep, sweep_exit_code, sweep_state
from raypipe.training.sweep_plan import SweepPlan
from raypipe.training.sweep_run import ProcessSweep, SerialSweep, scratch_of
from tests.training import sweeps
from tests.training.sweeps import PARAMS, ROOT, SMALL, Silent, folder_of, plan_at, sweep, sweep_bytes

data, whole, small = sweeps.data, sweeps.whole, sweeps.small


# --- the same by anybody -------------------------------------------------------------------------


@pytest.mark.parametrize(("workers", "params"), [(1, SMALL), (2, PARAMS)])
def test_processes_leave_the_same_bytes(tmp_path, data, whole, small, workers, params):
    plan = plan_at(tmp_path, data, params)
    record, watch = sweep(plan, data, ProcessSweep(workers))
    assert record.exit_code == 0
    assert sweep_bytes(plan) == sweep_bytes(small if params is SMALL else whole[0])
    assert {name for name, _ in watch.seen} <= {job.name for job in plan.jobs}
    assert record.studies[0].scope == POOLED
    for one in record.studies:
        source = read_study(plan.location, f"{plan.key}/studies/{one.name}").configs[0].source
        assert source == ("default" if one.scope == POOLED else "pooled_winner")


def test_a_worker_that_dies_is_replaced_and_its_study_goes_on(tmp_path, data, small, monkeypatch):
    """A study kills its worker once per configuration that it finds already done, twice in all."""
    plan = plan_at(tmp_path, data, SMALL)
    monkeypatch.setattr(sweep_run, "_work", die_at_first)
    monkeypatch.setenv("TEST_DEATHS", str(tmp_path / "deaths"))
    (tmp_path / "deaths").mkdir()
    record, _ = sweep(plan, data, ProcessSweep(2))
    assert record.exit_code == 0
    assert len(list((tmp_path / "deaths").iterdir())) == 2
    assert sweep_bytes(plan) == sweep_bytes(small)


def die_at_first(job: StudyJob) -> StudyOutcome:
    """Runs a study, but the first two starts of one of them are killed after a configuration."""
    deaths = Path(os.environ["TEST_DEATHS"])
    if job.name == "logistic/AAA" and len(list(deaths.iterdir())) < 2:

        def killed(one: Any) -> None:
            (deaths / str(one.i)).touch()
            os.kill(os.getpid(), signal.SIGKILL)

        return sweep_run.attempt_study(job, StudyData.load(Path(job.scratch)), watch=killed)
    return sweep_run.attempt_study(job, StudyData.load(Path(job.scratch)))


def test_a_study_that_keeps_killing_its_worker_is_given_up(tmp_path, data, monkeypatch):
    plan = plan_at(tmp_path, data, SMALL)
    monkeypatch.setattr(sweep_run, "_work", die_always)
    record, _ = sweep(plan, data, ProcessSweep(2))
    states = {one.scope: one for one in record.studies}
    assert {scope: one.status for scope, one in states.items()} == {
        POOLED: "done",
        "AAA": "done",
        "BRK.B": "failed",
        "CCC": "done",
    }
    assert "its worker died 3 times" in states["BRK.B"].reason
    assert record.exit_code == 1


def die_always(job: StudyJob) -> StudyOutcome:
    if job.scope == "BRK.B":
        os.kill(os.getpid(), signal.SIGKILL)
    return sweep_run.attempt_study(job, StudyData.load(Path(job.scratch)))


def test_without_their_pooled_study_those_of_symbols_do_not_run(tmp_path, data, monkeypatch):
    def broken(job: StudyJob, *args: Any, **options: Any) -> StudyOutcome:
        if job.scope == POOLED:
            raise MemoryError("no memory")
        return real(job, *args, **options)

    real = sweep_run.run_study
    monkeypatch.setattr(sweep_run, "run_study", broken)
    record, _ = sweep(plan_at(tmp_path, data, SMALL), data)
    assert [one.status for one in record.studies] == ["failed"] * 4
    assert "MemoryError" in record.studies[0].reason
    assert "did not come to its end" in record.studies[1].reason


def test_a_pooled_study_without_a_winner_does_not_hold_up_the_others(tmp_path, data):
    """Where no fold has two classes, every study comes to its end without a winner."""
    y = data.y.copy()
    for fold in data.folds:
        y[fold.test] = 1.0
    record, _ = sweep(plan_at(tmp_path, data), replace(data, y=y))
    assert {one.status for one in record.studies} == {"failed"}
    assert all(one.over for one in record.studies)
    assert record.exit_code == 1


# --- stopped, killed, gone on with ---------------------------------------------------------------


def test_a_stopped_sweep_goes_on(tmp_path, data, whole):
    plan, stop = plan_at(tmp_path, data), threading.Event()

    class Stopper(Silent):
        def running(self, job: StudyJob, done: int, best: float | None) -> None:
            if (job.name, done) == ("logistic/_pooled", 2):
                stop.set()

    record = run_sweep(plan, data, SweepOrder(SerialSweep(), Stopper(), stop=stop))
    assert (record.status, record.exit_code) == ("stopped", 130)
    assert sorted({one.status for one in record.studies}) == ["done", "stopped"]
    assert len(record.studies) == len(plan.jobs)
    record, watch = sweep(plan, data)
    assert record.exit_code == 0
    assert sum(one.asked for one in watch.outcomes) == 24 - 3 - 2
    assert sweep_bytes(plan) == sweep_bytes(whole[0])


def test_stopped_processes_end_after_the_configuration_in_flight(tmp_path, data, small):
    plan, stop = plan_at(tmp_path, data, SMALL), threading.Event()

    class Stopper(Silent):
        def ended(self, outcome: StudyOutcome) -> None:
            stop.set()

    record = run_sweep(plan, data, SweepOrder(ProcessSweep(2), Stopper(), stop=stop))
    assert record.exit_code == 130
    sweep(plan, data)
    assert sweep_bytes(plan) == sweep_bytes(small)


def test_a_finished_sweep_does_nothing_more(tmp_path, data, whole):
    plan, before = whole[0], sweep_bytes(whole[0])
    record, watch = sweep(plan, data)
    assert record == whole[1]
    assert sum(one.asked for one in watch.outcomes) == 0
    assert sweep_bytes(plan) == before
    assert set(sweep_state(plan, data)) == {job.name for job in plan.jobs}


DRIVER = """
import sys
from pathlib import Path
from raypipe.training.study_data import StudyData
from raypipe.training.sweep_run import ProcessSweep
from tests.training.sweeps import SMALL, plan_at, sweep
if __name__ == "__main__":
    data = StudyData.load(Path(sys.argv[2]))
    print("ready", flush=True)
    sweep(plan_at(Path(sys.argv[1]), data, SMALL), data, ProcessSweep(2))
"""

#: Forks one driver after the other and kills it at a random moment, 20 times, in as many runs as that takes.
KILLER = """
import os, random, sys, threading
from pathlib import Path
import optuna, sklearn.linear_model
from raypipe.training.study_data import StudyData
from tests.training.sweeps import SMALL, plan_at, sweep
data, draw, kills, run = StudyData.load(Path(sys.argv[2])), random.Random(3), 0, 0
while kills < 20:
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = sweep(plan_at(Path(sys.argv[1]) / str(run), data, SMALL), data)[0].exit_code
        finally:
            os._exit(code)
    threading.Event().wait(draw.uniform(0.0, 0.4))
    os.kill(child, 9)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, -9), code
    kills, run = kills + (code == -9), run + (code == 0)
"""


@pytest.fixture(scope="module")
def arrays(tmp_path_factory: pytest.TempPathFactory, data: StudyData) -> Path:
    """The data as files, for other processes; not to be changed."""
    folder = tmp_path_factory.mktemp("arrays")
    data.save(folder)
    return folder


@pytest.fixture
def start(tmp_path: Path, arrays: Path) -> Any:
    """Starts scripts that drive sweeps in other processes; what they leave is in the folder that they are given."""

    def started(text: str, root: Path, fault: str = "") -> subprocess.Popen:
        script = tmp_path.with_name(f"{tmp_path.name}.py")  # workers import it anew
        script.write_text(text)
        env = {**os.environ, "PYTHONPATH": ROOT, "RAYPIPE_FAULT": fault}
        command = [sys.executable, str(script), str(root), str(arrays)]
        return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True)

    return started


def drive(root: str, arrays: str) -> None:
    """A sweep of one process; whoever calls it dies at a fault."""
    data = StudyData.load(Path(arrays))
    sweep(plan_at(Path(root), data, SMALL), data)


def goes_on(root: Path, data: StudyData, small: SweepPlan) -> None:
    plan = plan_at(root, data, SMALL)
    record, _ = sweep(plan, data)
    assert record.exit_code == 0
    assert sweep_bytes(plan) == sweep_bytes(small)


@pytest.mark.parametrize(
    "fault",
    [
        "mid_row:kill,n=2",
        "after_row:kill,n=5",
        "mid_line:kill,n=1",
        "after_line:kill,n=15",
        "before_rename:kill,n=2",
    ],
)
def test_a_driver_killed_at_a_step_of_a_commit_loses_nothing(tmp_path, data, small, arrays, forks, fault):
    died = forks.run("tests.training.test_sweep_run:drive", tmp_path, arrays, fault=fault)
    assert died == -signal.SIGKILL
    goes_on(tmp_path, data, small)


def test_a_driver_of_processes_killed_at_a_commit_loses_nothing(tmp_path, data, small, start):
    with start(DRIVER, tmp_path, fault="before_rename:kill,n=3") as process:
        process.stdout.read()
    assert process.returncode == -signal.SIGKILL
    goes_on(tmp_path, data, small)


def test_drivers_killed_at_random_moments_lose_nothing(tmp_path, data, small, start):
    with start(KILLER, tmp_path) as process:
        process.stdout.read()
    assert process.returncode == 0
    for root in tmp_path.iterdir():
        goes_on(root, data, small)


@pytest.mark.slow
def test_workers_end_with_their_driver_and_another_goes_on(tmp_path, data, small, start):
    plan, path = plan_at(tmp_path, data, SMALL), tmp_path / "runs"
    with start(DRIVER, tmp_path) as process:
        assert process.stdout.readline() == "ready\n"
        while not list(path.glob("*/studies/*/*/journal.jsonl")):
            assert process.poll() is None
            threading.Event().wait(0.02)
        process.kill()
    record, _ = sweep(plan, data, ProcessSweep(2))
    assert record.exit_code == 0
    assert sweep_bytes(plan) == sweep_bytes(small)


def test_two_drivers_do_not_share_a_run(tmp_path, data):
    plan = plan_at(tmp_path, data)
    (tmp_path / "runs").mkdir()
    with locked(tmp_path / "runs" / f".{plan.run_id}.lock"), pytest.raises(UsageError, match=f"pid {os.getpid()}"):
        sweep(plan, data)
    assert not folder_of(plan).exists()


def test_fresh_moves_the_old_folder_aside(tmp_path, data, whole):
    params = PARAMS.model_copy(update={"algorithms": ("logistic",), "per_symbol": False})
    plan = plan_at(tmp_path, data, params)
    for _ in range(3):
        _, watch = sweep(plan, data, fresh=True)
        assert watch.outcomes[0].asked == 3
    names = sorted(path.name for path in (tmp_path / "runs").iterdir())
    assert names == [plan.run_id, f"{plan.run_id}.old-1", f"{plan.run_id}.old-2"]
    old = sweep_bytes(replace(plan, run_id=f"{plan.run_id}.old-1"))
    assert old == sweep_bytes(plan)


def test_an_edited_journal_stops_the_sweep_before_it_starts(tmp_path, data):
    plan = plan_at(tmp_path, data, SMALL)
    sweep(plan, data)
    path = folder_of(plan) / "studies" / "logistic" / "AAA" / "journal.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    lines[1] = lines[1].replace(b'"state":"complete"', b'"state":"pruned"')
    path.write_bytes(b"".join(lines))
    before = (folder_of(plan) / "run.json").read_bytes()
    with pytest.raises(DataQualityError, match="line 2"):
        sweep(plan, data)
    assert (folder_of(plan) / "run.json").read_bytes() == before


def test_a_journal_with_another_header_stops_the_sweep(tmp_path, data):
    plan = plan_at(tmp_path, data, SMALL)
    sweep(plan, data)
    with pytest.raises(UsageError) as caught:
        sweep(plan, replace(data, features_sha256="0" * 64))
    assert caught.value.values["field"] == "features_sha256"


@pytest.mark.parametrize(
    ("studies", "code"),
    [
        (["done", "done"], 0),
        (["done", "failed"], 1),
        (["done", "skipped"], 1),
        (["stopped", "failed"], 130),
        ([5, 5], 5),
        ([2, "done"], 2),
        ([2, "failed"], 1),
    ],
)
def test_exit_codes(studies, code):
    made = [
        StudyOutcome("a", str(i), "failed", exit_code=one) if isinstance(one, int) else StudyOutcome("a", str(i), one)
        for i, one in enumerate(studies)
    ]
    assert sweep_exit_code(made) == code


# --- scratch -------------------------------------------------------------------------------------


def test_scratch_is_private_and_gone_in_the_end(data):
    with scratch_of(data) as folder:
        assert folder.stat().st_mode & 0o077 == 0
        assert StudyData.load(folder).sha256 == data.sha256
    assert not folder.exists()


def test_scratch_of_a_killed_driver_is_swept(data, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    (tmp_path / f"raypipe-panel-{ended.pid}-abc").mkdir()
    (tmp_path / f"raypipe-panel-{os.getpid()}-abc").mkdir()
    with scratch_of(data) as folder:
        names = {path.name for path in tmp_path.iterdir()}
    assert names == {folder.name, f"raypipe-panel-{os.getpid()}-abc"}


def test_the_clock_is_of_the_last_start(whole):
    assert whole[1].started_ns < whole[1].finished_ns < time.time_ns()
