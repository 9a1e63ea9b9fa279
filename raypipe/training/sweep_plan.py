"""What a sweep consists of: its studies, its name, and the order in which they may start."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

import raypipe
from raypipe.errors import UsageError
from raypipe.lake.location import Location
from raypipe.models.catalog import model
from raypipe.models.model import SpaceName
from raypipe.schema.modeling import TuneParams
from raypipe.training.indicators import MIN_SESSIONS
from raypipe.training.journal import POOLED, study_key
from raypipe.training.study import StudyJob, StudyOutcome
from raypipe.training.study_data import StudyData

__all__ = ["StudyQueue", "SweepPlan", "plan_sweep"]

_RUN_DIGITS = 12
#: What a fit of 700 rows, 33 features and 100 rounds costs, milliseconds; used to put the costliest first.
_FIT_MS = {"catboost": 53, "lightgbm": 34, "xgboost": 22, "random_forest": 150, "extra_trees": 80}
_CHEAP_MS = 10


@dataclass(frozen=True, slots=True)
class SweepPlan:
    """All studies of a sweep.

    Attributes
    ----------
    run_id
        12 hex digits of a hash of what the sweep does: the same search has the same name, so starting it again is
        going on with it.
    location
        The lake that keeps its folder.
    algorithms
        (family, space) in the order asked for.
    symbols
        Those with studies of their own, in their order; empty without such studies.
    params
        The section ``tune``.
    jobs
        Studies in the order in which they are to start: pooled ones first, then the costliest.
    skipped
        Studies of symbols without rows.
    data_sha256
        Of the arrays.
    """

    run_id: str
    location: Location
    algorithms: tuple[tuple[str, SpaceName], ...]
    symbols: tuple[str, ...]
    params: TuneParams
    jobs: tuple[StudyJob, ...]
    skipped: tuple[StudyOutcome, ...]
    data_sha256: str

    @property
    def key(self) -> str:
        """The folder of the run in its lake."""
        return f"runs/{self.run_id}"


def plan_sweep(
    data: StudyData, params: TuneParams, location: Location, *, symbols: Sequence[str] | None = None
) -> SweepPlan:
    """Lay out the studies of a sweep; reads and writes nothing.

    Parameters
    ----------
    data
        The arrays.
    params
        The section ``tune``.
    location
        The lake that is to keep the run.
    symbols
        Those that get studies of their own; None: all of the panel.

    Raises
    ------
    UsageError
        If an algorithm stands twice, cannot do the task or is unknown, a symbol is not in the panel, there is no
        study at all, or windows of indicators are to be searched on too few sessions.
    """
    algorithms = _families(params, data)
    wanted = tuple(data.symbols if symbols is None else symbols) if params.per_symbol else ()
    _check(data, params, wanted)
    named = [data.sha256, sorted(algorithms), sorted(wanted), _own(params), raypipe.__version__]
    run_id = hashlib.sha256(json.dumps(named, sort_keys=True).encode()).hexdigest()[:_RUN_DIGITS]
    scopes = [*((POOLED,) if params.pooled else ()), *wanted]
    rows = {scope: data.rows_of(scope).stop - data.rows_of(scope).start for scope in scopes}
    jobs = [_job(run_id, location, params, *family, scope) for scope in scopes for family in algorithms if rows[scope]]
    jobs.sort(key=lambda job: (job.scope != POOLED, -rows[job.scope] * _FIT_MS.get(job.algorithm, _CHEAP_MS)))
    none = "the panel has no row of this symbol"
    skipped = [
        StudyOutcome(name, scope, "skipped", none) for scope in wanted for name, _ in algorithms if not rows[scope]
    ]
    return SweepPlan(run_id, location, algorithms, wanted, params, tuple(jobs), tuple(skipped), data.sha256)


def _families(params: TuneParams, data: StudyData) -> tuple[tuple[str, SpaceName], ...]:
    """Families and spaces, by the names that users give them."""
    found: dict[str, SpaceName] = {}
    for name in params.algorithms:
        family, space = model(name)
        if family.name in found:
            msg = f"{name} is {family.name}, which stands twice among the algorithms"
            raise UsageError(msg, hint="name each family once; two spaces of one family are two runs")
        if data.kind not in family.tasks:
            msg = f"{family.name} cannot be fitted for the target {data.target}, which is a {data.kind}"
            raise UsageError(msg, hint=f"it can do: {', '.join(family.tasks)}")
        found[family.name] = space or params.space
    return tuple(found.items())


def _check(data: StudyData, params: TuneParams, symbols: Iterable[str]) -> None:
    unknown = [symbol for symbol in symbols if symbol not in data.symbols]
    if unknown:
        msg = f"{unknown[0]} is not among the symbols of the panel"
        raise UsageError(msg, hint=f"they begin with {', '.join(data.symbols[:5])}; see the symbols file")
    if not (params.pooled or params.per_symbol):
        msg = "neither pooled studies nor studies of symbols are wanted"
        raise UsageError(msg, hint="leave out --no-pooled or --no-per-symbol")
    if params.windows:
        _check_windows(data)


def _check_windows(data: StudyData) -> None:
    """Windows are searched where there is a long enough past to tell them apart."""
    sessions = len(np.unique(data.session_id))
    if sessions < MIN_SESSIONS or data.bars is None:
        lack = f"{MIN_SESSIONS} sessions, and the panel has {sessions}" if data.bars is not None else "daily bars"
        msg = f"a search for windows of indicators needs {lack}"
        raise UsageError(msg, hint="get more sessions, or leave out --windows, and tune.windows=true")


def _own(params: TuneParams) -> dict[str, object]:
    """What of the parameters makes another run; algorithms stand there with their spaces."""
    return {name: value for name, value in params.tracked().items() if name not in {"algorithms", "space"}}


def _job(run_id: str, location: Location, params: TuneParams, algorithm: str, space: SpaceName, scope: str) -> StudyJob:
    pooled = study_key(run_id, algorithm, POOLED) if params.pooled and scope != POOLED else ""
    return StudyJob(location, study_key(run_id, algorithm, scope), algorithm, space, scope, params, pooled)


class StudyQueue:
    """Which study may start next: no study of a symbol before the pooled one of its algorithm is over.

    Parameters
    ----------
    jobs
        In the order in which they are to start.
    """

    def __init__(self, jobs: Sequence[StudyJob]) -> None:
        self._waiting = list(jobs)
        self._awaited = {job.key for job in jobs if job.scope == POOLED}

    def __len__(self) -> int:
        """Studies that were not handed out."""
        return len(self._waiting)

    def next(self) -> StudyJob | None:
        """The next study that may start; None if there is none, now or at all (then `len` is 0)."""
        place = next((i for i, job in enumerate(self._waiting) if job.pooled not in self._awaited), None)
        return None if place is None else self._waiting.pop(place)

    def ended(self, job: StudyJob, outcome: StudyOutcome) -> list[StudyOutcome]:
        """Note that a study ended; the studies that can no longer run, because it did not come to its end."""
        if job.scope != POOLED:
            return []
        self._awaited.discard(job.key)
        if outcome.over:
            return []
        status: Literal["failed", "stopped"] = "stopped" if outcome.status == "stopped" else "failed"
        lost = [one for one in self._waiting if one.pooled == job.key]
        self._waiting = [one for one in self._waiting if one.pooled != job.key]
        why = f"study {job.name} did not come to its end"
        return [StudyOutcome(one.algorithm, one.scope, status, why) for one in lost]

    def rest(self) -> list[StudyOutcome]:
        """The studies that were not handed out, as stopped; then there are none."""
        left, self._waiting = self._waiting, []
        return [StudyOutcome(job.algorithm, job.scope, "stopped", "was not started") for job in left]
