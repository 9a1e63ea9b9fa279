"""Files with a vendor's own names: what becomes of them by the map, and back; what has no symbol is refused."""

from __future__ import annotations

import datetime as dt
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.calendar import calendar
from raypipe.errors import SourceError
from raypipe.sources.daily_files import DailyFile
from raypipe.sources.daily_names import NamedFile, names_about
from raypipe.sources.symbol_lists import SymbolMap, VendorName

CHANGE = dt.date(2022, 6, 9)
SESSIONS = [session.date for session in calendar().between(dt.date(2022, 5, 31), dt.date(2022, 6, 17))]
META = VendorName("META", "polygon", "FB", None, CHANGE)
BRK = VendorName("BRK.B", "yahoo", "BRK-B", None, None)


def file_of(*rows: tuple[dt.date, str], name: str = "bars.csv") -> DailyFile:
    """A file whose closes are the numbers of its rows, from 1 on."""
    lines = [f"{date},{symbol},{n},{n},{n},{n},1" for n, (date, symbol) in enumerate(rows, start=1)]
    return DailyFile("\n".join(["date,symbol,open,high,low,close,volume", *lines]).encode(), name)


def told(file: NamedFile) -> dict[tuple[dt.date, str], float]:
    """The closes of a file by session and canonical symbol."""
    found = {}
    for symbol in file.symbols:
        bars = file.bars(symbol)
        assert bars.symbol == symbol
        dates = [dt.date(1970, 1, 1) + dt.timedelta(days=day) for day in bars.days.tolist()]
        assert dates == sorted(dates)
        found |= {(date, symbol): close for date, close in zip(dates, bars.values["close"].tolist(), strict=True)}
    return found


def test_a_name_ends_and_its_successor_goes_on_in_one_symbol():
    before, after = CHANGE - dt.timedelta(days=1), CHANGE
    file = NamedFile(file_of((after, "META"), (before, "FB")), (META,))
    assert file.symbols == ["META"]
    assert told(file) == {(before, "META"): 2, (after, "META"): 1}
    assert [file.bars("META").place(bar) for bar in (0, 1)] == ["bars.csv row 2", "bars.csv row 1"]


def test_a_name_that_goes_to_another_company_is_its_own_symbol_from_then_on():
    rows = [(date, "FB") for date in SESSIONS]
    assert set(told(NamedFile(file_of(*rows), (META,)))) == {
        (date, "META" if date < CHANGE else "FB") for date in SESSIONS
    }


def test_what_the_map_does_not_have_is_the_symbol():
    file = file_of((CHANGE, "BRK-B"), (CHANGE, "BF-B"), (CHANGE, "NA"))
    assert NamedFile(file, (BRK,)).symbols == ["BF-B", "BRK.B", "NA"]
    assert NamedFile(file).symbols == ["BF-B", "BRK-B", "NA"]


def test_two_names_that_meet_in_one_symbol_are_refused():
    date = SESSIONS[2]
    file = NamedFile(file_of((SESSIONS[1], "FB"), (date, "FB"), (date, "META")), (META,))
    with pytest.raises(SourceError, match="named META, which polygon calls FB in that session") as caught:
        file.bars("META")
    assert caught.value.values == {"file": "bars.csv", "row": 3, "symbol": "META", "session": str(date)}


def test_a_symbol_of_another_company_is_refused_even_where_it_meets_no_row():
    with pytest.raises(SourceError, match="row 1"):
        NamedFile(file_of((SESSIONS[0], "META"), (CHANGE, "META")), (META,)).bars("META")
    other = VendorName("METV", "polygon", "META", None, CHANGE)
    mended = NamedFile(file_of((SESSIONS[0], "META"), (SESSIONS[0], "FB"), (CHANGE, "META")), (META, other))
    assert told(mended) == {(SESSIONS[0], "METV"): 1, (SESSIONS[0], "META"): 2, (CHANGE, "META"): 3}


def test_names_that_are_swapped():
    names = (VendorName("A", "v", "B", None, CHANGE), VendorName("B", "v", "A", None, CHANGE))
    rows = [(date, name) for date in SESSIONS for name in ("A", "B")]
    found = told(NamedFile(file_of(*rows), names))
    for n, (date, name) in enumerate(rows, start=1):
        assert found[date, {"A": "B", "B": "A"}[name] if date < CHANGE else name] == n


def test_a_name_that_is_the_symbol_changes_nothing():
    same = VendorName("BRK.B", "polygon", "BRK.B", None, None)
    assert names_about("BRK.B", (same, META)) == ()
    assert names_about("META", (same, META)) == names_about("FB", (same, META)) == (META,)
    assert told(NamedFile(file_of((CHANGE, "BRK.B")), (same,))) == {(CHANGE, "BRK.B"): 1}


@st.composite
def maps(draw: st.DrawFn) -> tuple[VendorName, ...]:
    """Names of a vendor for four symbols, each in spans of sessions that do not overlap."""
    found = []
    for symbol in "ABCD":
        cuts = sorted(draw(st.sets(st.integers(1, len(SESSIONS) - 1), max_size=2)))
        edges = [None, *(SESSIONS[cut] for cut in cuts), None]
        for n, (start, end) in enumerate(itertools.pairwise(edges)):
            if draw(st.booleans()):
                found.append(VendorName(symbol, "v", f"{symbol}{n}", start, end))
    return tuple(found)


@given(maps(), st.sets(st.tuples(st.sampled_from(SESSIONS), st.sampled_from("ABCDEF")), min_size=1, max_size=30))
def test_bars_named_by_the_map_come_back(names, wanted):
    known, cells = SymbolMap(names), sorted(wanted)
    file = NamedFile(file_of(*((date, known.to_vendor(symbol, "v", date)) for date, symbol in cells)), names)
    assert file.symbols == sorted({symbol for _, symbol in cells})
    assert told(file) == {cell: n for n, cell in enumerate(cells, start=1)}


@given(maps(), st.sets(st.tuples(st.sampled_from(SESSIONS), st.sampled_from(["A", "A0", "A1", "B", "B0", "E"]))))
def test_every_row_is_told_or_refused_once(names, wanted):
    known, cells = SymbolMap(names), sorted(wanted) or [(CHANGE, "E")]
    file = NamedFile(file_of(*cells), names)
    found: list[tuple[dt.date, str]] = []
    for symbol in file.symbols:
        mine = [cell for cell in cells if known.from_vendor(cell[1], "v", cell[0]) == symbol]
        strange = [cell for cell in mine if known.to_vendor(symbol, "v", cell[0]) != cell[1]]
        if strange:
            with pytest.raises(SourceError) as caught:
                file.bars(symbol)
            assert (dt.date.fromisoformat(caught.value.values["session"]), symbol) in strange
        else:
            assert len(file.bars(symbol).days) == len(mine)
        found += mine
    assert sorted(found) == cells
