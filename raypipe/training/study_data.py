"""What studies are searched on: arrays of a whole panel, its folds and features, once per node for all studies.

A study is handed a view: the rows of its scope. Between processes the arrays travel as files that are memory-mapped,
or as objects that are shared, never inside a job.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from raypipe.dataset.matrix import Panel, Target
from raypipe.errors import DeveloperError
from raypipe.features.ta_windows import TaColumns, TaRows
from raypipe.models.model import Kept
from raypipe.training.journal import POOLED

__all__ = ["ALL", "FoldView", "Rows", "StudyData", "StudyView"]

#: Name under which selections keep the features of all symbols together.
ALL = "*"
#: Share of the training sessions that boosting may be stopped on, and disjoint labels that it must hold.
TAIL_PARTS, TAIL_LABELS = 5, 10
#: Bytes of fold matrices that a study keeps instead of taking them from the panel for every configuration.
KEPT_BYTES = 64 << 20
_ARRAYS = ("x", "y", "end_ns", "decision_ns", "session_id", "symbol_id")
_BARS = ("prices", "starts", "at")


class Rows(Protocol):
    """One fold: rows of the panel, ascending."""

    @property
    def id(self) -> int:
        """Its number, from 1."""

    @property
    def train(self) -> np.ndarray:
        """int64, rows to fit on."""

    @property
    def test(self) -> np.ndarray:
        """int64, rows to predict."""


@dataclass(frozen=True, slots=True)
class _Fold:
    id: int
    train: np.ndarray
    test: np.ndarray


@dataclass(frozen=True, eq=False, repr=False)
class StudyData:
    """All that the studies of one sweep share.

    Attributes
    ----------
    symbols, features
        Names; ``symbol_id`` and ``columns`` index them.
    target, kind, horizon
        As in `Target`.
    x, y, end_ns, decision_ns, session_id, symbol_id
        As in `Panel` and `Target`: n rows, sorted by symbol.
    folds
        In the order of time.
    columns
        (fold id, symbol or `ALL`) -> int64 features that a fit may see.
    splits_sha256, data_sha256, features_sha256
        Hashes of the splits file, of the rows that it was made of, and of the selection.
    sha256
        Hash of everything else.
    bars
        What windows of indicators are made of; None if they are not searched.
    """

    symbols: tuple[str, ...]
    features: tuple[str, ...]
    target: str
    kind: Literal["class", "regression"]
    horizon: int
    x: np.ndarray
    y: np.ndarray
    end_ns: np.ndarray
    decision_ns: np.ndarray
    session_id: np.ndarray
    symbol_id: np.ndarray
    folds: tuple[Rows, ...]
    columns: Mapping[tuple[int, str], np.ndarray]
    splits_sha256: str
    data_sha256: str
    features_sha256: str
    sha256: str
    bars: TaRows | None = None

    @classmethod
    def of(
        cls,
        panel: Panel,
        target: Target,
        folds: Sequence[Rows],
        selected: Mapping[tuple[int, str], Sequence[str]],
        *,
        bars: TaRows | None = None,
        **hashes: str,
    ) -> StudyData:
        """Put together what was loaded.

        Parameters
        ----------
        panel, target
            Features and labels, row for row.
        folds
            Usable rows of each fold.
        selected
            (fold id, symbol or `ALL`) -> names of features.
        bars
            As of the attribute.
        hashes
            ``splits_sha256``, ``data_sha256``, ``features_sha256``.
        """
        place = {name: i for i, name in enumerate(panel.features)}
        columns = {key: np.array([place[name] for name in names], np.int64) for key, names in selected.items()}
        rows = tuple(_Fold(one.id, one.train, one.test) for one in folds)
        arrays = (panel.x, target.y, target.end_ns, panel.decision_ns, panel.session_id, panel.symbol_id)
        names = [panel.symbols, panel.features, target.name, target.kind, target.horizon, sorted(hashes.items())]
        hashed = (*arrays, *(getattr(bars, name) for name in _BARS)) if bars is not None else arrays
        return cls(
            panel.symbols,
            panel.features,
            target.name,
            target.kind,
            target.horizon,
            *arrays,
            rows,
            columns,
            hashes["splits_sha256"],
            hashes["data_sha256"],
            hashes["features_sha256"],
            _sha256(names, hashed, rows, columns),
            bars,
        )

    def rows_of(self, scope: str) -> slice:
        """Where the rows of a scope are; empty if a symbol has none."""
        if scope == POOLED:
            return slice(0, len(self.y))
        place = self.symbols.index(scope)
        low, high = np.searchsorted(self.symbol_id, [place, place + 1])
        return slice(int(low), int(high))

    def bars_of(self, scope: str) -> TaRows | None:
        """The bars of a scope, and which of them its rows know."""
        if self.bars is None or scope == POOLED:
            return self.bars
        return self.bars.of_symbol(self.symbols.index(scope), self.rows_of(scope))

    # --- files -----------------------------------------------------------------------------------

    def save(self, folder: Path) -> None:
        """Write the arrays as files of a folder that is there, for `load`."""
        for name in _ARRAYS:
            np.save(folder / f"{name}.npy", getattr(self, name), allow_pickle=False)
        for name in _BARS if self.bars is not None else ():
            np.save(folder / f"bars_{name}.npy", getattr(self.bars, name), allow_pickle=False)
        for fold in self.folds:
            np.save(folder / f"train_{fold.id}.npy", fold.train, allow_pickle=False)
            np.save(folder / f"test_{fold.id}.npy", fold.test, allow_pickle=False)
        (folder / "names.json").write_text(json.dumps(self._names()), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> StudyData:
        """Map what `save` wrote: read-only, and in memory once for all processes of a node."""
        names: dict[str, Any] = json.loads((folder / "names.json").read_text(encoding="utf-8"))
        sets = [np.array(one, np.int64) for one in names.pop("sets")]
        columns = {(fold, scope): sets[n] for fold, scope, n in names.pop("columns")}
        folds = tuple(_Fold(n, _mapped(folder, f"train_{n}"), _mapped(folder, f"test_{n}")) for n in names.pop("folds"))
        arrays: dict[str, Any] = {name: _mapped(folder, name) for name in _ARRAYS}
        symbols, features = tuple(names.pop("symbols")), tuple(names.pop("features"))
        bars = TaRows(*(_mapped(folder, f"bars_{name}") for name in _BARS)) if names.pop("bars") else None
        return cls(symbols=symbols, features=features, folds=folds, columns=columns, bars=bars, **arrays, **names)

    def _names(self) -> dict[str, Any]:
        """Everything but the arrays; equal sets of features stand once."""
        sets: dict[bytes, int] = {}
        columns = [[fold, scope, sets.setdefault(c.tobytes(), len(sets))] for (fold, scope), c in self.columns.items()]
        plain = ("symbols", "features", "target", "kind", "horizon", "splits_sha256", "data_sha256", "features_sha256")
        return {
            **{name: getattr(self, name) for name in (*plain, "sha256")},
            "folds": [fold.id for fold in self.folds],
            "columns": columns,
            "bars": self.bars is not None,
            "sets": [np.frombuffer(one, np.int64).tolist() for one in sets],
        }


def _mapped(folder: Path, name: str) -> np.ndarray:
    array: np.ndarray = np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
    return array if array.size else np.array(array)


def _sha256(
    names: Sequence[Any], arrays: Sequence[np.ndarray], folds: Sequence[Rows], columns: Mapping[Any, np.ndarray]
) -> str:
    found = hashlib.sha256(json.dumps([names, [[*key, c.tolist()] for key, c in sorted(columns.items())]]).encode())
    for array in (*arrays, *(part for fold in folds for part in (np.array([fold.id]), fold.train, fold.test))):
        found.update(f"{array.dtype.str}{array.shape}".encode())
        found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()


# --- one scope ---------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class FoldView:
    """One fold of one scope. Row numbers are those of the scope's own rows.

    Attributes
    ----------
    id
        Its number.
    train, test
        int64 rows to fit on and to predict.
    columns
        int64 features.
    inner, tail
        int64 parts of ``train``: the last sessions, and what remains of the others when labels that reach into these
        are left out. None if the tail is too short to stop on.
    """

    id: int
    train: np.ndarray
    test: np.ndarray
    columns: np.ndarray
    inner: np.ndarray | None
    tail: np.ndarray | None


class StudyView:
    """The rows of one scope.

    Parameters
    ----------
    data
        The arrays of the sweep.
    scope
        `POOLED` or a symbol.
    early_stop
        Whether boosting may be stopped on a tail of the training rows.
    again
        Whether folds are fitted more than once, so that it is worth keeping their bins.
    """

    def __init__(self, data: StudyData, scope: str, *, early_stop: bool, again: bool = True) -> None:
        rows = data.rows_of(scope)
        self.kind, self.horizon, self.one_symbol = data.kind, data.horizon, scope != POOLED
        self.rows = rows.stop - rows.start
        self.y, self.session_id = data.y[rows], data.session_id[rows]
        self._x, self._end, self._decision = data.x[rows], data.end_ns[rows], data.decision_ns[rows]
        selected = ALL if scope == POOLED else scope
        self.folds = tuple(self._fold(one, rows, data.columns[one.id, selected], early_stop) for one in data.folds)
        self._kept: dict[tuple[int, str], np.ndarray] = {}
        self._bins: dict[tuple[int, str], Kept] = {}
        self._again = again
        self._bars = data.bars_of(scope)

    def indicators(self, windows: Mapping[str, int]) -> np.ndarray | None:
        """Columns of indicators under some windows, float32 (rows, 9); None without windows."""
        return self._columns.of(windows) if windows else None

    def matrix(
        self,
        fold: FoldView,
        part: Literal["train", "test", "inner", "tail"],
        beside: np.ndarray | None = None,
    ) -> np.ndarray:
        """Features of a part of a fold: float32 (rows, columns), C order, read-only where it is kept.

        Parameters
        ----------
        fold, part
            Which rows.
        beside
            Further columns of all rows of the scope, which are put behind.
        """
        found = self._features(fold, part)
        return found if beside is None else np.hstack([found, beside[getattr(fold, part)]])

    def _features(self, fold: FoldView, part: str) -> np.ndarray:
        found = self._kept.get((fold.id, part))
        if found is None:
            found = self._x[np.ix_(getattr(fold, part), fold.columns)]
            if self._keeps:
                self._kept[fold.id, part] = found
                found.flags.writeable = False
        return found

    def kept(self, fold: FoldView, part: Literal["train", "inner"], beside: np.ndarray | None = None) -> Kept | None:
        """Where the bins of a part stay from one configuration to the next; None where there is no room, or reason.

        Arguments as for `matrix`: columns that are put behind are of one configuration.
        """
        return self._bins.setdefault((fold.id, part), {}) if beside is None and self._keeps_bins else None

    def labels(self, rows: np.ndarray | None) -> np.ndarray:
        """Labels of rows, float32."""
        found: np.ndarray = self.y[rows]
        return found

    @cached_property
    def _columns(self) -> TaColumns:
        if self._bars is None:
            msg = "a configuration has windows of indicators, and there are no bars to make them of"
            raise DeveloperError(msg)
        return TaColumns(self._bars)

    @cached_property
    def scorable(self) -> int:
        """Folds that can have a score: with something to fit on, and labels that differ to score by."""
        return sum(len(one.train) > 0 and len(np.unique(self.y[one.test])) > 1 for one in self.folds)

    @cached_property
    def _keeps(self) -> bool:
        cells = sum((2 * len(one.train) + len(one.test)) * len(one.columns) for one in self.folds)
        return cells * np.dtype(np.float32).itemsize <= KEPT_BYTES

    @cached_property
    def _keeps_bins(self) -> bool:
        """Two bytes a cell: libraries hold a bin by row, and some by column too."""
        cells = sum((1 + (one.inner is not None)) * len(one.train) * len(one.columns) for one in self.folds)
        return self._again and 2 * cells <= KEPT_BYTES

    def _fold(self, fold: Rows, rows: slice, columns: np.ndarray, early_stop: bool) -> FoldView:
        train, test = (_within(part, rows) for part in (fold.train, fold.test))
        inner, tail = self._tail(train) if early_stop else (None, None)
        return FoldView(fold.id, train, test, columns, inner, tail)

    def _tail(self, train: np.ndarray) -> tuple[np.ndarray | None, np.ndarray | None]:
        """The rows before the last fifth of the sessions, purged against it, and those in it."""
        sessions = np.unique(self.session_id[train])
        count = len(sessions) // TAIL_PARTS
        if count < TAIL_LABELS * self.horizon or not count:
            return None, None
        late = self.session_id[train] >= sessions[-count]
        tail = train[late]
        clear = ~late & (self._end[train] < self._decision[tail].min())
        return (train[clear], tail) if clear.any() else (None, None)


def _within(part: np.ndarray, rows: slice) -> np.ndarray:
    """Rows of a sorted part that lie in a slice, counted from its start."""
    low, high = np.searchsorted(part, [rows.start, rows.stop])
    found: np.ndarray = np.asarray(part[low:high] - rows.start, np.int64)
    return found
