"""What the winners of a run said of rows that they had not seen: what is stacked, and what is judged."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa

from raypipe.dataset.matrix import Panel, Target
from raypipe.errors import DataQualityError, UsageError
from raypipe.lake.location import Location
from raypipe.lake.names import file_to_symbol
from raypipe.lake.objects import open_store
from raypipe.models.stacking import to_z
from raypipe.training.indicators import split_windows
from raypipe.training.journal import POOLED, ConfigResult, StudyRecord, read_study, study_key
from raypipe.training.study_data import Rows

__all__ = ["Base", "Oof", "RunStudies", "fold_numbers", "median_rounds", "oof_table", "read_run"]

_STUDIES = "studies"


@dataclass(frozen=True, slots=True)
class Base:
    """A column of predictions: the pooled winner of an algorithm, or its winners of all symbols side by side."""

    algorithm: str
    scope: str

    @property
    def name(self) -> str:
        """Such as ``xgboost.pooled``."""
        return f"{self.algorithm}.{self.scope}"

    @property
    def column(self) -> str:
        """Such as ``p_xgboost_pooled``."""
        return f"p_{self.algorithm}_{self.scope}"

    def to_dict(self) -> dict[str, str]:
        """As in `meta.json`."""
        return {"name": self.name, "algorithm": self.algorithm, "scope": self.scope}


@dataclass(frozen=True)
class RunStudies:
    """The studies of a run that have ended.

    Attributes
    ----------
    run_id, location
        Which run, of which lake.
    studies
        By (algorithm, scope).
    """

    run_id: str
    location: Location
    studies: Mapping[tuple[str, str], StudyRecord]

    @cached_property
    def winners(self) -> dict[tuple[str, str], ConfigResult]:
        """The winner of each study that has one."""
        return {key: one.winner for key, one in self.studies.items() if one.winner is not None}

    @property
    def algorithms(self) -> tuple[str, ...]:
        """Those with a winner, in order of name."""
        return tuple(sorted({algorithm for algorithm, _ in self.winners}))

    @property
    def bases(self) -> tuple[Base, ...]:
        """Every base that a winner gives, pooled before symbol, in order of name."""
        found = {(algorithm, "pooled" if scope == POOLED else "symbol") for algorithm, scope in self.winners}
        return tuple(Base(*one) for one in sorted(found))

    @property
    def windows(self) -> bool:
        """Whether windows of indicators were searched, so that bars are needed beside the panel."""
        return any(split_windows(winner.params)[1] for winner in self.winners.values())

    def trials(self) -> int:
        """Configurations tried: of each algorithm those of the pooled study and of the largest study of a symbol."""
        total = 0
        for algorithm in {algorithm for algorithm, _ in self.studies}:
            sizes = {scope: len(one.configs) for (name, scope), one in self.studies.items() if name == algorithm}
            total += sizes.pop(POOLED, 0) + max(sizes.values(), default=0)
        return total

    def check(self, **hashes: str) -> None:
        """Hold the headers of all studies against the data in use.

        Raises
        ------
        DataQualityError
            Naming the first study that was searched on other data, splits or features.
        """
        for record in self.studies.values():
            for name, value in hashes.items():
                was = getattr(record.header, name)
                if was != value:
                    msg = f"study {record.header.study} was searched with {name} {was}, here is {value}"
                    raise DataQualityError(msg, hint="give the files of that run, or run raypipe tune again")


def read_run(location: Location, run_id: str, algorithms: Iterable[str] = ()) -> RunStudies:
    """Read the journals of a run.

    Parameters
    ----------
    location, run_id
        The lake, and its run.
    algorithms
        Only these; none: all that the run has.

    Raises
    ------
    UsageError
        If there is no such run, it lacks one of the algorithms, a study has not ended, or none has a winner.
    """
    keys = _study_names(location, run_id)
    there = {algorithm for algorithm, _ in keys}
    wanted = set(algorithms) or there
    if not there or wanted - there:
        msg = f"run {run_id} has no studies of {', '.join(sorted(wanted - there)) or 'any algorithm'}"
        raise UsageError(msg, hint=f"it has: {', '.join(sorted(there))}" if there else "raypipe tune says its run id")
    found = {}
    for algorithm, scope in keys:
        if algorithm in wanted:
            record = read_study(location, study_key(run_id, algorithm, scope))
            if record.final is None:
                msg = f"study {record.header.study} of run {run_id} has not ended"
                raise UsageError(msg, hint="run the same raypipe tune again: it goes on where it stopped")
            found[algorithm, scope] = record
    run = RunStudies(run_id, location, found)
    if not run.winners:
        msg = f"no study of run {run_id} has a winner"
        raise UsageError(msg, hint="see why they failed: runs/" + f"{run_id}/run.json")
    return run


def _study_names(location: Location, run_id: str) -> list[tuple[str, str]]:
    """(algorithm, scope) of every folder of a study, sorted."""
    prefix = f"runs/{run_id}/{_STUDIES}/"
    found = set()
    for one in open_store(location).list(prefix):
        algorithm, _, rest = one.key.removeprefix(prefix).partition("/")
        scope, below, _ = rest.partition("/")
        if below:
            found.add((algorithm, scope if scope == POOLED else file_to_symbol(scope)))
    return sorted(found)


def median_rounds(winner: ConfigResult) -> int:
    """The median over folds of the boosting rounds; 0 for families without."""
    rounds = [one for one in winner.fold_rounds if one is not None]
    return round(statistics.median(rounds)) if rounds else 0


# --- rows ----------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Oof:
    """Predictions of the winners' fold models, for every row that a fold tested.

    Attributes
    ----------
    rows
        int64 (n,): rows of the panel, ascending.
    fold
        int32 (n,): which fold tested the row.
    bases
        The columns.
    p
        float32 (n, bases): NaN where a base has no model.
    """

    rows: np.ndarray
    fold: np.ndarray
    bases: tuple[Base, ...]
    p: np.ndarray

    def z(self, transform: str, session_id: np.ndarray) -> np.ndarray:
        """Predictions on the scale on which they are combined, float64 (n, bases)."""
        return to_z(self.p, transform, session_id[self.rows])

    @classmethod
    def of(cls, run: RunStudies, panel: Panel, folds: Sequence[Rows]) -> Oof:
        """Collect the predictions of the winners.

        Parameters
        ----------
        run
            Its studies.
        panel
            The panel that they were searched on.
        folds
            Its rows.

        Raises
        ------
        DataQualityError
            If a study has predictions for another number of rows.
        """
        fold = fold_numbers(panel.rows, folds)
        rows = np.flatnonzero(fold > 0)
        columns = [_column(run, base, panel) for base in run.bases]
        return cls(rows, fold[rows], run.bases, np.stack(columns, axis=1)[rows])


def fold_numbers(count: int, folds: Sequence[Rows]) -> np.ndarray:
    """Which fold tests each row of a panel, int32 (count,); -1 where none does, or it has no label."""
    found = np.full(count, -1, np.int32)
    for one in folds:
        found[one.test] = one.id
    return found


def _column(run: RunStudies, base: Base, panel: Panel) -> np.ndarray:
    found = np.full(panel.rows, np.nan, np.float32)
    pooled = base.scope == "pooled"
    for (algorithm, scope), winner in run.winners.items():
        if algorithm == base.algorithm and (scope == POOLED) is pooled:
            place = slice(0, panel.rows) if pooled else panel.rows_of(scope)
            found[place] = checked_row(run.studies[algorithm, scope], winner.i, place.stop - place.start)
    return found


def checked_row(record: StudyRecord, i: int, rows: int) -> np.ndarray:
    """Predictions of a configuration, which must be of so many rows."""
    found = record.oof(i)
    if len(found) != rows:
        msg = f"study {record.header.study} has predictions of {len(found):,} rows, the panel has {rows:,}"
        raise DataQualityError(msg, hint="the panel is not that of the run: run raypipe tune again")
    return found


def oof_table(oof: Oof, stacks: Mapping[str, np.ndarray], panel: Panel, target: Target) -> pa.Table:
    """`oof.parquet`: a row per symbol and session that a fold tested, sorted as the panel.

    Parameters
    ----------
    oof
        The bases.
    stacks
        z of each strategy by name, float64 (n,), NaN where it had no learner.
    panel, target
        What the rows are.
    """
    rows = oof.rows
    sessions = panel.sessions[panel.session_id[rows]].astype("datetime64[D]").astype(np.int32)
    symbols = pa.DictionaryArray.from_arrays(pa.array(panel.symbol_id[rows].astype(np.int32)), list(panel.symbols))
    columns: dict[str, pa.Array] = {
        "fold_id": pa.array(oof.fold),
        "session": pa.array(sessions).view(pa.date32()),
        "symbol": symbols.cast(pa.string()),
        "y": pa.array(target.y[rows]),
        "label_end_ns": pa.array(target.end_ns[rows]),
    }
    columns |= {base.column: _nullable(oof.p[:, i]) for i, base in enumerate(oof.bases)}
    columns |= {f"stack_{name.replace('-', '_')}": _nullable(z.astype(np.float32)) for name, z in stacks.items()}
    return pa.table(columns)


def _nullable(values: np.ndarray) -> pa.Array:
    return pa.array(values, mask=np.isnan(values))
