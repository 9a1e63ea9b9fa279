"""Jobs that all go out through Ray Data, as only many at once do, keep the same promises as tasks."""

from __future__ import annotations

import pytest

from tests.contracts.executor import DeterminismContract, WorkerContract
from tests.contracts.probe import run_probe

pytestmark = [pytest.mark.ray, pytest.mark.slow]


class TestRayData(DeterminismContract, WorkerContract):
    @classmethod
    def make(cls, workers: int):
        from tasks.runtime import RayExecutor

        return RayExecutor("local", workers, task=run_probe, fan_out=1)
