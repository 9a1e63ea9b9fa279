"""The order-book half of the synthetic market, read back with the vendor's library and plain Python."""

from __future__ import annotations

import csv
import datetime as dt
import gzip
import io
import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow.parquet as pq
import pytest

from raypipe.errors import UsageError
from raypipe.sources.synthetic import SynthParams, write_market
from tests.sources.synthetic_files import bar_file, read, truth

NEW_YORK = ZoneInfo("America/New_York")
MINUTE_NS = 60 * 10**9
FLAG_LAST = 128
UNDEFINED = 2**63 - 1
LEVELS = [f"{level:02d}" for level in range(10)]


def made(out: Path, **params: Any) -> Path:
    write_market(out, SynthParams(datasets=("es", "options"), es_activity=0.01, **params))
    return out


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three sessions over the end of daylight saving time, the last two with books."""
    return made(tmp_path_factory.mktemp("books"), sessions=3, es_sessions=3)


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The session before Thanksgiving, at which the next contract leads already, and the early close after it."""
    params = {"start_date": dt.date(2025, 11, 26), "roll_session": dt.date(2025, 11, 28)}
    return made(tmp_path_factory.mktemp("short"), sessions=2, es_sessions=2, **params)


def ns(date: str, time: str) -> int:
    return int(dt.datetime.fromisoformat(f"{date}T{time}").replace(tzinfo=NEW_YORK).timestamp()) * 10**9


def store(path: Path) -> Any:
    import databento

    # From bytes: the library leaves the files that it opens to the garbage collector.
    return databento.DBNStore.from_bytes(path.read_bytes())


def files(out: Path, schema: str) -> list[Path]:
    return sorted(out.glob(f"databento/GLBX.MDP3/{schema}/*.dbn.zst"))


def records(out: Path, schema: str, date: str, symbol: str | None = None) -> np.ndarray:
    """Records of the session of a date, from 18:00 of the day before."""
    day = dt.date.fromisoformat(date)
    parts = [store(path).to_ndarray() for path in files(out, schema)]
    found = np.concatenate(parts)
    start, end = ns(str(day - dt.timedelta(days=1)), "18:00"), ns(date, "17:00")
    found = found[(found["ts_event"] >= start) & (found["ts_event"] < end)]
    return found if symbol is None else found[found["instrument_id"] == ids(out)[symbol]]


def ids(out: Path) -> dict[str, int]:
    head = store(files(out, "trades")[0]).metadata
    return {name: int(intervals[0]["symbol"]) for name, intervals in head.mappings.items()}


def entry(out: Path, name: str, date: str) -> dict[str, Any]:
    return next(e for e in truth(out)["planted"] if e["id"] == name and e["key"]["session"] == date)


# --- files --------------------------------------------------------------------------------------


def test_the_library_reads_the_files_and_their_symbols(market: Path) -> None:
    paths = files(market, "trades")
    assert [path.name[9:18] for path in paths] == ["-20251030", "-20251031", "-20251102", "-20251103", "-20251104"]
    for path in paths:
        head = store(path).metadata
        assert (head.dataset, head.schema, str(head.stype_in), head.symbols) == (
            "GLBX.MDP3",
            "trades",
            "parent",
            ["ES.FUT"],
        )
        assert set(head.mappings) == {"ESZ5", "ESH6", "ESZ5-ESH6"}
    with warnings.catch_warnings():
        # The library itself uses calls that pandas 3 deprecates.
        warnings.simplefilter("ignore")
        frame = store(paths[1]).to_df()
    assert set(frame["symbol"]) == {"ESZ5", "ESH6", "ESZ5-ESH6"}


@pytest.mark.parametrize("schema", ["trades", "mbp-10"])
def test_a_file_holds_one_utc_day_of_receipt(market: Path, schema: str) -> None:
    for path in files(market, schema):
        head, found = store(path).metadata, store(path).to_ndarray()
        day = dt.datetime.strptime(path.name[10:18], "%Y%m%d").replace(tzinfo=dt.UTC)
        start = int(day.timestamp()) * 10**9
        assert start <= head.start < head.end <= start + 86_400 * 10**9
        for column in ("ts_event", "ts_recv"):
            assert head.start <= found[column].min()
            assert found[column].max() < head.end


def test_trades_are_the_t_records_of_the_books(market: Path) -> None:
    trades, books = (records(market, schema, "2025-11-03") for schema in ("trades", "mbp-10"))
    books = books[books["action"] == b"T"]
    shared = [name for name in trades.dtype.names if name not in ("length", "rtype")]
    assert len(trades) == len(books) > 1_000
    for name in shared:
        assert np.array_equal(trades[name], books[name]), name
    assert set(trades["length"]) == {12}
    assert set(books["length"]) == {92}


def test_warm_up_sessions_have_trades_only(market: Path) -> None:
    assert len(records(market, "trades", "2025-10-31")) > 1_000
    assert files(market, "mbp-10")[0].name.startswith("glbx-mdp3-20251102")


def test_same_arguments_give_the_same_bytes_and_more_sessions_change_none(market: Path, tmp_path: Path) -> None:
    again = made(tmp_path / "again", sessions=3, es_sessions=3)
    old = {path.relative_to(market): path.read_bytes() for path in market.rglob("*") if path.is_file()}
    assert {path.relative_to(again): path.read_bytes() for path in again.rglob("*") if path.is_file()} == old
    fewer = made(tmp_path / "fewer", sessions=2, es_sessions=2, mbp_sessions=1)
    for date in ("2025-10-31", "2025-11-03"):
        assert np.array_equal(records(fewer, "trades", date), records(market, "trades", date))
    assert np.array_equal(records(fewer, "mbp-10", "2025-11-03"), records(market, "mbp-10", "2025-11-03"))
    for kept in (bar_file(fewer, "minute", "2025-11-03"), files(fewer, "trades")[0]):
        assert kept.read_bytes() == old[kept.relative_to(fewer)]


def test_another_seed_makes_another_market(market: Path, tmp_path: Path) -> None:
    other = made(tmp_path / "other", sessions=1, es_sessions=1, seed=8)
    assert not np.array_equal(records(other, "trades", "2025-10-31"), records(market, "trades", "2025-10-31"))


def test_force_removes_the_files_of_an_earlier_market(tmp_path: Path) -> None:
    out = made(tmp_path, sessions=2, es_sessions=2)
    params = SynthParams(datasets=("es",), es_activity=0.01, sessions=1, es_sessions=1)
    with pytest.raises(UsageError, match="is not empty"):
        write_market(out, params)
    result = write_market(out, params, force=True)
    assert sorted(path.relative_to(out).as_posix() for path in out.rglob("*.dbn.zst")) == list(result.book_keys)
    assert not list(out.rglob("us_options_opra/**/*.gz"))


# --- the book -----------------------------------------------------------------------------------


def test_events_are_in_order_and_closed_by_their_last_record(market: Path) -> None:
    found = records(market, "mbp-10", "2025-11-03")
    assert (np.diff(found["ts_recv"].astype(np.int64)) >= 0).all()
    assert (np.diff(found["ts_event"].astype(np.int64)) >= 0).all()
    late = found["ts_recv"].astype(np.int64) - found["ts_event"].astype(np.int64)
    assert late.min() >= 90_000
    assert np.median(late) < 330_000
    event = list(zip(found["instrument_id"].tolist(), found["ts_event"].tolist(), strict=True))
    ends = np.array([a != b for a, b in zip(event, [*event[1:], None], strict=True)])
    last = found["flags"] & FLAG_LAST > 0
    auction = found["ts_event"] < ns("2025-11-02", "18:00:01")
    assert np.array_equal(last[~auction], ends[~auction])
    step = np.diff(found["sequence"].astype(np.int64))
    assert np.array_equal(step, ends[:-1].astype(np.int64))


def test_levels_are_sorted_priced_on_the_grid_and_uncrossed(market: Path) -> None:
    found = records(market, "mbp-10", "2025-11-03", "ESZ5")
    for side, sign in (("bid", -1), ("ask", 1)):
        price = np.stack([found[f"{side}_px_{k}"] for k in LEVELS], axis=1)
        size = np.stack([found[f"{side}_sz_{k}"] for k in LEVELS], axis=1)
        count = np.stack([found[f"{side}_ct_{k}"] for k in LEVELS], axis=1)
        there = price != UNDEFINED
        assert np.array_equal(there, size > 0)
        assert (count <= size).all()
        assert np.array_equal(there, count > 0)
        assert (price[there] % 250_000_000 == 0).all()
        both = there[:, :-1] & there[:, 1:]
        assert (sign * np.diff(price, axis=1)[both] > 0).all()
        assert there[:, -1].mean() > 0.9
    settled = found["flags"] & FLAG_LAST > 0
    assert (found["bid_px_00"] < found["ask_px_00"])[settled].mean() > 0.9999


def test_the_pre_open_book_crosses_and_an_auction_uncrosses_it(market: Path) -> None:
    found = np.concatenate([store(path).to_ndarray() for path in files(market, "mbp-10")[:1]])
    found = found[found["instrument_id"] == ids(market)["ESZ5"]]
    early = found[found["ts_event"] < ns("2025-11-02", "18:00")]
    assert early["action"][0] == b"R"
    assert (early["bid_px_00"] > early["ask_px_00"])[-3:].all()
    first = found[found["ts_event"] >= ns("2025-11-02", "18:00")]
    assert (first["action"][0], first["side"][0]) == (b"T", b"N")


def books_of(found: np.ndarray) -> Iterator[tuple[Any, dict[str, dict[int, int]]]]:
    for row in found:
        sides = {}
        for side in ("bid", "ask"):
            pairs = ((int(row[f"{side}_px_{k}"]), int(row[f"{side}_sz_{k}"])) for k in LEVELS)
            sides[side] = {price: size for price, size in pairs if price != UNDEFINED}
        yield row, sides


def flow_of(found: np.ndarray) -> dict[tuple[int, int], list[int]]:
    """Contracts added, canceled and filled per minute and side, by differences of the books in common view."""
    sums: dict[tuple[int, int], list[int]] = {}
    before: dict[str, dict[int, int]] | None = None
    pending: dict[tuple[str, int], int] = {}
    for row, after in books_of(found):
        if before is not None:
            for side, sign in (("bid", 1), ("ask", -1)):
                old, new = before[side], after[side]
                ends = [max(-sign * p for p in book) for book in (old, new) if len(book) == len(LEVELS)]
                key = int(row["ts_event"]) // MINUTE_NS * MINUTE_NS, sign
                total = sums.setdefault(key, [0, 0, 0])
                for price in old.keys() | new.keys():
                    change = new.get(price, 0) - old.get(price, 0)
                    if ends and -sign * price > min(ends):
                        continue
                    filled = min(max(-change, 0), pending.get((side, price), 0))
                    pending[side, price] = pending.get((side, price), 0) - filled
                    for k, lots in enumerate((max(change, 0), max(-change, 0) - filled, filled)):
                        total[k] += lots
        if row["action"] == b"T":
            key2 = ("ask" if row["side"] == b"B" else "bid", int(row["price"]))
            pending[key2] = pending.get(key2, 0) + int(row["size"])
        elif row["flags"] & FLAG_LAST:
            assert not any(pending.values()), "a trade that the book never showed"
            pending.clear()
        before = after
    return sums


def test_replayed_books_give_the_simulators_counts(market: Path) -> None:
    found = records(market, "mbp-10", "2025-11-03", "ESZ5")
    start, end = ns("2025-11-03", "10:15"), ns("2025-11-03", "10:45")
    near = found[(found["ts_event"] >= start - MINUTE_NS) & (found["ts_event"] < end)]
    expected = {
        (row["start_ns"], row["side"]): [row["added"], row["canceled"], row["filled"]]
        for row in pq.read_table(market / "truth_es_flow.parquet").to_pylist()
    }
    sums = {key: total for key, total in flow_of(near).items() if key[0] >= start}
    assert len(sums) == 60
    for key, total in sums.items():
        assert total == expected[key], key
    assert sum(total[2] for total in sums.values()) > 500


@pytest.mark.parametrize(("name", "side"), [("ES-BREAK", "ask"), ("ES-BOUNCE", "bid")])
def test_the_counts_around_a_planted_touch_are_those_of_the_zone(market: Path, name: str, side: str) -> None:
    found, planted = records(market, "mbp-10", "2025-11-03", "ESZ5"), entry(market, name, "2025-11-03")["expect"]
    touch = planted["decision_ns"]
    near = found[(found["ts_event"] >= touch - 240 * 10**9 - MINUTE_NS) & (found["ts_event"] < touch)]
    level, total = round(planted["level_price_es"] * 4), [0, 0, 0]
    change = near_changes(near, side)
    for ts, tick, *lots in change:
        if ts >= touch - 240 * 10**9 and abs(tick - level) <= 8:
            total = [a + b for a, b in zip(total, lots, strict=True)]
    assert total == [planted[f"barrier_{word}"] for word in ("added", "canceled", "filled")]
    assert planted["barrier_state"] == ("VACUUM" if name == "ES-BREAK" else "WALL")


def near_changes(found: np.ndarray, side: str) -> Iterator[tuple[int, int, int, int, int]]:
    """Changes of one side's levels in common view; a removal at a trade's time and price is a fill."""
    sign, before, traded = (1 if side == "bid" else -1), None, {}
    for row, sides in books_of(found):
        after = sides[side]
        if row["action"] == b"T":
            traded[int(row["ts_event"]), int(row["price"])] = int(row["size"])
        if before is not None:
            ends = [max(-sign * p for p in book) for book in (before, after) if len(book) == len(LEVELS)]
            for price in before.keys() | after.keys():
                change = after.get(price, 0) - before.get(price, 0)
                if change and not (ends and -sign * price > min(ends)):
                    fill = -change if (int(row["ts_event"]), price) in traded and change < 0 else 0
                    cut = max(-change, 0) - fill
                    yield int(row["ts_event"]), price // 250_000_000, max(change, 0), cut, fill
        before = after


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
