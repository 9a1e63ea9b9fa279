"""Random forests and extra trees: fitted by scikit-learn, kept and predicted as plain arrays in ``model.npz``.

scikit-learn's own way to store a forest is a pickle. The arrays give the same predictions to the last bit: a row goes
left where its float32 is at most the threshold, leaves are added in the order of the trees.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any, Literal
from zipfile import BadZipFile

import numpy as np
from pydantic import Field

from raypipe.models.model import BOTH, How, Model, ModelParams, Space, Task, choice, real, whole

__all__ = ["MODEL", "Forest", "Params"]

_FILE = "model.npz"
#: Rows that walk down the trees together: their features stay in the cache.
_CHUNK = 4096


class Params(ModelParams):
    """Parameters under the library's names; ``min_leaf_rows`` is ours."""

    n_estimators: int = Field(200, ge=1, le=10_000, description="Trees.")
    max_depth: int = Field(6, ge=1, le=64, description="Depth of a tree.")
    min_leaf_rows: int = Field(200, ge=1, description="Least rows of a leaf, at most a quarter of all.")
    max_features: Literal["sqrt", "log2"] | float = Field(0.5, description="Share of features of a split, or a rule.")
    min_samples_split: int = Field(2, ge=2, description="Least rows of a split.")
    min_samples_leaf: int | None = Field(None, ge=1, description="Least rows of a leaf; empty: min_leaf_rows.")


SAFE: Space = {
    "n_estimators": whole(100, 300, 200),
    "max_depth": whole(3, 8, 6),
    "min_leaf_rows": whole(20, 1000, 200, 20, log=True),
    "max_features": real(0.2, 0.8, 0.5),
}
#: The defaults of a wide space are the safe ones, moved in where they lie outside.
WIDE_RANDOM: Space = {
    "n_estimators": whole(50, 300, 200),
    "max_depth": whole(3, 15, 6),
    "min_samples_split": whole(2, 10, 2),
    "min_samples_leaf": whole(1, 5, 5),
    "max_features": choice("sqrt", "log2"),
}
WIDE_EXTRA: Space = {
    "n_estimators": whole(100, 700, 200),
    "max_depth": whole(5, 15, 6),
    "min_samples_split": whole(2, 20, 2),
    "min_samples_leaf": whole(1, 10, 10),
    "max_features": choice("sqrt", "log2", 1.0),
}


@dataclass(frozen=True, slots=True, eq=False)
class Forest:
    """All trees in one set of arrays.

    Attributes
    ----------
    medians
        float32 (features,): what stands for a null; 0 where the fit saw nothing but nulls.
    roots
        int32 (trees,): the node that each tree begins with.
    children
        int32 (nodes, 2): where a row goes from a node, left and right; a leaf leads to itself.
    feature
        int32 (nodes,): which column a node asks; 0 at leaves.
    threshold
        float32 (nodes,): at most this goes left.
    value
        float64 (nodes,): the answer of a leaf.
    depth
        int32 (): of the deepest tree.
    gain
        float64 (features,): the library's importance.
    """

    medians: np.ndarray
    roots: np.ndarray
    children: np.ndarray
    feature: np.ndarray
    threshold: np.ndarray
    value: np.ndarray
    depth: np.ndarray
    gain: np.ndarray

    def predict(self, x: np.ndarray) -> np.ndarray:
        """The mean over trees, float64."""
        parts = [self._chunk(x[low : low + _CHUNK]) for low in range(0, len(x), _CHUNK)]
        return np.concatenate(parts)

    def _chunk(self, x: np.ndarray) -> np.ndarray:
        values = np.where(np.isnan(x), self.medians, x).ravel()
        first = np.arange(len(x)) * x.shape[1]
        ways = self.children.ravel()
        total = np.zeros(len(x))
        for root in self.roots:
            node = np.full(len(x), root)
            for _ in range(int(self.depth)):
                right = values[first + self.feature[node]] > self.threshold[node]
                node = ways[2 * node + right]
            total += self.value[node]
        total /= len(self.roots)
        return total

    def save(self, folder: Path) -> tuple[str, ...]:
        """``model.npz``; equal forests give equal bytes."""
        np.savez(folder / _FILE, **{one.name: getattr(self, one.name) for one in fields(self)})
        return (_FILE,)

    def importance(self) -> np.ndarray:
        """Mean decrease of impurity."""
        return self.gain


def learn(x: np.ndarray, y: np.ndarray, how: How, *, extra: bool) -> Forest:
    """Fit on all rows, nulls replaced by the medians of these rows."""
    medians = _medians(x)
    model = _library(how, extra=extra)(
        **how.params.model_dump(include={"n_estimators", "max_depth", "max_features", "min_samples_split"}),
        min_samples_leaf=how.params.min_samples_leaf or how.leaf_rows(len(y), how.params.min_leaf_rows),
        random_state=how.seed,
        n_jobs=how.threads,
    )
    model.fit(np.where(np.isnan(x), medians, x), y)
    return _arrays(model, medians)


def load(folder: Path, task: Task, features: int) -> Forest:  # noqa: ARG001 - leaves are answers in either task
    """Read ``model.npz``; nothing in it can be an object."""
    try:
        with (folder / _FILE).open("rb") as file, np.load(file, allow_pickle=False) as stored:
            forest = Forest(**{name: stored[name] for name in stored.files})
    except (BadZipFile, EOFError) as error:
        raise ValueError(str(error)) from error
    _check(forest, features)
    return forest


def _library(how: How, *, extra: bool) -> Any:
    from sklearn import ensemble

    if how.task == "class":
        return ensemble.ExtraTreesClassifier if extra else ensemble.RandomForestClassifier
    return ensemble.ExtraTreesRegressor if extra else ensemble.RandomForestRegressor


def _medians(x: np.ndarray) -> np.ndarray:
    """Of what is known of each column, float32."""
    empty = np.isnan(x).all(axis=0)
    medians: np.ndarray = np.nanmedian(np.where(empty, np.float32(0), x), axis=0).astype(np.float32)
    return medians


def _arrays(model: Any, medians: np.ndarray) -> Forest:
    trees = [one.tree_ for one in model.estimators_]
    roots = np.cumsum([0, *(tree.node_count for tree in trees)])[:-1]
    left, right = (
        np.concatenate([getattr(tree, f"children_{side}") + root for tree, root in zip(trees, roots, strict=True)])
        for side in ("left", "right")
    )
    feature = np.concatenate([tree.feature for tree in trees])
    leaf = feature < 0
    here = np.arange(len(leaf))
    children = np.stack([np.where(leaf, here, left), np.where(leaf, here, right)], axis=1)
    return Forest(
        medians=medians,
        roots=roots.astype(np.int32),
        children=children.astype(np.int32),
        feature=np.where(leaf, 0, feature).astype(np.int32),
        threshold=_down(np.concatenate([tree.threshold for tree in trees])),
        value=np.concatenate([tree.value[:, 0, -1] for tree in trees]),
        depth=np.array(max(tree.max_depth for tree in trees), np.int32),
        gain=np.asarray(model.feature_importances_, np.float64),
    )


def _down(threshold: np.ndarray) -> np.ndarray:
    """The largest float32 that is not above: for any float32, being at most either is the same."""
    near = threshold.astype(np.float32)
    below: np.ndarray = np.where(near > threshold, np.nextafter(near, np.float32(-np.inf)), near)
    return below


def _check(forest: Forest, features: int) -> None:
    """No way leads out of the arrays."""
    nodes = len(forest.value)
    places = {"roots": nodes, "children": nodes, "feature": features}
    for name, limit in places.items():
        found = getattr(forest, name)
        if found.dtype != np.int32 or not found.size or found.min() < 0 or found.max() >= limit:
            msg = f"{name} lead out of the arrays"
            raise ValueError(msg)
    shapes = {
        "medians": (features,),
        "children": (nodes, 2),
        "feature": (nodes,),
        "threshold": (nodes,),
        "depth": (),
        "gain": (features,),
    }
    for name, shape in shapes.items():
        if getattr(forest, name).shape != shape:
            msg = f"{name} have shape {getattr(forest, name).shape}, expected {shape}"
            raise ValueError(msg)


def _family(name: str, alias: str, wide: Space, *, extra: bool) -> Model:
    return Model(
        name=name,
        aliases=(alias,),
        tasks=BOTH,
        params_type=Params,
        spaces={"safe": SAFE, "wide": wide},
        learn=partial(learn, extra=extra),
        load=load,
    )


MODEL = (
    _family("random_forest", "rf", WIDE_RANDOM, extra=False),
    _family("extra_trees", "et", WIDE_EXTRA, extra=True),
)
