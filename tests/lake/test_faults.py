"""Faults on purpose: the grammar, and that nothing happens unless asked."""

from __future__ import annotations

import errno
import subprocess
import sys

import pytest

from raypipe.errors import UsageError
from raypipe.lake import faults


@pytest.fixture(autouse=True)
def disarmed():
    yield
    faults.arm(None)


def test_unarmed_does_nothing():
    for point in faults.POINTS:
        faults.fault(point)


def test_actions():
    faults.arm("mid_tmp:oserror;after_fsync:enospc;before_tmp:raise")
    with pytest.raises(OSError, match="mid_tmp") as caught:
        faults.fault("mid_tmp")
    assert caught.value.errno == errno.EIO
    with pytest.raises(OSError, match="after_fsync") as caught:
        faults.fault("after_fsync")
    assert caught.value.errno == errno.ENOSPC
    with pytest.raises(RuntimeError, match="before_tmp"):
        faults.fault("before_tmp")
    faults.fault("after_upload")


def test_nth_hit_only():
    faults.arm("mid_tmp:raise,n=3")
    hits = []
    for i in range(1, 6):
        try:
            faults.fault("mid_tmp")
        except RuntimeError:
            hits.append(i)
    assert hits == [3]


def test_chance_is_seeded():
    def hits() -> list[bool]:
        faults.arm("mid_tmp:raise, p=.5, seed=1")
        return [_raises() for _ in range(50)]

    first = hits()
    assert first == hits()
    assert 0 < sum(first) < 50


def _raises() -> bool:
    try:
        faults.fault("mid_tmp")
    except RuntimeError:
        return True
    return False


@pytest.mark.parametrize(
    "text", ["x", "mid_tmp", "mid_tmp:burn", "nowhere:kill", "mid_tmp:kill,p=x", "mid_tmp:kill,z=1", "mid_tmp:kill,p"]
)
def test_unknown_parts_are_refused(text):
    with pytest.raises(UsageError, match="points:"):
        faults.arm(text)


def test_the_environment_arms_a_process_and_kill_kills_it():
    code = "from raypipe.lake.faults import fault; fault('mid_tmp'); print('alive', flush=True); fault('after_fsync')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"RAYPIPE_FAULT": "after_fsync:kill"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (-9, "alive\n"), done.stderr
