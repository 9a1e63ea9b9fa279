"""``raypipe select``: the features of each fold, and why others are not among them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from raypipe.cli.app import App
from raypipe.cli.modeling import asked_of, data_options, symbols_option
from raypipe.cli.options import PATH, command
from raypipe.cli.present import table

if TYPE_CHECKING:
    from raypipe.training.workspace import Selection

__all__ = ["select"]


@command(
    "select",
    "Choose the features of each fold, by nothing but the rows that train in it.",
    click.Option(["--splits"], type=PATH, required=True, metavar="FILE", help="The folds, made by raypipe splits."),
    click.Option(["--max-features"], type=click.IntRange(1), metavar="N", help="No more than these stay."),
    click.Option(["--scope"], type=click.Choice(["pooled", "symbol"]), help="Rank over all symbols, or for each too."),
    *data_options(),
    symbols_option(),
    click.Option(["--output"], type=PATH, default="feature_config.yaml", metavar="FILE", help="The file of features."),
    click.Option(["--dry-run"], is_flag=True, help="Only show what would stay."),
)
def select(app: App, splits: Path, output: Path, dry_run: bool, **options: Any) -> int:
    """Select features and write them."""
    asked = asked_of(options)
    config = app.lake_config(
        selection__max_features=options["max_features"],
        selection__scope=options["scope"],
        panel__symbols_file=options["symbols_file"],
    )
    from raypipe.training.workspace import Workspace, publish, splits_target

    workspace = Workspace.open(config, splits_target(splits), asked)
    found = workspace.select(workspace.read_splits(splits))
    if not dry_run:
        publish(output, found.to_yaml())
        workspace.write_selection(found)
    said = f"{'would write' if dry_run else 'wrote'} {output} and gold/selection  sha256 {found.sha256[:12]}"
    folds = {fold: list(found.features(fold)) for fold in found.folds}
    document = {"file": str(output), "sha256": found.sha256, "folds": folds, "dropped": found.dropped}
    app.show(document, [*_lines(found), said])
    return 0


def _lines(found: Selection) -> list[str]:
    rows = [
        ("all" if fold == 0 else fold, len(found.features(fold)), " ".join(found.features(fold)[:5]))
        for fold in found.folds
    ]
    reasons = ", ".join(f"{count} {reason}" for reason, count in Counter(found.dropped.values()).most_common())
    head = f"{found.target}: {len(found.features(0))} features stay; dropped: {reasons or 'none'}"
    return [head, "", *table(("fold", "features", "first by gain"), rows, right=frozenset({0, 1})), ""]
