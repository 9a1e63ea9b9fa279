"""A cluster of several nodes: it grows from nothing, one node sees another disk, workers and nodes die."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from raypipe.errors import UsageError
from raypipe.pipeline.executor import Serial
from raypipe.pipeline.job import Job, Outcome
from tasks.runtime import RayExecutor
from tests.contracts.probe import lake_files, probe_jobs, run_probe, sessions, started, starts

pytestmark = pytest.mark.ray

#: A frozen node counts as dead after about three seconds.
HASTY = {
    "health_check_initial_delay_ms": 1000,
    "health_check_period_ms": 500,
    "health_check_timeout_ms": 500,
    "health_check_failure_threshold": 4,
}
SECONDS = 120


@pytest.fixture(scope="module")
def cluster() -> Iterator["ray.cluster_utils.Cluster"]:  # noqa: F821, UP037
    """A head without CPUs; nodes are added by the tests, in their order."""
    folder = tempfile.mkdtemp(prefix="rc-", dir="/tmp")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_TMPDIR", folder)
        patch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        from ray.cluster_utils import Cluster

        args = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": 128 << 20, "_system_config": HASTY}
        running = Cluster(initialize_head=True, head_node_args=args)
        yield running
        running.shutdown()
    shutil.rmtree(folder, ignore_errors=True)


def add(cluster, **env: str):
    return cluster.add_node(num_cpus=1, object_store_memory=128 << 20, env_vars=env)


def blind(path: str) -> bool:
    """Whether a node sees a file; some are told that they do not."""
    return not os.environ.get("PROBE_BLIND") and Path(path).exists()


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def said(outcomes: list[Outcome]) -> dict[str, str]:
    """What became of each partition, with the reason of what was not built."""
    return {o.partition: o.error.message if o.error else o.status for o in outcomes}


def in_background(executor: RayExecutor, jobs: list[Job], seen: list[Outcome] | None = None) -> Future[list[Outcome]]:
    """Run jobs while the test does something else; ``seen`` gets the outcomes as they come."""
    outcomes = [] if seen is None else seen

    def work() -> list[Outcome]:
        for found in executor.run(jobs, threading.Event()):
            outcomes.extend(found)
        return outcomes

    return ThreadPoolExecutor(1).submit(work)


def test_work_waits_for_a_cluster_that_has_no_workers_yet(cluster, tmp_path):
    lake, notes, days = tmp_path / "lake", tmp_path / "notes", sessions(3)
    with RayExecutor(cluster.address, task=run_probe) as executor:
        assert executor.cluster.cpus == 0
        running = in_background(executor, probe_jobs(lake, days, notes))
        add(cluster)
        outcomes = running.result(SECONDS)
    assert said(outcomes) == dict.fromkeys(days, "built")
    assert not list(lake.glob(".probe*")), "the probe is taken away"


def test_a_local_lake_that_a_node_cannot_see_is_refused_before_any_work(cluster, tmp_path):
    node = add(cluster, PROBE_BLIND="1")
    jobs = probe_jobs(tmp_path / "lake", sessions(4), tmp_path / "notes")
    with RayExecutor(cluster.address, task=run_probe, sees=blind) as executor:
        assert executor.cluster.nodes == 3
        with pytest.raises(UsageError, match="cannot see") as caught:
            list(executor.run(jobs, threading.Event()))
    cluster.remove_node(node)
    assert caught.value.exit_code == 2
    assert starts(tmp_path / "notes") == []
    assert lake_files(tmp_path / "lake") == {}


def test_deaths_and_a_frozen_node_leave_the_lake_as_it_would_have_been(cluster, tmp_path):
    lake, notes, days = tmp_path / "lake", tmp_path / "notes", sessions(9)
    nodes = {raylet_of(node): node for node in (*cluster.worker_nodes, add(cluster), add(cluster))}
    with RayExecutor(cluster.address, task=run_probe) as executor:
        assert executor.workers == 3
        running = in_background(executor, probe_jobs(lake, days, notes, dict.fromkeys(days[:3], "wait")))
        eventually(lambda: len(starts(notes)) >= 3)
        # Last the one on the driver's own node, if it has a job: without that node the driver would be lost as well.
        third, second, first = sorted(
            (pid for _, pid in started(notes)[:3]), key=lambda pid: is_home(nodes[parent(pid)])
        )
        os.kill(first, signal.SIGKILL)
        cluster.remove_node(nodes[parent(second)], allow_graceful=False)
        frozen, zombie = parent(third), {pid: day for day, pid in started(notes)}[third]
        os.kill(frozen, signal.SIGSTOP)
        eventually(lambda: nodes_alive() == 2)
        (notes / "go").touch()
        eventually(lambda: any(zombie in name for name in lake_files(lake)))  # what is written by the dead
        os.kill(frozen, signal.SIGKILL)
        outcomes = running.result(SECONDS)
    assert said(outcomes) == dict.fromkeys(days, "built")
    assert len(starts(notes)) > len(days), "what died was started again"
    with Serial(task=run_probe) as undisturbed:
        list(undisturbed.run(probe_jobs(tmp_path / "plain", days, tmp_path / "other"), threading.Event()))
    assert lake_files(lake) == lake_files(tmp_path / "plain")


def nodes_alive() -> int:
    import ray

    return sum(node["Alive"] for node in ray.nodes())


def is_home(node) -> bool:
    import ray

    return ray.get_runtime_context().get_node_id() == node.node_id


def raylet_of(node) -> int:
    return node.all_processes["raylet"][0].process.pid


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
