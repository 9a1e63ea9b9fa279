"""Signals for people: sessions as one pandas frame, built first where they are not current."""

from __future__ import annotations

import datetime as dt
import difflib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from raypipe.calendar import parse_session
from raypipe.config import Config, load_config
from raypipe.errors import NotYetError, PartitionError, UsageError
from raypipe.lake.store import Lake
from raypipe.pipeline.session import Order, local_executor, require_lake, run_plan
from raypipe.pipeline.signals import SIGNALS, SignalSessions, Wanted
from raypipe.pipeline.signals_run import run_signals
from raypipe.schema.spec import Table

if TYPE_CHECKING:
    import pandas as pd

    from raypipe.config import RunParams
    from raypipe.pipeline.executor import Executor

__all__ = ["Day", "columns_of", "signals_frame", "wanted_of"]

#: A session, as people write it.
Day = str | dt.date


def signals_frame(
    wanted: Wanted, columns: Sequence[str] | None, *, build: bool, config: Config | str | Path | None, root: Any
) -> pd.DataFrame:
    """See `raypipe.signals`."""
    loaded = _config(config, root)
    require_lake(loaded)
    sessions = SignalSessions(loaded, wanted)
    names = columns_of(sessions.table, columns)
    keys = _build(sessions) if build else _stored(sessions)
    lake, stored = Lake(loaded.lake.location), tuple(dict.fromkeys(names.values()))
    parts = [lake.read(sessions.table, key, stored) for key in keys]
    whole = pa.concat_tables([sessions.table.empty().select(stored), *parts])
    return _frame({name: whole[column] for name, column in names.items()})


def wanted_of(date: Day | None, dates: Iterable[Day] | None, start_date: Day | None, end_date: Day | None) -> Wanted:
    """A request in the words of the public function.

    Raises
    ------
    UsageError
        If it names no session at all, or several ways at once.
    """
    if date is not None and dates is not None:
        msg = "date and dates exclude each other"
        raise UsageError(msg, hint="name one session with date=, several with dates=")
    named = [date] if date is not None else list(dates or ())
    wanted = Wanted(_day(start_date), _day(end_date), tuple(day for one in named if (day := _day(one))))
    wanted.check()
    return wanted


def columns_of(table: Table, columns: Sequence[str] | None) -> dict[str, str]:
    """The stored column of each one asked for; an alias that is not stored is read from what it repeats.

    Raises
    ------
    UsageError
        If there is no such column.
    """
    if columns is None:
        return {name: name for name in table.names}
    return {name: _stored_name(table, name) for name in columns}


def _stored_name(table: Table, name: str) -> str:
    from raypipe.pipeline.stages import family_catalog
    from raypipe.schema.signals import SignalsParams

    if name in table:
        return name
    whole = family_catalog()["signals"].table(SignalsParams())
    if name in whole and whole[name].alias_of:
        return whole[name].alias_of
    close = difflib.get_close_matches(name, table.names, n=1)
    msg = f"signals have no column {name!r}"
    raise UsageError(msg, hint=f"did you mean {close[0]}?" if close else "raypipe tables signals lists them")


def _day(day: Day | None) -> dt.date | None:
    return parse_session(day) if isinstance(day, str) else day


def _config(config: Config | str | Path | None, root: Any) -> Config:
    flags = {"lake.root": None if root is None else str(root)}
    if isinstance(config, Config):
        if root is not None:
            msg = "a loaded configuration already names its lake"
            raise UsageError(msg, hint="give root= to load_config, or the configuration as a file")
        return config
    return load_config(Path(config) if config is not None else None, flags=flags)


# --- sessions ----------------------------------------------------------------------------------


def _stored(sessions: SignalSessions) -> list[str]:
    """The sessions asked for that are there, whatever they are made of; named ones must be."""
    there = Lake(sessions.config.lake.location).partitions(sessions.table)
    wanted = sessions.wanted
    if not wanted.dates:
        start, end = wanted.start or dt.date.min, wanted.end or dt.date.max
        return [key for key in there if start <= dt.date.fromisoformat(key) <= end]
    keys = sorted({date.isoformat() for date in wanted.dates})
    for key in keys:
        if key not in there:
            msg = "it is not built"
            raise PartitionError(
                msg, hint="leave out build=False, or run: raypipe signals", table=SIGNALS, partition=key
            )
    return keys


def _build(sessions: SignalSessions) -> list[str]:
    """Build what is not current; the sessions that are there then."""
    order = Order("raypipe.signals", _executor)
    sessions, found = run_signals(sessions, lambda plan: run_plan(sessions.config, plan, order))
    for key, why in found.failed.items():
        msg = f"{key} cannot be built: {why}"
        raise NotYetError(msg, hint="raypipe signals --dry-run lists what each session lacks")
    return sorted((*found.done, *found.current))


def _executor(name: str, run: RunParams) -> Executor:
    """Ray is for commands and jobs; a call from a notebook stays on its machine."""
    return local_executor("process" if name == "ray" else name, run)


# --- pandas ------------------------------------------------------------------------------------


def _frame(columns: Mapping[str, pa.ChunkedArray]) -> pd.DataFrame:
    import pandas as pd

    whole = {pa.int8(): pd.Int8Dtype(), pa.int32(): pd.Int32Dtype(), pa.int64(): pd.Int64Dtype()}
    found: dict[str, pd.Series[Any]] = {}
    for name, column in columns.items():
        if pa.types.is_dictionary(column.type):
            found[name] = column.cast(pa.string()).to_pandas()
        elif column.null_count:
            # As floats, integers with nulls would not hold every nanosecond.
            found[name] = column.to_pandas(types_mapper=whole.get)
        else:
            found[name] = column.to_pandas()
    return pd.DataFrame(found)
