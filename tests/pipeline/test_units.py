"""What shares a job and what must not: fused sessions, strung sessions."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from raypipe.pipeline.job import InputRef
from raypipe.pipeline.nodes import Node
from raypipe.pipeline.units import Units

D1, D2, D3 = "2025-01-02", "2025-01-03", "2025-01-06"
BEFORE = {D2: D1, D3: D2}


class Graph:
    """Tables in stage order, each with its inputs: ``name`` of the own session, ``name-1`` of the session before."""

    def __init__(self, **inputs: str) -> None:
        self.inputs = {table: text.split() for table, text in inputs.items()}
        self.fuse: dict[str, str] = {}
        self.chunk = 1

    def fused(self, *tables: str, word: str = "pass") -> Graph:
        self.fuse.update(dict.fromkeys(tables, word))
        return self

    def tables(self) -> list[str]:
        return list(self.inputs)

    def view(self, table: str) -> Any:
        stage = SimpleNamespace(fuse=self.fuse.get(table, ""), chunk=self.chunk)
        return SimpleNamespace(stage=stage, continues=f"{table}-1" in self.inputs[table])

    def node(self, table: str, partition: str) -> Node:
        refs = {}
        for name in self.inputs[table]:
            day = BEFORE.get(partition) if name.endswith("-1") else partition
            if day:
                refs[name.removesuffix("-1")] = (InputRef(day, "x"),)
        return Node(table, table, partition, "missing", refs=refs)

    def units(self, partitions: tuple[str, ...] = (D1, D2, D3)) -> Units:
        return Units(self, {(t, p): self.node(t, p) for t in self.inputs for p in partitions})  # type: ignore[arg-type]


def jobs(units: Units) -> list[tuple[int, list[str]]]:
    """Waves and members of all units, in order."""
    found = [
        (units.level(unit), [f"{n.table} {n.partition[-2:]}" for n in nodes]) for unit, nodes in units.members.items()
    ]
    return sorted(found)


def test_stages_of_one_session_share_a_job():
    graph = Graph(bronze="", day="", minute="bronze day", macd="bronze", join="minute macd")
    graph.fused("bronze", "minute", "macd", "join")
    assert jobs(graph.units((D1,))) == [
        (0, ["day 02"]),
        (1, ["bronze 02", "minute 02", "macd 02", "join 02"]),
    ]


def test_a_group_is_cut_where_it_would_need_itself():
    """Without day files, who a symbol is comes from the minutes themselves."""
    graph = Graph(bronze="", symbols="bronze", minute="bronze symbols", join="minute").fused("bronze", "minute", "join")
    assert jobs(graph.units((D1, D2))) == [
        (0, ["bronze 02"]),
        (0, ["bronze 03"]),
        (1, ["symbols 02"]),
        (1, ["symbols 03"]),
        (2, ["minute 02", "join 02"]),
        (2, ["minute 03", "join 03"]),
    ]


def test_a_group_is_cut_again_and_again():
    graph = Graph(a="", x="a", b="x", y="b", c="y a", d="x").fused("a", "b", "c", "d")
    assert jobs(graph.units((D1,))) == [
        (0, ["a 02"]),
        (1, ["x 02"]),
        (2, ["b 02", "d 02"]),
        (3, ["y 02"]),
        (4, ["c 02"]),
    ]


def test_words_do_not_mix():
    graph = Graph(a="", b="a", c="b").fused("a", "c", word="one").fused("b", word="two")
    assert jobs(graph.units((D1,))) == [(0, ["a 02"]), (1, ["b 02"]), (2, ["c 02"])]


def test_sessions_do_not_wait_for_each_other():
    """A stage that needs another session's group stays out of its own, or the groups would run one by one."""
    graph = Graph(bronze="", minute="bronze", context="minute-1 bronze", late="context").fused(
        "bronze", "minute", "context", "late"
    )
    found = jobs(graph.units())
    assert found[:3] == [
        (0, ["bronze 02", "minute 02", "context 02", "late 02"]),
        (0, ["bronze 03", "minute 03"]),
        (0, ["bronze 06", "minute 06"]),
    ]
    assert (1, ["context 03"]) in found
    assert (2, ["late 06"]) in found


def test_sessions_of_a_table_that_continues_itself_are_strung_together():
    graph = Graph(bronze="", state="state-1 bronze", macd="state-1 bronze").fused("bronze", "macd")
    graph.chunk = 2
    assert jobs(graph.units()) == [
        (0, ["bronze 02", "macd 02"]),
        (0, ["bronze 03"]),
        (0, ["bronze 06"]),
        (1, ["state 02", "state 03"]),
        (2, ["macd 03"]),
        (2, ["macd 06"]),
        (2, ["state 06"]),
    ]
