"""Inflating: whole files come out, everything else is refused with its offset."""

from __future__ import annotations

import contextlib
import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.errors import SourceError
from raypipe.sources.gzipped import inflate

TEXT = b"".join(b"row %d,%d\n" % (i, i * i) for i in range(20_000))
WHOLE = gzip.compress(TEXT, 6, mtime=0)


@given(st.binary(max_size=5_000), st.integers(1, 9))
def test_what_gzip_packs_comes_out(data: bytes, level: int) -> None:
    assert bytes(inflate(gzip.compress(data, level), "f")) == data


@given(st.lists(st.binary(min_size=1, max_size=300), min_size=2, max_size=4))
def test_every_member_comes_out(parts: list[bytes]) -> None:
    assert bytes(inflate(b"".join(map(gzip.compress, parts)), "f")) == b"".join(parts)


def test_zeros_after_the_end_are_padding() -> None:
    assert bytes(inflate(WHOLE + b"\0" * 512, "f")) == TEXT


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "XML or HTML"),
        (b"ticker,volume\n", "no gzip"),
        (WHOLE[: len(WHOLE) // 2], "cut short"),
        (WHOLE[:-8], "cut short"),
        (WHOLE[:-1], "cut short"),
        (WHOLE[:-8] + bytes(4) + WHOLE[-4:], "damaged"),
        (WHOLE + b"garbage", "not gzip follow"),
        (WHOLE + b"\0" * 8 + WHOLE, "not gzip follow"),
    ],
)
def test_anything_else_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(SourceError, match=message) as error:
        inflate(data, "f.csv.gz")
    assert error.value.values["file"] == "f.csv.gz"
    assert "offset" in error.value.values


@given(st.integers(0, len(WHOLE) - 1), st.integers(0, 7))
def test_a_flipped_bit_never_gives_other_text(position: int, bit: int) -> None:
    damaged = bytearray(WHOLE)
    damaged[position] ^= 1 << bit
    with contextlib.suppress(SourceError):
        assert bytes(inflate(bytes(damaged), "f")) == TEXT  # bits of the header that mean nothing


def test_a_bomb_is_refused_before_it_fills_memory() -> None:
    bomb = zlib.compressobj(9, zlib.DEFLATED, 31)
    data = b"".join(bomb.compress(bytes(1 << 20)) for _ in range(300)) + bomb.flush()
    assert len(data) < 400_000
    with pytest.raises(SourceError, match="inflates to more than"):
        inflate(data, "bomb.csv.gz")
