"""``raypipe demo``: a synthetic market, acquired over S3, built, held against its planted answers, learnt from."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from raypipe.cli.app import App, Options
from raypipe.cli.audit import audit_line, audit_tables, conclude
from raypipe.cli.models import model_document, model_order
from raypipe.cli.options import PATH, command
from raypipe.cli.present import table
from raypipe.cli.run import carry_out
from raypipe.cli.status import grid_lines

if TYPE_CHECKING:
    from raypipe.config import Config
    from raypipe.pipeline.market import Verdict
    from raypipe.training.model_run import ModelRun

__all__ = ["demo"]

BUCKET = "flatfiles"
#: About 35 thousand trades and 130 thousand book records a session.
_ES_ACTIVITY = 0.05
#: Tables that models learn from.
_AUDITED = ("gold/ml_dataset", "gold/signals", "gold/panel_technical")


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
    """Run the whole chain; not 0 if a planted answer or a verdict on models is wrong, or the audit is not clean."""
    from raypipe.cli.show_run import run_document, run_lines
    from raypipe.pipeline.market import acquire_market, compare_market, demo_datasets, synthesise
    from raypipe.pipeline.session import Wish, plan_wish
    from raypipe.pipeline.views import lake_states, refresh_page

    app.options = _with_root(app, out)
    folder = out / "vendor" / BUCKET
    app.notes.info(f"1/6 a synthetic market of {numbers['sessions']} sessions in {folder}")
    datasets = demo_datasets(numbers["sessions"])
    again = (folder / "truth.json").exists()
    market = synthesise(folder, force=again, datasets=datasets, es_activity=_ES_ACTIVITY, **numbers)
    config = app.config(run__workers=workers, run__executor=executor, **_models(folder))
    app.notes.info(f"2/6 ingest over S3 into {config.lake.location.root}")
    acquire_market(config, market)
    app.notes.info("3/6 build every table")
    record = carry_out(app, config, plan_wish(config, Wish()))
    app.notes.info("4/6 compare with the planted answers")
    verdicts = compare_market(config, market)
    searches = _search(app, out, config) if record.exit_code == 0 else []
    app.notes.info("6/6 audit: tables made again without their future, and with noise for one")
    audited = audit_tables(app, config, _AUDITED, sessions=1)
    proved = conclude(app, config, audited)
    wrong = sum(bool(verdict.wrong) for verdict in verdicts)
    code = record.exit_code or proved or int(wrong > 0 or not all(right for _, right in searches))
    document = {
        "run": run_document(config, record),
        "planted": [asdict(verdict) for verdict in verdicts],
        "models": [model_document(found) for found, _ in searches],
        "audit": {name: audited.to_dict()[name] for name in ("exit_code", "verdicts")},
        "report": f"{config.lake.location.root}/{refresh_page(config)}",
        "exit_code": code,
    }
    lines = [line for line in run_lines(config, record) if not line.startswith("report: ")]
    drawn = grid_lines(app, lake_states(config), whole=False)
    found = [_model_line(each, right=right) for each, right in searches]
    ending = [*found, f"audit: {audit_line(audited)}", f"report: {document['report']}"]
    built = [*lines[:-2], ""] if record.outcomes else []
    app.show(document, [*built, *drawn, "", *_verdict_lines(verdicts), "", lines[-1], *ending])
    if wrong:
        app.notes.error(f"{wrong} of {len(verdicts)} planted answers are wrong")
    return code


def _models(folder: Path) -> dict[str, Any]:
    """A search that is small enough to watch, as in configs/demo.yaml: two families, four configurations each."""
    return {
        "panel__symbols_file": str((folder / "daily" / "symbols.txt").absolute()),
        "tune__algorithms": ["lightgbm", "logistic"],
        "tune__n_configs": 4,
        "tune__per_symbol": False,
    }


def _search(app: App, out: Path, config: Config) -> list[tuple[ModelRun, bool]]:
    """Models of what is planted in the daily bars and of what is not there; whether each verdict is right."""
    from raypipe.pipeline.market import NOISE_TARGET, SIGNAL_TARGET
    from raypipe.training.model_run import run_models

    app.notes.info("5/6 tune, stack and judge models of a planted signal, and of noise")
    found = []
    for target, verdict in ((SIGNAL_TARGET, "pass"), (NOISE_TARGET, "fail")):
        given = {"run__workers": config.run.workers, "run__executor": config.run.executor}
        own = app.config(**given, **_models(out / "vendor" / BUCKET), tune__target=target)
        with model_order(app, own) as order:
            made = run_models(own, order)
        found.append((made, made.status == verdict))
    return found


def _model_line(found: ModelRun, *, right: bool) -> str:
    said = "as planted" if right else "not as planted"
    return f"models of {found.target}: {found.status}, {said}; {found.page}"


def _with_root(app: App, out: Path) -> Options:
    """The demo's own lake: whatever --root says, a demo never writes into a lake of the user's."""
    return replace(app.options, root=str((out / "lake").absolute()))


def _verdict_lines(verdicts: list[Verdict]) -> list[str]:
    """A line for each planted answer over all tables that must show it; of wrong ones the first."""
    found: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        found.setdefault(verdict.id, []).append(verdict)
    rows = [(name, len(each), sum(v.answers for v in each), _worst(each)) for name, each in found.items()]
    return table(("planted", "tables", "answers", "verdict"), rows, right=frozenset({1, 2}))


def _worst(verdicts: list[Verdict]) -> str:
    return next((f"{verdict.table}: {verdict.wrong}" for verdict in verdicts if verdict.wrong), "as planted")
