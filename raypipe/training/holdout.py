"""Judge a bundle on sessions that nothing has seen, and write down what was seen.

Choices are made on the cross-validation; here they are only measured. Every look is recorded before the scores are
made, so none goes uncounted. Equal runs write equal bytes: there is no clock in them.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

import raypipe
from raypipe.calendar import calendar
from raypipe.dataset.matrix import Panel, Target
from raypipe.dataset.splits import usable_rows
from raypipe.dataset.splits_file import Splits
from raypipe.errors import UsageError
from raypipe.evaluation.books import Book
from raypipe.features.ta_windows import TaBars
from raypipe.lake.objects import ObjectStore
from raypipe.pipeline.machine import one_thread
from raypipe.report.gates import Gate, decide, thresholds_of, verdict_of
from raypipe.schema.modeling import HoldoutParams
from raypipe.training.bundle import Bundle, Predictions
from raypipe.training.holdout_scores import Judged, Market, Rows, Trials, book_scores, row_scores
from raypipe.training.looks import earlier_looks, record_look

__all__ = ["Case", "Verdict", "Window", "judge", "window_of"]

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Window:
    """First and last session that are looked at."""

    start: dt.date
    end: dt.date


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """What is judged.

    Attributes
    ----------
    name
        Of the model in the registry.
    bundle, splits
        The bundle and what it was trained by.
    panel, target
        All rows; those of the window are looked at.
    window
        Which sessions.
    market, trials
        Prices, and what was tried before.
    multiplicity
        `multiplicity.parquet` of the run.
    min_feature_share
        Share of its features that a usable row has.
    bars
        Daily bars of the panel's symbols, for a bundle whose models see indicators.
    """

    name: str
    bundle: Bundle
    splits: Splits
    panel: Panel
    target: Target
    window: Window
    market: Market
    trials: Trials
    multiplicity: pa.Table
    min_feature_share: float = 0.5
    bars: TaBars | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Verdict:
    """What was found.

    Attributes
    ----------
    metrics
        Content of `holdout_metrics.json`.
    gates
        The decision table.
    predictions
        Content of `holdout_predictions.parquet`.
    unscored
        Labelled rows for which the bundle has no prediction.
    """

    metrics: dict[str, Any]
    gates: tuple[Gate, ...]
    predictions: pa.Table
    unscored: int

    @property
    def passed(self) -> bool:
        """Whether all gates pass."""
        return verdict_of(self.gates) == "pass"


# --- which sessions ------------------------------------------------------------------------------


def window_of(splits: Splits, start: dt.date | None, end: dt.date | None) -> Window:
    """The sessions to look at: as asked for, else the hold-out of the splits.

    Raises
    ------
    UsageError
        If there is no start, the window is empty, or labels of the cross-validation reach into it.
    """
    known = splits.holdout or (None, None)
    first = start or (dt.date.fromisoformat(known[0]) if known[0] else None)
    last = end or (dt.date.fromisoformat(known[1]) if known[1] else None)
    if first is None or last is None:
        msg = "the splits of the bundle have no hold-out"
        raise UsageError(msg, hint="name sessions after the cross-validation with --start and --end")
    if last < first:
        msg = f"--end {last} is before --start {first}"
        raise UsageError(msg)
    # The label of the last row ends at the open of session h + 1 after it: decisions may begin that day's close.
    free = calendar().offset(dt.date.fromisoformat(splits.cv[1]), splits.horizon_sessions + 1)
    if first < free:
        msg = f"the bundle was trained on rows up to {splits.cv[1]}, whose labels reach into {first} .. {last}"
        raise UsageError(msg, hint=f"the first session that it has not seen is {free}")
    return Window(first, last)


def _rows_in(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the window, and which of these are usable: int64 (m,), bool (m,)."""
    days = case.panel.sessions[case.panel.session_id]
    inside = (days >= np.datetime64(case.window.start)) & (days <= np.datetime64(case.window.end))
    rows = np.flatnonzero(inside)
    return rows, usable_rows(case.panel, case.target, case.min_feature_share)[rows]


# --- judging -------------------------------------------------------------------------------------


@one_thread()
def judge(case: Case, params: HoldoutParams, store: ObjectStore | None) -> Verdict:
    """Score a bundle on its window.

    Parameters
    ----------
    case
        What is judged.
    params
        Thresholds and costs.
    store
        Where the look is recorded and earlier ones are counted; None: nowhere, none.

    Raises
    ------
    UsageError
        If the window has no labelled row, or symbols of the bundle are not in the panel. Then nothing was looked at.
    """
    within, usable = _rows_in(case)
    _refuse(case, int(usable.sum()))
    window = {"start": case.window.start.isoformat(), "end": case.window.end.isoformat()}
    looks = 0
    if store is not None:
        key = (case.bundle.sha256, *window.values())
        looks = earlier_looks(store, case.name, *key)
        record_look(store, case.name, {"bundle_sha256": case.bundle.sha256, "target": case.target.name, **window})
    told = case.bundle.predict(_part(case.panel, within), case.bars)
    scored = usable & np.isfinite(told.z)
    rows = _rows(case, within[scored], told, scored)
    strategies = {name: z[scored] for name, z in told.by_strategy.items()}
    trials = replace(case.trials, raw=case.trials.raw + looks)
    parts = (
        row_scores(rows, strategies, told.naive[scored], params),
        book_scores(rows, case.market, trials, params),
        _search(case.multiplicity),
    )
    metrics = {**_facts(case, rows, window, looks), **{k: v for part in parts for k, v in part.metrics.items()}}
    why = {name: text for part in parts for name, text in part.why_null.items()}
    gates = decide(metrics, thresholds_of(params), why)
    metrics |= {"gates": [gate.to_dict() for gate in gates], "verdict": verdict_of(gates)}
    return Verdict(metrics, gates, _table(case, rows, parts[1].book), int((usable & ~scored).sum()))


def _refuse(case: Case, labelled: int) -> None:
    absent = [symbol for symbol in case.splits.symbols if symbol not in case.panel.symbols]
    if absent:
        msg = f"{len(absent)} symbols of the bundle are not in the panel, {absent[0]} the first"
        raise UsageError(msg, hint="judge it on the symbols that it was made for: --symbols-file")
    if not labelled:
        msg = f"no row from {case.window.start} to {case.window.end} has a label"
        raise UsageError(msg, hint=f"the panel reaches from {case.panel.sessions[0]} to {case.panel.sessions[-1]}")


def _part(panel: Panel, rows: np.ndarray) -> Panel:
    x = panel.x[rows]
    x.flags.writeable = False
    return replace(
        panel,
        symbol_id=panel.symbol_id[rows],
        session_id=panel.session_id[rows],
        decision_ns=panel.decision_ns[rows],
        x=x,
    )


def _rows(case: Case, rows: np.ndarray, told: Predictions, scored: np.ndarray) -> Rows:
    target, panel = case.target, case.panel
    keys = panel.session_id[rows].astype(np.int64), panel.symbol_id[rows].astype(np.int64)
    outcome = (target.name, target.kind, target.horizon)
    return Rows(*outcome, *keys, target.y[rows], told.z[scored], told.p[scored])


def _facts(case: Case, rows: Rows, window: Mapping[str, str], looks: int) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "name": case.name,
        "bundle_sha256": case.bundle.sha256,
        "target": case.target.name,
        "horizon_sessions": case.target.horizon,
        **window,
        "n_sessions": rows.sessions,
        "n_rows": len(rows.y),
        "n_symbols": len(np.unique(rows.symbol_id)),
        "base_rate_cv": _base_rate_cv(case),
        "base_rate_holdout": float(rows.up.mean()) if len(rows.y) else None,
        "looks": looks,
        "splits_sha256": case.splits.sha256,
        "data_sha256": case.splits.data_sha256,
        "code_version": raypipe.__version__,
    }


def _base_rate_cv(case: Case) -> float | None:
    first, last = (np.datetime64(day) for day in case.splits.cv)
    days = case.panel.sessions[case.panel.session_id]
    y = case.target.y[case.target.known & (days >= first) & (days <= last)]
    return float((y > 0).mean()) if len(y) else None


def _search(multiplicity: pa.Table) -> Judged:
    """What the search says of itself: overfitting, and the pooled winners against as many without skill."""
    pooled = [row for row in multiplicity.to_pylist() if row["scope"] == "_pooled"]
    p_values = {row["algorithm"]: row["p_value"] for row in pooled}
    found = {row["pbo"] for row in pooled}
    value = found.pop() if len(found) == 1 else None
    why = {}
    if value is None:
        why["pbo"] = "fewer than 2 complete pooled configurations, or too short a history"
    if not p_values or None in p_values.values():
        why["best_of_n"] = "a pooled winner has no p-value" if p_values else "there is no pooled winner"
    return Judged({"pbo": value, "best_of_n": {"winners": len(pooled), "p_values": p_values}}, why)


# --- predictions ---------------------------------------------------------------------------------


def _table(case: Case, rows: Rows, book: Book | None) -> pa.Table:
    """`holdout_predictions.parquet`, sorted by session and symbol; weight and return null without a book."""
    order = np.lexsort((rows.symbol_id, rows.session_id))
    session, symbol = rows.session_id[order], rows.symbol_id[order]
    days = case.panel.sessions[session].astype("datetime64[D]").astype(np.int32)
    names = pa.DictionaryArray.from_arrays(pa.array(symbol.astype(np.int32)), list(case.panel.symbols))
    nothing = pa.nulls(len(order), pa.float64())
    cell = (session - rows.session_id.min(), symbol) if len(order) else None
    columns = {
        "session": pa.array(days).view(pa.date32()),
        "symbol": names.cast(pa.string()),
        "p": pa.array(rows.p[order].astype(np.float32)),
        "z": pa.array(rows.z[order].astype(np.float32)),
        "y": pa.array(rows.y[order]),
        "weight": pa.array(book.weights[cell]) if book and cell else nothing,
        "ret": pa.array(book.symbol_returns[cell]) if book and cell else nothing,
    }
    return pa.table(columns)
