"""Plans and runs as text and as JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from raypipe.cli.app import App
from raypipe.cli.present import bytes_text, duration, span, table

if TYPE_CHECKING:
    from raypipe.config import Config
    from raypipe.pipeline.job import Outcome
    from raypipe.pipeline.plan import Plan
    from raypipe.pipeline.record import RunRecord

__all__ = ["note_run", "report_path", "run_document", "run_lines", "show_plan"]

#: Lines of each kind on the terminal; the record and the report have them all.
SHOWN = 20


def show_plan(app: App, config: Config, found: Plan, *, items: bool) -> int:
    """Print a plan; `items` gives each partition its own line. Returns exit code 0."""
    from raypipe.pipeline.session import choose_executor

    jobs = sum(len(wave) for wave in found.waves)
    executor = choose_executor(config.run, found.cost)
    document = {
        "lake": config.lake.location.root,
        "items": [asdict(item) for item in found.items],
        "counts": found.counts(),
        "to_build": len(found.to_build),
        "jobs": jobs,
        "cost_cpu_seconds": round(found.cost, 3),
        "executor": executor,
    }
    app.show(document, _plan_lines(found, items=items or bool(app.options.verbose), jobs=jobs, executor=executor))
    return 0


def _plan_lines(found: Plan, *, items: bool, jobs: int, executor: str) -> list[str]:
    rows = [(name, state, span(partitions), reason) for (name, state, reason), partitions in _runs(found, each=items)]
    head = table(("table", "state", "partitions", "why"), rows) if rows else ["there is nothing in this range"]
    if not found.to_build:
        return [*head, "", "nothing to do"]
    return [
        *head,
        "",
        f"{len(found.to_build)} partitions in {jobs} jobs, about {found.cost:.1f} CPU-s, executor {executor}",
    ]


def _runs(found: Plan, *, each: bool) -> list[tuple[tuple[str, str, str], list[str]]]:
    """Neighbouring items of one table with the same state and reason, together."""
    groups: list[tuple[tuple[str, str, str], list[str]]] = []
    for item in found.items:
        key = (item.table, item.state, "" if item.reason == item.state else item.reason)
        if groups and groups[-1][0] == key and not each:
            groups[-1][1].append(item.partition)
        else:
            groups.append((key, [item.partition]))
    return groups


def note_run(app: App, record: RunRecord) -> None:
    """Tell on standard error what went wrong, and put the traces into the log."""
    for outcome in record.outcomes:
        if outcome.error and outcome.error.trace:
            app.notes.trace(f"{outcome.table} {outcome.partition}\n{outcome.error.trace}")
    for name, partition, reason in record.blocked[:SHOWN]:
        app.notes.warning(f"{name} {partition} blocked: {reason}")
    for finding in record.quality[:SHOWN]:
        app.notes.warning(f"{finding['table']} {finding['partition']} {finding['kind']}: {finding['message']}")


def run_document(config: Config, record: RunRecord) -> dict[str, Any]:
    """What became of a run, for JSON."""
    return {
        "run_id": record.run_id if record.planned or record.blocked else None,
        "status": record.status,
        "exit_code": record.exit_code,
        "executor": record.executor,
        "workers": record.workers,
        "seconds": round(_seconds(record), 3),
        "tables": _by_table(record),
        "failures": [_failure(outcome) for outcome in record.outcomes if outcome.status != "built"],
        "blocked": [{"table": t, "partition": p, "reason": r} for t, p, r in record.blocked],
        "quality": record.quality,
        "report": report_path(config, record),
    }


def report_path(config: Config, record: RunRecord) -> str | None:
    """Where the page of a run stands; None for a run that had nothing to do."""
    from raypipe.pipeline.views import report_key

    return f"{config.lake.location.root}/{report_key(record.run_id)}" if record.outcomes else None


def _failure(outcome: Outcome) -> dict[str, Any]:
    error = outcome.error
    return {
        "table": outcome.table,
        "partition": outcome.partition,
        "status": outcome.status,
        "kind": error.kind if error else "",
        "message": error.message if error else "",
        "values": dict(error.values) if error else {},
    }


def _seconds(record: RunRecord) -> float:
    return ((record.finished_ns or record.started_ns) - record.started_ns) / 1e9


def _by_table(record: RunRecord) -> dict[str, dict[str, int]]:
    """Counts per table, in the order of the plan."""
    order = dict.fromkeys([name for name, _ in record.planned] + [name for name, _, _ in record.blocked])
    found = {name: {"built": 0, "failed": 0, "blocked": 0, "cancelled": 0, "rows": 0, "bytes": 0} for name in order}
    for outcome in record.outcomes:
        row = found[outcome.table]
        row[outcome.status] += 1
        row["rows"] += outcome.rows
        row["bytes"] += outcome.bytes
    for name, _, _ in record.blocked:
        found[name]["blocked"] += 1
    return found


def run_lines(config: Config, record: RunRecord) -> list[str]:
    """What became of a run, for people."""
    tables = _by_table(record)
    if not tables:
        return ["nothing to do: everything is current"]
    rows = [
        (name, r["built"], r["failed"], r["blocked"], f"{r['rows']:,}", bytes_text(r["bytes"]))
        for name, r in tables.items()
    ]
    totals = {key: sum(row[key] for row in tables.values()) for key in ("built", "failed", "blocked", "cancelled")}
    said = ", ".join(f"{count} {key}" for key, count in totals.items() if count)
    head = table(("table", "built", "failed", "blocked", "rows", "size"), rows, right=frozenset({1, 2, 3, 4, 5}))
    last = f"run {record.run_id} {record.status}: {said} in {duration(_seconds(record))}"
    where = report_path(config, record)
    return [*head, "", last, *([f"report: {where}"] if where else [])]
