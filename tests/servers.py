"""Real S3 servers for the tests, and a proxy that misbehaves on request.

moto keeps the commit protocol honest, ``rclone serve s3`` checks signatures and Content-MD5 and keeps real files.
Both listen on loopback, on a free port, with a folder of their own, and end with the session.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

START_SECONDS = 60
#: Keys of one page of a list, for which S3 takes 1,000: so that tests see several pages.
MOTO_PAGE = 200
_numbers = itertools.count()


@dataclass(frozen=True)
class S3Server:
    """A running server.

    Attributes
    ----------
    name
        ``moto`` or ``rclone``.
    endpoint_url, access_key, secret_key
        How to reach it.
    """

    name: str
    endpoint_url: str
    access_key: str
    secret_key: str

    @property
    def env(self) -> dict[str, str]:
        """The environment variables that hold its credentials."""
        return {"AWS_ACCESS_KEY_ID": self.access_key, "AWS_SECRET_ACCESS_KEY": self.secret_key}

    def client(self, endpoint_url: str | None = None):
        """A boto3 client of the test's own, not raypipe's."""
        import boto3
        from botocore.config import Config

        return boto3.client(
            "s3",
            endpoint_url=endpoint_url or self.endpoint_url,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            region_name="us-east-1",
            config=Config(s3={"addressing_style": "path"}, signature_version="s3v4", retries={"total_max_attempts": 1}),
        )

    def bucket(self) -> str:
        """Make a new, empty bucket and return its name."""
        name = f"bucket-{os.getpid()}-{next(_numbers)}"
        self.client().create_bucket(Bucket=name)
        return name


@pytest.fixture(scope="session")
def moto_server(tmp_path_factory) -> Iterator[S3Server]:
    """moto: in memory, accepts any credentials."""
    folder = tmp_path_factory.mktemp("moto")

    def command(port: int) -> list[str]:
        return [_beside_python("moto_server"), "-H", "127.0.0.1", "-p", str(port)]

    with _running(command, folder) as port:
        yield S3Server("moto", f"http://127.0.0.1:{port}", "test", "test-secret")


@pytest.fixture(scope="session")
def rclone_server(tmp_path_factory) -> Iterator[S3Server]:
    """rclone: real files, checks signatures and Content-MD5, ignores conditional writes."""
    folder = tmp_path_factory.mktemp("rclone")
    key, secret = "rclone-key", "rclone-secret-canary"
    (folder / "data").mkdir()

    def command(port: int) -> list[str]:
        auth, address = f"{key},{secret}", f"127.0.0.1:{port}"
        return [_beside_python("rclone"), "serve", "s3", "--auth-key", auth, "--addr", address, str(folder / "data")]

    with _running(command, folder) as port:
        yield S3Server("rclone", f"http://127.0.0.1:{port}", key, secret)


@pytest.fixture(params=["moto", "rclone"])
def s3_server(request, monkeypatch) -> S3Server:
    """Both servers, one after the other, with their credentials in the environment."""
    server = request.getfixturevalue(f"{request.param}_server")
    for name, value in server.env.items():
        monkeypatch.setenv(name, value)
    return server


@pytest.fixture
def flaky(moto_server) -> Iterator[FlakyProxy]:
    """A proxy in front of moto; without a script it only passes on."""
    with FlakyProxy(moto_server.endpoint_url) as proxy:
        yield proxy


def _beside_python(name: str) -> str:
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    if not found:
        pytest.fail(f"{name} is not installed; pip install 'raypipe[dev]'")
    return found


@contextlib.contextmanager
def _running(command, folder: Path) -> Iterator[int]:
    env = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "RCLONE_"))}
    env |= {"RCLONE_CONFIG": str(folder / "rclone.conf"), "XDG_CACHE_HOME": str(folder / "cache"), "HOME": str(folder)}
    env["MOTO_S3_DEFAULT_MAX_KEYS"] = str(MOTO_PAGE)
    with (folder / "log").open("ab") as log:
        for _ in range(3):  # somebody may take the port between finding and using it
            port = _free_port()
            process = subprocess.Popen(command(port), cwd=folder, env=env, stdout=log, stderr=log)
            if _listens(process, port):
                break
        else:
            pytest.fail(f"{command(0)[0]} did not start: {(folder / 'log').read_text(errors='replace')[-2000:]}")
        try:
            yield port
        finally:
            _end(process)


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def _listens(process: subprocess.Popen, port: int) -> bool:
    waiting = threading.Event()
    for _ in range(START_SECONDS * 20):
        if process.poll() is not None:
            return False
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
        waiting.wait(0.05)
    _end(process)
    return False


def _end(process: subprocess.Popen) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@dataclass
class _Trick:
    """What to do with the next ``times`` requests of a method whose path holds a text."""

    kind: str
    method: str
    path: str
    times: int
    status: int = 0
    code: str = ""
    at: int = 0


@dataclass
class FlakyProxy:
    """A threaded HTTP proxy that passes requests on, except where a script says otherwise.

    Attributes
    ----------
    upstream
        Address of the server behind.
    seen
        Method, path and answered status of every request; 0 where none was answered.
    hung
        Requests that were left without an answer, and without an end.
    """

    upstream: str
    seen: list[tuple[str, str, int]] = field(default_factory=list)
    hung: int = 0
    _tricks: list[_Trick] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _closing: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> FlakyProxy:
        proxy = self

        class Handler(_Handler):
            owner = proxy

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def endpoint_url(self) -> str:
        """Where to reach it."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def fail(self, status: int, code: str, *, times: int = 1, method: str = "", path: str = "") -> None:
        """Answer with an S3 error and do not pass the request on."""
        self._tricks.append(_Trick("fail", method, path, times, status, code))

    def cut(self, at: int, *, times: int = 1, method: str = "GET", path: str = "") -> None:
        """Promise the whole body, send ``at`` bytes of it, and hang up."""
        self._tricks.append(_Trick("cut", method, path, times, at=at))

    def hang(self, *, times: int = 1, method: str = "", path: str = "") -> None:
        """Never answer."""
        self._tricks.append(_Trick("hang", method, path, times))

    def lose_answer(self, *, times: int = 1, method: str = "", path: str = "") -> None:
        """Pass the request on, then hang up without an answer."""
        self._tricks.append(_Trick("lose", method, path, times))

    def _next(self, method: str, path: str) -> _Trick | None:
        with self._lock:
            for trick in self._tricks:
                if trick.times > 0 and trick.method in {"", method} and trick.path in path:
                    trick.times -= 1
                    return trick
        return None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    owner: FlakyProxy

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        trick = self.owner._next(self.command, self.path)
        kind = trick.kind if trick else "pass"
        if kind == "hang":
            self.owner.hung += 1
            self.owner._closing.wait()
        if kind == "fail":
            self._fail(trick)
        if kind in {"hang", "fail"}:
            return
        answer, data = self._forward(body)
        if kind == "lose":
            self._hang_up(0)
            return
        self._note(answer.status)
        self.send_response_only(answer.status, answer.reason)
        for name, value in answer.getheaders():
            if name.lower() not in {"transfer-encoding", "connection", "content-length"}:
                self.send_header(name, value)
        length = answer.getheader("Content-Length") if self.command == "HEAD" else len(data)
        self.send_header("Content-Length", str(length or 0))
        self.end_headers()
        self.wfile.write(data[: trick.at] if trick else data)
        if trick:
            self._hang_up(None)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _serve

    def _forward(self, body: bytes) -> tuple[http.client.HTTPResponse, bytes]:
        server = urlsplit(self.owner.upstream)
        connection = http.client.HTTPConnection(server.hostname, server.port, timeout=60)
        with contextlib.closing(connection):
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in {"expect", "connection"}:
                    connection.putheader(name, value)
            connection.endheaders(body)
            answer = connection.getresponse()
            return answer, answer.read()

    def _fail(self, trick: _Trick) -> None:
        text = f"<Error><Code>{trick.code}</Code><Message>on purpose</Message></Error>".encode()
        self._note(trick.status)
        self.send_response(trick.status)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)

    def _hang_up(self, status: int | None) -> None:
        if status is not None:
            self._note(status)
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)

    def _note(self, status: int) -> None:
        self.owner.seen.append((self.command, self.path, status))

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):
            super().handle()

    def log_message(self, *_: object) -> None:
        """Say nothing."""
