"""Hashes and wholeness of gzip files in one pass."""

from __future__ import annotations

import gzip
import hashlib
import io
import random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from raypipe.acquisition.digest import CHUNK, digest, gzip_digest
from raypipe.errors import SourceError

TEXT = b"ticker,volume\n" + random.Random(1).randbytes(5_000).hex().encode() + b"\n"
WHOLE = gzip.compress(TEXT, mtime=0)


def check(data: bytes):
    return gzip_digest(io.BytesIO(data), "some.csv.gz")


@pytest.mark.parametrize(
    "data",
    [
        WHOLE,
        WHOLE + WHOLE,
        WHOLE + b"\0" * 100,
        WHOLE + b"\0" * (2 * CHUNK),
        gzip.compress(b"", mtime=0),
        gzip.compress(random.Random(2).randbytes(3 * CHUNK), mtime=0),
    ],
    ids=["one member", "two members", "padded", "padded over chunks", "no text", "several chunks"],
)
def test_whole_files_pass_with_their_hashes(data):
    found = check(data)
    assert found.size == len(data)
    assert found.md5 == hashlib.md5(data).hexdigest()
    assert found.sha256 == hashlib.sha256(data).hexdigest()
    assert digest(io.BytesIO(data)) == found


@given(st.integers(1, len(WHOLE) - 1))
@example(len(WHOLE) - 1)
@example(len(WHOLE) - 8)
@example(1)
def test_every_cut_is_noticed(at):
    with pytest.raises(SourceError) as caught:
        check(WHOLE[:at])
    assert caught.value.values["file"] == "some.csv.gz"
    assert caught.value.values["offset"] <= at


@given(st.integers(10, len(WHOLE) - 1), st.integers(0, 7))
def test_every_flipped_bit_is_noticed(at, bit):
    """All but the 10 bytes of the header, of which some say nothing about the content."""
    data = bytearray(WHOLE)
    data[at] ^= 1 << bit
    with pytest.raises(SourceError):
        check(bytes(data))


@given(st.binary(max_size=300))
def test_anything_else_is_refused_by_our_error_or_is_gzip(data):
    try:
        check(data)
    except SourceError:
        return
    gzip.decompress(data)


@pytest.mark.parametrize("tail", [b"x", b"\0x", b"\x1f", WHOLE[:30], b"\0" + WHOLE], ids=repr)
def test_what_follows_the_end_must_be_whole_or_zeros(tail):
    with pytest.raises(SourceError):
        check(WHOLE + tail)


def test_bombs_take_no_memory():
    import resource

    bomb = gzip.compress(b"\0" * (64 << 20))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert check(bomb).size == len(bomb)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 16 << 10
