"""Ray under the contract of all executors."""

from __future__ import annotations

import pytest

from tests.contracts.executor import DeterminismContract, WorkerContract
from tests.contracts.probe import run_probe

pytestmark = pytest.mark.ray


class TestRay(DeterminismContract, WorkerContract):
    @classmethod
    def make(cls, workers: int):
        from tasks.runtime import RayExecutor

        return RayExecutor("local", workers, task=run_probe)
