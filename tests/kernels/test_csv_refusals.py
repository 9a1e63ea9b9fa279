"""What the CSV kernel refuses: the reason, the byte and the line of each."""

from __future__ import annotations

import pyarrow as pa
import pytest

from raypipe.kernels.csv import LINE_CAP, Status, line_number
from tests.kernels.csv_files import HEADER, SOUND, arrow, as_array, line, read
from tests.reference import csv as reference


@pytest.mark.parametrize(
    ("bad", "status", "at"),
    [
        (line(volume=""), Status.EMPTY_FIELD, 2),
        (line(symbol=""), Status.EMPTY_FIELD, 0),
        (line(transactions=""), Status.EMPTY_FIELD, 38),
        (b"\n", Status.EMPTY_FIELD, 0),
        (line(symbol='"A"'), Status.QUOTE, 0),
        (line(open='"1,5"'), Status.QUOTE, 5),
        (line(volume="-10"), Status.BAD_BYTE, 2),
        (line(volume="+10"), Status.BAD_BYTE, 2),
        (line(volume="1e3"), Status.BAD_BYTE, 3),
        (line(volume="1E3"), Status.BAD_BYTE, 3),
        (line(open=" 1.5"), Status.BAD_BYTE, 5),
        (line(open="1.5 "), Status.BAD_BYTE, 8),
        (line(open="1.5.1"), Status.BAD_BYTE, 8),
        (line(open="1."), Status.BAD_BYTE, 6),
        (line(open=".5"), Status.BAD_BYTE, 5),
        (line(open="."), Status.BAD_BYTE, 5),
        (line(open="12345678901."), Status.BAD_BYTE, 16),
        (line(open=".12345678901"), Status.BAD_BYTE, 5),
        (line(open="1234567.8901.2"), Status.BAD_BYTE, 17),
        (line(open="nan"), Status.BAD_BYTE, 5),
        (line(open="inf"), Status.BAD_BYTE, 5),
        (line(open="0x1F"), Status.BAD_BYTE, 6),
        (line(open="1:5"), Status.BAD_BYTE, 6),
        (line(open="1/5"), Status.BAD_BYTE, 6),
        (line(start="1762160400.5"), Status.BAD_BYTE, 28),
        (line(start="-1"), Status.BAD_BYTE, 18),
        (line(start="176216040000000000x"), Status.BAD_BYTE, 36),
        (line(start="1762160400x00000000"), Status.BAD_BYTE, 28),
        (line(start="17x2160400000000000"), Status.BAD_BYTE, 20),
        (line(transactions="3\r"), Status.OK, 0),
        (line(transactions="3\r\r"), Status.BAD_BYTE, 39),
        (line(transactions="3\t"), Status.BAD_BYTE, 39),
        (line(symbol="\u00c4"), Status.BAD_BYTE, 0),
        (line(symbol="A\x00"), Status.BAD_BYTE, 1),
        (line(volume="9007199254740993"), Status.TOO_PRECISE, 2),
        (line(open="0.10000000000000001"), Status.TOO_PRECISE, 5),
        (line(open="123.45678901234567"), Status.TOO_PRECISE, 5),
        (line(start=2**63 - 1), Status.OK, 0),
        (line(start=2**63), Status.OVERFLOW, 18),
        (line(start="9" * 19), Status.OVERFLOW, 18),
        (line(start=10**19), Status.OVERFLOW, 18),
        (line(transactions=2**31 - 1), Status.OK, 0),
        (line(transactions=2**31), Status.OVERFLOW, 38),
        (line(transactions=2**32 + 1), Status.OVERFLOW, 38),
        (line(transactions="9" * 19), Status.OVERFLOW, 38),
        (b"C,1,2,3\n", Status.TOO_FEW_FIELDS, 7),
        (line()[:-3] + b"\n", Status.TOO_FEW_FIELDS, 37),
        (line()[:-1] + b",9\n", Status.TOO_MANY_FIELDS, 40),
        (line()[:-1] + b",\n", Status.TOO_MANY_FIELDS, 40),
        (line(symbol="A" * (LINE_CAP - 38)), Status.LINE_TOO_LONG, 0),
        (line(symbol="A" * 100_000), Status.LINE_TOO_LONG, 0),
        (line(open="1" * 100_000), Status.LINE_TOO_LONG, 0),
        (b"\x00" * 5000, Status.LINE_TOO_LONG, 0),
        (b"C", Status.TRUNCATED, 0),
        (b"C,1,2,3", Status.TRUNCATED, 0),
        (line()[:-1], Status.TRUNCATED, 0),
        (line()[:-1] + b"\r", Status.TRUNCATED, 0),
        (b"\x00" * 40, Status.TRUNCATED, 0),
    ],
)
def test_refusals(bad: bytes, status: Status, at: int) -> None:
    """A line behind two sound ones is refused: as the last line, and with sound ones behind it."""
    cut = status is Status.TRUNCATED
    for text in (SOUND + bad, SOUND + bad if cut else SOUND + bad + SOUND[len(HEADER) :]):
        result = read(text)
        assert result.status is status
        assert result.error_offset == (-1 if status is Status.OK else len(SOUND) + at)
        assert len(result.rows) >= 2
        if status is not Status.OK:
            assert line_number(as_array(text), result.error_offset) == 4


def test_refusals_of_a_broken_file_are_final() -> None:
    final = {status for status in Status if status.is_final}
    assert final == {Status.TOO_FEW_FIELDS, Status.TOO_MANY_FIELDS, Status.LINE_TOO_LONG, Status.TRUNCATED}
    assert {status for status in Status if not status.is_refusal} == {Status.OK, Status.NEED_ROWS}


@pytest.mark.parametrize("bad", [b"C,1,2,3\n", line()[:-1] + b",9\n"])
def test_what_is_final_is_an_error_elsewhere_too(bad: bytes) -> None:
    with pytest.raises(pa.ArrowInvalid):
        arrow(SOUND + bad)


def test_the_longest_line() -> None:
    text = HEADER + line(symbol="A" * (LINE_CAP - 39))
    assert len(text) - len(HEADER) == LINE_CAP
    assert read(text).rows == reference.parse(text).rows != []


@pytest.mark.parametrize("cut", range(1, 40))
def test_every_cut_of_the_last_line(cut: int) -> None:
    text = SOUND[:-cut]
    result = read(text)
    assert (result.status, len(result.rows)) == (Status.TRUNCATED, 1)
    assert result.error_offset == len(SOUND) - 40
