"""ES, SPY and SPY options of the synthetic market: shape, planted touches, roll, smile."""

from __future__ import annotations

import csv
import datetime as dt
import gzip
import io
import json
from pathlib import Path

import numpy as np
import pytest

from raypipe.sources.synthetic import SynthParams, write_market
from tests.sources.synthetic_books import MINUTE_NS, NEW_YORK, entry, ids, made, ns, records
from tests.sources.synthetic_files import bar_file, read, truth


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three sessions over the end of daylight saving time, the last two with books."""
    return made(tmp_path_factory.mktemp("books"), sessions=3, es_sessions=3)


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The session before Thanksgiving, at which the next contract leads already, and the early close after it."""
    params = {"start_date": dt.date(2025, 11, 26), "roll_session": dt.date(2025, 11, 28)}
    return made(tmp_path_factory.mktemp("short"), sessions=2, es_sessions=2, **params)


# --- the market ---------------------------------------------------------------------------------


def test_back_month_and_spread_share_the_file(market: Path) -> None:
    found, numbers = records(market, "mbp-10", "2025-11-03"), ids(market)
    share = {name: (found["instrument_id"] == number).mean() for name, number in numbers.items()}
    assert 0.02 < share["ESH6"] < 0.06
    trades = records(market, "trades", "2025-11-03")
    price = {name: trades["price"][trades["instrument_id"] == number] / 1e9 for name, number in numbers.items()}
    assert np.median(price["ESH6"]) - np.median(price["ESZ5"]) == pytest.approx(55, abs=3)
    assert np.abs(price["ESZ5-ESH6"] - 55).max() < 1
    assert (np.round(price["ESZ5-ESH6"] / 0.05, 6) % 1 == 0).all()
    assert (price["ESZ5-ESH6"] % 0.25 != 0).any()
    assert {b"A", b"B", b"N"} == set(trades["side"])


def test_nights_are_thin_and_every_minute_of_regular_hours_trades(market: Path) -> None:
    ts = records(market, "trades", "2025-11-03", "ESZ5")["ts_event"].astype(np.int64)
    minute = np.bincount((ts - ns("2025-11-02", "18:00")) // MINUTE_NS, minlength=23 * 60)
    assert (minute[930:1320] > 0).mean() >= 0.99
    assert minute[930:1320].mean() > 2 * minute[:600].mean()
    assert (minute > 0).mean() > 0.85


def test_planted_touches_by_a_naive_scan(market: Path) -> None:
    """One trade after the other, at the market's own ratio."""
    for date in ("2025-11-03", "2025-11-04"):
        trades = records(market, "trades", date, "ESZ5")
        rows = list(zip(trades["ts_event"].tolist(), (trades["price"] / 1e9).tolist(), strict=True))
        early = [price for at, price in rows if ns(date, "04:00") <= at < ns(date, "09:30")]
        for name, sign, level in (("ES-BREAK", 1, max(early)), ("ES-BOUNCE", -1, min(early))):
            armed, found = False, 0
            for at, price in rows:
                x = sign * (price - level) / 10.05
                if at < ns(date, "09:30") or found:
                    continue
                armed = armed or x <= -0.25
                found = at if armed and x >= -0.10 else 0
            planted = entry(market, name, date)
            expect = planted["expect"]
            assert (expect["decision_ns"], expect["level_price_es"]) == (found, level)
            assert planted["key"]["event_id"].endswith(f".{found}")
            later = [(at, sign * (price - level) / 10.05) for at, price in rows if found < at <= found + 240 * 10**9]
            beyond = next(x for _, x in later if abs(x) >= 2)
            assert expect["outcome_4min"] == ("BREAK" if beyond > 0 else "BOUNCE") == name[3:]
            hit = next(at for at, x in later if abs(x) >= 1)
            word = "break" if name == "ES-BREAK" else "bounce"
            assert expect[f"time_to_{word}_1_4min"] == pytest.approx((hit - found) / 1e9, abs=1e-9)
            wall_clock = dt.datetime.fromtimestamp(found / 1e9, NEW_YORK)
            assert (wall_clock.hour, wall_clock.minute) == ((10, 30) if sign > 0 else (14, 0))


def test_spy_is_es_over_the_ratio(market: Path) -> None:
    trades = records(market, "trades", "2025-11-03", "ESZ5")
    minute = trades["ts_event"].astype(np.int64) // MINUTE_NS
    last = np.flatnonzero(np.diff(minute, append=-1))
    closes = dict(zip((minute[last] * MINUTE_NS).tolist(), (trades["price"][last] / 1e9).tolist(), strict=True))
    rows = read(bar_file(market, "minute", "2025-11-03"))
    assert {row.symbol for row in rows} == {"SPY"}
    assert rows[0].start_ns >= ns("2025-11-03", "04:00")
    for row in rows:
        assert row.close == pytest.approx(closes[row.start_ns] / 10.05, abs=0.00501)
        assert row.low <= min(row.open, row.close) <= max(row.open, row.close) <= row.high
    assert len(rows) > 500


def test_spy_replaces_the_simulated_minutes_beside_equities(tmp_path: Path) -> None:
    params = {"sessions": 2, "symbols": 5, "history": 1, "es_activity": 0.01, "es_sessions": 1}
    write_market(tmp_path / "both", SynthParams(datasets=("equities", "es"), **params))
    write_market(tmp_path / "plain", SynthParams(**params))
    for date, alike in (("2025-10-31", False), ("2025-11-03", True)):
        both, plain = (read(bar_file(tmp_path / name, "minute", date)) for name in ("both", "plain"))
        others = [[row for row in rows if row.symbol != "SPY"] for rows in (both, plain)]
        assert others[0] == others[1]
        assert (both == plain) == alike
        day = next(row for row in read(bar_file(tmp_path / "both", "day", date)) if row.symbol == "SPY")
        spy = [row for row in both if row.symbol == "SPY"]
        assert day.volume == sum(row.volume for row in spy)


def test_early_close_and_roll(short: Path) -> None:
    assert entry(short, "ES-FRONT", "2025-11-26")["key"]["front_contract"] == "ESZ5"
    planted = entry(short, "ES-FRONT", "2025-11-28")
    assert planted["key"]["front_contract"] == "ESH6"
    assert planted["expect"]["early_close"]
    trades = records(short, "trades", "2025-11-28")
    assert trades["ts_event"].max() < ns("2025-11-28", "13:15")
    hours = (trades["ts_event"] >= ns("2025-11-28", "09:30")) & (trades["ts_event"] < ns("2025-11-28", "13:00"))
    for name, key in (("ESH6", "front_volume_rth"), ("ESZ5", None)):
        lots = int(trades["size"][hours & (trades["instrument_id"] == ids(short)[name])].sum())
        if key:
            assert lots == planted["expect"][key]
        else:
            assert lots == planted["expect"]["outright_volume_rth"] - planted["expect"]["front_volume_rth"]
    spread = trades["instrument_id"] == ids(short)["ESZ5-ESH6"]
    assert planted["expect"]["dropped_spread_lots"] == int(trades["size"][spread].sum())
    bounce = entry(short, "ES-BOUNCE", "2025-11-28")["expect"]
    assert dt.datetime.fromtimestamp(bounce["decision_ns"] / 1e9, NEW_YORK).hour == 12
    # The next contract is 55 points dearer; SPY does not see the roll.
    before, after = (read(bar_file(short, "minute", date)) for date in ("2025-11-26", "2025-11-28"))
    assert after[0].open == pytest.approx(before[-1].close, abs=1.5)


# --- options ------------------------------------------------------------------------------------


def option_rows(out: Path, date: str) -> list[dict[str, str]]:
    path = out / f"us_options_opra/trades_v1/{date[:4]}/{date[5:7]}/{date}.csv.gz"
    return list(csv.DictReader(io.StringIO(gzip.decompress(path.read_bytes()).decode())))


def test_option_files_look_like_the_vendors(market: Path) -> None:
    rows = option_rows(market, "2025-11-03")
    assert list(rows[0]) == ["ticker", "conditions", "correction", "exchange", "price", "sip_timestamp", "size"]
    order = [(row["ticker"], int(row["sip_timestamp"])) for row in rows]
    assert order == sorted(order)
    roots = {ticker[:-15] + ticker[-15:-9] for ticker in {row["ticker"] for row in rows}}
    assert roots == {"O:SPY251103", "O:SPY251104", "O:SPYG251103"}
    assert {row["conditions"] for row in rows} == {"201", "209", "232"}
    assert {row["correction"] for row in rows} == {"0", "1"}
    assert all(float(row["price"]) >= 0.01 for row in rows)
    times = [int(row["sip_timestamp"]) for row in rows]
    assert ns("2025-11-03", "09:30") <= min(times)
    assert ns("2025-11-03", "16:00") < max(times) < ns("2025-11-03", "16:15")
    minutes = {time // MINUTE_NS for time in times if time < ns("2025-11-03", "16:00")}
    assert len(minutes) == 390


def test_option_prices_invert_to_the_smile(market: Path) -> None:
    """Solved by bisection on scipy's normal distribution, for prints that say something about volatility."""
    from scipy.optimize import brentq
    from scipy.stats import norm

    trades = records(market, "trades", "2025-11-03", "ESZ5")
    at, price = trades["ts_event"].astype(np.int64), trades["price"] / 1e9
    expiry = ns("2025-11-03", "16:15")

    def value(sigma: float, spot: float, strike: float, years: float, sign: int) -> float:
        d1 = (np.log(spot / strike) + (0.045 + sigma**2 / 2) * years) / (sigma * np.sqrt(years))
        d2 = d1 - sigma * np.sqrt(years)
        return float(sign * (spot * norm.cdf(sign * d1) - strike * np.exp(-0.045 * years) * norm.cdf(sign * d2)))

    rows = [row for row in option_rows(market, "2025-11-03") if row["ticker"].startswith("O:SPY251103")]
    checked = 0
    for row in rows[:: len(rows) // 150]:
        ts, strike, sign = int(row["sip_timestamp"]), int(row["ticker"][-8:]) / 1000, 1 if "C0" in row["ticker"] else -1
        spot = price[np.searchsorted(at, ts) - 1] / 10.05
        years = (expiry - ts) / (252 * 6.5 * 3600 * 1e9)
        x = np.log(strike / spot)
        known = 0.16 - 0.9 * x + 30 * x**2
        vega = (value(known + 1e-4, spot, strike, years, sign) - value(known - 1e-4, spot, strike, years, sign)) / 2e-4
        if vega < 2:
            continue
        args = (spot, strike, years, sign)
        solved = brentq(lambda s, a=args, p=float(row["price"]): value(s, *a) - p, 0.001, 5)
        assert solved == pytest.approx(known, abs=0.016 / vega + 1e-3)
        checked += 1
    assert checked > 30


def test_walls_have_the_most_contracts(market: Path) -> None:
    expect = entry(market, "ES-BOUNCE", "2025-11-03")["expect"]
    lots: dict[tuple[str, float], int] = {}
    for row in option_rows(market, "2025-11-03"):
        if row["ticker"].startswith("O:SPY251103") and int(row["sip_timestamp"]) < expect["decision_ns"]:
            key = row["ticker"][-9], int(row["ticker"][-8:]) / 1000
            lots[key] = lots.get(key, 0) + int(row["size"])
    for right, column in (("C", "call_wall"), ("P", "put_wall")):
        heaviest = max((key for key in lots if key[0] == right), key=lambda key: lots[key])
        assert heaviest == (right, expect[column])
        assert lots[heaviest] >= 100


def test_truth_is_plain_json(market: Path) -> None:
    document = truth(market)
    assert document["params"]["roll_session"] is None
    assert {e["id"] for e in document["planted"]} == {"ES-FRONT", "ES-BREAK", "ES-BOUNCE"}
    assert len(document["planted"]) == 3 + 2 * 2
    json.dumps(document, allow_nan=False)
