"""One session of ES from Databento files, against a naive reading and under every hazard that files have."""

from __future__ import annotations

import datetime as dt
import itertools
import json
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.calendar import calendar
from raypipe.errors import QuarantineError, SourceError
from raypipe.schema.books import ES_MBP10, ES_TRADES
from raypipe.schema.frames import check_table
from raypipe.sources import databento_bronze
from raypipe.sources.databento import Interval
from raypipe.sources.databento_bronze import BookSession, DbnPart, DisorderError, record_window
from raypipe.sources.databento_symbols import Symbology
from tests.reference import books as reference
from tests.sources.dbn_files import DAY, ESH4, ESM4, NAMES, SPREAD, at, books, trades, undefine, write

SESSIONS = calendar().dates(dt.date(2023, 12, 20), dt.date(2024, 1, 20))
FAR = (at("00:00", dt.date(2024, 1, 5)), at("00:00", dt.date(2024, 1, 12)))


def session(*paths: Path, table=ES_TRADES, day=DAY, symbology=None) -> BookSession:
    parts = [DbnPart(path.name, partial(path.open, "rb"), symbology or Symbology()) for path in paths]
    return BookSession(parts, table, calendar().session(day))


def rows_of(found: BookSession, table=ES_TRADES, *, sort: bool = False) -> pa.Table:
    blocks = list(found.blocks(sort=sort))
    for block in blocks:
        check_table(table, block, partition="p")
        if table is ES_MBP10:
            assert len(pc.unique(block["instrument_id"])) == 1
    return pa.concat_tables(blocks).unify_dictionaries() if blocks else table.empty()


def by_contract(table: pa.Table) -> pa.Table:
    """Books of each contract together, in the order that they have."""
    place = pa.array(np.arange(table.num_rows))
    order = pc.sort_indices(
        pa.table({"id": table["instrument_id"], "place": place}), [("id", "ascending"), ("place", "ascending")]
    )
    return table.take(order)


def market(n: int = 400, seed: int = 1) -> np.ndarray:
    """Trades of two contracts and a spread from Friday evening to Monday evening."""
    rng = np.random.default_rng(seed)
    times = np.sort(rng.integers(at("21:30", dt.date(2024, 1, 5)), at("23:30"), n))
    ids = rng.choice([ESH4, ESM4, SPREAD], n, p=[0.8, 0.15, 0.05])
    prices = np.where(ids == SPREAD, 52.05, 4780 + rng.integers(-80, 80, n) * 0.25)
    rows = trades(times, prices=prices, ids=ids, sizes=rng.integers(1, 90, n))
    rows["side"] = rng.choice([b"A", b"B", b"N"], n)
    rows["flags"] = rng.choice([0, 128, 130], n)
    return rows


def book_market(n: int = 400, seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    times = np.sort(rng.integers(at("21:30", dt.date(2024, 1, 5)), at("23:30"), n))
    rows = books(times, mid=4780 + rng.integers(-80, 80, n) * 0.25, ids=rng.choice([ESH4, ESM4, SPREAD], n))
    rows["action"] = rng.choice([b"A", b"C", b"M", b"T", b"R", b"N"], n)
    rows["side"], rows["depth"] = rng.choice([b"A", b"B", b"N"], n), rng.integers(0, 10, n)
    undefine(part := rows[:: n // 7], 9, "bid")
    rows[:: n // 7] = part
    rows["price"][rows["action"] == b"R"] = 2**63 - 1
    return rows


# --- against the definition -----------------------------------------------------------------------


@pytest.mark.parametrize("day", [DAY, dt.date(2024, 1, 9)])
def test_trades_are_those_of_a_naive_reading(tmp_path, day):
    rows = market()
    found = rows_of(session(write(tmp_path / "a.dbn.zst", rows), day=day))
    expected = reference.bronze(rows, NAMES, day, SESSIONS)
    assert len(expected) > 2
    assert found.to_pylist() == expected


@pytest.mark.parametrize("ts_out", [False, True])
def test_books_are_those_of_a_naive_reading(tmp_path, ts_out):
    rows = book_market()
    if ts_out:
        longer = books(rows["ts_event"], ts_out=True)
        for name in rows.dtype.names:
            longer[name] = rows[name]
        longer["length"], rows = 94, longer
    found = rows_of(session(write(tmp_path / "a.dbn", rows), table=ES_MBP10), ES_MBP10)
    expected = reference.bronze(rows, NAMES, DAY, SESSIONS)
    assert by_contract(found).to_pylist() == sorted(expected, key=lambda row: row["instrument_id"])


def test_small_buffers_and_chunks_change_nothing(tmp_path, monkeypatch):
    path = write(tmp_path / "a.dbn.zst", book_market(3000))
    whole = by_contract(rows_of(session(path, table=ES_MBP10), ES_MBP10))
    monkeypatch.setattr(databento_bronze, "GROUP_ROWS", 37)
    monkeypatch.setattr(databento_bronze, "WAITING_ROWS", 50)
    small = session(path, table=ES_MBP10)
    assert by_contract(rows_of(small, ES_MBP10)).equals(whole)
    assert max(block.num_rows for block in session(path, table=ES_MBP10).blocks()) == 37


def test_a_session_ends_at_five_and_holidays_belong_to_the_next(shared_data):
    path = shared_data / "dbn_glbx/glbx-mdp3-20231225.mbp-10.dbn.zst"
    found = session(path, table=ES_MBP10, day=dt.date(2023, 12, 26))
    table = rows_of(found, ES_MBP10)
    assert table.num_rows == 43_717
    assert pc.min(table["ts_event_ns"]).as_py() < at("23:00", dt.date(2023, 12, 25))  # the pre-open book, kept
    start, end = record_window(dt.date(2024, 1, 8))
    assert (start, end) == (at("22:00", dt.date(2024, 1, 5)), at("22:00"))


def test_the_parent_file_of_september(shared_data):
    path = shared_data / "dbn_glbx/glbx-mdp3-20240903.trades.dbn.zst"
    lots, spread, rows = {}, [0, 0], []
    for day in (dt.date(2024, 9, 3), dt.date(2024, 9, 4)):
        found = session(path, day=day)
        rows.append(rows_of(found))
        for one in json.loads(found.facts["instruments"]):
            lots[one["contract"]] = lots.get(one["contract"], 0) + one["lots"]
        for one in json.loads(found.facts["excluded"]):
            spread = [spread[0] + one["rows"], spread[1] + one["lots"]]
    assert (lots["ESU4"], sum(lots.values()), spread) == (8_784, 9_074, [151, 390])
    whole = pa.concat_tables(rows).unify_dictionaries()
    distinct = whole.group_by(whole.column_names).aggregate([([], "count_all")])
    assert whole.num_rows == 3_623
    assert whole.num_rows - distinct.num_rows == 17  # equal rows are separate fills


# --- several files --------------------------------------------------------------------------------


@given(cuts=st.lists(st.integers(1, 399), max_size=3, unique=True), seed=st.integers(0, 5), book=st.booleans())
def test_split_and_order_of_files_change_nothing(tmp_path_factory, cuts, seed, book):
    folder = tmp_path_factory.mktemp("split")
    table, rows = (ES_MBP10, book_market(seed=seed)) if book else (ES_TRADES, market(seed=seed))
    edges = [0, *sorted(cuts), len(rows)]
    names = np.random.default_rng(seed).permutation(len(edges)).tolist()
    parts = [
        write(folder / f"{names[k]}.dbn.zst", rows[a:b], bounds=FAR)
        for k, (a, b) in enumerate(itertools.pairwise(edges))
    ]
    whole = by_contract(rows_of(session(write(folder / "w.dbn", rows, bounds=FAR), table=table), table))
    found = session(*sorted(parts), table=table)
    assert by_contract(rows_of(found, table)).equals(whole)


def test_contracts_in_files_of_their_own(tmp_path):
    rows = market()
    paths = [write(tmp_path / f"{n}.dbn", rows[rows["instrument_id"] == n], bounds=FAR) for n in (ESM4, ESH4)]
    found = rows_of(session(*paths))
    whole = rows_of(session(write(tmp_path / "w.dbn", rows[rows["instrument_id"] != SPREAD])))
    assert found.to_pylist() == whole.to_pylist()  # by the time of receipt, as one file would have them


def test_one_interval_in_two_files_is_refused_with_both_names(tmp_path):
    rows = market()
    other = rows[100:300].copy()
    other["size"] += 1
    paths = [write(tmp_path / "a.dbn", rows), write(tmp_path / "b.dbn", other, bounds=FAR)]
    with pytest.raises(SourceError, match=r"(a\.dbn and b\.dbn|b\.dbn and a\.dbn) both hold ES"):
        rows_of(session(*paths))


def test_an_id_may_stand_for_another_contract_in_another_file(tmp_path):
    monday, tuesday = trades([at("10:00")]), trades([at("22:30")])
    early = write(tmp_path / "a.dbn", monday)
    late = write(tmp_path / "b.dbn", tuesday, names={ESH4: "ESZ9"})
    assert rows_of(session(early, late))["contract"].to_pylist() == ["ESH4"]
    assert rows_of(session(early, late, day=dt.date(2024, 1, 9)))["contract"].to_pylist() == ["ESZ9"]


# --- time that steps back -------------------------------------------------------------------------


def shuffled(rows: np.ndarray, seed: int) -> np.ndarray:
    return rows[np.random.default_rng(seed).permutation(len(rows))]


def expected_sorted(rows: np.ndarray) -> list[dict]:
    found = reference.bronze(rows, NAMES, DAY, SESSIONS)
    return sorted(found, key=lambda row: (row["instrument_id"], row["ts_event_ns"], row["sequence"]))


def test_trades_whose_time_steps_back_are_sorted(tmp_path):
    rows = shuffled(market(), 3)
    found = session(write(tmp_path / "a.dbn", rows))
    assert by_contract(rows_of(found)).to_pylist() == expected_sorted(rows)
    kinds = {finding.kind: finding.count for finding in found.findings}
    assert kinds["steps_back"] == int(found.facts["steps_back"]) > 100


def test_books_whose_time_steps_back_are_sorted_slice_by_slice(tmp_path, monkeypatch):
    monkeypatch.setattr(databento_bronze, "SLICE_ROWS", 60)
    rows = shuffled(book_market(), 3)
    found = session(write(tmp_path / "a.dbn", rows), table=ES_MBP10)
    with pytest.raises(DisorderError):
        list(found.blocks())
    blocks = list(found.blocks(sort=True))
    assert len(blocks) > 6
    assert by_contract(pa.concat_tables(blocks).unify_dictionaries()).to_pylist() == expected_sorted(rows)
    assert sum(one["rows"] for one in json.loads(found.facts["instruments"])) == len(expected_sorted(rows))
    assert int(found.facts["steps_back"]) > 50


def test_only_the_contract_that_steps_back_is_sorted(tmp_path):
    rows = trades([at("10:00")] * 2 + [at("11:00"), at("10:30")], ids=[ESH4, ESH4, ESM4, ESM4])
    rows["sequence"] = [9, 3, 2, 1]
    found = rows_of(session(write(tmp_path / "a.dbn", rows)))
    assert found["sequence"].to_pylist() == [9, 3, 1, 2]


# --- rows that break a rule -----------------------------------------------------------------------


def with_one(change, *, n: int = 2000, make=trades, **options) -> np.ndarray:
    rows = make(at("14:30") + np.arange(n) * 10**9, **options)
    change(rows)
    return rows


def put(name, value):
    def change(rows):
        rows[name][1000] = value

    return change


@pytest.mark.parametrize(
    ("make", "change", "reason"),
    [
        (trades, put("price", 4_780_100_000_000), "off_grid"),
        (trades, put("price", 0), "price"),
        (trades, put("price", -250_000_000), "price"),
        (trades, put("price", 2**63 - 1), "price"),
        (trades, put("price", 250_000_000 * 2**32), "off_grid"),
        (trades, put("size", 0), "size"),
        (books, put("price", 4_780_100_000_000), "off_grid"),
        (books, put("bid_px_03", 4_780_100_000_000), "level_off_grid"),
    ],
)
def test_a_row_that_breaks_a_rule_is_set_aside(tmp_path, make, change, reason):
    table = ES_MBP10 if make is books else ES_TRADES
    found = session(write(tmp_path / "a.dbn", with_one(change, make=make)), table=table)
    assert rows_of(found, table).num_rows == 1999
    aside = found.quarantined.to_pylist()
    assert [(row["reason"], row["file"], row["row"]) for row in aside] == [(reason, "a.dbn", 1001)]
    assert found.facts["quarantined"] == "1"
    assert f"quarantined_{reason}" in {finding.kind for finding in found.findings}


def test_more_than_one_in_a_thousand_fails_the_session(tmp_path):
    def change(rows):
        rows["price"][:3] += 1

    with pytest.raises(QuarantineError, match=r"3 of 2,000 rows break a rule .*a\.dbn row 1"):
        rows_of(session(write(tmp_path / "a.dbn", with_one(change))))


def test_a_time_outside_the_files_range_is_set_aside(tmp_path):
    rows = with_one(lambda rows: None)
    rows["ts_event"][5] = at("03:00")
    bounds = (at("14:30"), at("16:00"))
    rows["ts_event"][0] = at("14:29:59.9")  # the range is of the vendor's clock, a little later
    found = session(write(tmp_path / "a.dbn", rows, bounds=bounds))
    assert rows_of(found).num_rows == 1999
    assert found.quarantined["reason"].to_pylist() == ["time_outside_file"]


@pytest.mark.parametrize(
    ("ts", "unit"), [(at("14:30") // 10**3, "microseconds"), (at("14:30") // 10**9, "seconds"), (2**64 - 1, "")]
)
def test_times_in_another_unit_fail(tmp_path, ts, unit):
    rows = with_one(put("ts_event", ts))
    with pytest.raises(SourceError, match=f"not a time between 2000 and 2100.*{unit}") as caught:
        rows_of(session(write(tmp_path / "a.dbn", rows, bounds=FAR)))
    assert caught.value.values["row"] == 1001


def test_clears_undefined_levels_crossed_books_and_flags_are_kept(tmp_path):
    rows = books(at("14:30") + np.arange(6) * 10**9)
    rows["action"][2], rows["size"][2], rows["price"][2] = b"R", 0, 2**63 - 1
    for level in range(10):
        for side in ("bid", "ask"):
            undefine(part := rows[2:3], level, side)
            rows[2:3] = part
    rows["flags"] = [128, 32, 4, 0, 168, 128]
    rows["bid_px_00"][4] = rows["ask_px_01"][4]
    found = rows_of(session(write(tmp_path / "a.dbn", rows), table=ES_MBP10), ES_MBP10)
    assert found.to_pylist() == reference.bronze(rows, NAMES, DAY, SESSIONS)
    assert found["price_ticks"].null_count == 1
    assert found["bid_sz_00"][2].as_py() == 0


# --- symbology ------------------------------------------------------------------------------------


def test_what_lies_beside_a_file_names_its_instruments(tmp_path):
    path = write(tmp_path / "a.dbn", market(), names={})
    span = (dt.date(2024, 1, 1), dt.date(2024, 2, 1))
    beside = Symbology({number: (Interval(*span, name),) for number, name in NAMES.items()})
    named = rows_of(session(path, symbology=beside))
    assert named.equals(rows_of(session(write(tmp_path / "b.dbn", market()))))


def test_without_symbology_contracts_are_named_by_id_and_told_by_price(tmp_path):
    found = session(write(tmp_path / "a.dbn", market(), names={}))
    table = rows_of(found)
    assert set(table["contract"].to_pylist()) == {f"ES_{ESH4}", f"ES_{ESM4}"}
    assert [one["symbol"] for one in json.loads(found.facts["excluded"])] == [f"ES_{SPREAD}"]
    assert "guessed" in {finding.kind for finding in found.findings}


def test_outrights_that_cannot_be_told_fail(tmp_path):
    rows = trades(at("14:30") + np.arange(10), prices=[4780.0, 52.0] * 5, ids=[ESH4, SPREAD] * 5, sizes=[5, 4] * 5)
    with pytest.raises(SourceError, match="trade alike"):
        rows_of(session(write(tmp_path / "a.dbn", rows, names={})))


# --- the footer -----------------------------------------------------------------------------------


def test_minutes_covered_and_missing(tmp_path):
    minutes = [m for m in range(390) if not 10 <= m < 25]
    found = session(write(tmp_path / "a.dbn", trades([at("14:30") + m * 60 * 10**9 for m in minutes])))
    rows_of(found)
    facts = found.facts
    assert (facts["rth_minutes"], facts["rth_minutes_covered"]) == ("390", "375")
    assert float(facts["coverage"]) == pytest.approx(375 / 390, abs=1e-6)
    assert json.loads(facts["missing_minutes"]) == [[at("14:40"), at("14:55")]]


def test_books_are_covered_from_four_minutes_before_the_open(tmp_path):
    found = session(write(tmp_path / "a.dbn", books([at("14:27"), at("14:30")])), table=ES_MBP10)
    rows_of(found, ES_MBP10)
    assert json.loads(found.facts["missing_minutes"])[0] == [at("14:26"), at("14:27")]
    assert float(found.facts["coverage"]) == pytest.approx(2 / 394, abs=1e-6)


def test_a_session_without_records_is_an_empty_table(tmp_path):
    path = write(tmp_path / "a.dbn", trades([at("14:30")]), bounds=FAR)
    for table in (ES_TRADES, ES_MBP10):
        made = write(tmp_path / "b.dbn", books([at("14:30")]), bounds=FAR) if table is ES_MBP10 else path
        found = session(made, table=table, day=dt.date(2024, 1, 10))
        assert rows_of(found, table).num_rows == 0
        assert "no_rows" in {finding.kind for finding in found.findings}
        assert float(found.facts["coverage"]) == 0
