"""Configurations and studies that fail or lose."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.models.catalog import model
from raypipe.training import study as study_module
from raypipe.training.journal import ConfigResult, read_study
from raypipe.training.study import final_of, run_study
from raypipe.training.study_fit import MIN_SPREAD, lost
from tests.training import studies
from tests.training.studies import configs, made_job

data, whole = studies.data, studies.whole


# --- configurations and studies that fail --------------------------------------------------------


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


# --- pruning -------------------------------------------------------------------------------------


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
