"""A stage for tests that commits real partitions and misbehaves on request; it exists only while `run_probe` runs.

What each partition does (``acts``): nothing, ``raise``, ``bad`` (the user's data is wrong), ``exit``, ``panic`` (like
that of a native library, no Exception), ``tell`` (fails and says its thread caps), ``kill`` (the worker dies),
``kill once``, ``wait`` (until a file named ``go`` stands among the notes).
Every start leaves a line with its process id in ``notes/started``.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from unittest import mock

import numpy as np
import pyarrow as pa
from pydantic import Field

from raypipe.calendar import calendar
from raypipe.errors import SourceError
from raypipe.lake.location import Location
from raypipe.pipeline import stages
from raypipe.pipeline.executor import THREAD_CAPS
from raypipe.pipeline.job import Job, Target
from raypipe.pipeline.stages import Built, Stage
from raypipe.pipeline.work import Work, run_job_json
from raypipe.schema.family import Params
from raypipe.schema.spec import Column, Table
from raypipe.schema.tables import SESSION

ROWS = 500
PROBE = Table(
    "silver/probe",
    key=("n",),
    grain="session",
    columns=(SESSION, Column("n", "i32", "Counts.", role="key"), Column("x", "f64", "A draw.")),
    doc="Numbers that depend on nothing but the session.",
)


class ProbeParams(Params):
    acts: dict[str, str] = Field(default={}, json_schema_extra={"track": False})
    notes: str = Field(default="", json_schema_extra={"track": False})


class Panic(BaseException):
    """What a Rust library raises when it panics."""


def sessions(count: int) -> list[str]:
    days = calendar().dates(dt.date(2022, 1, 3), dt.date(2022, 12, 30))
    return [day.isoformat() for day in days[:count]]


def probe_jobs(
    root: Path, partitions: Sequence[str], notes: Path, acts: Mapping[str, str] | None = None, *, chunk: int = 1
) -> list[Job]:
    """Jobs of the probe stage, each for ``chunk`` consecutive sessions."""
    (notes / "started").parent.mkdir(parents=True, exist_ok=True)
    params = {"acts": dict(acts or {}), "notes": str(notes)}
    groups = [partitions[i : i + chunk] for i in range(0, len(partitions), chunk)]
    return [
        Job(Location.parse(str(root)), targets=tuple(map(_target, group)), params={"probe": params}, inputs={})
        for group in groups
    ]


def _target(partition: str) -> Target:
    fingerprint = hashlib.sha256(partition.encode()).hexdigest()[:32]
    return Target("probe", PROBE.name, partition, fingerprint, "missing")


def starts(notes: Path) -> list[str]:
    """The partitions that were started, in order, as often as they were."""
    return [partition for partition, _ in started(notes)]


def started(notes: Path) -> list[tuple[str, int]]:
    """The same, each with the process that it was started in."""
    path = notes / "started"
    lines = path.read_text().splitlines() if path.exists() else []
    return [(partition, int(pid)) for partition, pid in map(str.split, lines)]


def lake_files(root: Path) -> dict[str, str]:
    """SHA-256 of every file of a lake by its path."""
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


# --- in the worker -----------------------------------------------------------------------------


def run_probe(text: str) -> str:
    """`run_job_json` where the probe stage exists."""
    everything = (*stages.stages(), STAGE)
    stages.stage_of_table.cache_clear()
    try:
        with mock.patch.object(stages, "stages", return_value=everything):
            return run_job_json(text)
    finally:
        stages.stage_of_table.cache_clear()


def _build(work: Work, targets: tuple[Target, ...]) -> Iterator[Built]:
    params = work.params(STAGE)
    assert isinstance(params, ProbeParams)
    for target in targets:
        _note(params, target.partition)
        _act(params, target.partition)
        table = _rows(target.partition)
        yield Built(
            target, work.lake.write(PROBE, target.partition, table, work.manifest(STAGE, target, table.num_rows))
        )


def _note(params: ProbeParams, partition: str) -> None:
    file = os.open(f"{params.notes}/started", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(file, f"{partition} {os.getpid()}\n".encode())
    os.close(file)


def _act(params: ProbeParams, partition: str) -> None:
    act = params.acts.get(partition, "")
    if act == "raise":
        msg = "planted"
        raise RuntimeError(msg)
    if act == "bad":
        msg = "planted bad row"
        raise SourceError(msg, file=f"{partition}.csv.gz", row=17)
    if act == "tell":
        msg = "thread caps of this worker"
        raise SourceError(msg, **{name: os.environ.get(name) for name in THREAD_CAPS})
    if act == "exit":
        raise SystemExit(3)
    if act == "panic":
        raise Panic("planted")
    if act == "kill" or (act == "kill once" and starts(Path(params.notes)).count(partition) == 1):
        os.kill(os.getpid(), signal.SIGKILL)
    while act == "wait" and not Path(params.notes, "go").exists():
        time.sleep(0.01)


def _rows(partition: str) -> pa.Table:
    draws = np.random.default_rng(int(partition.replace("-", ""))).standard_normal(ROWS)
    day = pa.array([dt.date.fromisoformat(partition)] * ROWS, pa.date32())
    return PROBE.build({"session": day, "n": pa.array(np.arange(ROWS, dtype=np.int32)), "x": pa.array(draws)})


STAGE = Stage(
    name="probe",
    step="probe",
    version=1,
    params=ProbeParams,
    table=lambda _: PROBE,
    requires=lambda _: (),
    build=_build,
)
