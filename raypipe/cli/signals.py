"""``raypipe signals``: touches of levels with features and outcomes, from order books to gold; and their export."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from raypipe.cli.app import App
from raypipe.cli.options import PATH, Words, command, dates_option, range_options
from raypipe.cli.present import bytes_text, table
from raypipe.errors import UsageError

if TYPE_CHECKING:
    from raypipe.config import Config
    from raypipe.pipeline.signals import SessionState, SignalSessions
    from raypipe.pipeline.signals_run import Summary

__all__ = ["signals"]

#: What only an export takes, and what only a build does.
_OF_EXPORT, _OF_BUILD = ("columns", "output"), ("dates", "dry_run", "force", "cadence", "workers")


@command(
    "signals",
    "Build touches of levels, what was known of each and what came after; `export` writes them as one file.",
    click.Argument(["what"], type=click.Choice(["export"]), required=False),
    dates_option(),
    *range_options(),
    click.Option(["--dry-run"], is_flag=True, help="List each session: run, current, stale or ineligible, and why."),
    click.Option(["--force"], is_flag=True, help="Build silver and gold of the sessions again, never bronze."),
    click.Option(["--cadence"], type=click.Choice(["event", "bar"]), help="Touches by trades, or by one-minute bars."),
    click.Option(["--workers"], type=click.IntRange(1), metavar="N", help="Sessions at a time; one per CPU otherwise."),
    Words(["--columns"], metavar="COLUMN,..", help="export: only these columns."),
    click.Option(["--output"], type=PATH, metavar="FILE", help="export: gold/signals_multi_day.parquet otherwise."),
)
def signals(app: App, what: str | None, **options: Any) -> int:
    """Build or export signals."""
    wrong = [name for name in (_OF_BUILD if what else _OF_EXPORT) if options[name]]
    if wrong:
        flag = f"--{wrong[0].replace('_', '-')}"
        msg = f"{flag} does not go with an export" if what else f"{flag} goes with `raypipe signals export` only"
        raise UsageError(msg, hint="see: raypipe signals --help")
    config = app.lake_config(signals__touch__cadence=options["cadence"], run__workers=options["workers"])
    return _export(app, config, options) if what else _signals(app, config, options)


def _export(app: App, config: Config, options: dict[str, Any]) -> int:
    from raypipe.pipeline.signals_export import export_signals

    output: Path | None = options["output"]
    columns = options["columns"] or None
    file = export_signals(config, start=options["start"], end=options["end"], columns=columns, output=output)
    line = f"{file.path}: {file.sessions} sessions, {file.rows:,} rows, {bytes_text(file.bytes)}"
    app.show({"file": asdict(file)}, [line])
    return 0


def _signals(app: App, config: Config, options: dict[str, Any]) -> int:
    from raypipe.pipeline.signals import SignalSessions, Wanted

    wanted = Wanted(options["start"], options["end"], tuple(options["dates"]))
    sessions = SignalSessions(config, wanted)
    if options["dry_run"]:
        return _list(app, sessions, force=options["force"])
    return _run(app, sessions, force=options["force"])


# --- what there is -----------------------------------------------------------------------------


def _list(app: App, sessions: SignalSessions, *, force: bool) -> int:
    states = [_forced(one) if force else one for one in sessions.listed]
    counts = {state: sum(one.state == state for one in states) for state in dict.fromkeys(one.state for one in states)}
    rows = [(one.session, one.state, "; ".join((one.why, *one.warnings)).strip("; ")) for one in states]
    said = ", ".join(f"{count} {state}" for state, count in counts.items()) or "no session has books or prints"
    lines = [*(table(("session", "state", "why"), rows) if rows else []), "", said]
    app.show({"sessions": [asdict(one) for one in states], "counts": counts}, lines)
    if not any(one.buildable for one in states):
        return 1 if sessions.wanted.dates else UsageError.exit_code
    return 0


def _forced(one: SessionState) -> SessionState:
    return replace(one, state="stale", why="forced") if one.state == "current" else one


# --- runs --------------------------------------------------------------------------------------


def _run(app: App, sessions: SignalSessions, *, force: bool) -> int:
    from raypipe.cli.run import carry_out
    from raypipe.pipeline.signals_run import run_signals

    sessions, found = run_signals(sessions, lambda plan: carry_out(app, sessions.config, plan), force=force)
    for warning in (text for one in sessions.states for text in one.warnings):
        app.notes.warning(warning)
    for key, why in found.failed.items():
        app.notes.error(f"{key} failed: {why}")
    app.show(found.to_dict(), _summary_lines(found))
    return found.exit_code


def _summary_lines(found: Summary) -> list[str]:
    lines = [
        f"sessions: {len(found.done)} done, {len(found.current)} current, {len(found.failed)} failed",
        f"rows: {found.rows:,}",
    ]
    for name, counts in found.counts.items():
        said = ", ".join(f"{value} {count:,}" for value, count in counts.items())
        lines += [f"{name}: {said}"] if said else []
    return lines
