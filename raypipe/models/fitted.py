"""A fitted model, whatever library made it: predictions, importance, and files checked before they are read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, TypeAlias

import numpy as np

from raypipe.errors import ModelError

__all__ = ["Constant", "Core", "Fitted", "Load", "Task", "floats", "read_fitted"]

Task: TypeAlias = Literal["class", "regression"]

#: The note beside a model's files: what they are, and their hashes.
NOTE = "model.meta.json"


class Core(Protocol):
    """What a library fitted, behind one face."""

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Probability of class 1, or the value, of each row of float32 (n, features), C order; shape (n,)."""
        ...

    def save(self, folder: Path) -> tuple[str, ...]:
        """Write files into a folder that is there; their names."""
        ...

    def importance(self) -> np.ndarray:
        """How much each feature matters, not negative, in whatever unit; shape (features,)."""
        ...


@dataclass(frozen=True, slots=True)
class Constant:
    """Predicts one value: there was one label only, or no feature that varies."""

    FILE: ClassVar[str] = "constant.json"

    value: float
    features: int

    def predict(self, x: np.ndarray) -> np.ndarray:
        """The value, for every row."""
        return np.full(len(x), self.value)

    def save(self, folder: Path) -> tuple[str, ...]:
        """One JSON file."""
        (folder / self.FILE).write_text(json.dumps({"value": self.value}) + "\n", encoding="utf-8")
        return (self.FILE,)

    def importance(self) -> np.ndarray:
        """Nothing matters."""
        return np.zeros(self.features)

    @classmethod
    def load(cls, folder: Path, features: int) -> Constant:
        """What `save` wrote."""
        return cls(float(json.loads((folder / cls.FILE).read_text(encoding="utf-8"))["value"]), features)


@dataclass(frozen=True, slots=True)
class Fitted:
    """A fitted model.

    Attributes
    ----------
    model
        The family's name.
    task
        What it was fitted for.
    features
        Number of columns that it was fitted on.
    core
        What the library made.
    """

    model: str
    task: Task
    features: int
    core: Core

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Predict rows.

        Parameters
        ----------
        x
            float32 (n, features), NaN where a value is null; not changed.

        Returns
        -------
        float32 (n,): probability of class 1, or the value.

        Raises
        ------
        ModelError
            If there are more or fewer columns than at the fit.
        """
        if x.ndim != 2 or x.shape[1] != self.features:  # noqa: PLR2004 - rows and columns
            msg = f"{self.model} was fitted on {self.features} features and is given an array of shape {x.shape}"
            raise ModelError(msg, hint="give the columns of the fit, in their order")
        if not len(x):
            return np.zeros(0, np.float32)
        return np.ascontiguousarray(self.core.predict(floats(x)), np.float32)

    def importance(self) -> np.ndarray:
        """Share of each feature in what the model learned, float64 (features,); sums to 1, or all are 0."""
        found = np.asarray(self.core.importance(), np.float64)
        total = found.sum()
        return found / total if total > 0 else np.zeros(self.features)

    def save(self, folder: Path) -> tuple[str, ...]:
        """Write the model in its native format, and a note with the hashes of the files.

        Parameters
        ----------
        folder
            Made if it is not there; files of the same names are replaced.

        Returns
        -------
        The names of the files.
        """
        folder.mkdir(parents=True, exist_ok=True)
        files = self.core.save(folder)
        note = {
            "schema": 1,
            "model": self.model,
            "task": self.task,
            "features": self.features,
            "files": {name: _sha256(folder / name) for name in files},
        }
        (folder / NOTE).write_text(json.dumps(note, sort_keys=True) + "\n", encoding="utf-8")
        return (*files, NOTE)


# --- reading -----------------------------------------------------------------------------------

#: Reads a folder; the task and the number of features are known from the note.
Load: TypeAlias = Callable[[Path, Task, int], Core]


def read_fitted(model: str, load: Load, folder: Path) -> Fitted:
    """A model that `Fitted.save` wrote.

    Parameters
    ----------
    model
        Name of the family that it is of.
    load
        Reads what the library stored.
    folder
        Where it is.

    Raises
    ------
    ModelError
        If a file is missing or altered, or belongs to another family.
    """
    note = _read_note(model, folder)
    for name, wanted in note["files"].items():
        found = _sha256(folder / name) if (folder / name).is_file() else "no file"
        if found != wanted:
            msg = f"the model was stored with {wanted}, here is {found}"
            raise ModelError(msg, file=str(folder / name), hint="restore the file, or fit the model again")
    task, features = note["task"], note["features"]
    try:
        constant = Constant.FILE in note["files"]
        core: Core = Constant.load(folder, features) if constant else load(folder, task, features)
    except (ValueError, KeyError, TypeError, OSError) as error:
        msg = f"{model} cannot read its model: {error}"
        raise ModelError(msg, file=str(folder), hint="fit the model again") from error
    return Fitted(model, task, features, core)


def _read_note(model: str, folder: Path) -> dict[str, Any]:
    path = folder / NOTE
    try:
        note: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        whole_note = (
            note["schema"] == 1 and isinstance(note["features"], int) and note["task"] in {"class", "regression"}
        )
        plain_names = all(Path(name).name == name and not name.startswith(".") for name in note["files"])
        wanted = note["model"] == model and isinstance(note["files"], dict) and bool(note["files"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        msg = f"there is no readable note on a model: {type(error).__name__}"
        raise ModelError(msg, file=str(path), hint="give the folder that a model was stored in") from error
    if not (whole_note and plain_names and wanted):
        msg = f"the note describes no model of {model}"
        raise ModelError(msg, file=str(path), hint="give the folder that a model of this family was stored in")
    return note


def floats(values: np.ndarray) -> np.ndarray:
    """float32 in C order, the array itself where it is so already."""
    return np.ascontiguousarray(values, np.float32)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
