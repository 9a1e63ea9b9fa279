"""How jobs share memory, and the ledger that counts their starts. What needs Ray is in tests/ray and the contract."""

from __future__ import annotations

from raypipe.lake.location import Location
from raypipe.pipeline.job import Job
from tasks.cluster import Node
from tasks.dispatch import memory_classes, memory_to_ask
from tasks.worker import Ledger

GIB = 1 << 30
NODES = [Node("a", "10.0.0.1", cpus=4, memory=16 * GIB), Node("b", "10.0.0.2", cpus=16, memory=32 * GIB)]


def job(memory: int) -> Job:
    return Job(Location("/lake"), targets=(), params={}, inputs={}, memory=memory)


def test_jobs_that_need_more_than_a_cpus_share_are_apart():
    jobs = {"small": job(GIB), "just": job(2 * GIB), "large": job(2 * GIB + 1), "huge": job(99 * GIB)}
    heavy, light = memory_classes(jobs, NODES)
    assert (list(heavy.jobs), heavy.ask, heavy.heavy) == (["large", "huge"], 32 * GIB, True)
    assert (list(light.jobs), light.ask, light.heavy) == (["small", "just"], 2 * GIB, False), "in the order given"
    assert [list(one.jobs) for one in memory_classes({"small": job(GIB)}, NODES)] == [["small"]]


def test_a_cluster_without_nodes_yet_is_asked_for_what_the_jobs_need():
    jobs = {"small": job(GIB), "huge": job(99 * GIB)}
    assert [one.jobs for one in memory_classes(jobs, [])] == [jobs]
    assert memory_to_ask(jobs.values(), []) == 99 * GIB


def test_nobody_asks_for_more_than_the_largest_node_has():
    assert memory_to_ask([job(GIB), job(3 * GIB)], NODES) == 3 * GIB
    assert memory_to_ask([job(99 * GIB)], NODES) == 32 * GIB
    assert memory_to_ask([job(0)], NODES) is None


def test_the_ledger_ends_what_never_ends():
    ledger = Ledger()
    assert [ledger.start("1/7", 2) for _ in range(4)] == ["run", "run", "given up", "given up"]
    assert ledger.start("1/8", 2) == "run"


def test_a_stop_is_for_one_pass():
    ledger = Ledger()
    ledger.start("1/0", 2)
    ledger.start("10/0", 2)
    assert ledger.stop("1") == ["1/0"]
    assert ledger.start("1/1", 2) == "stopped"
    assert ledger.start("10/1", 2) == "run"
