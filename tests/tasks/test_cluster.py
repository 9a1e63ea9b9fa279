"""Which cluster is used: always the one that was named, and never one that merely happens to run."""

from __future__ import annotations

import json
import signal
import socket
import sys
from pathlib import Path

import pytest

from raypipe.errors import ClusterError, UsageError
from raypipe.pipeline.executor import THREAD_CAPS
from tasks import cluster
from tasks.cluster import Cluster, connect, default_address


def enter(address: str) -> None:
    with connect(address):
        pytest.fail("something was joined or started")


def test_auto_is_the_cluster_of_the_job_and_no_other(monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert default_address() == "local"
    with pytest.raises(ClusterError, match="RAY_ADDRESS is not set") as caught:
        enter("auto")
    assert caught.value.exit_code == 5
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{nobody.getsockname()[1]}")
        assert default_address() == "auto"
        with pytest.raises(ClusterError, match="no Ray cluster answers") as caught:
            enter("auto")
    assert "--executor process" in caught.value.hint


@pytest.mark.parametrize("address", ["ray://127.0.0.1:10001", "somewhere", "host:", "http://127.0.0.1:8265", "", "h:p"])
def test_what_is_no_address_is_refused(address):
    with pytest.raises(UsageError, match="no address of a Ray cluster"):
        enter(address)


def test_a_refusal_does_not_import_ray_in_vain(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ClusterError):
        enter("127.0.0.1:1")


def test_workers_get_thread_caps_unless_the_job_has_its_own(monkeypatch):
    monkeypatch.delenv("RAY_JOB_CONFIG_JSON_ENV_VAR", raising=False)
    assert cluster._worker_variables() == THREAD_CAPS
    job = {"runtime_env": {"env_vars": {"OMP_NUM_THREADS": "4"}, "working_dir": "."}, "metadata": {}}
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", json.dumps(job))
    assert "OMP_NUM_THREADS" not in cluster._worker_variables(), "Ray refuses a variable that the job has set"
    assert cluster._worker_variables()["NUMBA_NUM_THREADS"] == "1"
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", json.dumps({"runtime_env": None}))
    assert cluster._worker_variables() == THREAD_CAPS


def test_the_callers_sigterm_handler_survives():
    def mine(*_: object) -> None:
        pass

    before = signal.signal(signal.SIGTERM, mine)
    try:
        with cluster._caller_keeps_sigterm():
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        assert signal.getsignal(signal.SIGTERM) is mine
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize("base", ["/tmp", "/a/very/long/temporary/folder/of/somebody/else"])
def test_rays_folder_is_private_short_and_removed(monkeypatch, tmp_path, base):
    monkeypatch.setattr("tempfile.tempdir", base)
    with cluster._private_folder() as folder:
        kept = Path(folder)
        assert len(folder) < 44, "Ray appends 64 characters, and a socket's path may have 107"
        assert kept.stat().st_mode & 0o077 == 0
        (kept / "spilled").mkdir()
    assert not kept.exists()


def test_a_cluster_says_what_it_is():
    assert str(Cluster("local", 1, 2)) == "a Ray of its own on this machine: 1 node, 2 CPUs"
    assert str(Cluster("10.0.0.1:6379", 3, 48)) == "the Ray cluster at 10.0.0.1:6379: 3 nodes, 48 CPUs"
