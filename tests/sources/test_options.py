"""SPY option prints: the definition on made-up files, the traps, and files that must be refused."""

from __future__ import annotations

import dataclasses
import datetime as dt
import gzip
import io

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raypipe.calendar import calendar
from raypipe.errors import QuarantineError, SourceError
from raypipe.schema.books import SPY_OPTION_TRADES
from raypipe.schema.frames import check_table
from raypipe.schema.signals import OptionParams
from raypipe.sources import option_text
from raypipe.sources.options import OptionFile, OptionTrades, session_bounds
from tests.reference import options as naive
from tests.sources.option_files import HEADER, OPEN, SECOND, SESSION, flat, line, text_of, trades

BOUNDS = session_bounds(SESSION)
RULES = naive.Rules(*BOUNDS, SESSION.date)
COMPARED = [name for name in SPY_OPTION_TRADES.names if name not in ("session", "aggressor_source")]

tickers = st.sampled_from(
    [
        *("O:SPY251216C00690000", "O:SPY251216P00690000", "O:SPY251216C00691500", "O:SPY251216P00000000"),
        *("O:SPY251217C00690000", "O:SPYG251216C00069000", "O:SPY1251216C00690000", "O:SPX251216C06900000"),
        *("O:SPY25121C00690000", "O:SPY251216X00690000", "O:SPY251216C0069000", "O:SPY", "SPY", "O:SPY251216c00690000"),
    ]
)
rows = st.lists(
    st.builds(
        line,
        ticker=tickers,
        conditions=st.sampled_from(["209", "227", "", "201", "232", "209,247", "227,207", "248", "2320"]),
        correction=st.sampled_from(["0", "0", "0", "", "1"]),
        exchange=st.sampled_from(["302", "", "3.0", "x"]),
        price=st.sampled_from(
            ["1.25", "1.3", "0.01", "1.25", "0", "", "-1", "1e-2", ".5", "7.", "nan", "100000.123456789"]
        ),
        sip_timestamp=st.one_of(
            st.integers(OPEN, OPEN + 5).map(str), st.sampled_from(["", "0", str(BOUNDS[0]), str(BOUNDS[1]), "oops"])
        ),
        participant_timestamp=st.sampled_from(["", str(OPEN + 3)]),
        size=st.sampled_from(["1", "3", "0", "", "4294967295", "4294967296", "2.0", "-1"]),
        sequence_number=st.sampled_from(["5", "6", "7"]),
    ),
    max_size=25,
)
headers = st.sampled_from(
    [
        HEADER,
        (*HEADER, "participant_timestamp"),
        (*HEADER, "participant_timestamp", "sequence_number"),
        ("sequence_number", *reversed(HEADER)),
        ("size", "colour", *HEADER[:-1]),
    ]
)


def got_rows(table: pa.Table) -> list[dict[str, object]]:
    return table.select(COMPARED).to_pylist()


@settings(max_examples=200)
@given(rows, headers, st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_equals_the_definition(made, header, end, carry):
    """Every row is kept, dropped or set aside as the definition says, in its order and with its side."""
    text = text_of(made, header, end)
    wanted = naive.read(text, dataclasses.replace(RULES, carry=carry))
    file = trades(flat(text), zero_tick="carry" if carry else "zero")
    if not wanted.kept:
        with pytest.raises((SourceError, QuarantineError)):
            file.table()
    else:
        table = file.table()
        check_table(SPY_OPTION_TRADES, table, partition="x")
        assert got_rows(table) == [{name: row[name] for name in COMPARED} for row in wanted.kept]
        facts = file.facts
        assert {kind: int(facts[kind]) for kind in wanted.dropped} == wanted.dropped
        assert int(facts["packages"]) == sum(row["package"] for row in wanted.kept)
    refused = file.quarantined
    found = [] if refused is None else [(row["reason"], row["row"]) for row in refused.to_pylist()]
    assert sorted(found) == sorted(wanted.refused)


@settings(max_examples=40)
@given(st.permutations([(f"O:SPY251216{r}00{k}000", n) for r in "CP" for k in (689, 690, 691) for n in range(6)]))
def test_order_of_the_file_does_not_matter_where_sequences_are(order):
    """Within a contract and instant the sequence decides, whatever came first in the file."""
    made = [line(ticker=t, sip_timestamp=OPEN + n // 2, price=1 + (7 * n) % 5, sequence_number=n) for t, n in order]
    header = (*HEADER, "sequence_number")
    usual = trades(flat(text_of(sorted(made, key=lambda row: (row["ticker"], row["sequence_number"])), header))).table()
    assert trades(flat(text_of(made, header))).table().equals(usual)


def test_pieces_do_not_matter(monkeypatch):
    """A file in small pieces, and one too large to inflate at once, give the same rows."""
    made = [
        line(sip_timestamp=OPEN + k, conditions=["209", "227", "209,233"][k % 3], price=k % 7 + 1) for k in range(900)
    ]
    text = text_of(made)
    whole = trades(flat(text)).table()
    monkeypatch.setattr(option_text, "_PIECE_BYTES", 5000)
    assert trades(flat(text)).table().equals(whole)
    monkeypatch.setattr(option_text, "_AT_ONCE_BYTES", 500)
    monkeypatch.setattr(option_text, "_READ_BYTES", 700)
    assert trades(flat(text)).table().equals(whole)


def test_odd_lines_are_read_as_plain_ones_are():
    """Numbers that the fast parser passes on: the same values by the general one."""
    plain = [line(sip_timestamp=OPEN + k, price=f"{k}.50", exchange=7, size=k) for k in range(1, 40)]
    odd = [row | {"price": f"{row['price']}e0", "exchange": "7.0", "size": f"{row['size']}."} for row in plain]
    assert trades(flat(text_of(odd))).table().equals(trades(flat(text_of(plain))).table())


# --- traps -------------------------------------------------------------------------------------


def test_a_prefix_is_not_a_root():
    """O:SPYG is another fund, O:SPY1 an adjusted contract, O:SPY251217 another expiry."""
    others = [
        "O:SPYG251216C00069000",
        "O:SPY1251216C00690000",
        "O:SPY251217C00690000",
        "O:SPYX",
        "O:SP",
        "O:QQQ251216C00690000",
    ]
    file = trades(flat(text_of([line(), *(line(ticker=ticker) for ticker in others)])))
    assert file.table().num_rows == 1
    assert file.quarantined is None


def test_cancelled_and_corrected_prints_are_no_previous_price():
    made = [line(price=price, sip_timestamp=OPEN + k) for k, price in enumerate(("1.0", "5.0", "1.1"))]
    made[1]["conditions"] = "201"
    assert trades(flat(text_of(made))).table()["aggressor"].to_pylist() == [0, 1]
    made[1] |= {"conditions": "209", "correction": "1"}
    file = trades(flat(text_of(made)))
    assert file.table()["aggressor"].to_pylist() == [0, 1]
    assert file.facts["corrected"] == "1"
    assert [finding.kind for finding in file.findings] == ["corrected"]


def test_packages_keep_their_volume_and_have_no_side():
    made = [line(price=price, sip_timestamp=OPEN + k) for k, price in enumerate(("1.0", "5.0", "1.1"))]
    made[1]["conditions"] = "232"
    table = trades(flat(text_of(made))).table()
    assert table["aggressor"].to_pylist() == [0, 0, 1]
    assert table["size"].to_pylist() == [3, 3, 3]
    assert table["aggressor_source"].to_pylist() == ["tick"] * 3


@pytest.mark.parametrize(("rule", "signs"), [("carry", [0, 1, 1, -1, -1]), ("zero", [0, 1, 0, -1, 0])])
def test_zero_ticks(rule, signs):
    made = [line(price=price, sip_timestamp=OPEN + k) for k, price in enumerate((1.0, 1.1, 1.1, 1.05, 1.05))]
    assert trades(flat(text_of(made)), zero_tick=rule).table()["aggressor"].to_pylist() == signs


def test_contracts_have_their_own_previous_price():
    made = [line(price=1 + k, sip_timestamp=OPEN + k, ticker=f"O:SPY251216{'CP'[k % 2]}00690000") for k in range(4)]
    assert trades(flat(text_of(made))).table()["aggressor"].to_pylist() == [0, 0, 1, 1]


def test_identical_prints_are_separate_fills():
    assert trades(flat(text_of([line()] * 5))).table().num_rows == 5


def test_nanoseconds_stay_whole():
    """Through float64 the last digits would be gone."""
    table = trades(flat(text_of([line(sip_timestamp=OPEN + 1), line(sip_timestamp=OPEN + 3)]))).table()
    assert table["ts_event_ns"].to_pylist() == [OPEN + 1, OPEN + 3]


def test_names_do_not_decide_what_a_file_holds():
    """The prints of another session under this one's name are set aside, and are too many."""
    other = calendar().session(dt.date(2025, 12, 17))
    made = [line(sip_timestamp=other.open_ns + k) for k in range(5)]
    with pytest.raises(QuarantineError, match=r"5 of 5 prints.*time"):
        trades(flat(text_of(made)), max_share=0.01).table()


def test_later_expiries_on_request():
    made = [
        line(ticker=f"O:SPY{day}C00690000", sip_timestamp=OPEN + k)
        for k, day in enumerate(("251216", "251217", "251219"))
    ]
    table = trades(flat(text_of(made)), max_dte=1).table()
    assert table["exp_date"].to_pylist() == [dt.date(2025, 12, 16), dt.date(2025, 12, 17)]
    assert trades(flat(text_of(made))).table()["exp_date"].to_pylist() == [dt.date(2025, 12, 16)]


def test_coverage_counts_regular_minutes_of_the_calendar():
    """An early close has fewer."""
    early = calendar().session(dt.date(2025, 11, 28))
    made = [line(ticker="O:SPY251128C00690000", sip_timestamp=early.open_ns + k * 60 * SECOND) for k in range(105)]
    made.append(line(ticker="O:SPY251128C00690000", sip_timestamp=early.close_ns + SECOND))
    file = OptionTrades([flat(text_of(made))], early, OptionParams())
    file.table()
    assert (file.facts["minutes"], file.facts["coverage"]) == ("105", "0.500000")


# --- what cannot be trusted --------------------------------------------------------------------


def test_more_than_a_percent_fails_and_a_percent_does_not():
    sound = [line(sip_timestamp=OPEN + k) for k in range(198)]
    file = trades(flat(text_of([*sound, line(size=0), line(price=0)])), max_share=0.01)
    assert file.table().num_rows == 198
    assert {finding.kind for finding in file.findings} == {"quarantined_size", "quarantined_price"}
    assert file.quarantined.column("row").to_pylist() == [201, 200] or file.quarantined.column("row").to_pylist() == [
        200,
        201,
    ]
    worse = trades(flat(text_of([*sound, line(size=0), line(price=0), line(price="")])), max_share=0.01)
    with pytest.raises(QuarantineError, match="3 of 201 prints"):
        worse.table()
    assert worse.quarantined.num_rows == 3


def test_a_session_without_an_expiry_is_told():
    with pytest.raises(SourceError, match="no print of a SPY option that expires in the session"):
        trades(flat(text_of([line(ticker="O:SPY251217C00690000")]))).table()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "header differs"),
        (b"a,b,c\n1,2,3\n", "header differs: missing"),
        (text_of([line()]).encode()[:-20], "middle of a row"),
        (text_of([line()]).encode() + b"O:SPY251216C00690000,209,0\n", "fewer fields"),
        (text_of([line()]).encode().rstrip() + b",7\n", "more fields"),
        (
            text_of([line(conditions='2"09')]).encode() + b"O:SPY251216C00690000," + b"9" * 5000 + b"\n",
            "longer than any",
        ),
        (text_of([line()]).encode() + b'O:SPY251216C00690000,"209,0,302,1.25,1765895401000000000,3\n', "quote"),
    ],
    ids=["empty", "header", "cut", "few", "many", "long", "quote"],
)
def test_broken_text_is_refused(body, message):
    with pytest.raises(SourceError, match=message):
        trades(flat(body)).table()


def test_the_row_of_a_broken_line_is_told():
    text = text_of([line()] * 3) + "O:SPY251216C00690000,209,0\n"
    with pytest.raises(SourceError) as error:
        trades(flat(text)).table()
    assert error.value.values["row"] == 5
    assert error.value.values["offset"] == text.index("O:SPY251216C00690000,209,0\n")


def test_damaged_gzip_is_refused(monkeypatch):
    data = gzip.compress(text_of([line(sip_timestamp=OPEN + k) for k in range(500)]).encode())
    for at_once in (1 << 24, 100):
        monkeypatch.setattr(option_text, "_AT_ONCE_BYTES", at_once)
        for body in (data[:-4], data[: len(data) // 2], data + b"more", b"<Error/>" * 100):
            with pytest.raises(SourceError):
                trades(OptionFile("x.csv.gz", lambda body=body: io.BytesIO(body))).table()


def test_a_bomb_is_refused(monkeypatch):
    monkeypatch.setattr(option_text, "_AT_ONCE_BYTES", 100)
    text = text_of([line()]) + "O:QQQ," + "0" * 4000 + "\n"
    with pytest.raises(SourceError, match="times its size"):
        trades(flat(text + "\n" * 90_000_000)).table()


@pytest.mark.parametrize(("factor", "unit"), [(10**9, "seconds"), (10**6, "milliseconds"), (10**3, "microseconds")])
def test_times_in_another_unit_are_refused(factor, unit):
    with pytest.raises(SourceError, match=unit):
        trades(flat(text_of([line(sip_timestamp=OPEN // factor)]))).table()


def test_two_files_with_the_same_prints_are_refused():
    one = flat(text_of([line(sip_timestamp=OPEN + k) for k in (0, 5, 9)]), "one.csv.gz")
    other = flat(text_of([line(sip_timestamp=OPEN + k) for k in (7, 12)]), "other.csv.gz")
    with pytest.raises(SourceError, match=r"one.csv.gz and other.csv.gz both hold prints of O:SPY251216C00690000"):
        trades(one, other).table()
    apart = flat(text_of([line(sip_timestamp=OPEN + k) for k in (10, 12)]), "other.csv.gz")
    assert trades(one, apart).table().equals(trades(apart, one).table())
    assert trades(one, apart).table().num_rows == 5


def test_one_file_twice_is_read_once():
    text = text_of([line(sip_timestamp=OPEN + k) for k in (0, 5, 9)] + [line(correction=1)])
    file = trades(flat(text, "one.csv.gz"), flat(text, "copy.csv.gz"))
    assert file.table().num_rows == 3
    assert [finding.kind for finding in file.findings] == ["corrected", "same_file"]
    assert file.facts["corrected"] == "1"


def test_other_files_are_refused():
    with pytest.raises(SourceError, match="neither a flat file nor Parquet"):
        trades(OptionFile("x.txt", lambda: io.BytesIO(b""))).table()


def test_blocks_are_the_table(monkeypatch):
    monkeypatch.setattr("raypipe.sources.options._BLOCK_ROWS", 4)
    file = trades(flat(text_of([line(sip_timestamp=OPEN + k) for k in range(10)])))
    blocks = list(file.blocks())
    assert [block.num_rows for block in blocks] == [4, 4, 2]
    assert pa.concat_tables(blocks).equals(file.table())
