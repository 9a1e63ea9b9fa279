"""From journals to a draft bundle: what is stacked and refitted, and that nothing later changes what came before."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from raypipe.dataset.splits import cv_rows, holdout_rows
from raypipe.errors import DataQualityError, UsageError
from raypipe.models.catalog import model
from raypipe.models.stacking import forward_stack
from raypipe.training.bundle import load_bundle, write_bundle
from raypipe.training.draft import _oof_rows, stack_oof, train
from raypipe.training.journal import POOLED, read_study, study_key
from raypipe.training.luck import multiplicity_table
from raypipe.training.oof import Oof, median_rounds, read_run
from raypipe.training.stack_scores import Judged, choose, naive_feature
from raypipe.training.study_ask import hashed_seed
from tests.training.bundles import files_of
from tests.training.runs import RUN, data, material

pytestmark = pytest.mark.usefixtures("one_net")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("run")


@pytest.fixture(scope="module")
def made(root):
    return material(root)


@pytest.fixture(scope="module")
def trained(made):
    return train(made)


# --- out-of-fold rows ------------------------------------------------------------------------------


def test_oof_rows_are_those_that_folds_tested_and_say_what_the_winners_said(made, trained, root):
    table = trained.oof
    tested = np.sort(np.concatenate([fold.test for fold in made.folds]))
    assert table.num_rows == len(tested)
    assert table["fold_id"].to_pylist() == [
        next(fold.id for fold in made.folds if row in set(fold.test.tolist())) for row in tested
    ]
    pooled = read_study(made.run.location, study_key(RUN, "lightgbm", POOLED))
    np.testing.assert_array_equal(table["p_lightgbm_pooled"].to_numpy(), pooled.oof(pooled.final.winner)[tested])
    one = read_study(made.run.location, study_key(RUN, "logistic", "S01"))
    place = made.panel.rows_of("S01")
    here = (tested >= place.start) & (tested < place.stop)
    wanted = one.oof(one.final.winner)[tested[here] - place.start]
    np.testing.assert_array_equal(table["p_logistic_symbol"].to_numpy()[here], wanted)
    first = table["fold_id"].to_numpy() == 1
    assert not np.isnan(table["stack_mean"].to_numpy(zero_copy_only=False)).any()
    for name in ("stack_logistic", "stack_meta_mlp"):
        assert (np.isnan(table[name].to_numpy(zero_copy_only=False)) == first).all()
    assert set(np.unique(made.target.end_ns[tested])) == set(table["label_end_ns"].to_pylist())


def test_a_base_without_a_model_for_a_symbol_is_null_and_the_others_stand_in(made, root):
    winners = {key: one for key, one in made.run.studies.items() if key != ("logistic", "S02")}
    run = dataclasses.replace(made.run, studies=winners)
    oof = Oof.of(run, made.panel, made.folds)
    place = made.panel.rows_of("S02")
    missing = np.isnan(oof.p[:, [b.name for b in oof.bases].index("logistic.symbol")])
    assert (missing == (oof.rows >= place.start) & (oof.rows < place.stop)).all()
    stacked = stack_oof(dataclasses.replace(made, run=run))
    assert not np.isnan(stacked.z["mean"]).any()


def test_a_run_must_be_there_whole_and_of_these_rows(made, root, tmp_path):
    with pytest.raises(UsageError, match="no studies of any"):
        read_run(made.run.location, "ffffffffffff")
    with pytest.raises(UsageError, match="no studies of catboost"):
        read_run(made.run.location, RUN, ["lightgbm", "catboost"])
    other = dataclasses.replace(made.splits, embargo_sessions=4)
    with pytest.raises(DataQualityError, match="splits_sha256"):
        train(dataclasses.replace(made, splits=other))
    cut = dataclasses.replace(made.splits, scheme="purged_kfold")
    with pytest.raises(UsageError, match="cannot be stacked"):
        train(dataclasses.replace(made, splits=cut))


def test_a_study_that_goes_on_is_not_stacked(root, tmp_path):
    import shutil

    shutil.copytree(root / "runs", tmp_path / "runs")
    path = tmp_path / study_key(RUN, "logistic", "S00") / "journal.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    from raypipe.lake.location import Location

    with pytest.raises(UsageError, match="has not ended"):
        read_run(Location.parse(str(tmp_path)), RUN)


# --- laws of the stack -----------------------------------------------------------------------------


def test_noise_in_later_folds_changes_no_learner_of_earlier_ones(made):
    oof = Oof.of(made.run, made.panel, made.folds)
    rows, draw = _oof_rows(made, oof), np.random.default_rng(5)
    known = {strategy: forward_stack(strategy, rows) for strategy in ("logistic", "meta-mlp")}
    for fold in (2, 3):
        later = rows.fold > fold
        y, z = rows.y.copy(), rows.z.copy()
        y[later], z[later] = draw.integers(0, 2, later.sum()), draw.normal(size=z[later].shape)
        for strategy, one in known.items():
            other = forward_stack(strategy, dataclasses.replace(rows, y=y, z=z))
            np.testing.assert_array_equal(one[~later], other[~later])


def test_noise_in_the_holdout_changes_no_byte_of_the_bundle(made, trained, root, tmp_path):
    held = np.zeros(made.panel.rows, bool)
    held[made.rows.max(initial=0) :] = False
    days = made.panel.sessions[made.panel.session_id]
    held = days >= np.datetime64(made.splits.holdout[0])
    assert held[holdout_rows(made.splits, made.panel, made.target)].all()
    draw = np.random.default_rng(1)
    x, y = made.panel.x.copy(), made.target.y.copy()
    x[held] = draw.normal(size=x[held].shape)
    y[held & made.target.known] = draw.integers(0, 2, (held & made.target.known).sum())
    panel, target = dataclasses.replace(made.panel, x=x), dataclasses.replace(made.target, y=y)
    again = material(tmp_path / "again", of=(panel, target))
    write_bundle(tmp_path / "one", trained.draft)
    write_bundle(tmp_path / "other", train(again).draft)
    assert files_of(tmp_path / "one") == files_of(tmp_path / "other")


def test_auto_takes_the_mean_unless_another_is_better_by_more_than_its_error():
    draw = np.random.default_rng(0)
    sessions, symbols = 300, 5
    y = draw.integers(0, 2, sessions * symbols).astype(np.float32)
    session = np.repeat(np.arange(sessions), symbols)
    judged = Judged(y, session * 3 // sessions + 1, session, "class", 1)
    weak, strong = (draw.normal(size=len(y)) + k * (2 * y - 1) for k in (0.1, 0.6))
    assert choose(judged, {"mean": weak, "logistic": strong, "meta-mlp": weak}) == "logistic"
    assert choose(judged, {"mean": strong, "logistic": weak}) == "mean"
    assert choose(judged, {"mean": weak, "logistic": weak + 1e-9 * strong}) == "mean"
    few = Judged(y[:30], np.repeat([1, 2], 15), session[:30], "class", 1)
    assert choose(few, {"mean": weak[:30], "logistic": 2 * y[:30] - 1}) == "mean"
    assert choose(judged, {"mean": weak, "logistic": np.full(len(y), np.nan)}) == "mean"


def test_the_naive_feature_is_the_best_single_one_with_its_sign(made):
    rows, fold = np.sort(np.concatenate([f.test for f in made.folds])), None
    fold = Oof.of(made.run, made.panel, made.folds).fold
    found = naive_feature(made.panel, made.target, rows, fold)
    assert (found.feature, found.sign) == ("f0", 1)
    turned = dataclasses.replace(made.panel, x=-made.panel.x)
    assert naive_feature(turned, made.target, rows, fold).sign == -1
    assert not np.isnan(found.z(made.panel)).any()


# --- scores ----------------------------------------------------------------------------------------


def test_every_strategy_every_base_and_the_naive_feature_are_scored(trained):
    rows = trained.stacked.scores.to_pylist()
    names = {row["strategy"] for row in rows}
    bases = {"lightgbm.pooled", "lightgbm.symbol", "logistic.pooled", "logistic.symbol"}
    assert names == {"mean", "logistic", "meta-mlp", "naive", *bases}
    whole = {row["strategy"]: row for row in rows if row["fold_id"] is None}
    assert whole["mean"]["auc"] > 0.65
    assert whole["mean"]["diff_vs_mean"] == 0
    assert all(row["auc"] is not None and row["auc_se"] is not None for row in whole.values())
    assert whole["naive"]["log_loss"] is None
    assert [row["auc"] is None for row in rows if row["fold_id"] == 1 and row["strategy"] == "logistic"] == [True]
    assert {row["strategy"] for row in rows if row["picked"]} == {trained.stacked.picked}
    assert whole["mean"]["auc"] - whole["naive"]["auc"] == pytest.approx(-whole["naive"]["diff_vs_mean"])


def test_scores_are_those_of_scikit_learn(trained, made):
    from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

    oof = trained.stacked.oof
    later = oof.fold > 1
    y, p = made.target.y[oof.rows[later]], oof.p[later, 0]
    name = oof.bases[0].name
    found = next(r for r in trained.stacked.scores.to_pylist() if r["strategy"] == name and r["fold_id"] is None)
    assert found["auc"] == pytest.approx(roc_auc_score(y, p))
    assert found["brier"] == pytest.approx(brier_score_loss(y, p))
    assert found["log_loss"] == pytest.approx(log_loss(y, p.astype(float)))


def test_multiplicity_has_every_study_and_the_pooled_ones_first(made, trained):
    rows = trained.multiplicity.to_pylist()
    assert [(row["scope"], row["algorithm"]) for row in rows[:2]] == [(POOLED, "lightgbm"), (POOLED, "logistic")]
    assert len(rows) == len(made.run.studies)
    assert all(row["n"] == 3 and row["p_value"] < 0.05 for row in rows[:2])
    assert rows[0]["pbo"] == rows[1]["pbo"] is not None
    assert all(row["pbo"] is None for row in rows[2:])
    winner = made.run.winners["lightgbm", POOLED]
    assert rows[0]["observed"] == pytest.approx(winner.value)
    assert multiplicity_table(made.run, made.panel, made.target, made.folds) == trained.multiplicity


# --- the bundle ------------------------------------------------------------------------------------


def test_final_models_are_the_winners_on_all_rows_with_median_rounds(made, trained):
    winner = made.run.winners["lightgbm", "S01"]
    rounds = sorted(winner.fold_rounds)
    assert median_rounds(winner) == round((rounds[1] + rounds[2]) / 2)
    rows = cv_rows(made.splits, made.panel, made.target)
    place = made.panel.rows_of("S01")
    rows = rows[(rows >= place.start) & (rows < place.stop)]
    family = model("lightgbm")[0]
    fitted = family.fit(
        made.panel.x[rows][:, :3],
        made.target.y[rows],
        task="class",
        params=family.split(winner.params)[0],
        rounds=median_rounds(winner),
        seed=hashed_seed(hashed_seed(7, made.target.name, "lightgbm", "S01"), "model"),
    )
    x = made.panel.x[place][:, :3]
    np.testing.assert_array_equal(fitted.predict(x), trained.draft.models["lightgbm", "S01"].predict(x))
    assert (
        made.target.end_ns[made.rows].max()
        < made.panel.decision_ns[holdout_rows(made.splits, made.panel, made.target)].min()
    )


def test_the_bundle_says_what_it_is_and_predicts_the_holdout(made, trained, tmp_path):
    facts = write_bundle(tmp_path / "b", trained.draft)
    note = facts.note
    assert note["target"] == made.target.name
    assert note["algorithms"] == ["lightgbm", "logistic"]
    assert set(note["params"]["lightgbm"]) == {POOLED, *made.panel.symbols}
    assert note["train"] == {"start": made.splits.cv[0], "end": made.splits.cv[1]}
    assert note["splits_sha256"] == made.splits.sha256
    assert (facts.folder / "splits.json").read_bytes() == made.splits.to_json()
    for name in ("baseline.parquet", "imputer.json", "feature_config.yaml", "multiplicity.parquet"):
        assert name in note["files"]
    bundle = load_bundle(tmp_path / "b")
    told = bundle.predict(made.panel)
    held = holdout_rows(made.splits, made.panel, made.target)
    from sklearn.metrics import roc_auc_score

    assert roc_auc_score(made.target.y[held], told.z[held]) > 0.6
    assert bundle.meta["trials"] == {"configurations": 12, "strategies": 3}


def test_the_baseline_is_of_the_refit_rows(made, trained):
    table = trained.draft.tables["baseline.parquet"].to_pylist()
    assert {row["symbol"] for row in table} == {"*", *made.panel.symbols}
    one = next(row for row in table if row["feature"] == "f1" and row["symbol"] == "*")
    values = made.panel.column("f1")[made.rows]
    assert (one["n"], one["n_null"]) == (len(values), int(np.isnan(values).sum()))
    assert one["mean"] == pytest.approx(float(np.nanmean(values.astype(float))))
    assert len(one["edges"]) == 99
    assert len(one["counts"]) == 101
    assert one["psi_null95"] > 0


def test_equal_runs_make_equal_bundles_and_a_named_strategy_is_taken(made, trained, tmp_path):
    write_bundle(tmp_path / "one", trained.draft)
    write_bundle(tmp_path / "two", train(made).draft)
    assert files_of(tmp_path / "one") == files_of(tmp_path / "two")
    asked = stack_oof(dataclasses.replace(made, stack=made.stack.model_copy(update={"strategy": "meta-mlp"})))
    assert asked.picked == "meta-mlp"
    assert asked.auto == trained.stacked.auto


def test_regime_columns_must_be_in_the_panel(made):
    asked = made.stack.model_copy(update={"regime_columns": ("volatility",)})
    with pytest.raises(UsageError, match="volatility"):
        train(dataclasses.replace(made, stack=asked))
    given = made.stack.model_copy(update={"regime_columns": ("f3",), "strategy": "logistic"})
    meta = train(dataclasses.replace(made, stack=given)).draft.meta
    assert meta["regime_columns"] == ["f3"]
    assert len(meta["strategies"]["logistic"]["regime_weights"]) == 1


def test_a_regression_is_stacked_by_its_mean(tmp_path):
    given = material(tmp_path, algorithms=("lightgbm",), of=data(kind="regression"), n_configs=2)
    made = train(given)
    assert made.stacked.picked == "mean"
    assert list(made.stacked.z) == ["mean"]
    np.testing.assert_allclose(made.stacked.z["mean"], made.stacked.oof.p.astype(float).mean(axis=1))
    whole = next(row for row in made.stacked.scores.to_pylist() if row["strategy"] == "mean")
    assert whole["rank_ic"] is not None
    assert whole["log_loss"] is None
    assert not math.isnan(whole["auc"])
    write_bundle(tmp_path / "b", made.draft)
    told = load_bundle(tmp_path / "b").predict(given.panel)
    np.testing.assert_array_equal(told.p, told.z.astype(np.float32))
    with pytest.raises(UsageError, match="logistic cannot be fitted"):
        train(dataclasses.replace(given, stack=given.stack.model_copy(update={"strategy": "logistic"})))
