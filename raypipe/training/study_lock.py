"""One writer at a time: a lock file that says who writes, and that a dead writer leaves open to the next.

The kernel's lock on the file decides (`flock`, which ends with its process, however that ends); what stands in the
file is for people. A file without a lock belongs to a writer that was killed and is taken over.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from raypipe.errors import UsageError

__all__ = ["locked"]

#: Seconds between looks at a lock that somebody else holds.
_LOOK = 0.05


@contextlib.contextmanager
def locked(path: Path, *, wait: float = 0.0) -> Iterator[None]:
    """Hold the lock file ``path``, which names pid, host and start of its holder; it is removed in the end.

    Parameters
    ----------
    path
        The lock file; its folder exists.
    wait
        Seconds to wait for another writer to end.

    Raises
    ------
    UsageError
        If another process still holds it. Values: ``file``, ``pid``, ``host``, ``start``.
    """
    deadline, pause = time.monotonic() + wait, threading.Event()
    while (handle := _try(path)) is None:
        if time.monotonic() >= deadline:
            raise _taken(path)
        pause.wait(_LOOK)
    try:
        yield
    finally:
        # Removed while it is held: whoever opened it meanwhile finds another file, or none, at its path.
        path.unlink(missing_ok=True)
        os.close(handle)


def _try(path: Path) -> int | None:
    """The descriptor of a lock that is now ours, or None."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(handle).st_ino != path.stat().st_ino:
            raise FileNotFoundError  # its last holder removed it between our two steps
    except (BlockingIOError, FileNotFoundError):
        os.close(handle)
        return None
    who = {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "start": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    os.ftruncate(handle, 0)
    os.pwrite(handle, json.dumps(who).encode(), 0)
    return handle


def _taken(path: Path) -> UsageError:
    try:
        who = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        who = {}
    msg = "another process writes here"
    named = {name: who[name] for name in ("pid", "host", "start") if name in who}
    return UsageError(msg, hint="wait until it has ended, then run again", file=str(path), **named)
