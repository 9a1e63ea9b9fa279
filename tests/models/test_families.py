"""Every model family of the library against the model suite, and planted cheats that the suite must catch."""

from __future__ import annotations

import json
import pickle
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from raypipe.models.catalog import models
from raypipe.models.fitted import Task
from raypipe.models.model import BOTH, How, Model, ModelParams
from tests.contracts.models import CHECKS, FEATURES, Case, made, predicted_elsewhere


def quick(config: dict[str, object]) -> dict[str, object]:
    return {name: FEWER.get(name, value) for name, value in config.items()}


#: Enough to show it, and quick.
FEWER = {"n_estimators": 40}
CASES = {
    f"{name}.{task}.{space}": Case(model, task, quick(model.default(space, "symbol")))
    for name, model in models().items()
    for task in model.tasks
    for space in ("safe", "wide")
    if space == "safe" or model.spaces["wide"] is not model.spaces["safe"]
}


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("case", CASES)
def test_family(case: str, check: str, tmp_path: Path):
    CHECKS[check](CASES[case], tmp_path)


def test_a_fresh_process_predicts_the_same_bits(tmp_path: Path):
    x, _ = made("class")
    np.save(tmp_path / "x.npy", x)
    here = {}
    for name, case in CASES.items():
        fitted = case.fit(*made(case.task))
        fitted.save(tmp_path / name)
        here[name] = fitted.predict(x).tobytes()
    assert {name: there.tobytes() for name, there in predicted_elsewhere(tmp_path)} == here


# --- cheats ------------------------------------------------------------------------------------


class Toy(ModelParams):
    """One slope."""

    slope: float = 1.0


@dataclass
class Slope:
    """Predicts a multiple of the first feature."""

    slope: float
    task: Task
    files: str = "json"

    def predict(self, x: np.ndarray) -> np.ndarray:
        value = self.slope * np.nan_to_num(x[:, 0].astype(np.float64))
        return 1 / (1 + np.exp(-np.clip(value, -50, 50))) if self.task == "class" else value

    def save(self, folder: Path) -> tuple[str, ...]:
        data = pickle.dumps(self.slope) if self.files == "pickle" else json.dumps([self.slope, FEATURES]).encode()
        (folder / "model.json").write_bytes(data)
        if self.files == "unnamed":
            (folder / "cache").write_bytes(data)
        return ("model.json",)

    def importance(self) -> np.ndarray:
        return np.eye(FEATURES)[0]


def load(folder: Path, task: Task, features: int) -> Slope:
    slope, known = json.loads((folder / "model.json").read_bytes())
    if known != features:
        msg = "other features"
        raise ValueError(msg)
    return Slope(slope, task)


def learn(x: np.ndarray, y: np.ndarray, how: How) -> Slope:
    first = np.nan_to_num(x[:, 0].astype(np.float64))
    return Slope(float(np.cov(first, y)[0, 1] / first.var()), how.task)


HONEST = Model("toy", (), BOTH, Toy, {"safe": {}, "wide": {}}, learn, load)


def by_clock(x, y, how):
    by_clock.calls = getattr(by_clock, "calls", 0) + 1
    return replace(learn(x, y, how), slope=by_clock.calls)


def that_writes(x, y, how):
    x.setflags(write=True)
    x[0, 0] = 0
    return learn(x, y, how)


def of_its_neighbours(x, y, how):
    class Ranked(Slope):
        def predict(self, x):
            return super().predict(x - np.nanmean(x[:, 0]))

    return Ranked(learn(x, y, how).slope, how.task)


def of_double_precision(x, y, how):
    class Other(Slope):
        def save(self, folder):
            (folder / "model.json").write_text(json.dumps([round(self.slope, 3), FEATURES]))
            return ("model.json",)

    return Other(learn(x, y, how).slope, how.task)


def stored(files):
    return lambda x, y, how: replace(learn(x, y, how), files=files)


def blind(x, y, how):
    return replace(learn(x, y, how), slope=0.0)


def lenient(folder: Path, task: Task, features: int) -> Slope:
    return Slope(0.5, task)


CHEATS = {
    "equal_arguments_give_equal_models": replace(HONEST, learn=by_clock),
    "what_is_given_is_not_changed": replace(HONEST, learn=that_writes),
    "a_row_is_predicted_for_itself": replace(HONEST, learn=of_its_neighbours),
    "a_stored_model_is_the_model": replace(HONEST, learn=of_double_precision),
    "no_file_is_a_pickle": replace(HONEST, learn=stored("pickle")),
    "a_forged_file_is_refused": replace(HONEST, load=lenient),
    "a_planted_signal_is_learned": replace(HONEST, learn=blind),
}


@pytest.mark.parametrize("check", CHECKS)
def test_an_honest_family_passes(check: str, tmp_path: Path):
    CHECKS[check](Case(HONEST, "regression", {}), tmp_path)


@pytest.mark.parametrize("check", CHEATS)
def test_a_cheat_is_caught(check: str, tmp_path: Path):
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        CHECKS[check](Case(CHEATS[check], "regression", {}), tmp_path)


def test_files_that_are_not_named_are_found(tmp_path: Path):
    with pytest.raises(AssertionError, match="not named"):
        CHECKS["a_stored_model_is_the_model"](
            Case(replace(HONEST, learn=stored("unnamed")), "regression", {}), tmp_path
        )
