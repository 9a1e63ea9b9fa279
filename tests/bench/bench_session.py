"""All tables of equities: what a million minute rows cost, what a full market needs, and what a second core brings.

Run a quiet machine through it: the ratio compares wall clocks.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from raypipe.lake.location import Location
from raypipe.lake.store import Lake
from raypipe.pipeline.driver import execute
from raypipe.pipeline.executor import Executor, Serial
from raypipe.pipeline.plan import Request, make_plan
from raypipe.pipeline.stages import stages
from raypipe.schema.family import linked
from raypipe.sources.synthetic import SynthParams, write_market

pytestmark = pytest.mark.bench
ROUNDS = 3


def market(folder: Path, **params: int) -> tuple[Path, int]:
    """Raw files of a market, and how many minute rows they hold."""
    return folder, write_market(folder, SynthParams(**params)).minute_rows


@pytest.fixture(scope="module")
def sessions(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """20 sessions of 2,000 symbols: 5.1 M minute rows."""
    return market(tmp_path_factory.mktemp("sessions"), sessions=20, symbols=2_000, history=30)


def fresh_lake(raw: Path, folder: Path) -> Lake:
    """A lake that holds nothing but the raw files."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(raw / "us_stocks_sip", folder / "raw" / "us_stocks_sip", copy_function=os.link)
    return Lake(Location.parse(str(folder)))


def build(executor: Executor, raw: Path, folder: Path) -> tuple[float, float]:
    """Build every table of a fresh lake; returns seconds by the clock and CPU seconds of this process."""
    lake, params = fresh_lake(raw, folder), linked({stage.name: stage.params() for stage in stages()})
    wall, cpu = time.perf_counter(), time.process_time()
    plan = make_plan(lake, params, Request(), workers=executor.workers)
    result = execute(plan, executor, stop=threading.Event())
    assert not result.failures, result.failures[0].error
    return time.perf_counter() - wall, time.process_time() - cpu


def bench_all_tables(benchmark: BenchmarkFixture, sessions: tuple[Path, int], tmp_path: Path) -> None:
    """From csv.gz to ml_dataset on one core; the daily tables are in it."""
    raw, rows = sessions
    build(Serial(), raw, tmp_path / "lake")
    costs: list[float] = []
    benchmark.pedantic(lambda: costs.append(build(Serial(), raw, tmp_path / "lake")[1]), rounds=ROUNDS)
    benchmark.extra_info["minute rows"] = f"{rows:,}"
    benchmark.extra_info["CPU seconds per million rows"] = round(sorted(costs)[ROUNDS // 2] / rows * 1e6, 3)


def bench_two_cores_through_ray(benchmark: BenchmarkFixture, sessions: tuple[Path, int], tmp_path: Path) -> None:
    """Speed of two cores through Ray against one, both warm, by turns."""
    from tasks.runtime import RayExecutor

    raw, _ = sessions
    alone: list[float] = []
    with RayExecutor("local", 2) as ray:
        for executor in (Serial(), ray):
            build(executor, raw, tmp_path / "lake")

        def both() -> float:
            alone.append(build(Serial(), raw, tmp_path / "lake")[0])
            return build(ray, raw, tmp_path / "lake")[0]

        together = [both() for _ in range(ROUNDS)]
    ratios = sorted(one / two for one, two in zip(alone, together, strict=True))
    benchmark.pedantic(lambda: None)
    benchmark.extra_info["one core, s"] = [round(seconds, 2) for seconds in alone]
    benchmark.extra_info["two cores through Ray, s"] = [round(seconds, 2) for seconds in together]
    benchmark.extra_info["times as fast"] = round(ratios[ROUNDS // 2], 2)


def bench_peak_memory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Peak memory of a process that builds all tables of a full market's session, start-up included."""
    raw, rows = market(tmp_path / "raw", sessions=1, symbols=11_000, activity=3, history=30)
    lake = fresh_lake(raw, tmp_path / "lake")
    command = [sys.executable, "-m", "raypipe", "--root", lake.location.root, "run", "--executor", "serial"]
    subprocess.run([*command, "--steps", "daily"], check=True, capture_output=True)
    subprocess.run([*command, "--set", "run.allow_holes=true"], check=True, capture_output=True)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    with capsys.disabled():
        sys.stdout.write(f"\npeak memory, all tables of {rows:,} minute rows: {peak:,.0f} MB (must: 600)\n")
    assert peak < 600
