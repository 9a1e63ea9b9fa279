"""``raypipe stack``: the winners of a run become one model, and the draft of a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from raypipe.cli.app import App
from raypipe.cli.modeling import asked_of, data_options, symbols_option
from raypipe.cli.options import PATH, Words, command
from raypipe.cli.present import table

__all__ = ["stack"]


@command(
    "stack",
    "Stack the winners of a run on out-of-fold predictions, refit them, and write a bundle.",
    click.Option(["--run-id"], required=True, metavar="ID", help="The run of `raypipe tune`."),
    click.Option(
        ["--strategy"],
        type=click.Choice(["auto", "mean", "logistic", "meta-mlp"]),
        help="How predictions become one: stack.strategy.",
    ),
    Words(["--models"], metavar="NAME,..", help="Only these families of the run, such as xgb-safe,lgbm."),
    click.Option(["--splits"], type=PATH, required=True, metavar="FILE", help="The splits of the run."),
    click.Option(["--features"], type=PATH, metavar="FILE", help="Its features: feature_config.yaml otherwise."),
    Words(["--regime-columns"], metavar="COLUMN,..", help="Columns of the panel that the meta-learner sees too."),
    click.Option(["--name"], metavar="NAME", help="Name in the bundle; its target otherwise."),
    click.Option(["--output"], type=PATH, metavar="DIR", help="Of the bundle: runs/ID/bundle in the lake otherwise."),
    click.Option(["--input-data-s3"], metavar="URI", help="Lake with the panel, or a pin of it."),
    *data_options("--columns"),
    symbols_option(),
)
def stack(app: App, run_id: str, splits: Path, **options: Any) -> int:
    """Stack a run."""
    from raypipe.training.pin import input_config
    from raypipe.training.stack import StackWish, bundle_folder, scores_of, stack_run

    config = app.lake_config(
        stack__strategy=options["strategy"],
        stack__regime_columns=options["regime_columns"] or None,
        panel__symbols_file=options["symbols_file"],
    )
    source, given = input_config(config, options["input_data_s3"], app.notes.info)
    output: Path | None = options["output"]
    if output is not None and bundle_folder(output) != output:
        app.notes.warning(f"{output}: bundles are folders of native files, never pickles; this one is {output.stem}/")
    asked = asked_of(options)
    features = options["features"] or Path("feature_config.yaml")
    models, name = tuple(options["models"]), options["name"] or ""
    made = stack_run(config, StackWish(run_id, splits, features, models, name, output, source, given, asked))
    for study in made.lost:
        app.notes.warning(f"study {study} has no winner and is left out")
    stacked, rows = made.trained.stacked, scores_of(made.trained)
    header = ("strategy", "AUC", "se", "log loss", "- mean", "se", "")
    lines = table(header, [_row(row) for row in rows], right=frozenset({1, 2, 3, 4, 5}))
    said = f"{stacked.picked} is taken; auto would take {stacked.auto}"
    bundle = f"bundle {made.bundle_sha256[:12]}: {made.folder}"
    document = {
        "run_id": run_id,
        "strategy": stacked.picked,
        "auto": stacked.auto,
        "bundle": made.folder,
        "bundle_sha256": made.bundle_sha256,
        "lost": list(made.lost),
        "scores": rows,
    }
    app.show(document, [*lines, "", said, bundle, f"next: raypipe holdout --model {made.folder}"])
    return 0


def _row(row: dict[str, Any]) -> tuple[str, ...]:
    def number(name: str) -> str:
        return "-" if row[name] is None else f"{row[name]:.4f}"

    names = ("auc", "auc_se", "log_loss", "diff_vs_mean", "diff_se")
    return (row["strategy"], *map(number, names), "taken" if row["picked"] else "")
