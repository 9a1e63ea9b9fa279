"""Hold-outs and searches in short: gates are decided anew, and odd files neither stop a page nor lie on it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from raypipe.lake.location import Location
from raypipe.lake.store import Lake
from raypipe.pipeline.model_results import model_results

GATES = {"auc": 0.6, "auc_lower": 0.5, "sharpe": 0.0, "dsr": 0.95, "pbo": 0.5, "best_of_n": 0.05}


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(Location.parse(str(tmp_path)))


def metrics(**changes: Any) -> dict[str, Any]:
    """A hold-out that passes all gates."""
    plain = {
        "schema": 1,
        "name": "vol",
        "target": "vol_regime_20d",
        "start": "2023-01-03",
        "end": "2023-12-29",
        "auc": 0.66,
        "auc_lower": 0.61,
        "auc_upper": 0.71,
        "sharpe": 0.8,
        "dsr": 0.97,
        "pbo": 0.1,
        "looks": 1,
        "best_of_n": {"winners": 1, "p_values": {"xgboost": 0.01}},
        "auc_by_strategy": {"mean": 0.66, "logistic": 0.65},
        "gates": [
            {"name": name, "value": 1, "threshold": t, "passed": True, "reason": ""} for name, t in GATES.items()
        ],
        "verdict": "pass",
    }
    return plain | changes


def put(lake: Lake, key: str, document: Any) -> None:
    lake.store.put_bytes(key, json.dumps(document).encode())


def test_what_a_lake_holds(lake: Lake) -> None:
    assert model_results(lake) == {"holdouts": [], "sweeps": []}
    put(lake, "registry/vol/v0001/holdout_metrics.json", metrics())
    put(lake, "runs/0123456789ab/holdout_metrics.json", metrics(auc=0.51))
    studies = [{"status": "done"}, {"status": "done"}, {"status": "failed"}]
    put(lake, "runs/0123456789ab/run.json", {"target": "vol", "status": "failed", "studies": studies})
    put(lake, "runs/0123456789ab/best_xgboost.json", {"algorithm": "xgboost", "best_auc": 0.6, "best_of_n_p": 0.02})
    put(lake, "runs/20250101T000000Z-000000/run.json", {"schema": 2})
    found = model_results(lake)
    verdicts = {one["key"].split("/")[0]: one["verdict"] for one in found["holdouts"]}
    assert verdicts == {"registry": "pass", "runs": "fail"}  # whatever the file says of itself
    (sweep,) = found["sweeps"]
    assert sweep["studies"] == {"done": 2, "failed": 1}
    assert sweep["best"] == [{"algorithm": "xgboost", "space": "", "best_auc": 0.6, "best_of_n_p": 0.02}]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[1, 2]",
        "{",
        '{"auc": NaN, "gates": 3, "auc_by_strategy": [1]}',
        '{"auc": ' + "9" * 400 + ', "looks": true}',
        '{"auc": "<b>", "gates": [null, {"name": 3, "threshold": "x"}], "auc_by_strategy": {"a": "b"}}',
        '{"studies": 4}',
        '{"studies": [null, {"status": 3}], "target": {"a": 1}}',
    ],
)
def test_odd_files_fail_their_gates_and_stop_nothing(lake: Lake, text: str) -> None:
    for key in ("registry/a/v0001/holdout_metrics.json", "runs/0123456789ab/run.json", "runs/0123456789ab/best_x.json"):
        lake.store.put_bytes(key, text.encode())
    found = model_results(lake)
    (holdout,) = found["holdouts"]
    assert holdout["verdict"] == "fail"
    assert holdout["auc"] is None
    assert holdout["auc_by_strategy"] == {}
    assert len(holdout["gates"]) == len(GATES)
    assert len(found["sweeps"]) == 1


def test_only_the_newest_are_shown(lake: Lake) -> None:
    for version in range(20):
        put(lake, f"registry/a/v{version:04d}/holdout_metrics.json", metrics())
    assert len(model_results(lake)["holdouts"]) == 12
