"""What every model family promises, as checks that are run on each of them, and on planted cheats."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from raypipe.errors import ModelError
from raypipe.models.fitted import read_fitted
from raypipe.models.model import Dim, Fitted, Model, Task

ROWS, FEATURES, SEED = 600, 9, (1 << 63) + 5
#: Ways to spoil a stored file.
SPOILS: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "cut short": lambda data: data[: len(data) // 2],
    "one bit": lambda data: data[:-9] + bytes([data[-9] ^ 1]) + data[-8:],
    "a pickle": lambda data: (
        b"\x80\x05\x95\x1a\x00\x00\x00\x00\x00\x00\x00\x8c\x08builtins\x94\x8c\x04eval\x94\x93\x94."
    ),
    "other words": lambda data: b"tree\nversion=v4\nnum_class=1\n",
}


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """One family doing one task with one configuration."""

    model: Model
    task: Task
    config: Mapping[str, Any]

    def fit(self, x: np.ndarray, y: np.ndarray, seed: int = SEED) -> Fitted:
        params, rounds = self.model.split(self.config)
        return self.model.fit(x, y, task=self.task, params=params, rounds=rounds, seed=seed)


def made(task: Task, rows: int = ROWS, *, signal: float = 1.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features with holes, the first of which matters, and labels; read-only."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, FEATURES)).astype(np.float32)
    value = signal * x[:, 0] + 0.3 * signal * x[:, 1] + rng.normal(size=rows)
    x[rng.random(x.shape) < 0.05] = np.nan
    x[:, 0] = np.where(np.isnan(x[:, 0]), np.float32(0), x[:, 0])
    x[:, FEATURES - 1] = np.nan
    y = (value > 0 if task == "class" else 0.02 * value).astype(np.float32)
    x.setflags(write=False)
    y.setflags(write=False)
    return x, y


def score(task: Task, y: np.ndarray, p: np.ndarray) -> float:
    """AUC, or correlation; nothing known is .5 or 0."""
    if task == "regression":
        return float(np.corrcoef(y, p)[0, 1]) if np.ptp(p) else 0.0
    up, down = p[y == 1], p[y == 0]
    return float(np.mean((up[:, None] > down) + 0.5 * (up[:, None] == down)))


# --- checks ------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def fitted_once(case: Case) -> Fitted:
    """What checks share that do not judge the fit."""
    return case.fit(*made(case.task))


def equal_arguments_give_equal_models(case: Case, folder: Path) -> None:
    x, y = made(case.task)
    first, second = fitted_once(case), case.fit(x, y)
    first.save(folder / "a")
    second.save(folder / "b")
    assert files(folder / "a") == files(folder / "b"), "two fits with one seed differ"
    assert np.array_equal(first.predict(x), second.predict(x))


def what_is_given_is_not_changed(case: Case, folder: Path) -> None:
    x, y = (values.copy() for values in made(case.task))
    before = x.tobytes(), y.tobytes()
    case.fit(x, y).predict(x)
    assert before == (x.tobytes(), y.tobytes()), "the caller's arrays were changed"


def predictions_are_what_they_are_said_to_be(case: Case, folder: Path) -> None:
    x, _ = made(case.task)
    p = fitted_once(case).predict(x)
    assert (p.dtype, p.shape) == (np.float32, (ROWS,))
    assert np.isfinite(p).all()
    assert case.task == "regression" or ((p >= 0).all() and (p <= 1).all())


def a_row_is_predicted_for_itself(case: Case, folder: Path) -> None:
    x, _ = made(case.task)
    fitted = fitted_once(case)
    p = fitted.predict(x)
    assert np.array_equal(fitted.predict(x[::-1])[::-1], p), "the order of rows matters"
    assert np.array_equal(np.concatenate([fitted.predict(x[:7]), fitted.predict(x[7:])]), p), "neighbours matter"
    assert fitted.predict(x[:0]).shape == (0,)
    assert np.array_equal(fitted.predict(np.asfortranarray(x)), p), "the layout in memory matters"


def nulls_are_predicted(case: Case, folder: Path) -> None:
    fitted = fitted_once(case)
    assert np.isfinite(fitted.predict(np.full((3, FEATURES), np.nan, np.float32))).all()
    extreme = np.full((3, FEATURES), np.finfo(np.float32).max)
    assert np.isfinite(fitted.predict(np.vstack([extreme, -extreme]))).all()


def a_stored_model_is_the_model(case: Case, folder: Path) -> None:
    x, _ = made(case.task)
    fitted = fitted_once(case)
    names = fitted.save(folder)
    assert sorted(names) == sorted(files(folder)), "files that are not named"
    read = read_fitted(case.model.name, case.model.load, folder)
    assert np.array_equal(read.predict(x), fitted.predict(x)), "the stored model predicts otherwise"
    assert np.allclose(read.importance(), fitted.importance(), rtol=1e-12)
    assert (read.task, read.features, read.model) == (case.task, FEATURES, case.model.name)


def no_file_is_a_pickle(case: Case, folder: Path) -> None:
    fitted_once(case).save(folder)
    for name, data in files(folder).items():
        assert not data.startswith(b"\x80"), f"{name} begins as a pickle does"
        assert Path(name).suffix not in {".pkl", ".pickle", ".joblib"}
        if Path(name).suffix == ".npz":
            with np.load(folder / name, allow_pickle=False) as arrays:
                assert all(arrays[one].dtype != object for one in arrays.files)


def a_spoiled_file_is_refused(case: Case, folder: Path) -> None:
    names = fitted_once(case).save(folder)
    for name in names:
        data = (folder / name).read_bytes()
        for how, spoil in SPOILS.items():
            (folder / name).write_bytes(spoil(data))
            with pytest.raises(ModelError) as refused:
                read_fitted(case.model.name, case.model.load, folder)
            assert str(folder) in str(refused.value), f"{name}, {how}: the error does not say where"
        (folder / name).unlink()
        with pytest.raises(ModelError):
            read_fitted(case.model.name, case.model.load, folder)
        (folder / name).write_bytes(data)


def a_forged_file_is_refused(case: Case, folder: Path) -> None:
    """Even when the note agrees with it: the reader of the family is asked itself."""
    names = fitted_once(case).save(folder)
    for name in names[:-1]:
        data = (folder / name).read_bytes()
        for spoil in (SPOILS["empty"], SPOILS["cut short"], SPOILS["a pickle"]):
            (folder / name).write_bytes(spoil(data))
            with pytest.raises((ValueError, KeyError, TypeError, OSError)):
                case.model.load(folder, case.task, FEATURES)
        (folder / name).write_bytes(data)
        with pytest.raises(ValueError):  # noqa: PT011 - each library says it in its own words
            case.model.load(folder, case.task, FEATURES + 1)


def a_garbled_note_is_refused(case: Case, folder: Path) -> None:
    names = fitted_once(case).save(folder)
    note = json.loads((folder / names[-1]).read_text(encoding="utf-8"))
    wrong = [{**note, "files": list(note["files"])}, {**note, "files": {}}, {**note, "files": {"../x": "0"}}]
    wrong += [{**note, "model": "other"}, {**note, "task": ["class"]}, {**note, "features": "9"}, {**note, "schema": 2}]
    for garbled in [*wrong, [], None, {}]:
        (folder / names[-1]).write_text(json.dumps(garbled), encoding="utf-8")
        with pytest.raises(ModelError):
            read_fitted(case.model.name, case.model.load, folder)


def other_columns_are_refused(case: Case, folder: Path) -> None:
    x, _ = made(case.task)
    fitted = fitted_once(case)
    for wrong in (x[:, :-1], np.hstack([x, x]), x[0]):
        with pytest.raises(ModelError, match="9 features"):
            fitted.predict(wrong)


def rows_that_cannot_be_fitted_are_refused(case: Case, folder: Path) -> None:
    x, y = made(case.task)
    with_inf, without_label = x.copy(), y.copy()
    with_inf[4, 3] = np.inf
    without_label[7] = np.nan
    wrong = [(with_inf, y, "feature 3 is infinite at row 4"), (x, without_label, "label of row 7"), (x, y[1:], "shape")]
    wrong += [(x, y + 1, "neither 0 nor 1")] if case.task == "class" else []
    for some_x, some_y, said in [*wrong, (x[:0], y[:0], "at least one row")]:
        with pytest.raises(ModelError, match=said):
            case.fit(some_x, some_y)


def one_label_gives_a_constant(case: Case, folder: Path) -> None:
    x, y = made(case.task)
    for label in (0.0, 1.0):
        fitted = case.fit(x, np.full_like(y, label))
        assert (fitted.predict(x) == label).all()
        assert (fitted.importance() == 0).all()
        fitted.save(folder)
        assert (read_fitted(case.model.name, case.model.load, folder).predict(x) == label).all()


def features_that_say_nothing_give_the_mean(case: Case, folder: Path) -> None:
    x, y = made(case.task)
    for value in (1.5, np.nan):
        p = case.fit(np.full_like(x, value), y).predict(x)
        assert np.allclose(p, y.mean(dtype=np.float64), rtol=1e-6)


def few_rows_are_enough(case: Case, folder: Path) -> None:
    x, y = made(case.task)
    place = [int(np.argmin(y)), int(np.argmax(y)), *range(14)]
    assert np.isfinite(case.fit(x[place], y[place]).predict(x)).all()


def a_planted_signal_is_learned(case: Case, folder: Path) -> None:
    fitted = case.fit(*made(case.task, 2000, signal=1.5))
    x, y = made(case.task, 1000, signal=1.5, seed=1)
    assert score(case.task, y, fitted.predict(x)) > (0.75 if case.task == "class" else 0.55)
    shares = fitted.importance()
    assert shares.shape == (FEATURES,)
    assert shares.sum() == pytest.approx(1)
    assert (shares >= 0).all()
    assert shares.argmax() == 0, "the feature that matters is not the first"
    assert shares[FEATURES - 1] == 0, "a column of nulls matters"


def noise_is_not_learned(case: Case, folder: Path) -> None:
    fitted = case.fit(*made(case.task, 2000, signal=0.0))
    x, y = made(case.task, 2000, signal=0.0, seed=1)
    nothing, sd = (0.5, 0.0129) if case.task == "class" else (0.0, 0.0224)
    assert abs(score(case.task, y, fitted.predict(x)) - nothing) < 3.5 * sd


def the_tail_decides_on_rounds(case: Case, folder: Path) -> None:
    if case.model.rounds_key is None:
        return
    x, y = made(case.task, 500)
    tail = made(case.task, 200, seed=1)
    noise = made(case.task, 200, signal=-1.0, seed=2)
    ask = {"task": case.task, "params": case.config, "seed": SEED}
    rounds, why = case.model.best_rounds(x, y, *tail, **ask)
    assert 1 <= rounds <= case.config[case.model.rounds_key]
    assert why in {"tail", "cap"}
    assert case.model.best_rounds(x, y, *noise, **ask)[0] < 10, "the tail does not decide"
    assert case.model.best_rounds(x, y, *tail, **ask, rounds=3)[0] in {1, 2, 3}


def what_is_kept_of_the_rows_changes_no_model(case: Case, folder: Path) -> None:
    """Configurations of a search take turns on the same rows, some of them twice, with and without a tail."""
    if case.model.rounds_key is None:
        return
    x, y = made(case.task)
    known: dict[str, Any] = {"task": case.task, "seed": SEED}
    draw, space, kept, kept_tail = random.Random(5), case.model.spaces["safe"], {}, {}
    drawn = [{**case.config, **{name: _drawn(draw, dim) for name, dim in space.items()}} for _ in range(4)]
    for config in (*drawn, drawn[0], drawn[3]):
        params, rounds = case.model.split(config)
        rounds = min(rounds, 40)
        own, same = (case.model.fit(x, y, params=params, rounds=rounds, kept=k, **known) for k in (None, kept))
        np.testing.assert_array_equal(own.predict(x), same.predict(x))
        parts = (x[:400], y[:400], x[400:], y[400:])
        cap = {"params": params, "rounds": rounds, "patience": 5}
        own_rounds, same_rounds = (case.model.best_rounds(*parts, kept=k, **cap, **known) for k in (None, kept_tail))
        assert own_rounds == same_rounds


def _drawn(draw: random.Random, dim: Dim) -> Any:
    if dim.kind == "choice":
        return draw.choice(dim.choices)
    return draw.randint(int(dim.low), int(dim.high)) if dim.kind == "int" else draw.uniform(dim.low, dim.high)


#: By what they are called in reports.
CHECKS: dict[str, Callable[[Case, Path], None]] = {
    check.__name__: check
    for check in (
        equal_arguments_give_equal_models,
        what_is_given_is_not_changed,
        predictions_are_what_they_are_said_to_be,
        a_row_is_predicted_for_itself,
        nulls_are_predicted,
        a_stored_model_is_the_model,
        no_file_is_a_pickle,
        a_spoiled_file_is_refused,
        a_forged_file_is_refused,
        a_garbled_note_is_refused,
        other_columns_are_refused,
        rows_that_cannot_be_fitted_are_refused,
        one_label_gives_a_constant,
        features_that_say_nothing_give_the_mean,
        few_rows_are_enough,
        a_planted_signal_is_learned,
        noise_is_not_learned,
        the_tail_decides_on_rounds,
        what_is_kept_of_the_rows_changes_no_model,
    )
}


# --- a process that never fitted anything ----------------------------------------------------------

_READ = """
import sys
from pathlib import Path
import numpy as np
from raypipe.models.catalog import load_fitted
root = Path(sys.argv[1])
x = np.load(root / "x.npy", allow_pickle=False)
for folder in sorted(path for path in root.iterdir() if path.is_dir()):
    np.save(folder / "again.npy", load_fitted(folder.name.partition(".")[0], folder).predict(x))
"""


def predicted_elsewhere(root: Path) -> Iterator[tuple[str, np.ndarray]]:
    """What a fresh process predicts of ``x.npy`` from each model in a folder."""
    subprocess.run([sys.executable, "-c", _READ, str(root)], check=True, capture_output=True, text=True, timeout=120)
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        yield folder.name, np.load(folder / "again.npy", allow_pickle=False)


def files(folder: Path) -> dict[str, bytes]:
    """The files of a folder, and of what an archive among them holds."""
    found = {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
    for name in [name for name in found if name.endswith(".npz")]:
        assert zipfile.is_zipfile(folder / name)
    return found
