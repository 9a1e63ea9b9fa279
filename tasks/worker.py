"""What runs on the nodes: the function of one job, and the ledger that it asks first."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Literal

from raypipe.pipeline.job import Failure, Job, failed_outcomes
from raypipe.pipeline.work import describe
from tasks.visibility import refusal

__all__ = ["Ledger", "run_row"]

Answer = Literal["run", "stopped", "given up"]


class Ledger:
    """Counts how often each job was started. One actor, without a CPU of its own.

    Ray starts a task again for as long as its worker dies, without an end and without saying so. The ledger
    ends it: a job asks here before it starts, in less than a millisecond.
    """

    def __init__(self) -> None:
        self._starts: dict[str, int] = {}
        self._stopped: set[str] = set()

    def start(self, key: str, limit: int) -> Answer:
        """Whether a job, named ``pass/number``, may start; counts it."""
        if key.partition("/")[0] in self._stopped:
            return "stopped"
        self._starts[key] = self._starts.get(key, 0) + 1
        return "run" if self._starts[key] <= limit else "given up"

    def stop(self, name: str) -> list[str]:
        """Let no further job of a pass start. Returns the keys of those that did."""
        self._stopped.add(name)
        return [key for key in self._starts if key.startswith(f"{name}/")]


def run_row(
    row: dict[str, Any], *, ledger: Any, task: Callable[[str], str], probe: str, sees: Callable[[str], bool]
) -> dict[str, str]:
    """Run the job of one row, unless it was stopped or killed its workers too often."""
    import ray

    answer: Answer = ray.get(ledger.start.remote(row["key"], row["starts"]))
    text = ""
    if answer == "run":
        text = _attempt(row["job"], task) if not probe or sees(probe) else _blind(row["job"])
    return {"key": row["key"], "answer": answer, "outcomes": text}


def _attempt(text: str, task: Callable[[str], str]) -> str:
    """`run_job` turns whatever goes wrong into Outcomes; this is for what goes wrong around it."""
    try:
        return task(text)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - an exception here would end the whole batch
        return _failed(text, describe(error))


def _blind(text: str) -> str:
    import ray

    node: str = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
    return _failed(text, describe(refusal(Job.from_json(text).location.root, [node])))


def _failed(text: str, failure: Failure) -> str:
    return json.dumps([outcome.to_dict() for outcome in failed_outcomes(Job.from_json(text).targets, failure)])
