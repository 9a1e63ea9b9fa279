"""Bundles: everything that predicts, in one folder of native files that a fresh process loads and trusts.

The folder holds `models/{algorithm}/{scope}/model.*`, how they are joined (`meta.json`), what they read
(`features.json`), what they were made of (`splits.json`, `feature_config.yaml`, `imputer.json`, `baseline.parquet`),
and `bundle.json`, which lists them all.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from raypipe import __version__
from raypipe.dataset.matrix import Panel
from raypipe.errors import ModelError
from raypipe.features.ta_windows import TA_COLUMNS, TaBars, TaColumns, TaRows
from raypipe.lake.names import symbol_to_file
from raypipe.lake.objects import ObjectStore
from raypipe.models.catalog import load_fitted
from raypipe.models.fitted import NOTE, Fitted
from raypipe.models.stacking import Calibrator, Meta, to_z
from raypipe.schema.spec import Column
from raypipe.training.bundle_files import (
    BundleFacts,
    check_bundle,
    fetch_bundle,
    json_bytes,
    replace_folder,
    seal_bundle,
)
from raypipe.training.indicators import NAMES, bars_known, check_windows

__all__ = ["POOLED", "Bundle", "Draft", "Predictions", "load_bundle", "load_stored_bundle", "write_bundle"]

#: Scope of models over all symbols.
POOLED = "_pooled"
_LIBRARIES = ("catboost", "lightgbm", "numpy", "scikit-learn", "scipy", "xgboost")


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """What a bundle says of the rows of a panel.

    Attributes
    ----------
    z
        float64 (n,): the picked strategy; NaN where fewer than half of the bases say something.
    p
        float32 (n,): calibrated probability of class 1, or the value of a regression.
    by_base
        float64 (n,) for each base: its z.
    by_strategy
        float64 (n,) for each strategy that could be fitted: its z.
    naive
        float64 (n,): the best single feature with its sign; NaN throughout if there is none.
    """

    z: np.ndarray
    p: np.ndarray
    by_base: Mapping[str, np.ndarray]
    by_strategy: Mapping[str, np.ndarray]
    naive: np.ndarray


@dataclass(frozen=True, slots=True)
class Bundle:
    """A loaded bundle.

    Attributes
    ----------
    facts
        Its checked files; ``facts.note`` is `bundle.json`.
    meta
        `meta.json`.
    features
        Per scope, the names of the columns that its models read, in order.
    fitted
        By (algorithm, scope), scope being ``_pooled`` or a symbol.
    strategies
        The fitted strategies by name.
    calibrator
        None for a regression.
    windows
        By (algorithm, scope): windows of the indicators that a model sees behind its features; only of models that do.
    """

    facts: BundleFacts
    meta: Mapping[str, Any]
    features: Mapping[str, tuple[str, ...]]
    fitted: Mapping[tuple[str, str], Fitted]
    strategies: Mapping[str, Meta]
    calibrator: Calibrator | None
    windows: Mapping[tuple[str, str], Mapping[str, int]] = field(default_factory=dict)
    _notes: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    _kept: Any = None  # a private copy of the files, for as long as the bundle is in use

    @property
    def sha256(self) -> str:
        """What the bundle is called by."""
        return self.facts.sha256

    @property
    def note(self) -> Mapping[str, Any]:
        """Content of `bundle.json`."""
        return self.facts.note

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that a panel needs, in the order of `features.json`."""
        return tuple(one["name"] for one in self._notes["columns"])

    def check_schema(self, schema: pa.Schema, *, name: str) -> None:
        """Hold the columns of a table against those that the bundle was made with.

        Parameters
        ----------
        schema
            Of the table.
        name
            What the error calls it.

        Raises
        ------
        ModelError
            With the differences, if a column is missing or of another type; never filled in.
        """
        here = {column.name: str(column.type) for column in schema}
        wanted = {one["name"]: one["dtype"] for one in self._notes["columns"]}
        missing = [column for column in wanted if column not in here]
        retyped = [f"{c} is {here[c]}, was {kind}" for c, kind in wanted.items() if here.get(c, kind) != kind]
        if missing or retyped:
            self._refuse_columns(missing, retyped, [c for c in here if c not in wanted], name)

    def _refuse_columns(self, missing: list[str], retyped: list[str], extra: list[str], name: str) -> None:
        other = f"; columns that the bundle does not know: {extra[:10]}" if missing and extra else ""
        msg = f"the columns differ from those of the bundle: missing {missing}, of another type {retyped}{other}"
        raise ModelError(msg, hint="build the table as the bundle had it; nothing is filled in", table=name)

    def predict(self, panel: Panel, bars: TaBars | None = None) -> Predictions:
        """Predict every row of a panel, labelled or not.

        Parameters
        ----------
        panel
            Columns in any order, others beside them. A symbol without a model of its own has the pooled bases only.
        bars
            Daily bars of the panel's symbols, from their first on; needed by a bundle with ``windows``.

        Raises
        ------
        ModelError
            If a column is missing, naming all that are; or bars are.
        """
        if self.windows and bars is None:
            msg = "its models see indicators, and there are no daily bars to make them of"
            raise ModelError(msg, hint="build silver/bars_1d of the panel's symbols: raypipe run")
        known = bars_known(bars, panel) if self.windows and bars is not None else None
        missing = [name for name in self.columns if name not in panel.features]
        if missing or panel.x.dtype != np.float32:
            retyped = [] if panel.x.dtype == np.float32 else [f"all are {panel.x.dtype}, were float32"]
            self._refuse_columns(missing, retyped, [c for c in panel.features if c not in self.columns], "panel")
        names = [one["name"] for one in self.meta["bases"]]
        raw = np.column_stack([self._base(panel, one, known) for one in self.meta["bases"]])
        z = to_z(raw, self.meta["transform"], panel.session_id)
        places = [panel.features.index(name) for name in self.meta["regime_columns"]]
        regime = panel.x[:, places].astype(np.float64)
        by_strategy = {name: one.z(z, regime) for name, one in self.strategies.items()}
        picked = by_strategy[self.meta["strategy"]]
        p = self.calibrator.p(picked) if self.calibrator else picked.astype(np.float32)
        by_base = {name: np.ascontiguousarray(z[:, i]) for i, name in enumerate(names)}
        return Predictions(picked, p, by_base, by_strategy, self._naive(panel))

    def _base(self, panel: Panel, base: Mapping[str, str], bars: TaRows | None) -> np.ndarray:
        """Predictions of one base, float64 (n,), NaN where it has no model."""
        found = np.full(panel.rows, np.nan)
        pooled = base["scope"] == "pooled"
        for scope in (POOLED,) if pooled else panel.symbols:
            fitted = self.fitted.get((base["algorithm"], scope))
            rows = slice(0, panel.rows) if pooled else panel.rows_of(scope)
            if fitted is not None and rows.stop > rows.start:
                places = [panel.features.index(name) for name in self.features["*" if pooled else scope]]
                x = np.ascontiguousarray(panel.x[rows][:, places])
                windows = self.windows.get((base["algorithm"], scope))
                if windows is not None and bars is not None:
                    mine = bars if pooled else bars.of_symbol(panel.symbols.index(scope), rows)
                    x = np.hstack([x, TaColumns(mine).of(windows)])
                found[rows] = fitted.predict(x)
        return found

    def _naive(self, panel: Panel) -> np.ndarray:
        best = self.meta["naive"]
        if best is None:
            return np.full(panel.rows, np.nan)
        values = panel.column(best["feature"]).astype(np.float64)
        z: np.ndarray = best["sign"] * np.where(np.isnan(values), best["fill"], values)
        return z


# --- loading -----------------------------------------------------------------------------------


def load_bundle(path: Path) -> Bundle:
    """Load a bundle; every hash is checked before anything is read.

    Parameters
    ----------
    path
        Its folder.

    Raises
    ------
    UsageError
        If there is no bundle.
    ModelError
        If a file is missing, altered, unlisted, too large, a link or a pickle, naming it and both hashes; or if the
        files do not describe one whole bundle.
    """
    facts = check_bundle(path)
    try:
        return _loaded(facts)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, RecursionError) as error:
        msg = f"its files do not describe a whole bundle: {type(error).__name__} {error}"
        raise ModelError(msg, hint="make the bundle again: raypipe stack", file=str(path)) from error


def _loaded(facts: BundleFacts) -> Bundle:
    meta, notes = facts.json("meta.json"), facts.json("features.json")
    strategies = {name: Meta.from_dict(one) for name, one in meta["strategies"].items() if one is not None}
    if meta["strategy"] not in strategies:
        msg = f"strategy {meta['strategy']!r} is not among its strategies"
        raise ValueError(msg)
    models = {(one["algorithm"], one["scope"]): _model(facts, one) for one in meta["models"]}
    calibrator = Calibrator.from_dict(meta["calibrator"]) if meta["calibrator"] else None
    features = {scope: tuple(names) for scope, names in notes["scopes"].items()}
    return Bundle(facts, meta, features, models, strategies, calibrator, _windows(meta, notes), notes)


def _windows(meta: Mapping[str, Any], notes: Mapping[str, Any]) -> dict[tuple[str, str], dict[str, int]]:
    """Windows of the models that have any; their columns must be those that are made here."""
    listed = tuple(one["name"] for one in notes.get("indicators", ()))
    found = {
        (one["algorithm"], one["scope"]): check_windows(one["windows"]) for one in meta["models"] if "windows" in one
    }
    if listed != (NAMES if found else ()):
        msg = f"features.json lists the indicators {list(listed)}, which are not those of its models"
        raise ValueError(msg)
    return found


def _model(facts: BundleFacts, one: Mapping[str, str]) -> Fitted:
    """A model of the bundle: its folder must be one whose files are listed, and checked."""
    if f"{one['folder']}/{NOTE}" not in facts.note["files"]:
        msg = f"meta.json names the model folder {one['folder']!r}, which is none of the bundle"
        raise ValueError(msg)
    return load_fitted(one["algorithm"], facts.folder / one["folder"])


def load_stored_bundle(store: ObjectStore, prefix: str) -> Bundle:
    """Load a bundle from below a prefix of a store; it is checked on a private copy. Else as `load_bundle`."""
    kept = _Copy()
    fetch_bundle(store, prefix, kept.folder)
    return replace(load_bundle(kept.folder), _kept=kept)


class _Copy:
    """A private folder that goes when nothing refers to it any more."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="raypipe-bundle-"))
        weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)


# --- making ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Draft:
    """What a bundle is made of.

    Attributes
    ----------
    facts
        Content of `bundle.json`, but for schema, code version, libraries and files.
    meta
        Content of `meta.json`, but for its models.
    models
        Fitted models by (algorithm, scope).
    features
        Names of the columns of each scope (``*`` = pooled), in order.
    columns
        Per column of any scope: ``name, dtype, unit, table``.
    imputer
        How each algorithm treats nulls.
    splits, selection
        Content of `splits.json` and `feature_config.yaml`.
    tables
        Further Parquet files by name: `baseline.parquet`, `multiplicity.parquet`.
    windows
        By (algorithm, scope): windows of the indicators that a model sees behind its features.
    """

    facts: Mapping[str, Any]
    meta: Mapping[str, Any]
    models: Mapping[tuple[str, str], Fitted]
    features: Mapping[str, Sequence[str]]
    columns: Sequence[Mapping[str, str]]
    imputer: Mapping[str, Any]
    splits: bytes
    selection: bytes
    tables: Mapping[str, pa.Table]
    windows: Mapping[tuple[str, str], Mapping[str, int]] = field(default_factory=dict)


def write_bundle(folder: Path, draft: Draft) -> BundleFacts:
    """Write a bundle; equal drafts give equal bytes.

    Parameters
    ----------
    folder
        Made under a temporary name and renamed; a bundle that stands there gives way.
    draft
        What it is made of.

    Raises
    ------
    UsageError
        If something else stands there.
    ModelError
        If the files do not pass the checks of a reader; nothing is left then.
    """
    replace_folder(folder, lambda fresh: _write(fresh, draft))
    return check_bundle(folder)


def _noted(column: Column) -> dict[str, str]:
    return {"name": column.name, "dtype": str(column.arrow.type), "unit": column.unit, "table": "silver/bars_1d"}


def _write(folder: Path, draft: Draft) -> None:
    models: list[dict[str, Any]] = []
    for (algorithm, scope), fitted in sorted(draft.models.items()):
        place = f"models/{algorithm}/{POOLED if scope == POOLED else symbol_to_file(scope)}"
        fitted.save(folder / place)
        models.append({"algorithm": algorithm, "scope": scope, "folder": place})
        if (algorithm, scope) in draft.windows:
            models[-1]["windows"] = dict(draft.windows[algorithm, scope])
    documents: dict[str, Mapping[str, Any]] = {
        "meta.json": {"schema": 1, **draft.meta, "models": models},
        "imputer.json": {"schema": 1, **draft.imputer},
        "features.json": {
            "schema": 1,
            "columns": [dict(one) for one in draft.columns],
            "scopes": {scope: list(names) for scope, names in draft.features.items()},
            **({"indicators": [_noted(column) for column in TA_COLUMNS]} if draft.windows else {}),
        },
    }
    for name, document in documents.items():
        (folder / name).write_bytes(json_bytes(document))
    (folder / "splits.json").write_bytes(draft.splits)
    (folder / "feature_config.yaml").write_bytes(draft.selection)
    for name, table in draft.tables.items():
        pq.write_table(table, folder / name, compression="zstd")
    libraries = {name: version(name) for name in _LIBRARIES}
    seal_bundle(folder, {**draft.facts, "code_version": __version__, "libraries": libraries})
