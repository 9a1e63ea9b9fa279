"""CPU seconds of whole processes of the command line, beside a bare interpreter."""

from __future__ import annotations

import resource
import subprocess
import sys
from statistics import median

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

ROUNDS = 7


def cpu_seconds(*args: str) -> float:
    """User and system time of one process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *args], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.mark.bench
@pytest.mark.parametrize(
    "args",
    [
        pytest.param(("--help",), id="help"),
        pytest.param(("run", "--help"), id="run --help"),
        pytest.param(("completion", "bash"), id="completion"),
        pytest.param(("config", "show"), id="config show"),
    ],
)
def test_start(benchmark: BenchmarkFixture, args: tuple[str, ...]) -> None:
    """One invocation; the ratio is to an interpreter that does nothing."""
    command = ("-m", "raypipe", *args)
    cpu_seconds(*command)
    benchmark.pedantic(cpu_seconds, command, rounds=ROUNDS)
    spent, bare = (median(cpu_seconds(*each) for _ in range(ROUNDS)) for each in (command, ("-c", "pass")))
    benchmark.extra_info["cpu_ms"] = round(spent * 1e3)
    benchmark.extra_info["bare_interpreters"] = round(spent / bare, 1)
