"""Small panels to search on, with something to find in them, and jobs for their studies."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from raypipe.dataset.matrix import Panel, Target
from raypipe.lake.location import Location
from raypipe.schema.modeling import TuneParams
from raypipe.training.journal import POOLED, ConfigResult, read_study, study_key
from raypipe.training.study import StudyJob, run_study
from raypipe.training.study_data import ALL, StudyData

RUN = "0123456789ab"
SYMBOLS = ("AAA", "BRK.B", "CCC")
DAY_NS = 86_400 * 10**9


@dataclass(frozen=True)
class Rows:
    id: int
    train: np.ndarray
    test: np.ndarray


def made_panel(
    sessions: int = 260, features: int = 6, horizon: int = 1, *, kind: str = "class", seed: int = 5, skill: float = 0.6
) -> tuple[Panel, Target]:
    """Noise with one feature that tells something, a few nulls, and no label in the last sessions."""
    rng = np.random.default_rng(seed)
    rows = len(SYMBOLS) * sessions
    symbol = np.repeat(np.arange(len(SYMBOLS), dtype=np.int16), sessions)
    session = np.tile(np.arange(sessions, dtype=np.int32), len(SYMBOLS))
    x = rng.standard_normal((rows, features)).astype(np.float32)
    y = (skill * x[:, 0] + rng.standard_normal(rows)).astype(np.float32)
    x[rng.random(x.shape) < 0.02] = np.nan
    y = (y > 0).astype(np.float32) if kind == "class" else y
    late = session >= sessions - horizon
    y[late] = np.nan
    decision = session.astype(np.int64) * DAY_NS + DAY_NS
    start, end = decision, np.where(late, 0, decision + horizon * DAY_NS)
    days = np.datetime64("2024-01-01") + np.arange(sessions)
    names = tuple(f"f{i}" for i in range(features))
    for array in (x, y, symbol, session, decision, end):
        array.flags.writeable = False
    panel = Panel(SYMBOLS, days, symbol, session, decision, names, x)
    return panel, Target(f"direction_{horizon}d", kind, horizon, y, start, end)


def made_folds(panel: Panel, target: Target, folds: int = 4) -> tuple[Rows, ...]:
    """Walk-forward blocks, purged by label end."""
    cuts = np.linspace(0, len(panel.sessions), folds + 2).astype(int)[1:]
    found = []
    for k, (low, high) in enumerate(itertools.pairwise(cuts), 1):
        inside = (panel.session_id >= low) & (panel.session_id < high) & target.known
        first = panel.decision_ns[inside].min()
        train = np.flatnonzero(target.known & (panel.session_id < low) & (target.end_ns < first))
        found.append(Rows(k, train, np.flatnonzero(inside)))
    return tuple(found)


def made_data(folds: int = 4, **panel_options: Any) -> StudyData:
    """A panel ready for studies; symbols may see one feature fewer than all symbols together."""
    panel, target = made_panel(**panel_options)
    rows = made_folds(panel, target, folds)
    pooled = {(one.id, ALL): panel.features for one in rows}
    symbols = {(one.id, symbol): panel.features[:-1] for one in rows for symbol in panel.symbols}
    hashes = {"splits_sha256": "5" * 64, "data_sha256": "d" * 64, "features_sha256": "f" * 64}
    return StudyData.of(panel, target, rows, {**pooled, **symbols}, **hashes)


def made_job(root: Path, scope: str = POOLED, algorithm: str = "lightgbm", *, pooled: bool = False, **params: Any):
    """A study of a few configurations."""
    given = {"algorithms": (algorithm,), "n_configs": 14, "seed": 7, **params}
    return StudyJob(
        location=Location.parse(str(root)),
        key=study_key(RUN, algorithm, scope),
        algorithm=algorithm,
        space="safe",
        scope=scope,
        params=TuneParams(**given),
        pooled=study_key(RUN, algorithm, POOLED) if pooled else "",
    )


def study_bytes(root: Path, scope: str = POOLED, algorithm: str = "lightgbm") -> tuple[str, bytes]:
    """The journal without its times, and the predictions."""
    folder = root / study_key(RUN, algorithm, scope)
    lines = [json.loads(line) for line in (folder / "journal.jsonl").read_bytes().splitlines()]
    timeless = [{k: v for k, v in line.items() if k not in {"seconds", "cpu_s"}} for line in lines]
    return json.dumps(timeless), (folder / "oof.f32").read_bytes()


# --- fixtures: a module names those that it uses ------------------------------------------------


@pytest.fixture(scope="module")
def data() -> StudyData:
    return made_data()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, data: StudyData) -> Path:
    """A lake with a pooled study and one of a symbol, undisturbed; not to be changed."""
    root = tmp_path_factory.mktemp("whole")
    run_study(made_job(root), data)
    run_study(made_job(root, "BRK.B", pooled=True), data)
    return root


def configs(root: Path, scope: str = POOLED, algorithm: str = "lightgbm") -> tuple[ConfigResult, ...]:
    return read_study(made_job(root).location, study_key(RUN, algorithm, scope)).configs
