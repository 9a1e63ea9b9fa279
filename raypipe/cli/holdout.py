"""``raypipe holdout``: a bundle judged on sessions that nothing has seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from raypipe.cli.app import App
from raypipe.cli.modeling import asked_of, data_options, symbols_option
from raypipe.cli.options import PATH, check_range, command, range_options
from raypipe.cli.present import table
from raypipe.errors import DataQualityError
from raypipe.report.page import counted

if TYPE_CHECKING:
    from raypipe.training.holdout_run import Judgement

__all__ = ["holdout"]


def _threshold(name: str, what: str) -> click.Option:
    return click.Option([f"--threshold-{name}"], type=float, metavar="X", help=f"{what}: holdout.threshold_{name}.")


@command(
    "holdout",
    "Judge a bundle on sessions that it was neither trained nor chosen on; exit 3 if a gate fails.",
    click.Option(["--model"], required=True, metavar="DIR|URI|NAME@VERSION", help="A bundle, or one of the registry."),
    *range_options("hold-out, that of the splits otherwise"),
    _threshold("auc", "Least AUC"),
    _threshold("sharpe", "Net Sharpe ratio to exceed"),
    _threshold("dsr", "Least deflated Sharpe ratio"),
    _threshold("pbo", "Probability of overfitting to stay below"),
    click.Option(["--name"], metavar="NAME", help="Looks are counted under it; the name of the bundle otherwise."),
    click.Option(["--output"], type=PATH, metavar="FILE", help="Of the metrics: in the bundle otherwise."),
    click.Option(["--input-data-s3"], metavar="URI", help="Lake with the panel, or a pin of it."),
    *data_options(),
    symbols_option(),
)
def holdout(app: App, model: str, **options: Any) -> int:
    """Judge a bundle."""
    from raypipe.training.holdout_run import HoldoutWish, run_holdout
    from raypipe.training.pin import input_config

    check_range(options["start"], options["end"])
    flags = {f"holdout__threshold_{name}": options[f"threshold_{name}"] for name in ("auc", "sharpe", "dsr", "pbo")}
    config = app.lake_config(**flags, panel__symbols_file=options["symbols_file"])
    source, _ = input_config(config, options["input_data_s3"], app.notes.info)
    wish = HoldoutWish(
        model=model,
        start=options["start"],
        end=options["end"],
        name=options["name"] or "",
        output=options["output"],
        asked=asked_of(options),
        source=source,
    )
    found = run_holdout(config, wish)
    if found.verdict.unscored:
        app.notes.warning(f"{found.verdict.unscored:,} labelled rows have no prediction and are left out")
    app.show({"file": found.metrics_file, **found.verdict.metrics}, _lines(found))
    return 0 if found.verdict.passed else DataQualityError.exit_code


def _lines(found: Judgement) -> list[str]:
    metrics = found.verdict.metrics
    rows = [
        (gate.name, _number(gate.value), _number(gate.threshold), "pass" if gate.passed else "FAIL", gate.reason)
        for gate in found.verdict.gates
    ]
    span = f"{metrics['start']} .. {metrics['end']}: {metrics['n_sessions']} sessions, {metrics['n_rows']:,} rows"
    name = ", ".join(dict.fromkeys((metrics["name"], metrics["target"])))
    bounds = f"{_number(metrics['auc_lower'])} .. {_number(metrics['auc_upper'])}"
    return [
        f"{name}, {span}, {counted(metrics['looks'], 'earlier look')}",
        f"AUC {_number(metrics['auc'])} ({bounds}), best single feature {_number(metrics['auc_naive'])}",
        "",
        *table(("gate", "value", "threshold", "", "why"), rows, right=frozenset({1, 2})),
        "",
        f"verdict: {metrics['verdict']}",
        f"metrics: {found.metrics_file}",
        f"predictions: {found.predictions_file}",
    ]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
