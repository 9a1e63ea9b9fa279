"""The scripted symbols: their rows, and that what ``truth.json`` says of them follows from the rows.

Every expectation is derived again here by the slowest definition: MACD bar by bar, labels by walking the bars.
"""

from __future__ import annotations

import datetime as dt
import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from raypipe.calendar import calendar
from raypipe.sources.synthetic import SynthParams, write_market
from raypipe.sources.synthetic.planted import PLANTED, STEPS
from tests.sources.synthetic_files import Row, bar_file, by_symbol, read, truth

NEW_YORK = ZoneInfo("America/New_York")
MINUTE_NS = 60 * 10**9
# From before the end of DST to after the early close.
PARAMS = SynthParams(sessions=21, symbols=1, history=70)
EARLY = "2025-11-28"


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("planted")
    write_market(out, PARAMS)
    return out


@pytest.fixture(scope="module")
def minutes(market: Path) -> dict[str, dict[str, list[Row]]]:
    """Scripted minute bars by session and symbol."""
    return rows_of(market, "minute")


@pytest.fixture(scope="module")
def days(market: Path) -> dict[str, dict[str, list[Row]]]:
    return rows_of(market, "day")


@pytest.fixture(scope="module")
def entries(market: Path) -> list[dict[str, Any]]:
    return truth(market)["planted"]


def rows_of(out: Path, data: str) -> dict[str, dict[str, list[Row]]]:
    files = sorted(out.rglob(f"{data}_aggs_v1/**/*.gz"))
    return {path.name[:10]: by_symbol([row for row in read(path) if row.symbol in PLANTED]) for path in files}


def time_of(ns: int) -> str:
    return dt.datetime.fromtimestamp(ns // 10**9, NEW_YORK).strftime("%H:%M")


def ns_of(date: str, time: str) -> int:
    return int(dt.datetime.fromisoformat(f"{date}T{time}").replace(tzinfo=NEW_YORK).timestamp()) * 10**9


# --- slow definitions ------------------------------------------------------------------------


def buckets(rows: list[Row], width: int) -> list[tuple[int, float]]:
    """End and last close of each bar of ``width`` minutes."""
    found: dict[int, float] = {}
    for row in rows:
        found[(row.start_ns // (width * MINUTE_NS) + 1) * width * MINUTE_NS] = row.close
    return list(found.items())


def crossings(rows: list[Row], width: int) -> Iterator[tuple[str, int]]:
    """MACD 12/26/9 crossings of seasoned bars: kind and decision time."""
    fast = slow = signal = before = 0.0
    for i, (end, close) in enumerate(buckets(rows, width)):
        if i == 0:
            fast = slow = close
        fast += 2 / 13 * (close - fast)
        slow += 2 / 27 * (close - slow)
        signal += 2 / 10 * (fast - slow - signal)
        hist = fast - slow - signal
        hist = 0.0 if abs(hist) <= 1e-12 * close else hist
        if i >= 34:
            if before <= 0 < hist:
                yield "cross_up", end
            if before >= 0 > hist:
                yield "cross_down", end
        before = hist


def first_touch(rows: list[Row], decision_ns: int, shut_ns: int, side: int) -> dict[str, Any]:
    """Outcome of the long (+1) or short (-1) view with 80 bp both ways in 30 minutes."""
    entry = next((row for row in rows if decision_ns <= row.start_ns < decision_ns + 5 * MINUTE_NS), None)
    if entry is None:
        return {"outcome": "no_entry"}
    end_ns = min(entry.start_ns + 30 * MINUTE_NS, shut_ns)
    fixed = {"entry_ns": entry.start_ns, "price": entry.open, "end_ns": end_ns}
    target, stop = entry.open * (1 + side * 0.008), entry.open * (1 - side * 0.008)
    high, low = max(target, stop) * (1 - 1e-9), min(target, stop) * (1 + 1e-9)
    for row in rows:
        if entry.start_ns <= row.start_ns and row.start_ns + MINUTE_NS <= end_ns:
            above, below = row.high >= high, row.low <= low
            if above or below:
                won = not (above and below) and above == (side > 0)
                touch_s = (row.start_ns + MINUTE_NS - entry.start_ns) // 10**9
                level = target if won else stop
                return fixed | {
                    "outcome": "target" if won else "adverse",
                    "touch_s": touch_s,
                    "ambiguous": above and below,
                    "exit": level,
                }
    return fixed | {"outcome": "timeout", "touch_s": None, "ambiguous": False, "exit": entry.open}


# --- truth against the rows ------------------------------------------------------------------


def test_bronze_expectations_are_rows(entries: list[dict], minutes: dict, days: dict) -> None:
    seen = Counter()
    for entry in entries:
        key, expect = entry["key"], dict(entry["expect"])
        if entry["table"] == "bronze/day_aggs":
            (row,) = days[key["session"]][key["symbol"]]
        elif entry["table"] == "bronze/minute_aggs":
            bars = minutes[key["session"]][key["symbol"]]
            (row,) = (bar for bar in bars if bar.start_ns == key["window_start_ns"])
            segment = expect.pop("segment")
            assert segment == ("rth" if time_of(row.start_ns) < "16:00" else "post")
        else:
            continue
        shown = {name: getattr(row, {"window_start_ns": "start_ns"}.get(name, name)) for name in expect}
        assert shown == expect
        seen[entry["table"]] += 1
    assert seen["bronze/day_aggs"] == 20 * len(STEPS) + 21 * 2
    assert seen["bronze/minute_aggs"] > 20 * len(STEPS)


def test_events_are_all_crossings_and_no_other(entries: list[dict], minutes: dict) -> None:
    stated = {
        (key["session"], key["symbol"], key["tf"], key["event_type"], key["decision_ns"])
        for key in (entry["key"] for entry in entries if entry["table"] == "gold/events")
    }
    steps = [step.symbol for step in STEPS]
    found = {
        (session, symbol, f"{width}m", kind, end)
        for session, symbols in minutes.items()
        for symbol in steps
        if symbol in symbols
        for width in (1, 5)
        for kind, end in crossings(symbols[symbol], width)
    }
    assert found == stated
    assert len(found) == 20 * sum(len(step.crossings) for step in STEPS)


def test_event_columns_follow_from_their_key(entries: list[dict]) -> None:
    for entry in entries:
        if entry["table"] == "gold/events":
            key, expect = entry["key"], entry["expect"]
            assert expect["bar_start_ns"] == key["decision_ns"] - int(key["tf"][0]) * MINUTE_NS
            assert expect["direction"] == {"cross_up": 1, "cross_down": -1}[key["event_type"]]
            letter = key["event_type"][6].upper()
            assert expect["event_id"] == f"{key['symbol']}|{key['tf']}|{expect['bar_start_ns']}|{letter}"


def test_labels_are_what_walking_the_bars_gives(entries: list[dict], minutes: dict) -> None:
    outcomes = Counter()
    for entry in entries:
        if entry["table"] != "gold/event_labels":
            continue
        key, expect = entry["key"], entry["expect"]
        rows, shut_ns = minutes[key["session"]][key["symbol"]], ns_of(key["session"], "16:00")
        side = 1 if key["event_type"] == "cross_up" else -1
        own, long, short = (first_touch(rows, key["decision_ns"], shut_ns, way) for way in (side, 1, -1))
        outcomes[own["outcome"]] += 1
        assert expect["outcome_80bp_30m"] == own["outcome"]
        if own["outcome"] == "no_entry":
            assert {name for name, value in expect.items() if value is not None} == {"outcome_80bp_30m"}
            continue
        gain = side * (own["exit"] / own["price"] - 1)
        assert expect == {
            "entry_ns": own["entry_ns"],
            "entry_price": own["price"],
            "entry_delay_s": (own["entry_ns"] - key["decision_ns"]) // 10**9,
            "label_up_80bp_30m": int(long["outcome"] == "target"),
            "label_dn_80bp_30m": int(short["outcome"] == "target"),
            "label_80bp_30m": int(own["outcome"] == "target"),
            "ret_80bp_30m": pytest.approx(gain, abs=1e-12),
            "exit_price_80bp_30m": pytest.approx(own["exit"], rel=1e-12),
            "touch_s_80bp_30m": own["touch_s"],
            "ambiguous_80bp_30m": own["ambiguous"],
            "horizon_end_ns_30m": own["end_ns"],
            "horizon_truncated_30m": own["entry_ns"] + 30 * MINUTE_NS > shut_ns,
            "outcome_80bp_30m": own["outcome"],
        }
    assert set(outcomes) == {"target", "adverse", "timeout", "no_entry"}


def test_macd_counts_follow_from_the_rows(entries: list[dict], minutes: dict) -> None:
    chosen = [entry for entry in entries if entry["table"] == "silver/macd_session_features"]
    assert len(chosen) == 20 * len(STEPS) + 21
    for entry in chosen:
        rows, expect = minutes[entry["key"]["session"]][entry["key"]["symbol"]], entry["expect"]
        for width in (1, 5):
            bars, kinds = buckets(rows, width), Counter(kind for kind, _ in crossings(rows, width))
            shown = {
                f"bars_n__{width}m": len(bars),
                f"close_last__{width}m": bars[-1][1],
                f"hist_zero_cross_up_count__{width}m": kinds["cross_up"],
                f"hist_zero_cross_down_count__{width}m": kinds["cross_down"],
            }
            assert {name: shown[name] for name in expect if name.endswith(f"__{width}m")}.items() <= expect.items()


def test_minute_features_follow_from_the_rows(entries: list[dict], minutes: dict) -> None:
    chosen = [entry for entry in entries if entry["table"] == "silver/minute_features"]
    assert len(chosen) == 20 * len(STEPS) + 2 * 21
    for entry in chosen:
        session, expect = entry["key"]["session"], entry["expect"]
        shut = "13:00" if session == EARLY else "16:00"
        rows = [r for r in minutes[session][entry["key"]["symbol"]] if "09:30" <= time_of(r.start_ns) < shut]
        assert expect["bars_n"] == len(rows)
        assert expect["day_volume"] == sum(r.volume for r in rows)
        prices = (expect["day_open"], expect["day_high"], expect["day_low"], expect["day_close"])
        assert prices == (rows[0].open, max(r.high for r in rows), min(r.low for r in rows), rows[-1].close)
        assert expect["day_range_pct"] == pytest.approx((prices[1] - prices[2]) / prices[0])
        for width in (5, 15):
            if f"first_{width}m_high" in expect:
                first = [r for r in rows if time_of(r.start_ns) < f"09:{30 + width}"]
                high, low = max(r.high for r in first), min(r.low for r in first)
                assert (expect[f"first_{width}m_high"], expect[f"first_{width}m_low"]) == (high, low)
                assert expect[f"range_{width}m_pct"] == pytest.approx((high - low) / rows[0].open)
                assert expect[f"breakout_{width}m_up"] == (rows[-1].close > high)
                assert expect[f"breakout_{width}m_down"] == (rows[-1].close < low)


def test_daily_expectations_follow_from_the_day_files(market: Path, entries: list[dict], days: dict) -> None:
    (_, split_row) = (market / "reference/splits.csv").read_text().split()
    _, ex_session, split_from, split_to = split_row.split(",")
    dates = sorted(days)
    checked = Counter()
    for entry in entries:
        session, symbol = entry["key"].get("session"), entry["key"]["symbol"]
        if entry["table"] != "silver/daily" or entry["id"] == "regime":
            continue
        before = [date for date in dates if date < session and symbol in days[date]]
        ratio = int(split_to) / int(split_from) if (symbol, session) == ("PLSP", ex_session) else 1.0
        (row,) = days[session][symbol]
        shown: dict[str, Any] = {"close": row.close, "split_ratio": ratio}
        if before:
            (last,) = days[before[-1]][symbol]
            previous = last.close / ratio
            shown |= {
                "prev_close": previous,
                "ret_d": row.close / previous - 1,
                "gap_sessions": dates.index(session) - dates.index(before[-1]),
                "suspect_gap": not 0.6 <= row.open / previous <= 1 / 0.6,
            }
        for name, value in entry["expect"].items():
            assert shown[name] == pytest.approx(value, abs=entry["tol"])
        checked[symbol] += 1
    assert checked["PLSP"] == 91
    assert checked["PLTA"] == 19


# --- single scripts --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("symbol", "holds"),
    [
        ("PLTA", lambda bars: bars["13:11"].high == 10.6 and bars["13:00"].open == 10 and bars["13:00"].close == 10.5),
        ("PLAD", lambda bars: bars["13:06"].low == 10.4 and bars["13:20"].high == 10.6),
        ("PLTO", lambda bars: {bar.close for bar in bars.values()} == {10, 10.5}),
        ("PLAM", lambda bars: (bars["13:09"].high, bars["13:09"].low) == (10.6, 10.4)),
        ("PLEX", lambda bars: bars["13:11"].high == 7.56 and 7.5 * 1.008 > 7.56),
        ("PLGP", lambda bars: {"13:00", "13:04"} <= set(bars) and not {"13:01", "13:02", "13:03"} & set(bars)),
        ("PLNE", lambda bars: max(bars) == "13:00"),
        ("PLHZ", lambda bars: bars["15:39"].close == 10.5 and bars["16:05"].high == 10.6),
        ("PLTM", lambda bars: [t for t in bars if t > "13:01"][:4] == ["13:10", "13:20", "13:30", "13:40"]),
    ],
)
def test_step_scripts_are_as_told_on_every_full_session(
    minutes: dict, symbol: str, holds: Callable[[dict[str, Row]], bool]
) -> None:
    full = [session for session in minutes if session != EARLY]
    assert len(full) == 20
    assert symbol not in minutes[EARLY]
    for session in full:
        bars = {time_of(row.start_ns): row for row in minutes[session][symbol]}
        assert min(bars) == "09:30"
        assert holds(bars)


def test_a_late_high_is_no_part_of_the_day_bar(days: dict) -> None:
    assert all(symbols["PLHZ"][0].high == 10.5 for symbols in days.values() if "PLHZ" in symbols)
    assert all(symbols["PLOR"][0].high == 21 for symbols in days.values() if "PLOR" in symbols)


def test_evening_bars_cross_midnight_in_utc_during_winter_only(minutes: dict) -> None:
    shifted = set()
    for session, symbols in minutes.items():
        last = symbols["PLEV"][-1]
        assert time_of(last.start_ns) == "19:39"
        if dt.datetime.fromtimestamp(last.start_ns // 10**9, dt.UTC).date().isoformat() != session:
            shifted.add(session)
    assert shifted == set(minutes) - {"2025-10-31"}


def test_the_split_symbol_rises_through_its_split(days: dict) -> None:
    closes = [symbols["PLSP"][0].close for _, symbols in sorted(days.items())]
    ratios = [after / before for before, after in itertools.pairwise(closes)]
    split = [i for i, ratio in enumerate(ratios) if ratio < 0.5]
    assert [sorted(days)[i + 1] for i in split] == ["2025-11-05"]
    ratios[split[0]] *= 4
    assert ratios == pytest.approx([1.01] * 90, abs=1e-5)
    assert all(re.fullmatch(r"\d+(\.\d{1,4})?", repr(close)) for close in closes)


def test_the_exact_touch_symbol_passes_the_daily_filter_and_reaches_the_dataset(
    entries: list[dict], days: dict
) -> None:
    dates = sorted(days)
    filtered = {e["key"]["session"]: e["expect"] for e in entries if e["table"] == "silver/daily_filtered"}
    for session, expect in filtered.items():
        window = dates[max(0, dates.index(session) - 89) : dates.index(session) + 1]
        rows = [days[date]["PLEX"][0] for date in window if "PLEX" in days[date]]
        assert expect["days_in_window"] == len(rows) >= 60
        assert expect["avg_volume"] == sum(row.volume for row in rows) / len(rows) >= 750_000
    dataset = [e["key"]["session"] for e in entries if e["table"] == "gold/ml_dataset"]
    previous = {session: dates[dates.index(session) - 1] for session in dataset}
    assert dataset
    assert all(previous[session] in filtered for session in dataset)
    ranges = {e["key"]["session"]: e["expect"] for e in entries if e["table"] == "gold/range_expansion_labels"}
    for session, expect in ranges.items():
        following, close = days[expect["next_session"]]["PLEX"][0], days[session]["PLEX"][0].close
        assert expect["next_session"] == dates[dates.index(session) + 1]
        assert expect["next_day_range_pct"] == pytest.approx((following.high - following.low) / close)


def test_names_are_judged_on_every_session(entries: list[dict], days: dict) -> None:
    flags: dict[str, set[bool]] = {}
    for entry in entries:
        if entry["id"] == "names" and not entry["key"]["symbol"].startswith("PL"):
            flags.setdefault(entry["key"]["symbol"], set()).add(entry["expect"]["tradable"])
    assert {symbol for symbol, tradable in flags.items() if tradable == {True}} == {
        *("SPY", "NA", "TRUE", "SNAP", "SHIP", "TRIP", "COOP", "BRK.B", "AGNC"),
    }
    assert {symbol for symbol, tradable in flags.items() if tradable == {False}} == {
        *("ABCDW", "ABCDU", "ABCDR", "XYZ.WS", "ABC.U", "BACpK", "AGNCP", "XYZw", "ZVZZT", "NTEST.A"),
    }
    planted = {(e["key"]["session"], e["key"]["symbol"]) for e in entries if e["id"] == "names"}
    sessions = {session for session, _ in planted}
    assert sessions == {day.key for day in calendar().between(dt.date(2025, 10, 31), dt.date(2025, 12, 1))}
    scripted = {(session, symbol) for session, symbol in planted if symbol in PLANTED}
    assert scripted == {(session, symbol) for session in sessions for symbol in days[session]}


def test_every_id_of_the_script_book_is_planted(entries: list[dict]) -> None:
    assert {entry["id"] for entry in entries} == {*PLANTED, "names"}
    keys = [(entry["id"], entry["table"], tuple(sorted(entry["key"].items()))) for entry in entries]
    assert len(keys) == len(set(keys))
    assert all(set(entry) == {"id", "table", "key", "expect", "tol"} for entry in entries)


def test_truth_states_its_parameters(market: Path) -> None:
    head = truth(market)
    assert head["seed"] == 7
    assert head["params"]["start_date"] == "2025-10-31"
    assert head["faults"] == []
    assert (bar_file(market, "minute", EARLY)).exists()
