"""Sweeps on Ray Tune: the same bytes as in one process, whatever dies on the way."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest

from raypipe.training.study import StudyJob
from raypipe.training.study_data import StudyData
from raypipe.training.sweep import SweepOrder, run_sweep
from raypipe.training.sweep_plan import SweepPlan
from tests.training.studies import made_data
from tests.training.sweeps import PARAMS, SMALL, Silent, plan_at, sweep, sweep_bytes
from tests.training.windowed import arrays, made

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module")
def data() -> StudyData:
    return made_data(sessions=160)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, data: StudyData) -> SweepPlan:
    """A sweep of one process; not to be changed."""
    plan = plan_at(tmp_path_factory.mktemp("whole"), data, PARAMS)
    sweep(plan, data)
    return plan


class Interfering(Silent):
    """Kills the worker of one study in its middle, once."""

    killed = 0

    def running(self, job: StudyJob, done: int, best: float | None) -> None:
        super().running(job, done, best)
        if job.name == "logistic/AAA" and done == 1 and not self.killed:
            for pid in trials_of(os.getpid()):
                os.kill(pid, signal.SIGKILL)
                self.killed += 1


def trials_of(ancestor: int) -> list[int]:
    """Processes of trials of a Ray that a process started."""
    parents, trials = {}, []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            stat, command = (folder / "stat").read_text(), (folder / "cmdline").read_text()
        except OSError:
            continue
        parents[int(folder.name)] = int(stat.rpartition(")")[2].split()[1])
        if command.startswith("ray::") and "StudyTrial" in command:
            trials.append(int(folder.name))
    return [pid for pid in trials if ancestor in _line(pid, parents)]


def _line(pid: int, parents: dict[int, int]) -> list[int]:
    line = []
    while pid := parents.get(pid, 0):
        line.append(pid)
    return line


def test_ray_leaves_the_same_bytes_though_workers_are_killed(tmp_path, data, whole, capfd):
    from tuning.executor import RaySweep

    plan, watch, stop = plan_at(tmp_path, data, PARAMS), Interfering(), threading.Event()
    record = run_sweep(plan, data, SweepOrder(RaySweep("local", 2), watch, stop=stop))
    assert watch.killed
    assert not stop.is_set(), "nobody wanted it to end"
    assert (record.status, record.exit_code, record.executor) == ("done", 0, "ray")
    assert sweep_bytes(plan) == sweep_bytes(whole)
    order = [outcome.name for outcome in watch.outcomes]
    for name in ("logistic", "lightgbm"):
        assert order.index(f"{name}/_pooled") == min(i for i, each in enumerate(order) if each.startswith(name))
    assert capfd.readouterr().out == ""


def test_a_stopped_sweep_on_ray_goes_on_elsewhere(tmp_path, data, whole):
    from tuning.executor import RaySweep

    plan, stop = plan_at(tmp_path, data, PARAMS), threading.Event()

    class Stopper(Silent):
        def running(self, job: StudyJob, done: int, best: float | None) -> None:
            stop.set()

    record = run_sweep(plan, data, SweepOrder(RaySweep("local", 2), Stopper(), stop=stop))
    assert (record.status, record.exit_code) == ("stopped", 130)
    record, watch = sweep(plan, data)
    assert record.exit_code == 0
    assert 0 < sum(one.asked for one in watch.outcomes) < 24
    assert sweep_bytes(plan) == sweep_bytes(whole)


def test_windows_of_indicators_are_made_of_shared_bars(tmp_path):
    from tuning.executor import RaySweep

    bars = arrays(*made(730))
    params = SMALL.model_copy(update={"windows": True, "n_configs": 2})
    here, there = (plan_at(tmp_path / name, bars, params, symbols=["CCC"]) for name in ("here", "there"))
    sweep(here, bars)
    record, _ = sweep(there, bars, RaySweep("local", 2))
    assert record.status == "done"
    assert sweep_bytes(there) == sweep_bytes(here)
