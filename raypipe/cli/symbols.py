"""``raypipe clean-symbols``: which symbols of a session are tradable, and why the others are not."""

from __future__ import annotations

import datetime as dt
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from raypipe.cli.app import App
from raypipe.cli.options import DATE, PATH, command
from raypipe.cli.present import table

if TYPE_CHECKING:
    from raypipe.config import Config

__all__ = ["clean_symbols"]


@command(
    "clean-symbols",
    "Decide which symbols of a session are tradable, with counts and samples per reason.",
    click.Option(["--session"], type=DATE, metavar="DATE", help="That session instead of the latest."),
    click.Option(["--reference"], type=PATH, metavar="FILE", help="List of symbols and types, kept in the lake first."),
    click.Option(["--dry-run"], is_flag=True, help="Only show what would be decided."),
)
def clean_symbols(app: App, session: dt.date | None, reference: Path | None, dry_run: bool) -> int:
    """Build ``silver/symbol_types`` of one session, or show it."""
    config = app.lake_config()
    from raypipe.pipeline.symbol_check import decide_symbols, latest_session, stored_symbols

    day = session or latest_session(config)
    code = 0 if dry_run else _build(app, config, day, reference)
    if code:
        return code
    counts = decide_symbols(config, day, reference) if dry_run else stored_symbols(config, day)
    total = sum(each.symbols for each in counts)
    rows = [(each.reason, each.symbols, " ".join(each.samples)) for each in counts]
    lines = table(("reason", "symbols", "samples"), rows, right=frozenset({1}))
    document = {
        "session": day.isoformat(),
        "symbols": total,
        "reasons": [asdict(c) for c in counts],
        "dry_run": dry_run,
    }
    app.show(document, [f"{day}: {total:,} symbols", "", *lines])
    return 0


def _build(app: App, config: Config, day: dt.date, reference: Path | None) -> int:
    from raypipe.cli.run import carry_out
    from raypipe.pipeline.intake import keep_corporate
    from raypipe.pipeline.session import Wish, plan_wish

    keep_corporate(config, "reference", reference)
    return carry_out(app, config, plan_wish(config, Wish(dates=(day,), steps=("symbols",)))).exit_code or 0
