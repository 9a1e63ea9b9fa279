"""Whether features still look as they did in the run before: short summaries, compared from record to record.

A summary is the null share, mean, standard deviation and seven quantiles of a feature's newest values. Two summaries
are compared by the mean distance of their quantiles in units of the earlier spread (its 10 % to 90 % range, which is
2.563 standard deviations of a normal distribution): an outlier moves it little, and both a shift by one standard
deviation and a doubling of the spread make it 1. It needs no data of the earlier run, only its record. It is a smoke
detector, not a test: features that persist, such as volatility, wander by more than 0.5 in calm times too.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from raypipe.errors import PartitionError
from raypipe.lake.store import Lake
from raypipe.pipeline.job import Outcome
from raypipe.pipeline.record import record_key, run_ids
from raypipe.schema.spec import Table

__all__ = ["QUANTILES", "WINDOW_SESSIONS", "compare", "measure", "summarise"]

#: Newest partitions, or newest sessions of tables that are not cut by session, that are summarised.
WINDOW_SESSIONS = 5
QUANTILES = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)
#: From which distance, and change of the null share, a feature counts as moved.
MOVED, MOVED_NULLS = 0.5, 0.05
_LOW, _HIGH, _NORMAL_RANGE = 1, 5, 2.563
_MOST_ROWS = 200_000
_MOST_SYMBOLS = 48
_EARLIER_RUNS = 10
_NUMBERS = frozenset({"f64", "f32", "i8", "i16", "i32", "i64", "u8", "u32", "bool"})


def measure(lake: Lake, tables: Mapping[str, Table], run_id: str, outcomes: Iterable[Outcome]) -> dict[str, Any]:
    """Summarise the gold tables that a run wrote, and compare them with the run before that wrote them.

    Parameters
    ----------
    lake, tables
        The lake after the run, and its declared tables.
    run_id, outcomes
        The run.

    Returns
    -------
    Per table: ``first``, ``last`` (partitions read), ``rows``, ``features`` (see `summarise`), ``against`` (the
    earlier run; empty if there is none) and ``moved`` (see `compare`). A table that cannot be read has ``error``.
    """
    built = {outcome.table for outcome in outcomes if outcome.status == "built" and outcome.rows}
    found: dict[str, Any] = {}
    for name, table in tables.items():
        names = [c.name for c in table.columns if c.role == "feature" and c.dtype in _NUMBERS and not c.alias_of]
        if name in built and name.startswith("gold/") and names:
            found[name] = _of_table(lake, table, names)
    for name, (earlier, before) in _before(lake, run_id, found).items():
        found[name] |= {"against": earlier, "moved": compare(before, found[name]["features"])}
    return found


def _of_table(lake: Lake, table: Table, names: list[str]) -> dict[str, Any]:
    empty: dict[str, Any] = {"first": "", "last": "", "rows": 0, "features": {}, "against": "", "moved": []}
    try:
        partitions, rows = _newest(lake, table, names)
    except PartitionError as error:
        return {**empty, "error": str(error)}
    if not rows.num_rows:
        return empty
    span = {"first": min(partitions), "last": max(partitions), "rows": rows.num_rows}
    return {**empty, **span, "features": {name: summarise(_floats(rows[name])) for name in names}}


# --- newest rows -------------------------------------------------------------------------------


def _newest(lake: Lake, table: Table, names: list[str]) -> tuple[list[str], pa.Table]:
    """Names of partitions, and their newest rows of some columns."""
    there = lake.partitions(table)
    if table.grain in ("session", "week"):
        chosen = there[-WINDOW_SESSIONS:]
        return chosen, pa.concat_tables([table.empty().select(names), *_few(lake, table, chosen[::-1], names)])
    chosen = there[:: -(-len(there) // _MOST_SYMBOLS)] if there else []
    dated = "session" in table
    columns = [*names, *(("session",) if dated else ())]
    rows = pa.concat_tables([table.empty().select(columns), *(lake.read(table, key, columns) for key in chosen)])
    return chosen, _last_sessions(rows).select(names) if dated and rows.num_rows else rows


def _few(lake: Lake, table: Table, partitions: list[str], names: list[str]) -> Iterator[pa.Table]:
    """Row groups until there are enough rows: a table of minutes must not fill the driver's memory."""
    rows = 0
    for partition in partitions:
        for group in lake.batches(table, partition, names):
            if rows >= _MOST_ROWS:
                return
            rows += group.num_rows
            yield group


def _last_sessions(rows: pa.Table) -> pa.Table:
    sessions = sorted(pc.unique(rows["session"]).to_pylist())
    first = pa.scalar(sessions[-WINDOW_SESSIONS:][0], pa.date32())
    return rows.filter(pc.greater_equal(rows["session"], first))


def _floats(column: pa.ChunkedArray) -> NDArray[np.float64]:
    plain = column.cast(pa.int8()) if pa.types.is_boolean(column.type) else column
    return np.asarray(plain.cast(pa.float64(), safe=False).to_numpy())


# --- summaries ---------------------------------------------------------------------------------


def summarise(values: NDArray[np.float64]) -> dict[str, Any]:
    """A feature in short.

    Parameters
    ----------
    values
        Shape (n,), NaN where null.

    Returns
    -------
    ``n``, ``null_share``, ``mean``, ``sd`` (of the population) and ``quantiles`` (at `QUANTILES`), six digits each;
    the last three are None and empty if all is null.
    """
    valid = values[~np.isnan(values)]
    share = _short(1 - len(valid) / len(values)) if len(values) else 0.0
    found: dict[str, Any] = {"n": len(values), "null_share": share}
    if not len(valid):
        return {**found, "mean": None, "sd": None, "quantiles": []}
    quantiles = [_short(q) for q in np.quantile(valid, QUANTILES)]
    return {**found, "mean": _short(valid.mean()), "sd": _short(valid.std()), "quantiles": quantiles}


def _short(value: float) -> float:
    return float(f"{value:.6g}")


def compare(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Features that moved between two sets of summaries, the farthest first.

    Returns
    -------
    Per feature that is in both: ``feature``, ``distance`` (see the module; None where there is nothing to measure it
    by: a constant that changed, or a feature that was or is null throughout), ``nulls_before``, ``nulls_after``,
    ``median_before``, ``median_after``; only those with a distance of `MOVED` or None, or null shares `MOVED_NULLS`
    apart.
    """
    rows = [_compared(name, before[name], after[name]) for name in after if name in before]
    moved = [row for row in rows if _has_moved(row, before, after)]
    return sorted(moved, key=lambda row: -(np.inf if row["distance"] is None else row["distance"]))


def _has_moved(row: Mapping[str, Any], before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    if abs(row["nulls_after"] - row["nulls_before"]) >= MOVED_NULLS:
        return True
    if row["distance"] is None:
        return bool(before[row["feature"]]["quantiles"] != after[row["feature"]]["quantiles"])
    return bool(row["distance"] >= MOVED)


def _compared(name: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    old, new = before["quantiles"], after["quantiles"]
    return {
        "feature": name,
        "distance": _distance(np.array(old), np.array(new)) if old and new else None,
        "nulls_before": before["null_share"],
        "nulls_after": after["null_share"],
        "median_before": old[len(old) // 2] if old else None,
        "median_after": new[len(new) // 2] if new else None,
    }


def _distance(old: NDArray[np.float64], new: NDArray[np.float64]) -> float | None:
    spread = (old[_HIGH] - old[_LOW]) / _NORMAL_RANGE
    if spread > 0:
        return _short(np.abs(new - old).mean() / spread)
    return 0.0 if np.array_equal(old, new) else None


# --- the run before ----------------------------------------------------------------------------


def _before(lake: Lake, run_id: str, wanted: Mapping[str, Any]) -> dict[str, tuple[str, Mapping[str, Any]]]:
    """Per table the newest earlier run with summaries of it, and these; among the last few runs only."""
    found: dict[str, tuple[str, Mapping[str, Any]]] = {}
    for earlier in [name for name in run_ids(lake) if name < run_id][:_EARLIER_RUNS]:
        if set(wanted) <= set(found):
            break
        drift = json.loads(lake.store.read(record_key(earlier))).get("drift", {})
        for name in wanted:
            if name not in found and drift.get(name, {}).get("features"):
                found[name] = (earlier, drift[name]["features"])
    return found
