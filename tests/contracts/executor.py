"""What every executor promises. A subclass says how to make one; the promises are the same for all."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from raypipe.lake.location import Location
from raypipe.lake.store import Lake
from raypipe.pipeline.executor import THREAD_CAPS, Executor, Serial
from raypipe.pipeline.job import Job, Outcome
from tests.contracts.probe import PROBE, lake_files, probe_jobs, run_probe, sessions, starts


def run_all(executor: Executor, jobs: Sequence[Job], stop: threading.Event | None = None) -> dict[str, Outcome]:
    """The outcome of every partition; each is reported exactly once."""
    outcomes = [outcome for found in executor.run(jobs, stop or threading.Event()) for outcome in found]
    assert sorted(o.partition for o in outcomes) == sorted(t.partition for job in jobs for t in job.targets)
    return {outcome.partition: outcome for outcome in outcomes}


def in_turn(jobs: Sequence[Job], after: Sequence[int], ended: set[str]) -> Iterator[Job | None]:
    """Jobs of one partition each, every one when that of the job named in ``after`` (-1: none) is in ``ended``."""
    for job, other in zip(jobs, after, strict=True):
        while other >= 0 and jobs[other].targets[0].partition not in ended:
            yield None
        yield job


def statuses(outcomes: dict[str, Outcome]) -> dict[str, str]:
    return {partition: outcome.status for partition, outcome in outcomes.items()}


def expected(partitions: Sequence[str], **others: str) -> dict[str, str]:
    return dict.fromkeys(partitions, "built") | others


class Running:
    """The executor that runs at the moment. A process can be part of one Ray only, and starting one takes seconds."""

    def __init__(self, make: Callable[[int], contextlib.AbstractContextManager[Executor]]) -> None:
        self._make, self._exit, self._executor = make, contextlib.ExitStack(), None

    def __call__(self, workers: int) -> Executor:
        if self._executor is None or self._executor.workers != workers:
            self.close()
            self._executor = self._exit.enter_context(self._make(workers))
        return self._executor

    def close(self) -> None:
        self._exit.close()
        self._executor = None


class ExecutorContract:
    """Promises of every executor."""

    #: How many workers it can have, most first.
    worker_counts: tuple[int, ...] = (2, 1)

    @classmethod
    def make(cls, workers: int) -> contextlib.AbstractContextManager[Executor]:
        """An executor that runs `run_probe`, not yet started."""
        raise NotImplementedError

    @pytest.fixture(scope="class")
    @classmethod
    def start(cls) -> Iterator[Running]:
        running = Running(cls.make)
        yield running
        running.close()

    @pytest.fixture
    def executor(self, start: Running) -> Executor:
        return start(self.worker_counts[0])

    @pytest.fixture
    def lake(self, tmp_path: Path) -> Path:
        return tmp_path / "lake"

    @pytest.fixture
    def notes(self, tmp_path: Path) -> Path:
        return tmp_path / "notes"

    def test_each_partition_is_built_and_its_receipt_is_true(self, executor: Executor, lake: Path, notes: Path):
        days = sessions(7)
        outcomes = run_all(executor, probe_jobs(lake, days, notes, chunk=3))
        assert statuses(outcomes) == expected(days)
        files = lake_files(lake)
        assert files == {f"{PROBE.name}/date={day}.parquet": outcomes[day].sha256 for day in days}
        assert all(o.rows == 500 and o.seconds > 0 and o.peak_rss_bytes > 10 << 20 for o in outcomes.values())
        assert Lake(Location.parse(str(lake))).read(PROBE, days[0]).num_rows == 500

    def test_a_second_wave_runs_on_the_same_workers(self, executor: Executor, lake: Path, notes: Path):
        for days in (sessions(4)[:2], sessions(4)[2:]):
            assert statuses(run_all(executor, probe_jobs(lake, days, notes))) == expected(days)

    def test_a_job_may_wait_for_one_given_before(self, executor: Executor, lake: Path, notes: Path):
        days, ended = sessions(4), set[str]()
        jobs = probe_jobs(lake, days, notes, {days[1]: "raise"})
        for found in executor.run(in_turn(jobs, (-1, 0, 1, 2), ended), threading.Event()):
            ended |= {outcome.partition for outcome in found}
        assert sorted(ended) == starts(notes) == days

    def test_a_job_that_fails_leaves_the_others_alone(self, executor: Executor, lake: Path, notes: Path):
        days = sessions(6)
        acts = dict(zip(days, ("raise", "", "exit", "panic", "bad", ""), strict=True))
        outcomes = run_all(executor, probe_jobs(lake, days, notes, acts))
        bad = {day: "failed" for day, act in acts.items() if act}
        assert statuses(outcomes) == expected(days) | bad
        kinds = {acts[day]: (outcomes[day].error.kind, outcomes[day].error.exit_code) for day in bad}
        assert kinds == {
            "raise": ("RuntimeError", 1),
            "exit": ("SystemExit", 1),
            "panic": ("Panic", 1),
            "bad": ("SourceError", 1),
        }
        assert outcomes[days[4]].error.values == {"file": f"{days[4]}.csv.gz", "row": "17"}
        assert "planted bad row" in outcomes[days[4]].error.trace
        assert sorted(starts(notes)) == days, "nothing that fails by itself is tried again"
        assert sorted(lake_files(lake)) == [f"{PROBE.name}/date={day}.parquet" for day in days if not acts[day]]

    def test_a_bad_partition_fails_alone_in_its_chunk(self, executor: Executor, lake: Path, notes: Path):
        days = sessions(5)
        outcomes = run_all(executor, probe_jobs(lake, days, notes, {days[2]: "bad"}, chunk=5))
        assert statuses(outcomes) == expected(days, **{days[2]: "failed"})

    def test_a_stopped_run_starts_nothing(self, executor: Executor, lake: Path, notes: Path):
        stop = threading.Event()
        stop.set()
        outcomes = run_all(executor, probe_jobs(lake, sessions(4), notes), stop)
        assert set(statuses(outcomes).values()) == {"cancelled"}
        assert starts(notes) == []

    def test_a_stop_is_heeded_before_the_next_job(self, executor: Executor, lake: Path, notes: Path):
        days, stop = sessions(20), threading.Event()
        outcomes: list[Outcome] = []
        for found in executor.run(probe_jobs(lake, days, notes, dict.fromkeys(days[4:], "wait")), stop):
            outcomes += found
            if len(outcomes) == 4:
                stop.set()
            if found[0].status == "cancelled":
                (notes / "go").touch()
        assert sorted(o.partition for o in outcomes) == days
        built = {o.partition for o in outcomes if o.status == "built"}
        assert built == set(starts(notes)), "what was started was finished"
        # Jobs here end at once, so how many slip through before the stop is seen depends on the machine.
        assert len(built) < len(days)
        assert {o.status for o in outcomes} == {"built", "cancelled"}

    def test_a_job_larger_than_the_machine_runs(self, executor: Executor, lake: Path, notes: Path):
        days = sessions(4)
        jobs = probe_jobs(lake, days, notes)
        jobs[0] = dataclasses.replace(jobs[0], memory=1 << 50)
        jobs[1] = dataclasses.replace(jobs[1], memory=100 << 20)
        assert statuses(run_all(executor, jobs)) == expected(days)


class WorkerContract(ExecutorContract):
    """Promises of executors whose jobs run in processes of their own."""

    def test_a_worker_has_one_thread_per_pool(self, executor: Executor, lake: Path, notes: Path):
        (day,) = sessions(1)
        (outcome,) = run_all(executor, probe_jobs(lake, [day], notes, {day: "tell"})).values()
        assert outcome.error.values == THREAD_CAPS

    def test_a_job_that_kills_its_worker_once_is_built(self, executor: Executor, lake: Path, notes: Path):
        days = sessions(6)
        outcomes = run_all(executor, probe_jobs(lake, days, notes, {days[1]: "kill once"}))
        assert statuses(outcomes) == expected(days)
        assert starts(notes).count(days[1]) == 2

    def test_a_free_worker_takes_what_may_start(self, executor: Executor, lake: Path, notes: Path):
        """The first job ends when the third has, which waits for the second."""
        days, ended = sessions(3), set[str]()
        jobs = probe_jobs(lake, days, notes, {days[0]: "wait"})
        for found in executor.run(in_turn(jobs, (-1, -1, 1), ended), threading.Event()):
            ended |= {outcome.partition for outcome in found}
            if days[2] in ended:
                (notes / "go").touch()
        assert sorted(ended) == days

    def test_what_waits_for_a_killer_starts_when_that_is_given_up(self, executor: Executor, lake: Path, notes: Path):
        days, ended = sessions(3), set[str]()
        jobs = probe_jobs(lake, days, notes, {days[0]: "kill"})
        for found in executor.run(in_turn(jobs, (-1, 0, 1), ended), threading.Event()):
            ended |= {outcome.partition for outcome in found}
        assert sorted(ended) == days
        assert starts(notes).count(days[0]) == 3

    def test_a_job_that_always_kills_its_worker_is_given_up(self, executor: Executor, lake: Path, notes: Path):
        days = sessions(6)
        outcomes = run_all(executor, probe_jobs(lake, days, notes, {days[1]: "kill"}))
        assert statuses(outcomes) == expected(days, **{days[1]: "failed"})
        assert outcomes[days[1]].error.kind == "WorkerDied"
        assert starts(notes).count(days[1]) == 3

    def test_in_a_chunk_only_the_killer_is_given_up(self, executor: Executor, lake: Path, notes: Path):
        days = sessions(6)
        outcomes = run_all(executor, probe_jobs(lake, days, notes, {days[1]: "kill"}, chunk=3))
        assert statuses(outcomes) == expected(days, **{days[1]: "failed"})
        assert starts(notes).count(days[1]) == 3


class DeterminismContract(ExecutorContract):
    """Promises that need other numbers of workers; named first by a subclass, so that its tests come last."""

    def test_bytes_do_not_depend_on_order_workers_or_executor(self, tmp_path: Path, start: Running):
        days = sessions(9)
        with Serial(task=run_probe) as serial:
            run_all(serial, probe_jobs(tmp_path / "plain", days, tmp_path / "notes"))
        for workers in self.worker_counts:
            lake, notes = tmp_path / f"lake{workers}", tmp_path / f"notes{workers}"
            run_all(start(workers), probe_jobs(lake, days[::-1], notes, chunk=4))
            assert lake_files(lake) == lake_files(tmp_path / "plain")

    def test_jobs_start_in_the_order_given(self, start: Running, lake: Path, notes: Path):
        days = sessions(12)[::-1]
        run_all(start(1), probe_jobs(lake, days, notes))
        assert starts(notes) == days
