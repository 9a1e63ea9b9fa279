"""Made-up runs and lakes to make pages of: small ones, whole years, and such that hold a text in every field."""

from __future__ import annotations

import copy
import datetime as dt
from typing import Any

from raypipe.report.ops import Surroundings

NOW_NS = 1_762_214_400_000_000_000
DAY_NS = 86_400 * 10**9


def outcome(**changes: Any) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "stage": "daily",
        "table": "silver/daily",
        "partition": "2025-11-03",
        "status": "built",
        "reason": "missing",
        "rows": 100,
        "bytes": 5_000,
        "sha256": "0" * 64,
        "seconds": 0.1,
        "cpu_seconds": 0.1,
        "peak_rss_bytes": 10**8,
        "rss_bytes": 9 * 10**7,
        "findings": [],
        "error": None,
    }
    return {**plain, **changes}


def failure(message: str) -> dict[str, Any]:
    return {"kind": "SourceError", "message": message, "values": {}, "exit_code": 1, "trace": "secret trace"}


def finding(message: str) -> dict[str, Any]:
    return {"kind": "k", "message": message, "count": 3, "samples": ["row 2: A"], "level": "warning", "partition": ""}


def record(**changes: Any) -> dict[str, Any]:
    """A run of the first schema: without what was added later."""
    plain: dict[str, Any] = {
        "run_id": "20251103T000000Z-abc123",
        "command": "raypipe run --root lake",
        "executor": "process",
        "workers": 2,
        "started_ns": 1_762_128_000_000_000_000,
        "finished_ns": 1_762_128_090_000_000_000,
        "status": "done",
        "exit_code": 0,
        "planned": [],
        "blocked": [],
        "outcomes": [outcome()],
        "quality": [],
        "config": {"daily": {"adjust": "splits"}},
        "code_version": "0.1.0",
        "peak_rss_bytes": 0,
    }
    return {**plain, **changes}


def _column(state: str, share: float, role: str = "feature", value: str = "") -> dict[str, Any]:
    return {"state": state, "nulls": int(share * 100), "share": share, "role": role, "rule": "at first", "value": value}


def _moved(distance: float | None) -> dict[str, Any]:
    medians = {"median_before": 0.013, "median_after": 0.021}
    return {"feature": "volatility_20d", "distance": distance, **medians, "nulls_before": 0.0, "nulls_after": 0.12}


def whole_record(**changes: Any) -> dict[str, Any]:
    """A run with something in every section."""
    names = ["seconds", "done", "driver_bytes", "worker_bytes", "worker_peak_bytes"]
    points = [
        [0.45 * i, i, 180_000_000 + 40_000 * i, (i > 0) * (310_000_000 + i % 7 * 9_000_000), (i > 0) * 4 * 10**8]
        for i in range(200)
    ]
    features = {
        f"f{i:02d}": {"n": 9, "null_share": 0.0, "mean": 1.0, "sd": 1.0, "quantiles": [1.0] * 7} for i in range(9)
    }
    file, few = "/home/me/raypipe.yaml", {"table": "bronze/day_aggs", "partition": "2025-11-04", "kind": "few_rows"}
    few |= {"level": "failed", "message": "71 % of the median"}
    machine = {"system": "Linux 6.1", "processor": "x86_64", "cpus": 2, "memory_bytes": 25 * 10**9, "python": "3.11.9"}
    read = {"first": "2025-07-01", "last": "2025-11-03", "partitions": 88, "digest": "0123456789abcdef"}
    columns = {"flat": _column("constant", 0, value="1.0"), "void": _column("null", 1)}
    columns |= {"young": _column("some null", 0.3)}
    gold = {"first": "2025-10-28", "last": "2025-11-03", "rows": 9_870, "features": features}
    drift = {**gold, "against": "20251102T000000Z-abc123", "moved": [_moved(0.81), _moved(None)]}
    odd = {**gold, "features": {}, "against": "", "moved": [], "error": "damaged: no footer"}
    return record(
        outcomes=[
            outcome(),
            outcome(findings=[finding("3 bars of symbols that are not listed")]),
            outcome(partition="2025-11-04", status="failed", error=failure("silver/daily 2025-11-04: row 7 is cut")),
        ],
        blocked=[["gold/panel", "2025-11-04", "silver/daily 2025-11-04 failed"]],
        quality=[few],
        origin={"values": {"daily.adjust": f"project file {file}"}, "files": {file: "ab" * 32}},
        repeat="raypipe run --root lake \\\n  --set daily.adjust=splits",
        versions={"daily": 3},
        machine={**machine, "libraries": {"numpy": "2.3.4", "pyarrow": "22.0.0"}},
        memory={"columns": names, "points": points},
        stages=[],
        lineage={"silver/daily": {"bronze/day_aggs": dict(read)}},
        columns={"gold/panel": {"rows": 100, "partitions": 1, "columns": columns}},
        drift={"gold/panel": drift, "gold/odd": odd},
        **changes,
    )


def _gate(name: str, value: float | None, passed: bool) -> dict[str, Any]:
    reason = f"{name} is {'' if passed else 'not '}where it must be"
    return {"name": name, "value": value, "threshold": 0.5, "passed": passed, "reason": reason}


def surroundings(**changes: Any) -> Surroundings:
    """A lake with an audit, two hold-outs and a search."""
    gates = [_gate("auc", 0.66, passed=True), _gate("dsr", None, passed=False)]
    numbers = dict.fromkeys(("n_sessions", "n_rows", "n_symbols", "auc_naive", "log_loss", "brier", "rank_ic"), 0.5)
    numbers |= dict.fromkeys(("sharpe", "sharpe_gross", "turnover", "looks"), 1.0)
    holdout = {"name": "vol", "target": "vol_regime_20d", "start": "2023-01-03", "end": "2023-12-29", **numbers}
    holdout |= {"auc": 0.66, "auc_lower": 0.61, "auc_upper": 0.71, "auc_by_strategy": {"mean": 0.66}, "gates": gates}
    holdouts = [{**holdout, "key": f"registry/vol/v000{v}/holdout_metrics.json", "verdict": "fail"} for v in (2, 1)]
    best = [{"algorithm": "xgboost", "space": "safe", "best_auc": 0.6, "best_of_n_p": 0.02}]
    sweep = {"key": "runs/0123456789ab/run.json", "run_id": "0123456789ab", "target": "vol_regime_20d"}
    sweeps = [{**sweep, "status": "done", "studies": {"done": 6, "failed": 1}, "best": best}]
    verdict = {
        "code_version": "0.1.0",
        "bad": [],
        "problems": 0,
        "partitions": 5,
        "rows": 9_000,
        "verdicts": {"clean": 40},
    }
    verdicts = [
        {**verdict, "table": "gold/panel", "at_ns": NOW_NS - 3 * DAY_NS},
        {**verdict, "table": "gold/odd", "at_ns": NOW_NS, "verdicts": {"leaks": 1}, "bad": ["peek"], "problems": 1},
    ]
    plain: dict[str, Any] = {
        "pictures": [{"session": "2025-11-03", "svg": "<svg><title>PM_HIGH</title></svg>"}],
        "rows_before": {"silver/daily": {"2025-10-31": 120, "2025-10-30": 110}},
        "verdicts": verdicts,
        "models": {"holdouts": holdouts, "sweeps": sweeps},
        "now_ns": NOW_NS,
    }
    return Surroundings(**(plain | changes))


def with_text(value: Any, text: str) -> Any:
    """The same structure with a text in place of every text, as keys of mappings too where they are no names of ours.

    Mappings keep their first key, so that lists of fields stay what they are.
    """
    if isinstance(value, str):
        return text
    if isinstance(value, list | tuple):
        return [with_text(item, text) for item in value]
    if isinstance(value, dict):
        return {key: with_text(item, text) for key, item in value.items()}
    return copy.deepcopy(value)


def a_year(tables: int, symbols: int) -> tuple[dict[str, Any], dict[str, dict[str, str]], Surroundings]:
    """The record of 252 sessions of some tables and some tables of symbols, its grid and its surroundings."""
    first = dt.date(2025, 1, 2)
    days = [first + dt.timedelta(days=i) for i in range(352)]
    sessions = [day.isoformat() for day in days if day.weekday() < 5][:252]
    names = [f"silver/table_number_{i}" for i in range(tables)]
    found = finding("symbols without a listing were set aside")
    outcomes = [
        outcome(table=name, stage=name.partition("/")[2], partition=day, rows=1_900 + i % 37, findings=[found])
        for name in names
        for i, day in enumerate(sessions)
    ]
    codes = [f"SYM{i:05d}" for i in range(symbols)]
    outcomes += [outcome(table=f"gold/by_symbol_{i}", partition=code) for i in range(3) for code in codes]
    grid = {name: dict.fromkeys(sessions, "built") for name in names}
    grid |= {f"gold/by_symbol_{i}": dict.fromkeys(codes, "built") for i in range(3)}
    columns = {
        name: {
            "rows": 10**6,
            "partitions": 252,
            "columns": {f"feature_{i}": _column("some null", 0.2) for i in range(90)},
        }
        for name in names
    }
    read = {"first": sessions[0], "last": sessions[-1], "partitions": 252, "digest": "0" * 16}
    lineage = {name: dict.fromkeys(names[:5], read) for name in names}
    drift = {name: {**whole_record()["drift"]["gold/panel"], "moved": [_moved(0.7)] * 90} for name in names[:6]}
    return (
        whole_record() | {"outcomes": outcomes, "columns": columns, "lineage": lineage, "drift": drift},
        grid,
        surroundings(),
    )
