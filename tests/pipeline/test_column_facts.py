"""What stands in columns is counted piece by piece, and of gold/signals no column is dull without a known reason."""

from __future__ import annotations

import datetime as dt
import shutil
import threading
from pathlib import Path

import pyarrow as pa
import pytest

from raypipe.config import Config, load_config
from raypipe.errors import NotYetError, UsageError
from raypipe.pipeline.column_facts import MOST_DISTINCT, column_facts, facts_of
from raypipe.pipeline.driver import execute
from raypipe.pipeline.executor import Serial
from raypipe.pipeline.signals import SignalSessions, Wanted
from raypipe.schema.spec import Column, Table
from tests.signal_lake import BUILT, write_bronze
from tests.test_signal_docs import ONE_VALUED

TABLE = Table(
    "silver/things",
    key=("n",),
    grain="session",
    columns=(
        Column("n", "i64", "Number.", role="key"),
        Column("price", "f64", "Price.", "usd", "unknown"),
        Column("word", "dict", "Word.", null="none", group="words"),
        Column("same", "dict", "Word."),
        Column("gone", "f64", "Nothing.", null="always"),
        Column("flag", "i8", "Flag.", null="sometimes"),
    ),
    doc="Things.",
)
#: Facts of a lake, or settings: no session of the market has two of them.
SETTLED = {
    "symbol",
    "front_contract",
    "cadence",
    "warmup_sma_sessions",
    "warmup_volume_sessions",
    "barrier_fill_method",
}


def piece(n: list[int], word: list[str | None], flag: list[int | None]) -> pa.Table:
    text = pa.array(word, pa.string()).dictionary_encode()
    columns = {
        "n": pa.array(n),
        "price": pa.array([x / 2 for x in n]),
        "word": text.cast(TABLE["word"].arrow.type),
        "same": pa.array(["x"] * len(n)).dictionary_encode(),
        "gone": pa.nulls(len(n), pa.float64()),
        "flag": pa.array(flag, pa.int8()),
    }
    return TABLE.build(columns)


def test_nulls_and_distinct_values_over_all_pieces():
    pieces = [piece([1, 2], ["a", None], [1, None]), piece([3], ["b"], [1])]
    found = facts_of(TABLE, pieces, ["2025-01-02"])
    assert (found.rows, found.partitions) == (3, ("2025-01-02",))
    assert [(c.name, c.nulls, c.distinct, c.verdict, c.value) for c in found.columns] == [
        ("n", 0, 3, "varies", ""),
        ("price", 0, 3, "varies", ""),
        ("word", 1, 2, "varies", ""),
        ("same", 0, 1, "constant", "x"),
        ("gone", 3, 0, "null", ""),
        ("flag", 1, 1, "constant or null", "1"),
    ]
    assert found.columns[2].to_dict() == {
        "name": "word",
        "dtype": "dict",
        "unit": "",
        "role": "feature",
        "group": "words",
        "alias_of": "",
        "rows": 3,
        "nulls": 1,
        "distinct": 2,
        "value": "",
        "verdict": "varies",
    }


def test_distinct_values_are_counted_so_far():
    rows = list(range(MOST_DISTINCT + 5))
    pieces = [piece(rows, ["a"] * len(rows), [0] * len(rows)), piece([-1], ["b"], [0])]
    found = {c.name: c for c in facts_of(TABLE, pieces).columns}
    assert found["n"].distinct == MOST_DISTINCT
    assert (found["word"].distinct, found["flag"].verdict) == (2, "constant")


def test_of_no_rows_nothing_is_said():
    found = facts_of(TABLE, [TABLE.empty()])
    assert {c.verdict for c in found.columns} == {"no rows"}


# --- gold/signals ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lakes(tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, Config]:
    """The same market by trades and, with every kind of level, by bars."""
    folder = tmp_path_factory.mktemp("lakes")
    write_bronze(folder / "event")
    shutil.copytree(folder / "event", folder / "bar")
    every = f"signals.levels.kinds={list(range(14))}"
    return build(folder / "event"), build(folder / "bar", "signals.touch.cadence=bar", every)


def build(root: Path, *sets: str) -> Config:
    config = load_config(None, env={}, folder=root.parent, sets=sets, flags={"lake.root": str(root)})
    assert not execute(SignalSessions(config, Wanted()).plan(), Serial(), stop=threading.Event()).failures
    return config


def dull(config: Config) -> set[str]:
    (found,) = column_facts(config, ["signals"])
    assert found.partitions == BUILT
    return {column.name for column in found.columns if column.verdict != "varies"}


def test_a_column_of_signals_that_never_varies_has_a_reason(lakes):
    event, bar = map(dull, lakes)
    assert event <= set(ONE_VALUED)
    assert bar <= set(ONE_VALUED)
    assert event & bar == SETTLED


def test_a_range_and_what_is_not_there(lakes):
    config = lakes[0]
    (found,) = column_facts(config, ["gold/signals"], dt.date.fromisoformat(BUILT[1]), dt.date.fromisoformat(BUILT[1]))
    assert found.partitions == (BUILT[1],)
    with pytest.raises(NotYetError, match="gold/signals has no partition"):
        column_facts(config, ["signals"], dt.date(2030, 1, 1))
    with pytest.raises(UsageError, match="no table 'signalz'"):
        column_facts(config, ["signalz"])
