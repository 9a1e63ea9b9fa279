"""Lists of symbols and their vendors' names, as shipped and as people get them wrong."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from raypipe.errors import UsageError
from raypipe.sources.symbol_lists import read_symbol_list, read_symbol_map

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
HEADER = "symbol,vendor,vendor_symbol,from_session,to_session\n"


def shipped_map():
    return read_symbol_map((CONFIGS / "symbol_map.csv").read_text(), "symbol_map.csv")


def test_the_shipped_list_has_46_symbols_in_order():
    found = read_symbol_list((CONFIGS / "symbols_46.txt").read_text(), "symbols_46.txt")
    assert len(found) == 46
    assert (found[0], found[4], found[-1]) == ("AAPL", "META", "BRK.B")


def test_a_name_holds_for_its_sessions_only():
    found = shipped_map()
    before, after = dt.date(2022, 6, 8), dt.date(2022, 6, 9)
    assert [found.to_vendor("META", "polygon", day) for day in (before, after)] == ["FB", "META"]
    assert [found.from_vendor("FB", "polygon", day) for day in (before, after)] == ["META", "FB"]
    assert found.to_vendor("BRK.B", "yahoo", after) == "BRK-B"
    assert found.from_vendor("BRK/B", "slash", after) == "BRK.B"
    assert found.to_vendor("NA", "yahoo", after) == "NA"


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [("A\nB\nA", 3, "line 1 already"), ("A\nB C", 2, "more than one"), ("# none\n\n", None, "no symbol")],
)
def test_a_wrong_list_is_refused_with_its_line(text, line, said):
    with pytest.raises(UsageError, match=said) as caught:
        read_symbol_list(text, "list.txt")
    assert caught.value.values == {"file": "list.txt"} | ({"line": line} if line else {})


@pytest.mark.parametrize(
    ("rows", "line", "said"),
    [
        ("A,x,B\n", 2, "no entry"),
        ("A,x,B,2020-01-02,2020-01-02\n", 2, "before it begins"),
        ("A,x,B,,2020-01-02\nA,x,C,2019-12-31,\n", 3, "at one time"),
        ("A,x,B,,\nC,x,B,,\n", 3, "at one time"),
    ],
)
def test_a_wrong_map_is_refused_with_its_line(rows, line, said):
    with pytest.raises(UsageError, match=said) as caught:
        read_symbol_map(HEADER + rows, "map.csv")
    assert caught.value.values["line"] == line


def test_another_header_is_refused():
    with pytest.raises(UsageError, match="header"):
        read_symbol_map("symbol,vendor\n", "map.csv")
