"""A run of signals: bronze first, as only bronze tells what it covers, then sessions; and what became of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from raypipe.errors import UnavailableError
from raypipe.pipeline.plan import Plan
from raypipe.pipeline.record import RunRecord
from raypipe.pipeline.signals import SIGNALS, SessionState, SignalSessions, counts_of

__all__ = ["Summary", "run_signals", "summarised"]

INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Summary:
    """Sessions by what became of them, and what stands in those that are there now.

    Attributes
    ----------
    done, current
        Sessions that were built, and those that needed nothing.
    failed
        Sessions that could not be built, and why.
    rows, counts
        Rows of all sessions that are there, and how often each kind, outcome and confluence level stands in them.
    exit_code
        0 done or all current, 1 a session failed, 130 interrupted; 3 and 5 as of `raypipe run`.
    """

    done: tuple[str, ...]
    current: tuple[str, ...]
    failed: Mapping[str, str]
    rows: int
    counts: Mapping[str, Mapping[str, int]]
    exit_code: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


def run_signals(
    sessions: SignalSessions, carry_out: Callable[[Plan], RunRecord], *, force: bool = False
) -> tuple[SignalSessions, Summary]:
    """Build what a request wants and what it needs.

    Parameters
    ----------
    sessions
        The request.
    carry_out
        Builds a plan; the command line, a job and the public function each have their own way.
    force
        Whether silver and gold that are current are built again.

    Returns
    -------
    The request as it was once its bronze was there, and what became of it.
    """
    first = sessions.bronze_plan()
    if first is not None:
        record = carry_out(first)
        failed = [(o.table, o.partition, o.error) for o in record.outcomes if o.error is not None]
        broken = {key: f"{table}: {_first_line(error.message)}" for table, key, error in failed}
        sessions = SignalSessions(sessions.config, sessions.wanted, broken)
        if record.exit_code in (INTERRUPTED, UnavailableError.exit_code):
            return sessions, summarised(sessions, record)
    buildable = any(one.buildable for one in sessions.states)
    return sessions, summarised(sessions, carry_out(sessions.plan(force=force)) if buildable else None)


def summarised(sessions: SignalSessions, record: RunRecord | None) -> Summary:
    """Sum up a run.

    Parameters
    ----------
    sessions
        The request, as it was before the run.
    record
        What the run left; None if there was nothing that it could try.
    """
    fate = {one.session: _fate(one, record) for one in sessions.states}
    done = tuple(key for key, (what, _) in fate.items() if what == "done")
    current = tuple(key for key, (what, _) in fate.items() if what == "current")
    failed = {key: why for key, (what, why) in fate.items() if what == "failed"}
    counts = counts_of(sessions.config, [*done, *current])
    rows = counts.pop("rows")
    code = record.exit_code if record else 0
    return Summary(done, current, failed, rows, counts, code or int(bool(failed)))


def _fate(one: SessionState, record: RunRecord | None) -> tuple[str, str]:
    """``done``, ``current``, ``failed`` or ``left``, and why."""
    if not one.buildable:
        return ("failed" if one.state == "failed" else "left"), one.why
    outcomes = [outcome for outcome in record.outcomes if outcome.partition == one.session] if record else []
    if any(outcome.table == SIGNALS and outcome.status == "built" for outcome in outcomes):
        return "done", ""
    for outcome in outcomes:
        if outcome.error is not None and outcome.status == "failed":
            return "failed", f"{outcome.table}: {_first_line(outcome.error.message)}"
    blocked = (
        [reason for table, key, reason in record.blocked if (table, key) == (SIGNALS, one.session)] if record else []
    )
    if blocked:
        return "failed", blocked[0]
    if one.state == "current" and not any(outcome.table == SIGNALS for outcome in outcomes):
        return "current", ""
    stopped = record is not None and record.exit_code == INTERRUPTED
    return ("left", "interrupted") if stopped else ("failed", "an input of it failed")


def _first_line(text: str) -> str:
    return text.partition("\n")[0]
