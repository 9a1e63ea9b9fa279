"""``raypipe tune``: the search for configurations, over all symbols and for each; started again, it goes on."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from raypipe.cli.app import App
from raypipe.cli.modeling import asked_of, data_options, symbols_option
from raypipe.cli.models import sweep_executor, sweep_watch
from raypipe.cli.options import PATH, Words, command
from raypipe.cli.present import table

if TYPE_CHECKING:
    from raypipe.config import Config
    from raypipe.training.study_data import StudyData
    from raypipe.training.sweep_plan import SweepPlan
    from raypipe.training.sweep_results import SweepRecord

__all__ = ["tune"]

_RESUME = "resume with the same command"
_OF_TUNE = ("algorithms", "n_configs", "seed", "space", "windows", "pooled", "per_symbol", "threads", "max_concurrent")


@command(
    "tune",
    "Search configurations of models, over all symbols and for each; the same command goes on where it stopped.",
    click.Option(["--splits"], type=PATH, required=True, metavar="FILE", help="What `raypipe splits` wrote."),
    click.Option(["--features"], type=PATH, required=True, metavar="FILE", help="What `raypipe select` wrote."),
    Words(["--algorithms"], metavar="NAME,..", help="Model families, such as xgb-safe,cb-safe,lgbm: tune.algorithms."),
    click.Option(["--n-configs"], type=click.IntRange(1), metavar="N", help="Configurations of a study."),
    click.Option(["--seed"], type=click.IntRange(0), metavar="N", help="Of everything random: tune.seed."),
    click.Option(["--space"], type=click.Choice(["safe", "wide"]), help="Ranges, unless a family's name says so."),
    click.Option(["--windows"], is_flag=True, default=None, help="Search windows of indicators too."),
    click.Option(["--input-data-s3"], metavar="URI", help="Lake with the panel, or a pin of it."),
    Words(["--symbols"], metavar="SYMBOL,..", help="Only these have studies of their own."),
    *data_options("--columns"),
    symbols_option(),
    click.Option(
        ["--no-pooled", "pooled"], is_flag=True, flag_value=False, default=None, help="No study of all symbols."
    ),
    click.Option(
        ["--no-per-symbol", "per_symbol"], is_flag=True, flag_value=False, default=None, help="No studies of symbols."
    ),
    click.Option(["--threads"], type=click.IntRange(1), metavar="N", help="Threads of a fit; changes no result."),
    click.Option(["--max-concurrent"], type=click.IntRange(1), metavar="N", help="Studies at a time."),
    click.Option(["--fresh", "--force", "fresh"], is_flag=True, help="Move what there is of this run aside."),
    click.Option(["--executor"], type=click.Choice(["auto", "serial", "process", "ray"]), help="Who runs the studies."),
    click.Option(["--workers"], type=click.IntRange(1), metavar="N", help="Studies at a time; one per CPU otherwise."),
    click.Option(["--address"], metavar="ADDRESS", help="Ray cluster to use (also RAY_ADDRESS)."),
    click.Option(["--dry-run"], is_flag=True, help="Only list the studies, and what there is of them."),
)
def tune(app: App, splits: Path, features: Path, **options: Any) -> int:
    """Plan and run a sweep."""
    from raypipe.training.sweep_inputs import SweepWish, open_sweep
    from raypipe.training.workspace import splits_holdout

    asked = asked_of(options)
    config, source = _configs(app, options)
    symbols = tuple(options["symbols"])
    plan, data = open_sweep(config, SweepWish(splits, features, symbols, source, asked))
    held = splits_holdout(splits)
    app.notes.info(f"no study sees the hold-out {held[0]} .. {held[1]}" if held else "nothing is held out")
    if options["dry_run"]:
        return _list(app, plan, data)
    return _search(app, config, plan, data, fresh=options["fresh"])


def _configs(app: App, options: dict[str, Any]) -> tuple[Config, Config]:
    """The configuration of the run, and that of the lake with the panel."""
    from raypipe.pipeline.session import require_lake
    from raypipe.training.pin import input_config

    flags = {f"tune__{name}": options[name] for name in _OF_TUNE if name != "algorithms"}
    flags |= {f"run__{name}": options[name] for name in ("executor", "workers", "address")}
    given = options["algorithms"] or None
    config = app.config(**flags, tune__algorithms=given, panel__symbols_file=options["symbols_file"])
    source, _ = input_config(config, options["input_data_s3"], app.notes.info)
    require_lake(source)
    return config, source


# --- what there is -----------------------------------------------------------------------------


def _list(app: App, plan: SweepPlan, data: StudyData) -> int:
    from raypipe.training.journal import journal_progress
    from raypipe.training.sweep import sweep_state

    over = sweep_state(plan, data)
    rows: list[tuple[str, str, str, str, int]] = []
    for job in plan.jobs:
        done = plan.params.n_configs if job.name in over else journal_progress(job.location, job.key)[0]
        state = over[job.name].status if job.name in over else "begun" if done else "new"
        rows.append((job.algorithm, job.space, job.scope, state, done))
    rows += [(one.algorithm, "", one.scope, one.status, 0) for one in plan.skipped]
    what = f"{len(plan.jobs)} studies of {plan.params.n_configs} configurations"
    header = ("algorithm", "space", "scope", "state", "done")
    document = {"run_id": plan.run_id, "studies": [dict(zip(header, row, strict=True)) for row in rows]}
    app.show(document, [f"run {plan.run_id}: {data.target}, {what}", "", *table(header, rows, right=frozenset({4}))])
    return 0


# --- the search --------------------------------------------------------------------------------


def _search(app: App, config: Config, plan: SweepPlan, data: StudyData, *, fresh: bool) -> int:
    from raypipe.cli.interrupts import graceful
    from raypipe.training.sweep import SweepOrder, run_sweep
    from raypipe.training.sweep_results import read_best

    executor = sweep_executor(config, plan)
    app.notes.info(f"run {plan.run_id}: {len(plan.jobs)} studies of {data.target}, executor {executor.name}")
    with graceful(_RESUME) as stop, sweep_watch(app, plan) as watch:
        record = run_sweep(plan, data, SweepOrder(executor, watch, app.command_line, stop, fresh))
    folder = f"{plan.location.root}/{plan.key}"
    best = read_best(plan)
    app.show({"folder": folder, "sweep": asdict(record), "best": best}, _lines(plan, record, best, folder))
    if record.exit_code == 130:  # noqa: PLR2004 -- interrupted, as in docs/cli.md
        app.notes.hint(_RESUME)
    return record.exit_code or 0


# --- what came of it ---------------------------------------------------------------------------


def _lines(plan: SweepPlan, record: SweepRecord, best: dict[str, Any], folder: str) -> list[str]:
    rows = []
    for algorithm, space in plan.algorithms:
        own = [one for one in record.studies if one.algorithm == algorithm]
        known = best.get(algorithm, {})
        score, luck = known.get("best_auc"), known.get("best_of_n_p")
        rows.append(
            (
                algorithm,
                space,
                sum(one.status == "done" for one in own),
                sum(one.status != "done" for one in own),
                sum(one.n_complete + one.n_pruned + one.n_failed for one in own),
                "-" if score is None else f"{score:.4f}",
                "-" if luck is None else f"{luck:.3f}",
            )
        )
    header = ("algorithm", "space", "done", "not", "configurations", "best", "p of best-of-N")
    failed = [f"{one.name}: {one.reason}" for one in record.studies if one.status in {"failed", "skipped"}]
    shown = [*failed[:10], *([f"and {len(failed) - 10} more; see run.json"] if len(failed) > 10 else [])]  # noqa: PLR2004
    return [*table(header, rows, right=frozenset({2, 3, 4, 5, 6})), "", *shown, f"run {plan.run_id}: {folder}"]
