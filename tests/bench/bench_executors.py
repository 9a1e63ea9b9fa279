"""What it costs to hand out jobs: tasks of Ray, and Ray Data, beside the process pool; start-up apart.

60 jobs of one second on 2 CPUs; must: at most 1.10 times the process pool. The jobs sleep, so that neither a busy
machine nor the speed of its cores is measured; what is left is how long a free worker waits for its next job.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Sequence

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from raypipe.lake.location import Location
from raypipe.pipeline.executor import Executor, Process
from raypipe.pipeline.job import Job, Outcome, Target

JOBS, SECONDS, WORKERS, MUST = 60, 1.0, 2, 1.10
pytestmark = pytest.mark.bench


def sleep_for_a_job(text: str) -> str:
    """A job of `SECONDS`; says which process ran it."""
    time.sleep(SECONDS)
    targets = Job.from_json(text).targets
    said = [Outcome(t.stage, t.table, t.partition, "built", reason=str(os.getpid())) for t in targets]
    return json.dumps([outcome.to_dict() for outcome in said])


def jobs(count: int) -> list[Job]:
    targets = (Target("sleep", "silver/sleep", str(i), "0" * 32, "missing") for i in range(count))
    return [Job(Location("/nowhere"), (target,), {}, {}, cost=SECONDS) for target in targets]


def run(executor: Executor, work: Sequence[Job]) -> float:
    """Wall seconds until the last outcome."""
    start = time.perf_counter()
    outcomes = [outcome for found in executor.run(work, threading.Event()) for outcome in found]
    assert len(outcomes) == len(work)
    return time.perf_counter() - start


def warm(executor: Executor) -> None:
    """Let every worker start and import what it needs."""
    run(executor, jobs(2 * WORKERS))


@pytest.mark.ray
@pytest.mark.timeout(400)
@pytest.mark.parametrize("fan_out", [JOBS + 1, 1], ids=["tasks", "Ray Data"])
def bench_ray_beside_the_process_pool(benchmark: BenchmarkFixture, fan_out: int) -> None:
    from tasks.runtime import RayExecutor

    work = jobs(JOBS)
    with Process(WORKERS, task=sleep_for_a_job) as process:
        warm(process)
        baseline = run(process, work)
    with RayExecutor("local", WORKERS, task=sleep_for_a_job, fan_out=fan_out) as ray:
        warm(ray)
        found = benchmark.pedantic(run, (ray, work), rounds=1)
    ideal = JOBS * SECONDS / WORKERS
    benchmark.extra_info |= {
        "ms per job beyond its second": round((found - ideal) / JOBS * WORKERS * 1000),
        "process pool s": round(baseline, 2),
        "ratio": round(found / baseline, 3),
        "must": MUST,
    }
    assert found / baseline <= MUST
