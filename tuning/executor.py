"""The studies of a sweep on Ray Tune: one Tuner, a trial is a study, an actor runs one study after the other."""

from __future__ import annotations

import secrets
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Self

from ray import tune

from raypipe.config import RunParams
from raypipe.errors import ClusterError
from raypipe.training.study import StudyJob, StudyOutcome
from raypipe.training.study_data import StudyData
from raypipe.training.sweep_plan import StudyQueue, SweepPlan
from raypipe.training.sweep_run import Watch
from tasks.runtime import connect
from tuning.supply import Halt, Supply
from tuning.trial import StudyTrial, result_of

__all__ = ["RaySweep"]

#: How often a study whose worker died is started again; its journal says where it was.
MAX_FAILURES = 3
#: Seconds for Tune to end when the caller does not want more.
FAREWELL = 10.0


class RaySweep:
    """Runs studies on a Ray cluster, or on a Ray of its own.

    The panel is put into the object store once and read from there without a copy. Nothing of Tune is restored:
    what a killed sweep did stands in its journals.

    Parameters
    ----------
    address
        ``local``, ``auto`` or ``host:port``; see `tasks.cluster.connect`.
    workers
        Studies at a time; as many as fit on the CPUs if None.
    """

    name = "ray"

    def __init__(self, address: str = "local", workers: int | None = None) -> None:
        self._address, self._limit = address, workers
        self.workers = workers or 1

    @classmethod
    def of(cls, plan: SweepPlan, run: RunParams, address: str = "local") -> Self:
        """As the configuration says: its address, else this one; studies at a time of the search, else its workers."""
        return cls(run.address or address, plan.params.max_concurrent or run.workers)

    def run(
        self, plan: SweepPlan, data: StudyData, queue: StudyQueue, watch: Watch, stop: threading.Event
    ) -> Iterator[StudyOutcome]:
        """See `raypipe.training.sweep_run.SweepExecutor.run`.

        Raises
        ------
        ClusterError
            If Ray gives up; what ran stands in the journals.
        """
        with connect(self._address, self._limit) as cluster:
            self.workers = self._limit or cluster.cpus or 1
            yield from self._search(_Sweep(plan, data, queue, watch, stop))

    def _search(self, sweep: _Sweep) -> Iterator[StudyOutcome]:
        thread = threading.Thread(target=self._tune, args=(sweep,), daemon=True)
        thread.start()
        whole = False
        try:
            while (one := sweep.arrivals.get()) is not None:
                if isinstance(one, BaseException):
                    reason = (str(one).strip() or type(one).__name__).splitlines()[0]
                    msg = f"Ray Tune stopped: {reason}"
                    raise ClusterError(msg, hint="the same command goes on where it stopped") from one
                yield one
            whole = True
        finally:
            if not whole:  # the event is the caller's: one that is set says that a person wanted the end
                sweep.stop.set()
            thread.join(FAREWELL)

    def _tune(self, sweep: _Sweep) -> None:
        try:
            with tempfile.TemporaryDirectory(prefix="raypipe-tune-", ignore_cleanup_errors=True) as folder:
                self._tuner(sweep, Path(folder)).fit()
            sweep.arrivals.put(None)
        except BaseException as error:  # noqa: BLE001 - it is raised again in the caller's thread
            sweep.arrivals.put(error)

    def _tuner(self, sweep: _Sweep, folder: Path) -> tune.Tuner:
        """One Tuner for all studies; a name of its own each time, because Tune goes on with a name that it knows."""
        plan = sweep.plan
        made = tune.with_parameters(StudyTrial, jobs=plan.jobs, data=sweep.data)
        supply = Supply(plan.jobs, sweep.queue, sweep.arrivals.put, sweep.stop)
        return tune.Tuner(
            tune.with_resources(made, {"cpu": plan.params.threads}),
            tune_config=tune.TuneConfig(
                search_alg=supply,
                num_samples=-1,
                reuse_actors=True,
                max_concurrent_trials=plan.params.max_concurrent or self._limit,
            ),
            run_config=tune.RunConfig(
                name=f"raypipe-{secrets.token_hex(6)}",
                storage_path=str(folder),
                stop=Halt(sweep.stop),
                callbacks=[_Told(plan.jobs, sweep.watch)],
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                failure_config=tune.FailureConfig(max_failures=MAX_FAILURES),
                verbose=0,
            ),
        )


@dataclass(frozen=True, eq=False)
class _Sweep:
    """What one run works on; ``arrivals`` holds outcomes, an error, or None at the end."""

    plan: SweepPlan
    data: StudyData
    queue: StudyQueue
    watch: Watch
    stop: threading.Event
    arrivals: SimpleQueue[StudyOutcome | BaseException | None] = field(default_factory=SimpleQueue)


class _Told(tune.Callback):
    """Passes on how each study stands."""

    def __init__(self, jobs: Sequence[StudyJob], watch: Watch) -> None:
        self._jobs, self._watch = jobs, watch

    def on_trial_result(self, *_: Any, **told: Any) -> None:
        """Tell it."""
        result: Mapping[str, Any] = told["result"]
        if result_of(result) is not None:
            self._watch.running(self._jobs[result["config"]["study"]], result["n_done"], result["value"])

    def __getstate__(self) -> dict[str, Any]:
        """Tune pickles its callbacks to restore them, which is never done here."""
        return {}
