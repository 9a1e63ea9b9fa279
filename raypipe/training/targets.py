"""Targets of a lake for the symbols of a panel: those that are stored, or made of the flat files' daily bars.

`silver/daily` has a partition per session, so no table of symbols is made of it in runs; its targets are made when
they are asked for, of prices that later splits do not move. Dividends are not in them.
"""

from __future__ import annotations

import datetime as dt

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raypipe.calendar import calendar
from raypipe.config import Config
from raypipe.errors import PartitionError, UsageError
from raypipe.labels.forward_return import labels_of
from raypipe.labels.targets import TargetsParams, targets_of
from raypipe.lake.store import Lake
from raypipe.pipeline.views import declared_tables
from raypipe.schema.frames import floats
from raypipe.schema.targets import TargetSpec, target_spec

__all__ = ["stored_targets"]

_TARGETS, _DAILY = "gold/targets", "silver/daily"


def stored_targets(config: Config, target: str, symbols: tuple[str, ...]) -> pa.Table:
    """One target, with where its labels begin and end, for those of the symbols that have it.

    Raises
    ------
    PartitionError
        If no symbol has targets.
    UsageError
        If there is no such target.
    """
    wanted, spec = target_spec(target), declared_tables(config)[_TARGETS]
    if wanted.name not in spec:
        msg = f"{wanted.name} needs a horizon that forward_labels.horizons does not have"
        raise UsageError(msg, hint=f"add {wanted.horizon} to forward_labels.horizons, then: raypipe run")
    params = config.params["targets"]
    assert isinstance(params, TargetsParams)
    if params.target.bars == _DAILY:
        return _of_daily(config, params, wanted, symbols)
    lake = Lake(config.lake.location)
    there = [name for name in lake.partitions(spec) if name in set(symbols)]
    if not there:
        msg = "no symbol of the panel has targets"
        raise PartitionError(msg, hint="build them: raypipe run", table=_TARGETS)
    columns = _columns(wanted)
    return pa.concat_tables([lake.read(spec, name, columns) for name in there]).unify_dictionaries()


def _columns(wanted: TargetSpec) -> tuple[str, ...]:
    return "session", "symbol", wanted.start_column, wanted.name, wanted.end_column


def _of_daily(config: Config, params: TargetsParams, wanted: TargetSpec, symbols: tuple[str, ...]) -> pa.Table:
    """The target, made of the bars of all sessions."""
    lake, spec = Lake(config.lake.location), declared_tables(config)[_DAILY]
    sessions = lake.partitions(spec)
    names = pa.array(symbols, pa.string())
    parts = [lake.read(spec, one, ("session", "symbol", "open", "close", "split_ratio")) for one in sessions]
    kept = [part.filter(pc.is_in(part["symbol"].cast(pa.string()), value_set=names)) for part in parts]
    if not any(part.num_rows for part in kept):
        msg = "no symbol of the panel has daily bars"
        raise PartitionError(msg, hint="build them: raypipe run --steps daily", table=_DAILY)
    whole = pa.concat_tables(kept).unify_dictionaries()
    last_day = np.datetime64(dt.date.fromisoformat(sessions[-1]), "D").astype(np.int64)
    last = int(calendar().places(np.array([last_day]))[0])
    plain = whole["symbol"].cast(pa.string())
    made = []
    for symbol in pc.unique(plain).to_pylist():
        bars = whole.filter(pc.equal(plain, symbol))
        # A price times all split ratios so far is on the first row's basis: what comes later moves nothing.
        bars = bars.append_column("div_factor", pa.array(np.cumprod(floats(bars["split_ratio"]))))
        forward = labels_of(bars, last, params.forward_labels)
        made.append(targets_of(bars, forward, last, params).select(_columns(wanted)))
    return pa.concat_tables(made).unify_dictionaries()
