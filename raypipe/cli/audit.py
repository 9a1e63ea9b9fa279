"""``raypipe audit leakage``: the proof, on the user's own lake, that no value knows the future."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from raypipe.cli.app import App
from raypipe.cli.options import Words, command
from raypipe.cli.present import safe, table
from raypipe.report.page import counted

if TYPE_CHECKING:
    from raypipe.audit.verdicts import ColumnVerdict, Report, TableReport
    from raypipe.config import Config

__all__ = ["audit", "audit_line", "audit_tables", "conclude"]

_PROBES = {
    "cut": "with the future cut off",
    "noise": "with noise for a future",
    "rebuild": "made again",
    "declared": "by declaration",
}


@command(
    "audit",
    "Prove on your lake that no value knows the future: a verdict per column, 3 if one leaks.",
    click.Argument(["what"], type=click.Choice(["leakage"])),
    Words(["--table", "--tables", "tables"], metavar="TABLE..", help="Only these tables."),
    click.Option(
        ["--sessions"],
        type=click.IntRange(1),
        metavar="N",
        default=5,
        show_default=True,
        help="Sessions of each table, spread over its range; early closes, clock changes and splits come on top.",
    ),
    click.Option(["--seed"], type=click.IntRange(0), default=7, show_default=True, help="Of sample and noise."),
    click.Option(["--no-store"], is_flag=True, help="Do not keep the verdicts in the lake."),
)
def audit(app: App, what: str, tables: tuple[str, ...], sessions: int, seed: int, no_store: bool) -> int:
    """Audit the lake; 0 clean, 3 if a column leaks, 1 if something could not be made again."""
    config = app.lake_config()
    from raypipe.pipeline.views import chosen_tables

    report = audit_tables(app, config, chosen_tables(config, tables), sessions=sessions, seed=seed)
    app.show({"what": what, **report.to_dict()}, [*_lines(report), audit_line(report)])
    return conclude(app, config, report, keep=not no_store)


def audit_tables(app: App, config: Config, names: Iterable[str], *, sessions: int, seed: int = 7) -> Report:
    """Audit those of the tables that can be made again, with progress."""
    from raypipe.audit.leakage import audit_leakage
    from raypipe.cli.progress import counter
    from raypipe.pipeline.replay import Replay

    replay = Replay(config)
    chosen = [name for name in names if name in replay.tables]
    with counter(app, "auditing") as count:
        return audit_leakage(replay, chosen, sessions=sessions, seed=seed, progress=count)


def conclude(app: App, config: Config, report: Report, *, keep: bool = True) -> int:
    """Keep the verdicts in the lake and say what is wrong; 0 clean, 3 leaks, 1 where something is not as stored."""
    from raypipe.pipeline.verdicts import keep_verdicts

    if keep:
        keep_verdicts(config, {"what": "leakage", **report.to_dict()})
    if report.leaks:
        app.notes.error(f"{len(report.leaks)} columns leak; the first: {_first(report)}")
    elif report.exit_code:
        app.notes.hint("build what is stale with `raypipe run`, then audit again")
    return report.exit_code


def audit_line(report: Report) -> str:
    """Columns by verdict, in one line."""
    counts = {verdict: report.count(verdict) for verdict in ("clean", "label", "leaks", "differs", "unproved")}
    problems = sum(len(each.problems) for each in report.tables)
    said = ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)
    tail = f"; {counted(problems, 'partition')} could not be proved" if problems else ""
    return f"{counted(len(report.tables), 'table')}, columns: {said}{tail}"


def _first(report: Report) -> str:
    name, column = report.leaks[0]
    return f"{name}.{column.name}"


def _lines(report: Report) -> list[str]:
    return [line for each in report.tables for line in _table_lines(each)]


def _table_lines(each: TableReport) -> list[str]:
    span = each.partitions[0] if len(each.partitions) == 1 else f"{each.partitions[0]}..{each.partitions[-1]}"
    head = f"{each.name}: {counted(len(each.partitions), 'partition')} ({span}), {counted(each.rows, 'row')}"
    if each.moments:
        head += f"; {counted(each.moments, 'moment')}, {counted(each.altered, 'input row')} cut off or replaced"
    rows = [(f"  {c.name}", c.role, c.verdict, f"{c.compared:,}", _note(each, c)) for c in each.columns]
    columns = table(("", "", "", "", ""), rows, right=frozenset({3}))[1:]
    if all(c.verdict == "unproved" for c in each.columns):
        columns = [f"  all {len(rows)} columns are unproved: there is no row to look at"]
    faults = [f"  {c.verdict}: {_fault(c)}" for c in each.columns if c.first]
    problems = [f"  {p.kind}: {p.partition} {p.message}" for p in each.problems]
    return [safe(head), *columns, *map(safe, (*faults, *problems)), ""]


def _note(each: TableReport, column: ColumnVerdict) -> str:
    """What there is to say beside the verdict; where noise could not reach, only the cut speaks for the column."""
    reached = column.moved or not each.moments or column.role in ("key", "time", "id")
    return column.note or ("" if reached or column.verdict != "clean" else "cut only")


def _fault(column: ColumnVerdict) -> str:
    first = column.first
    assert first is not None
    key = " ".join(f"{name}={value}" for name, value in first.key.items())
    moment = f" at {first.to_dict()['cut']}" if first.cut_ns else ""
    values = f"stored {_value(first.stored)}, {_PROBES[first.probe]}{moment} {_value(first.recomputed)}"
    return f"{column.name} in {first.partition} {key}: {values} ({column.offences:,} values)"


def _value(value: Any) -> str:
    return "null" if value is None else str(value)
