"""``python -m tuning.sweep``: `raypipe tune` on Ray, the entry point for ``ray job submit``.

::

    ray job submit --working-dir . -- python -m tuning.sweep --root s3://my-lake --splits splits.json --features f.yaml

It takes the options of `raypipe tune`, and always uses Ray: inside a job the job's cluster, elsewhere a Ray of its own.
The same command goes on where it stopped.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from raypipe.pipeline.session import require_lake
from raypipe.training.inputs import Asked
from raypipe.training.pin import input_config
from raypipe.training.sweep import SweepOrder, run_sweep
from raypipe.training.sweep_inputs import SweepWish, open_sweep
from raypipe.training.sweep_progress import LineWatch
from raypipe.training.sweep_results import SweepRecord
from tasks.entry import SEVERAL, Call, counted, entry_point, joined, lake_arguments, log, new_parser, words_of_text
from tasks.runtime import default_address
from tuning.executor import RaySweep

__all__ = ["main", "parser"]

_OF_TUNE = ("n_configs", "seed", "space", "windows", "pooled", "per_symbol", "threads", "max_concurrent")


def parser() -> argparse.ArgumentParser:
    """The arguments: those of `raypipe tune` that mean something here."""
    found = new_parser("tuning.sweep", __doc__)
    add = found.add_argument
    several: dict[str, Any] = {**SEVERAL, "type": words_of_text}
    add("--splits", type=Path, required=True, metavar="FILE", help="what `raypipe splits` wrote")
    add("--features", type=Path, required=True, metavar="FILE", help="what `raypipe select` wrote")
    add("--algorithms", metavar="NAME", help="model families, such as xgb-safe,cb-safe,lgbm", **several)
    add("--n-configs", type=int, metavar="N", help="configurations of a study")
    add("--seed", type=int, metavar="N", help="of everything random")
    add("--space", choices=("safe", "wide"), help="ranges, unless a family's name says so")
    add("--windows", action="store_true", default=None, help="search windows of indicators too")
    add("--input-data-s3", metavar="URI", help="lake with the panel, or a pin of it")
    add("--data-path", "--table", "--input-dir", metavar="TABLE|FILE", default="", help="instead of gold/model_panel")
    add("--columns", metavar="a,b", default="", help="which columns of it are features, where roles do not say so")
    add("--label", metavar="COLUMN", default="", help="which column of it is the label, instead of a target")
    add("--label-end", metavar="COLUMN", default="", help="the nanosecond at which that label ends")
    add("--symbols", metavar="SYMBOL", help="only these have studies of their own", **several)
    add("--symbols-file", metavar="FILE", help="the symbols, one per line")
    add("--no-pooled", dest="pooled", action="store_false", default=None, help="no study of all symbols")
    add("--no-per-symbol", dest="per_symbol", action="store_false", default=None, help="no studies of symbols")
    add("--threads", type=int, metavar="N", help="threads of a fit; changes no result")
    add("--max-concurrent", type=int, metavar="N", help="studies at a time")
    add("--fresh", "--force", action="store_true", help="move what there is of this run aside")
    lake_arguments(found, "studies")
    return found


def main(args: Sequence[str] | None = None) -> int:
    """Run a sweep; see `tasks.entry.entry_point`. Returns the exit code that `raypipe tune` has."""
    return entry_point(parser(), _flags, _sweep, args)


def _flags(options: argparse.Namespace) -> dict[str, Any]:
    flags = {f"tune.{name}": getattr(options, name) for name in _OF_TUNE}
    return flags | {"tune.algorithms": joined(options.algorithms) or None, "panel.symbols_file": options.symbols_file}


def _sweep(call: Call) -> int:
    options, config = call.options, call.config
    source, _ = input_config(config, options.input_data_s3, log.info)
    require_lake(source)
    asked = Asked(options.data_path, options.columns, options.label, options.label_end)
    plan, data = open_sweep(config, SweepWish(options.splits, options.features, joined(options.symbols), source, asked))
    address = config.run.address or default_address()
    log.info("run %s: %d studies of %s, on Ray, address %s", plan.run_id, len(plan.jobs), data.target, address)
    executor = RaySweep.of(plan, config.run, address)
    watch = LineWatch(len(plan.jobs) + len(plan.skipped), log.info, log.warning)
    record = run_sweep(plan, data, SweepOrder(executor, watch, call.command, call.stop, options.fresh))
    _summarise(record, f"{plan.location.root}/{plan.key}")
    return record.exit_code or 0


def _summarise(record: SweepRecord, folder: str) -> None:
    said = counted((one.status for one in record.studies), ("done", "failed", "skipped", "stopped"))
    log.info("run %s %s: %s", record.run_id, record.status, said)
    log.info("results: %s", folder)


if __name__ == "__main__":
    sys.exit(main())
