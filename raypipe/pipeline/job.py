"""Job and Outcome: what goes to a worker, and what comes back. Keys and receipts, never data.

A job builds one or more targets. A target is one partition of one stage. Several targets share a job
when they share what they read: a chunk of sessions of one stage, or several stages of one session.
Both travel as JSON, so any executor, and any Python, can carry them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from raypipe.lake.columns import ColumnNote
from raypipe.lake.location import Location
from raypipe.lake.manifest import InputSummary
from raypipe.schema.family import Finding

__all__ = ["Failure", "InputRef", "Job", "Outcome", "Span", "Status", "Target", "failed_outcomes"]

Status = Literal["built", "failed", "blocked", "cancelled"]


@dataclass(frozen=True, slots=True)
class InputRef:
    """One input partition and the fingerprint that the plan expects it to have."""

    partition: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Span:
    """The partitions of one table that a target needs: the closed range [first, last]."""

    table: str
    first: str
    last: str

    def covers(self, table: str, partition: str) -> bool:
        """Whether a partition is among them."""
        return table == self.table and self.first <= partition <= self.last


@dataclass(frozen=True, slots=True)
class Target:
    """One partition to build.

    Attributes
    ----------
    stage, table, partition
        What; ``table`` is the name of the table that the stage writes.
    fingerprint
        The history that the partition will have.
    reason
        Why it is built: ``missing``, ``input changed ...``, ``params changed``, ``code version``, ``forced`` ...
    inputs
        Lineage for the footer, per input table.
    needs
        What must not have failed before.
    """

    stage: str
    table: str
    partition: str
    fingerprint: str
    reason: str
    inputs: Mapping[str, InputSummary] = field(default_factory=dict)
    needs: tuple[Span, ...] = ()


@dataclass(frozen=True, slots=True)
class Job:
    """A unit of work for one worker.

    Attributes
    ----------
    location
        The lake; no credentials.
    targets
        What to build, in order.
    params
        Per stage name, the parameters as plain values.
    inputs
        Per table, the partitions to read with the fingerprints that the plan saw.
    cost
        Projected CPU seconds; costliest jobs start first.
    memory
        Projected peak bytes.
    """

    location: Location
    targets: tuple[Target, ...]
    params: Mapping[str, Mapping[str, Any]]
    inputs: Mapping[str, tuple[InputRef, ...]]
    cost: float = 1.0
    memory: int = 0

    @property
    def id(self) -> str:
        """A name for logs and dashboards."""
        first, last = self.targets[0], self.targets[-1]
        stages = "+".join(dict.fromkeys(target.stage for target in self.targets))
        return f"{stages} {first.partition}" + (f"..{last.partition}" if first.partition != last.partition else "")

    def without(self, refused: set[tuple[str, str]]) -> Job:
        """The same job less some (stage, partition) targets."""
        return replace(self, targets=tuple(t for t in self.targets if (t.stage, t.partition) not in refused))

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Job:
        """Read what `to_json` wrote."""
        raw = json.loads(text)
        return cls(
            location=Location(**raw["location"]),
            targets=tuple(_target(t) for t in raw["targets"]),
            params=raw["params"],
            inputs={table: tuple(InputRef(**ref) for ref in refs) for table, refs in raw["inputs"].items()},
            cost=raw["cost"],
            memory=raw["memory"],
        )


def _target(raw: dict[str, Any]) -> Target:
    inputs = {table: InputSummary(**summary) for table, summary in raw["inputs"].items()}
    return Target(**{**raw, "inputs": inputs, "needs": tuple(Span(**span) for span in raw["needs"])})


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a target failed: the error's kind, one line for people, its values, and the trace for the log."""

    kind: str
    message: str
    values: Mapping[str, str] = field(default_factory=dict)
    exit_code: int = 1
    trace: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one target. Progress, summaries and reports read only this.

    Attributes
    ----------
    status
        ``built``, ``failed``, ``blocked`` (an input failed) or ``cancelled`` (the run was stopped).
    rows, bytes, sha256
        Of the file committed.
    seconds, cpu_seconds
        The target's share of its job's time.
    peak_rss_bytes, rss_bytes
        The worker's memory: at most so far, and when the target was done.
    columns
        Columns with nulls or one value only; summed up by the run's record and left out of it.
    """

    stage: str
    table: str
    partition: str
    status: Status
    reason: str = ""
    rows: int = 0
    bytes: int = 0
    sha256: str = ""
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_rss_bytes: int = 0
    findings: tuple[Finding, ...] = ()
    error: Failure | None = None
    rss_bytes: int = 0
    columns: tuple[ColumnNote, ...] = ()

    @property
    def light(self) -> Outcome:
        """The same without its columns, to be kept for as long as the run takes."""
        return replace(self, columns=()) if self.columns else self

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Outcome:
        """Read what `to_dict` gave."""
        findings = tuple(Finding(**{**f, "samples": tuple(f["samples"])}) for f in raw["findings"])
        error = Failure(**raw["error"]) if raw["error"] else None
        columns = tuple(ColumnNote(*note) for note in raw.get("columns", ()))
        return cls(**{**raw, "findings": findings, "error": error, "columns": columns})


def failed_outcomes(targets: tuple[Target, ...], failure: Failure, status: Status = "failed") -> list[Outcome]:
    """The same failure for each of several targets."""
    return [
        Outcome(stage=t.stage, table=t.table, partition=t.partition, status=status, reason=t.reason, error=failure)
        for t in targets
    ]
