"""Tables of features and of targets as arrays: the way into splits, models and scores.

What is refused here never reaches a model: rows that stand twice, sessions that are none, numbers that are not finite,
and labels that begin before the features of their row are known.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raypipe.calendar import calendar
from raypipe.dataset.matrix import Panel, Target
from raypipe.errors import SchemaError, UsageError
from raypipe.schema.frames import floats
from raypipe.schema.targets import target_spec

__all__ = ["KEYS", "panel_of", "target_of"]

#: Columns of a panel that are no features.
KEYS = ("session", "symbol", "symbol_id", "session_id", "decision_ns")
_EPOCH = np.datetime64("1970-01-01", "D")


def panel_of(
    table: pa.Table,
    *,
    symbols: Sequence[str] | None = None,
    features: Sequence[str] | None = None,
    unique: bool = True,
    name: str = "gold/model_panel",
) -> Panel:
    """A table of features as arrays, its rows in the order of symbol, session and decision.

    Parameters
    ----------
    table
        Columns ``symbol``, ``session`` (date32), ``decision_ns`` (int64), and numbers. Rows in any order.
    symbols
        The symbols in their order; rows of others are left out. None: those of the table's own facts (key
        ``symbols`` of its metadata, separated by blanks), else those of its rows, sorted bytewise.
    features
        Names of the columns that are features. None: every float32 column.
    unique
        Whether a symbol has one row in a session. Tables of events have many.
    name
        What errors call the table.

    Raises
    ------
    SchemaError
        Naming column and first row: for a row that stands twice, a session that the exchange did not have, a value
        that is no number, and a feature without any value.
    UsageError
        If there is no row or no feature.
    """
    order = tuple(symbols or _own_symbols(table))
    names = tuple(features) if features is not None else _float_columns(table)
    place = pc.index_in(table["symbol"].cast(pa.string()), value_set=pa.array(order, pa.string()))
    table, place = table.filter(place.is_valid()), place.drop_null().combine_chunks()
    if not table.num_rows or not names:
        msg = f"{name} has no {'row of the symbols' if names else 'column of features'}"
        raise UsageError(msg, hint="raypipe run, or other --symbols-file or --features")
    symbol = place.to_numpy().astype(np.int16)
    days = table["session"].combine_chunks().cast(pa.date32()).view(pa.int32()).to_numpy()
    decision = table["decision_ns"].combine_chunks().to_numpy()
    rows = np.lexsort((decision, days, symbol))
    symbol, days, decision = symbol[rows], days[rows], decision[rows]
    sessions = _pinned(days, name)
    if unique:
        _refuse_twice(symbol, days, order, name)
    x = np.empty((len(rows), len(names)), np.float32)
    for i, column in enumerate(names):
        x[:, i] = _feature(table[column], column, name)[rows]
    session = np.searchsorted(sessions.astype(np.int64), days).astype(np.int32)
    for array in (x, symbol, session, decision):
        array.flags.writeable = False
    return Panel(order, sessions, symbol, session, decision, names, x)


def _own_symbols(table: pa.Table) -> list[str]:
    facts = table.schema.metadata or {}
    if b"symbols" in facts:
        stated: list[str] = facts[b"symbols"].decode().split(" ")
        return stated
    return sorted(pc.unique(table["symbol"].cast(pa.string())).to_pylist(), key=str.encode)


def _float_columns(table: pa.Table) -> tuple[str, ...]:
    return tuple(f.name for f in table.schema if f.name not in KEYS and f.type == pa.float32())


def _pinned(days: np.ndarray, name: str) -> np.ndarray:
    """All sessions from the first row's to the last's, datetime64[D]."""
    first, last = ((_EPOCH + int(day)).item() for day in (days.min(), days.max()))
    sessions = np.array(calendar().dates(first, last), "datetime64[D]")
    known = np.isin(days, sessions.astype(np.int64))
    if not known.all():
        row = int(np.argmin(known))
        msg = f"{_EPOCH + int(days[row])} is not a session of the exchange"
        raise SchemaError(msg, hint="weekends and holidays have no rows", table=name, row=row)
    return sessions


def _refuse_twice(symbol: np.ndarray, days: np.ndarray, order: Sequence[str], name: str) -> None:
    same = (symbol[1:] == symbol[:-1]) & (days[1:] == days[:-1])
    if same.any():
        row = int(np.argmax(same))
        msg = f"{order[symbol[row]]} has more than one row on {_EPOCH + int(days[row])}"
        raise SchemaError(msg, hint="keep one row per symbol and session", table=name, row=row)


def _feature(column: pa.ChunkedArray, feature: str, name: str) -> np.ndarray:
    """A feature as float32, NaN where null; refused if a value is not finite or there is none."""
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type) or pa.types.is_boolean(column.type)):
        msg = f"a feature of type {column.type}"
        raise SchemaError(msg, hint="features are numbers: leave it out", table=name, column=feature)
    if column.null_count == len(column):
        msg = "no row has a value of this feature"
        raise SchemaError(msg, hint="leave it out, or build more history", table=name, column=feature, row=0)
    values = floats(column.cast(pa.float64()) if pa.types.is_boolean(column.type) else column)
    with np.errstate(over="ignore"):
        narrow = values.astype(np.float32)
    bad = ~np.isfinite(narrow) & column.is_valid().to_numpy()
    if bad.any():
        row = int(bad.argmax())
        msg = f"{values[row]} is not a finite number of 32 bits"
        raise SchemaError(msg, hint="undefined values are null", table=name, column=feature, row=row)
    return narrow


# --- targets -----------------------------------------------------------------------------------


def target_of(panel: Panel, targets: pa.Table, name: str) -> Target:
    """A target of `gold/targets`, row for row of a panel.

    Parameters
    ----------
    panel
        The features.
    targets
        Columns ``symbol``, ``session``, the target, its ``_end_ns``, and ``entry_ns`` or ``close_ns``, whichever its
        interval begins with.
    name
        Which target.

    Raises
    ------
    UsageError
        If there is no such target, or a label begins before the features of its row are known.
    SchemaError
        If the target stands twice for a row, or ends before it begins.
    """
    spec = target_spec(name)
    row = _rows_beside(panel, targets)
    y = np.append(floats(targets[name]), np.nan)[row].astype(np.float32)
    known = ~np.isnan(y)
    start, end = (
        np.where(known, np.append(targets[column].fill_null(0).to_numpy(), 0)[row], 0)
        for column in (spec.start_column, spec.end_column)
    )
    target = Target(name, spec.kind, spec.horizon, y, start, end)
    check_intervals(panel, target)
    return target


def check_intervals(panel: Panel, target: Target) -> None:
    """Hold decision <= start < end for every label.

    Raises
    ------
    UsageError
        If a label begins before the features of its row are known.
    SchemaError
        If a label does not end after it begins.
    """
    early = target.known & (panel.decision_ns > target.start_ns)
    if early.any():
        where = _where(panel, early)
        msg = f"{target.name} begins {_gap(panel, target, early)} s before the features of its row are known"
        raise UsageError(msg, hint="take a target that begins at the next open, or earlier features", **where)
    empty = target.known & (target.end_ns <= target.start_ns)
    if empty.any():
        msg = f"{target.name} ends before it begins"
        raise SchemaError(msg, hint="build gold/targets again", **_where(panel, empty))


def _gap(panel: Panel, target: Target, hit: np.ndarray) -> int:
    row = int(hit.argmax())
    return int(panel.decision_ns[row] - target.start_ns[row]) // 10**9


def _where(panel: Panel, hit: np.ndarray) -> dict[str, str]:
    row = int(hit.argmax())
    symbol = panel.symbols[panel.symbol_id[row]]
    return {"symbol": symbol, "session": str(panel.sessions[panel.session_id[row]])}


def _rows_beside(panel: Panel, targets: pa.Table) -> np.ndarray:
    """Row of the targets of each row of the panel; one beyond the last where there is none. int64 (n,)."""
    place = pc.index_in(targets["symbol"].cast(pa.string()), value_set=pa.array(panel.symbols, pa.string()))
    symbol = place.fill_null(-1).combine_chunks().to_numpy().astype(np.int64)
    days = targets["session"].combine_chunks().view(pa.int32()).to_numpy().astype(np.int64)
    theirs, ours = _keys(symbol, days), _keys(panel.symbol_id, panel.sessions.astype(np.int64)[panel.session_id])
    order = np.argsort(theirs, kind="stable")
    ranked = theirs[order]
    twice = (ranked[1:] == ranked[:-1]) & (ranked[1:] >= 0)
    if twice.any():
        row = int(order[int(twice.argmax())])
        values = {"symbol": str(targets["symbol"][row]), "session": str(targets["session"][row])}
        msg = "a symbol has more than one row of targets in a session"
        raise SchemaError(msg, hint="build gold/targets again", table="gold/targets", **values)
    found = np.searchsorted(ranked, ours)
    there = np.append(ranked, -1)[found] == ours
    return np.where(there, np.append(order, len(order))[found], len(theirs))


def _keys(symbol: np.ndarray, days: np.ndarray) -> np.ndarray:
    return np.where(symbol < 0, -1, symbol.astype(np.int64) * (1 << 32) + days)
