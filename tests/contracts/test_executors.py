"""Serial and Process under one contract; Ray under the same: tests/ray/test_executor.py."""

from __future__ import annotations

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
