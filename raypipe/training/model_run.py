"""Models as part of a run: splits, features, search, stack and hold-out of the target that the configuration names.

Every step keeps what it made under a name that is a hash of what it was made of, so a second run finds it there.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import tempfile
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

import raypipe
from raypipe.config import Config
from raypipe.errors import DeveloperError, RaypipeError, UsageError
from raypipe.lake.objects import ObjectStore, open_store
from raypipe.lake.store import Lake
from raypipe.pipeline.fingerprint import params_digest
from raypipe.pipeline.record import RunRecord, read_record, write_record
from raypipe.pipeline.session import MODELS
from raypipe.pipeline.views import write_report
from raypipe.schema.modeling import HoldoutParams, TuneParams
from raypipe.training.bundle_files import BUNDLE, METRICS, send_bundle
from raypipe.training.holdout_run import HoldoutWish, run_holdout
from raypipe.training.stack import StackWish, stack_run
from raypipe.training.study_data import StudyData
from raypipe.training.sweep import SweepOrder, run_sweep
from raypipe.training.sweep_inputs import SweepWish, open_sweep
from raypipe.training.sweep_page import save_sweep_page
from raypipe.training.sweep_plan import SweepPlan
from raypipe.training.sweep_results import SweepRecord
from raypipe.training.sweep_run import SweepExecutor, Watch
from raypipe.training.workspace import Selection, Splits, Workspace

__all__ = [
    "MODELS",
    "ModelOrder",
    "ModelRun",
    "model_target",
    "models_after",
    "models_left",
    "run_models",
    "wanted_models",
]

#: Sessions of the hold-out if none are named: a year.
HOLDOUT_SESSIONS = 252
SPLITS, FEATURES, NOTE = "splits.json", "feature_config.yaml", "models.json"
_GATE_FAILED, _STOPPED = 3, 130
#: Exit codes of tables after which models are made: all were built, or some failed and there are models of the others.
_TABLES_THERE = frozenset({0, 1})
#: Exit codes of models that came to a verdict, with every study done.
_JUDGED = frozenset({0, _GATE_FAILED})
_NO_TARGET = "the configuration names nothing to make models of"
_NO_TARGET_HINT = "set tune.target, for example to vol_regime_20d"


@dataclass(frozen=True, slots=True)
class ModelOrder:
    """How models are to be made.

    Attributes
    ----------
    executor
        Plan of the search -> who runs its studies.
    watch
        Plan of the search -> who is told how it goes.
    say
        Takes a line of information.
    command
        The command line that repeats it.
    stop
        Set when the user wants it to end.
    begun
        Called before anything is made that is not there yet; perhaps more than once.
    """

    executor: Callable[[SweepPlan], SweepExecutor]
    watch: Callable[[SweepPlan], AbstractContextManager[Watch]]
    say: Callable[[str], None]
    command: str = ""
    stop: threading.Event = field(default_factory=threading.Event)
    begun: Callable[[], None] = lambda: None


@dataclass(frozen=True, slots=True)
class ModelRun:
    """What became of it.

    Attributes
    ----------
    run_id, target
        The search.
    status
        ``pass`` or ``fail`` of the gates; ``stopped`` or ``failed`` if it did not come so far.
    exit_code
        0; 3 if a gate failed; 130 stopped; 1 if the search has no winner, or some of its studies failed.
    bundle, page
        Where they are; empty if there is none.
    gates
        The decision table.
    """

    run_id: str
    target: str
    status: str
    exit_code: int
    bundle: str = ""
    page: str = ""
    gates: tuple[dict[str, Any], ...] = ()


def model_target(config: Config) -> str:
    """What a run makes models of; empty if nothing."""
    return _tune(config).target


def wanted_models(config: Config, steps: Sequence[str] = ()) -> str:
    """Target of the models that a run makes: steps name `MODELS`, or there are none; empty if it makes none.

    Raises
    ------
    UsageError
        If they are asked for and there is nothing to make them of.
    """
    named, target = tuple(steps) or config.run.steps, model_target(config)
    if MODELS in named and not target:
        raise UsageError(_NO_TARGET, hint=_NO_TARGET_HINT)
    return target if MODELS in named or not named else ""


def models_left(config: Config, run_id: str) -> str:
    """Target of the models that a run was to make and did not; empty if there are none.

    Raises
    ------
    UsageError
        If there is no such run, or the configuration names another target.
    """
    wanted, own = read_record(Lake(config.lake.location), run_id).models, model_target(config)
    if not wanted or wanted.get("exit_code") in _JUDGED:
        return ""
    if own != wanted["target"]:
        msg = f"run {run_id} was to make models of {wanted['target']}, the configuration names {own or 'nothing'}"
        raise UsageError(msg, hint="give the --config, --profile and --set of that run")
    return own


def run_models(config: Config, order: ModelOrder) -> ModelRun:
    """Make and judge models of `tune.target`, from the tables of the lake.

    Raises
    ------
    UsageError
        If there are too few sessions, or the configuration names no target.
    SplitsError
        If the splits break a rule.
    """
    target = model_target(config)
    if not target:
        raise UsageError(_NO_TARGET, hint=_NO_TARGET_HINT)
    with tempfile.TemporaryDirectory(prefix="raypipe-models-") as scratch:
        return _Making(config, order, Path(scratch)).run(target)


def models_after(config: Config, record: RunRecord, order: ModelOrder) -> tuple[ModelRun | None, int]:
    """Make the models that follow tables, unless these were stopped, held back by a gate, or lost their storage.

    Parameters
    ----------
    config
        The configuration.
    record
        Of the tables; it says what becomes of their models, and `raypipe retry` reads it there.
    order
        How models are to be made.

    Returns
    -------
    What became of them, None if none were made; and the exit code of both: the first that is not 0.

    Raises
    ------
    UsageError, SplitsError
        As of `run_models`.
    """
    tables = record.exit_code or 0
    if tables not in _TABLES_THERE or order.stop.is_set():
        return None, tables or _STOPPED
    note = _Note(config, record)
    try:
        made = run_models(config, replace(order, begun=note.begun))
    except RaypipeError as error:
        note.ended("failed", error.exit_code)
        raise
    note.ended(made.status, made.exit_code, made.run_id)
    return made, tables or made.exit_code


class _Note:
    """What becomes of models, in the record of a run. One that builds no tables has none until there is work to do."""

    def __init__(self, config: Config, record: RunRecord) -> None:
        self._config, self._record, self._lake = config, record, Lake(config.lake.location)
        self._kept = bool(record.planned or record.blocked)

    def begun(self) -> None:
        if not self._kept:
            write_record(self._lake, self._record)
        self._kept = True

    def ended(self, status: str, exit_code: int, run_id: str = "") -> None:
        own = {"status": status, "exit_code": exit_code, "run_id": run_id}
        self._record.models = {**self._record.models, **own}
        if self._kept:
            write_record(self._lake, self._record)
            write_report(self._lake, self._record, self._config)


class _Making:
    """One run: the files of splits and features live in ``folder``, and are kept with the search."""

    def __init__(self, config: Config, order: ModelOrder, folder: Path) -> None:
        self._config, self._order, self._store = config, order, open_store(config.lake.location)
        self._splits, self._features = folder / SPLITS, folder / FEATURES

    def run(self, target: str) -> ModelRun:
        workspace = Workspace.open(self._config, target)
        splits = workspace.make_splits(**_holdout(workspace, self._config))
        self._splits.write_bytes(splits.to_json())
        self._order.say(f"{target}: {len(splits.folds)} folds, {_held_out(splits, self._config)}")
        self._features.write_bytes(_features(workspace, splits, self._store, self._order))
        plan, data = open_sweep(self._config, SweepWish(self._splits, self._features))
        if self._made(plan) is None:
            self._order.begun()
        self._keep(plan)
        record = self._search(plan, data)
        if record.status == "stopped" or self._order.stop.is_set():
            return self._ended(plan, target, "stopped", _STOPPED)
        if not any(one.status == "done" for one in record.studies):
            return self._ended(plan, target, "failed", record.exit_code or 1)
        return self._judge(plan, target, record.exit_code or 0)

    def _keep(self, plan: SweepPlan) -> None:
        for file in (self._splits, self._features):
            key = f"{plan.key}/{file.name}"
            if self._store.stat(key) is None:
                self._store.put_bytes(key, file.read_bytes())

    def _search(self, plan: SweepPlan, data: StudyData) -> SweepRecord:
        order = self._order
        with order.watch(plan) as watch:
            return run_sweep(plan, data, SweepOrder(order.executor(plan), watch, order.command, order.stop))

    def _ended(self, plan: SweepPlan, target: str, status: str, code: int) -> ModelRun:
        return ModelRun(plan.run_id, target, status, code, page=save_sweep_page(self._config, plan.run_id))

    def _judge(self, plan: SweepPlan, target: str, code: int) -> ModelRun:
        made = self._made(plan) or self._make(plan, target)
        page = save_sweep_page(self._config, plan.run_id)
        code = code if made["status"] == "pass" else _GATE_FAILED
        return ModelRun(plan.run_id, target, made["status"], code, made["bundle"], page, tuple(made["gates"]))

    def _make(self, plan: SweepPlan, target: str) -> dict[str, Any]:
        """Stack and judge. The note comes last: without it all is made again, to the same bytes and the same look."""
        self._order.say("stacking the winners, and judging them on the hold-out")
        location, key = self._config.lake.location, f"{plan.key}/bundle"
        output = None if location.is_local else self._splits.parent / "bundle"
        wish = StackWish(plan.run_id, self._splits, self._features, name=target, output=output)
        judged = run_holdout(self._config, HoldoutWish(stack_run(self._config, wish).folder))
        if output is not None:
            send_bundle(self._store, key, output)
        made = {
            "digest": self._digest(),
            "status": "pass" if judged.verdict.passed else "fail",
            "bundle": f"{location.root}/{key}",
            "gates": [gate.to_dict() for gate in judged.verdict.gates],
        }
        self._store.put_bytes(f"{plan.key}/{NOTE}", json.dumps(made, indent=1, sort_keys=True).encode())
        return made

    def _made(self, plan: SweepPlan) -> dict[str, Any] | None:
        """What an earlier run made of the same search under the same parameters; None without it or its bundle."""
        keys = (f"{plan.key}/{NOTE}", f"{plan.key}/bundle/{BUNDLE}", f"{plan.key}/bundle/{METRICS}")
        if any(self._store.stat(key) is None for key in keys):
            return None
        made: dict[str, Any] = json.loads(self._store.read(keys[0]))
        return made if made["digest"] == self._digest() else None

    def _digest(self) -> str:
        return "-".join(params_digest(self._config.params[name]) for name in ("stack", "holdout"))


def _tune(config: Config) -> TuneParams:
    tune = config.params["tune"]
    if not isinstance(tune, TuneParams):
        msg = "the section tune is of another type"
        raise DeveloperError(msg)
    return tune


def _holdout(workspace: Workspace, config: Config) -> dict[str, dt.date]:
    """First and last session of the hold-out: as configured, else the last year that has labels."""
    params = config.params["holdout"]
    assert isinstance(params, HoldoutParams)
    panel, known = workspace.panel, workspace.target.known
    labelled = panel.sessions[np.unique(panel.session_id[known])]
    if len(labelled) <= (0 if params.start else HOLDOUT_SESSIONS):
        msg = f"{len(labelled)} sessions have labels; a hold-out of {HOLDOUT_SESSIONS} leaves none to learn from"
        raise UsageError(msg, hint="get more sessions, or name a shorter one with holdout.start")
    start = params.start or labelled[-HOLDOUT_SESSIONS].astype(object)
    return {"holdout_start": start, "holdout_end": params.end or labelled[-1].astype(object)}


def _held_out(splits: Splits, config: Config) -> str:
    """Which sessions are the hold-out, and who chose them."""
    chosen = getattr(config.params["holdout"], "start", None)
    why = "" if chosen else f" (the last {HOLDOUT_SESSIONS} sessions with labels; holdout.start names others)"
    return f"hold-out {' .. '.join(splits.holdout or ('none',))}{why}"


def _features(workspace: Workspace, splits: Splits, store: ObjectStore, order: ModelOrder) -> bytes:
    """Features of each fold, selected once for the same panel, splits and parameters."""
    selection, panel = workspace.config.params["selection"], workspace.panel
    values = hashlib.sha256(np.ascontiguousarray(panel.x).data).hexdigest()
    own = [splits.sha256, values, panel.features, params_digest(selection), _tune(workspace.config).seed]
    digest = hashlib.sha256(json.dumps([*own, raypipe.__version__]).encode()).hexdigest()[:16]
    key = f"selections/{digest}.yaml"
    if store.stat(key) is not None:
        return store.read(key)
    order.begun()
    order.say(f"selecting among {len(panel.features)} features in each fold")
    found: Selection = workspace.select(splits)
    workspace.write_selection(found)
    store.put_bytes(key, found.to_yaml())
    return found.to_yaml()
