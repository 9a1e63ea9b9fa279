"""``raypipe columns``: what stands in the columns of the lake, and which of them never vary."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from typing import TYPE_CHECKING

import click

from raypipe.cli.app import App
from raypipe.cli.options import check_range, command, range_options
from raypipe.cli.present import safe, span, table

if TYPE_CHECKING:
    from raypipe.pipeline.column_facts import ColumnFacts, TableFacts

__all__ = ["columns"]


@command(
    "columns",
    "Count nulls and distinct values of every column of a table, and name those that never vary.",
    click.Argument(["names"], nargs=-1, required=True, metavar="TABLE..."),
    *range_options(),
    click.Option(["--constant"], is_flag=True, help="Only columns that never vary."),
)
def columns(app: App, names: tuple[str, ...], start: dt.date | None, end: dt.date | None, constant: bool) -> int:
    """Read the tables and show what they hold."""
    check_range(start, end)
    config = app.lake_config()
    from raypipe.pipeline.column_facts import column_facts

    found = column_facts(config, names, start, end)
    shown = {one.name: [c for c in one.columns if not constant or c.verdict != "varies"] for one in found}
    document = [one.to_dict() | {"columns": [column.to_dict() for column in shown[one.name]]} for one in found]
    app.show({"tables": document}, [line for one in found for line in _lines(one, shown[one.name])])
    return 0


def _lines(found: TableFacts, shown: list[ColumnFacts]) -> list[str]:
    counts = Counter(column.verdict for column in found.columns)
    head = f"{found.name}  {span(found.partitions)}, {found.rows:,} rows"
    sums = ", ".join(f"{count} {verdict}" for verdict, count in counts.most_common())
    rows = [_row(column) for column in shown]
    header = ("column", "group", "unit", "role", "null", "distinct", "verdict", "value")
    return [safe(head), f"{len(found.columns)} columns: {sums}", *table(header, rows, right=frozenset((4, 5))), ""]


def _row(column: ColumnFacts) -> tuple[str, ...]:
    from raypipe.pipeline.column_facts import MOST_DISTINCT

    share = f"{column.nulls / column.rows:.1%}" if column.nulls else ""
    distinct = f"{column.distinct:,}" + ("+" if column.distinct == MOST_DISTINCT else "")
    return (column.name, column.group, column.unit, column.role, share, distinct, column.verdict, column.value)
