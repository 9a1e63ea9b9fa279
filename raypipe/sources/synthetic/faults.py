"""Damage to a vendor's flat file, one kind at a time: what bad input looks like.

Each kind shows exactly its own fault. ``mid_row`` and ``on_newline`` are valid gzip whose text ends too
early, the row-level kinds leave header, order and every other row as they were.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Callable
from pathlib import Path

from raypipe.errors import SourceError, UsageError

__all__ = ["FAULTS", "TRANSFER_FAULTS", "corrupt", "gzip_bytes"]

_LEVEL = 1
_DAY_NS = 86_400_000_000_000
_TICKER, _VOLUME, _HIGH, _LOW, _START = 0, 1, 4, 5, 6
_XML_BODY = (
    b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>AccessDenied</Code>'
    b"<Message>Access Denied</Message><RequestId>0000000000000000</RequestId></Error>"
)


def gzip_bytes(data: bytes | bytearray, level: int = _LEVEL) -> bytes:
    """One gzip member without name or time, so that equal data gives equal bytes.

    libdeflate comes inside its wheel; the zlib of a Python build may be any of several implementations,
    whose output differs.
    """
    import deflate

    return bytes(deflate.gzip_compress(data, level))


def corrupt(path: Path, kind: str) -> None:
    """Damage a flat file in place, always in the same way.

    Parameters
    ----------
    path
        A whole ``.csv.gz`` file.
    kind
        One of :data:`FAULTS`.

    Raises
    ------
    UsageError
        If the kind is unknown.
    SourceError
        If the file is not whole, or has no row.
    """
    if kind not in _KINDS:
        msg = f"fault = {kind!r}, must be one of {', '.join(FAULTS)}"
        raise UsageError(msg)
    path.write_bytes(_KINDS[kind](_Whole(path)))


class _Whole:
    """A whole flat file: its bytes, its text and the row in the middle."""

    def __init__(self, path: Path) -> None:
        self.raw = path.read_bytes()
        try:
            self.text = gzip.decompress(self.raw)
        except (OSError, EOFError, zlib.error) as error:
            msg = f"cannot be damaged further: {error}"
            raise SourceError(msg, file=str(path)) from error
        self.header_end = self.text.find(b"\n") + 1
        if self.header_end == 0 or self.header_end == len(self.text):
            msg = "has no row to damage"
            raise SourceError(msg, file=str(path), hint="take a file with bars")

    def middle(self) -> tuple[int, int]:
        """Borders of the row in the middle of the data, newline included."""
        half = (self.header_end + len(self.text)) // 2
        start = self.text.rfind(b"\n", 0, half) + 1
        return start, self.text.index(b"\n", start) + 1

    def cells(self, start: int, end: int) -> list[bytes]:
        return self.text[start : end - 1].split(b",")

    def replaced(self, start: int, end: int, rows: bytes) -> bytes:
        return gzip_bytes(self.text[:start] + rows + self.text[end:])


def _row(cells: list[bytes]) -> bytes:
    return b",".join(cells) + b"\n"


def _cut_half(whole: _Whole) -> bytes:
    return whole.raw[: len(whole.raw) // 2]


def _no_trailer(whole: _Whole) -> bytes:
    return whole.raw[:-8]


def _bad_crc(whole: _Whole) -> bytes:
    return whole.raw[:-8] + bytes([whole.raw[-8] ^ 1]) + whole.raw[-7:]


def _mid_row(whole: _Whole) -> bytes:
    start, end = whole.middle()
    kept = b",".join(whole.cells(start, end)[:3]) + b","
    return gzip_bytes(whole.text[: start + len(kept)])


def _on_newline(whole: _Whole) -> bytes:
    return gzip_bytes(whole.text[: whole.middle()[0]])


def _xml_body(_: _Whole) -> bytes:
    return _XML_BODY


def _empty(_: _Whole) -> bytes:
    return b""


def _dup_exact(whole: _Whole) -> bytes:
    start, end = whole.middle()
    return whole.replaced(end, end, whole.text[start:end])


def _dup_conflict(whole: _Whole) -> bytes:
    start, end = whole.middle()
    cells = whole.cells(start, end)
    cells[_VOLUME] = b"%d" % (int(cells[_VOLUME]) + 1)
    return whole.replaced(end, end, _row(cells))


def _unsorted(whole: _Whole) -> bytes:
    cut = whole.middle()[0]
    return gzip_bytes(whole.text[: whole.header_end] + whole.text[cut:] + whole.text[whole.header_end : cut])


def _wrong_day(whole: _Whole) -> bytes:
    # The last row of its symbol, a day later: the order of the rows stays right.
    ticker = whole.cells(*whole.middle())[_TICKER]
    start = whole.text.rfind(b"\n" + ticker + b",") + 1
    end = whole.text.index(b"\n", start) + 1
    cells = whole.cells(start, end)
    cells[_START] = b"%d" % (int(cells[_START]) + _DAY_NS)
    return whole.replaced(start, end, _row(cells))


def _ms_timestamps(whole: _Whole) -> bytes:
    return gzip_bytes(re.sub(rb"(?m)000000,(\d+)$", rb",\1", whole.text))


def _renamed_column(whole: _Whole) -> bytes:
    head = whole.text[: whole.header_end].replace(b",volume,", b",vol,")
    return gzip_bytes(head + whole.text[whole.header_end :])


def _decimal_volume(whole: _Whole) -> bytes:
    # Only the second half: a reader that takes the type from the first rows is wrong later.
    cut = whole.middle()[0]
    return gzip_bytes(whole.text[:cut] + re.sub(rb"(?m)^([^,\n]+),(\d+),", rb"\1,\2.5,", whole.text[cut:]))


def _bad_ohlc(whole: _Whole) -> bytes:
    start, end = whole.middle()
    cells = whole.cells(start, end)
    if float(cells[_HIGH]) > float(cells[_LOW]):
        cells[_HIGH], cells[_LOW] = cells[_LOW], cells[_HIGH]
    else:
        cells[_LOW] = b"%d" % (int(float(cells[_HIGH])) + 1)
    return whole.replaced(start, end, _row(cells))


_TRANSFER: dict[str, Callable[[_Whole], bytes]] = {
    "cut_half": _cut_half,
    "no_trailer": _no_trailer,
    "bad_crc": _bad_crc,
    "mid_row": _mid_row,
    "on_newline": _on_newline,
    "xml_body": _xml_body,
    "empty": _empty,
}
_CONTENT: dict[str, Callable[[_Whole], bytes]] = {
    "dup_exact": _dup_exact,
    "dup_conflict": _dup_conflict,
    "unsorted": _unsorted,
    "wrong_day": _wrong_day,
    "ms_timestamps": _ms_timestamps,
    "renamed_column": _renamed_column,
    "decimal_volume": _decimal_volume,
    "bad_ohlc": _bad_ohlc,
}
_KINDS = _TRANSFER | _CONTENT
#: Kinds that happen on the way: the listing still states the whole object. The others are the vendor's own.
TRANSFER_FAULTS: tuple[str, ...] = tuple(_TRANSFER)
FAULTS: tuple[str, ...] = tuple(_KINDS)
