"""``raypipe splits``: sessions cut into folds, or a file of them held against the data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from raypipe.cli.app import App
from raypipe.cli.modeling import asked_of, data_options, symbols_option, target_options
from raypipe.cli.options import DATE, PATH, command, range_options
from raypipe.cli.present import table
from raypipe.errors import UsageError

if TYPE_CHECKING:
    from raypipe.config import Config
    from raypipe.training.inputs import Asked
    from raypipe.training.workspace import Splits

__all__ = ["splits"]

_CV = (
    "n_folds",
    "scheme",
    "window",
    "embargo_sessions",
    "min_train_sessions",
    "test_sessions",
    "n_groups",
    "test_groups",
)


@command(
    "splits",
    "Cut sessions into purged folds that no label crosses, or verify a file of them.",
    *target_options(),
    click.Option(["--n-folds"], type=click.IntRange(2), metavar="N", help="Test blocks."),
    click.Option(["--scheme"], type=click.Choice(["walk_forward", "purged_kfold", "cpcv"]), help="How they are cut."),
    click.Option(["--window"], type=click.Choice(["expanding", "rolling"]), help="walk_forward: what trains."),
    click.Option(["--embargo-sessions"], type=click.IntRange(0), metavar="N", help="Sessions left out beside a test."),
    click.Option(["--min-train-sessions"], type=click.IntRange(1), metavar="N", help="Least sessions that only train."),
    click.Option(["--test-sessions"], type=click.IntRange(1), metavar="N", help="Blocks of so many, not --n-folds."),
    click.Option(["--n-groups"], type=click.IntRange(2), metavar="N", help="cpcv: groups of sessions."),
    click.Option(["--test-groups"], type=click.IntRange(1), metavar="N", help="cpcv: groups that a split tests."),
    *range_options("sessions that are cut"),
    click.Option(["--holdout-start"], type=DATE, metavar="DATE", help="First session that no fold may touch."),
    click.Option(["--holdout-end"], type=DATE, metavar="DATE", help="Last of them; the last of all otherwise."),
    *data_options(),
    symbols_option(),
    click.Option(["--output"], type=PATH, metavar="FILE", help="configs/splits/TARGET_SCHEME.json otherwise."),
    click.Option(["--verify"], type=PATH, metavar="FILE", help="Make nothing: hold this file against the data."),
    click.Option(["--dry-run"], is_flag=True, help="Only show the folds."),
)
def splits(app: App, verify: Path | None, output: Path | None, **options: Any) -> int:
    """Make or verify a file of splits."""
    asked, dry_run = asked_of(options), options.pop("dry_run")
    flags = {f"cv__{name}": options.pop(name) for name in _CV}
    config = app.lake_config(**flags, panel__symbols_file=options.pop("symbols_file"))
    target, horizon = options.pop("target"), options.pop("horizon")
    if verify is not None:
        return _verify(app, config, verify, asked, target)
    from raypipe.training.workspace import Workspace, publish, target_name

    if not target and not asked.label:
        msg = "--target is missing"
        raise UsageError(msg, hint="for example --target direction_5d, or --target vol_regime --horizon 20")
    workspace = Workspace.open(config, target_name(target, horizon) if target else "", asked)
    made = workspace.make_splits(**options)
    path = output or Path("configs") / "splits" / f"{made.target}_{made.scheme}.json"
    if not dry_run:
        publish(path, made.to_json())
    said = f"{'would write' if dry_run else 'wrote'} {path}  sha256 {made.sha256[:12]}"
    if workspace.lacking:
        names = ", ".join(workspace.lacking[:10])
        app.notes.warning(f"{len(workspace.lacking)} listed symbols have no rows: {names}")
    lines = [*_lines(made), said]
    app.show({"file": str(path), "sha256": made.sha256, "splits": json.loads(made.to_json())}, lines)
    if not made.holdout:
        app.notes.hint("nothing is held out, so no model of these folds can be judged: name its start, --holdout-start")
    return 0


def _verify(app: App, config: Config, path: Path, asked: Asked, target: str | None) -> int:
    from raypipe.training.workspace import Workspace, splits_target

    workspace = Workspace.open(config, target or splits_target(path), asked)
    found = workspace.read_splits(path)
    line = f"{path}: {len(found.folds)} folds of {found.target} stand, by rules V1 to V9"
    app.show({"file": str(path), "sha256": found.sha256, "verified": True}, [line])
    return 0


def _lines(made: Splits) -> list[str]:
    header = ("fold", "test", "to", "sessions", "rows", "rate", "train", "to", "sessions", "rows", "rate")
    rows = [
        (
            fold.id,
            *(fold.test[0][0], fold.test[-1][1], fold.n_test_sessions, fold.n_test_rows, f"{fold.base_rate_test:.3f}"),
            *(fold.train[0][0] if fold.train else "-", fold.train[-1][1] if fold.train else "-"),
            *(fold.n_train_sessions, fold.n_train_rows, f"{fold.base_rate_train:.3f}"),
        )
        for fold in made.folds
    ]
    held = f"{made.holdout[0]} .. {made.holdout[1]}" if made.holdout else "none"
    head = f"{made.target}, {made.scheme}: {made.cv[0]} .. {made.cv[1]}, hold-out {held}"
    return [head, "", *table(header, rows, right=frozenset({0, 3, 4, 5, 8, 9, 10})), ""]
