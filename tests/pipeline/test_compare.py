"""Two runs: nothing differs of a run and itself, pairs turn round with the runs, and each change is found."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from raypipe.config import Config, load_config
from raypipe.errors import UsageError
from raypipe.lake.location import Location
from raypipe.lake.store import Lake
from raypipe.pipeline.compare import compare_lake_runs
from raypipe.pipeline.drift import summarise
from raypipe.pipeline.job import Outcome
from raypipe.pipeline.record import RunRecord, write_record
from tests.pipeline.test_model_results import metrics

A, B = "20250110T000000Z-00000a", "20250111T000000Z-00000b"


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(Location.parse(str(tmp_path)))


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return load_config(env={}, folder=tmp_path, flags={"lake.root": str(tmp_path)})


def built(partition: str, sha256: str = "0", **changes: Any) -> Outcome:
    plain: dict[str, Any] = {"rows": 10, "bytes": 100, "sha256": sha256, "cpu_seconds": 1.0, "peak_rss_bytes": 5}
    return Outcome("daily", "silver/daily", partition, "built", **(plain | changes))


def record(run_id: str = A) -> RunRecord:
    quantiles = {"x": summarise(np.arange(100.0))}
    return RunRecord(
        *(run_id, "raypipe run", "serial", 1, 10**18),
        finished_ns=10**18 + 5 * 10**9,
        status="done",
        exit_code=0,
        outcomes=[built("2025-01-02"), built("2025-01-03")],
        quality=[{"level": "warning", "table": "t", "partition": "p", "kind": "k", "message": "few"}],
        config={"daily": {"adjust": "splits", "deep": {"er": 1}}},
        code_version="1",
        versions={"daily": 1},
        machine={"cpus": 2, "libraries": {"numpy": "2"}},
        columns={"gold/x": {"rows": 9, "partitions": 1, "columns": {"x": {"state": "some null", "share": 0.5}}}},
        drift={"gold/x": {"features": quantiles}},
    )


def differences(found: dict[str, Any]) -> set[str]:
    """Which parts say that something changed."""
    quiet = {"runs", "stages", "partitions", "quality"}
    parts = {name for name, value in found.items() if name not in quiet and value}
    parts |= {"quality"} if any(found["quality"].values()) else set()
    return parts | ({"partitions"} if found["partitions"]["changed"] or any(found["partitions"]["only"]) else set())


def test_a_run_does_not_differ_from_itself(lake: Lake, config: Config) -> None:
    write_record(lake, record())
    found = compare_lake_runs(config, A, A)
    assert differences(found) == set()
    assert (found["partitions"]["both"], found["partitions"]["same_bytes"]) == (2, 2)
    assert [row["ratio"] for row in found["stages"]] == [1.0]
    json.dumps(found)


CHANGES: dict[str, tuple[dict[str, Any], set[str]]] = {
    "bytes": ({"outcomes": [built("2025-01-02"), built("2025-01-03", "1")]}, {"partitions"}),
    "rows": ({"outcomes": [built("2025-01-02"), built("2025-01-03", "1", rows=11)]}, {"partitions", "tables"}),
    "missing": ({"outcomes": [built("2025-01-02")]}, {"partitions", "tables"}),
    "config": ({"config": {"daily": {"adjust": "none", "deep": {"er": 1}}}}, {"config"}),
    "deep config": ({"config": {"daily": {"adjust": "splits", "deep": {"er": 2}}}}, {"config"}),
    "code": ({"code_version": "2"}, {"code"}),
    "stage": ({"versions": {"daily": 2}}, {"code"}),
    "library": ({"machine": {"cpus": 2, "libraries": {"numpy": "3"}}}, {"machine"}),
    "columns": ({"columns": {"gold/x": {"columns": {}}}}, {"columns"}),
    "no such table": ({"columns": {}}, set()),
    "features": ({"drift": {"gold/x": {"features": {"x": summarise(np.arange(50.0, 900.0))}}}}, {"features"}),
    "quality": ({"quality": []}, {"quality"}),
}


@pytest.mark.parametrize("change", CHANGES)
def test_each_change_is_found_and_nothing_else(lake: Lake, config: Config, change: str) -> None:
    values, expected = CHANGES[change]
    other = copy.deepcopy(record(B))
    for name, value in values.items():
        setattr(other, name, value)
    write_record(lake, record())
    write_record(lake, other)
    there, back = compare_lake_runs(config, A, B), compare_lake_runs(config, B, A)
    assert differences(there) == differences(back) == expected
    for part in ("tables", "config", "code", "machine", "columns"):
        for one, turned in zip(there[part], back[part], strict=True):
            pairs = {name for name, value in one.items() if isinstance(value, list)}
            assert all(one[name] == turned[name][::-1] for name in pairs)
    assert there["quality"]["gone"] == back["quality"]["new"]


def test_gates_are_those_of_the_stored_values(lake: Lake, config: Config) -> None:
    for run_id, auc in (("0123456789ab", 0.66), ("0123456789ac", 0.5)):
        params = {
            "target": "vol",
            "params": {"n_configs": 50},
            "hashes": {"data": run_id},
            "started_ns": 1,
            "finished_ns": 2,
        }
        lake.store.put_bytes(f"runs/{run_id}/run.json", json.dumps(params).encode())
        lake.store.put_bytes(f"runs/{run_id}/holdout_metrics.json", json.dumps(metrics(auc=auc)).encode())
    found = compare_lake_runs(config, "0123456789ab", "0123456789ac")
    assert found["gates"] == [{"gate": "auc", "value": [0.66, 0.5], "passed": [True, False]}]
    assert [row["key"] for row in found["config"]] == ["hashes.data"]
    assert [run["kind"] for run in found["runs"]] == ["search", "search"]
    with pytest.raises(UsageError, match="there is no run"):
        compare_lake_runs(config, "0123456789ab", "ffffffffffff")
    with pytest.raises(UsageError, match="there is no run"):
        compare_lake_runs(config, A, "0123456789ab")


@pytest.mark.parametrize("text", ["[]", "{}", '{"started_ns": "x", "params": [1]}'])
def test_odd_records_of_searches_do_no_harm(lake: Lake, config: Config, text: str) -> None:
    lake.store.put_bytes("runs/0123456789ab/run.json", text.encode())
    if text == "[]":
        with pytest.raises(UsageError, match="no record that can be read"):
            compare_lake_runs(config, "0123456789ab", "0123456789ab")
    else:
        assert differences(compare_lake_runs(config, "0123456789ab", "0123456789ab")) == set()
