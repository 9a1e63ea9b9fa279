"""Which symbols of one session are tradable: decided without writing, or read from the lake, and counted."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from raypipe.calendar import calendar
from raypipe.config import Config
from raypipe.errors import BlockedError, NotYetError, UsageError
from raypipe.features.symbols import SymbolsParams, compute
from raypipe.lake.store import Lake
from raypipe.pipeline.plan import Request, make_plan
from raypipe.pipeline.views import declared_tables
from raypipe.schema.family import Inputs
from raypipe.schema.tables import DAY_AGGS, MINUTE_AGGS, REFERENCE, SYMBOL_TYPES
from raypipe.sources.instruments import read_reference

__all__ = ["TRADABLE", "ReasonCount", "decide_symbols", "latest_session", "stored_symbols"]

TRADABLE = "tradable"
SAMPLES = 20
_SHOWN = ("symbol", "reason")


@dataclass(frozen=True, slots=True)
class ReasonCount:
    """How many symbols share a reason, and a few of them. The reason of symbols that stay is ``tradable``."""

    reason: str
    symbols: int
    samples: tuple[str, ...]


def latest_session(config: Config) -> dt.date:
    """The latest session whose symbols are known, or could be.

    Raises
    ------
    NotYetError
        If the lake has none.
    """
    items = make_plan(Lake(config.lake.location), config.params, Request(steps=("symbols",))).items
    days = [item.partition for item in items if item.table == SYMBOL_TYPES.name]
    if not days:
        msg = "the lake has no session"
        raise NotYetError(msg, hint="fetch files first: raypipe ingest")
    return dt.date.fromisoformat(max(days))


def stored_symbols(config: Config, session: dt.date) -> list[ReasonCount]:
    """Counts of what the lake holds of a session."""
    table = declared_tables(config)[SYMBOL_TYPES.name]
    return _counts(Lake(config.lake.location).read(table, session.isoformat(), _SHOWN))


def decide_symbols(config: Config, session: dt.date, reference: Path | None = None) -> list[ReasonCount]:
    """Counts of what would be decided from the bronze that is there; nothing is written.

    Parameters
    ----------
    config, session
        The configuration and the session.
    reference
        A list of symbols and types instead of the lake's own.

    Raises
    ------
    UsageError
        If the date is no session, or the list cannot be read.
    BlockedError
        If there is no bronze of the session.
    """
    target, lake = calendar().session(session), Lake(config.lake.location)
    universe = next((table for table in (DAY_AGGS, MINUTE_AGGS) if lake.manifest(table, target.key)), None)
    if universe is None:
        msg = "no bronze of the session is there yet"
        raise BlockedError(msg, hint=f"build it: raypipe run --dates {session}", partition=target.key)
    tables: dict[str, dict[dt.date | None, pa.Table]] = {
        universe.name: {session: lake.read(universe, target.key, ("symbol",))}
    }
    listed = _reference(lake, reference)
    if listed is not None:
        tables[REFERENCE.name] = {None: listed}
    params = SymbolsParams.model_validate(config.params["symbols"].model_dump())
    return _counts(compute(Inputs((target,), tables, {session: target}), params).table)


def _reference(lake: Lake, path: Path | None) -> pa.Table | None:
    if path is None:
        return lake.read(REFERENCE, "all") if lake.manifest(REFERENCE, "all") else None
    try:
        return read_reference(path.read_bytes(), path.name)
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror}"
        raise UsageError(msg, hint="name a file with --reference") from None


def _counts(rows: pa.Table) -> list[ReasonCount]:
    """Per reason, tradable first, then the most frequent."""
    reason = pc.fill_null(rows["reason"].cast(pa.string()), TRADABLE)
    names = rows["symbol"].cast(pa.string())
    found = []
    for each in pc.value_counts(reason).to_pylist():
        samples = names.filter(pc.equal(reason, each["values"])).slice(0, SAMPLES).to_pylist()
        found.append(ReasonCount(each["values"], each["counts"], tuple(samples)))
    return sorted(found, key=lambda group: (group.reason != TRADABLE, -group.symbols, group.reason))
