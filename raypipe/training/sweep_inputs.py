"""From a person's words to a sweep: panel, splits and features, held against each other before anything runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from raypipe.config import Config
from raypipe.dataset.selection import POOLED as ALL_SYMBOLS
from raypipe.dataset.selection import Selection
from raypipe.dataset.splits import Splits
from raypipe.errors import DeveloperError, UsageError
from raypipe.schema.modeling import TuneParams
from raypipe.training.bars import load_bars
from raypipe.training.indicators import bars_known
from raypipe.training.inputs import Asked
from raypipe.training.study_data import ALL, StudyData
from raypipe.training.sweep_plan import SweepPlan, plan_sweep
from raypipe.training.workspace import Workspace, read_bytes, splits_target

__all__ = ["SweepWish", "open_sweep", "study_data"]


@dataclass(frozen=True, slots=True)
class SweepWish:
    """What a person asked for.

    Attributes
    ----------
    splits, features
        The files that `raypipe splits` and `raypipe select` wrote.
    symbols
        Symbols with studies of their own; all of the panel if empty.
    source
        Configuration whose lake has the panel; the same as the run's if None.
    asked
        Where the features come from; None: `gold/model_panel`.
    """

    splits: Path
    features: Path
    symbols: tuple[str, ...] = ()
    source: Config | None = field(default=None, repr=False)
    asked: Asked | None = None


def open_sweep(config: Config, wish: SweepWish) -> tuple[SweepPlan, StudyData]:
    """Load what a sweep needs and lay out its studies; nothing is written.

    Raises
    ------
    SplitsError
        If the splits break a rule, or are of other data.
    UsageError
        If files do not belong together, or the wish cannot be met.
    """
    workspace = Workspace.open(wish.source or config, splits_target(wish.splits), wish.asked)
    splits = workspace.read_splits(wish.splits)
    selection = _selection(wish.features, splits, workspace)
    params = config.params["tune"]
    if not isinstance(params, TuneParams):
        msg = "the section tune is of another type"
        raise DeveloperError(msg)
    data = study_data(workspace, splits, selection, windows=params.windows)
    return plan_sweep(data, params, config.lake.location, symbols=wish.symbols or None), data


def study_data(workspace: Workspace, splits: Splits, selection: Selection, *, windows: bool = False) -> StudyData:
    """The arrays of a sweep: usable rows of each fold, and the features that a fit in it may see.

    Parameters
    ----------
    workspace
        Panel and target.
    splits, selection
        Verified, and made of each other.
    windows
        Whether windows of indicators are searched; then the bars that they are made of are there too.

    Raises
    ------
    UsageError
        If a symbol has no bars that windows of indicators could be made of.
    """
    panel = workspace.panel
    bars = bars_known(load_bars(workspace.config, panel), panel) if windows else None
    folds = workspace.fold_rows(splits)
    scopes = ((ALL, ALL_SYMBOLS), *((symbol, symbol) for symbol in workspace.panel.symbols))
    selected = {(one.id, name): selection.features(one.id, scope) for one in folds for name, scope in scopes}
    return StudyData.of(
        panel,
        workspace.target,
        folds,
        selected,
        bars=bars,
        splits_sha256=splits.sha256,
        data_sha256=splits.data_sha256,
        features_sha256=selection.sha256,
    )


def _selection(path: Path, splits: Splits, workspace: Workspace) -> Selection:
    """The selected features of a file, of these splits and of columns that are there."""
    found = Selection.from_yaml(read_bytes(path))
    for name in ("target", "splits_sha256", "data_sha256"):
        wanted = splits.sha256 if name == "splits_sha256" else getattr(splits, name)
        if getattr(found, name) != wanted:
            msg = f"the features were selected with another {name}: {getattr(found, name)!r}, here it is {wanted!r}"
            raise UsageError(msg, hint="select them anew: raypipe select", file=str(path), field=name)
    known = set(workspace.panel.features)
    missing = sorted({n for scopes in found.folds.values() for names in scopes.values() for n in names} - known)
    if missing:
        msg = f"the panel has no feature {missing[0]}, nor {len(missing) - 1} more of the selected ones"
        raise UsageError(msg, hint="select them anew: raypipe select", file=str(path))
    return found
