"""Names from outside: symbols, keys, partitions and run ids that may not leave their place."""

from __future__ import annotations

import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.errors import UnsafeNameError
from raypipe.lake import names
from raypipe.lake.names import check_key, check_partition, check_run_id, check_symbol, inside
from tests.lake.samples import BARS, ONCE, TAPE, WEEKS

VENDOR_SYMBOLS = (
    "NA TRUE ON INF 1 NULL nan BRK.B ABRpD O:SPY251216C00600000 ESZ5-ESH6 ^GSPC $VIX CON PRN AUX NUL COM1 AUX.A"
)
HOSTILE = [
    "../x",
    "..",
    ".",
    "/etc/x",
    "a/b",
    "a\\b",
    "a\0b",
    "~root",
    "",
    " ",
    "a b",
    "é",
    "X" * 300,
    "a..b",
    "a%2f",
    "x\n",
]
symbols = st.text(string.ascii_letters + string.digits + ".:_+^$=#*!&@-", min_size=1, max_size=64).filter(
    lambda s: s[0] in string.ascii_letters + string.digits + "^$" and ".." not in s
)


@pytest.mark.parametrize("symbol", VENDOR_SYMBOLS.split())
def test_vendor_symbols_pass_unchanged(symbol):
    assert check_symbol(symbol) == symbol
    assert names.file_to_symbol(names.symbol_to_file(symbol)) == symbol


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_refused(name):
    for check in (check_symbol, check_run_id, lambda text: check_partition(BARS, text)):
        with pytest.raises(UnsafeNameError, match="allowed"):
            check(name)


@pytest.mark.parametrize(
    "key", ["../x", "a/../b", "/etc/x", "a//b", "a/", "./a", "a\\b", "a\0", "~/x", "a/~b", "", "é", "x" * 1100]
)
def test_hostile_keys_are_refused(key, tmp_path):
    with pytest.raises(UnsafeNameError):
        check_key(key)
    with pytest.raises(UnsafeNameError):
        inside(tmp_path, key)


@given(symbols, symbols)
def test_file_names_of_symbols_are_unique_when_case_is_folded(one, other):
    a, b = names.symbol_to_file(one), names.symbol_to_file(other)
    assert names.file_to_symbol(a) == one
    assert (a.casefold() == b.casefold()) == (one == other)
    assert check_key(f"silver/tape/symbol={a}.parquet")


@given(st.sampled_from(["CON", "PRN", "AUX", "NUL", "COM1", "LPT9"]), st.sampled_from(["", ".A"]))
def test_windows_devices_are_no_file_names(device, suffix):
    assert names.symbol_to_file(device + suffix).partition(".")[0] != device


def test_partitions_follow_the_grain():
    assert check_partition(BARS, "2025-01-02") == "2025-01-02"
    assert check_partition(WEEKS, "2025-01-06") == "2025-01-06"
    assert check_partition(ONCE, "all") == "all"
    assert check_partition(TAPE, "BRK.B") == "BRK.B"
    for table, bad in [(BARS, "2025-02-30"), (BARS, "20250102"), (BARS, "all"), (WEEKS, "2025-01-07"), (ONCE, "x")]:
        with pytest.raises(UnsafeNameError):
            check_partition(table, bad)


@pytest.mark.parametrize(
    ("table", "file", "partition"),
    [
        (BARS, "date=2025-01-02.parquet", "2025-01-02"),
        (BARS, "date=2025-02-30.parquet", None),
        (BARS, "date=2025-01-02.parquet.bak", None),
        (BARS, "2025-01-02.parquet", None),
        (WEEKS, "date=2025-01-07.parquet", None),
        (TAPE, "symbol=ABR%70D.parquet", "ABRpD"),
        (TAPE, "symbol=ABRpD.parquet", None),
        (TAPE, "symbol=%2E%2E.parquet", None),
        (TAPE, "symbol=%FF.parquet", None),
        (TAPE, "symbol=%41.parquet", None),
        (ONCE, "all.parquet", "all"),
        (ONCE, "none.parquet", None),
    ],
)
def test_files_that_are_partitions(table, file, partition):
    assert names.partition_of(table, file) == partition


def test_links_may_not_leave_the_root(tmp_path):
    root, outside = tmp_path / "root", tmp_path / "outside"
    (root / "real").mkdir(parents=True)
    outside.mkdir()
    (root / "out").symlink_to(outside)
    (root / "in").symlink_to(root / "real")
    assert inside(root, "in/x") == root / "real" / "x"
    with pytest.raises(UnsafeNameError, match="link"):
        inside(root, "out/x")


def test_the_root_itself_may_be_a_link(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "root").symlink_to(tmp_path / "real")
    assert inside(tmp_path / "root", "a/b") == Path(tmp_path / "real/a/b")


def test_long_names_are_cut_in_messages():
    with pytest.raises(UnsafeNameError) as caught:
        check_symbol("X" * 5000)
    assert len(str(caught.value)) < 300
