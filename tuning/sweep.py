"""``python -m tuning.sweep``: `raypipe tune` on Ray, the entry point for ``ray job submit``.

::

    ray job submit --working-dir . -- python -m tuning.sweep --root s3://my-lake --splits splits.json --features f.yaml

It takes the options of `raypipe tune`, and always uses Ray: inside a job the job's cluster, elsewhere a Ray of its own.
The same command goes on where it stopped.
"""

from __future__ import annotations

import argparse
import itertools
import shlex
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from raypipe.config import Config, load_config
from raypipe.pipeline.model_inputs import Asked
from raypipe.pipeline.pin import input_config
from raypipe.pipeline.session import require_lake
from raypipe.pipeline.sweep import SweepOrder, run_sweep
from raypipe.pipeline.sweep_inputs import SweepWish, open_sweep
from raypipe.pipeline.sweep_progress import LineWatch
from raypipe.pipeline.sweep_results import SweepRecord
from tasks.entry import check_root, entry_point, log, words_of_text
from tasks.runtime import default_address
from tuning.executor import RaySweep

__all__ = ["main", "parser"]

_OF_TUNE = ("n_configs", "seed", "space", "windows", "pooled", "per_symbol", "threads", "max_concurrent")


def parser() -> argparse.ArgumentParser:
    """The arguments: those of `raypipe tune` that mean something here."""
    found = argparse.ArgumentParser("python -m tuning.sweep", description=__doc__.split("\n")[0], allow_abbrev=False)
    add = found.add_argument
    several: dict[str, Any] = {"nargs": "+", "action": "extend", "default": [], "type": words_of_text}
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
    add("--max-concurrent", "--workers", type=int, metavar="N", help="studies at a time")
    add("--fresh", "--force", action="store_true", help="move what there is of this run aside")
    add("--address", metavar="ADDRESS", help="local, auto or host:port; auto inside a job, else local")
    add("--root", metavar="LAKE", help="the lake: an absolute folder or s3://bucket/prefix")
    add("--config", type=Path, metavar="FILE", help="configuration instead of ./raypipe.yaml")
    add("--profile", metavar="NAME", help="values of configs/NAME.yaml, before those of ./raypipe.yaml")
    add("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="one configuration value")
    return found


def main(args: Sequence[str] | None = None) -> int:
    """Run a sweep.

    Parameters
    ----------
    args
        Arguments; those of the process if None.

    Returns
    -------
    The exit code, as `raypipe tune` has it.
    """
    given = sys.argv[1:] if args is None else list(args)
    options = parser().parse_args(given)
    command = shlex.join(["python", "-m", "tuning.sweep", *given])
    return entry_point(lambda stop: _sweep(options, command, stop))


def _sweep(options: argparse.Namespace, command: str, stop: threading.Event) -> int:
    config = _configure(options)
    check_root(config)
    source, _ = input_config(config, options.input_data_s3, log.info)
    require_lake(source)
    symbols = tuple(itertools.chain.from_iterable(options.symbols))
    asked = Asked(options.data_path, options.columns, options.label, options.label_end)
    plan, data = open_sweep(config, SweepWish(options.splits, options.features, symbols, source, asked))
    address = config.run.address or default_address()
    log.info("run %s: %d studies of %s, on Ray, address %s", plan.run_id, len(plan.jobs), data.target, address)
    executor = RaySweep(address, plan.params.max_concurrent or config.run.workers)
    watch = LineWatch(len(plan.jobs) + len(plan.skipped), log.info, log.warning)
    record = run_sweep(plan, data, SweepOrder(executor, watch, command, stop, options.fresh))
    _summarise(record, f"{plan.location.root}/{plan.key}")
    return record.exit_code or 0


def _configure(options: argparse.Namespace) -> Config:
    flags = {f"tune.{name}": getattr(options, name) for name in _OF_TUNE}
    flags |= {"tune.algorithms": list(itertools.chain.from_iterable(options.algorithms)) or None}
    flags |= {"panel.symbols_file": options.symbols_file, "lake.root": options.root}
    flags |= {"run.executor": "ray", "run.address": options.address}
    config = load_config(options.config, profile=options.profile, sets=options.set, flags=flags)
    for warning in config.warnings:
        log.warning("warning: %s", warning)
    return config


def _summarise(record: SweepRecord, folder: str) -> None:
    counts = {status: sum(one.status == status for one in record.studies) for status in _STATES}
    said = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    log.info("run %s %s: %s", record.run_id, record.status, said)
    log.info("results: %s", folder)


_STATES = ("done", "failed", "skipped", "stopped")


if __name__ == "__main__":
    sys.exit(main())
