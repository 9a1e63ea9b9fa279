"""``raypipe build``: bronze of books and option prints from files that are named."""

from __future__ import annotations

from typing import Any

import click

from raypipe.cli.app import App
from raypipe.cli.options import command, dates_option, range_options

__all__ = ["build"]


@command(
    "build",
    "Build es_trades, es_mbp10 or spy_option_trades from DBN, flat or Parquet files, read where they lie.",
    click.Argument(["table"], metavar="TABLE"),
    click.Option(
        ["--source"],
        metavar="PATH[,PATH]",
        help="Files, folders or globs; otherwise signals.sources and the lake's raw/.",
    ),
    *range_options(),
    dates_option(),
    click.Option(["--force"], is_flag=True, help="Build what is current too; still commits atomically."),
    click.Option(["--workers"], type=click.IntRange(1), metavar="N", help="Jobs at a time; one per CPU otherwise."),
    click.Option(
        ["--executor"],
        type=click.Choice(["auto", "serial", "process", "ray"]),
        help="Who runs the jobs; auto decides by the amount of work.",
    ),
    click.Option(["--dry-run"], is_flag=True, help="Only show the plan."),
)
def build(app: App, table: str, source: str | None, dry_run: bool, **options: Any) -> int:
    """Plan and build one bronze table."""
    from raypipe.cli.run import carry_out
    from raypipe.cli.show_run import run_document, run_lines, show_plan
    from raypipe.pipeline.build import plan_build, source_key
    from raypipe.pipeline.session import Wish

    how = {f"run__{name}": options.pop(name) for name in ("workers", "executor")}
    named = {source_key(table).replace(".", "__"): source}
    config = app.config(**how, **named)
    wish = Wish(**{**options, "dates": tuple(options["dates"])})
    found = plan_build(config, table, wish)
    if dry_run:
        return show_plan(app, config, found, items=False)
    record = carry_out(app, config, found)
    app.show(run_document(config, record), run_lines(config, record))
    return record.exit_code or 0
