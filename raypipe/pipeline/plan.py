"""The plan: every partition of a request, why it is built or not, and the jobs that build it.

Planning is pure: it reads footers, receipts and listings and changes nothing. It happens once, on the driver;
workers never plan. Jobs come in waves: a wave needs only what earlier waves built, and its jobs may start before those
have ended (`Schedule`).
"""

from __future__ import annotations

import datetime as dt
import itertools
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from raypipe.errors import UsageError
from raypipe.lake.store import Lake
from raypipe.pipeline.job import InputRef, Job, Target
from raypipe.pipeline.nodes import ONCE, Node, Nodes
from raypipe.pipeline.stages import Stage, enabled_stages, stages
from raypipe.pipeline.units import Units, in_stage_order
from raypipe.schema.family import Params, linked

__all__ = ["Plan", "PlannedItem", "Request", "make_job", "make_plan"]

#: Projected CPU seconds below which units of a session each are joined, if enough jobs stay for every worker.
LEAST_JOB_COST = 1.0
LEAST_JOBS_PER_WORKER = 4


@dataclass(frozen=True, slots=True)
class Request:
    """What the user asked for.

    Attributes
    ----------
    start, end
        First and last session wanted; None means as far as there is data.
    steps
        Step names; empty means all.
    items
        Exactly these (table, partition) pairs, as a retry names them; None means all in range.
    force
        Build what is current too.
    only
        Do not pull stale inputs of other steps.
    allow_holes
        Let a warm-up window miss sessions.
    """

    start: dt.date | None = None
    end: dt.date | None = None
    steps: tuple[str, ...] = ()
    items: frozenset[tuple[str, str]] | None = None
    force: bool = False
    only: bool = False
    allow_holes: bool = False

    def wants(self, table: str, partition: str, *, dated: bool = True) -> bool:
        """Whether a partition lies in the request; one that is not a date lies in every range."""
        if self.items is not None:
            return (table, partition) in self.items
        if partition == ONCE or not dated:
            return True
        day = dt.date.fromisoformat(partition)
        return not (self.start and day < self.start) and not (self.end and day > self.end)


@dataclass(frozen=True, slots=True)
class PlannedItem:
    """One partition of the plan; ``state`` as in `Node`."""

    stage: str
    step: str
    table: str
    partition: str
    state: str
    reason: str
    cost: float


@dataclass(frozen=True, slots=True)
class Plan:
    """Items in stage order, and the jobs of each wave, costliest first."""

    items: tuple[PlannedItem, ...]
    waves: tuple[tuple[Job, ...], ...]

    @property
    def to_build(self) -> tuple[PlannedItem, ...]:
        """The items that jobs will build."""
        return tuple(item for item in self.items if item.state in ("stale", "missing"))

    @property
    def blocked(self) -> tuple[PlannedItem, ...]:
        """The items that cannot be built."""
        return tuple(item for item in self.items if item.state == "blocked")

    @property
    def cost(self) -> float:
        """Projected CPU seconds."""
        return sum(job.cost for wave in self.waves for job in wave)

    def counts(self) -> dict[str, dict[str, int]]:
        """Per table, how many items are in each state."""
        found: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        for item in self.items:
            found[item.table][item.state] += 1
        return {table: dict(states) for table, states in found.items()}


def make_plan(lake: Lake, params: Mapping[str, Params], request: Request, *, workers: int = 1) -> Plan:
    """Compare what a request wants with what the lake holds.

    Parameters
    ----------
    lake, params
        The lake, and the parameters of every stage by stage name.
    request
        What is wanted.
    workers
        How many workers will share the jobs; shapes chunks, never values.

    Raises
    ------
    UsageError
        If a step is unknown, or ``only`` forbids an input that is needed.
    """
    _check_steps(request)
    params = linked(params)
    nodes = Nodes(lake, params, enabled_stages(params), allow_holes=request.allow_holes)
    wanted = _wanted(nodes, request)
    chosen = _with_inputs(nodes, wanted, request)
    items = tuple(_item(nodes, node, request, wanted) for node in in_stage_order(nodes, {**chosen, **wanted}))
    return Plan(items, _waves(lake, nodes, chosen, params, workers))


def _check_steps(request: Request) -> None:
    known = sorted({stage.step for stage in stages()})
    unknown = [step for step in request.steps if step not in known]
    if unknown:
        msg = f"unknown step {unknown[0]!r}"
        raise UsageError(msg, hint=f"steps are {', '.join(known)}")


def _wanted(nodes: Nodes, request: Request) -> dict[tuple[str, str], Node]:
    """Every node inside the request."""
    found = {}
    bounds = _week_bounds(request)
    for table in nodes.tables():
        view = nodes.view(table)
        if request.steps and view.stage.step not in request.steps:
            continue
        scope = bounds if view.table.grain == "week" else request
        for partition in nodes.available(table):
            if scope.wants(table, partition, dated=view.table.grain in ("session", "week")):
                found[table, partition] = nodes.node(table, partition)
    return found


def _week_bounds(request: Request) -> Request:
    """Weekly partitions are named by their Monday, which may lie before the first session wanted."""
    monday = request.start - dt.timedelta(days=request.start.weekday()) if request.start else None
    return Request(start=monday, end=request.end, items=request.items)


def _with_inputs(nodes: Nodes, wanted: Mapping[tuple[str, str], Node], request: Request) -> dict[tuple[str, str], Node]:
    """The nodes to build: those wanted, and every input of theirs that is not current."""
    chosen: dict[tuple[str, str], Node] = {}
    todo = [key for key, node in wanted.items() if node.buildable or (request.force and node.state == "current")]
    while todo:
        key = todo.pop()
        if key in chosen:
            continue
        node = chosen[key] = nodes.node(*key)
        for table, refs in node.refs.items():
            inputs = [(table, ref.partition) for ref in refs if nodes.node(table, ref.partition).buildable]
            if request.only and [i for i in inputs if i not in wanted]:
                msg = f"{node.table} {node.partition} needs {table} {inputs[0][1]}, which is not current"
                raise UsageError(msg, hint="drop --only, or build that step first")
            todo += inputs
    return {key: node for key, node in chosen.items() if node.fingerprint and node.refs}


def _item(nodes: Nodes, node: Node, request: Request, wanted: Mapping[tuple[str, str], Node]) -> PlannedItem:
    stage = nodes.view(node.table).stage
    forced = request.force and node.state == "current" and (node.table, node.partition) in wanted and node.refs
    state, reason = ("stale", "forced") if forced else (node.state, node.reason)
    return PlannedItem(node.stage, stage.step, node.table, node.partition, state, reason, nodes.cost(node.table))


# --- jobs --------------------------------------------------------------------------------------


def _waves(
    lake: Lake,
    nodes: Nodes,
    chosen: Mapping[tuple[str, str], Node],
    params: Mapping[str, Params],
    workers: int,
) -> tuple[tuple[Job, ...], ...]:
    units = Units(nodes, chosen)
    waves: dict[int, dict[tuple[str, ...], list[list[Node]]]] = defaultdict(lambda: defaultdict(list))
    for unit, members in units.members.items():
        waves[units.level(unit)][tuple(node.table for node in members)].append(members)
    plain = {name: p.model_dump(mode="json") for name, p in params.items()}
    made = []
    for level in sorted(waves):
        jobs = []
        for groups in waves[level].values():
            groups.sort(key=lambda members: members[0].partition)
            shares = _shares(groups, _jobs(nodes, groups, workers))
            jobs += [make_job(lake, nodes, [node for group in share for node in group], plain) for share in shares]
        made.append(tuple(sorted(jobs, key=lambda job: -job.cost)))
    return tuple(made)


def _jobs(nodes: Nodes, groups: list[list[Node]], workers: int) -> int:
    """How many jobs share some units: as few as the stage allows, and enough for all workers.

    A job costs its executor some 15 ms however little it does, so units that cost little are joined too.
    """
    allowed = max(nodes.view(node.table).stage.chunk for node in groups[0])
    if allowed > 1:
        return max(-(-len(groups) // allowed), min(workers, len(groups)))
    cost = sum(nodes.cost(node.table) for group in groups for node in group)
    wanted = max(cost / LEAST_JOB_COST, LEAST_JOBS_PER_WORKER * workers)
    return min(len(groups), workers * -(-int(wanted) // workers))


def _shares(groups: list[list[Node]], jobs: int) -> list[list[list[Node]]]:
    """Consecutive units in so many shares, as even as can be."""
    borders = [len(groups) * i // jobs for i in range(jobs + 1)]
    return [groups[first:last] for first, last in itertools.pairwise(borders)]


def make_job(lake: Lake, nodes: Nodes, members: Sequence[Node], params: Mapping[str, Mapping[str, Any]]) -> Job:
    """The job that builds some nodes, in order; ``params`` are plain values by stage name."""
    refs: dict[str, dict[str, InputRef]] = defaultdict(dict)
    for node in members:
        for table, found in node.refs.items():
            refs[table].update({ref.partition: _stored(nodes, table, ref) for ref in found})
    return Job(
        location=lake.location,
        targets=tuple(_target(node) for node in members),
        params=params,
        inputs={table: tuple(found[key] for key in sorted(found)) for table, found in refs.items()},
        cost=sum(nodes.cost(node.table) for node in members),
        memory=max(nodes.view(node.table).stage.memory for node in members),
    )


def _stored(nodes: Nodes, table: str, ref: InputRef) -> InputRef:
    """What a worker will find in the footer; slices of a once-table have a digest of their own."""
    return InputRef(ONCE, nodes.node(table, ONCE).fingerprint) if ref.partition == ONCE else ref


def _target(node: Node) -> Target:
    reason = node.reason if node.buildable else "forced"
    return Target(node.stage, node.table, node.partition, node.fingerprint, reason, node.inputs, node.needs)


def stage_tables(params: Mapping[str, Params]) -> dict[str, Stage]:
    """The stage of every table under these parameters, in stage order."""
    return {stage.table(params[stage.name]).name: stage for stage in stages()}
