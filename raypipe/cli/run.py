"""``raypipe plan``, ``run`` and ``retry``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from raypipe.cli.acquire import acquire_first
from raypipe.cli.app import App
from raypipe.cli.models import model_document, model_lines, model_order
from raypipe.cli.options import Words, command, dates_option, range_options
from raypipe.cli.show_run import note_run, run_document, run_lines, show_plan
from raypipe.errors import RaypipeError

if TYPE_CHECKING:
    from raypipe.config import Config
    from raypipe.pipeline.plan import Plan
    from raypipe.pipeline.record import RunRecord
    from raypipe.pipeline.session import Wish

__all__ = ["carry_out", "plan", "retry", "run"]


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
    from raypipe.pipeline.session import plan_wish

    config = app.lake_config(run__allow_holes=allow_holes)
    return show_plan(app, config, plan_wish(config, _wish(wish)), items=items)


@command(
    "run",
    "Build what is missing or stale: all steps, or some, over all sessions, or some; `ingest` acquires files first.",
    *_what(),
    *_how(),
    click.Option(["--dry-run"], is_flag=True, help="Only show the plan."),
)
def run(app: App, dry_run: bool, **options: Any) -> int:
    """Plan and build a request; then the models that the configuration asks for."""
    from raypipe.pipeline.session import INGEST, STOPPING, plan_wish, require_lake
    from raypipe.training.model_run import wanted_models

    how = {f"run__{name}": options.pop(name) for name in ("allow_holes", "workers", "executor", "address", "dq")}
    config = app.config(**how)
    if INGEST in (options["steps"] or config.run.steps) and not dry_run:
        code = acquire_first(app, config, options["start"], options["end"])
        if code in STOPPING:
            return code
    require_lake(config)
    models = wanted_models(config, options["steps"])
    found = plan_wish(config, _wish(options))
    return _show(app, config, found, models, items=False) if dry_run else _build(app, config, found, models)


@command(
    "retry",
    "Build exactly what the last run left failed, blocked or undone, tables and models.",
    *_how(),
    click.Option(["--run-id"], metavar="ID", help="That run instead of the last one."),
    click.Option(["--dry-run"], is_flag=True, help="Only show the plan."),
)
def retry(app: App, run_id: str | None, dry_run: bool, **how: Any) -> int:
    """Finish a run."""
    from raypipe.pipeline.session import plan_retry
    from raypipe.training.model_run import models_left

    config = app.lake_config(**{f"run__{name}": value for name, value in how.items()})
    name, found = plan_retry(config, run_id)
    models = models_left(config, name)
    left = f"run {name} left {len(found.to_build) + len(found.blocked)} partitions to build"
    app.notes.info(left + (f", and models of {models}" if models else ""))
    return _show(app, config, found, models, items=True) if dry_run else _build(app, config, found, models)


def _wish(options: dict[str, Any]) -> Wish:
    from raypipe.pipeline.session import Wish

    return Wish(**{**options, "steps": tuple(options["steps"]), "dates": tuple(options["dates"])})


def _show(app: App, config: Config, found: Plan, models: str, *, items: bool) -> int:
    if models:
        app.notes.info(f"then: models of {models}, searched, stacked and judged on a hold-out")
    return show_plan(app, config, found, items=items)


def _build(app: App, config: Config, found: Plan, models: str) -> int:
    record = carry_out(app, config, found, models)
    document, lines, code = run_document(config, record), run_lines(config, record), record.exit_code or 0
    if models:
        from raypipe.cli.interrupts import RESUME
        from raypipe.training.model_run import models_after

        with _shown_if_failed(app, document, lines), model_order(app, config) as order:
            made, code = models_after(config, record, order)
        if code in (1, 130) and not record.exit_code:
            app.notes.hint(RESUME)
        if made is not None:
            document, lines = {**document, "models": model_document(made)}, [*lines, "", *model_lines(made)]
    app.show({**document, "exit_code": code}, lines)
    return code


@contextmanager
def _shown_if_failed(app: App, document: dict[str, Any], lines: list[str]) -> Iterator[None]:
    """What became of the tables, if there cannot be models of them; as text, because JSON is one document."""
    try:
        yield
    except RaypipeError:
        if not app.options.json:
            app.show(document, lines)
        raise


def carry_out(app: App, config: Config, found: Plan, models: str = "") -> RunRecord:
    """Carry out a plan with progress, Ctrl-C and notes on standard error; models of that target are to follow."""
    from raypipe.cli.executors import make_executor
    from raypipe.cli.interrupts import RESUME, graceful
    from raypipe.cli.progress import observer
    from raypipe.pipeline.session import Order, run_plan

    with graceful() as stop, observer(app) as watcher:
        record = run_plan(config, found, Order(app.command_line, make_executor, watcher, stop, models))
    note_run(app, record)
    if record.exit_code in (1, 5, 130):
        app.notes.hint(RESUME)
    return record
