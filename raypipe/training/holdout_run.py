"""From a person's words to a judged bundle: what is read, and the two files that are written."""

from __future__ import annotations

import datetime as dt
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from raypipe.calendar import calendar
from raypipe.config import Config
from raypipe.dataset.matrix import Panel
from raypipe.dataset.splits_file import Splits
from raypipe.errors import DeveloperError, PartitionError
from raypipe.lake.objects import ObjectStore, open_store
from raypipe.lake.store import Lake
from raypipe.pipeline.views import declared_tables
from raypipe.schema.frames import floats
from raypipe.schema.modeling import HoldoutParams
from raypipe.training.bars import load_bars
from raypipe.training.bundle import Bundle, load_bundle, load_stored_bundle
from raypipe.training.bundle_files import bundle_place
from raypipe.training.holdout import Case, Verdict, judge, window_of
from raypipe.training.holdout_scores import Market
from raypipe.training.inputs import Asked
from raypipe.training.looks import check_name
from raypipe.training.registry import load_registered
from raypipe.training.stack import bundle_folder
from raypipe.training.trials import trials_of
from raypipe.training.workspace import Workspace, publish

__all__ = ["HoldoutWish", "Judgement", "market_of", "run_holdout"]

METRICS, PREDICTIONS = "holdout_metrics.json", "holdout_predictions.parquet"
_BARS = "silver/bars_1d"


@dataclass(frozen=True, slots=True)
class HoldoutWish:
    """What a person asked for.

    Attributes
    ----------
    model
        Folder of a bundle, ``s3://bucket/prefix``, or ``NAME@vNNNN`` of the registry.
    start, end
        First and last session; those of the bundle's splits if None.
    name
        Under which looks are counted; that of the bundle if empty.
    output
        File of the metrics, the predictions beside it; where the bundle is if None, for a registered one the folder of
        its run in the lake.
    asked
        Where the features come from; None: `gold/model_panel`.
    source
        Configuration whose lake has the panel; the same as the run's if None.
    """

    model: str
    start: dt.date | None = None
    end: dt.date | None = None
    name: str = ""
    output: Path | None = None
    asked: Asked | None = None
    source: Config | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class Judgement:
    """The verdict, and where its two files are."""

    verdict: Verdict
    metrics_file: str
    predictions_file: str


def run_holdout(config: Config, wish: HoldoutWish) -> Judgement:
    """Judge a bundle and write `holdout_metrics.json` and `holdout_predictions.parquet`.

    Raises
    ------
    UsageError
        If there is no such bundle or panel, or the sessions are empty or were trained on; nothing was looked at.
    ModelError
        If the bundle is not as it should be, or the panel lacks a column of it.
    """
    params = config.params["holdout"]
    if not isinstance(params, HoldoutParams):
        msg = "the section holdout is of another type"
        raise DeveloperError(msg)
    bundle, place = _bundle(config, wish.model)
    splits = Splits.from_json((bundle.facts.folder / "splits.json").read_bytes())
    window = window_of(splits, wish.start, wish.end)
    name = check_name(wish.name or str(bundle.note["name"]))
    source = wish.source or config
    workspace = Workspace.open(source, str(bundle.note["target"]), wish.asked)
    data, share = (workspace.panel, workspace.target), workspace.cv.min_feature_share
    market = market_of(source, workspace.panel)
    luck = pq.read_table(bundle.facts.folder / "multiplicity.parquet")
    location = config.lake.location
    trials = trials_of(location, bundle, splits, data, market, params, min_feature_share=share)
    bars = load_bars(source, workspace.panel) if bundle.windows else None
    case = Case(name, bundle, splits, *data, window, market, trials, luck, share, bars)
    verdict = judge(case, params, open_store(location))
    return Judgement(verdict, *_written(wish, bundle, verdict, place))


def _bundle(config: Config, model: str) -> tuple[Bundle, tuple[ObjectStore, str] | None]:
    """The bundle, and where its metrics belong: in its folder if None. Versions of the registry never change."""
    location, (name, at, version) = config.lake.location, model.rpartition("@")
    if "://" in model:
        place = bundle_place(location, model)
        return load_stored_bundle(*place), place
    if at and not Path(model).exists():
        bundle, _ = load_registered(location, check_name(name), version)
        return bundle, (open_store(location), f"runs/{bundle.note['run_id']}")
    return load_bundle(bundle_folder(Path(model))), None


def market_of(config: Config, panel: Panel) -> Market:
    """Total-return opens of the panel's symbols, over its sessions and two more; a symbol without rows has none."""
    lake, spec = Lake(config.lake.location), declared_tables(config)[_BARS]
    places = calendar().places(panel.sessions.astype("datetime64[D]").astype(np.int64))
    opens = np.full((len(places) + 2, len(panel.symbols)), np.nan)
    for i in np.unique(panel.symbol_id):
        symbol = panel.symbols[i]
        try:
            bars = lake.read(spec, symbol, ("session", "open", "div_factor"))
        except PartitionError as error:
            return Market(len(panel.symbols), None, f"no daily bars of {symbol}: {error.message}")
        at = calendar().places(bars["session"].combine_chunks().view(pa.int32()).to_numpy()) - places[0]
        inside = (at >= 0) & (at < len(opens))
        opens[at[inside], i] = (floats(bars["open"]) * floats(bars["div_factor"]))[inside]
    return Market(len(panel.symbols), opens)


# --- what is written -----------------------------------------------------------------------------


def _written(
    wish: HoldoutWish, bundle: Bundle, verdict: Verdict, place: tuple[ObjectStore, str] | None
) -> tuple[str, str]:
    """Predictions first: metrics that are there have theirs beside them."""
    metrics, predictions = _json(verdict.metrics), _parquet(verdict.predictions)
    if place is not None and wish.output is None:
        store, folder = place
        store.put_bytes(f"{folder}/{PREDICTIONS}", predictions)
        store.put_bytes(f"{folder}/{METRICS}", metrics)
        return f"{store.uri}/{folder}/{METRICS}", f"{store.uri}/{folder}/{PREDICTIONS}"
    file = wish.output or bundle.facts.folder / METRICS
    beside = file.with_name(PREDICTIONS)
    publish(beside, predictions)
    publish(file, metrics)
    return str(file), str(beside)


def _json(document: Mapping[str, Any]) -> bytes:
    return (json.dumps(document, sort_keys=True, indent=1, allow_nan=False) + "\n").encode()


def _parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue()
