"""``raypipe export``: tables as plain files."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from raypipe.cli.app import App
from raypipe.cli.options import PATH, Words, check_range, command, range_options
from raypipe.cli.present import bytes_text, table

__all__ = ["export"]


@command(
    "export",
    "Write tables as plain files under the names users know (ticker, date).",
    click.Option(["--out"], type=PATH, metavar="DIR", required=True, help="Folder for the files."),
    click.Option(
        ["--layout"],
        type=click.Choice(["classic", "flat"]),
        default="classic",
        show_default=True,
        help="classic: daily_YYYY, weekly, daily_filtered_LOW_HIGH; flat: one file per table.",
    ),
    click.Option(
        ["--format", "kind"],
        type=click.Choice(["parquet", "csv"]),
        default="parquet",
        show_default=True,
        help="File type.",
    ),
    Words(["--tables"], metavar="TABLE..", help="Only these tables; flat exports silver and gold otherwise."),
    *range_options(),
)
def export(app: App, out: Path, tables: tuple[str, ...], **options: Any) -> int:
    """Stream tables into files."""
    check_range(options["start"], options["end"])
    config = app.lake_config()
    from raypipe.pipeline.export import Order
    from raypipe.pipeline.export import export as stream

    files = []
    for file in stream(config, tables, Order(out, **options)):
        files.append(file)
        app.notes.info(f"{file.path}: {file.rows:,} rows")
    document = [{**asdict(file), "path": str(file.path)} for file in files]
    rows = [(f.table, f.path, f.partitions, f"{f.rows:,}", bytes_text(f.bytes)) for f in files]
    lines = table(("table", "file", "partitions", "rows", "size"), rows, right=frozenset({2, 3, 4}))
    app.show({"files": document}, lines)
    return 0
