"""A real S3 server on the loopback, over a folder: for the demo, which acquires files as from a vendor."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from raypipe.errors import MissingExtraError, UnavailableError

__all__ = ["LocalS3", "environment", "serve_folder"]

_STARTED = re.compile(r"Starting s3 server on \[(http://127\.0\.0\.1:\d+)/\]")
#: Seconds until the server must have said where it listens.
START_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class LocalS3:
    """A running server; its key pair lives as long as it does."""

    endpoint_url: str
    access_key: str
    secret_key: str


@contextmanager
def serve_folder(folder: Path) -> Iterator[LocalS3]:
    """Serve a folder over the S3 protocol; each folder in it is a bucket.

    Raises
    ------
    MissingExtraError
        If rclone, which serves it, is not installed.
    UnavailableError
        If the server does not start.
    """
    server = LocalS3("", f"demo{secrets.token_hex(8)}", secrets.token_hex(16))
    command = [_rclone(), "serve", "s3", str(folder), "--addr", "127.0.0.1:0", "--config", os.devnull, "--read-only"]
    # The pair goes by the environment: arguments can be read by every user of the machine.
    env = {**os.environ, "RCLONE_AUTH_KEY": f'"{server.access_key},{server.secret_key}"'}
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=env) as process:
        try:
            yield LocalS3(_address(process), server.access_key, server.secret_key)
        finally:
            process.kill()


def _rclone() -> str:
    """The program, beside this Python or on the path."""
    beside = Path(sys.executable).with_name("rclone")
    found = str(beside) if beside.is_file() else shutil.which("rclone")
    if found is None:
        msg = "the demo acquires its files from a local S3 server, and rclone is not installed"
        raise MissingExtraError(msg, extra="demo")
    return found


def _address(process: subprocess.Popen[str]) -> str:
    """Where the server listens: it says so on its error stream, which is read on so that it never fills up."""
    told, lines = threading.Event(), list[str]()

    def listen() -> None:
        for line in process.stderr or ():
            lines.append(line.strip())
            if _STARTED.search(line):
                told.set()
        told.set()

    threading.Thread(target=listen, daemon=True).start()
    told.wait(START_SECONDS)
    found = next((match for line in lines if (match := _STARTED.search(line))), None)
    if found is None:
        msg = f"the local S3 server did not start: {lines[-1] if lines else 'no answer'}"
        raise UnavailableError(msg, hint="the demo needs rclone >= 1.65")
    return found.group(1)


@contextmanager
def environment(server: LocalS3) -> Iterator[None]:
    """Credentials of the server in the environment of this process, and no proxy on the way to it."""
    wanted: Mapping[str, str | None] = {
        "AWS_ACCESS_KEY_ID": server.access_key,
        "AWS_SECRET_ACCESS_KEY": server.secret_key,
        "AWS_SESSION_TOKEN": None,
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
    }
    before = {name: os.environ.get(name) for name in wanted}
    try:
        _set(wanted)
        yield
    finally:
        _set(before)


def _set(values: Mapping[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
