"""A Ray head of the tests' own: own ports, own folder, own token, loopback only, ended by its process group."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
START_SECONDS = 90


@dataclass(frozen=True)
class Head:
    """A running head.

    Attributes
    ----------
    address, dashboard
        ``host:port`` for drivers, ``http://host:port`` for jobs.
    pid
        Leader of its process group.
    folder
        Where it keeps its logs.
    env
        An environment that may use it.
    """

    address: str
    dashboard: str
    pid: int
    folder: Path
    env: dict[str, str] = field(repr=False)

    def run(self, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
        """A command of the repository, as a user of this cluster runs it."""
        return subprocess.run(
            [str(BIN / words[0]), *words[1:]],
            env={**self.env, **env},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=200,
        )

    def logs(self) -> list[Path]:
        """Everything that it and its jobs wrote down."""
        return [path for path in self.folder.glob("session_*/logs/**/*") if path.is_file()]

    def answers(self) -> bool:
        """Whether the dashboard takes our token."""
        request = urllib.request.Request(
            f"{self.dashboard}/api/version", headers={"Authorization": f"Bearer {self.env['RAY_AUTH_TOKEN']}"}
        )
        try:
            with urllib.request.urlopen(request, timeout=5) as reply:
                return reply.status == 200
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            return False


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def environment() -> dict[str, str]:
    """That of a user with a token of their own, and nothing of ours."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "RAYPIPE_"))}
    return kept | {
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_USAGE_STATS_ENABLED": "0",
    }


@contextlib.contextmanager
def ray_head(cpus: int = 2) -> Iterator[Head]:
    """Start a head and wait until it takes jobs."""
    gcs, dashboard, agent, client = free_ports(4)
    folder, env = tempfile.mkdtemp(prefix="rh-", dir="/tmp"), environment()
    command = [
        *(str(BIN / "ray"), "start", "--head", "--block", f"--port={gcs}", f"--num-cpus={cpus}"),
        *("--node-ip-address=127.0.0.1", "--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard}"),
        *(f"--dashboard-agent-listen-port={agent}", f"--ray-client-server-port={client}", f"--temp-dir={folder}"),
        f"--object-store-memory={256 << 20}",
    ]
    with Path(folder, "start.log").open("w") as log:
        process = subprocess.Popen(command, env=env, cwd=folder, stdout=log, stderr=log, start_new_session=True)
    head = Head(f"127.0.0.1:{gcs}", f"http://127.0.0.1:{dashboard}", process.pid, Path(folder), env)
    try:
        _wait(head, process, Path(folder, "start.log"))
        yield head
    finally:
        _end(process)
        shutil.rmtree(folder, ignore_errors=True)


def _wait(head: Head, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not head.answers():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.2)


def _end(process: subprocess.Popen[bytes]) -> None:
    for sign in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, sign)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=15)
    process.wait()
