"""``raypipe verify`` and ``gc``."""

from __future__ import annotations

import datetime as dt
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from raypipe.cli.app import App
from raypipe.cli.options import Words, check_range, command, range_options
from raypipe.cli.present import bytes_text, table

if TYPE_CHECKING:
    from raypipe.lake.store import Lake
    from raypipe.lake.verify import Problem
    from raypipe.schema.spec import Table

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
    config = app.config()
    lake = app.lake(config)
    from raypipe.pipeline.plan import stage_tables

    declared = [stage.table(config.params[stage.name]) for stage in stage_tables(config.params).values()]
    wanted = [each for each in declared if not tables or {each.name, each.name.partition("/")[2]} & {*tables}]
    checked, problems = _verify(app, lake, wanted, (start, end))
    lines = (
        table(("table", "partition", "problem", "what"), [tuple(asdict(p).values()) for p in problems])
        if problems
        else []
    )
    good = f"{checked} partitions read, {len(problems)} with problems"
    app.show({"checked": checked, "problems": [asdict(problem) for problem in problems]}, [*lines, good])
    if problems:
        app.notes.hint("damaged partitions are rebuilt by `raypipe run`, the others by `raypipe run --force`")
    return int(bool(problems))


def _verify(
    app: App, lake: Lake, tables: list[Table], bounds: tuple[dt.date | None, dt.date | None]
) -> tuple[int, list[Problem]]:
    from raypipe.lake.verify import verify as verify_table

    checked, problems = 0, []
    for each in tables:
        partitions = [p for p in lake.partitions(each) if _inside(p, *bounds)]
        checked += len(partitions)
        found = list(verify_table(lake, each, partitions))
        problems += found
        if partitions:
            app.notes.info(f"{each.name}: {len(partitions)} partitions, {len(found)} with problems")
    return checked, problems


def _inside(partition: str, start: dt.date | None, end: dt.date | None) -> bool:
    if partition[:1].isdigit() and (start or end):
        day = dt.date.fromisoformat(partition)
        return not (start and day < start) and not (end and day > end)
    return True


@command(
    "gc",
    "Sweep temporaries and unfinished uploads that dead processes left; shows them unless --yes.",
    click.Option(["--yes"], is_flag=True, help="Remove them."),
    click.Option(
        ["--grace-hours"], type=click.FloatRange(0), default=24.0, show_default=True, help="Leave younger ones alone."
    ),
)
def gc(app: App, yes: bool, grace_hours: float) -> int:
    """Find leftovers, and remove them if asked."""
    lake = app.lake(app.config())
    from raypipe.lake.gc import gc as sweep

    found = sweep(lake, grace_seconds=grace_hours * 3600, dry_run=not yes, now_ns=time.time_ns())
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
