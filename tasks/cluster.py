"""Joining a Ray cluster, or starting one that only this machine can reach.

The address is always explicit. A bare ``ray.init()`` would join whatever cluster was last recorded on the machine,
which may be somebody else's; and ``ray stop`` ends every Ray process of the machine, so nothing here calls it.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from raypipe.errors import ClusterError, UsageError
from raypipe.pipeline.executor import THREAD_CAPS

__all__ = ["Cluster", "Node", "connect", "default_address", "working_nodes"]

#: Bytes of shared memory of a local Ray: receipts are tiny, and what is not reserved is left to the jobs.
OBJECT_STORE_BYTES = 256 << 20
#: Seconds in which the head of a cluster has to accept a connection.
CONNECT_SECONDS = 5.0
#: Unix socket paths may have 107 characters, and Ray appends 64 to its folder.
LONGEST_TEMP = 32


@dataclass(frozen=True, slots=True)
class Node:
    """A living node: its id and name, its CPUs, and the bytes that it offers to jobs."""

    id: str
    name: str
    cpus: int
    memory: int


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster that this process has joined.

    Attributes
    ----------
    address
        Of its head; ``local`` if this process started it.
    nodes
        How many nodes are alive.
    cpus
        CPUs of all of them; 0 where workers only start when there is work.
    """

    address: str
    nodes: int
    cpus: int

    @property
    def is_local(self) -> bool:
        """Whether this process started it."""
        return self.address == "local"

    def __str__(self) -> str:
        where = "a Ray of its own on this machine" if self.is_local else f"the Ray cluster at {self.address}"
        return f"{where}: {self.nodes} node{'s' * (self.nodes != 1)}, {self.cpus} CPUs"


def default_address() -> str:
    """``auto`` inside a Ray job, or wherever RAY_ADDRESS names a cluster; else ``local``."""
    return "auto" if os.environ.get("RAY_ADDRESS") else "local"


@contextmanager
def connect(address: str, workers: int | None = None) -> Iterator[Cluster]:
    """Join a cluster, or start one; leave it at the end, and stop it if it was started here.

    Parameters
    ----------
    address
        ``local`` starts a Ray of this process alone, which listens on the loopback interface only. ``auto`` joins
        the cluster that RAY_ADDRESS names, which Ray sets inside a job; a cluster that merely runs on the same
        machine is not looked for. Anything else is the ``host:port`` of a head.
    workers
        CPUs of a local Ray; all of the machine's if None. A cluster has as many as it has.

    Raises
    ------
    UsageError
        If the address is none of these.
    ClusterError
        If no cluster answers there, or it refuses this process.
    """
    if address == "local":
        with _private_folder() as folder, _session(address, _local_options(folder, workers)) as cluster:
            yield cluster
    else:
        head = _named_by_job() if address == "auto" else address
        _check_head(head)
        with _session(head, {"address": head}) as cluster:
            yield cluster


@contextmanager
def _session(address: str, options: dict[str, Any]) -> Iterator[Cluster]:
    # Both are read once, when Ray is imported. It would print the deaths of workers to stdout, which is for data; and
    # it would start or join a cluster unasked, if something of it were still at work after the end of this session.
    os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".")
    os.environ.setdefault("RAY_ENABLE_AUTO_CONNECT", "0")
    import ray

    if ray.is_initialized():
        msg = "this process is part of a Ray cluster already"
        raise ClusterError(msg, hint="run one thing at a time, or use another process", address=address)
    with _caller_keeps_sigterm():
        _init(address, options)
    try:
        yield _describe(address)
    finally:
        ray.shutdown()


def _init(address: str, options: dict[str, Any]) -> None:
    import ray

    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    try:
        ray.init(**{**options, **quiet, "runtime_env": {"env_vars": _worker_variables()}})
    except (OSError, RuntimeError, ValueError, AssertionError, ray.exceptions.RayError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        msg = f"no Ray cluster can be used there: {reason}"
        hint = "start one, or name another with --address, or run without Ray: --executor process"
        raise ClusterError(msg, hint=hint, address=address) from error


def _describe(address: str) -> Cluster:
    alive = _alive()
    return Cluster(address, len(alive), sum(node.cpus for node in alive))


def working_nodes() -> list[Node]:
    """The nodes that can take jobs at this moment; the head of a larger cluster often has no CPU for them."""
    return [node for node in _alive() if node.cpus]


def _alive() -> list[Node]:
    import ray

    listed: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    has = [(node, node["Resources"]) for node in listed if node["Alive"]]
    return [Node(n["NodeID"], n["NodeName"], int(r.get("CPU", 0)), int(r.get("memory", 0))) for n, r in has]


# --- a Ray of this process ---------------------------------------------------------------------


def _local_options(folder: str, workers: int | None) -> dict[str, Any]:
    # Even a Ray of one process binds its ports to every interface. Told that this platform has no clusters, as it
    # assumes of macOS, it keeps to the loopback. It reads this once, when it is imported.
    os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    return {
        "address": "local",
        "num_cpus": workers,
        "include_dashboard": False,
        "object_store_memory": OBJECT_STORE_BYTES,
        "_temp_dir": folder,
    }


@contextmanager
def _private_folder() -> Iterator[str]:
    base = tempfile.gettempdir()
    folder = tempfile.mkdtemp(prefix="rp-", dir=base if len(base) <= LONGEST_TEMP else "/tmp")
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


# --- a cluster that is there -------------------------------------------------------------------


def _named_by_job() -> str:
    if named := os.environ.get("RAY_ADDRESS"):
        return named
    msg = "this process is part of no Ray job: RAY_ADDRESS is not set"
    raise ClusterError(msg, hint="use `raypipe submit`, or name the head as --address host:port", address="auto")


def _check_head(address: str) -> None:
    """Find out fast whether anybody listens; Ray itself would wait for minutes."""
    host, colon, port = address.rpartition(":")
    if "://" in address or not colon or not port.isdecimal():
        msg = f"{address!r} is no address of a Ray cluster"
        hint = "use local, auto or host:port; from outside a cluster use `raypipe submit`"
        raise UsageError(msg, hint=hint)
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_SECONDS).close()
    except OSError as error:
        msg = f"no Ray cluster answers: {error.strerror or error}"
        hint = "check the address and that the head runs, or run without Ray: --executor process"
        raise ClusterError(msg, hint=hint, address=address) from None


def _worker_variables() -> dict[str, str]:
    """Thread caps for every worker; what the Ray job sets itself stays as it is.

    The folder of compiled kernels is not among them: a name that is right on the driver's machine may be shared or
    missing on another. A job's own variables reach its workers in any case.
    """
    job = json.loads(os.environ.get("RAY_JOB_CONFIG_JSON_ENV_VAR") or "{}")
    taken = ((job.get("runtime_env") or {}).get("env_vars") or {}).keys()
    return {name: value for name, value in THREAD_CAPS.items() if name not in taken}


@contextmanager
def _caller_keeps_sigterm() -> Iterator[None]:
    """`ray.init` puts its own SIGTERM handler in place of the command's, which has to end within a second."""
    mine = signal.getsignal(signal.SIGTERM)
    yield
    if callable(mine) and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, mine)
