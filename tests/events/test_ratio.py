"""The ratio against its definition, its sources in turn, and the traps: ten is not it, and no minute looks ahead."""

from __future__ import annotations

import csv
import datetime as dt
import gzip
import math
from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raypipe.calendar import Session, calendar
from raypipe.errors import SourceError
from raypipe.events.ratio import FAMILY, EsSpyRatioParams
from raypipe.schema.books import SPY_OPTION_TRADES
from raypipe.schema.family import Result
from raypipe.schema.frames import check_table
from raypipe.schema.signals import SignalsParams
from raypipe.schema.tables import MINUTE_AGGS
from raypipe.schema.touches import ES_BARS, ES_SESSION, ES_SPY_RATIO, globex_window
from tests.features.bars import Fixed, run
from tests.features.touch.scenes import build
from tests.reference import ratio as naive
from tests.reference.ratio import MINUTE, Quote

SESSION = calendar().session(dt.date(2025, 1, 15))
EXPIRY = SESSION.close_ns + 15 * MINUTE


def minute(k: int, session: Session = SESSION) -> int:
    """Start of the k-th minute after the open."""
    return session.open_ns + k * MINUTE


def made(
    es: Mapping[int, float],
    spy: Mapping[int, float] | None = None,
    quotes: tuple[Quote, ...] | None = None,
    session: Session = SESSION,
    **groups: Any,
) -> Result:
    """The ratios of one session from closes by start of minute (ES in points)."""
    day = {"session": session.date}
    bars = [
        day | {"contract": name, "start_ns": s, "close_ticks": round(4 * p) + far, **_rest(round(4 * p) + far)}
        for name, far in (("ESH5", 0), ("ESM5", 200))
        for s, p in sorted(es.items())
    ]
    tables = {
        ES_SESSION.name: {session.date: build(ES_SESSION, [day | {"front_contract": "ESH5"}])},
        ES_BARS.name: {session.date: build(ES_BARS, bars)},
    }
    if spy is not None:
        rows = [
            day | {"symbol": name, "window_start_ns": s, "close": p * by}
            for name, by in (("AAPL", 0.3), ("SPY", 1.0), ("SPYG", 0.1))
            for s, p in sorted(spy.items())
        ]
        tables[MINUTE_AGGS.name] = {session.date: build(MINUTE_AGGS, rows)}
    if quotes is not None:
        tables[SPY_OPTION_TRADES.name] = {session.date: build(SPY_OPTION_TRADES, [_print(q, session) for q in quotes])}
    params = EsSpyRatioParams(signals=SignalsParams(**groups))
    result = run(FAMILY, Fixed([session], tables=tables), [session], params)
    check_table(ES_SPY_RATIO, result.table, partition=session.key)
    return result


def _rest(close: int) -> dict[str, int]:
    return {"open_ticks": close, "high_ticks": close, "low_ticks": close, "volume": 1, "trades": 1}


def _print(quote: Quote, session: Session) -> dict[str, Any]:
    return {
        "ts_event_ns": quote.ts_ns,
        "strike_e3": round(quote.strike * 1000),
        "right": quote.right,
        "price": quote.price,
        "exp_date": session.date,
    }


def at(result: Result, t: int) -> tuple[float, str, int]:
    """The row in force at a moment."""
    before = [row for row in result.table.to_pylist() if row["valid_from_ns"] <= t]
    return before[-1]["ratio"], before[-1]["source"], before[-1]["obs"]


def walk(seed: int, keep: float = 0.8) -> tuple[dict[int, float], dict[int, float], tuple[Quote, ...]]:
    """Closes of ES and SPY from 03:30 on with holes, and option prints in some minutes."""
    rng = np.random.default_rng(seed)
    starts = np.arange(SESSION.ext_start_ns - 30 * MINUTE, SESSION.open_ns + 120 * MINUTE, MINUTE).tolist()
    price = 600 + np.cumsum(rng.normal(0, 0.05, len(starts)))
    es = {s: round(40.25 * p) / 4 for s, p in zip(starts, price, strict=True) if rng.random() < keep}
    gone = range(minute(20), minute(70))
    spy = {s: round(p, 2) for s, p in zip(starts, price, strict=True) if rng.random() < keep and s not in gone}
    quotes = []
    for s, p in zip(starts, price, strict=True):
        for strike in range(596, 605) if s >= SESSION.open_ns and rng.random() < 0.5 else ():
            for right in "CP":
                ahead = p - strike if right == "C" else strike - p
                value = round(max(ahead, 0) + rng.uniform(0.2, 0.3), 2)
                quotes += [Quote(s + int(rng.integers(0, 14)) * 10**9, float(strike), right, value)] * int(
                    rng.integers(0, 3)
                )
    return es, spy, tuple(sorted(quotes, key=lambda q: q.ts_ns))


@pytest.mark.parametrize("seed", range(4))
def test_equals_the_definition(seed):
    es, spy, quotes = walk(seed)
    result = made(es, spy, quotes)
    implied = {s: naive.parity(quotes, s, EXPIRY) for s in range(SESSION.open_ns, minute(120), MINUTE)}
    implied = {s: p for s, p in implied.items() if p is not None}
    assert len(implied) > 20
    seen = set()
    rows = result.table.to_pylist()
    for row in rows[:460]:
        ratio, source, obs = naive.in_force(row["valid_from_ns"], es, spy, implied, SESSION.ext_start_ns)
        assert (row["source"], row["obs"]) == (source, obs)
        assert row["ratio"] == pytest.approx(ratio, rel=1e-12)
        seen.add(source)
    assert seen == {"spy", "parity", "fixed"}
    assert [row["valid_from_ns"] for row in rows] == list(
        range(SESSION.ext_start_ns, globex_window(SESSION)[1], MINUTE)
    )


def test_ten_is_not_the_ratio():
    """Six real sessions were off by about five dollars with ES / 10."""
    es, spy = {minute(k): 6943.0 for k in range(40)}, {minute(k): 689.5 for k in range(40)}
    ratio, source, obs = at(made(es, spy), minute(40))
    assert (source, obs) == ("spy", 30)
    assert abs(6943.0 / ratio - 689.5) < 1e-9
    assert abs(6943.0 / 10 - 689.5) > 4.5


def test_a_minute_counts_from_its_end():
    """The close of the minute that runs is not known: rows before its end stay, to the last bit."""
    es, spy = {minute(k): 6000.0 for k in range(20)}, {minute(k): 600.0 for k in range(20)}
    usual = made(es, spy)
    changed = made(es | {minute(9): 6030.0}, spy | {minute(9): 580.0})
    moved = [
        one["valid_from_ns"]
        for one, other in zip(usual.table.to_pylist(), changed.table.to_pylist(), strict=True)
        if one != other
    ]
    assert min(moved, default=minute(10)) >= minute(10)
    assert at(made({minute(k): 6000.0 for k in range(5)}, spy), minute(5) - 1)[1] == "fixed"
    assert at(made({minute(k): 6000.0 for k in range(5)}, spy), minute(5))[1] == "spy"


def test_the_other_contract_is_not_taken():
    assert at(made({minute(k): 6000.0 for k in range(9)}, {minute(k): 600.0 for k in range(9)}), minute(9))[0] == 10.0


def test_estimates_outside_the_range_are_refused():
    es = {minute(k): 6000.0 for k in range(9)}
    result = made(es, {minute(k): 500.0 for k in range(9)})
    assert at(result, minute(9)) == (10.0, "fixed", 0)
    assert [finding.kind for finding in result.findings] == ["ratio_fixed"]
    assert at(made(es, {minute(k): 500.0 for k in range(9)}, ratio={"high": 12.5}), minute(9))[:2] == (12.0, "spy")


def test_fixed_minutes_are_told_unless_wished():
    result = made({}, {})
    (finding,) = result.findings
    assert (finding.kind, finding.count) == ("ratio_fixed", 390)
    wished = made({}, ratio={"source": "fixed", "fixed": 10.05})
    assert set(wished.table["ratio"].to_pylist()) == {10.05}
    assert not wished.findings


def quotes_at(start: int, spot: float, strikes: range, gap_s: int = 0, carry: float = 1.0) -> list[Quote]:
    """A call and a put at each strike, by parity with a price."""
    return [
        Quote(
            start + (gap_s * 10**9 if right == "P" else 0),
            float(k),
            right,
            3.0 + (spot - k * carry if right == "C" else 0),
        )
        for k in strikes
        for right in "CP"
    ]


def test_parity_needs_strikes_near_the_price_and_prints_together():
    es = {minute(0): 6020.0}
    discount = math.exp(-0.045 * (EXPIRY - minute(1)) / 1e9 / (252 * 6.5 * 3600))

    def source(*args: Any) -> tuple[float, str, int]:
        return at(made(es, None, tuple(sorted(quotes_at(*args, carry=discount), key=lambda q: q.ts_ns))), minute(1))

    ratio, name, obs = source(minute(0), 600.0, range(599, 602), 5)
    assert (name, obs, round(ratio, 9)) == ("parity", 1, round(6020 / 600, 9))
    assert source(minute(0), 600.0, range(599, 602), 6)[1] == "fixed"
    assert source(minute(0), 600.0, range(599, 601))[1] == "fixed"
    assert source(minute(0), 600.0, range(606, 640))[1] == "fixed"


def test_prints_of_packages_say_nothing():
    quotes = quotes_at(minute(0), 600.0, range(598, 603))
    table = build(SPY_OPTION_TRADES, [_print(q, SESSION) | {"conditions": "209,233"} for q in quotes])
    day = {"session": SESSION.date}
    bars = [day | {"contract": "ESH5", "start_ns": minute(0), "close_ticks": 24_000, **_rest(24_000)}]
    tables = {
        ES_SESSION.name: {SESSION.date: build(ES_SESSION, [day | {"front_contract": "ESH5"}])},
        ES_BARS.name: {SESSION.date: build(ES_BARS, bars)},
        SPY_OPTION_TRADES.name: {SESSION.date: table},
    }
    market = Fixed([SESSION], tables=tables)
    assert at(run(FAMILY, market, [SESSION]), minute(1))[1] == "fixed"
    signed = EsSpyRatioParams(signals=SignalsParams(options={"unsigned_conditions": ()}))
    assert at(run(FAMILY, market, [SESSION], signed), minute(1))[1] == "parity"


@pytest.mark.parametrize(("source", "found"), [("spy", "spy"), ("parity", "parity"), ("fixed", "fixed")])
def test_one_source_only(source, found):
    es, spy, quotes = walk(1)
    names = set(made(es, spy, quotes, ratio={"source": source}).table["source"].to_pylist())
    assert names == {"fixed", found}


# --- a reference file --------------------------------------------------------------------------


def test_a_reference_file(tmp_path):
    es, spy = {minute(k): 6000.0 for k in range(9)}, {minute(k): 598.0 for k in range(9)}
    table = pa.table({"ts_ns": [*spy, minute(9) - 1], "price": [*spy.values(), 590.0]})
    pq.write_table(table, tmp_path / "spy.parquet")
    (tmp_path / "spy.csv").write_text("\n".join(["ts_ns,price", *(f"{s},{p}" for s, p in spy.items())]) + "\n")
    wanted = at(made(es, spy), minute(9))
    for name in ("spy.parquet", "spy.csv"):
        assert at(made(es, None, sources={"spy_reference": str(tmp_path / name)}), minute(9)) == wanted


def test_a_reference_file_counts_by_content(tmp_path):
    def tracked(text: str, name: str) -> dict[str, object]:
        path = tmp_path / name
        path.write_text(text)
        return EsSpyRatioParams(signals=SignalsParams(sources={"spy_reference": str(path)})).tracked()

    same = tracked("ts_ns,price\n1,600\n", "a.csv")
    assert tracked("ts_ns,price\n1,600\n", "b.csv") == same
    assert tracked("ts_ns,price\n1,601\n", "c.csv") != same
    assert EsSpyRatioParams().tracked() != same


def test_a_reference_file_that_is_none_is_told(tmp_path):
    (tmp_path / "x.csv").write_text("time,price\n1,2\n")
    for name in ("x.csv", "gone.csv"):
        with pytest.raises(SourceError, match="no file of SPY prices"):
            made({}, None, sources={"spy_reference": str(tmp_path / name)})


# --- the real ratio ----------------------------------------------------------------------------


def closes(path) -> dict[int, float]:
    """Start of each real minute and its close."""
    with gzip.open(path, "rt") as lines:
        rows = list(csv.DictReader(lines))
    zone = ZoneInfo("America/New_York")
    stamps = [dt.datetime.fromisoformat(row["timestamp"]).replace(tzinfo=zone) for row in rows]
    return {int(t.timestamp()) * 10**9: float(row["close"]) for t, row in zip(stamps, rows, strict=True)}


def test_real_sessions(shared_data):
    """Medians as published, and good to two cents a minute ahead."""
    folder = shared_data / "firstrate"
    es, spy = (closes(folder / f"{name}_1min_20260126_0202.csv.gz") for name in ("ES", "SPY"))
    seen, errors = 0, []
    for session in calendar().between(dt.date(2026, 1, 26), dt.date(2026, 2, 2)):
        start_ns, end_ns = globex_window(session)
        own_es, own_spy = ({s: p for s, p in x.items() if start_ns <= s < end_ns} for x in (es, spy))
        if not any(session.open_ns <= s < session.close_ns for s in own_es):
            continue
        seen += 1
        rows = made(own_es, own_spy, session=session).table.to_pylist()
        by_minute = {row["valid_from_ns"]: row for row in rows}
        regular = [by_minute[s] for s in range(session.open_ns, session.close_ns, MINUTE)]
        assert {row["source"] for row in regular} == {"spy"}
        assert 10.06 < np.median([row["ratio"] for row in regular]) < 10.085
        errors += [
            own_es[s] / by_minute[s]["ratio"] - own_spy[s]
            for s in range(session.open_ns, session.close_ns, MINUTE)
            if s in own_es and s in own_spy
        ]
    assert seen >= 5
    assert np.std(errors) < 0.02
