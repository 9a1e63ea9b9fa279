"""Writers that can be killed: a process that forks one child per writer, so that a kill costs milliseconds.

Run as ``python -m tests.lake.crash``; it takes one JSON request per line and answers with one line each. It has
no threads of its own when it forks, which the process of the tests cannot say of itself.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from typing import Any

from raypipe.lake import faults
from raypipe.lake.location import Location
from raypipe.lake.s3_client import s3_client
from raypipe.lake.store import Lake
from tests.lake.samples import BARS, bars, manifest


@dataclass
class Zygote:
    """The other end: asks for writers and waits for them."""

    process: subprocess.Popen
    started: int = field(default=0)

    def start(self, lake: Lake, partitions: list[str], versions: list[int], *, fault: str = "", parts: bool = False):
        """Fork a writer that writes every partition in every version, in order."""
        request = {"location": [lake.location.root, lake.location.endpoint_url], "partitions": partitions}
        self._ask({**request, "versions": versions, "fault": fault, "parts": parts})
        self.started += 1

    def wait(self) -> list[int]:
        """Exit codes of all writers started since, negative for a signal."""
        codes = self._ask({"wait": True})
        assert len(codes) == self.started
        self.started = 0
        return codes

    def run(self, *args: Any, **options: Any) -> int:
        """Fork one writer and wait for it."""
        self.start(*args, **options)
        (code,) = self.wait()
        return code

    def alive(self) -> bool:
        """Whether any writer started since is still at work."""
        return self._ask({"poll": True})

    def kill(self) -> None:
        """Send SIGKILL to every writer started since."""
        self._ask({"kill": True})

    def _ask(self, request: dict[str, Any]) -> Any:
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


@contextlib.contextmanager
def zygote(temporary: str):
    """Start one; its writers keep their temporaries in a folder of the test."""
    command = [sys.executable, "-m", "tests.lake.crash"]
    env = {**os.environ, "TMPDIR": temporary}
    with subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Zygote(process)
        process.stdin.close()


def version_bars(partition: str, version: int):
    """What writers write: a table that depends on partition and version only."""
    return bars(100 + 50 * version, day=partition, seed=version)


def write_version(lake: Lake, partition: str, version: int):
    """Write one version of a partition; its fingerprint is the version."""
    return lake.write(BARS, partition, version_bars(partition, version), manifest(BARS, partition, str(version)))


def _child(request: dict[str, Any]) -> int:
    from raypipe.lake.s3 import S3Store

    if request["parts"]:
        S3Store.multipart_bytes = 0
    lake = Lake(Location(*request["location"]))
    faults.arm(request["fault"])
    for version in request["versions"]:
        for partition in request["partitions"]:
            write_version(lake, partition, version)
    return 0


def main() -> None:
    """Serve requests until the input ends."""
    _warm_up()
    pids: list[int] = []
    codes: dict[int, int] = {}
    for line in sys.stdin:
        request = json.loads(line)
        if "wait" in request:
            _reap(pids, codes, 0)
            answer, pids, codes = [codes[pid] for pid in pids], [], {}
        elif "poll" in request:
            _reap(pids, codes, os.WNOHANG)
            answer = len(codes) < len(pids)
        elif "kill" in request:
            for pid in pids:
                os.kill(pid, 9)
            answer = None
        else:
            pid = os.fork()
            if pid == 0:
                _run_child(request)
            pids.append(pid)
            answer = pid
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _warm_up() -> None:
    """Do once what every child would do again: imports, and what Arrow and boto3 set up on first use."""
    with tempfile.TemporaryDirectory() as folder:
        write_version(Lake(Location(folder)), "2025-01-02", 0)
    s3_client("http://127.0.0.1:1", None)


def _run_child(request: dict[str, Any]) -> None:
    code = 1
    try:
        code = _child(request)
    finally:
        os._exit(code)


def _reap(pids: list[int], codes: dict[int, int], options: int) -> None:
    for pid in pids:
        if pid not in codes:
            done, status = os.waitpid(pid, options)
            if done:
                codes[pid] = os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    main()
