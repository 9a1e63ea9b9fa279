"""Ctrl-C, Ctrl-C again, SIGTERM, SIGKILL: how a run ends, and that retry finishes the rest."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Iterator

import pytest

from raypipe.cli.interrupts import graceful, terminable
from raypipe.pipeline.progress import LineProgress
from tests.cli.conftest import DAY_STEPS, day_tables, start

#: A job that never ends, in the tenth commit.
HANG = {"RAYPIPE_FAULT": "before_tmp:hang,n=10"}


@contextlib.contextmanager
def hanging(lake, executor: str) -> Iterator[subprocess.Popen[str]]:
    """A run that has begun and will never end by itself."""
    process = start("run", "--root", lake, "--executor", executor, "--workers", "2", *DAY_STEPS, env=HANG)
    try:
        line = process.stderr.readline()
        assert line.startswith("building "), line + process.stderr.read()
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.fixture
def finish(raypipe, built):
    """Retries, and compares with an undisturbed lake."""

    def retry(lake) -> None:
        assert raypipe("retry", "--root", lake, "--executor", "serial").code == 0
        assert day_tables(lake) == day_tables(built)

    return retry


@pytest.fixture
def raw(built, lake):
    """A lake with every raw file of `built`."""
    import shutil

    shutil.copytree(built / "raw" / "reference", lake / "raw" / "reference")
    return lake


def test_the_first_ctrl_c_finishes_what_is_in_flight(raypipe, raw, finish, monkeypatch):
    """Sent to this very process when the first job has ended."""
    sent: list[int] = []

    def progress(self, progress) -> None:
        if not sent:
            sent.append(1)
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(LineProgress, "progress", progress)
    result = raypipe("run", "--root", raw, "--executor", "serial", "--json", *DAY_STEPS)
    assert result.code == 130
    assert result.json["status"] == "stopped"
    assert {failure["status"] for failure in result.json["failures"]} == {"cancelled", "blocked"}
    assert sum(table["built"] for table in result.json["tables"].values()) > 0
    assert "stopping: what is in flight is finished first" in result.err
    assert "hint: resume with: raypipe retry" in result.err
    finish(raw)


@pytest.mark.parametrize("executor", ["serial", "process"])
def test_the_second_ctrl_c_ends_at_once(raw, finish, executor):
    """The terminal sends it to the whole group; workers do not outlive the driver."""
    with hanging(raw, executor) as process:
        os.killpg(process.pid, signal.SIGINT)
        assert "stopping" in process.stderr.readline()
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 130
        assert err == "interrupted; resume with: raypipe retry\n"
        _wait_for_end_of_group(process.pid)
    finish(raw)


@pytest.mark.parametrize("executor", ["serial", "process"])
def test_sigterm_ends_at_once(raw, finish, executor):
    with hanging(raw, executor) as process:
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 143
        assert err == "terminated; resume with: raypipe retry\n"
        _wait_for_end_of_group(process.pid)
    finish(raw)


def test_a_killed_driver_is_retried(raw, finish):
    with hanging(raw, "process") as process:
        process.kill()
        process.communicate(timeout=60)
        _wait_for_end_of_group(process.pid)
    finish(raw)


def test_ctrl_c_outside_of_runs(raypipe, monkeypatch):
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("raypipe.pipeline.views.describe_tables", interrupt)
    result = raypipe("tables")
    assert (result.code, result.out) == (130, "")


def test_handlers_are_put_back_and_left_alone_in_threads():
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with graceful() as stop, terminable():
        assert signal.getsignal(signal.SIGINT) is not before[0]
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.is_set()
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before

    found = []

    def elsewhere() -> None:
        with graceful() as stop, terminable():
            found.append((stop.is_set(), signal.getsignal(signal.SIGINT)))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert found == [(False, before[0])]


def _wait_for_end_of_group(group: int) -> None:
    """Until no process of it is left; the test's own timeout ends a wait without an end."""
    while True:
        try:
            os.killpg(group, 0)
        except (ProcessLookupError, PermissionError):
            return
        with contextlib.suppress(ChildProcessError):
            os.waitpid(-group, os.WNOHANG)
