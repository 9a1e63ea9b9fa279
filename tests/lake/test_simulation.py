"""Any sequence of writes, faults, kills, sweeps and reads: a model of two sets says what may be seen."""

from __future__ import annotations

import shutil
import signal

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from raypipe.errors import StorageError
from raypipe.lake import faults
from raypipe.lake.gc import gc
from raypipe.lake.verify import verify
from tests.lake.crash import version_bars, write_version
from tests.lake.samples import BARS, local_lake, plain

DAYS = ["2025-01-02", "2025-01-03"]
POINTS = ["before_tmp", "mid_tmp", "after_fsync", "before_rename", "after_rename", "before_receipt"]
days, versions, points = st.sampled_from(DAYS), st.integers(0, 3), st.sampled_from(POINTS)


class LakeMachine(RuleBasedStateMachine):
    """For each partition the versions that a reader may see; None means none at all."""

    folder = None
    writers = None

    def __init__(self):
        super().__init__()
        shutil.rmtree(self.folder, ignore_errors=True)
        self.lake = local_lake(self.folder)
        self.allowed = {day: {None} for day in DAYS}

    @rule(day=days, version=versions)
    def write(self, day, version):
        write_version(self.lake, day, version)
        self.allowed[day] = {version}

    @rule(day=days, version=versions, point=points, action=st.sampled_from(["oserror", "enospc"]))
    def fail(self, day, version, point, action):
        faults.arm(f"{point}:{action}")
        with pytest.raises(StorageError):
            write_version(self.lake, day, version)
        faults.arm(None)
        self.allowed[day] |= {version}

    @rule(day=days, version=versions, point=points)
    def kill(self, day, version, point):
        assert self.writers.run(self.lake, [day], [version], fault=f"{point}:kill") == -signal.SIGKILL
        self.allowed[day] |= {version}

    @rule()
    def race(self):
        for order in (DAYS, DAYS[::-1]):
            self.writers.start(self.lake, order, [1])
        assert self.writers.wait() == [0, 0]
        self.allowed = {day: {1} for day in DAYS}

    @rule()
    def sweep(self):
        gc(self.lake, grace_seconds=0, dry_run=False, now_ns=1 << 62)
        assert self.lake.store.leftovers(1 << 62) == []

    @rule()
    def check(self):
        assert list(verify(self.lake, BARS)) == []

    @invariant()
    def readers_see_whole_versions(self):
        for day in DAYS:
            stated = self.lake.manifest(BARS, day)
            version = None if stated is None else int(stated.fingerprint)
            assert version in self.allowed[day]
            assert (day in self.lake.partitions(BARS)) == (version is not None)
            if version is not None:
                assert plain(self.lake.read(BARS, day)).equals(plain(version_bars(day, version)))
            self.allowed[day] = {version}

    def teardown(self):
        faults.arm(None)


def test_any_sequence(writers, tmp_path):
    class Machine(LakeMachine):
        pass

    Machine.writers, Machine.folder = writers, tmp_path / "lake"
    run_state_machine_as_test(Machine, settings=settings(max_examples=15, stateful_step_count=12, deadline=None))
