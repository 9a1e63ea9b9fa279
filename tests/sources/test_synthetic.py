"""A synthetic market as written: bytes, layout, and the laws between its files."""

from __future__ import annotations

import csv
import datetime as dt
import re
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from raypipe.errors import UsageError
from raypipe.sources.synthetic import SynthParams, write_market
from tests.sources.synthetic_files import Row, bar_file, by_symbol, contents, read, truth

NEW_YORK = ZoneInfo("America/New_York")
SMALL = SynthParams(sessions=4, symbols=8, history=3)
DATES = ("2025-10-31", "2025-11-03", "2025-11-04", "2025-11-05")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("small") / "market"
    write_market(out, SMALL)
    return out


@pytest.fixture(scope="module")
def thanksgiving(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """2025-11-26, then an early close; the 27th is a holiday."""
    out = tmp_path_factory.mktemp("thanksgiving")
    write_market(out, SynthParams(sessions=3, symbols=60, history=0, start_date=dt.date(2025, 11, 26)))
    return out


def wall(ns: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(ns // 10**9, NEW_YORK)


# --- bytes -----------------------------------------------------------------------------------


def test_same_arguments_give_the_same_bytes(small: Path, tmp_path: Path) -> None:
    write_market(tmp_path, SMALL)
    assert contents(tmp_path) == contents(small)


def test_another_seed_gives_another_market(small: Path, tmp_path: Path) -> None:
    write_market(tmp_path, SynthParams(sessions=1, symbols=8, history=0, seed=8))
    name = f"us_stocks_sip/day_aggs_v1/2025/10/{DATES[0]}.csv.gz"
    assert contents(tmp_path)[name] != contents(small)[name]


@pytest.mark.parametrize("other", [SynthParams(sessions=2, symbols=8, history=1), SynthParams(2, 8, history=0)])
def test_sessions_and_history_never_change_a_session(small: Path, tmp_path: Path, other: SynthParams) -> None:
    result = write_market(tmp_path, other)
    fewer, more = contents(tmp_path), contents(small)
    assert len(result.keys) == 4 + other.history
    assert all(more[key] == fewer[key] for key in result.keys)


def test_gzip_header_holds_neither_time_nor_name(small: Path) -> None:
    heads = {content[:8] for name, content in contents(small).items() if name.endswith(".gz")}
    assert heads == {b"\x1f\x8b\x08\x00\x00\x00\x00\x00"}


def test_level_changes_bytes_but_no_row(small: Path, tmp_path: Path) -> None:
    write_market(tmp_path, SynthParams(sessions=1, symbols=8, history=0, level=6))
    squeezed, quick = bar_file(tmp_path, "minute", DATES[0]), bar_file(small, "minute", DATES[0])
    assert squeezed.stat().st_size < quick.stat().st_size
    assert read(squeezed) == read(quick)


# --- layout ----------------------------------------------------------------------------------


def test_files_are_the_vendors_keys(small: Path) -> None:
    history = ("2025-10-28", "2025-10-29", "2025-10-30")
    bars = [bar_file(small, "day", date) for date in (*history, *DATES)]
    bars += [bar_file(small, "minute", date) for date in DATES]
    others = ["files_list.txt", "truth.json", "reference/splits.csv", "reference/tickers.csv"]
    assert set(contents(small)) == {path.relative_to(small).as_posix() for path in bars} | set(others)


def test_listing_reads_like_the_buckets(small: Path) -> None:
    lines = (small / "files_list.txt").read_text().splitlines()
    parsed = [re.fullmatch(r"(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d) +(\d+) (\S+)", line) for line in lines]
    sizes = {match[4]: int(match[3]) for match in parsed if match}
    assert sizes == {name: len(data) for name, data in contents(small).items() if name.endswith(".gz")}
    assert list(sizes) == sorted(sizes)
    # The next calendar day, 11:00 in New York: 15:00 UTC in summer, 16:00 in winter.
    modified = {match[4][-17:-7]: f"{match[1]} {match[2]}" for match in parsed if match}
    assert modified["2025-10-31"] == "2025-11-01 15:00:00"
    assert modified["2025-11-03"] == "2025-11-04 16:00:00"


def test_reference_names_every_symbol_once(small: Path) -> None:
    with (small / "reference/tickers.csv").open(newline="") as file:
        types = list(csv.reader(file))
    symbols = [row[0] for row in types[1:]]
    assert types[0] == ["ticker", "type"]
    assert symbols == sorted(set(symbols))
    assert set(by_symbol(read(bar_file(small, "day", DATES[0])))) <= set(symbols)
    splits = (small / "reference/splits.csv").read_text()
    assert splits == "ticker,execution_date,split_from,split_to\nPLSP,2025-11-05,1,4\n"


@pytest.mark.parametrize("data", ["day", "minute"])
def test_rows_are_sorted_by_symbol_bytes_then_time_without_doubles(small: Path, data: str) -> None:
    for date in DATES:
        keys = [(row.symbol.encode(), row.start_ns) for row in read(bar_file(small, data, date))]
        assert keys == sorted(set(keys))


def test_result_counts_what_was_written(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    result = write_market(
        tmp_path, SynthParams(sessions=2, symbols=3, history=1), progress=lambda done, total: seen.append((done, total))
    )
    rows = {
        data: sum(len(read(path)) for path in tmp_path.rglob(f"{data}_aggs_v1/**/*.gz")) for data in ("day", "minute")
    }
    assert (result.day_rows, result.minute_rows) == (rows["day"], rows["minute"])
    assert result.planted == len(truth(tmp_path)["planted"])
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert [date.isoformat() for date in (*result.history, *result.sessions)] == ["2025-10-30", *DATES[:2]]


# --- laws ------------------------------------------------------------------------------------


def expected_day(bars: list[Row], date: str) -> Row:
    """The day bar by its definition: regular hours and the bar at the close for prices, all bars for volume."""
    close = dt.time(13) if date == "2025-11-28" else dt.time(16)
    priced = [bar for bar in bars if dt.time(9, 30) <= wall(bar.start_ns).time() <= close]
    midnight = dt.datetime.fromisoformat(date).replace(tzinfo=NEW_YORK)
    return Row(
        bars[0].symbol,
        sum(bar.volume for bar in bars),
        priced[0].open,
        priced[-1].close,
        max(bar.high for bar in priced),
        min(bar.low for bar in priced),
        int(midnight.timestamp()) * 10**9,
        sum(bar.transactions for bar in bars),
    )


@pytest.mark.parametrize("date", ["2025-11-26", "2025-11-28", "2025-12-01"])
def test_day_bars_agree_with_minute_bars(thanksgiving: Path, date: str) -> None:
    minutes = by_symbol(read(bar_file(thanksgiving, "minute", date)))
    days = read(bar_file(thanksgiving, "day", date))
    assert days == [expected_day(minutes[symbol], date) for symbol in sorted(minutes)]


def test_bars_are_orderly(thanksgiving: Path) -> None:
    rows = [row for path in thanksgiving.rglob("*.csv.gz") for row in read(path)]
    assert all(0 < row.low <= min(row.open, row.close) <= max(row.open, row.close) <= row.high for row in rows)
    assert all(row.volume >= row.transactions >= 1 for row in rows)
    simulated = [row for row in rows if not row.symbol.startswith("PL")]
    ticks = [(price * 100, price) for row in simulated for price in (row.open, row.high, row.low, row.close)]
    assert all(abs(cents - round(cents)) < 1e-6 for cents, price in ticks if price >= 1)
    assert any(abs(cents - round(cents)) > 1e-6 for cents, price in ticks if price < 1)


def test_the_closing_cross_is_one_price_and_large(thanksgiving: Path) -> None:
    at_close = [
        row for row in read(bar_file(thanksgiving, "minute", "2025-11-26")) if wall(row.start_ns).time() == dt.time(16)
    ]
    simulated = [row for row in at_close if not row.symbol.startswith("PL")]
    assert len(simulated) > 50
    assert all(row.open == row.high == row.low == row.close for row in simulated)


def test_a_holiday_has_no_file(thanksgiving: Path) -> None:
    dates = {path.name[:10] for path in thanksgiving.rglob("*.csv.gz")}
    assert dates == {"2025-11-26", "2025-11-28", "2025-12-01"}


def test_an_early_close_ends_regular_hours_at_one(thanksgiving: Path) -> None:
    counts: dict[dt.time, int] = {}
    for row in read(bar_file(thanksgiving, "minute", "2025-11-28")):
        if not row.symbol.startswith("PL"):
            time = wall(row.start_ns).time()
            counts[time] = counts.get(time, 0) + 1
    late = sum(n for time, n in counts.items() if dt.time(13, 1) <= time < dt.time(14))
    before = sum(n for time, n in counts.items() if dt.time(12) <= time < dt.time(12, 59))
    assert counts[dt.time(13)] > 30
    assert late < before / 4
    assert max(counts) < dt.time(17)


@pytest.mark.parametrize(("date", "utc_hour"), [("2025-10-31", 13), ("2025-11-03", 14), ("2025-11-04", 14)])
def test_the_open_is_at_half_past_nine_in_new_york_in_both_seasons(small: Path, date: str, utc_hour: int) -> None:
    rows = by_symbol(read(bar_file(small, "minute", date)))["PLTO"]
    first = dt.datetime.fromtimestamp(rows[0].start_ns // 10**9, dt.UTC)
    assert (first.hour, first.minute) == (utc_hour, 30)
    assert all(row.start_ns % (60 * 10**9) == 0 for row in rows)


def test_every_minute_lies_in_the_extended_session_of_its_file(small: Path) -> None:
    for date in DATES:
        times = [wall(row.start_ns) for row in read(bar_file(small, "minute", date))]
        assert {time.date().isoformat() for time in times} == {date}
        assert all(dt.time(4) <= time.time() < dt.time(20) for time in times)


# --- refusals --------------------------------------------------------------------------------


def test_a_folder_that_is_not_empty_is_refused_and_untouched(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="is not empty"):
        write_market(tmp_path, SMALL)
    assert contents(tmp_path) == {"notes.txt": b"mine"}


def test_force_replaces_an_earlier_market_and_nothing_else(tmp_path: Path, small: Path) -> None:
    write_market(tmp_path, SynthParams(sessions=2, symbols=3, history=0, start_date=dt.date(2024, 5, 6)))
    (tmp_path / "notes.txt").write_text("mine")
    write_market(tmp_path, SMALL, force=True)
    assert contents(tmp_path) == contents(small) | {"notes.txt": b"mine"}


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(UsageError, match="is not a folder"):
        write_market(tmp_path / "out", SMALL)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"sessions": 0}, r"^sessions = 0, must be from 1 to 5,000$"),
        ({"symbols": 11_001}, r"^symbols = 11001, must be from 1 to 11,000$"),
        ({"activity": float("nan")}, r"^activity = nan, must be"),
        ({"history": -1}, r"^history = -1, must be"),
        ({"level": 10}, r"^level = 10, must be from 1 to 9$"),
        ({"faults": ("cut",)}, r"^faults = 'cut', must be one of cut_half, "),
        ({"datasets": ("fx",)}, r"^datasets = 'fx', must be one of equities, es, options, daily$"),
        ({"datasets": ("options",)}, r"^options are priced off ES, which is not among the datasets"),
        ({"sessions": 1, "faults": ("empty",) * 3}, r"3 faults do not fit into the 2 files of 1 sessions"),
    ],
)
def test_params_say_in_one_sentence_what_is_wrong(values: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        SynthParams(**values)  # type: ignore[arg-type]


def test_sessions_beyond_the_calendar_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="calendar does not hold"):
        write_market(tmp_path, SynthParams(sessions=50, start_date=dt.date(2035, 12, 20)))
    assert not any(tmp_path.iterdir())
