"""``raypipe verify`` and ``gc``."""

from __future__ import annotations

import datetime as dt
from dataclasses import asdict
from typing import Any

import click

from raypipe.cli.app import App
from raypipe.cli.options import Words, check_range, command, range_options
from raypipe.cli.present import bytes_text, table
from raypipe.report.page import counted

__all__ = ["gc", "verify"]


@command(
    "verify",
    "Read every partition in full and prove it: checksums, schema, keys, manifest.",
    *range_options("partitions"),
    Words(["--tables"], metavar="TABLE..", help="Only these tables."),
)
def verify(app: App, start: dt.date | None, end: dt.date | None, tables: tuple[str, ...]) -> int:
    """Check the lake; 1 if anything is wrong."""
    check_range(start, end)
    config = app.lake_config()
    from raypipe.pipeline.upkeep import verify_tables

    def told(name: str, partitions: int, problems: int) -> None:
        app.notes.info(f"{name}: {counted(partitions, 'partition')}, {problems} with problems")

    checked, problems = verify_tables(config, tables, (start, end), told)
    rows = [(p.table, p.partition, p.kind, p.message) for p in problems]
    lines = table(("table", "partition", "problem", "what"), rows) if rows else []
    document = {"checked": checked, "problems": [asdict(problem) for problem in problems]}
    app.show(document, [*lines, f"{counted(checked, 'partition')} read, {len(problems)} with problems"])
    if problems:
        app.notes.hint("damaged partitions are rebuilt by `raypipe run`, the others by `raypipe run --force`")
    return int(bool(problems))


@command(
    "gc",
    "Sweep temporaries and unfinished uploads that dead processes left; shows them unless --yes.",
    click.Option(["--yes"], is_flag=True, help="Remove them."),
    click.Option(
        ["--grace-hours"],
        type=click.FloatRange(0),
        metavar="HOURS",
        default=24.0,
        show_default=True,
        help="Leave younger ones alone.",
    ),
)
def gc(app: App, yes: bool, grace_hours: float) -> int:
    """Find leftovers, and remove them if asked."""
    config = app.lake_config()
    from raypipe.pipeline.upkeep import sweep

    found = sweep(config, grace_hours=grace_hours, remove=yes)
    rows: list[tuple[Any, ...]] = [
        (each.kind, bytes_text(each.size), _when(each.modified_ns), each.key) for each in found
    ]
    lines = table(("kind", "size", "since", "name"), rows, right=frozenset({1})) if rows else []
    said = f"{len(found)} leftovers {'removed' if yes else 'found'}, {bytes_text(sum(each.size for each in found))}"
    document = {"removed": yes, "leftovers": [{"kind": e.kind, "key": e.key, "bytes": e.size} for e in found]}
    app.show(document, [*lines, said])
    if found and not yes:
        app.notes.hint("remove them: raypipe gc --yes")
    return 0


def _when(ns: int) -> str:
    return f"{dt.datetime.fromtimestamp(ns // 10**9, dt.UTC):%Y-%m-%d %H:%M} UTC"
