"""Stored partitions made again in memory."""

from __future__ import annotations

import pyarrow as pa
import pytest

from raypipe.config import load_config
from raypipe.errors import PartitionError, SourceError
from raypipe.pipeline.plan import Request
from raypipe.pipeline.replay import Replay
from tests.pipeline.test_plan import run


@pytest.fixture
def lake(copy_built):
    return copy_built("symbols", "daily")


@pytest.fixture
def replay(lake):
    return Replay(load_config(None, env={}, flags={"lake.root": lake.location.root}))


@pytest.mark.parametrize("name", ["bronze/day_aggs", "silver/symbol_types", "silver/daily", "silver/weekly"])
def test_partitions_come_out_as_they_are_stored(replay, name):
    partitions = replay.partitions(name)[-3:]
    for together in (partitions, partitions[:1]):
        made = replay.rebuild(name, together).rows()
        for key, table in zip(together, made, strict=True):
            assert table.equals(replay.stored(name, key)) or _plain(table) == _plain(replay.stored(name, key))


def _plain(table: pa.Table) -> list[dict[str, object]]:
    found: list[dict[str, object]] = table.to_pylist()
    return found


def test_what_there_is(replay):
    assert replay.is_source("bronze/day_aggs")
    assert not replay.is_source("silver/daily")
    assert len(replay.partitions("silver/daily")) == 36
    assert replay.partitions("gold/events") == []
    assert "silver/macd_state" not in replay.tables, "it is switched off"
    assert replay.node("silver/daily", "2025-11-07").state == "current"


def test_every_input_passes_through_the_change_with_the_time_it_was_known(replay):
    seen = []

    def change(spec, partition, table):
        seen.append((spec.name, partition))
        assert "session" in table.column_names
        return table.slice(0, 5) if spec.name == "bronze/day_aggs" and partition == "2025-11-07" else table

    rebuild = replay.rebuild("silver/daily", ("2025-11-07",))
    (made,) = rebuild.rows(change)
    assert 0 < made.num_rows <= 5
    assert ("silver/symbol_types", "2025-11-07") in seen
    assert len([1 for name, _ in seen if name == "bronze/day_aggs"]) == 6
    assert rebuild.rows()[0].num_rows > 5, "the change did not stay"


def test_roles_are_read_from_the_file(replay):
    roles = replay.stored_roles("silver/daily", "2025-11-07")
    assert roles == {column.name: column.role for column in replay.tables["silver/daily"].columns}


def test_an_input_that_was_replaced_since_is_refused(replay, lake, params):
    rebuild = replay.rebuild("silver/daily", ("2025-11-07",))
    spec = replay.tables["bronze/day_aggs"]
    manifest = lake.manifest(spec, "2025-11-06")
    lake.write(spec, "2025-11-07", spec.empty(), _renamed(manifest, "2025-11-07"))
    with pytest.raises(PartitionError, match="changed since the plan was made"):
        rebuild.rows()


def _renamed(manifest, partition):
    from dataclasses import replace

    return replace(manifest, partition=partition)


def test_a_raw_file_that_is_gone_is_named(replay, lake):
    from pathlib import Path

    rebuild = replay.rebuild("bronze/day_aggs", ("2025-11-07",))
    next(Path(lake.location.root).rglob("*day_aggs*/**/2025-11-07.csv.gz")).unlink()
    with pytest.raises(SourceError, match=r"2025-11-07\.csv\.gz"):
        rebuild.rows()


def test_an_unsorted_file_is_sorted(make_lake, params):
    from tests.pipeline.test_plan import DAY, raw_path, replace_raw

    lake = make_lake()
    path = raw_path(lake, DAY, "2025-11-07")
    replace_raw(path, lambda text: "".join([(lines := text.splitlines(keepends=True))[0], *reversed(lines[1:])]))
    run(lake, params, Request(steps=("daily",)))
    replay = Replay(load_config(None, env={}, flags={"lake.root": lake.location.root}))
    (made,) = replay.rebuild("bronze/day_aggs", ("2025-11-07",)).rows()
    assert _plain(made) == _plain(replay.stored("bronze/day_aggs", "2025-11-07"))
