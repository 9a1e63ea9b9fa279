"""The whole way from bars to a verdict, as the commands go it: panel, splits, sweep, stack, bundle, hold-out.

Nothing is left out but files of tables: families are computed from tables in memory. Features are not selected, which
the controls do not need.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from raypipe.calendar import calendar
from raypipe.dataset.load import panel_of, target_of
from raypipe.dataset.matrix import Panel, Target
from raypipe.dataset.splits import Splits, fold_rows, make_splits
from raypipe.features.bars_1d import BARS_1D
from raypipe.labels.targets import targets_of
from raypipe.lake.location import Location
from raypipe.pipeline.stages import family_catalog
from raypipe.schema.family import Inputs
from raypipe.schema.frames import constant_dictionary
from raypipe.schema.modeling import CvParams, HoldoutParams, StackParams, TuneParams
from raypipe.training.bundle import load_bundle, write_bundle
from raypipe.training.draft import Material, train
from raypipe.training.holdout import Case, Verdict, judge, window_of
from raypipe.training.holdout_scores import Market
from raypipe.training.oof import read_run
from raypipe.training.study import run_study
from raypipe.training.study_data import ALL, StudyData
from raypipe.training.sweep_plan import plan_sweep
from raypipe.training.trials import trials_of

#: Bars of one symbol by name of the column, and the session of each.
Bars = Mapping[str, np.ndarray]


# --- bars to panel and targets -------------------------------------------------------------------


def bars_table(symbol: str, sessions: np.ndarray, bars: Bars) -> pa.Table:
    """Rows of silver/bars_1d of one symbol; ``sessions`` datetime64[D]."""
    days, rows = sessions.astype("datetime64[D]").astype(np.int64), len(sessions)
    columns = {"split_factor": np.ones(rows), "dividend_usd": np.zeros(rows), "is_stale": np.zeros(rows, bool)}
    columns |= {"div_factor": np.ones(rows), **bars}
    return BARS_1D.build(
        {
            "session": pa.array(days.astype(np.int32)).view(pa.date32()),
            "symbol": constant_dictionary(symbol, rows),
            **{name: pa.array(column) for name, column in columns.items()},
            "available_ns": pa.array(calendar().hours(days)[1]),
        }
    )


@dataclass(frozen=True)
class World:
    """A market as tables: the panel, the targets, and total-return opens by symbol."""

    panel: pa.Table
    targets: pa.Table
    bars: Mapping[str, pa.Table]

    @classmethod
    def of(cls, bars: Mapping[str, pa.Table]) -> World:
        catalog, symbols = family_catalog(), tuple(bars)
        days = np.unique(np.concatenate([table["session"].to_numpy() for table in bars.values()]))
        inputs = Inputs((), {}, symbols=symbols, by_symbol={BARS_1D.name: bars})
        technical = _by_symbol(catalog["panel_technical"], inputs, symbols)
        universe = {None: pa.table({"session": pa.array(days)})}
        forward = _by_symbol(catalog["forward_labels"], replace(inputs, tables={"silver/universe": universe}), symbols)
        last = int(calendar().places(days.astype("datetime64[D]").astype(np.int64)).max())
        params = catalog["targets"].params()
        family = catalog["model_panel"]
        joined = family.compute(
            Inputs((), {}, by_symbol={"gold/panel_technical": technical}), family.params(listed=symbols)
        )
        targets = pa.concat_tables([targets_of(bars[name], forward[name], last, params) for name in symbols])
        return cls(joined.table.replace_schema_metadata({"symbols": " ".join(symbols)}), targets, bars)

    def data(self, target: str, features: Mapping[str, np.ndarray] | None = None) -> tuple[Panel, Target]:
        """Panel and target; ``features`` are planted beside the others, by row of the panel's table."""
        table = self.panel
        for name, values in (features or {}).items():
            table = table.append_column(name, pa.array(values.astype(np.float32), mask=np.isnan(values)))
        symbols = tuple(self.bars)
        panel = panel_of(table, symbols=symbols)
        return panel, target_of(panel, self.targets, target)

    def market(self, panel: Panel) -> Market:
        """Opens by the panel's sessions."""
        opens = np.full((len(panel.sessions) + 2, len(panel.symbols)), np.nan)
        for i, name in enumerate(panel.symbols):
            at = np.searchsorted(panel.sessions, self.bars[name]["session"].to_numpy().astype("datetime64[D]"))
            opens[at, i] = self.bars[name]["open"].to_numpy() * self.bars[name]["div_factor"].to_numpy()
        return Market(len(panel.symbols), opens)


def _by_symbol(family, inputs: Inputs, symbols: tuple[str, ...]) -> dict[str, pa.Table]:
    table = family.compute(inputs, family.params()).table
    names = table["symbol"].cast(pa.string()).to_numpy(zero_copy_only=False)
    return {name: table.filter(pa.array(names == name)) for name in symbols}


# --- panel to verdict ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Everything:
    """The same columns in every fold: a selection that selects nothing."""

    names: tuple[str, ...]

    def features(self, fold_id: int, scope: str) -> tuple[str, ...]:
        return self.names

    def to_yaml(self) -> bytes:
        return b"schema: 1\n"


@dataclass(frozen=True)
class Setup:
    """How the chain is gone; ``prepare`` changes the panel before anything is split, ``choose`` says what is seen."""

    tune: TuneParams
    holdout_start: dt.date
    cv: CvParams = field(default_factory=CvParams)
    stack: StackParams = field(default_factory=StackParams)
    holdout: HoldoutParams = field(default_factory=HoldoutParams)
    prepare: Callable[[Panel, Target], Panel] = lambda panel, _: panel
    choose: Callable[[Panel, Target], Everything] = lambda panel, _: Everything(panel.features)


def chain(data: tuple[Panel, Target], market: Market, setup: Setup, folder: Path) -> Verdict:
    """Search, stack, and judge the loaded bundle on the hold-out."""
    panel, target = data
    splits = make_splits(panel, target, setup.cv, holdout_start=setup.holdout_start)
    material = searched(data, splits, setup, folder)
    trained = train(material)
    write_bundle(folder / "bundle", trained.draft)
    bundle = load_bundle(folder / "bundle")
    trials = trials_of(material.run.location, bundle, splits, data, market, setup.holdout)
    window = window_of(splits, None, None)
    case = Case("control", bundle, splits, panel, target, window, market, trials, trained.multiplicity)
    return judge(case, setup.holdout, None)


def searched(data: tuple[Panel, Target], splits: Splits, setup: Setup, folder: Path) -> Material:
    """Run every study, in order; what a stack is made of."""
    panel, target = setup.prepare(*data), data[1]
    folds, location = fold_rows(splits, panel, target), Location.parse(str(folder))
    chosen = setup.choose(panel, target)
    scopes = [ALL, *(panel.symbols if setup.tune.per_symbol else ())]
    selected = {(fold.id, scope): chosen.features(fold.id, scope) for fold in folds for scope in scopes}
    hashes = {"splits_sha256": splits.sha256, "data_sha256": splits.data_sha256, "features_sha256": ""}
    arrays = StudyData.of(panel, target, folds, selected, **hashes)
    plan = plan_sweep(arrays, setup.tune, location)
    for job in plan.jobs:
        outcome = run_study(job, arrays)
        assert outcome.status == "done", outcome
    return Material(read_run(location, plan.run_id), panel, target, splits, chosen, setup.tune, setup.stack)
