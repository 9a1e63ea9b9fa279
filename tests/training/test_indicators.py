"""Windows of indicators in a search: what is asked, what fits see, and the same bits in journals and bundles."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from raypipe.errors import DeveloperError, ModelError, UsageError
from raypipe.features.ta_windows import TaColumns
from raypipe.models.catalog import model
from raypipe.schema.modeling import TuneParams
from raypipe.training.bundle import load_bundle, write_bundle
from raypipe.training.draft import refit, train
from raypipe.training.indicators import DEFAULT, NAMES, SPACE, bars_known, check_windows, split_windows, with_columns
from raypipe.training.journal import POOLED, read_study
from raypipe.training.study import Study, run_study
from raypipe.training.study_data import StudyData, StudyView
from raypipe.training.study_fit import Fit, run_configuration
from raypipe.training.sweep_run import ProcessSweep
from tests.training.bundles import files_of
from tests.training.runs import Chosen
from tests.training.sweeps import plan_at, sweep, sweep_bytes, timeless
from tests.training.windowed import PLANTED, SCOPES, SYMBOLS, arrays, bars_of, job, last_sessions, made, material, walks

ROOT = Path(__file__).parents[2]
PARAMS = TuneParams(algorithms=("logistic",), n_configs=3, seed=7, windows=True)


@pytest.fixture(scope="module")
def given():
    return made()


@pytest.fixture(scope="module")
def data(given):
    return arrays(*given)


def run(data: StudyData, algorithm: str, windows: dict[str, int], scope: str = POOLED):
    family = model(algorithm)[0]
    view = StudyView(data, scope, early_stop=True)
    params = {**family.default("safe", "pooled"), **windows}
    return run_configuration(view, Fit(family, 5, 1), params, lambda _: False, i=0, source="default")


# --- a configuration -----------------------------------------------------------------------------


@pytest.mark.parametrize(("algorithm", "scope"), [("logistic", POOLED), ("lightgbm", "BRK.B")])
def test_fits_see_the_columns_behind_the_features(given, data, algorithm, scope):
    panel, _, bars = given
    windows = {**DEFAULT, "momentum_n": PLANTED, "macd_slow": 40}
    result, oof = run(data, algorithm, windows, scope)
    assert result.params["momentum_n"] == PLANTED
    more = with_columns(panel, bars, windows)
    # A symbol is given the first two features.
    places = np.array([*range(3 - (scope != POOLED)), *range(3, len(more.features))])
    columns = dict.fromkeys(data.columns, places)
    wide = dataclasses.replace(data, x=more.x, features=more.features, columns=columns, bars=None)
    plain = {name: value for name, value in result.params.items() if name not in SPACE}
    same = run_configuration(
        StudyView(wide, scope, early_stop=True),
        Fit(model(algorithm)[0], 5, 1),
        plain,
        lambda _: False,
        i=0,
        source="tpe",
    )
    np.testing.assert_array_equal(oof, same[1])
    assert result.fold_value == same[0].fold_value


def test_the_window_that_was_planted_scores_better_than_the_usual_one(data):
    usual, planted = (run(data, "logistic", {**DEFAULT, "momentum_n": n})[0].value for n in (20, PLANTED))
    assert planted > usual + 0.1


def test_bars_of_the_future_change_no_earlier_fold(given, data):
    panel, target, _ = given
    windows = {**DEFAULT, "bb_n": 60, "macd_slow": 60}
    _, before = run(data, "logistic", windows)
    start = panel.session_id[data.folds[2].test].min()
    noisy = walks(len(panel.sessions))
    for one, noise in zip(noisy, walks(len(panel.sessions), seed=77), strict=True):
        for name in ("high", "low", "close", "volume"):
            one[name][start:] = noise[name][start:]
    _, after = run(arrays(panel, target, bars_of(noisy)), "logistic", windows)
    early = np.concatenate([fold.test for fold in data.folds[:2]])
    np.testing.assert_array_equal(before[early], after[early])
    assert not np.array_equal(before[data.folds[2].test], after[data.folds[2].test], equal_nan=True)


def test_a_configuration_with_windows_needs_bars(given):
    with pytest.raises(DeveloperError, match="no bars"):
        run(arrays(*given[:2], None), "logistic", dict(DEFAULT))


# --- a study -------------------------------------------------------------------------------------


def test_every_configuration_carries_windows_of_the_space(data, tmp_path):
    run_study(job(tmp_path, n_configs=14), data)
    configs = read_study(job(tmp_path).location, job(tmp_path).key).configs
    assert split_windows(configs[0].params)[1] == DEFAULT
    for one in configs:
        own, windows = split_windows(one.params)
        assert check_windows(windows) == windows
        assert set(own) == {"l2"}
    assert {one.source for one in configs} == {"default", "random", "tpe"}
    assert len({one.params["momentum_n"] for one in configs}) > 5


def test_a_study_of_a_symbol_begins_with_the_windows_of_the_pooled_winner(data, tmp_path):
    run_study(job(tmp_path), data)
    run_study(job(tmp_path, scope="CCC"), data)
    winner = read_study(job(tmp_path).location, job(tmp_path).key).winner
    own = read_study(job(tmp_path).location, job(tmp_path, scope="CCC").key).configs
    assert (own[0].source, dict(own[0].params)) == ("pooled_winner", dict(winner.params))
    assert (own[1].source, split_windows(own[1].params)[1]) == ("default", DEFAULT)


def test_a_study_that_stopped_goes_on_as_if_it_had_not(data, tmp_path):
    run_study(job(tmp_path / "whole", "lightgbm", n_configs=12), data)
    for steps in (1, 11):
        with Study.open(job(tmp_path / "parts", "lightgbm", n_configs=12), data) as study:
            for _ in range(steps):
                study.step()
    run_study(job(tmp_path / "parts", "lightgbm", n_configs=12), data)
    whole, parts = (
        read_study(job(tmp_path / name, "lightgbm").location, job(tmp_path, "lightgbm").key)
        for name in ("whole", "parts")
    )
    assert timeless(whole.configs) == timeless(parts.configs)
    assert all(np.array_equal(whole.oof(i), parts.oof(i), equal_nan=True) for i in range(12))


# --- a sweep -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def long():
    return arrays(*made(730))


def test_arrays_travel_as_files(data, tmp_path):
    data.save(tmp_path)
    there = StudyData.load(tmp_path)
    for name in ("prices", "starts", "at"):
        np.testing.assert_array_equal(getattr(there.bars, name), getattr(data.bars, name))
    assert there.sha256 == data.sha256
    np.testing.assert_array_equal(run(there, "logistic", dict(DEFAULT))[1], run(data, "logistic", dict(DEFAULT))[1])


def test_processes_leave_the_same_and_the_winners_say_their_windows(long, tmp_path):
    plans = [plan_at(tmp_path / name, long, PARAMS, symbols=["CCC"]) for name in ("one", "two")]
    record, _ = sweep(plans[0], long)
    sweep(plans[1], long, ProcessSweep(2))
    assert record.status == "done"
    assert record.params["windows"] is True
    found = sweep_bytes(plans[0])
    assert found == sweep_bytes(plans[1])
    best = json.loads(found["best_logistic.json"])["hyperparameters"]
    assert all(check_windows(split_windows(best[scope])[1]) for scope in (POOLED, "CCC"))


def test_other_bars_are_another_run(given, long, tmp_path):
    panel, target, bars = made(730)
    moved = dataclasses.replace(bars, prices=bars.prices * np.array([[1.0], [1.0], [1.0], [2.0]]))
    names = [plan_at(tmp_path, one, PARAMS).run_id for one in (long, arrays(panel, target, moved))]
    names += [plan_at(tmp_path, long, PARAMS.model_copy(update={"windows": False})).run_id]
    assert len(set(names)) == 3


def test_too_few_sessions_are_refused(data, tmp_path):
    with pytest.raises(UsageError, match="needs 720 sessions, and the panel has 400"):
        plan_at(tmp_path, data, PARAMS)


# --- a bundle ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def search(tmp_path_factory):
    return material(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def trained(search):
    return train(search)


@pytest.fixture(scope="module")
def bundle(trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "b"
    write_bundle(folder, trained.draft)
    return folder


def test_final_models_see_the_columns_of_their_winner(search, trained, bundle):
    columns = TaColumns(bars_known(search.bars, search.panel))
    loaded = load_bundle(bundle)
    told = loaded.predict(search.panel, search.bars)
    assert set(loaded.windows) == set(search.run.winners) == {("logistic", scope) for scope in SCOPES}
    for (algorithm, scope), winner in search.run.winners.items():
        pooled = scope == POOLED
        rows = slice(0, search.panel.rows) if pooled else search.panel.rows_of(scope)
        assert loaded.windows[algorithm, scope] == split_windows(winner.params)[1]
        own = search.panel.x[:, : 3 if pooled else 2]
        x = np.hstack([own, columns.of(loaded.windows[algorithm, scope])])[rows]
        p = trained.draft.models[algorithm, scope].predict(x).astype(float)
        z = told.by_base[f"{algorithm}.{'pooled' if pooled else 'symbol'}"][rows]
        np.testing.assert_allclose(
            z, np.log(np.clip(p, 1e-4, 1 - 1e-4) / np.clip(1 - p, 1e-4, 1)), rtol=1e-6, atol=1e-9
        )


def test_a_symbol_without_a_selected_feature_has_its_indicators(search):
    bare = Chosen(search.panel.features[:1])  # of a symbol one fewer
    fitted = refit(dataclasses.replace(search, selection=bare))
    assert (fitted["logistic", POOLED].features, fitted["logistic", "BRK.B"].features) == (10, 9)


def test_a_bundle_without_its_bars_does_not_predict(search, bundle):
    with pytest.raises(ModelError, match="no daily bars"):
        load_bundle(bundle).predict(search.panel)


def test_the_newest_session_is_predicted_as_in_the_whole_panel(search, bundle):
    loaded = load_bundle(bundle)
    newest = last_sessions(search.panel)
    whole = loaded.predict(search.panel, search.bars)
    rows = search.panel.session_id == len(search.panel.sessions) - 1
    np.testing.assert_array_equal(loaded.predict(newest, search.bars).z, whole.z[rows])
    cut = bars_of([{k: v[:-1] for k, v in one.items()} for one in walks(len(search.panel.sessions))])
    before = search.panel.session_id == len(search.panel.sessions) - 2
    part = dataclasses.replace(
        search.panel, **{n: getattr(search.panel, n)[before] for n in ("symbol_id", "session_id", "decision_ns", "x")}
    )
    np.testing.assert_array_equal(loaded.predict(part, cut).z, whole.z[before])


def test_a_fresh_process_says_the_same_to_the_last_bit(search, bundle, tmp_path):
    here = load_bundle(bundle).predict(search.panel, search.bars)
    code = (
        "import sys, numpy as np\nfrom pathlib import Path\n"
        "from raypipe.training.bundle import load_bundle\nfrom tests.training.windowed import made\n"
        "panel, _, bars = made()\n"
        "np.save(sys.argv[2], load_bundle(Path(sys.argv[1])).predict(panel, bars).z)\n"
    )
    command = [sys.executable, "-c", code, str(bundle), str(tmp_path / "z.npy")]
    subprocess.run(command, check=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})
    np.testing.assert_array_equal(np.load(tmp_path / "z.npy", allow_pickle=False), here.z)


def test_equal_runs_make_equal_bundles_that_say_their_windows(search, bundle, tmp_path):
    write_bundle(tmp_path / "again", train(search).draft)
    assert files_of(tmp_path / "again") == files_of(bundle)
    loaded = load_bundle(bundle)
    assert loaded.note["params"]["logistic"][POOLED].items() >= loaded.windows["logistic", POOLED].items()
    notes = loaded.facts.json("features.json")
    assert [one["name"] for one in notes["indicators"]] == list(NAMES)
    assert {one["table"] for one in notes["indicators"]} == {"silver/bars_1d"}
    assert not set(NAMES) & set(loaded.columns)


def test_the_baseline_names_indicators_with_their_windows(search, trained):
    rows = trained.draft.tables["baseline.parquet"].to_pylist()
    by_name: dict[str, set[str]] = {}
    for row in rows:
        by_name.setdefault(row["feature"], set()).add(row["symbol"])
    for (_, scope), windows in search.windows.items():
        name = "ta_macd_hist_pct_{macd_fast}_{macd_slow}_{macd_signal}".format(**windows)
        assert by_name[name] >= ({"*", *SYMBOLS} if scope == POOLED else {scope})
    one = next(row for row in rows if row["feature"].startswith("ta_rsi_") and row["symbol"] == "*")
    values = search.indicators.of({**DEFAULT, "rsi_n": int(one["feature"].rpartition("_")[2])})[search.rows, 0]
    assert (one["n"], one["n_null"]) == (len(values), int(np.isnan(values).sum()))
    assert one["mean"] == pytest.approx(float(np.nanmean(values.astype(float))))


@pytest.mark.parametrize(
    "wrong", [{"rsi_n": 4}, {"rsi_n": 14.5}, {"rsi_n": None}, {"more_n": 5}], ids=["least", "whole", "none", "unknown"]
)
def test_windows_that_are_none_are_refused(trained, tmp_path, wrong):
    key = ("logistic", POOLED)
    windows = {**trained.draft.windows, key: {**trained.draft.windows[key], **wrong}}
    write_bundle(tmp_path / "b", dataclasses.replace(trained.draft, windows=windows))
    with pytest.raises(ModelError, match=f"{next(iter(wrong))} are missing, unknown or out of range"):
        load_bundle(tmp_path / "b")
