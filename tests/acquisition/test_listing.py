"""Listings: text as ``aws s3 ls`` prints it, bare keys, and what ingest saved."""

from __future__ import annotations

import datetime as dt

import pytest

from raypipe.acquisition.listing import (
    RemoteObject,
    listing_key,
    parse_files_list,
    read_files_list,
    save_month,
    saved_listing,
)
from raypipe.errors import SourceError, UsageError
from raypipe.sources.polygon_keys import DAY, MINUTE, key_of
from tests.acquisition.vendor import D2, D3, D6, lake_at

AWS_LS = f"""\
2025-01-03 11:04:51     182457 {key_of(DAY, D2)}
2025-01-04 11:03:10   18245992 {key_of(MINUTE, D2)}
2025-01-04 11:03:10          0 us_stocks_sip/
2025-01-04 11:03:10   99999999 us_stocks_sip/trades_v1/2025/01/2025-01-02.csv.gz

Total Objects: 4
   Total Size: 118428448
"""


def test_aws_ls_text_gives_sizes():
    listing = parse_files_list(AWS_LS, "list")
    assert listing.get(DAY, D2) == RemoteObject(key_of(DAY, D2), 182457)
    assert listing.get(MINUTE, D2).size == 18245992
    assert len(listing.objects) == 2


def test_bare_keys_give_no_sizes():
    text = f"s3://flatfiles/{key_of(DAY, D2)}\r\n{key_of(DAY, D3)}\n"
    listing = parse_files_list(text, "list")
    assert [(day, each.size) for (_, day), each in listing.objects.items()] == [(D2, None), (D3, None)]


def test_a_list_of_one_data_set_says_nothing_of_the_other():
    listing = parse_files_list(f"{key_of(DAY, D2)}\n", "list")
    assert listing.covers(DAY, dt.date(1999, 1, 4))
    assert not listing.covers(MINUTE, D2)


def test_a_file_that_is_no_list_is_refused(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("remember the milk\n2025-01-02.csv.gz\n")
    with pytest.raises(SourceError, match="aws s3 ls --recursive") as caught:
        read_files_list(path)
    assert str(path) in str(caught.value)
    with pytest.raises(UsageError, match="No such file"):
        read_files_list(tmp_path / "missing.txt")


def test_saved_months_come_back_and_others_stay_unknown(tmp_path):
    lake = lake_at(tmp_path)
    about = {"endpoint": "https://host", "bucket": "b", "listed_ns": 1}
    objects = [RemoteObject(key_of(DAY, day), 10, "abc", "2025-01-03T16:00:00+00:00") for day in (D3, D2)]
    save_month(lake, DAY, (2025, 1), objects, about)
    save_month(lake, MINUTE, (2025, 1), [], about)
    listing = saved_listing(lake, [DAY, MINUTE], [(2025, 1), (2025, 2)])
    assert listing.get(DAY, D2) == objects[1]
    assert listing.covers(MINUTE, D6)
    assert not listing.covers(DAY, dt.date(2025, 2, 3))
    save_month(lake, DAY, (2025, 1), objects[:1], about)
    assert saved_listing(lake, [DAY], [(2025, 1)]).get(DAY, D2) is None


def test_a_damaged_saved_listing_is_an_error_that_names_it(tmp_path):
    lake = lake_at(tmp_path)
    lake.put_bytes(listing_key(DAY, (2025, 1)), b'{"objects": [')
    with pytest.raises(SourceError, match="2025-01"):
        saved_listing(lake, [DAY], [(2025, 1)])


@pytest.mark.parametrize(("etag", "md5"), [("abc", "abc"), ("abc-2", ""), ("", "")])
def test_md5_is_an_etag_without_a_dash(etag, md5):
    assert RemoteObject("key", 1, etag).md5 == md5
