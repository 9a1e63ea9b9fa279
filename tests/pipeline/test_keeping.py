"""The record of a run that goes on: what stands in the lake whenever its driver dies."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from raypipe.config import Config, load_config
from raypipe.errors import StorageError
from raypipe.lake.store import Lake
from raypipe.pipeline import keeping
from raypipe.pipeline.driver import Progress
from raypipe.pipeline.job import Failure, Outcome
from raypipe.pipeline.keeping import EVERY_SECONDS, Keeper
from raypipe.pipeline.record import RunRecord, last_run, read_record
from raypipe.pipeline.session import Order, Wish, local_executor, plan_retry, run_plan, run_wish

RUN = "20250102T030405Z-1a2b3c"


@pytest.fixture
def lake(make_lake) -> Lake:
    return make_lake()


@pytest.fixture
def config(lake, tmp_path) -> Config:
    return load_config(env={}, folder=tmp_path, flags={"lake.root": lake.location.root, "run.executor": "serial"})


#: Runs the first steps of the lake, and is killed as a job begins whose number is given.
KILLED = """
import os, signal, sys
from pathlib import Path
from raypipe.config import load_config
from raypipe.pipeline import keeping
from raypipe.pipeline.executor import Serial
from raypipe.pipeline.session import Order, Wish, run_wish

keeping.EVERY_SECONDS = 0.0
class Killed(Serial):
    done = 0
    def run(self, jobs, stop):
        for outcomes in super().run(jobs, stop):
            Killed.done += 1
            if Killed.done == int(sys.argv[2]):
                os.kill(os.getpid(), signal.SIGKILL)
            yield outcomes

flags = {"lake.root": sys.argv[1], "run.executor": "serial"}
config = load_config(env={}, folder=Path(sys.argv[1]), flags=flags)
run_wish(config, Wish(steps=("symbols",)), Order("raypipe run", lambda *_: Killed()))
"""


def test_a_killed_run_has_left_its_memory_and_what_it_built(config, lake):
    command = [sys.executable, "-c", KILLED, lake.location.root, "2"]
    assert subprocess.run(command, check=False, timeout=120, env=dict(os.environ)).returncode == -signal.SIGKILL
    record = read_record(lake, last_run(lake))
    assert (record.status, record.exit_code, record.finished_ns) == ("running", None, None)
    columns, points = record.memory["columns"], record.memory["points"]
    assert len(points) == 2, "the start, and the job that ended"
    rows = [dict(zip(columns, point, strict=True)) for point in points]
    assert all(row["driver_bytes"] > 1 << 20 for row in rows)
    assert all(row["worker_bytes"] > 1 << 20 for row in rows[1:])
    assert rows[-1]["done"] == len(record.outcomes) > 0
    assert record.peak_rss_bytes >= max(row["driver_bytes"] for row in rows) // 2
    assert sum(stage["partitions"] for stage in record.stages) == len(record.outcomes)
    _, plan = plan_retry(config)
    assert run_plan(config, plan, Order("raypipe retry", local_executor)).exit_code == 0
    whole = run_wish(config, Wish(steps=("symbols",)), Order("raypipe run", local_executor))
    assert whole.outcomes == []


class Clock:
    """Moves when it is told to."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def kept(lake):
    clock = Clock()
    record = RunRecord(RUN, "raypipe run", "serial", 1, 1)
    return Keeper(lake, record, {}, clock), clock


def arrived(done: int, **changes) -> Progress:
    one = Outcome("symbols", "silver/symbol_types", f"2025-01-{done:02d}", "built", rows=1, rss_bytes=done << 20)
    return Progress(done, 9, (dataclasses.replace(one, **changes),))


def test_a_record_is_written_now_and_then(kept, lake):
    keeper, clock = kept
    keeper.begin()
    assert len(read_record(lake, RUN).memory["points"]) == 1
    for done, seconds in ((1, 0.0), (2, EVERY_SECONDS / 2), (3, EVERY_SECONDS / 2), (4, 1.0)):
        clock.now += seconds
        keeper.note(arrived(done))
        assert len(read_record(lake, RUN).outcomes) == (3 if done >= 3 else 0)
    keeper.end(0)
    found = read_record(lake, RUN)
    assert (found.status, len(found.outcomes), len(found.memory["points"])) == ("done", 4, 5)


def test_a_record_that_takes_long_to_write_is_written_seldom(kept, lake, monkeypatch):
    keeper, clock = kept

    def slow(*args):
        clock.now += 2.0
        return keeping_write(*args)

    keeping_write = keeping.write_record
    monkeypatch.setattr(keeping, "write_record", slow)
    keeper.begin()
    clock.now += 60.0
    keeper.note(arrived(1))
    assert read_record(lake, RUN).outcomes == []
    clock.now += 60.0
    keeper.note(arrived(2))
    assert len(read_record(lake, RUN).outcomes) == 2


def test_a_record_that_cannot_be_written_meanwhile_stops_no_job(kept, lake, monkeypatch):
    keeper, clock = kept
    keeper.begin()
    clock.now += EVERY_SECONDS

    def full(*_):
        msg = "no space"
        raise StorageError(msg)

    with monkeypatch.context() as patch:
        patch.setattr(keeping, "write_record", full)
        keeper.note(arrived(1))
        with pytest.raises(StorageError):
            keeper.end(0)
    keeper.note(arrived(2))
    assert len(read_record(lake, RUN).outcomes) == 2


def test_no_state_of_a_record_tells_a_secret(kept, lake):
    keeper, clock = kept
    keeper.begin()
    clock.now += EVERY_SECONDS
    failure = Failure("StorageError", "https://me:hunter22@host refuses", {"uri": "https://me:hunter22@host"})
    keeper.note(arrived(1, status="failed", error=failure))
    path = Path(lake.location.root) / "runs" / RUN / "run.json"
    assert "refuses" in path.read_text()
    assert "hunter22" not in path.read_text()
