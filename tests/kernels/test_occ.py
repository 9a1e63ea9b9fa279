"""Lines of option prints: plain ones to columns, odd ones handed back, broken ones refused; and the tick test."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.kernels.occ import HEAD_BYTES, PrintField, PrintStatus, Scanned, contract_of, scan_prints, tick_signs

LAYOUT = [
    PrintField.SYMBOL,
    PrintField.CONDITIONS,
    PrintField.CORRECTION,
    PrintField.EXCHANGE,
    PrintField.PRICE,
    PrintField.SIP_NS,
    PrintField.SIZE,
]
OURS = b"O:SPY251216C00690000"
PLAIN = OURS + b",209,0,302,1.25,1765895401000000001,3\n"


def scan(body: bytes, layout: list[int] | None = None) -> Scanned:
    text = np.frombuffer(bytes(HEAD_BYTES) + body, np.uint8)
    return scan_prints(text, HEAD_BYTES, len(text), layout or LAYOUT, b"O:SPY", [251216])


def test_a_plain_line():
    found = scan(PLAIN)
    columns = found.columns
    assert (found.status, found.lines, len(found.odd)) == (PrintStatus.OK, 1, 0)
    assert columns.contract.tolist() == contract_of([251216], [690_000], [False]).tolist()
    assert (columns.ts_ns[0], columns.price[0], columns.size[0]) == (1765895401000000001, 1.25, 3)
    assert (columns.exchange[0], columns.correction[0], columns.sequence[0]) == (302, 0, -1)
    assert (found.conditions, columns.conditions.tolist()) == ([b"209"], [0])


def test_lines_of_others_are_passed_over_unread():
    """They may be as broken as they like."""
    found = scan(b'O:QQQ251216C00690000,"1\n\n,,,,,,,,,,,\n' + PLAIN + b"O:SPXW251216C06900000,\n")
    assert (found.status, found.lines, found.columns.line.tolist()) == (PrintStatus.OK, 5, [3])


@pytest.mark.parametrize(
    "line",
    [
        OURS + b",209,0,302,1e2,1765895401000000001,3\n",
        OURS + b",209,0,302,,1765895401000000001,3\n",
        OURS + b",209,0,302,1.25,17658954010000000011,3\n",
        OURS + b",209,0,302,1.25,1765895401000000001,-3\n",
        OURS + b",209,0,302,0.1234567890123456789,1765895401000000001,3\n",
        b"O:SPY25121C00690000,209,0,302,1.25,1765895401000000001,3\n",
        b"O:SPY,209,0,302,1.25,1765895401000000001,3\n",
    ],
)
def test_odd_lines_are_handed_back(line):
    found = scan(PLAIN + line + PLAIN)
    assert found.columns.line.tolist() == [0, 2]
    ((begin, end, lines),) = found.odd.tolist()
    assert (lines, begin, end) == (1, HEAD_BYTES + len(PLAIN), HEAD_BYTES + len(PLAIN) + len(line) - 1)


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (OURS + b",209\n", PrintStatus.TOO_FEW_FIELDS),
        (PLAIN[:-1] + b",1\n", PrintStatus.TOO_MANY_FIELDS),
        (PLAIN[:-1], PrintStatus.TRUNCATED),
        (OURS, PrintStatus.TRUNCATED),
        (OURS + b',"209,0,302\n', PrintStatus.QUOTES),
        (OURS + b',"209"5,0,302,1.25,1,3\n', PrintStatus.QUOTES),
        (OURS + b"," + b"9" * 5000 + b"\n", PrintStatus.LINE_TOO_LONG),
        (b"O:QQQ", PrintStatus.TRUNCATED),
        (PLAIN[:-1] + b"\r", PrintStatus.TRUNCATED),
    ],
)
def test_broken_lines_end_the_scan(line, status):
    found = scan(PLAIN + line)
    assert PrintStatus(found.status) == status
    assert (found.lines, found.error_offset) == (1, HEAD_BYTES + len(PLAIN))


@given(st.integers(0, 70), st.sampled_from([b"\n", b"\r\n"]), st.booleans())
def test_place_in_the_text_does_not_matter(pad, end, quoted):
    """Fields cross the 64 bytes that are looked at together in every way."""
    codes = b'"209,233"' if quoted else b"209"
    line = OURS + b"," + codes + b",0,302,1.25,1765895401000000001,3" + end
    found = scan(b"X" * pad + b"\n" + line * 3)
    assert found.columns.price.tolist() == [1.25] * 3
    assert found.conditions == [codes.strip(b'"')]


def test_a_wrong_request_is_refused():
    text = np.frombuffer(bytes(HEAD_BYTES) + PLAIN, np.uint8)
    with pytest.raises(ValueError, match="each field once"):
        scan_prints(text, HEAD_BYTES - 1, len(text), LAYOUT, b"O:SPY", [251216])
    with pytest.raises(ValueError, match="each field once"):
        scan_prints(text, HEAD_BYTES, len(text), [*LAYOUT, PrintField.SYMBOL], b"O:SPY", [251216])


def test_more_conditions_than_the_table_holds():
    lines = b"".join(OURS + b",%d,0,302,1.25,1765895401000000001,3\n" % k for k in range(1100))
    found = scan(lines)
    assert (len(found.conditions), len(found.columns.price), len(found.odd)) == (1024, 1024, 76)


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(1, 4), st.booleans()), max_size=40),
    st.booleans(),
)
def test_tick_test_equals_the_definition(rows, carry):
    last: dict[int, int] = {}
    sign: dict[int, int] = {}
    wanted = []
    for contract, price, silent in rows:
        if silent:
            wanted.append(0)
            continue
        before = last.get(contract, price)
        if price != before:
            sign[contract] = 1 if price > before else -1
        wanted.append(sign.get(contract, 0) if price != before or carry else 0)
        last[contract] = price
    columns = list(zip(*rows, strict=True)) or [(), (), ()]
    got = tick_signs(np.array(columns[0], np.int32), np.array(columns[1], float), np.array(columns[2], bool), carry)
    assert got.tolist() == wanted
