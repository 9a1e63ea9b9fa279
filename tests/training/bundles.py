"""Small panels, and bundles of them, for tests of everything that holds models."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pyarrow as pa

from raypipe.dataset.matrix import Panel
from raypipe.models.catalog import model
from raypipe.models.stacking import Calibrator, Rows, fit_meta
from raypipe.report.gates import GATES
from raypipe.training.bundle import POOLED, Draft, write_bundle
from raypipe.training.bundle_files import METRICS, BundleFacts, check_bundle

SYMBOLS = ("AAA", "BBB", "BRK.B")
FEATURES = ("f0", "f1", "f2", "f3")


def panel(sessions=120, *, symbols=SYMBOLS, features=FEATURES, seed=0) -> Panel:
    """A panel of noise with gaps, every symbol in every session."""
    draw = np.random.default_rng(seed)
    x = draw.normal(size=(len(symbols) * sessions, len(features))).astype(np.float32)
    x[draw.random(x.shape) < 0.03] = np.nan
    dates = np.busday_offset("2020-01-06", np.arange(sessions), roll="forward").astype("datetime64[D]")
    session = np.tile(np.arange(sessions, dtype=np.int32), len(symbols))
    symbol = np.repeat(np.arange(len(symbols), dtype=np.int16), sessions)
    return Panel(symbols, dates, symbol, session, dates.astype("datetime64[ns]").astype(np.int64)[session], features, x)


def labels(of: Panel, seed=1) -> np.ndarray:
    """0 or 1, float32: the sign of the first feature, with noise."""
    noise = np.random.default_rng(seed).normal(size=of.rows)
    return (np.nan_to_num(of.x[:, 0]) + noise > 0).astype(np.float32)


def draft(of: Panel, *, algorithms=("lightgbm", "logistic"), strategy="mean", regime=()) -> Draft:
    """A bundle of one pooled model and one per symbol for each algorithm, fitted on all rows."""
    y, models = labels(of), {}
    features = {"*": FEATURES, **dict.fromkeys(of.symbols, FEATURES[:3])}
    for name in algorithms:
        family = model(name)[0]
        for scope in (POOLED, *of.symbols):
            pooled = scope == POOLED
            rows = slice(0, of.rows) if pooled else of.rows_of(scope)
            places = [of.features.index(one) for one in features["*" if pooled else scope]]
            config = {**family.defaults["pooled" if pooled else "symbol"]}
            if family.rounds_key:
                config[family.rounds_key] = 20
            params, rounds = family.split(config)
            x = np.ascontiguousarray(of.x[rows][:, places])
            models[name, scope] = family.fit(x, y[rows], task="class", params=params, rounds=rounds, seed=1)
    bases = [
        {"name": f"{a}.{scope}", "algorithm": a, "scope": scope} for a in algorithms for scope in ("pooled", "symbol")
    ]
    z = np.random.default_rng(2).normal(size=(of.rows, len(bases))) + y[:, None]
    extra = np.empty((of.rows, len(regime)))
    for i, name in enumerate(regime):
        extra[:, i] = of.column(name)
    rows = Rows(z, extra, y, np.ones(of.rows), np.zeros(of.rows), np.zeros(of.rows))
    metas = {name: fit_meta(name, rows) for name in ("mean", "logistic", "meta-mlp")}
    meta = {
        "strategy": strategy,
        "transform": "logit",
        "bases": bases,
        "regime_columns": list(regime),
        "strategies": {name: one.to_dict() for name, one in metas.items()},
        "calibrator": Calibrator(0.8, 0.1).to_dict(),
        "naive": {"feature": "f0", "sign": 1, "fill": 0.0},
    }
    columns = [{"name": name, "dtype": "float", "unit": "1", "table": "gold/model_panel"} for name in FEATURES]
    facts = {"name": "small", "target": "direction_1d", "horizon_sessions": 1, "run_id": "0123456789ab"}
    tables = {"baseline.parquet": pa.table({"feature": list(FEATURES)})}
    return Draft(facts, meta, models, features, columns, {}, b"{}\n", b"schema: 1\n", tables)


def written(folder: Path, **kwargs) -> tuple[Panel, BundleFacts]:
    """A bundle in a folder, and the panel of it."""
    of = panel()
    return of, write_bundle(folder, draft(of, **kwargs))


def files_of(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


NAME = "vol"
GOOD = {"auc": 0.65, "auc_lower": 0.6, "sharpe": 1.0, "dsr": 0.99, "pbo": 0.1}
THRESHOLDS = {"auc": 0.6, "auc_lower": 0.5, "sharpe": 0, "dsr": 0.95, "pbo": 0.5, "best_of_n": 0.05}


def judged_bundles(root, count):
    """Folder of bundles 0, 1, ... that are alike but for the run that they come from, each judged."""
    made = draft(panel(), algorithms=("logistic",))
    for i in range(count):
        write_bundle(root / str(i), dataclasses.replace(made, facts={**made.facts, "run_id": f"{i:012d}"}))
        judged(root / str(i))
    return root


def judged(folder: Path, **changed) -> Path:
    """Put metrics beside a bundle that pass every gate, unless changed."""
    facts = check_bundle(folder)
    metrics = {
        "schema": 1,
        "name": NAME,
        "bundle_sha256": facts.sha256,
        "target": facts.note["target"],
        "start": "2020-01-02",
        "end": "2020-12-31",
        "looks": 0,
        **GOOD,
        "best_of_n": {"winners": 1, "p_values": {"logistic": 0.01}},
        "gates": [{"name": name, "threshold": THRESHOLDS[name], "passed": True} for name in GATES],
        "verdict": "pass",
        **changed,
    }
    (folder / METRICS).write_text(json.dumps({k: v for k, v in metrics.items() if v is not ...}))
    return folder
