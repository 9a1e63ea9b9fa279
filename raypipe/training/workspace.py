"""What every step of modelling starts from: a panel and a target of one lake, and the files of splits and features."""

from __future__ import annotations

import datetime as dt
import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raypipe import __version__
from raypipe.calendar import calendar
from raypipe.config import Config
from raypipe.dataset.load import panel_of, target_of
from raypipe.dataset.matrix import Panel, Target
from raypipe.dataset.selection import SELECTION, Selection, select
from raypipe.dataset.splits import FoldRows, Splits, cv_rows, fold_rows, holdout_rows, make_splits
from raypipe.dataset.verify import verify_splits
from raypipe.errors import UsageError
from raypipe.lake.files import whole_file
from raypipe.lake.manifest import Manifest
from raypipe.lake.store import Lake
from raypipe.pipeline.fingerprint import params_digest
from raypipe.pipeline.views import declared_tables
from raypipe.schema.modeling import CvParams, SelectionParams, TuneParams
from raypipe.schema.targets import TARGETS, target_spec
from raypipe.training.inputs import Asked, load_rows, named_target
from raypipe.training.targets import stored_targets

__all__ = [
    "Selection",
    "Splits",
    "Workspace",
    "publish",
    "read_bytes",
    "splits_holdout",
    "splits_target",
    "stored_targets",
    "target_kind",
    "target_name",
]

PANEL, ONCE = "gold/model_panel", "all"


def target_name(target: str, horizon: int | None = None) -> str:
    """The target that a name and a horizon mean.

    Raises
    ------
    UsageError
        If there is none, or they do not fit.

    Examples
    --------
    >>> target_name("vol_regime", 20), target_name("direction_5d")
    ('vol_regime_20d', 'direction_5d')
    """
    name = target if horizon is None or target in TARGETS else f"{target}_{horizon}d"
    spec = target_spec(name)
    if horizon is not None and spec.horizon != horizon:
        msg = f"{name} looks {spec.horizon} sessions ahead, not {horizon}"
        raise UsageError(msg, hint="leave out --horizon, or name another target")
    return name


def target_kind(name: str) -> str:
    """Whether a target is a ``class`` or a number, ``regression``; UsageError if there is none of that name."""
    return target_spec(name).kind


@dataclass(frozen=True)
class Workspace:
    """A panel with its target, row for row, and the configuration that both are used under.

    Attributes
    ----------
    config
        The configuration.
    panel, target
        The rows.
    source
        The table or file that the features are of.
    """

    config: Config
    panel: Panel = field(repr=False)
    target: Target = field(repr=False)
    source: str = PANEL

    @classmethod
    def open(cls, config: Config, target: str = "", asked: Asked | None = None) -> Workspace:
        """Load a panel and a target.

        Parameters
        ----------
        config
            Says where the lake is, and what counts as usable.
        target
            A target of `gold/targets`; not needed where ``asked`` names a label.
        asked
            Where the features come from; None: `gold/model_panel`.

        Raises
        ------
        UsageError
            If there is no such target, table, file or feature, or they do not go together.
        PartitionError
            If the panel or the targets are not built.
        SchemaError
            If rows are not as they should be.
        """
        asked = asked or Asked()
        if not asked.data:
            if asked.label or asked.label_end or asked.features:
                msg = "--features, --label and --label-end go with --data-path"
                raise UsageError(msg, hint="name the table or file that they are columns of")
            panel = _stored_panel(config)
            return cls(config, panel, target_of(panel, stored_targets(config, target, panel.symbols), target))
        loaded = load_rows(config, asked)
        listed = getattr(config.params["model_panel"], "listed", ())
        # Events are those of a whole market: a list that nobody named does not cut them down.
        named = not asked.label or config.origin.get("panel.symbols_file", "default") != "default"
        symbols = _symbols(loaded.rows, listed if named else ())
        panel = loaded.panel(symbols)
        if asked.label or asked.label_end:
            return cls(config, panel, named_target(loaded, panel, asked, symbols), loaded.name)
        return cls(config, panel, target_of(panel, stored_targets(config, target, symbols), target), loaded.name)

    # --- splits ---------------------------------------------------------------------------------

    @property
    def cv(self) -> CvParams:
        """The parameters of splits."""
        cv = self.config.params["cv"]
        assert isinstance(cv, CvParams)
        return cv

    def make_splits(
        self,
        *,
        start: dt.date | None = None,
        end: dt.date | None = None,
        holdout_start: dt.date | None = None,
        holdout_end: dt.date | None = None,
    ) -> Splits:
        """Splits under the configuration, verified; errors as of `raypipe.dataset.splits.make_splits`."""
        splits = make_splits(
            self.panel,
            self.target,
            self.cv,
            start=start,
            end=end,
            holdout_start=holdout_start,
            holdout_end=holdout_end,
        )
        self.verify(splits.to_json())
        return splits

    def verify(self, data: bytes) -> None:
        """Hold a file of splits against panel, target and calendar; SplitsError tells what is wrong."""
        verify_splits(data, self.panel, self.target, calendar(), self.cv)

    def read_splits(self, path: Path) -> Splits:
        """The splits of a file, verified before anything is made of them.

        Raises
        ------
        SplitsError
            If they break a rule.
        UsageError
            If the file cannot be read.
        """
        data = read_bytes(path)
        self.verify(data)
        return Splits.from_json(data)

    def fold_rows(self, splits: Splits) -> tuple[FoldRows, ...]:
        """The usable rows of each fold."""
        return fold_rows(splits, self.panel, self.target, min_feature_share=self.cv.min_feature_share)

    def cv_rows(self, splits: Splits) -> np.ndarray:
        """All usable rows of the cross-validation, int64."""
        return cv_rows(splits, self.panel, self.target, min_feature_share=self.cv.min_feature_share)

    def holdout_rows(self, splits: Splits) -> np.ndarray:
        """All usable rows of the hold-out, int64."""
        return holdout_rows(splits, self.panel, self.target, min_feature_share=self.cv.min_feature_share)

    # --- features -------------------------------------------------------------------------------

    def select(self, splits: Splits) -> Selection:
        """Features of each fold under the configuration, with the seed and threads of the search."""
        selection, tune = self.config.params["selection"], self.config.params["tune"]
        assert isinstance(selection, SelectionParams)
        assert isinstance(tune, TuneParams)
        return select(
            self.panel,
            self.target,
            splits,
            selection,
            tune.seed,
            min_feature_share=self.cv.min_feature_share,
            threads=tune.threads,
        )

    def write_selection(self, selection: Selection) -> None:
        """Keep the verdicts on all features as `gold/selection` in the lake."""
        params = self.config.params["selection"]
        digest = hashlib.sha256(f"selection\n{params_digest(params)}\n{selection.sha256}".encode()).hexdigest()
        manifest = Manifest(
            table=SELECTION.name,
            partition=ONCE,
            fingerprint=digest[:32],
            version=1,
            params=params_digest(params),
            schema=SELECTION.digest,
            inputs={},
            rows=selection.table.num_rows,
            code_version=__version__,
            facts={"splits_sha256": selection.splits_sha256, "data_sha256": selection.data_sha256},
        )
        Lake(self.config.lake.location).write(SELECTION, ONCE, selection.table, manifest)

    def read_selection(self, path: Path, splits: Splits) -> Selection:
        """The features of a file, held against the splits and the panel.

        Raises
        ------
        UsageError
            If the file is no selection, was made for other splits or rows, or names a feature that the panel lacks.
        """
        found = Selection.from_yaml(read_bytes(path))
        for name in ("target", "data_sha256"):
            if getattr(found, name) != getattr(splits, name):
                msg = f"{path} was made for another {name.replace('_sha256', '')}"
                raise UsageError(msg, hint="make it anew: raypipe select")
        if found.splits_sha256 != splits.sha256:
            msg = f"{path} was made for splits {found.splits_sha256[:12]}, not {splits.sha256[:12]}"
            raise UsageError(msg, hint="make it anew: raypipe select")
        named = {name for scopes in found.folds.values() for names in scopes.values() for name in names}
        unknown = sorted(named - set(self.panel.features))
        if unknown:
            msg = f"{path} names {unknown[0]}, which {self.source} does not have"
            raise UsageError(msg, hint="make it anew: raypipe select")
        return found

    @cached_property
    def lacking(self) -> tuple[str, ...]:
        """Listed symbols without a row."""
        counts = np.bincount(self.panel.symbol_id, minlength=len(self.panel.symbols))
        return tuple(name for name, count in zip(self.panel.symbols, counts, strict=True) if not count)


# --- the lake ----------------------------------------------------------------------------------


def _stored_panel(config: Config) -> Panel:
    """`gold/model_panel` of the lake."""
    if not getattr(config.params["model_panel"], "listed", ()):
        path = getattr(config.params["panel"], "symbols_file", "")
        msg = f"there is no list of symbols {path} here"
        raise UsageError(msg, hint="name one with --symbols-file, or --data-path for another table")
    spec = declared_tables(config)[PANEL]
    return panel_of(Lake(config.lake.location).read(spec, ONCE), name=PANEL)


def _symbols(rows: pa.Table, listed: tuple[str, ...]) -> tuple[str, ...]:
    """The listed symbols that have rows, in their order; all of them, sorted bytewise, if none is listed."""
    there = set(pc.unique(rows["symbol"].cast(pa.string())).to_pylist())
    mine = tuple(name for name in listed if name in there)
    return mine or tuple(sorted(there, key=str.encode))


# --- files -------------------------------------------------------------------------------------


def read_bytes(path: Path) -> bytes:
    """The content of a file that a person names.

    Raises
    ------
    UsageError
        If it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror}"
        raise UsageError(msg) from None


def splits_holdout(path: Path) -> tuple[str, str] | None:
    """First and last session of the hold-out that a file of splits names; None if it names none."""
    return Splits.from_json(read_bytes(path)).holdout


def splits_target(path: Path) -> str:
    """The target that a file of splits says it is for; whether that is so is for the verifier to say."""
    return Splits.from_json(read_bytes(path)).target


def publish(path: Path, data: bytes) -> None:
    """Write a file so that it is there whole or not at all.

    Raises
    ------
    StorageError
        If the folder cannot be written.
    """
    with whole_file(path) as temporary:
        temporary.write_bytes(data)
