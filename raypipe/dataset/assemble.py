"""The training set: per event what it is, what was known of it, and, last and apart by role, what came after.

Columns are those of other tables, so nothing is computed here but selections, joins and a few differences. Tables of
whole sessions are joined as of the symbol's last session *before* the event's: a session's own features are complete
only when it is over. Values of a session before a split are put on the event's share basis.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import create_model

from raypipe.calendar import Session
from raypipe.dataset.columns import EVENTS, JOINED, LABELS, ORDER, STATE, DatasetParams, Plan
from raypipe.dataset.previous import Past
from raypipe.schema.discovery import Catalog
from raypipe.schema.events import EVENT_KEY
from raypipe.schema.family import Family, Finding, Inputs, Result, shared
from raypipe.schema.frames import codes_of, floats
from raypipe.schema.spec import Column, Table

__all__ = ["FAMILY", "family_of"]


def family_of(catalog: Catalog) -> Family:
    """The family, whose columns and sections are those of the families that it joins.

    Parameters
    ----------
    catalog
        All other families by name.
    """
    sections: dict[str, Any] = {
        name: (catalog[name].params, shared(name, catalog[name].params)) for name in (EVENTS, STATE, LABELS, *JOINED)
    }
    params = create_model("DatasetParams", __base__=DatasetParams, __module__=__name__, **sections)
    return Family(
        name="dataset",
        version=1,
        params=params,
        table=lambda one: Plan(catalog, one).table,
        requires=lambda one: Plan(catalog, one).reads,
        compute=lambda inputs, one: _compute(inputs, Plan(catalog, one)),
        step="training",
        cost=0.3,
    )


# --- rows --------------------------------------------------------------------------------------


def _compute(inputs: Inputs, plan: Plan) -> Result:
    spec = plan.table
    built = [_session(spec, inputs, target, plan) for target in inputs.targets]
    findings = tuple(finding for _, found in built for finding in found)
    return Result(pa.concat_tables([spec.empty(), *(part for part, _ in built)]), findings, plan.facts)


def _session(spec: Table, inputs: Inputs, target: Session, plan: Plan) -> tuple[pa.Table, list[Finding]]:
    events, state, labels = (inputs.partitions(plan.spec(n).name)[target.date] for n in (EVENTS, STATE, LABELS))
    names, (codes,) = codes_of([events["symbol"]])
    past = Past(inputs, target, names, plan)
    place = _rows_beside(events, labels)
    labeled = labels[plan.primary_label].is_valid().take(pa.array(place, mask=place < 0)).fill_null(False)
    chosen = _Chosen(past.in_universe()[codes], past.in_price_range()[codes], labeled.to_numpy(), plan.params)
    rows = np.flatnonzero(chosen.kept)
    rows = rows[_order(events.take(rows))]
    label_rows, kept = place[rows], events.take(rows)
    columns = {name: kept[name] for name in plan.spec(EVENTS).names}
    columns |= _differences(kept)
    columns |= _columns(state.take(_rows_beside(kept, state)), plan.beside(STATE))
    columns |= past.columns(codes[rows])
    columns |= _columns(labels.take(pa.array(label_rows, mask=label_rows < 0)), plan.beside(LABELS))
    return spec.build(columns), chosen.findings(target)


def _columns(rows: pa.Table, columns: tuple[Column, ...]) -> dict[str, pa.ChunkedArray]:
    return {column.name: rows[column.name] for column in columns}


def _differences(events: pa.Table) -> dict[str, pa.Array]:
    hist = floats(events["hist"])
    absolute = {f"{name}_abs": pa.array(np.abs(floats(events[name]))) for name in ("hist", "macd", "signal")}
    return {"hist_momentum": pa.array(hist - floats(events["hist_prev"])), **absolute}


@dataclass(frozen=True, slots=True)
class _Chosen:
    """Which events are kept, and why others are not; bool (events,) each."""

    in_universe: np.ndarray
    in_range: np.ndarray
    labeled: np.ndarray
    params: DatasetParams

    @property
    def kept(self) -> np.ndarray:
        chosen: np.ndarray = self.in_universe & self.in_range & (self.labeled | (not self.params.drop_unlabeled))
        return chosen

    def findings(self, target: Session) -> list[Finding]:
        """How many events were left out, each counted once."""
        inside = self.in_universe & self.in_range
        out = {
            "not_in_universe": ("events of symbols that are not in the universe", ~self.in_universe),
            "outside_price_range": ("events whose previous close is out of range", self.in_universe & ~self.in_range),
            "unlabeled": ("events without an entry", inside & ~self.kept),
        }
        return [
            Finding(kind, f"{message} were left out", int(mask.sum()), level="info", partition=target.key)
            for kind, (message, mask) in out.items()
            if mask.any()
        ]


# --- keys --------------------------------------------------------------------------------------


def _order(events: pa.Table) -> np.ndarray:
    """Order of rows by `ORDER`."""
    words = [codes_of([events[name]])[1][0] for name in reversed(ORDER[1:])]
    return np.lexsort((*words, events["decision_ns"].to_numpy()))


def _rows_beside(events: pa.Table, others: pa.Table) -> np.ndarray:
    """Row of each event in another table of events; -1 where it is missing. int64 (events,)."""
    left, right = np.zeros(events.num_rows, np.int64), np.zeros(others.num_rows, np.int64)
    for name in EVENT_KEY:
        if name == "decision_ns":
            ours, theirs = events[name].to_numpy(), others[name].to_numpy()
            _, both = np.unique(np.concatenate([ours, theirs]), return_inverse=True)
            count, ours, theirs = int(both.max(initial=0)) + 1, both[: len(ours)], both[len(ours) :]
        else:
            words, (ours, theirs) = codes_of([events[name], others[name]])
            count = max(len(words), 1)
        left, right = left * count + ours, right * count + theirs
    # Rows of tables are in the order of their keys.
    found = np.searchsorted(right, left)
    same = np.append(right, -1)[found] == left
    return np.where(same, found, -1)


FAMILY = family_of
