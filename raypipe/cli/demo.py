"""``raypipe demo``: a synthetic market, acquired over S3, built, and held against its planted answers."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from raypipe.cli.app import App, Options
from raypipe.cli.options import PATH, command
from raypipe.cli.present import table
from raypipe.cli.run import carry_out
from raypipe.cli.status import grid_lines

if TYPE_CHECKING:
    from raypipe.config import Config
    from raypipe.pipeline.market import Verdict

__all__ = ["demo"]

BUCKET = "flatfiles"
#: About 35 thousand trades and 130 thousand book records a session.
_ES_ACTIVITY = 0.05


@command(
    "demo",
    "Synthetic market to finished lake and report; no account, no network.",
    click.Option(["--out"], type=PATH, metavar="DIR", default="demo", show_default=True, help="Folder for everything."),
    click.Option(
        ["--sessions"], type=int, metavar="N", default=20, show_default=True, help="Sessions with minute bars."
    ),
    click.Option(["--symbols"], type=int, metavar="N", default=200, show_default=True, help="Simulated symbols."),
    click.Option(
        ["--history"], type=int, metavar="N", default=90, show_default=True, help="Earlier sessions with day bars only."
    ),
    click.Option(["--seed"], type=int, metavar="N", default=7, show_default=True, help="Of all random numbers."),
    click.Option(["--workers"], type=click.IntRange(1), metavar="N", help="Jobs at a time."),
    click.Option(
        ["--executor"],
        type=click.Choice(["auto", "serial", "process", "ray"]),
        default="process",
        show_default=True,
        help="Who runs the jobs.",
    ),
)
def demo(app: App, out: Path, workers: int | None, executor: str, **numbers: Any) -> int:
    """Run the whole chain; 1 if a planted answer is wrong."""
    from raypipe.cli.show_run import run_document, run_lines
    from raypipe.pipeline.market import acquire_market, compare_market, demo_datasets, synthesise
    from raypipe.pipeline.session import Wish, plan_wish
    from raypipe.pipeline.views import lake_states

    app.options = _with_root(app, out)
    config = app.config(run__workers=workers, run__executor=executor)
    folder = out / "vendor" / BUCKET
    app.notes.info(f"1/4 a synthetic market of {numbers['sessions']} sessions in {folder}")
    datasets = demo_datasets(numbers["sessions"])
    again = (folder / "truth.json").exists()
    market = synthesise(folder, force=again, datasets=datasets, es_activity=_ES_ACTIVITY, **numbers)
    app.notes.info(f"2/4 ingest over S3 into {config.lake.location.root}")
    acquire_market(config, market)
    app.notes.info("3/4 build every table")
    record = carry_out(app, config, plan_wish(config, Wish()))
    app.notes.info("4/4 compare with the planted answers")
    verdicts = compare_market(config, market)
    wrong = sum(bool(verdict.wrong) for verdict in verdicts)
    code = record.exit_code or int(wrong > 0)
    planted = [asdict(verdict) for verdict in verdicts]
    document = {"run": run_document(config, record), "planted": planted, "report": _report(config), "exit_code": code}
    lines = [line for line in run_lines(config, record) if not line.startswith("report: ")]
    drawn = grid_lines(app, lake_states(config), whole=False)
    app.show(document, [*_verdict_lines(verdicts), "", *drawn, "", *lines, f"report: {_report(config)}"])
    if wrong:
        app.notes.error(f"{wrong} of {len(verdicts)} planted answers are wrong")
    return code


def _with_root(app: App, out: Path) -> Options:
    """The demo's own lake: whatever --root says, a demo never writes into a lake of the user's."""
    return replace(app.options, root=str((out / "lake").absolute()))


def _report(config: Config) -> str:
    """The page of the last run that did something."""
    from raypipe.pipeline.views import last_report

    return f"{config.lake.location.root}/{last_report(config)}"


def _verdict_lines(verdicts: list[Verdict]) -> list[str]:
    rows = [(v.id, v.table, v.answers, v.wrong or "as planted") for v in verdicts]
    return table(("planted", "table", "answers", "verdict"), rows, right=frozenset({2}))
