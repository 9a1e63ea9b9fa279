"""Ray as users run it: jobs on a head, their exit codes, what leaks and what listens."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.ray.conftest import FIRST, LAST
from tests.ray.head import ROOT, Head
from tests.ray.sockets import LOOPBACK, listening, tree

pytestmark = pytest.mark.ray

CANARY = "canary-7f3a9c1e5b"
RANGE = ("--start", FIRST.isoformat(), "--end", LAST.isoformat())


def backfill(lake: Path) -> list[str]:
    return ["python", "-m", "tasks.backfill", "--root", str(lake), *RANGE]


def partitions(lake: Path) -> dict[str, str]:
    """SHA-256 of every partition: all but the raw files and the records of runs."""
    files = [path for path in lake.rglob("*.parquet") if path.is_file()]
    return {path.relative_to(lake).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(files)}


def records(lake: Path) -> list[dict]:
    """The records of a lake's runs, oldest first."""
    return [json.loads(path.read_text()) for path in sorted(lake.glob("runs/*/run.json"))]


def jobs(head: Head) -> str:
    """What anybody who may see the dashboard can read of the jobs."""
    request = urllib.request.Request(
        f"{head.dashboard}/api/jobs/", headers={"Authorization": f"Bearer {head.env['RAY_AUTH_TOKEN']}"}
    )
    with urllib.request.urlopen(request, timeout=10) as reply:
        return reply.read().decode()


@pytest.fixture(scope="module")
def serial(market: Path, tmp_path_factory: pytest.TempPathFactory, head: Head) -> dict[str, str]:
    """The partitions that one process builds of the market."""
    lake = tmp_path_factory.mktemp("serial") / "lake"
    shutil.copytree(market / "us_stocks_sip", lake / "raw" / "us_stocks_sip", copy_function=os.link)
    done = head.run("raypipe", "run", "--executor", "serial", "--root", str(lake), *RANGE)
    assert done.returncode == 0, done.stderr
    return partitions(lake)


def test_jobs_build_what_one_process_builds_and_end_with_their_own_codes(head: Head, make_lake, serial):
    lake = make_lake("lake")
    file = next(lake.glob(f"raw/us_stocks_sip/minute_aggs_v1/*/*/{LAST}.csv.gz"))
    whole = file.read_bytes()
    file.unlink()  # it is a link to the market's
    file.write_bytes(whole[: len(whole) // 2])
    done = head.run("raypipe", "submit", "--address", head.dashboard, "--working-dir", ".", "--", *backfill(lake))
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"bronze/minute_aggs {LAST} failed" in done.stdout
    assert f"bronze/minute_aggs/date={LAST}.parquet" not in partitions(lake)
    file.write_bytes(whole)
    secrets = {"AWS_SECRET_ACCESS_KEY": CANARY, "RAYPIPE_VENDOR_SECRET_ACCESS_KEY": CANARY}
    submit = ("ray", "job", "submit", "--working-dir", ".", "--", *backfill(lake))
    done = head.run(*submit, RAY_API_SERVER_ADDRESS=head.dashboard, **secrets)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"the Ray cluster at {head.address}: 1 node, 2 CPUs" in done.stdout
    assert partitions(lake) == serial
    assert {name.split("/")[0] for name in serial} >= {"bronze", "silver"}
    first, second = records(lake)
    assert (second["executor"], second["workers"], second["status"]) == ("ray", 2, "done")
    built = {(o["table"], o["partition"]) for o in first["outcomes"] if o["status"] == "built"}
    assert not built & {(o["table"], o["partition"]) for o in second["outcomes"]}, "only what was left is built"
    seen = [jobs(head), done.stdout, done.stderr, *(path.read_text(errors="replace") for path in head.logs())]
    assert not any(CANARY in text for text in seen)


def test_a_job_brings_real_files_to_silver(head: Head, shared_data: Path, tmp_path: Path):
    lake, month = tmp_path / "lake", Path("us_stocks_sip", "day_aggs_v1", "2022", "01")
    shutil.copytree(shared_data / "polygon" / month, lake / "raw" / month)
    command = ["python", "-m", "tasks.backfill", "--root", str(lake), "--steps", "daily"]
    done = head.run("raypipe", "submit", "--address", head.dashboard, "--working-dir", ".", "--", *command)
    assert done.returncode == 0, done.stdout + done.stderr
    for file in sorted((lake / "raw" / month).glob("*.csv.gz")):
        lines = gzip.decompress(file.read_bytes()).count(b"\n") - 1
        name = f"date={file.name.removesuffix('.csv.gz')}.parquet"
        rows = {pq.read_metadata(lake / table / name).num_rows for table in ("bronze/day_aggs", "silver/daily")}
        assert rows == {lines}, name


def test_raypipe_submit_ends_with_the_drivers_own_code_or_refuses(head: Head):
    def submit(command: str, name: str, address: str = head.dashboard, **env: str):
        words = ("--address", address, "--submission-id", name, "--", "sh", "-c", f"echo said; {command}")
        return head.run("raypipe", "submit", *words, **env)

    wanted = {
        ("true", "good"): 0,
        ("exit 7", "bad"): 7,
        ("kill -9 $$", "killed"): 137,
        ("true", "nobody", "http://127.0.0.1:1"): 5,
    }
    with ThreadPoolExecutor(len(wanted) + 1) as pool:
        stranger = pool.submit(submit, "true", "stranger", RAY_AUTH_TOKEN="0" * 64)
        done = dict(zip(wanted, pool.map(lambda words: submit(*words), wanted), strict=True))
    assert {words: each.returncode for words, each in done.items()} == wanted, [each.stderr for each in done.values()]
    assert ["said" in each.stdout.splitlines() for each in done.values()] == [True, True, True, False]
    assert "127.0.0.1:1" in done["true", "nobody", "http://127.0.0.1:1"].stderr
    assert stranger.result().returncode == 5, stranger.result().stderr
    again = submit("true", "good")
    assert (again.returncode, "there is a job good already" in again.stderr) == (2, True), again.stderr


def test_a_stopped_job_counts_as_terminated(head: Head, make_lake):
    command = ["env", "RAYPIPE_FAULT=before_rename:hang", *backfill(make_lake("lake"))]
    words = ["raypipe", "submit", "--address", head.dashboard, "--submission-id", "stopped", "--", *command]
    command = [str(Path(sys.executable).parent / words[0]), *words[1:]]
    said = []
    with subprocess.Popen(command, env=head.env, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            said.append(line)
            if "starting on Ray" in line:
                stop = head.run("ray", "job", "stop", "--no-wait", "stopped", RAY_API_SERVER_ADDRESS=head.dashboard)
                assert stop.returncode == 0, stop.stderr
    assert process.returncode == 143, "".join(said)
    assert "terminated; finish it" in "".join(said), "the driver ended by itself, before it would have been killed"
    assert {job["submission_id"]: job["status"] for job in json.loads(jobs(head))}["stopped"] == "STOPPED"


def test_a_head_started_as_documented_listens_on_the_loopback_only(head: Head):
    assert listening(head.pid)
    assert listening(head.pid) <= LOOPBACK


def test_a_local_ray_keeps_to_itself_and_leaves_nothing_running_when_its_driver_is_killed(
    head: Head, make_lake, serial, tmp_path: Path
):
    lake, before = make_lake("lake"), jobs(head)
    command = [sys.executable, *backfill(lake)[1:], "--address", "local", "--workers", "2"]
    with (tmp_path / "said").open("w") as said:
        process = subprocess.Popen(command, env={**head.env, "RAY_ADDRESS": head.address}, cwd=ROOT, stderr=said)
    wait_until(lambda: len(partitions(lake)) >= 1)
    addresses = listening(process.pid)
    wait_until(lambda: len(partitions(lake)) >= 3)
    family = tree(process.pid)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert addresses
    assert addresses <= LOOPBACK
    assert "a Ray of its own on this machine: 1 node, 2 CPUs" in (tmp_path / "said").read_text()
    assert jobs(head) == before, "the cluster that RAY_ADDRESS names saw nothing of it"
    wait_until(lambda: not [pid for pid in family if can_write(pid)])
    done = head.run("raypipe", "run", "--executor", "serial", "--root", str(lake), *RANGE)
    assert done.returncode == 0, done.stderr
    assert partitions(lake) == serial
    first, second = records(lake)
    assert (first["status"], first["outcomes"]) == ("running", [])
    assert len(second["outcomes"]) < len(first["planned"])


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def can_write(pid: int) -> bool:
    """Whether a process of Ray is alive and none of its agents, which only end after a minute."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return status != "Z" and "Agent" not in Path(f"/proc/{pid}/cmdline").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
