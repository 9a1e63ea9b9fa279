"""From a person's words to a stacked run: files are held against the journals; tables and a bundle are written."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from raypipe.config import Config
from raypipe.dataset.matrix import Panel
from raypipe.dataset.selection import Selection
from raypipe.errors import DeveloperError
from raypipe.lake.names import check_run_id, inside
from raypipe.lake.objects import open_store
from raypipe.lake.store import Lake
from raypipe.models.catalog import model
from raypipe.pipeline.views import declared_tables
from raypipe.schema.modeling import StackParams, TuneParams
from raypipe.training.bars import BARS, bars_summary, load_bars
from raypipe.training.bundle import write_bundle
from raypipe.training.bundle_files import BundleFacts, send_bundle
from raypipe.training.draft import Material, Trained, check_material, train
from raypipe.training.inputs import Asked
from raypipe.training.oof import RunStudies, read_run
from raypipe.training.pin import Input
from raypipe.training.workspace import Workspace, read_bytes, splits_target

__all__ = ["Made", "StackWish", "bundle_folder", "scores_of", "stack_run"]

_PANEL, _ALL = "gold/model_panel", "all"


@dataclass(frozen=True, slots=True)
class StackWish:
    """What a person asked for.

    Attributes
    ----------
    run_id
        The sweep.
    splits, features
        The files that it was searched with.
    models
        Only these families, by any of their names; all of the run if empty.
    name
        Of the bundle; its target if empty.
    output
        Folder of the bundle; ``runs/{run_id}/bundle`` of the lake if None.
    source
        Configuration whose lake has the panel; the same as the run's if None.
    given
        What said so.
    asked
        Where the features come from; None: `gold/model_panel`.
    """

    run_id: str
    splits: Path
    features: Path
    models: tuple[str, ...] = ()
    name: str = ""
    output: Path | None = None
    source: Config | None = field(default=None, repr=False)
    given: Input | None = None
    asked: Asked | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Made:
    """What came of it.

    Attributes
    ----------
    trained
        Tables, and the draft of the bundle.
    folder
        Where the bundle is.
    bundle_sha256
        What it is called by.
    lost
        Studies of the run without a winner.
    """

    trained: Trained
    folder: str
    bundle_sha256: str
    lost: tuple[str, ...]


def bundle_folder(output: Path) -> Path:
    """The folder that an output means: `x.pkl`, a spelling from elsewhere, means the folder `x`.

    Examples
    --------
    >>> bundle_folder(Path("ensemble/meta_mlp.pkl")).as_posix()
    'ensemble/meta_mlp'
    """
    return output.with_suffix("") if output.suffix in {".pkl", ".pickle", ".joblib"} else output


def stack_run(config: Config, wish: StackWish) -> Made:
    """Stack a run, and write what came of it.

    Raises
    ------
    SplitsError
        If the splits break a rule, or are of other data.
    UsageError
        If there is no such run, it has not ended, or cannot be stacked.
    DataQualityError
        If the files are not those of the run.
    """
    material = _material(config, wish)
    check_material(material)
    trained = train(material)
    _publish_tables(config, wish.run_id, trained)
    facts, folder = _publish_bundle(config, wish, trained)
    lost = sorted(set(material.run.studies) - set(material.run.winners))
    return Made(trained, folder, facts.sha256, tuple(f"{algorithm}/{scope}" for algorithm, scope in lost))


# --- what is read --------------------------------------------------------------------------------


def _material(config: Config, wish: StackWish) -> Material:
    families = [model(name)[0].name for name in wish.models]
    run = read_run(config.lake.location, check_run_id(wish.run_id), families)
    source = wish.source or config
    workspace = Workspace.open(source, splits_target(wish.splits), wish.asked)
    splits = workspace.read_splits(wish.splits)
    selection = Selection.from_yaml(read_bytes(wish.features))
    run.check(features_sha256=selection.sha256)
    tune, stack = config.params["tune"], config.params["stack"]
    if not isinstance(tune, TuneParams) or not isinstance(stack, StackParams):
        msg = "the sections tune and stack are of other types"
        raise DeveloperError(msg)
    return Material(
        run=run,
        panel=workspace.panel,
        target=workspace.target,
        splits=splits,
        selection=selection,
        tune=tune.model_copy(update={"seed": _seed(run)}),
        stack=stack,
        min_feature_share=workspace.cv.min_feature_share,
        facts={
            "name": wish.name or workspace.target.name,
            "panel_fingerprints": _fingerprints(source, workspace.panel if run.windows else None),
            "pin_sha256": wish.given.pin_sha256 if wish.given else None,
        },
        columns=_columns(source),
        bars=load_bars(source, workspace.panel) if run.windows else None,
    )


def _seed(run: RunStudies) -> int:
    """The seed of the run: final models are fitted with the seeds of their studies."""
    return next(iter(run.studies.values())).header.seed


def _fingerprints(config: Config, with_bars: Panel | None) -> dict[str, str]:
    """Of the stored panel, and of the bars of a panel whose models see indicators."""
    manifest = Lake(config.lake.location).manifest(declared_tables(config)[_PANEL], _ALL)
    found = {_PANEL: manifest.fingerprint} if manifest else {}
    return found if with_bars is None else {**found, BARS: bars_summary(config, with_bars).digest}


def _columns(config: Config) -> dict[str, Mapping[str, str]]:
    spec = declared_tables(config)[_PANEL]
    return {
        column.name: {"dtype": str(column.arrow.type), "unit": column.unit, "table": spec.name}
        for column in spec.columns
    }


# --- what is written -----------------------------------------------------------------------------


def _publish_tables(config: Config, run_id: str, trained: Trained) -> None:
    store = open_store(config.lake.location)
    tables: dict[str, pa.Table] = {
        "oof": trained.oof,
        "stack_scores": trained.stacked.scores,
        "multiplicity": trained.multiplicity,
    }
    for name, table in tables.items():
        store.put_bytes(f"runs/{run_id}/{name}.parquet", _parquet(table))


def _parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue()


def _publish_bundle(config: Config, wish: StackWish, trained: Trained) -> tuple[BundleFacts, str]:
    location, key = config.lake.location, f"runs/{wish.run_id}/bundle"
    if wish.output is not None or location.is_local:
        folder = bundle_folder(wish.output) if wish.output is not None else inside(Path(location.root), key)
        return write_bundle(folder, trained.draft), str(folder)
    import tempfile

    with tempfile.TemporaryDirectory(prefix="raypipe-bundle-") as scratch:
        facts = write_bundle(Path(scratch) / "bundle", trained.draft)
        send_bundle(open_store(location), key, facts.folder)
    return facts, f"{location.root}/{key}"


def scores_of(trained: Trained) -> list[dict[str, Any]]:
    """Scores over all folds but the first, the best AUC first."""
    rows = [row for row in trained.stacked.scores.to_pylist() if row["fold_id"] is None]
    return sorted(rows, key=lambda row: -(row["auc"] if row["auc"] is not None else -1.0))
