"""The page of a search, made of what it, its stack and its hold-out left in the lake."""

from __future__ import annotations

import io
import json
from typing import Any

import pyarrow.parquet as pq

from raypipe.config import Config
from raypipe.lake.names import check_run_id
from raypipe.lake.objects import ObjectStore, open_store
from raypipe.report.gates import decide_again
from raypipe.report.sweep import SweepFacts, render_sweep

__all__ = ["save_sweep_page", "sweep_facts"]

_PAGE = "report.html"


def save_sweep_page(config: Config, run_id: str) -> str:
    """Write ``runs/{run_id}/report.html``. Returns where it is."""
    location = config.lake.location
    store, key = open_store(location), f"runs/{check_run_id(run_id)}/{_PAGE}"
    store.put_bytes(key, render_sweep(sweep_facts(store, run_id)).encode())
    return f"{location.root}/{key}"


def sweep_facts(store: ObjectStore, run_id: str) -> SweepFacts:
    """Read what there is of a run; what is missing is left out."""
    folder = f"runs/{check_run_id(run_id)}"
    best = [stat.key for stat in store.list(f"{folder}/best_") if stat.key.endswith(".json")]
    run = _document(store, f"{folder}/run.json")
    hashes = run.get("hashes", {})
    return SweepFacts(
        run={**run, "splits_sha256": hashes.get("splits", ""), "data_sha256": hashes.get("data", "")},
        configurations=_rows(store, f"{folder}/configurations.parquet"),
        best={key.split("/best_")[-1].removesuffix(".json"): _document(store, key) for key in best},
        stack=_rows(store, f"{folder}/stack_scores.parquet"),
        multiplicity=_rows(store, f"{folder}/multiplicity.parquet"),
        holdout=_holdout(store, f"{folder}/bundle/holdout_metrics.json"),
    )


def _holdout(store: ObjectStore, key: str) -> dict[str, Any] | None:
    """The metrics of the hold-out with its gates decided anew; None before it."""
    if store.stat(key) is None:
        return None
    found = _document(store, key)
    return {**found, "gates": [gate.to_dict() for gate in decide_again(found)]}


def _document(store: ObjectStore, key: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(store.read(key))
    return found


def _rows(store: ObjectStore, key: str) -> list[dict[str, Any]]:
    if store.stat(key) is None:
        return []
    rows: list[dict[str, Any]] = pq.read_table(io.BytesIO(store.read(key))).to_pylist()
    return rows
