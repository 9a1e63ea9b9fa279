"""The state of every partition: current, stale and why, missing, blocked or pending.

A node is one partition of one stage with the history that it would have if it were built now. Nodes are
resolved on demand and once; resolving reads footers, receipts and listings, never data.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from raypipe.calendar import Calendar, calendar
from raypipe.errors import PartitionError
from raypipe.lake.manifest import InputSummary, Manifest
from raypipe.lake.store import Lake
from raypipe.pipeline.daily_index import names_of
from raypipe.pipeline.fingerprint import fingerprint, params_digest, summarise
from raypipe.pipeline.job import InputRef, Span
from raypipe.pipeline.raw import SYMBOL_RAW, RawIndex, sources_of
from raypipe.pipeline.stages import Stage
from raypipe.schema.family import Params, Read
from raypipe.schema.spec import Table

__all__ = ["ONCE", "Node", "Nodes", "State"]

State = Literal["current", "stale", "missing", "blocked", "pending"]
ONCE = "all"


@dataclass(frozen=True, slots=True)
class Node:
    """One partition of one stage.

    ``buildable`` is what a plan may schedule; ``reason`` says why a node is not current.
    """

    stage: str
    table: str
    partition: str
    state: State
    reason: str = ""
    fingerprint: str = ""
    inputs: Mapping[str, InputSummary] = field(default_factory=dict)
    needs: tuple[Span, ...] = ()
    refs: Mapping[str, tuple[InputRef, ...]] = field(default_factory=dict)

    @property
    def buildable(self) -> bool:
        """Whether it can and should be built."""
        return self.state in ("stale", "missing")

    @property
    def exists(self) -> bool:
        """Whether it is there, or will be once it was built."""
        return self.state in ("current", "stale", "missing")


class _StageView:
    """One stage under fixed parameters: its table, digests, reads and stored manifests."""

    def __init__(self, stage: Stage, params: Params, lake: Lake) -> None:
        self.stage, self.params, self._lake = stage, params, lake
        self.table: Table = stage.table(params)
        self.reads: tuple[Read, ...] = stage.reads(params)
        self.params_digest = params_digest(params)
        self.schema_digest = self.table.digest
        self.continues = stage.continues(params)

    @cached_property
    def partitions(self) -> frozenset[str]:
        """What the lake holds, from one listing."""
        return frozenset(self._lake.partitions(self.table))

    def stored(self, partition: str) -> Manifest | PartitionError | None:
        """The footer of a partition: read when asked for, so that planning one session costs one session."""
        if partition not in self.partitions:
            return None
        if not self._lake.location.is_local:
            return self._all.get(partition)
        try:
            return self._lake.manifest(self.table, partition)
        except PartitionError as error:
            return error

    @cached_property
    def _all(self) -> dict[str, Manifest | PartitionError]:
        """All footers at once: over a network many requests in flight cost as much as a few."""
        return self._lake.manifests(self.table)


class Nodes:
    """Resolves nodes over one lake and one configuration.

    Parameters
    ----------
    lake
        The lake.
    params
        Parameters of every stage, by stage name.
    stages
        Every stage, in order.
    allow_holes
        Whether a session missing inside a warm-up window is skipped instead of blocking.
    """

    def __init__(
        self, lake: Lake, params: Mapping[str, Params], stages: Sequence[Stage], *, allow_holes: bool = False
    ) -> None:
        self.raw = RawIndex(lake, sources_of(params.values()), names_of(params.values()))
        self._views = {
            stage.table(params[stage.name]).name: _StageView(stage, params[stage.name], lake) for stage in stages
        }
        self._allow_holes = allow_holes
        self._nodes: dict[tuple[str, str], Node] = {}
        self._available: dict[str, list[str]] = {}
        self._sets: dict[str, frozenset[str]] = {}
        self._weights: dict[str, float] = {}
        self._calendar: Calendar = calendar()

    def view(self, table: str) -> _StageView:
        """The stage that writes a table, under this configuration."""
        return self._views[table]

    def tables(self) -> list[str]:
        """Names of all tables, in stage order."""
        return list(self._views)

    def cost(self, table: str) -> float:
        """Projected CPU seconds of one partition: the stage's, for sessions as large as those of this lake."""
        return self._views[table].stage.cost * self._weight(table)

    def _weight(self, table: str) -> float:
        """The largest of the raw inputs that a table comes from, against a full market."""
        if table not in self._weights:
            self._weights[table] = 0.0  # a table that reads itself adds nothing to its own size
            reads = [read.table for read in self._views[table].reads if not self._is_once(read.table)]
            found = [self.raw.weight(one) if one.startswith("raw/") else self._weight(one) for one in reads]
            self._weights[table] = max(found, default=1.0)
        return self._weights[table]

    # --- which partitions there are -------------------------------------------------------------

    def available(self, table: str) -> list[str]:
        """Partitions of a table that exist or could be built, sorted."""
        if table not in self._available:
            self._available[table] = sorted(self._find_available(table))
        return self._available[table]

    def _find_available(self, table: str) -> set[str]:
        if table.startswith("raw/"):
            return set(self.raw.partitions(table))
        if table not in self._views:
            return set()  # switched off
        view = self._views[table]
        own = [read for read in view.reads if read.own and not self._is_once(read.table)]
        required = [set(self.available(read.table)) for read in own if not read.optional]
        optional = [set(self.available(read.table)) for read in own if read.optional]
        found = set.intersection(*required) if required else set[str]().union(*optional)
        if view.table.grain == "week":
            found = {_monday(day) for day in found}
        if view.table.grain == "once" and found:
            found = {ONCE}
        return found | view.partitions

    def _is_once(self, table: str) -> bool:
        return table in self._views and self._views[table].table.grain == "once"

    # --- one node -------------------------------------------------------------------------------

    def node(self, table: str, partition: str) -> Node:
        """The node of a partition."""
        key = (table, partition)
        if key not in self._nodes:
            if table in self._views and self._views[table].continues:
                self._resolve_before(table, partition)
            self._nodes[key] = self._raw_node(*key) if table.startswith("raw/") else self._resolve(*key)
        return self._nodes[key]

    def _resolve_before(self, table: str, partition: str) -> None:
        """Resolve from the first partition on: from the last one back, a long history would exhaust the stack."""
        for earlier in self.available(table):
            if earlier >= partition:
                break
            if (table, earlier) not in self._nodes:
                self._nodes[table, earlier] = self._resolve(table, earlier)

    def _raw_node(self, table: str, partition: str) -> Node:
        file = self.raw.get(table, partition)
        if file is None:
            return Node(table, table, partition, "blocked", f"no file of {partition} in {table}")
        return Node(table, table, partition, "current", fingerprint=file.sha256)

    def _resolve(self, table: str, partition: str) -> Node:
        view = self._views[table]
        stored = view.stored(partition)
        if self._is_orphan(view, partition) and isinstance(stored, Manifest):
            reason = "its inputs are gone" if view.stage.stands else "raw file gone"
            return Node(view.stage.name, table, partition, "current", reason, stored.fingerprint)
        refs: dict[str, tuple[InputRef, ...]] = {}
        for read in view.reads:
            problem = self._add_refs(refs, view, read, partition)
            if problem:
                state: State = "pending" if problem.startswith("waits for") else "blocked"
                return Node(view.stage.name, table, partition, state, problem)
        if not refs:
            return Node(view.stage.name, table, partition, "blocked", "none of its inputs exists")
        inputs = {name: summarise(found) for name, found in refs.items()}
        needs = tuple(Span(name, found[0].partition, found[-1].partition) for name, found in refs.items())
        expected = fingerprint(view.stage.name, view.stage.version, view.params_digest, view.schema_digest, inputs)
        state, reason = _compare(view, stored, expected, inputs)
        return Node(view.stage.name, table, partition, state, reason, expected, inputs, needs, refs)

    def _is_orphan(self, view: _StageView, partition: str) -> bool:
        """Bronze whose raw file was deleted after it was built, and what is kept for later sessions: they stand."""
        if view.stage.stands:
            return not any(partition in self._have(read.table) for read in view.reads if read.own)
        return all(r.table.startswith("raw/") and self.raw.get(r.table, partition) is None for r in view.reads)

    def _add_refs(self, refs: dict[str, tuple[InputRef, ...]], view: _StageView, read: Read, partition: str) -> str:
        if self._as_a_whole(view, read.table):
            return self._whole_refs(refs, view, read, partition)
        if self._is_once(read.table) or view.table.grain == "once":
            return self._once_refs(refs, view, read, partition)
        if read.unless and partition in set(self.available(read.unless)):
            return ""
        wanted, problem = self._wanted(view, read, partition)
        if problem:
            return problem
        found = []
        for key in wanted:
            node = self.node(read.table, key)
            if not node.exists:
                # A table that continues itself would otherwise tell of every session since.
                own = read.table == view.table.name
                return node.reason if own else f"{read.table} {key} is {node.state}: {node.reason}"
            found.append(InputRef(key, node.fingerprint))
        if found:
            merged = {ref.partition: ref for ref in (*refs.get(read.table, ()), *found)}
            refs[read.table] = tuple(merged[key] for key in sorted(merged))
        return ""

    def _as_a_whole(self, view: _StageView, table: str) -> bool:
        """Whether partitions are read without a window: a symbol's own, or all of a table for one that is one file."""
        of_symbols = table in SYMBOL_RAW or self._grain(table) == "symbol"
        if view.table.grain == "once":
            return of_symbols or self._grain(table) == "session"
        return of_symbols and view.table.grain == "symbol"

    def _grain(self, table: str) -> str:
        return self._views[table].table.grain if table in self._views else ""

    def _whole_refs(self, refs: dict[str, tuple[InputRef, ...]], view: _StageView, read: Read, partition: str) -> str:
        """The symbol's own partition; for a table that is one file, those of all symbols, or of all sessions."""
        keys = self.available(read.table) if view.table.grain == "once" else [partition]
        found = [self.node(read.table, key) for key in keys if key in self._have(read.table)]
        bad = next((node for node in found if not node.exists), None)
        if bad:
            return f"{read.table} {bad.partition} is {bad.state}: {bad.reason}"
        if found:
            refs[read.table] = tuple(InputRef(node.partition, node.fingerprint) for node in found)
        return "" if found or read.optional else f"{read.table} {partition} missing"

    def _once_refs(self, refs: dict[str, tuple[InputRef, ...]], view: _StageView, read: Read, partition: str) -> str:
        node = self.node(read.table, ONCE)
        if not node.exists:
            return "" if read.optional else f"{read.table} is {node.state}: {node.reason}"
        digest = node.fingerprint
        if read.rows is not None:
            first, last = self._window(view, partition)
            digest = self.raw.once_digest(self._views[read.table].table, read.rows, first, last)
        refs[read.table] = (InputRef(ONCE, digest),)
        return ""

    def _window(self, view: _StageView, partition: str) -> tuple[dt.date, dt.date]:
        """First and last session that a partition's reads cover."""
        own = self._own(view, partition)
        before = max((read.before for read in view.reads), default=0)
        return self._calendar.offset(own[0], -before), own[-1]

    def _own(self, view: _StageView, partition: str) -> list[dt.date]:
        date = dt.date.fromisoformat(partition)
        return self._calendar.week(date) if view.table.grain == "week" else [date]

    def _wanted(self, view: _StageView, read: Read, partition: str) -> tuple[list[str], str]:
        """Partitions that a read covers, or why it cannot be satisfied."""
        own = self._own(view, partition)
        have = self._have(read.table)
        first = self.available(read.table)[0] if have else ""
        wanted, holes = [], []
        start = self._calendar.offset(own[0], -read.before)
        for day in self._calendar.dates(start, own[0])[: read.before] if read.before else []:
            key = day.isoformat()
            if key in have:
                wanted.append(key)
            elif first and key > first:
                holes.append(key)
        if holes and not self._allow_holes:
            return [], f"{read.table} {holes[-1]} missing"
        if read.own:
            mine = [day.isoformat() for day in own if day.isoformat() in have]
            if not mine and not read.optional:
                return [], f"{read.table} {partition} missing"
            wanted += mine
        return self._after(wanted, read, own, have)

    def _after(self, wanted: list[str], read: Read, own: list[dt.date], have: frozenset[str]) -> tuple[list[str], str]:
        for step in range(1, read.after + 1):
            key = self._calendar.offset(own[-1], step).isoformat()
            if key not in have:
                return [], f"waits for {read.table} {key}"
            wanted.append(key)
        return wanted, ""

    def _have(self, table: str) -> frozenset[str]:
        if table not in self._sets:
            self._sets[table] = frozenset(self.available(table))
        return self._sets[table]


def _compare(
    view: _StageView, stored: Manifest | PartitionError | None, expected: str, inputs: Mapping[str, InputSummary]
) -> tuple[State, str]:
    if stored is None:
        return "missing", "missing"
    if isinstance(stored, PartitionError):
        return "stale", f"damaged: {stored.message}"
    if stored.fingerprint == expected:
        return "current", ""
    if stored.version != view.stage.version:
        return "stale", f"code version {stored.version} -> {view.stage.version}"
    if stored.schema != view.schema_digest:
        return "stale", "schema changed"
    if stored.params != view.params_digest:
        return "stale", "params changed"
    return "stale", f"input changed: {_changed(stored.inputs, inputs)}"


def _changed(old: Mapping[str, InputSummary], new: Mapping[str, InputSummary]) -> str:
    names = [name for name in sorted({*old, *new}) if old.get(name) != new.get(name)]
    return ", ".join(f"{name} ({_difference(old.get(name), new.get(name))})" for name in names) or "order"


def _difference(old: InputSummary | None, new: InputSummary | None) -> str:
    if old is None:
        return "new"
    if new is None:
        return "gone"
    if (old.first, old.last, old.count) == (new.first, new.last, new.count):
        return "content"
    return f"{old.count} -> {new.count} partitions"


def _monday(key: str) -> str:
    day = dt.date.fromisoformat(key)
    return (day - dt.timedelta(days=day.weekday())).isoformat()
