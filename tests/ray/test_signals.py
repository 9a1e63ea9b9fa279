"""Signals as a Ray job, by processes and in one process: the same bytes."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import pytest

from tests.ray.head import Head
from tests.signal_lake import BUILT, write_bronze

pytestmark = [pytest.mark.ray, pytest.mark.slow]


def gold(root: Path) -> dict[str, str]:
    """SHA-256 of every partition of silver and gold."""
    files = [path for tier in ("silver", "gold") for path in sorted((root / tier).rglob("*.parquet"))]
    return {path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_one_process_several_and_a_ray_job_leave_the_same_bytes(head: Head, tmp_path: Path):
    write_bronze(tmp_path / "serial")
    for name in ("process", "ray"):
        shutil.copytree(tmp_path / "serial", tmp_path / name, copy_function=os.link)
    for name in ("serial", "process"):
        done = head.run("raypipe", "signals", "--root", str(tmp_path / name), "--set", f"run.executor={name}")
        assert done.returncode == 0, done.stderr
    job = ("python", "-m", "tasks.signals", "--root", str(tmp_path / "ray"), "--start-date", BUILT[0])
    done = head.run("raypipe", "submit", "--address", head.dashboard, "--working-dir", ".", "--", *job)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "sessions: 3 done, 0 current, 0 failed" in done.stdout
    found = {name: gold(tmp_path / name) for name in ("serial", "process", "ray")}
    assert len([key for key in found["serial"] if key.startswith("gold/signals/")]) == len(BUILT)
    assert found["ray"] == found["process"] == found["serial"]
