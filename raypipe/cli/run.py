"""``raypipe plan``, ``run`` and ``retry``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from raypipe.cli.app import App
from raypipe.cli.options import Words, command, dates_option, range_options
from raypipe.cli.show_run import show_plan, show_run

if TYPE_CHECKING:
    from raypipe.config import Config
    from raypipe.lake.store import Lake
    from raypipe.pipeline.plan import Plan
    from raypipe.pipeline.session import Wish

__all__ = ["build", "plan", "retry", "run"]


def _what() -> tuple[click.Option, ...]:
    """Options that say what is built."""
    return (
        *range_options(),
        dates_option(),
        Words(["--steps"], metavar="STEP..", help="Only these steps, and the stale inputs that they need."),
        click.Option(["--force"], is_flag=True, help="Build what is current too; still commits atomically."),
        click.Option(["--only"], is_flag=True, help="Do not build inputs of other steps; stop if one is not current."),
        click.Option(["--allow-holes"], is_flag=True, default=None, help="Let a warm-up window miss sessions."),
    )


def _how() -> tuple[click.Option, ...]:
    """Options that say how."""
    return (
        click.Option(["--workers"], type=click.IntRange(1), metavar="N", help="Jobs at a time; one per CPU otherwise."),
        click.Option(
            ["--executor"],
            type=click.Choice(["auto", "serial", "process", "ray"]),
            help="Who runs the jobs; auto decides by the amount of work.",
        ),
        click.Option(["--address"], metavar="ADDRESS", help="Ray cluster to use (also RAY_ADDRESS)."),
        click.Option(
            ["--dq"], type=click.Choice(["warn", "fail", "off"]), help="What data-quality findings do to the exit code."
        ),
    )


_ITEMS = click.Option(["--items"], is_flag=True, help="One line per partition instead of per range.")


@command("plan", "Show what a run would build, and why; changes nothing.", *_what(), _ITEMS)
def plan(app: App, items: bool, allow_holes: bool | None, **wish: Any) -> int:
    """Print the plan of a request."""
    config = app.config(run__allow_holes=allow_holes)
    app.lake(config)
    return _show_plan(app, config, wish, items=items)


@command(
    "run",
    "Build what is missing or stale: all steps, or some, over all sessions, or some.",
    *_what(),
    *_how(),
    click.Option(["--dry-run"], is_flag=True, help="Only show the plan."),
)
def run(app: App, dry_run: bool, **options: Any) -> int:
    """Plan and build a request."""
    how = {f"run__{name}": options.pop(name) for name in ("allow_holes", "workers", "executor", "address", "dq")}
    config = app.config(**how)
    app.lake(config)
    if dry_run:
        return _show_plan(app, config, options, items=False)
    from raypipe.pipeline.session import make_request, plan_request

    wish = _wish(options)
    lake, found = plan_request(config, make_request(config, wish), wish.dates)
    return build(app, config, lake, found)


@command(
    "retry",
    "Build exactly what the last run left failed, blocked or undone.",
    *_how(),
    click.Option(["--run-id"], metavar="ID", help="That run instead of the last one."),
    click.Option(["--dry-run"], is_flag=True, help="Only show the plan."),
)
def retry(app: App, run_id: str | None, dry_run: bool, **how: Any) -> int:
    """Finish a run."""
    config = app.config(**{f"run__{name}": value for name, value in how.items()})
    lake = app.lake(config)
    from raypipe.errors import UsageError
    from raypipe.pipeline.plan import Request
    from raypipe.pipeline.record import last_run, read_record, unfinished
    from raypipe.pipeline.session import plan_request

    name = run_id or last_run(lake)
    if name is None:
        msg = "there is no run to retry"
        raise UsageError(msg, hint="start one: raypipe run")
    left = unfinished(read_record(lake, name))
    app.notes.info(f"run {name} left {len(left)} partition{'s' if len(left) != 1 else ''} undone")
    lake, found = plan_request(config, Request(items=left, allow_holes=config.run.allow_holes))
    if dry_run:
        return show_plan(app, config, found, items=True)
    return build(app, config, lake, found)


def _show_plan(app: App, config: Config, options: dict[str, Any], *, items: bool) -> int:
    from raypipe.pipeline.session import make_request, plan_request

    wish = _wish(options)
    _, found = plan_request(config, make_request(config, wish), wish.dates)
    return show_plan(app, config, found, items=items)


def _wish(options: dict[str, Any]) -> Wish:
    from raypipe.pipeline.session import Wish

    return Wish(**{**options, "steps": tuple(options["steps"]), "dates": tuple(options["dates"])})


def build(app: App, config: Config, lake: Lake, found: Plan) -> int:
    """Carry out a plan and show what became of it.

    Returns
    -------
    The exit code.
    """
    from raypipe.cli.executors import make_executor
    from raypipe.cli.progress import observer
    from raypipe.cli.signals import RESUME, graceful
    from raypipe.pipeline.session import Order, run_planned

    with graceful() as stop, observer(app) as watcher:
        order = Order(app.command_line, make_executor, watcher, stop)
        record = run_planned(config, lake, found, order)
    show_run(app, lake, record)
    if record.exit_code in (1, 5, 130):
        app.notes.hint(RESUME)
    return record.exit_code or 0
