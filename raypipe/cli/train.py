"""``raypipe train``: one model, no search, with its scores on rows that it did not see."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from raypipe.cli.app import App
from raypipe.cli.modeling import asked_of, data_options, symbols_option
from raypipe.cli.options import PATH, command
from raypipe.cli.present import table
from raypipe.errors import UsageError

if TYPE_CHECKING:
    from raypipe.config import Config
    from raypipe.training.inputs import Asked
    from raypipe.training.train import Trained
    from raypipe.training.train_recipe import Recipe
    from raypipe.training.workspace import Workspace

__all__ = ["train"]

#: Features, unless --data-path names others: the first table that the lake holds.
_DATA = ("silver/technical_features", "gold/model_panel")
_TYPES = ("classifier", "regressor", "linear", "logistic")
_PENALTIES = ("none", "ridge", "lasso", "elasticnet", "l1", "l2")


@command(
    "train",
    "Fit one model in every fold and on all rows, and say how it did on rows that it did not see.",
    click.Option(["--model-type"], type=click.Choice(_TYPES), default="classifier", help="What kind; else classifier."),
    click.Option(["--target"], metavar="TARGET", help="Else tune.target, direction_1d, or forward_return_1d."),
    click.Option(["--algorithm"], metavar="NAME", help="classifier, regressor: the model family; else lightgbm."),
    click.Option(
        ["--regularization"], type=click.Choice(_PENALTIES), help="linear: else ridge. logistic: none, l1, l2; else l2."
    ),
    click.Option(["--alpha"], type=click.FloatRange(0), metavar="X", help="The penalty, per row; else 1."),
    click.Option(["--l1-ratio"], type=click.FloatRange(0, 1), metavar="X", help="elasticnet: share of l1; else 0.5."),
    click.Option(["--tune-alpha"], is_flag=True, help="Choose the penalty inside the training rows of each fold."),
    click.Option(["--params-from"], type=PATH, metavar="FILE", help="Parameters of a best_{algorithm}.json."),
    click.Option(["--n-folds"], type=click.IntRange(2), metavar="N", help="Test blocks, if there is no --splits."),
    click.Option(["--splits"], type=PATH, metavar="FILE", help="Folds of this file, verified first."),
    click.Option(
        ["--data-path", "--table", "--input-dir", "data_path"],
        metavar="TABLE|FILE|DIR",
        help="Features from this table, file or folder; else silver/technical_features, or gold/model_panel.",
    ),
    *data_options()[1:],
    symbols_option(),
    click.Option(["--seed"], type=click.IntRange(0), metavar="N", help="Of everything random: tune.seed."),
    click.Option(["--output-dir"], type=PATH, metavar="DIR", help="models otherwise."),
    click.Option(["--dry-run"], is_flag=True, help="Only show what would be fitted on which rows."),
)
def train(app: App, output_dir: Path | None, dry_run: bool, **options: Any) -> int:
    """Fit, score and write one model."""
    from raypipe.training.bars import load_bars
    from raypipe.training.train import train_model, write_trained
    from raypipe.training.train_recipe import recipe_of

    asked, splits, n_folds = asked_of(options), options.pop("splits"), options.pop("n_folds")
    if splits and n_folds:
        msg = "--splits and --n-folds exclude each other"
        raise UsageError(msg, hint="the file says how many folds there are")
    flags = {"panel__symbols_file": options.pop("symbols_file"), "cv__n_folds": n_folds}
    config = app.lake_config(**flags, tune__seed=options.pop("seed"))
    target = options.pop("target")
    tune = config.params["tune"]
    recipe = recipe_of(**options, seed=getattr(tune, "seed", 42), threads=getattr(tune, "threads", 1))
    workspace, folds = _rows(config, asked, splits, target or _usual_target(config, splits, recipe))
    if dry_run:
        return _plan(app, recipe, workspace, folds)
    share = workspace.cv.min_feature_share
    bars = load_bars(config, workspace.panel) if recipe.windows else None
    trained = train_model(workspace.panel, workspace.target, folds, recipe, min_feature_share=share, bars=bars)
    folder, results = write_trained(trained, output_dir or Path("models"))
    said = [f"wrote {folder} and {results}"]
    app.show({"model": str(folder), "file": str(results), "results": trained.results}, [*_lines(trained), *said])
    return 0


def _plan(app: App, recipe: Recipe, workspace: Workspace, splits: Any) -> int:
    """What would be fitted, and on which rows."""
    from raypipe.training.indicators import NAMES

    parts = [{"id": one.id, "n_train": len(one.train), "n_test": len(one.test)} for one in workspace.fold_rows(splits)]
    facts = {
        "algorithm": recipe.family.name,
        "target": workspace.target.name,
        "source": workspace.source,
        "features": len(workspace.panel.features) + len(NAMES if recipe.windows else ()),
        "rows": len(workspace.cv_rows(splits)),
        "splits_sha256": splits.sha256,
    }
    lines = [*(f"{name}: {value}" for name, value in facts.items()), ""]
    rows = [tuple(part.values()) for part in parts]
    app.show({**facts, "folds": parts}, [*lines, *table(("fold", "train rows", "test rows"), rows)])
    return 0


def _usual_target(config: Config, splits: Path | None, recipe: Recipe) -> str:
    """That of the splits, else of the configuration if it is of the kind that the model predicts."""
    from raypipe.training.train_recipe import TARGET_OF
    from raypipe.training.workspace import splits_target, target_kind

    if splits:
        return splits_target(splits)
    own = getattr(config.params["tune"], "target", "")
    return own if own and target_kind(own) == recipe.task else TARGET_OF[recipe.model_type]


def _rows(config: Config, asked: Asked, splits: Path | None, target: str) -> tuple[Workspace, Any]:
    """The data with its folds."""
    from dataclasses import replace

    from raypipe.training.inputs import built_of
    from raypipe.training.workspace import Workspace

    asked = asked if asked.data else replace(asked, data=built_of(config, _DATA))
    workspace = Workspace.open(config, "" if asked.label else target, asked)
    return workspace, workspace.read_splits(splits) if splits else workspace.make_splits()


def _lines(trained: Trained) -> list[str]:
    found = trained.results
    columns = ("mean", "se", "majority_baseline", "train_metrics")
    header = ("score", "unseen rows", "se", "always the same", "its own rows")
    rows = [(name, *(_number(found[column][name]) for column in columns)) for name in found["mean"]]
    params = found["params"]
    head = (
        f"{params['algorithm']} for {params['target']}: {len(found['folds'])} folds, {len(params['features'])} features"
    )
    return [head, "", *table(header, rows, right=frozenset({1, 2, 3, 4})), ""]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
