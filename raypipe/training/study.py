"""A study: the search for one configuration, for one algorithm on one scope.

`run_study` is what every executor maps; a Ray trial takes the same steps one by one. A study is told by its journal
only, so where and how often it was stopped changes nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import raypipe
from raypipe.errors import UsageError
from raypipe.lake.location import Location
from raypipe.models.catalog import model
from raypipe.models.model import Model, SpaceName
from raypipe.models.space import distributions
from raypipe.schema.modeling import TuneParams
from raypipe.training.indicators import DEFAULT, SPACE
from raypipe.training.journal import POOLED, ConfigResult, Final, Header, Journal, read_study
from raypipe.training.study_ask import Asker, hashed_seed
from raypipe.training.study_data import StudyData, StudyView
from raypipe.training.study_fit import CONSTANT, MIN_FOLDS, NO_SCORE, Fit, lost, run_configuration

__all__ = ["MAX_FAILED", "Study", "StudyJob", "StudyOutcome", "final_of", "header_of", "outcome_of", "run_study"]

#: Share of configurations whose fit may fail before the study does.
MAX_FAILED = 0.2
#: Seconds that a writer waits for another one, which is most likely being killed.
_WAIT = 30.0
#: Package of a family's library; scikit-learn unless named.
_LIBRARIES = {name: name for name in ("xgboost", "catboost", "lightgbm")}


@dataclass(frozen=True, slots=True)
class StudyJob:
    """One study, as it travels to a worker: names, never arrays.

    Attributes
    ----------
    location, key
        The lake, and the study's folder in it.
    algorithm, space, scope
        A family's name, ``safe`` or ``wide``, and `POOLED` or a symbol.
    params
        The section ``tune``.
    pooled
        Folder of the pooled study whose winner is configuration 0; empty if there is none.
    scratch
        Folder of the arrays on this node (`StudyData.save`); empty if they are handed over.
    """

    location: Location
    key: str
    algorithm: str
    space: SpaceName
    scope: str
    params: TuneParams
    pooled: str = ""
    scratch: str = ""

    @property
    def name(self) -> str:
        """Algorithm and scope, such as ``xgboost/BRK.B``."""
        return f"{self.algorithm}/{self.scope}"


@dataclass(frozen=True, slots=True)
class StudyOutcome:
    """What became of a study.

    Attributes
    ----------
    algorithm, scope
        Which study.
    status
        ``done``; ``failed`` (it has no winner, or could not run); ``skipped`` (its symbol has no rows); ``stopped``.
    reason
        Why it failed, was skipped or stopped.
    over
        Whether its journal has its final line.
    winner, value
        Number and objective of the winner.
    asked
        Configurations that ran now, not read from the journal.
    n_complete, n_pruned, n_failed
        Configurations of the journal, by state.
    seconds, cpu_s
        Of the configurations that ran now.
    exit_code
        Of the error, if one kept it from running.
    warnings
        What was cut off the journal.
    """

    algorithm: str
    scope: str
    status: Literal["done", "failed", "skipped", "stopped"]
    reason: str = ""
    over: bool = False
    winner: int | None = None
    value: float | None = None
    asked: int = 0
    n_complete: int = 0
    n_pruned: int = 0
    n_failed: int = 0
    seconds: float = 0.0
    cpu_s: float = 0.0
    exit_code: int = 0
    warnings: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Algorithm and scope, such as ``xgboost/BRK.B``."""
        return f"{self.algorithm}/{self.scope}"


def header_of(job: StudyJob, data: StudyData) -> Header:
    """The header that the journal of a study must have."""
    tracked = {name: value for name, value in job.params.tracked().items() if name not in _OF_THE_SWEEP}
    library = _LIBRARIES.get(job.algorithm, "scikit-learn")
    own = [job.algorithm, job.space, job.scope, bool(job.pooled), tracked, raypipe.__version__, data.sha256]
    return Header(
        study=job.name,
        algorithm=job.algorithm,
        scope=job.scope,
        target=data.target,
        space=job.space,
        seed=job.params.seed,
        n_configs=job.params.n_configs,
        fingerprint=hashlib.sha256(json.dumps(own, sort_keys=True).encode()).hexdigest(),
        splits_sha256=data.splits_sha256,
        data_sha256=data.data_sha256,
        features_sha256=data.features_sha256,
        code_version=raypipe.__version__,
        libraries={name: version(name) for name in sorted({"numpy", "optuna", library})},
    )


#: Parameters that say which studies there are, not what one of them does.
_OF_THE_SWEEP = frozenset({"algorithms", "space", "pooled", "per_symbol"})


class Study:
    """A study that can be taken step by step; see `Study.open`.

    Attributes
    ----------
    job
        Which study.
    results
        All configurations so far, those of the journal included.
    asked
        How many of them ran here.
    """

    def __init__(self, job: StudyJob, view: StudyView, journal: Journal) -> None:
        self.job, self.results, self.asked = job, list(journal.configs), 0
        self._view, self._journal = view, journal
        self._model: Model = model(job.algorithm)[0]
        self._seed = hashed_seed(job.params.seed, journal.header.target, job.algorithm, job.scope)
        self._fit = Fit(self._model, hashed_seed(self._seed, "model"), job.params.threads)
        self._asker: Asker | None = None
        self._given = self._first_ones()
        self._close_if_over()

    @classmethod
    def open(cls, job: StudyJob, data: StudyData | None = None, *, wait: float = _WAIT) -> Self:
        """Open a study where its journal ends, or begin it.

        Parameters
        ----------
        job
            Which study.
        data
            The arrays; None: those of the job's scratch folder.
        wait
            Seconds to wait for another local writer.

        Raises
        ------
        UsageError
            If the journal is of another study (value ``field``), or another process writes it.
        DataQualityError
            If the journal was edited (value ``line``).
        """
        arrays = data if data is not None else StudyData.load(Path(job.scratch))
        params = job.params
        view = StudyView(arrays, job.scope, early_stop=params.early_stop == "tail", again=params.n_configs > 1)
        journal = Journal.open(job.location, job.key, header_of(job, arrays), view.rows, wait=wait)
        try:
            return cls(job, view, journal)
        except BaseException:
            journal.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def done(self) -> bool:
        """Whether there is nothing left to do; then the final line is written."""
        return self._journal.final is not None

    @property
    def best(self) -> ConfigResult | None:
        """The best complete configuration so far."""
        return _best(self.results)

    def step(self) -> ConfigResult | None:
        """Run the next configuration and journal it; None if the study is over.

        Raises
        ------
        ImportError, MemoryError
            From the library of the model; the study can go on later.
        """
        if self.done:
            return None
        i = len(self.results)
        params, source = self._next(i)
        result, oof = run_configuration(self._view, self._fit, params, self._loses, i=i, source=source)
        self._journal.append(result, oof)
        self.results.append(result)
        self.asked += 1
        if self._asker is not None:
            self._asker.tell(result)
        self._close_if_over()
        return result

    def outcome(self) -> StudyOutcome:
        """What became of the study so far; ``stopped`` if it is not over."""
        ran = self.results[len(self.results) - self.asked :]
        return replace(
            outcome_of(self.job, self.results, self._journal.final),
            asked=self.asked,
            seconds=sum(one.seconds for one in ran),
            cpu_s=sum(one.cpu_s for one in ran),
            warnings=tuple(self._journal.warnings),
        )

    def close(self) -> None:
        """Let others write the journal."""
        self._journal.close()

    def _next(self, i: int) -> tuple[dict[str, Any], Any]:
        if i < len(self._given):
            return self._given[i]
        if self._asker is None:
            space = {**self._model.spaces[self.job.space], **(SPACE if self.job.params.windows else {})}
            self._asker = Asker(distributions(space), self._seed)
            for one in self.results:
                self._asker.tell(one)
        return self._asker.ask(i)

    def _first_ones(self) -> list[tuple[dict[str, Any], Any]]:
        """The configurations that nobody asks for: the pooled winner, the default."""
        scope: Literal["pooled", "symbol"] = "pooled" if self.job.scope == POOLED else "symbol"
        windows = DEFAULT if self.job.params.windows else {}
        default = ({**self._model.default(self.job.space, scope), **windows}, "default")
        winner = self._pooled_winner() if self.job.pooled else None
        given = [(dict(winner.params), "pooled_winner"), default] if winner else [default]
        for (params, source), was in zip(given, self.results, strict=False):
            if (dict(was.params), was.source) != (params, source):
                msg = f"configuration {was.i} of the journal is not the {source} of now"
                raise UsageError(msg, hint="start anew with --fresh", study=self.job.name, field="params")
        return given

    def _pooled_winner(self) -> ConfigResult | None:
        pooled = read_study(self.job.location, self.job.pooled)
        if pooled.final is None:
            msg = f"study {pooled.header.study} has not ended, and its winner is where this one begins"
            raise UsageError(msg, hint="run the pooled study first", study=self.job.name)
        return pooled.winner

    def _loses(self, values: Sequence[float | None]) -> bool:
        return self.job.params.prune and lost(values, [one for one in self.results if one.state == "complete"])

    def _close_if_over(self) -> None:
        """Write the final line once all configurations ran, or too many fits failed, or none can be scored."""
        wanted = self.job.params.n_configs
        over = len(self.results) >= wanted or _failed_fits(self.results) > MAX_FAILED * wanted
        if not self.done and (over or self._view.scorable < MIN_FOLDS):
            self._journal.finish(final_of(self.results, wanted))


def outcome_of(job: StudyJob, results: Sequence[ConfigResult], final: Final | None) -> StudyOutcome:
    """What became of a study, by its journal."""
    failed, counted = final is not None and final.winner is None, final or final_of(results)
    return StudyOutcome(
        algorithm=job.algorithm,
        scope=job.scope,
        status="failed" if failed else "done" if final else "stopped",
        reason=_why_failed(results, job.params.n_configs) if failed else "" if final else "was stopped",
        over=final is not None,
        winner=counted.winner,
        value=counted.value,
        n_complete=counted.n_complete,
        n_pruned=counted.n_pruned,
        n_failed=counted.n_failed,
    )


def _best(results: Sequence[ConfigResult]) -> ConfigResult | None:
    complete = [one for one in results if one.state == "complete" and one.value is not None]
    return max(complete, key=lambda one: (one.value, -one.i), default=None)


def _failed_fits(results: Sequence[ConfigResult]) -> int:
    """Configurations that failed by more than learning nothing."""
    return sum(one.state == "failed" and one.error not in {CONSTANT, NO_SCORE} for one in results)


def final_of(results: Sequence[ConfigResult], n_configs: int = 0) -> Final:
    """The last line of a study with these configurations; it has no winner if too many of their fits failed.

    Parameters
    ----------
    results
        All of them.
    n_configs
        How many there were to be; 0: as many as there are.
    """
    ruined = _failed_fits(results) > MAX_FAILED * (n_configs or len(results))
    best = None if ruined else _best(results)
    count = {state: sum(one.state == state for one in results) for state in ("complete", "pruned", "failed")}
    counts = (count["complete"], count["pruned"], count["failed"])
    return Final(best.i, best.value, *counts) if best else Final(None, None, *counts)


def _why_failed(results: Sequence[ConfigResult], n_configs: int) -> str:
    """Why a study has no winner, in one line."""
    failed = [one for one in results if one.state == "failed"]
    fits = _failed_fits(results)
    if fits > MAX_FAILED * n_configs:
        first = next(one for one in failed if one.error not in {CONSTANT, NO_SCORE})
        return f"{fits} of {n_configs} configurations failed, more than {MAX_FAILED:.0%}; the first: {first.error}"
    if failed:
        return f"no configuration is complete; the first failed: {failed[0].error}"
    return NO_SCORE


def run_study(
    job: StudyJob,
    data: StudyData | None = None,
    *,
    stop: Callable[[], bool] | None = None,
    watch: Callable[[ConfigResult], None] | None = None,
) -> StudyOutcome:
    """Run a study to its end, from wherever its journal ends.

    Parameters
    ----------
    job, data
        As for `Study.open`.
    stop
        Asked before each configuration; True ends the study there.
    watch
        Told each configuration as it ends.
    """
    with Study.open(job, data) as study:
        while not (stop and stop()):
            result = study.step()
            if result is None:
                break
            if watch:
                watch(result)
        return study.outcome()
