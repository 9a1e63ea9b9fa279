"""Studies: what they ask, what they may see, when they stop, and that stopping them changes nothing."""

from __future__ import annotations

import json
import math
import random
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raypipe.errors import UsageError
from raypipe.models.catalog import model
from raypipe.models.fitted import Fitted
from raypipe.models.space import distributions
from raypipe.pipeline import study as study_module
from raypipe.pipeline.journal import POOLED, ConfigResult, read_study, study_key
from raypipe.pipeline.study import Study, final_of, run_study
from raypipe.pipeline.study_ask import Asker, hashed_seed
from raypipe.pipeline.study_data import ALL, StudyData, StudyView
from raypipe.pipeline.study_fit import MIN_SPREAD, lost
from tests.pipeline.studies import DAY_NS, RUN, made_data, made_folds, made_job, made_panel, study_bytes


@pytest.fixture(scope="module")
def data() -> StudyData:
    return made_data()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, data: StudyData) -> Path:
    """A lake with a pooled study and one of a symbol, undisturbed; not to be changed."""
    root = tmp_path_factory.mktemp("whole")
    run_study(made_job(root), data)
    run_study(made_job(root, "BRK.B", pooled=True), data)
    return root


def configs(root: Path, scope: str = POOLED, algorithm: str = "lightgbm") -> tuple[ConfigResult, ...]:
    return read_study(made_job(root).location, study_key(RUN, algorithm, scope)).configs


# --- what is asked -----------------------------------------------------------------------------


def test_the_first_configurations_are_given(whole):
    pooled = read_study(made_job(whole).location, study_key(RUN, "lightgbm", POOLED))
    family = model("lightgbm")[0]
    assert [one.source for one in pooled.configs[:2]] == ["default", "random"]
    assert pooled.configs[0].params == family.default("safe", "pooled")
    symbol = configs(whole, "BRK.B")
    assert [one.source for one in symbol[:3]] == ["pooled_winner", "default", "random"]
    assert symbol[0].params == pooled.winner.params
    assert symbol[1].params == family.default("safe", "symbol")


def test_everything_asked_lies_in_the_space(whole):
    space = model("lightgbm")[0].spaces["safe"]
    for one in (*configs(whole), *configs(whole, "BRK.B")):
        assert set(one.params) == set(space)
        assert all(value in space[name] for name, value in one.params.items())


def test_after_ten_configurations_the_model_asks(whole):
    sources = [one.source for one in configs(whole)]
    assert sources == ["default", *["random"] * 9, *["tpe"] * 4]


@settings(max_examples=5)
@given(cut=st.integers(0, 30), seed=st.integers(0, 2**63))
def test_who_asks_from_a_journal_asks_the_same(cut, seed):
    """Failed and pruned configurations included, and whatever the values are."""
    dims = distributions(model("xgboost")[0].spaces["safe"])
    draw = random.Random(seed)
    states = draw.choices(["complete", "pruned", "failed"], [8, 3, 1], k=31)

    def told(i: int, params: dict[str, Any], source: Any) -> ConfigResult:
        value = None if states[i] == "failed" else round(0.5 + params["eta"] / (1 + params["max_depth"]), 3)
        ran = 2 if states[i] == "pruned" else 4
        values = tuple(value if j < ran else None for j in range(4))
        return ConfigResult(i, source, params, values, (1,) * 4, ("drawn",) * 4, value, states[i])

    one, other, known = Asker(dims, seed), Asker(dims, seed), []
    for i in range(31):
        known.append(told(i, *one.ask(i)))
        one.tell(known[-1])
    for before in known[:cut]:
        other.tell(before)
    for i in range(cut, 31):
        found = told(i, *other.ask(i))
        assert found == known[i]
        other.tell(found)


def test_a_journal_of_13_asks_the_same_37(tmp_path, data):
    job = made_job(tmp_path, "AAA", "logistic", n_configs=50, prune=False)
    run_study(job, data)
    before = study_bytes(tmp_path, "AAA", "logistic")
    folder = tmp_path / job.key
    lines = (folder / "journal.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "journal.jsonl").write_bytes(b"".join(lines[:14]))
    rows = (folder / "oof.f32").read_bytes()
    (folder / "oof.f32").write_bytes(rows[: len(rows) // 50 * 13])
    found = run_study(job, data)
    assert found.asked == 37
    assert study_bytes(tmp_path, "AAA", "logistic") == before
    assert read_study(job.location, job.key).configs[:13] != read_study(job.location, job.key).configs[13:26]


def test_seeds_are_those_of_the_specification():
    import hashlib

    text = b'[42,"direction_5d","xgboost","_pooled"]'
    assert hashed_seed(42, "direction_5d", "xgboost", "_pooled") == int.from_bytes(
        hashlib.sha256(text).digest()[:8], "big"
    )


def test_another_pooled_winner_is_noticed(tmp_path, data):
    job = made_job(tmp_path, "AAA", "logistic", n_configs=4, pooled=True)
    run_study(made_job(tmp_path, POOLED, "logistic", n_configs=4), data)
    run_study(job, data)
    pooled = tmp_path / job.pooled
    for file in pooled.iterdir():
        file.unlink()
    run_study(made_job(tmp_path, POOLED, "logistic", n_configs=4, seed=8), data)
    with pytest.raises(UsageError, match="pooled_winner of now"):
        run_study(job, data)


# --- stopped and killed ------------------------------------------------------------------------


@pytest.mark.parametrize("scope", [POOLED, "BRK.B"])
def test_stopped_after_every_step_it_ends_the_same(whole, tmp_path, data, scope):
    if scope != POOLED:
        run_study(made_job(tmp_path), data)
    job, steps = made_job(tmp_path, scope, pooled=scope != POOLED), 0
    while True:
        with Study.open(job, data) as study:
            if study.step() is None:
                break
            steps += 1
    assert steps == job.params.n_configs
    assert study_bytes(tmp_path, scope) == study_bytes(whole, scope)


def test_a_stopped_study_says_so_and_goes_on(whole, tmp_path, data):
    stop, seen = threading.Event(), []

    def watch(one: ConfigResult) -> None:
        seen.append(one.i)
        if len(seen) == 3:
            stop.set()

    found = run_study(made_job(tmp_path), data, stop=stop, watch=watch)
    assert (found.status, found.asked, seen) == ("stopped", 3, [0, 1, 2])
    found = run_study(made_job(tmp_path), data)
    assert (found.status, found.asked) == ("done", 11)
    assert study_bytes(tmp_path) == study_bytes(whole)
    assert run_study(made_job(tmp_path), data).asked == 0


KILLED = """
import sys
from pathlib import Path
from raypipe.pipeline.study import run_study
from raypipe.pipeline.study_data import StudyData
from tests.pipeline.studies import made_job
run_study(made_job(Path(sys.argv[1]), "AAA", "logistic"), StudyData.load(Path(sys.argv[2])))
"""


@pytest.mark.parametrize("point", ["mid_row", "after_row", "mid_line", "after_line"])
def test_killed_at_every_step_of_a_line_it_ends_the_same(tmp_path, data, point):
    undisturbed, killed, arrays = tmp_path / "undisturbed", tmp_path / "killed", tmp_path / "arrays"
    arrays.mkdir()
    data.save(arrays)
    run_study(made_job(undisturbed, "AAA", "logistic"), data)
    env = {"PYTHONPATH": str(Path(__file__).parents[2]), "RAYPIPE_FAULT": f"{point}:kill,n=6", "PATH": ""}
    command = [sys.executable, "-c", KILLED, str(killed), str(arrays)]
    assert subprocess.run(command, env=env, check=False, timeout=120).returncode == -9
    found = run_study(made_job(killed, "AAA", "logistic"), data)
    assert found.status == "done"
    assert 0 < found.asked < 14
    assert bool(found.warnings) == (point != "after_line")
    assert study_bytes(killed, "AAA", "logistic") == study_bytes(undisturbed, "AAA", "logistic")


# --- what a fit may see ------------------------------------------------------------------------


def changed(data: StudyData, rows: np.ndarray) -> StudyData:
    """The same panel with noise in place of features and labels of some rows."""
    rng = np.random.default_rng(1)
    x, y = data.x.copy(), data.y.copy()
    x[rows] = rng.standard_normal(x[rows].shape)
    y[rows] = rng.integers(0, 2, len(rows))
    return replace(data, x=x, y=y)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_noise_from_a_fold_on_changes_no_fold_before_it(tmp_path, data, k):
    later = np.concatenate([one.test for one in data.folds[k:]])
    job = made_job(tmp_path, n_configs=2, prune=False)
    run_study(job, data)
    run_study(made_job(tmp_path / "other", n_configs=2, prune=False), changed(data, later))
    for one, other in zip(configs(tmp_path), configs(tmp_path / "other"), strict=True):
        assert one.params == other.params
        assert (one.fold_value[:k], one.fold_rounds[:k]) == (other.fold_value[:k], other.fold_rounds[:k])
        assert one.fold_value[k:] != other.fold_value[k:]


def test_labels_of_the_scored_fold_change_nothing_of_its_model(tmp_path, data):
    last = data.folds[-1].test
    y = data.y.copy()
    y[last] = 1 - y[last]
    for root, arrays in ((tmp_path / "a", data), (tmp_path / "b", replace(data, y=y))):
        run_study(made_job(root, n_configs=1), arrays)
    one, other = (configs(tmp_path / name)[0] for name in "ab")
    assert one.fold_rounds == other.fold_rounds
    assert one.fold_value[-1] == pytest.approx(1 - other.fold_value[-1])
    oof = [np.fromfile(tmp_path / name / study_key(RUN, "lightgbm", POOLED) / "oof.f32", np.float32) for name in "ab"]
    np.testing.assert_array_equal(*oof)


def test_the_tail_is_the_last_fifth_and_the_rest_is_purged_against_it():
    data = made_data(horizon=3, sessions=400)
    view = StudyView(data, POOLED, early_stop=True)
    for fold in view.folds:
        sessions = np.unique(data.session_id[fold.train])
        count = len(sessions) // 5
        if count < 30:
            assert fold.tail is None
            continue
        assert set(data.session_id[fold.tail]) == set(sessions[-count:])
        assert data.end_ns[fold.inner].max() < data.decision_ns[fold.tail].min()
        # Nothing more is left out than the sessions whose label reaches into the tail.
        assert len(np.unique(data.session_id[fold.inner])) == len(sessions) - count - 3
        assert data.decision_ns[fold.tail].min() - data.decision_ns[fold.inner].max() == 4 * DAY_NS
    assert [fold.tail is None for fold in view.folds] == [True, False, False, False]


@pytest.mark.parametrize(("horizon", "stops"), [(1, {"tail", "cap"}), (20, {"drawn"})])
def test_rounds_are_as_drawn_where_the_tail_holds_too_few_labels(tmp_path, horizon, stops):
    run_study(made_job(tmp_path, n_configs=2, prune=False), made_data(horizon=horizon))
    for one in configs(tmp_path):
        assert set(one.fold_stop) <= stops
        if horizon == 20:
            assert set(one.fold_rounds) == {one.params["n_rounds"]}


def test_without_early_stopping_rounds_are_as_drawn(tmp_path, data):
    run_study(made_job(tmp_path, n_configs=1, early_stop="none"), data)
    assert set(configs(tmp_path)[0].fold_stop) == {"drawn"}


def test_a_study_of_a_symbol_has_its_own_rows_and_features(data):
    view = StudyView(data, "BRK.B", early_stop=True)
    rows = data.rows_of("BRK.B")
    assert view.rows == 260
    for fold, given_fold in zip(view.folds, data.folds, strict=True):
        assert set(fold.train + rows.start) == set(given_fold.train) & set(range(rows.start, rows.stop))
        assert set(fold.test + rows.start) == set(given_fold.test) & set(range(rows.start, rows.stop))
        matrix = view.matrix(fold, "test")
        assert matrix.flags.c_contiguous
        np.testing.assert_array_equal(matrix, data.x[rows][fold.test][:, :5])


def test_predictions_stand_where_a_fold_tested(whole, data):
    study = read_study(made_job(whole).location, study_key(RUN, "lightgbm", POOLED))
    tested = np.zeros(len(data.y), bool)
    tested[np.concatenate([one.test for one in data.folds])] = True
    for one in study.configs:
        oof, ran = study.oof(one.i), [v is not None for v in one.fold_value]
        for fold, there in zip(data.folds, ran, strict=True):
            assert np.isfinite(oof[fold.test]).all() == there
        assert np.isnan(oof[~tested]).all()


def test_the_values_are_those_of_the_predictions(whole, data):
    from sklearn.metrics import roc_auc_score

    study = read_study(made_job(whole).location, study_key(RUN, "lightgbm", POOLED))
    one = study.winner
    oof = study.oof(one.i)
    wanted = [roc_auc_score(data.y[fold.test], oof[fold.test]) for fold in data.folds]
    assert one.fold_value == pytest.approx(wanted, abs=1e-12)
    assert one.value == pytest.approx(np.mean(wanted), abs=1e-12)
    assert (
        study.final.winner == max((c for c in study.configs if c.state == "complete"), key=lambda c: (c.value, -c.i)).i
    )


@pytest.mark.parametrize("scope", [POOLED, "AAA"])
def test_a_regression_is_scored_by_rank(tmp_path, scope):
    from scipy.stats import spearmanr

    data = made_data(kind="regression")
    run_study(made_job(tmp_path, scope, "ridge", n_configs=2), data)
    study = read_study(made_job(tmp_path).location, study_key(RUN, "ridge", scope))
    rows, oof = data.rows_of(scope), study.oof(1)
    test = StudyView(data, scope, early_stop=True).folds[0].test
    y, session = data.y[rows][test], data.session_id[rows][test]
    if scope == POOLED:
        ics = [spearmanr(y[session == s], oof[test][session == s]).statistic for s in np.unique(session)]
        assert study.configs[1].fold_value[0] == pytest.approx(np.mean(ics))
    else:
        assert study.configs[1].fold_value[0] == pytest.approx(spearmanr(y, oof[test]).statistic)


# --- configurations and studies that fail ------------------------------------------------------


class Core:
    """Predicts what the test says."""

    def __init__(self, predict: Any) -> None:
        self.predict = predict

    def save(self, folder: Path) -> tuple[str, ...]:
        raise NotImplementedError

    def importance(self) -> np.ndarray:
        raise NotImplementedError


@pytest.fixture
def family(monkeypatch):
    """Replaces what logistic regression learns by a function of (count of fits so far, params)."""
    real, fits = model("logistic")[0], []

    def replace_by(learned: Any) -> None:
        def learn(x: np.ndarray, y: np.ndarray, how: Any) -> Core:
            fits.append(how)
            return learned(len(fits), how)

        monkeypatch.setattr(study_module, "model", lambda _: (replace(real, learn=learn), None))

    return replace_by


def noise(x: np.ndarray) -> np.ndarray:
    return np.nan_to_num(x[:, 0])


def fail_fits(*wanted: int) -> Any:
    def learned(count: int, how: Any) -> Core:
        if count in wanted:
            raise RuntimeError("no")
        return Core(noise)

    return learned


def test_a_fit_that_raises_fails_its_configuration(tmp_path, data, family):
    family(fail_fits(6))
    found = run_study(made_job(tmp_path, algorithm="logistic", n_configs=10), data)
    assert (found.status, found.n_failed, found.n_complete) == ("done", 1, 9)
    one = configs(tmp_path, algorithm="logistic")[1]
    assert (one.state, one.value, one.error) == ("failed", None, "fold 2: RuntimeError: no")
    assert one.fold_value[0] is not None
    assert one.fold_value[1:] == (None, None, None)


def test_more_than_a_fifth_of_failed_fits_fails_the_study(tmp_path, data, family):
    family(fail_fits(1, 2, 3))
    found = run_study(made_job(tmp_path, algorithm="logistic", n_configs=10), data)
    assert (found.status, found.winner, found.asked) == ("failed", None, 3)
    assert "3 of 10 configurations failed" in found.reason
    assert "RuntimeError: no" in found.reason
    again = run_study(made_job(tmp_path, algorithm="logistic", n_configs=10), data)
    assert (again.status, again.reason, again.asked) == ("failed", found.reason, 0)


def test_a_fifth_of_failed_fits_does_not(tmp_path, data, family):
    family(fail_fits(1, 2))
    assert run_study(made_job(tmp_path, algorithm="logistic", n_configs=10), data).status == "done"


def test_predictions_that_are_not_finite_fail_their_configuration(tmp_path, data, family):
    family(lambda count, how: Core((lambda x: np.full(len(x), np.inf)) if count == 1 else noise))
    run_study(made_job(tmp_path, algorithm="logistic", n_configs=10), data)
    one = configs(tmp_path, algorithm="logistic")[0]
    assert one.state == "failed"
    assert "not finite" in one.error


def test_constant_predictions_fail_their_configuration_but_not_the_study(tmp_path, data, family):
    """All folds of configurations 0 to 2 are constant; of configuration 3 only the first, and its AUC is a half."""
    family(lambda count, how: Core((lambda x: np.full(len(x), 0.3)) if count <= 13 else noise))
    found = run_study(made_job(tmp_path, algorithm="logistic", n_configs=8, prune=False), data)
    assert (found.status, found.n_failed) == ("done", 3)
    one, other = configs(tmp_path, algorithm="logistic")[2:4]
    assert (one.state, one.error) == ("failed", "constant predictions in every fold")
    assert (other.state, other.fold_value[0]) == ("complete", 0.5)


def test_nothing_but_constants_is_a_failed_study(tmp_path, data, family):
    family(lambda count, how: Core(lambda x: np.full(len(x), 0.3)))
    found = run_study(made_job(tmp_path, algorithm="logistic", n_configs=4), data)
    assert (found.status, found.asked) == ("failed", 4)
    assert "no configuration is complete" in found.reason


@pytest.mark.parametrize("error", [MemoryError, ImportError])
def test_errors_of_the_machine_leave_the_study_open(tmp_path, data, family, error):
    def learned(count: int, how: Any) -> Core:
        if count == 6:
            raise error("machine")
        return Core(noise)

    family(learned)
    job = made_job(tmp_path, algorithm="logistic", n_configs=4)
    with pytest.raises(error):
        run_study(job, data)
    assert len(read_study(job.location, job.key).configs) == 1
    assert run_study(job, data).asked == 3


def test_fewer_than_three_folds_with_two_classes_fail_the_study(tmp_path, data):
    y = data.y.copy()
    for fold in data.folds[2:]:
        y[fold.test] = 1.0
    found = run_study(made_job(tmp_path, n_configs=4), replace(data, y=y))
    assert (found.status, found.asked) == ("failed", 0)
    assert "fewer than 3 folds" in found.reason


def test_one_fold_of_one_class_has_no_value(tmp_path, data):
    y = data.y.copy()
    y[data.folds[1].test] = 1.0
    run_study(made_job(tmp_path, n_configs=1), replace(data, y=y))
    (one,) = configs(tmp_path)
    assert [v is None for v in one.fold_value] == [False, True, False, False]
    assert one.value == pytest.approx(np.mean([v for v in one.fold_value if v is not None]))


# --- pruning -----------------------------------------------------------------------------------


def complete(i: int, *values: float | None) -> ConfigResult:
    known = [v for v in values if v is not None]
    return ConfigResult(i, "random", {}, values, (), (), math.fsum(known) / len(known), "complete")


def naive_lost(values: Any, done: list[ConfigResult]) -> bool:
    """Word for word from the definition."""
    best = sorted(done, key=lambda one: (-one.value, one.i))[0]
    d = [v - b for v, b in zip(values, best.fold_value, strict=False)]
    groups = [[a - b for a, b in zip(o.fold_value, best.fold_value, strict=True)] for o in done if o.i != best.i]
    squares = sum(sum((x - sum(g) / len(g)) ** 2 for x in g) for g in groups)
    s = max(MIN_SPREAD, (squares / sum(len(g) - 1 for g in groups)) ** 0.5)
    return sum(d) / len(d) < -2 * s / len(d) ** 0.5


SCORES = st.lists(st.floats(0.4, 0.8), min_size=5, max_size=5)


@given(done=st.lists(SCORES, min_size=5, max_size=9), now=SCORES, k=st.integers(2, 4))
def test_who_loses_is_stopped(done, now, k):
    known = [complete(i, *values) for i, values in enumerate(done)]
    assert lost(now[:k], known) == naive_lost(now[:k], known)


def test_nobody_loses_before_there_is_something_to_lose_to():
    known = [complete(i, 0.7, 0.7, 0.7) for i in range(5)]
    assert lost([0.1, 0.1], known)
    assert not lost([0.1, 0.1], known[:4])
    assert not lost([0.1], known)
    assert not lost([0.1, None], known)
    assert not lost([0.7 - MIN_SPREAD, 0.7 - MIN_SPREAD], known)
    assert lost([0.7 - 2 * MIN_SPREAD, 0.7 - 2 * MIN_SPREAD], known)


def test_pruned_configurations_never_win_and_are_told(whole):
    states = {one.state for one in configs(whole)}
    assert states == {"complete", "pruned"}
    for one in configs(whole):
        if one.state == "pruned":
            assert one.fold_value[-1] is None
            assert one.value == pytest.approx(np.mean([v for v in one.fold_value if v is not None]))


def test_without_pruning_all_folds_run(tmp_path, data):
    run_study(made_job(tmp_path, "AAA", "logistic", prune=False), data)
    assert {one.state for one in configs(tmp_path, "AAA", "logistic")} == {"complete"}


def test_ties_go_to_the_smaller_number():
    assert final_of([complete(0, 0.5), complete(1, 0.6), complete(2, 0.6)]).winner == 1


# --- arrays ------------------------------------------------------------------------------------


def test_mapped_arrays_are_the_arrays(tmp_path, data):
    data.save(tmp_path)
    found = StudyData.load(tmp_path)
    for name in ("symbols", "features", "target", "kind", "horizon", "sha256", "splits_sha256"):
        assert getattr(found, name) == getattr(data, name)
    for name in ("x", "y", "end_ns", "decision_ns", "session_id", "symbol_id"):
        np.testing.assert_array_equal(getattr(found, name), getattr(data, name))
        assert not getattr(found, name).flags.writeable
    assert set(found.columns) == set(data.columns)
    for one, other in zip(found.folds, data.folds, strict=True):
        np.testing.assert_array_equal(one.train, other.train)
        np.testing.assert_array_equal(one.test, other.test)


def test_mapped_arrays_give_the_same_study(tmp_path, whole, data):
    data.save(tmp_path)
    job = replace(made_job(tmp_path / "lake"), scratch=str(tmp_path))
    run_study(job)
    assert study_bytes(tmp_path / "lake") == study_bytes(whole)


@pytest.mark.parametrize("what", ["x", "y", "train", "columns", "hash"])
def test_the_hash_covers_everything(what):
    panel, target = made_panel()
    rows = list(made_folds(panel, target))
    columns = {(one.id, ALL): panel.features for one in rows}
    hashes = {"splits_sha256": "5", "data_sha256": "d", "features_sha256": "f"}
    before = StudyData.of(panel, target, rows, columns, **hashes).sha256
    if what == "x":
        x = panel.x.copy()
        x[7, 3] = 0.125
        panel = replace(panel, x=x)
    elif what == "y":
        y = target.y.copy()
        y[0] = 1 - y[0]
        target = replace(target, y=y)
    elif what == "train":
        rows[0] = replace(rows[0], train=rows[0].train[1:])
    elif what == "columns":
        columns[1, ALL] = panel.features[1:]
    else:
        hashes["features_sha256"] = "g"
    assert StudyData.of(panel, target, rows, columns, **hashes).sha256 != before


def test_the_header_names_what_differs(tmp_path, data):
    run_study(made_job(tmp_path, "AAA", "logistic", n_configs=1), data)
    with pytest.raises(UsageError) as caught:
        run_study(made_job(tmp_path, "AAA", "logistic", n_configs=1, seed=8), data)
    assert caught.value.values["field"] == "seed"
    threads = made_job(tmp_path, "AAA", "logistic", n_configs=1, threads=2, max_concurrent=3)
    assert run_study(threads, data).asked == 0


def test_results_hold_nothing_that_json_cannot(whole):
    for one in configs(whole):
        assert json.loads(json.dumps(dict(one.params))) == one.params
        assert all(type(value) in {int, float, str} for value in one.params.values())


def test_fitted_predictions_are_what_is_stored(tmp_path, data):
    """The stored row is that of a model fitted by hand with the same parameters, rounds and seed."""
    job = made_job(tmp_path, "AAA", n_configs=1)
    run_study(job, data)
    study, view = read_study(job.location, job.key), StudyView(data, "AAA", early_stop=True)
    one, family = study.configs[0], model("lightgbm")[0]
    seed = hashed_seed(hashed_seed(7, "direction_1d", "lightgbm", "AAA"), "model")
    fold = view.folds[-1]
    params, _ = family.split(one.params)
    fitted: Fitted = family.fit(
        view.matrix(fold, "train"),
        view.labels(fold.train),
        task="class",
        params=params,
        rounds=one.fold_rounds[-1],
        seed=seed,
    )
    np.testing.assert_array_equal(fitted.predict(view.matrix(fold, "test")), study.oof(0)[fold.test])
