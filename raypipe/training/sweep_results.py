"""What a sweep leaves behind: its record, all configurations as a table, the best of each algorithm.

Everything is read from the journals, so results can be written again at any time and are the same.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from raypipe.errors import StorageError, UsageError
from raypipe.evaluation.multiplicity import best_of_n
from raypipe.lake.location import Location
from raypipe.lake.names import check_run_id
from raypipe.lake.objects import is_missing, open_store
from raypipe.training.journal import POOLED, StudyRecord, read_study, study_key
from raypipe.training.study import StudyOutcome
from raypipe.training.study_data import StudyData, StudyView
from raypipe.training.sweep_plan import SweepPlan

__all__ = ["CONFIGURATIONS", "SweepRecord", "read_best", "read_sweep", "sweep_studies", "write_results", "write_sweep"]

RECORD_SCHEMA = BEST_SCHEMA = 1
#: Columns of `configurations.parquet`.
CONFIGURATIONS = pa.schema(
    [
        ("algorithm", pa.string()),
        ("scope", pa.string()),
        ("i", pa.int32()),
        ("source", pa.string()),
        ("state", pa.string()),
        ("value", pa.float64()),
        ("value_se", pa.float64()),
        ("fold_value", pa.list_(pa.float64())),
        ("fold_rounds", pa.list_(pa.int32())),
        ("params_json", pa.string()),
        ("seconds", pa.float64()),
        ("cpu_s", pa.float64()),
    ]
)


@dataclass(slots=True)
class SweepRecord:
    """One sweep, as `runs/{run_id}/run.json` has it.

    Attributes
    ----------
    run_id, target
        Which.
    algorithms
        Family -> space.
    symbols
        Those with studies of their own.
    params
        The section ``tune``, as far as it affects results.
    hashes
        ``data`` (all arrays), ``splits``, ``rows`` (those that the splits were made of), ``features``.
    executor, workers, command, code_version
        Who ran it last, and the command line that repeats it.
    started_ns, finished_ns
        Of the last start, nanoseconds UTC; ``finished_ns`` is None while it runs or if its driver died.
    status, exit_code
        ``running``, ``done``, ``failed`` or ``stopped``.
    studies
        What became of each study.
    """

    run_id: str
    target: str
    algorithms: Mapping[str, str]
    symbols: Sequence[str]
    params: Mapping[str, Any]
    hashes: Mapping[str, str]
    executor: str
    workers: int
    command: str
    code_version: str
    started_ns: int
    finished_ns: int | None = None
    status: str = "running"
    exit_code: int | None = None
    studies: list[StudyOutcome] = field(default_factory=list)


def write_sweep(location: Location, record: SweepRecord) -> None:
    """Store a record, replacing an earlier state of it."""
    text = json.dumps({"schema": RECORD_SCHEMA, "kind": "sweep", **asdict(record)}, indent=1, sort_keys=True)
    open_store(location).put_bytes(f"runs/{record.run_id}/run.json", text.encode())


def read_sweep(location: Location, run_id: str) -> SweepRecord:
    """Load the record of a sweep.

    Raises
    ------
    UsageError
        If there is none, it is of a run that built tables, or it was written by another version.
    """
    try:
        raw = json.loads(open_store(location).read(f"runs/{check_run_id(run_id)}/run.json"))
    except StorageError as error:
        if not is_missing(error):
            raise
        msg = f"there is no run {run_id}"
        raise UsageError(msg, hint="`raypipe tune` prints the id of its run; runs/ holds the records") from None
    if raw.pop("kind", "") != "sweep" or raw.pop("schema") != RECORD_SCHEMA:
        msg = f"run {run_id} is no sweep, or was recorded by another version of raypipe"
        raise UsageError(msg, hint="give the id of a run of `raypipe tune`")
    studies = [StudyOutcome(**{**one, "warnings": tuple(one["warnings"])}) for one in raw.pop("studies")]
    return SweepRecord(**raw, studies=studies)


def sweep_studies(location: Location, run_id: str, studies: Sequence[StudyOutcome]) -> list[StudyRecord]:
    """The journals of the studies that have one, in their order."""
    found = []
    for one in studies:
        key = study_key(run_id, one.algorithm, one.scope)
        if one.over or one.n_complete + one.n_pruned + one.n_failed:
            found.append(read_study(location, key))
    return found


def write_results(plan: SweepPlan, data: StudyData, studies: Sequence[StudyOutcome]) -> None:
    """Write `configurations.parquet` and `best_{algorithm}.json` from the journals.

    Parameters
    ----------
    plan, data
        The sweep and its arrays.
    studies
        What became of each study.
    """
    records, store = sweep_studies(plan.location, plan.run_id, studies), open_store(plan.location)
    ordered = sorted(records, key=lambda one: (one.header.algorithm, one.header.scope != POOLED, one.header.scope))
    sink = io.BytesIO()
    pq.write_table(_table(ordered), sink, compression="zstd", write_page_checksum=True)
    store.put_bytes(f"{plan.key}/configurations.parquet", sink.getvalue())
    for algorithm, space in plan.algorithms:
        own = [one for one in ordered if one.header.algorithm == algorithm and one.winner is not None]
        if own:
            best = {"schema": BEST_SCHEMA, "run_id": plan.run_id, "algorithm": algorithm, "space": space}
            text = json.dumps({**best, **_best(own, data)}, indent=1, sort_keys=True)
            store.put_bytes(f"{plan.key}/best_{algorithm}.json", text.encode())


def read_best(plan: SweepPlan) -> dict[str, Any]:
    """The files `best_{algorithm}.json`, by algorithm; of one without a winner there is none."""
    store = open_store(plan.location)
    keys = {algorithm: f"{plan.key}/best_{algorithm}.json" for algorithm, _ in plan.algorithms}
    return {name: json.loads(store.read(key)) for name, key in keys.items() if store.stat(key) is not None}


def _table(records: Sequence[StudyRecord]) -> pa.Table:
    rows = [
        {
            "algorithm": one.header.algorithm,
            "scope": one.header.scope,
            "params_json": json.dumps(dict(config.params), sort_keys=True),
            "value_se": config.value_se,
            **{name: getattr(config, name) for name in ("i", "source", "state", "value", "seconds", "cpu_s")},
            "fold_value": list(config.fold_value),
            "fold_rounds": list(config.fold_rounds),
        }
        for one in records
        for config in one.configs
    ]
    return pa.Table.from_pylist(rows, CONFIGURATIONS)


def _best(own: Sequence[StudyRecord], data: StudyData) -> dict[str, Any]:
    """The winners of one algorithm. The score is that of the pooled winner; without one, the best of a symbol."""
    winners = {one.header.scope: one.winner for one in own if one.winner is not None}
    named = max(own, key=lambda one: (one.header.scope == POOLED, winners[one.header.scope].value or -math.inf))
    return {
        "best_auc": winners[named.header.scope].value,
        "best_of_n_p": _best_of_n_p(named, data),
        "hyperparameters": {scope: dict(one.params) for scope, one in winners.items()},
        "rounds": {scope: one.rounds for scope, one in winners.items()},
    }


def _best_of_n_p(study: StudyRecord, data: StudyData) -> float | None:
    """How often the best of as many configurations without skill is as good; None where folds share rows."""
    view = StudyView(data, study.header.scope, early_stop=False)
    fold_id, times = np.full(view.rows, -1), np.zeros(view.rows, np.int64)
    for fold in view.folds:
        if len(fold.train):
            fold_id[fold.test] = fold.id
            times[fold.test] += 1
    if times.max(initial=0) > 1 or not study.configs:
        return None
    rows = data.rows_of(study.header.scope)
    found = best_of_n(
        np.stack([study.oof(one.i) for one in study.configs]),
        view.y,
        fold_id,
        view.session_id,
        data.symbol_id[rows],
        horizon=data.horizon,
        kind=data.kind,
        one_symbol=view.one_symbol,
    ).p_value
    return None if math.isnan(found) else found
