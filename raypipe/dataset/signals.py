"""Touches with what was known of each and what came after it: one row per touch, joined on its id.

Nothing is computed here. A touch without features or labels, or features of no touch, means that the tables do not
belong together: the session fails rather than lose or repeat a row.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc

from raypipe.calendar import NS_PER_MINUTE, Session
from raypipe.errors import PartitionError
from raypipe.schema.discovery import Catalog
from raypipe.schema.family import Family, Finding, Inputs, Read, Result
from raypipe.schema.signals import SignalsParams
from raypipe.schema.spec import Column, Known, Role, Table
from raypipe.schema.tables import SESSION
from raypipe.schema.touches import TOUCHES

__all__ = ["FAMILY", "family_of"]

#: Families that add columns to touches, in the order of their columns.
_BESIDE = ("signal_features", "signal_labels")
_EVENT_ID = "event_id"
#: Models are told four roles; of the key, what a level is and where it lies may be learned from.
_ROLES: dict[Role, Role] = {"key": "id", "time": "id", "meta": "id"}
_LEARNABLE = ("level_kind", "level_price")
#: Groups of features whose columns come before those of others.
_FIRST = ("barrier", "tape", "fuel", "dealer_flow")
_TS_ALIAS = replace(TOUCHES["ts_ns"], name="ts_event_ns", alias_of="ts_ns", doc="ts_ns.")


def family_of(catalog: Catalog) -> Family:
    """The family, whose columns are those of touches, of their features and of their labels.

    Parameters
    ----------
    catalog
        All other families by name.
    """
    beside = tuple(catalog[name].table(catalog[name].params()) for name in _BESIDE)
    whole, plain = (_Joined(beside, _table(beside, aliases=aliases)) for aliases in (True, False))
    return Family(
        name="signals",
        version=1,
        params=SignalsParams,
        table=lambda one: (whole if one.output.aliases else plain).table,
        requires=lambda _: tuple(Read(table.name) for table in (TOUCHES, *beside)),
        compute=lambda inputs, one: (whole if one.output.aliases else plain).compute(inputs),
        step="signals",
        cost=0.05,
        fuse="signals",
    )


# --- the table ---------------------------------------------------------------------------------


def _table(beside: tuple[Table, ...], *, aliases: bool) -> Table:
    told = (_as_told(column) for column in (SESSION, *_columns(beside)))
    columns = tuple(column for column in told if aliases or not column.alias_of)
    return Table(
        "gold/signals",
        key=TOUCHES.key,
        grain="session",
        columns=columns,
        doc="Touches of levels with what was known of each, and labels; read columns by role.",
        floats="split",
        compression=3,
        known=Known("label_end_ns_8min", plus_ns=NS_PER_MINUTE),
    )


def _columns(beside: tuple[Table, ...]) -> Iterator[Column]:
    for column in TOUCHES.columns[1:]:
        yield replace(column, group="touch")
        if column.name == _TS_ALIAS.alias_of:
            yield replace(_TS_ALIAS, group="touch")
    for table in beside:
        own = [column for column in table.columns if column.name not in TOUCHES]
        yield from sorted(own, key=lambda column: column.group not in _FIRST)


def _as_told(column: Column) -> Column:
    if column.name in _LEARNABLE:
        return replace(column, role="feature")
    group = "labels" if column.role == "label" else column.group
    return replace(column, role=_ROLES.get(column.role, column.role), group=group)


# --- rows --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Joined:
    """The tables joined to touches, and the table that comes of it."""

    beside: tuple[Table, ...]
    table: Table

    def compute(self, inputs: Inputs) -> Result:
        """The rows of all targets, and a warning for each session without a touch."""
        built = [(target, self._session(inputs, target)) for target in inputs.targets]
        none = [target for target, rows in built if not rows.num_rows]
        findings = tuple(
            Finding("no_touches", "no level was touched in regular hours", partition=target.key) for target in none
        )
        parts = [self.table.empty(), *(rows for _, rows in built)]
        return Result(pa.concat_tables(parts).unify_dictionaries(), findings, self._facts())

    def _facts(self) -> dict[str, str]:
        roles = {column.name: column.role for column in self.table.columns}
        return {"roles": json.dumps(roles, separators=(",", ":"))}

    def _session(self, inputs: Inputs, target: Session) -> pa.Table:
        touches = inputs.partitions(TOUCHES.name)[target.date]
        found = {name: touches[name] for name in TOUCHES.names}
        found[_TS_ALIAS.name] = found[_TS_ALIAS.alias_of]
        for spec in self.beside:
            rows = _rows_of(touches, inputs.partitions(spec.name)[target.date], spec, target.key)
            found |= {name: rows[name] for name in spec.names if name not in TOUCHES}
        return self.table.build({name: found[name] for name in self.table.names})


def _rows_of(touches: pa.Table, others: pa.Table, spec: Table, partition: str) -> pa.Table:
    """The rows of another table in the order of the touches, exactly one for each.

    Raises
    ------
    PartitionError
        If a touch has no row or several, or a row no touch.
    """
    ours, theirs = touches[_EVENT_ID].combine_chunks(), others[_EVENT_ID].combine_chunks()
    if ours.equals(theirs) and len(pc.unique(ours)) == len(ours):
        return others
    place = pc.index_in(ours, value_set=theirs)
    distinct = {name: len(pc.unique(ids)) for name, ids in (("touches", ours), (spec.name, theirs))}
    lost = place.null_count
    if lost or len(ours) != len(theirs) or distinct["touches"] != len(ours) or distinct[spec.name] != len(theirs):
        first = ours.filter(place.is_null())[0].as_py() if lost else None
        msg = (
            f"{len(ours)} touches ({distinct['touches']} ids) meet {len(theirs)} rows of {spec.name} "
            f"({distinct[spec.name]} ids); {lost} touches have none" + (f", the first {first}" if first else "")
        )
        hint = f"build the session again: raypipe signals --dates {partition} --force"
        raise PartitionError(msg, hint=hint, table="gold/signals", partition=partition)
    return others.take(place)


FAMILY = family_of
