"""What runs together in one job, and in which wave: the grouping behind a plan.

Stages of one session that share their input are fused, so that it is read once. Sessions of a table that continues
itself are strung together, because each needs the one before. Neither ever changes a value; and neither may turn the
plan into a circle or make sessions wait for each other that need not.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from raypipe.pipeline.nodes import Node, Nodes

__all__ = ["Units", "in_stage_order"]

Key = tuple[str, str]


@dataclass(slots=True)
class _Trace:
    """What stands behind a node, by word of fusion.

    Attributes
    ----------
    rank
        Least number that a group of the node's own partition may have, to come after all that the node needs of it.
    words
        Words of the groups, of any partition, that the node belongs to or needs.
    other
        Words of the groups of other partitions that the node needs.
    """

    rank: dict[str, int] = field(default_factory=dict)
    words: set[str] = field(default_factory=set)
    other: set[str] = field(default_factory=set)


class Units:
    """Targets that run in one job, and the wave of each.

    Parameters
    ----------
    nodes
        The nodes of the plan.
    chosen
        Those that are built.

    Attributes
    ----------
    members
        Nodes of each unit, in the order in which they are built.
    """

    def __init__(self, nodes: Nodes, chosen: Mapping[Key, Node]) -> None:
        self._nodes, self._chosen = nodes, chosen
        self._traces: dict[Key, _Trace] = {}
        self._unit: dict[Key, Key] = {}
        self._levels: dict[Key, int] = {}
        self.members: dict[Key, list[Node]] = defaultdict(list)
        strung: dict[str, int] = defaultdict(int)
        for node in in_stage_order(nodes, chosen):
            key, view = (node.table, node.partition), nodes.view(node.table)
            unit = self._fused(node, view.stage.fuse)
            if view.continues:
                unit = (node.table, f"string {strung[node.table] // max(view.stage.chunk, 1)}")
                strung[node.table] += 1
            self._unit[key] = unit
            self.members[unit].append(node)

    def _fused(self, node: Node, word: str) -> Key:
        """The group that a node joins, or the node alone.

        A group in which a member needs another through a table outside of it is cut in two there. A node that
        needs the same group of another session stays alone: sessions would otherwise wait for each other.
        """
        trace = self._traces[node.table, node.partition] = self._behind(node)
        unit = (node.table, node.partition)
        if word and word not in trace.other:
            unit = (f"fuse:{word}:{trace.rank.setdefault(word, 0)}", node.partition)
            trace.words.add(word)
        return unit

    def _behind(self, node: Node) -> _Trace:
        found = _Trace()
        own = self._nodes.view(node.table).stage.fuse
        for key in self._inputs(node):
            trace, unit = self._traces[key], self._unit[key][0]
            found.words |= trace.words
            found.other |= trace.other if key[1] == node.partition else trace.other | trace.words
            if key[1] != node.partition:
                continue
            for word, rank in trace.rank.items():
                leaves = word != own and unit.startswith(f"fuse:{word}:")
                found.rank[word] = max(found.rank.get(word, 0), rank + leaves)
        return found

    def _inputs(self, node: Node) -> Iterable[Key]:
        """Inputs of a node that are built too."""
        keys = ((table, ref.partition) for table, refs in node.refs.items() for ref in refs)
        return (key for key in keys if key in self._chosen)

    def level(self, unit: Key) -> int:
        """The wave of a unit: one more than the latest of its inputs."""
        if unit not in self._levels:
            inputs = {self._unit[key] for node in self.members[unit] for key in self._inputs(node)}
            self._levels[unit] = max((self.level(i) + 1 for i in inputs if i != unit), default=0)
        return self._levels[unit]


def in_stage_order(nodes: Nodes, chosen: Mapping[Key, Node]) -> Iterable[Node]:
    """Nodes by stage, each after all that it reads, and then by partition."""
    order = {table: i for i, table in enumerate(nodes.tables())}
    return (chosen[key] for key in sorted(chosen, key=lambda key: (order[key[0]], key[1])))
