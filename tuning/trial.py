"""A trial of Ray Tune: one study, a configuration at a time."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ray import tune

from raypipe.errors import RaypipeError
from raypipe.training.journal import ConfigResult
from raypipe.training.study import Study, StudyJob, StudyOutcome
from raypipe.training.study_data import StudyData

__all__ = ["StudyTrial", "outcome_of", "result_of"]


class StudyTrial(tune.Trainable):
    """Runs the study whose number is ``config["study"]``; an actor goes on with another one when it is done.

    There are no checkpoints: a trial that is started again reads the study's journal.
    """

    def setup(self, config: dict[str, Any], jobs: Sequence[StudyJob] = (), data: StudyData | None = None) -> None:
        """Open the study; ``jobs`` and ``data`` come from the object store, shared by all trials of a node."""
        self._jobs, self._data = jobs, data
        self._study: Study | None = None
        self._broken: StudyOutcome | None = None
        self._open(config)

    def step(self) -> dict[str, Any]:
        """Run one configuration, and say how the study stands."""
        study = self._study
        if study is None:
            return {"value": None, "n_done": 0, "result": "", "outcome": self._shown(), "done": True}
        result = study.step()
        best = study.best
        return {
            "value": best.value if best else None,
            "n_done": len(study.results),
            "result": json.dumps(asdict(result)) if result else "",
            "outcome": self._shown(),
            "done": study.done,
        }

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Go on with another study in the same process."""
        self.cleanup()
        self._open(new_config)
        return True

    def cleanup(self) -> None:
        """Let others write the journal."""
        if self._study is not None:
            self._study.close()
            self._study = None

    def _open(self, config: dict[str, Any]) -> None:
        job = self._jobs[config["study"]]
        self._broken = None
        try:
            self._study = Study.open(job, self._data)
        except RaypipeError as error:  # one study of many: it is reported, the others go on
            self._broken = StudyOutcome(
                job.algorithm, job.scope, "failed", reason=str(error), exit_code=error.exit_code
            )

    def _shown(self) -> str:
        """As text: Tune takes mappings apart."""
        outcome = self._study.outcome() if self._study else self._broken
        assert outcome is not None
        return json.dumps(asdict(outcome))


def outcome_of(report: Mapping[str, Any]) -> StudyOutcome:
    """The outcome that a trial last told."""
    told = json.loads(report["outcome"])
    return StudyOutcome(**{**told, "warnings": tuple(told["warnings"])})


def result_of(report: Mapping[str, Any]) -> ConfigResult | None:
    """The configuration that a trial told of, if it ran one."""
    if not report.get("result"):
        return None
    told = json.loads(report["result"])
    folds = {name: tuple(told[name]) for name in ("fold_value", "fold_rounds", "fold_stop")}
    return ConfigResult(**{**told, **folds})
