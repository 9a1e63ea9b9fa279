"""Keys of the vendor: what is one, what only looks like one, and when files are due."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.errors import UsageError
from raypipe.sources.polygon_keys import (
    DATASETS,
    DAY,
    MINUTE,
    dataset,
    find_key,
    key_of,
    months_between,
    parse_folder_key,
    parse_key,
    published_ns,
)

DATES = st.dates(dt.date(1990, 1, 1), dt.date(2035, 12, 31))


@given(st.sampled_from(list(DATASETS.values())), DATES)
def test_keys_are_read_back(data, session):
    assert parse_key(key_of(data, session)) == (data, session)
    assert find_key(f"2025-01-03 11:05:12   12345 {key_of(data, session)}") == key_of(data, session)


@given(DATES)
def test_data_sets_share_file_names_and_nothing_else(session):
    day, minute = key_of(DAY, session), key_of(MINUTE, session)
    assert day.rpartition("/")[2] == minute.rpartition("/")[2]
    assert parse_key(day)[0] is DAY
    assert parse_key(minute)[0] is MINUTE


@pytest.mark.parametrize(
    "key",
    [
        "",
        "2025-01-02.csv.gz",
        "us_stocks_sip/day_aggs_v1/2025/02/2025-01-02.csv.gz",
        "us_stocks_sip/day_aggs_v1/2024/01/2025-01-02.csv.gz",
        "us_stocks_sip/day_aggs_v1/2025/02/2025-02-30.csv.gz",
        "us_stocks_sip/day_aggs_v1/2025/01/2025-01-02.csv.gz.receipt.json",
        "us_stocks_sip/day_aggs_v1/2025/01/2025-01-02.csv.gz.part",
        "us_stocks_sip/day_aggs_v1/2025/01/2025-01-02.csv",
        "us_stocks_sip/day_aggs_v1/2025/01/../01/2025-01-02.csv.gz",
        "/us_stocks_sip/day_aggs_v1/2025/01/2025-01-02.csv.gz",
        "us_stocks_sip/trades_v1/2025/01/2025-01-02.csv.gz",
        "us_stocks_sip/day_aggs_v1/2025/01/2025-01-02.csv.gz\n",
        "us_stocks_sip/day_aggs_v1/٢٠٢٥/01/٢٠٢٥-01-02.csv.gz",
    ],
)
def test_what_only_looks_like_a_key_is_none(key):
    assert parse_key(key) is None


def test_folder_layout_of_older_downloads():
    assert parse_folder_key("2025/polygon_day_aggs/01/2025-01-02.csv.gz") == (DAY, dt.date(2025, 1, 2))
    assert parse_folder_key("2025/polygon_minute_aggs/01/2025-01-02.csv.gz") == (MINUTE, dt.date(2025, 1, 2))
    assert parse_folder_key("2025/polygon_minute_aggs/02/2025-01-02.csv.gz") is None
    assert parse_folder_key("2025/minute/01/2025-01-02.csv.gz") is None


@pytest.mark.parametrize(
    ("session", "due"),
    [
        (dt.date(2025, 1, 2), "2025-01-03T16:00"),  # winter: UTC - 5
        (dt.date(2025, 7, 1), "2025-07-02T15:00"),  # summer: UTC - 4
        (dt.date(2025, 3, 7), "2025-03-08T16:00"),  # Friday: due on Saturday
        (dt.date(2025, 3, 8), "2025-03-09T15:00"),  # the clock goes forward on the 9th
    ],
)
def test_due_on_the_next_calendar_day_at_eleven_exchange_time(session, due, monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    assert published_ns(session) == int(dt.datetime.fromisoformat(due).replace(tzinfo=dt.UTC).timestamp()) * 10**9


def test_other_publication_times():
    assert published_ns(dt.date(2025, 1, 2), "12:30") - published_ns(dt.date(2025, 1, 2)) == 90 * 60 * 10**9
    for text in ("", "11", "25:00", "11:00 ET"):
        with pytest.raises(UsageError, match="HH:MM"):
            published_ns(dt.date(2025, 1, 2), text)


def test_unknown_data_set_is_told_the_known_ones():
    assert dataset("minute") is MINUTE
    with pytest.raises(UsageError, match="day or minute"):
        dataset("trades")


@given(DATES, DATES)
def test_months_cover_the_range_once(a, b):
    start, end = sorted((a, b))
    months = months_between(start, end)
    assert months == sorted(set(months))
    assert months[0] == (start.year, start.month)
    assert months[-1] == (end.year, end.month)
    assert len(months) == (end.year - start.year) * 12 + end.month - start.month + 1
