"""Cut and noise: what was known stays as it was, what comes later is gone or sound but different."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pyarrow as pa
import pytest

from raypipe.audit.compare import Paired
from raypipe.audit.futures import Cut, Noise
from raypipe.calendar import at_exchange_time, calendar
from raypipe.pipeline.replay import Replay
from raypipe.schema.frames import check_table
from raypipe.schema.known import has_labels, known_ns
from raypipe.schema.spec import Column, Known, Table
from raypipe.schema.tables import DAY_AGGS, MINUTE_AGGS, SPLITS, SYMBOL
from raypipe.schema.touches import ES_SESSION
from tests.audit.conftest import config_of

SESSION = calendar().session(dt.date(2025, 11, 4))
NOON = at_exchange_time(SESSION.date, dt.time(12))
TABLES = (
    *("bronze/day_aggs", "bronze/minute_aggs", "bronze/splits", "bronze/reference", "silver/symbol_types"),
    *("silver/cheat_honest", "silver/cheat_labels", "gold/cheat_inside", "gold/cheat_fwd"),
)
SYMBOLS = pa.array(["AAA", "PLSP", "b"])


@pytest.fixture(scope="module")
def stored(built):
    replay = Replay(config_of(built))

    def read(name: str, date: str = SESSION.key) -> tuple[Table, pa.Table]:
        spec = replay.tables[name]
        return spec, replay.stored(name, "all" if spec.grain == "once" else date)

    return read


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("change", [Cut, Noise])
def test_what_was_known_stays_and_the_rest_is_sound(stored, name, change):
    spec, rows = stored(name)
    altered = change(NOON, 7)(spec, SESSION.key, rows)
    check_table(spec, altered, partition=SESSION.key)
    early = [table.filter(pa.array(known_ns(spec, table) <= NOON)) for table in (rows, altered)]
    assert early[0].equals(early[1])
    if change is Cut:
        assert altered.num_rows == early[0].num_rows


@pytest.mark.parametrize("name", TABLES)
def test_noise_is_the_same_each_time_and_for_any_choice_of_columns(stored, name):
    spec, rows = stored(name)
    once, again = (Noise(NOON, 7, SYMBOLS)(spec, SESSION.key, rows) for _ in range(2))
    assert once.equals(again)
    if spec.grain == "once":
        return
    few = rows.select([*spec.key, "session", *(c for c in ("available_ns", "label_known_ns") if c in spec)])
    assert Noise(NOON, 7)(spec, SESSION.key, few).select(spec.key).equals(once.select(spec.key))


def test_noise_changes_every_value_of_a_bar_and_keeps_prices_in_order(stored):
    spec, rows = stored(MINUTE_AGGS.name)
    noise = Noise(NOON, 7)
    altered = noise(spec, SESSION.key, rows)
    pairs = Paired(spec.key, rows, altered)
    late = known_ns(spec, rows)[pairs.rows] > NOON
    for name in ("open", "high", "low", "close", "volume"):
        assert pairs.changed(name)[late].mean() > 0.95, name
    assert noise.touched == (known_ns(spec, rows) > NOON).sum()
    low, high = altered["low"].to_numpy(), altered["high"].to_numpy()
    assert all(
        ((low <= altered[name].to_numpy()) & (altered[name].to_numpy() <= high)).all() for name in ("open", "close")
    )
    assert (low > 0).all()


def test_some_late_bars_are_missing_in_every_table_the_same(stored):
    spec, rows = stored(MINUTE_AGGS.name)
    pairs = Paired(spec.key, rows, Noise(NOON, 7)(spec, SESSION.key, rows))
    late = (known_ns(spec, rows) > NOON).sum()
    assert 0.08 * late < len(pairs.missing) < 0.17 * late
    gone = rows.take(pairs.missing)
    gone = set(zip(gone["symbol"].to_pylist(), known_ns(spec, gone).tolist(), strict=True))
    other, events = stored("gold/cheat_inside")
    left = Noise(NOON, 7)(other, SESSION.key, events)
    kept = set(zip(left["symbol"].to_pylist(), left["decision_ns"].to_pylist(), strict=True))
    everything = set(zip(events["symbol"].to_pylist(), events["decision_ns"].to_pylist(), strict=True))
    assert everything - kept == everything & gone


def test_labels_are_noise_not_gone_where_labels_are_made(stored):
    spec, rows = stored("gold/cheat_fwd")
    assert has_labels(spec)
    cut = Cut(NOON, 7, for_labels=True)(spec, SESSION.key, rows)
    decided = rows.filter(pa.array(rows["decision_ns"].to_numpy() <= NOON))
    assert cut.drop(["fwd_ret"]).equals(decided.drop(["fwd_ret"])), "rows decided later go with their events"
    late = decided["label_known_ns"].to_numpy() > NOON
    changed = Paired(spec.key, decided, cut).changed("fwd_ret")
    assert late.any()
    assert changed[late].mean() > 0.9
    assert not changed[~late].any()


def test_facts_of_a_finished_session_are_held():
    rows = pa.table({"session": pa.array([SESSION.date], pa.date32()), "front_contract": ["ESZ5"]})
    for future in (Cut(SESSION.open_ns, 7), Noise(SESSION.open_ns, 7)):
        assert future(ES_SESSION, SESSION.key, rows).equals(rows)
        assert future.touched == 0


def test_flags_that_are_all_alike_become_different_and_nulls_stay(stored):
    spec, rows = stored("silver/cheat_labels")
    index = rows.schema.get_field_index("label_higher")
    flags = pa.array([None, *[1] * (rows.num_rows - 1)], pa.int8())
    rows = rows.set_column(index, spec.arrow.field("label_higher"), flags)
    drawn = Noise(NOON, 7)(spec, SESSION.key, rows)["label_higher"]
    assert set(drawn.to_pylist()[1:]) == {0, 1}
    assert drawn[0].as_py() is None


def test_words_that_are_labels_are_shuffled_and_other_words_stay():
    columns = (
        *(DAY_AGGS["session"], SYMBOL),
        Column("outcome", "dict", "A label.", role="label"),
        Column("segment", "dict", "No label.", role="meta"),
    )
    spec = Table("gold/words", ("symbol",), "session", columns, "Words.")
    words = pa.array([f"w{i:03}" for i in range(100)])
    rows = spec.build(
        {
            "session": pa.array([SESSION.date] * 100, pa.date32()),
            "symbol": words.dictionary_encode(),
            "outcome": words.dictionary_encode(),
            "segment": words.dictionary_encode(),
        }
    )
    altered = Noise(NOON, 7)(spec, SESSION.key, rows)
    assert altered["segment"].equals(rows["segment"])
    assert altered["outcome"].to_pylist() != words.to_pylist()
    assert sorted(altered["outcome"].to_pylist()) == words.to_pylist()


def test_news_is_invented_for_every_symbol(stored):
    spec, rows = stored(SPLITS.name)
    altered = Noise(NOON, 7, SYMBOLS)(spec, "all", rows).to_pylist()
    assert [row["symbol"] for row in altered] == SYMBOLS.to_pylist()
    assert all(SESSION.date < row["ex_session"] <= calendar().offset(SESSION.date, 5) for row in altered)
    assert all(row["split_ratio"] > 0 for row in altered)
    check_table(spec, Noise(NOON, 7, SYMBOLS)(spec, "all", spec.empty()), partition="all")


def test_news_of_other_kinds():
    columns = (SYMBOL, Column("filed_ns", "i64", "When.", "ns", role="time"), *_one_of_each())
    spec = Table("bronze/filings", ("symbol", "filed_ns"), "once", columns, "Filings.", known=Known("filed_ns"))
    news = Noise(NOON, 7, SYMBOLS)(spec, "all", spec.empty())
    check_table(spec, news, partition="all")
    assert (np.array(news["filed_ns"]) > NOON).all()


def _one_of_each() -> tuple[Column, ...]:
    kinds = ("f64", "f32", "i8", "i16", "i32", "u8", "bool", "str", "dict")
    return (*(Column(kind, kind, "One.") for kind in kinds), Column("day", "date32", "One.", null="unknown"))
