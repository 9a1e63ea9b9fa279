"""The registry: versions of bundles under a name, and which of them is in use.

`registry/{name}/v0001/` is a whole bundle with the metrics of its hold-out, or is not there: it is made under a
temporary name and renamed, or on S3 sent with `bundle.json` last. `latest.json` is one object that is replaced
atomically; `history/` keeps every change. Nothing is ever deleted, and there is no way round a gate that fails.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from raypipe.errors import DataQualityError, ModelError, UsageError
from raypipe.lake.faults import fault
from raypipe.lake.location import Location
from raypipe.lake.names import inside
from raypipe.lake.objects import ObjectStore, open_store, temporary_name
from raypipe.report.gates import Gate, decide_again, verdict_of
from raypipe.training.bundle import Bundle, load_bundle, load_stored_bundle
from raypipe.training.bundle_files import (
    METRICS,
    BundleFacts,
    bundle_place,
    check_bundle,
    fetch_bundle,
    publish_folder,
    send_bundle,
    sweep_folders,
)
from raypipe.training.looks import check_name, earlier_looks, record_look
from raypipe.training.registry_state import BACK, Latest, latest_of, mend_history, switch, versions_of
from raypipe.training.study_lock import locked

__all__ = ["Promotion", "Rollback", "load_registered", "promote", "rollback"]

Clock = Callable[[], int]
_WAIT_S = 30.0


@dataclass(frozen=True, slots=True)
class Promotion:
    """What a promotion decided.

    Attributes
    ----------
    name, bundle_sha256
        Of the model and its bundle.
    gates, verdict
        The decision table, made again from the stored metrics.
    metrics
        Those metrics.
    before
        What was in use; None if nothing was.
    version
        The version that is in use now; None if nothing was changed.
    """

    name: str
    bundle_sha256: str
    gates: tuple[Gate, ...]
    verdict: Literal["pass", "fail"]
    metrics: Mapping[str, Any]
    before: Latest | None
    version: str | None = None

    @property
    def exit_code(self) -> int:
        """0 if it was, or would be, promoted; 3 if a gate fails."""
        return 0 if self.verdict == "pass" else DataQualityError.exit_code


@dataclass(frozen=True, slots=True)
class Rollback:
    """What a rollback did, or would do: from which version to which."""

    name: str
    before: Latest
    to: str
    done: bool


# --- reading -------------------------------------------------------------------------------------


def load_registered(location: Location, name: str, version: str = "latest") -> tuple[Bundle, str]:
    """Load a version of a model, checked as any bundle is.

    Parameters
    ----------
    location
        The lake.
    name
        Of the model.
    version
        Such as ``v0002``; ``latest``: the one in use, which must be the bundle that was promoted.

    Returns
    -------
    The bundle and its version.

    Raises
    ------
    UsageError
        If there is none.
    ModelError
        If its files are not as listed, or it is another bundle than the one promoted.
    """
    store = open_store(location)
    latest = latest_of(store, name) if version == "latest" else None
    if version == "latest" and latest is None:
        msg = f"no version of {name} is in use"
        raise UsageError(msg, hint="raypipe promote puts one in use; NAME@v0001 names one that is not")
    wanted = latest.version if latest else version
    _require(store, name, wanted)
    prefix = f"registry/{name}/{wanted}"
    if location.is_local:
        bundle = load_bundle(inside(Path(location.root), prefix))
    else:
        bundle = load_stored_bundle(store, prefix)
    if latest and bundle.sha256 != latest.bundle_sha256:
        msg = f"promoted was bundle {latest.bundle_sha256}, here is {bundle.sha256}"
        raise ModelError(msg, hint="restore the version, or raypipe rollback", file=prefix)
    return bundle, wanted


def _require(store: ObjectStore, name: str, version: str) -> None:
    known = versions_of(store, name)
    if not known.get(version):
        whole = [one for one, is_whole in known.items() if is_whole]
        msg = f"there is no whole version {version} of {name}"
        raise UsageError(msg, hint=f"there are: {', '.join(whole) or 'none'}")


# --- promoting -----------------------------------------------------------------------------------


def promote(
    location: Location, bundle: Path | str, name: str, *, approve: bool = False, clock: Clock = time.time_ns
) -> Promotion:
    """Put a bundle in use under a name, if the stored metrics of its hold-out pass every gate.

    Parameters
    ----------
    location
        The lake that has the registry.
    bundle
        The folder of a bundle, with its `holdout_metrics.json`; ``s3://bucket/prefix`` is reached as the lake is.
    name
        Of the model.
    approve
        Without it nothing is changed.
    clock
        Nanoseconds UTC.

    Raises
    ------
    UsageError
        If there is no bundle.
    ModelError
        If a file of it is not as listed.
    DataQualityError
        If it was not judged, another bundle was, or looks at the same sessions under this name were not counted.
    """
    with _at_hand(location, str(bundle)) as folder:
        facts, store = check_bundle(folder), open_store(location)
        metrics = _metrics(facts, str(bundle))
        gates, before = decide_again(metrics), latest_of(store, name)
        decision = Promotion(name, facts.sha256, gates, verdict_of(gates), metrics, before)
        _check_looks(store, decision)
        if decision.verdict == "fail" or not approve:
            return decision
        with _alone(location, name):
            return _promoted(location, decision, facts, clock)


@contextlib.contextmanager
def _at_hand(location: Location, bundle: str) -> Iterator[Path]:
    """The folder of a bundle. One on S3 is copied first: what is checked is what is promoted."""
    if "://" not in bundle:
        yield Path(bundle)
        return
    with tempfile.TemporaryDirectory(prefix="raypipe-bundle-") as folder:
        fetch_bundle(*bundle_place(location, bundle), Path(folder))
        yield Path(folder)


def _promoted(location: Location, decision: Promotion, facts: BundleFacts, clock: Clock) -> Promotion:
    store, name, metrics = open_store(location), decision.name, decision.metrics
    before = latest_of(store, name)
    if before is not None and before.bundle_sha256 == facts.sha256:
        return _with(decision, before.version)
    mend_history(store, name, before)
    version = _stored(store, name, facts) or _publish(location, store, name, facts)
    record_look(store, name, {key: metrics[key] for key in ("bundle_sha256", "target", "start", "end")})
    now = Latest(version, facts.sha256, before.version if before else None, clock(), _reason(decision.gates))
    switch(store, name, now, "promote")
    return _with(decision, version)


@contextlib.contextmanager
def _alone(location: Location, name: str) -> Iterator[None]:
    """Keep other writers of this machine away; on S3 nobody can be, and each object is whole all the same."""
    if not location.is_local:
        yield
        return
    folder = inside(Path(location.root), f"registry/{check_name(name)}")
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / "lock", wait=_WAIT_S):
        yield


def _with(decision: Promotion, version: str) -> Promotion:
    parts = {name: getattr(decision, name) for name in Promotion.__slots__ if name != "version"}
    return Promotion(**parts, version=version)


def _metrics(facts: BundleFacts, bundle: str) -> Mapping[str, Any]:
    path, file = facts.folder / METRICS, f"{bundle}/{METRICS}"
    if not path.is_file():
        msg = "the bundle was not judged: it has no holdout_metrics.json"
        raise DataQualityError(msg, hint=f"raypipe holdout --model {bundle}", file=file)
    try:
        found: dict[str, Any] = json.loads(path.read_bytes())
        judged = str(found["bundle_sha256"])
        span = str(found["start"]) <= str(found["end"]) and bool(str(found["target"]))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        msg = f"the metrics of the hold-out cannot be understood: {type(error).__name__}"
        raise DataQualityError(msg, hint="raypipe holdout makes them again", file=file) from error
    if judged != facts.sha256 or not span or found["target"] != facts.note.get("target"):
        msg = f"these metrics are of bundle {judged}, here is {facts.sha256}"
        raise DataQualityError(msg, hint=f"judge this one: raypipe holdout --model {bundle}", file=file)
    return found


def _check_looks(store: ObjectStore, decision: Promotion) -> None:
    """Refuse metrics that did not count what was looked at under this name: they may have been made under another."""
    metrics = decision.metrics
    if metrics.get("name") == decision.name:
        return
    own = (decision.bundle_sha256, str(metrics["start"]), str(metrics["end"]))
    others = earlier_looks(store, decision.name, *own)
    counted = metrics.get("looks")
    if not isinstance(counted, int) or others > counted:
        msg = f"{others} looks at these sessions under {decision.name} were not counted, {counted} were"
        raise DataQualityError(msg, hint=f"judge it again: raypipe holdout --name {decision.name}")


def _reason(gates: tuple[Gate, ...]) -> str:
    return "; ".join(gate.reason for gate in gates)


def _stored(store: ObjectStore, name: str, facts: BundleFacts) -> str | None:
    """The version that holds this very bundle and its metrics: an earlier promotion was killed before it was in use."""
    wanted = {one: (facts.folder / one).read_bytes() for one in ("bundle.json", METRICS)}
    for version, whole in versions_of(store, name).items():
        keys = {one: f"registry/{name}/{version}/{one}" for one in wanted}
        if whole and all(store.stat(key) and store.read(key) == wanted[one] for one, key in keys.items()):
            return version
    return None


def _publish(location: Location, store: ObjectStore, name: str, facts: BundleFacts) -> str:
    numbers = [int(version[1:]) for version in versions_of(store, name)]
    version = f"v{max(numbers, default=0) + 1:04d}"
    key = f"registry/{name}/{version}"
    if not location.is_local:
        send_bundle(store, key, facts.folder)
        return version
    target = inside(Path(location.root), key)
    target.parent.mkdir(parents=True, exist_ok=True)
    sweep_folders(target.parent)
    fresh = target.parent / temporary_name(version)
    fault("before_tmp")
    try:
        _copy(facts.folder, fresh)
        if check_bundle(fresh).sha256 != facts.sha256:
            msg = "the bundle changed while it was copied"
            raise ModelError(msg, hint="promote it again", file=str(facts.folder))
        publish_folder(fresh, target)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return version


def _copy(folder: Path, fresh: Path) -> None:
    fresh.mkdir()
    for path in sorted(folder.rglob("*")):
        target = fresh / path.relative_to(folder)
        if path.is_dir():
            target.mkdir()
            continue
        shutil.copyfile(path, target)
        fault("mid_tmp")


# --- switching -----------------------------------------------------------------------------------


def rollback(
    location: Location, name: str, *, to: str | None = None, approve: bool = False, clock: Clock = time.time_ns
) -> Rollback:
    """Put an earlier version in use again; nothing is deleted, and a second rollback returns.

    Parameters
    ----------
    location, name
        The lake, and the model.
    to
        Which version; None: the one that was in use before.
    approve
        Without it nothing is changed.
    clock
        Nanoseconds UTC.

    Raises
    ------
    UsageError
        If nothing is in use, nothing was before, or there is no such version.
    ModelError
        If a file of that version is not as listed.
    """
    store = open_store(location)
    before = latest_of(store, name)
    if before is None:
        msg = f"no version of {name} is in use"
        raise UsageError(msg, hint="raypipe promote puts one in use")
    target = to or before.previous
    if target is None or target == before.version:
        msg = f"{before.version} of {name} is in use" + ("" if target else ", and nothing was before it")
        raise UsageError(msg, hint=f"name another with --to: {', '.join(versions_of(store, name))}")
    _require(store, name, target)
    bundle, _ = load_registered(location, name, target)
    if approve:
        with _alone(location, name):
            mend_history(store, name, before)
            now = Latest(target, bundle.sha256, before.version, clock(), f"{BACK}{before.version}")
            switch(store, name, now, "rollback")
    return Rollback(name, before, target, approve)
