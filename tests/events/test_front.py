"""The front contract and its bars: the choice, what fails, what is noticed, and the real files."""

from __future__ import annotations

import datetime as dt
import json

import numpy as np
import pytest

from raypipe.calendar import calendar
from raypipe.errors import PartitionError
from raypipe.events.front import expiry_rank
from raypipe.schema.books import ES_TRADES
from raypipe.schema.frames import check_table
from raypipe.schema.touches import ES_BARS, ES_SESSION, globex_window
from tests.events.tape import ES_BARS_FAMILY, ES_SESSION_FAMILY, SESSION, at, fronts, run, trades, walk
from tests.kernels.test_trade_bars import records
from tests.reference import trade_bars as reference

BEFORE = calendar().session(calendar().offset(SESSION.date, -1))


def session_row(rows, before=(), **groups):
    tables = {ES_TRADES.name: {SESSION.date: trades(rows)}}
    if before:
        tables[ES_TRADES.name][BEFORE.date] = trades(before, BEFORE)
    made = fronts(tables, **groups)
    result = run(ES_SESSION_FAMILY, made, SESSION, **groups)
    check_table(ES_SESSION, result.table, partition=SESSION.key)
    return result.table.to_pylist()[0], result.findings


def regular(contract, lots, prints=1, session=SESSION):
    """So many lots of a contract in regular hours, in so many prints."""
    return [(at(1 + i % 380, session), 24_000, lots // prints, 1, contract) for i in range(prints)]


def test_front_has_most_volume_not_most_prints():
    row, _ = session_row([*regular("ESM5", 100, 100), *regular("ESH5", 900, 3)])
    assert row["front_contract"] == "ESH5"
    assert row["front_instrument_id"] == 5602
    assert (row["front_volume_rth"], row["outright_volume_rth"], row["front_dominance"]) == (900, 1000, 0.9)
    assert row["front_basis"] == "rth"


def test_volume_outside_regular_hours_does_not_choose():
    night = [(at(-400), 24_000, 5000, 1, "ESM5")]
    row, _ = session_row([*night, *regular("ESH5", 90)])
    assert (row["front_contract"], row["outright_volume_rth"]) == ("ESH5", 90)


def test_without_regular_trades_the_whole_session_chooses():
    row, _ = session_row([(at(-400), 24_000, 50, 1, "ESM5"), (at(-399), 24_000, 950, 1, "ESH5")])
    assert (row["front_contract"], row["front_basis"]) == ("ESH5", "session")
    assert (row["front_volume_rth"], row["outright_volume_rth"], row["front_dominance"]) == (0, 0, 0.95)
    assert row["trade_coverage"] == 0.0


def test_of_equals_the_nearest_expiry():
    row, findings = session_row([*regular("ESM5", 50), *regular("ESH5", 50)], front={"fail_dominance": 0.5})
    assert row["front_contract"] == "ESH5"
    assert [finding.kind for finding in findings] == ["front_dominance"]


def test_years_of_one_digit_follow_the_session():
    names = ["ESZ9", "ESH0", "ESM30", "ESU9"]
    ranked = sorted(names, key=lambda name: expiry_rank(name, dt.date(2029, 11, 1)))
    assert ranked == ["ESZ9", "ESH0", "ESM30", "ESU9"]


def test_low_dominance_is_noticed_and_fails_below_the_limit():
    row, (finding,) = session_row([*regular("ESH5", 800), *regular("ESM5", 200)])
    assert (row["front_dominance"], finding.kind, finding.samples) == (0.8, "front_dominance", ("ESH5 800", "ESM5 200"))
    with pytest.raises(PartitionError, match=r"ESH5 has 55.0%.*ESH5 550, ESM5 450") as caught:
        run(
            ES_SESSION_FAMILY,
            {ES_TRADES.name: {SESSION.date: trades([*regular("ESH5", 550), *regular("ESM5", 450)])}},
        )
    assert caught.value.values == {"table": ES_TRADES.name, "partition": SESSION.key}


def test_roll_session_by_either_rule():
    today = [*regular("ESH5", 100), *regular("ESM5", 900)]
    before = [*regular("ESH5", 800, session=BEFORE), *regular("ESM5", 200, session=BEFORE)]
    same, _ = session_row(today, before)
    assert (same["front_contract"], same["front_rule_agrees"]) == ("ESM5", False)
    prior, _ = session_row(today, before, front={"rule": "prior_session", "fail_dominance": 0.05})
    assert (prior["front_contract"], prior["front_rule_agrees"], prior["front_dominance"]) == ("ESH5", False, 0.1)
    calm, _ = session_row(today, regular("ESM5", 9, session=BEFORE))
    assert calm["front_rule_agrees"]


def test_prior_rule_without_a_session_before_says_so():
    row, (finding,) = session_row(regular("ESH5", 100), front={"rule": "prior_session"})
    assert (row["front_contract"], row["front_rule_agrees"], finding.kind) == ("ESH5", True, "front_rule")


def test_coverage_counts_minutes_of_the_front():
    every_other = [(at(minute), 24_000, 10, 1, "ESH5") for minute in range(0, 390, 2)]
    row, _ = session_row([*every_other, *[(at(minute), 24_220, 1, 1, "ESM5") for minute in range(390)]])
    assert row["trade_coverage"] == 0.5


def test_spreads_left_out_of_bronze_are_counted():
    left_out = [{"symbol": "ESU4-ESZ4", "rows": 3, "lots": 7}, {"symbol": "ESZ4-ESH5", "rows": 1, "lots": 2}]
    table = trades(regular("ESH5", 9)).replace_schema_metadata({"excluded": json.dumps(left_out)})
    made = run(ES_SESSION_FAMILY, {ES_TRADES.name: {SESSION.date: table}}).table
    assert made["dropped_spread_lots"].to_pylist() == [9]
    assert session_row(regular("ESH5", 9))[0]["dropped_spread_lots"] == 0


def test_early_close():
    early = calendar().session(dt.date(2025, 11, 28))
    made = fronts({ES_TRADES.name: {early.date: trades(regular("ESH5", 9, session=early), early)}})
    row = made[ES_SESSION.name][early.date].to_pylist()[0]
    assert row["early_close"]
    assert row["rth_close_ns"] - row["rth_open_ns"] == 210 * 60 * 10**9
    assert row["trade_coverage"] == 1 / 210


def test_no_trades_give_no_row():
    result = run(ES_SESSION_FAMILY, {ES_TRADES.name: {SESSION.date: ES_TRADES.empty()}})
    assert result.table.num_rows == 0
    assert result.findings[0].kind == "no_trades"
    assert run(ES_BARS_FAMILY, {ES_TRADES.name: {SESSION.date: ES_TRADES.empty()}}).table.num_rows == 0


def test_bars_are_of_the_two_largest_within_the_electronic_session():
    rng = np.random.default_rng(5)
    start_ns, end_ns = globex_window(SESSION)
    rows = [*walk(rng, 3000), *walk(rng, 300, contract="ESM5"), *walk(rng, 30, contract="ESU5")]
    rows = sorted([*rows, (start_ns - 1, 9, 1, 0, "ESH5"), (end_ns, 9, 1, 0, "ESH5")], key=lambda row: row[0])
    made = run(ES_BARS_FAMILY, {ES_TRADES.name: {SESSION.date: trades(rows)}}).table
    check_table(ES_BARS, made, partition=SESSION.key)
    plain = [tuple(row.values())[1:] for row in made.to_pylist()]
    window = globex_window(SESSION)
    expected = [(name, *bar) for name in ("ESH5", "ESM5") for bar in reference.minute_bars(rows, name, window)]
    assert plain == expected


def test_few_trades_of_another_contract_change_nothing():
    rng = np.random.default_rng(6)
    rows = walk(rng, 2000)
    mixed = sorted([*rows, *walk(rng, 60, contract="ESU5", middle=30_000)], key=lambda row: row[0])
    alone, both = (
        fronts({ES_TRADES.name: {SESSION.date: trades(made)}})[ES_BARS.name][SESSION.date].to_pylist()
        for made in (rows, mixed)
    )
    assert [row for row in both if row["contract"] == "ESH5"] == alone


def real_rows(file, ids):
    """Trades of outrights of a real file, contracts named by instrument id."""
    return [
        (int(row["ts_event"]), int(row["price"]) // 250_000_000, int(row["size"]), 0, ids[int(row["instrument_id"])])
        for row in records(file)
        if int(row["instrument_id"]) in ids
    ]


def test_real_parent_file(shared_data):
    """Its regular hours hold 39 lots of the third month and nothing else of outrights."""
    file = shared_data / "dbn_glbx" / "glbx-mdp3-20240903.trades.dbn.zst"
    rows = real_rows(file, {118: "ESU4", 183748: "ESZ4", 5002: "ESH5"})
    lots = reference.lots(rows, (0, 2**63))
    assert (lots["ESU4"], sum(lots.values())) == (8784, 9074)
    sessions = [calendar().session(dt.date(2024, 9, day)) for day in (3, 4)]
    made = fronts({ES_TRADES.name: {session.date: trades(rows, session) for session in sessions}})
    found = [made[ES_SESSION.name][session.date].to_pylist()[0] for session in sessions]
    assert [row["front_contract"] for row in found] == ["ESU4", "ESU4"]
    assert [row["front_basis"] for row in found] == ["session", "session"]
    bars = [bar for part in made[ES_BARS.name].values() for bar in part.to_pylist()]
    assert sum(bar["volume"] for bar in bars if bar["contract"] == "ESU4") == 8784
    assert min(bar["low_ticks"] for bar in bars) > 4 * 5000
