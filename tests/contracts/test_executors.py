"""Serial, Process and Ray under one contract."""

from __future__ import annotations

import pytest

from raypipe.pipeline.executor import Process, Serial
from tests.contracts.executor import DeterminismContract, WorkerContract
from tests.contracts.probe import run_probe


class TestSerial(DeterminismContract):
    worker_counts = (1,)

    @classmethod
    def make(cls, workers: int) -> Serial:
        return Serial(task=run_probe)


class TestProcess(DeterminismContract, WorkerContract):
    @classmethod
    def make(cls, workers: int) -> Process:
        return Process(workers, task=run_probe)


@pytest.mark.ray
class TestRay(DeterminismContract, WorkerContract):
    @classmethod
    def make(cls, workers: int):
        from tasks.runtime import RayExecutor

        return RayExecutor("local", workers, task=run_probe)
