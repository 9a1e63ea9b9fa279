"""What differs between two runs, from their records alone."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from raypipe.config import Config
from raypipe.errors import UsageError
from raypipe.lake.names import check_run_id
from raypipe.lake.store import Lake
from raypipe.pipeline.drift import compare as compare_features
from raypipe.pipeline.model_results import read_holdout
from raypipe.pipeline.record import RunRecord, by_stage, read_record, record_key

__all__ = ["compare_lake_runs", "compare_runs"]

Pair = list[Any]
_SWEEP = re.compile(r"[0-9a-f]{12}")
_SUMMARY = ("run_id", "kind", "status", "exit_code", "executor", "workers", "started_ns", "seconds", "code_version")
_COUNTS = ("built", "failed", "rows", "bytes")
#: Partitions that differ are counted by table; so many with another number of rows are named.
_NAMED = 200
#: Changes of a null share below this are not told.
_SHARE = 0.001


def compare_lake_runs(config: Config, first: str, second: str) -> dict[str, Any]:
    """Compare two runs of a lake, of tables or of searches for models; see `compare_runs`.

    Raises
    ------
    UsageError
        If there is no such run.
    """
    lake = Lake(config.lake.location)
    return compare_runs(_side(lake, first), _side(lake, second))


def compare_runs(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, Any]:
    """Compare two sides.

    Returns
    -------
    ``runs`` (a summary of each), ``tables``, ``partitions``, ``stages``, ``config``, ``code``, ``machine``,
    ``columns``, ``features``, ``quality`` and ``gates``. Values are pairs, the first run's first; what is the same in
    both is left out, so a list is empty where nothing changed.
    """
    return {
        "runs": [{name: side[name] for name in _SUMMARY} for side in (a, b)],
        "tables": _differing("table", a["tables"], b["tables"]),
        "partitions": _partitions(a["outcomes"], b["outcomes"]),
        "stages": _stages(a["stages"], b["stages"]),
        "config": _values(a["config"], b["config"]),
        "code": _values(*_shared(a["code"], b["code"])),
        "machine": _values(a["machine"], b["machine"]),
        "columns": _columns(a["columns"], b["columns"]),
        "features": _features(a["drift"], b["drift"]),
        "quality": _quality(a["quality"], b["quality"]),
        "gates": _differing("gate", a["gates"], b["gates"]),
    }


# --- sides -------------------------------------------------------------------------------------


def _side(lake: Lake, run_id: str) -> dict[str, Any]:
    gates = {gate["name"]: gate for gate in read_holdout(lake, f"runs/{check_run_id(run_id)}/holdout_metrics.json")}
    shown = {name: {"value": gate["value"], "passed": gate["passed"]} for name, gate in gates.items()}
    side = _search(lake, run_id) if _SWEEP.fullmatch(run_id) else _of_record(read_record(lake, run_id))
    return {**side, "gates": shown}


def _of_record(record: RunRecord) -> dict[str, Any]:
    machine = dict(record.machine)
    libraries = machine.pop("libraries", {})
    return {
        **{name: getattr(record, name) for name in _SUMMARY if hasattr(record, name)},
        "kind": "tables",
        "seconds": (record.finished_ns - record.started_ns) / 1e9 if record.finished_ns else None,
        "tables": _by_table(record),
        "outcomes": {(o.table, o.partition): (o.sha256, o.rows) for o in record.outcomes if o.status == "built"},
        "stages": {row["stage"]: row for row in by_stage(record.outcomes)},
        "config": _flat(record.config),
        "code": {"raypipe": record.code_version, **{f"stage {name}": v for name, v in record.versions.items()}},
        "machine": {**machine, **libraries},
        "columns": {table: told["columns"] for table, told in record.columns.items()},
        "drift": record.drift,
        "quality": [_said(finding) for finding in record.quality],
    }


def _by_table(record: RunRecord) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for outcome in record.outcomes:
        row = found.setdefault(outcome.table, dict.fromkeys(_COUNTS, 0))
        row["built" if outcome.status == "built" else "failed"] += 1
        row["rows"] += outcome.rows
        row["bytes"] += outcome.bytes
    return found


def _search(lake: Lake, run_id: str) -> dict[str, Any]:
    """A search for models as a side: what it was made with, and its best scores as a table each."""
    key = record_key(run_id)
    if lake.store.stat(key) is None:
        msg = f"there is no run {run_id}"
        raise UsageError(msg, hint="runs/ holds the records")
    raw = json.loads(lake.store.read(key))
    if not isinstance(raw, dict):
        msg = f"run {run_id} has no record that can be read"
        raise UsageError(msg, hint="compare other runs")
    started, finished = (_whole(raw.get(name)) for name in ("started_ns", "finished_ns"))
    made_with = {name: raw.get(name) for name in ("target", "algorithms", "symbols", "params", "hashes")}
    empty: dict[str, Any] = {"tables": {}, "outcomes": {}, "stages": {}, "machine": {}, "columns": {}, "drift": {}}
    return {
        **{name: raw.get(name) for name in _SUMMARY},
        **empty,
        "kind": "search",
        "run_id": run_id,
        "started_ns": started,
        "seconds": (finished - started) / 1e9 if finished and started else None,
        "config": _flat(made_with),
        "code": {"raypipe": raw.get("code_version")},
        "quality": [],
    }


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _flat(values: Any, prefix: str = "") -> dict[str, Any]:
    """Leaves of nested mappings by their dotted keys."""
    if not isinstance(values, Mapping):
        return {prefix: values}
    found: dict[str, Any] = {}
    for name, value in values.items():
        found |= _flat(value, f"{prefix}.{name}" if prefix else str(name))
    return found


def _said(finding: Mapping[str, Any]) -> str:
    return f"{finding['level']}: {finding['table']} {finding['partition']} {finding['message']}"


# --- differences -------------------------------------------------------------------------------


def _pairs(a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterable[tuple[str, Any, Any]]:
    """Names of either side in order, with the value of each; None where it has none."""
    return ((name, a.get(name), b.get(name)) for name in sorted({*a, *b}))


def _values(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"key": name, "values": [one, other]} for name, one, other in _pairs(a, b) if one != other]


def _shared(a: Mapping[str, Any], b: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What both have: a stage that one run did not need has not changed."""
    names = a.keys() & b.keys()
    return {name: a[name] for name in names}, {name: b[name] for name in names}


def _differing(what: str, a: Mapping[str, Any], b: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows of which a value differs: each value as a pair."""
    found = []
    for name, one, other in _pairs(a, b):
        if one != other:
            keys = list(dict.fromkeys([*(one or {}), *(other or {})]))
            found.append({what: name, **{key: [(one or {}).get(key), (other or {}).get(key)] for key in keys}})
    return found


def _partitions(a: Mapping[tuple[str, str], Any], b: Mapping[tuple[str, str], Any]) -> dict[str, Any]:
    both = sorted(a.keys() & b.keys())
    changed = [key for key in both if a[key][0] != b[key][0]]
    resized = [key for key in changed if a[key][1] != b[key][1]]
    return {
        "only": [len(a.keys() - b.keys()), len(b.keys() - a.keys())],
        "both": len(both),
        "same_bytes": len(both) - len(changed),
        "changed_n": len(changed),
        "changed": [_changed_of(table, changed, resized) for table in dict.fromkeys(name for name, _ in changed)],
        "resized_n": len(resized),
        "resized": [{"table": t, "partition": p, "rows": [a[t, p][1], b[t, p][1]]} for t, p in resized[:_NAMED]],
    }


def _changed_of(table: str, changed: list[tuple[str, str]], resized: list[tuple[str, str]]) -> dict[str, Any]:
    own = [partition for name, partition in changed if name == table]
    more = sum(name == table for name, _ in resized)
    return {"table": table, "partitions": len(own), "resized": more, "first": own[0], "last": own[-1]}


def _stages(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[dict[str, Any]]:
    """CPU seconds of a partition, and peak memory, of stages that both ran; the largest change of time first."""
    rows = []
    for name in sorted(a.keys() & b.keys()):
        each = [side[name]["cpu_seconds"] / side[name]["partitions"] for side in (a, b)]
        peaks = [side[name]["peak_rss_bytes"] for side in (a, b)]
        ratio = each[1] / each[0] if each[0] else None
        partitions = [side[name]["partitions"] for side in (a, b)]
        row = {"stage": name, "partitions": partitions, "cpu_seconds_each": each, "ratio": ratio}
        rows.append({**row, "peak_rss_bytes": peaks})
    return sorted(rows, key=lambda row: -abs(row["cpu_seconds_each"][1] - row["cpu_seconds_each"][0]))


def _columns(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Columns of tables that both wrote whose state changed, or whose null share did."""
    found = []
    for table in sorted(a.keys() & b.keys()):
        for name, one, other in _pairs(a[table], b[table]):
            states = [side["state"] if side else "varies" for side in (one, other)]
            shares = [side["share"] if side else 0.0 for side in (one, other)]
            if states[0] != states[1] or abs(shares[1] - shares[0]) >= _SHARE:
                found.append({"column": f"{table}.{name}", "state": states, "null_share": shares})
    return found


def _features(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Features that moved from one run to the other; see `raypipe.pipeline.drift`."""
    both = [name for name in a if name in b]
    return [
        {"table": name, **row} for name in both for row in compare_features(a[name]["features"], b[name]["features"])
    ]


def _quality(a: list[str], b: list[str]) -> dict[str, list[str]]:
    return {"gone": [said for said in a if said not in b], "new": [said for said in b if said not in a]}
