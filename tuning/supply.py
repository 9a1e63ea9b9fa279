"""Which study is next: handed to Ray Tune one by one, as a sweep's queue lets them start."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ray import tune
from ray.tune.search import Searcher

from raypipe.training.study import StudyJob, StudyOutcome
from raypipe.training.sweep_plan import StudyQueue
from tuning.trial import outcome_of

__all__ = ["LOST", "Halt", "Supply"]

LOST = "its worker died, more often than it is started again"


class Supply(Searcher):
    """Hands out the numbers of studies, and passes on what became of them.

    Parameters
    ----------
    jobs
        All studies; a trial is told its number among them.
    queue
        Which of them may start.
    ended
        Told of each that ended, and of those that could not start then.
    stop
        Set when no further study is to start.
    """

    def __init__(
        self,
        jobs: Sequence[StudyJob] = (),
        queue: StudyQueue | None = None,
        ended: Callable[[StudyOutcome], None] = lambda _: None,
        stop: threading.Event | None = None,
    ) -> None:
        super().__init__(metric="n_done", mode="max")
        self._number = {job.key: number for number, job in enumerate(jobs)}
        self._queue, self._ended, self._stop = queue or StudyQueue(()), ended, stop or threading.Event()
        self._running: dict[str, StudyJob] = {}

    def suggest(self, trial_id: str) -> Any:
        """The next study that may start; None if all have to wait; `Searcher.FINISHED` at the end."""
        if self._stop.is_set() or not len(self._queue):
            return Searcher.FINISHED
        job = self._queue.next()
        if job is None:
            return None
        self._running[trial_id] = job
        return {"study": self._number[job.key]}

    def on_trial_complete(self, trial_id: str, result: Mapping[str, Any] | None = None, error: bool = False) -> None:
        """A study is over, well or not; those that waited for it may start, or never will."""
        job = self._running.pop(trial_id, None)
        if job is None:
            return
        outcome = StudyOutcome(job.algorithm, job.scope, "failed", LOST) if error or not result else outcome_of(result)
        for each in (outcome, *self._queue.ended(job, outcome)):
            self._ended(each)

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the journals hold what there is to know."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing, as of `save`."""

    def __getstate__(self) -> dict[str, Any]:
        """Tune pickles its searcher to restore it, which is never done here; neither event nor queue travels."""
        return {}


class Halt(tune.Stopper):
    """Ends all trials after the configuration in flight, once the user stops the sweep."""

    def __init__(self, stop: threading.Event | None = None) -> None:
        self._stop = stop or threading.Event()

    def __call__(self, *_: Any) -> bool:
        """Whether a trial ends."""
        return self._stop.is_set()

    def stop_all(self) -> bool:
        """Whether all end."""
        return self._stop.is_set()

    def __getstate__(self) -> dict[str, Any]:
        """As of `Supply`."""
        return {}
