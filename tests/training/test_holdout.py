"""Which sessions may be looked at, and how a bundle is judged on them, down to the bytes of its files."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from raypipe.dataset.matrix import Panel, Target
from raypipe.dataset.splits import Splits
from raypipe.errors import UsageError
from raypipe.schema.modeling import HoldoutParams
from raypipe.training.bundle import Predictions
from raypipe.training.holdout import Case, Window, judge, window_of
from raypipe.training.holdout_scores import Market, Trials
from raypipe.training.luck import MULTIPLICITY
from raypipe.training.trials import known_until

SYMBOLS = tuple("ABCDEFG")
SESSIONS = np.arange("2023-01-01", "2023-12-31", dtype="datetime64[D]")
SESSIONS = SESSIONS[np.is_busday(SESSIONS)]


def splits(**others) -> Splits:
    facts = {
        "target": "direction_5d",
        "horizon_sessions": 5,
        "scheme": "walk_forward",
        "window": "expanding",
        "n_folds": 5,
        "embargo_sessions": 5,
        "calendar_sha256": "c",
        "data_sha256": "d",
        "symbols": SYMBOLS,
        "cv": ("2019-01-02", "2022-12-15"),
        "holdout": ("2023-01-03", "2023-12-29"),
        "folds": (),
        "paths": None,
    }
    return Splits(**{**facts, **others})


# --- windows -------------------------------------------------------------------------------------


def test_a_window_is_that_of_the_splits_or_as_asked_for():
    assert window_of(splits(), None, None) == Window(dt.date(2023, 1, 3), dt.date(2023, 12, 29))
    asked = window_of(splits(), dt.date(2023, 2, 1), dt.date(2023, 6, 30))
    assert asked == Window(dt.date(2023, 2, 1), dt.date(2023, 6, 30))


def test_labels_of_the_training_rows_must_be_over():
    # The label of 2022-12-15 ends at the open of the sixth session after it, 2022-12-23.
    assert window_of(splits(), dt.date(2022, 12, 23), None).start == dt.date(2022, 12, 23)
    with pytest.raises(UsageError, match="was trained on rows up to 2022-12-15") as refused:
        window_of(splits(), dt.date(2022, 12, 22), None)
    assert "2022-12-23" in refused.value.hint


def test_windows_that_are_none_are_refused():
    with pytest.raises(UsageError, match="have no hold-out"):
        window_of(splits(holdout=None), None, None)
    with pytest.raises(UsageError, match="is before --start"):
        window_of(splits(), dt.date(2023, 6, 1), dt.date(2023, 5, 1))


# --- judging -------------------------------------------------------------------------------------


class Bundle:
    """Says what a column of the panel says; nothing where that is null."""

    sha256 = "f" * 64

    def predict(self, panel: Panel, bars: object = None) -> Predictions:
        z = panel.x[:, 0].astype(np.float64)
        p = (1 / (1 + np.exp(-z))).astype(np.float32)
        return Predictions(z, p, {"one": z}, {"mean": z, "logistic": -z}, panel.x[:, 1].astype(np.float64))


def case(seed=0, skill=1.0) -> Case:
    rng = np.random.default_rng(seed)
    symbol, session = np.repeat(np.arange(7), len(SESSIONS)), np.tile(np.arange(len(SESSIONS)), 7)
    decision = SESSIONS[session].astype("datetime64[ns]").astype(np.int64)
    x = rng.normal(size=(len(symbol), 2)).astype(np.float32)
    y = (skill * x[:, 0] + rng.normal(size=len(symbol)) > 0).astype(np.float32)
    y[session >= len(SESSIONS) - 6] = np.nan
    panel = Panel(SYMBOLS, SESSIONS, symbol.astype(np.int16), session.astype(np.int32), decision, ("a", "b"), x)
    target = Target("direction_5d", "class", 5, y, decision + 1, decision + 2)
    opens = np.exp(0.01 * rng.normal(size=(len(SESSIONS) + 2, 7)).cumsum(axis=0))
    luck = [
        {"scope": "_pooled", "algorithm": name, "n": 8, "observed": 0.6, "p_value": 0.01, "pbo": 0.2, "n_blocks": 16}
        for name in ("xgboost", "lightgbm")
    ]
    table = pa.Table.from_pylist([*luck, {"scope": "A", "algorithm": "xgboost", "n": 8, "p_value": 0.9}], MULTIPLICITY)
    window = Window(SESSIONS[3].item(), SESSIONS[-1].item())
    trials = Trials(19, rng.normal(size=(16, 300)))
    return Case("small", Bundle(), splits(), panel, target, window, Market(7, opens), trials, table)


def test_labelled_rows_of_the_window_are_judged():
    found = judge(case(), HoldoutParams(), None)
    rows = 7 * (len(SESSIONS) - 3 - 6)
    assert found.metrics["n_rows"] == found.predictions.num_rows == rows
    assert found.metrics["best_of_n"] == {"winners": 2, "p_values": {"xgboost": 0.01, "lightgbm": 0.01}}
    gates = {gate.name: gate for gate in found.gates}
    assert gates["best_of_n"].value == 0.02
    assert {name for name, gate in gates.items() if gate.passed} >= {"auc", "auc_lower", "pbo", "best_of_n"}
    assert found.metrics["auc_by_strategy"]["logistic"] == pytest.approx(1 - found.metrics["auc"])


def test_rows_the_bundle_is_silent_on_are_counted():
    given = case()
    x = given.panel.x.copy()
    x[::10, 0] = np.nan
    found = judge(replace(given, panel=replace(given.panel, x=x)), HoldoutParams(), None)
    assert found.unscored > 0
    assert found.metrics["n_rows"] + found.unscored == 7 * (len(SESSIONS) - 3 - 6)


def test_labels_after_the_window_and_before_it_change_nothing():
    given = case()
    given = replace(given, window=Window(dt.date(2023, 3, 1), dt.date(2023, 9, 29)))
    y = given.target.y.copy()
    days = SESSIONS[given.panel.session_id]
    outside = (days < np.datetime64("2023-03-01")) | (days > np.datetime64("2023-09-29"))
    y[outside & ~np.isnan(y)] = 1 - y[outside & ~np.isnan(y)]
    was, now = (judge(one, HoldoutParams(), None) for one in (given, replace(given, target=replace(given.target, y=y))))
    assert was.metrics == now.metrics
    assert was.predictions.equals(now.predictions)


def test_a_search_without_p_values_fails_its_gates():
    given = case()
    none = given.multiplicity.filter(pa.array([False, False, True]))
    gates = {gate.name: gate for gate in judge(replace(given, multiplicity=none), HoldoutParams(), None).gates}
    assert not gates["best_of_n"].passed
    assert gates["best_of_n"].reason == "there is no pooled winner"
    assert gates["pbo"].value is None


def test_symbols_that_are_left_out_are_refused():
    given = case()
    with pytest.raises(UsageError, match="1 symbols of the bundle are not in the panel, Z"):
        judge(replace(given, splits=splits(symbols=(*SYMBOLS, "Z"))), HoldoutParams(), None)


def test_a_panel_of_then_has_no_later_row():
    given = case()
    panel, target = known_until(given.panel, given.target, dt.date(2023, 6, 30))
    assert panel.rows == len(target.y) == 7 * int((np.datetime64("2023-06-30") >= SESSIONS).sum())
    assert panel.sessions[panel.session_id].max() == np.datetime64("2023-06-30")
    assert panel.rows_of("B").stop - panel.rows_of("B").start == panel.rows // 7
