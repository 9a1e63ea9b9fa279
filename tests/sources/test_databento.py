"""DBN as a stream against the vendor's library, and everything that makes a file less than whole."""

from __future__ import annotations

import gc
import io
import itertools
import weakref
from pathlib import Path

import numpy as np
import pytest
import zstandard
from hypothesis import example, given
from hypothesis import strategies as st

from raypipe.errors import SourceError
from raypipe.sources.databento import RTYPES, RecordStream, read_header, stream_chunks
from raypipe.sources.databento_bytes import Frames
from raypipe.sources.dbn_layout import MBP10_RTYPE, TRADE_RTYPE, WORD
from tests.sources.dbn_files import DAY, ESH4, ESM4, at, books, metadata, trades, write


def stream(data: bytes, **options) -> RecordStream:
    return RecordStream(io.BytesIO(data), "a.dbn", **options)


def read(data: bytes, records: int = 4096, **options) -> np.ndarray:
    return np.concatenate([chunk.copy() for chunk in stream(data, **options).chunks(records)])


def library(data: bytes) -> np.ndarray:
    import databento

    return databento.DBNStore.from_bytes(data).to_ndarray()


def some_trades(n: int = 50, **options) -> np.ndarray:
    rng = np.random.default_rng(n)
    times = at("14:30") + np.sort(rng.integers(0, 10**12, n))
    ids = np.where(rng.random(n) < 0.2, ESM4, ESH4)
    return trades(
        times, prices=4780 + rng.integers(-40, 40, n) * 0.25, sizes=rng.integers(1, 50, n), ids=ids, **options
    )


def some_books(n: int = 50, **options) -> np.ndarray:
    rng = np.random.default_rng(n)
    return books(at("14:30") + np.arange(n) * 10**6, mid=4780 + rng.integers(-40, 40, n) * 0.25, **options)


def plain(rows: np.ndarray, **options) -> bytes:
    return metadata(rows, **options) + rows.tobytes()


def zst(body: bytes, *cuts: int) -> bytes:
    pack = zstandard.ZstdCompressor(level=3, write_checksum=True).compress
    edges = [0, *cuts, len(body)]
    return b"".join(pack(body[a:b]) for a, b in itertools.pairwise(edges))


# --- real files, against the library --------------------------------------------------------------


@pytest.mark.parametrize("records", [7, 4096])
@pytest.mark.parametrize(
    "name",
    [
        "dbn_glbx/futures_trades_2024-07-01T23-58_2024-07-02T00-02.dbn.zst",
        "dbn_glbx/glbx-mdp3-20231225.mbp-10.dbn.zst",
        "dbn_glbx/glbx-mdp3-20231225.trades.dbn.zst",
        "dbn_glbx/glbx-mdp3-20240903.trades.dbn.zst",
        "dbn_xnas/xnas-itch-20250403.FROG.mbp-10.dbn.zst",
        "dbn_xnas/xnas-itch-20250403.FROG.trades.dbn.zst",
    ],
)
def test_every_field_of_real_files_is_the_librarys(shared_data, name, records):
    expected = library((shared_data / name).read_bytes())
    found = np.concatenate([chunk.copy() for chunk in stream_chunks(shared_data / name, records=records)])
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


def test_metadata_of_real_files_are_the_librarys(shared_data):
    import databento

    for path in sorted(shared_data.glob("dbn_*/*.dbn.zst")):
        expected = databento.DBNStore.from_bytes(path.read_bytes()).metadata
        with path.open("rb") as raw:
            found = read_header(raw, path.name)
        assert (found.schema, found.dataset) == (str(expected.schema), expected.dataset)
        assert (found.start_ns, found.end_ns) == (expected.start, expected.end)
        assert {
            symbol: [{"start_date": i.start, "end_date": i.end, "symbol": i.symbol} for i in intervals]
            for symbol, intervals in found.mappings.items()
        } == expected.mappings


# --- versions, lengths, other records -------------------------------------------------------------


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize("ts_out", [False, True])
@pytest.mark.parametrize("make", [some_trades, some_books])
def test_versions_and_longer_records(version, ts_out, make):
    rows = make(ts_out=ts_out)
    if ts_out:
        rows["ts_out"] = rows["ts_recv"] + 1
    data = plain(rows, version=version, ts_out=ts_out)
    for found in (read(data), read(zst(data)), read(data, records=3)):
        assert found.dtype == rows.dtype
        np.testing.assert_array_equal(found, rows)
    assert stream(data).header.version == version


def test_the_records_own_length_counts_not_what_the_metadata_say():
    rows = some_trades(ts_out=True)
    np.testing.assert_array_equal(read(plain(rows, ts_out=False)), rows)


@given(cuts=st.lists(st.integers(1, 18_000), max_size=4), records=st.integers(1, 64))
def test_frames_and_chunks_change_nothing(cuts, records):
    rows = some_books(40)
    data = plain(rows)
    skippable = b"\x5a\x2a\x4d\x18" + (5).to_bytes(4, "little") + b"hello"
    packed = skippable + zst(data, *sorted(cut for cut in set(cuts) if cut < len(data))) + skippable
    found = stream(packed)
    np.testing.assert_array_equal(np.concatenate([chunk.copy() for chunk in found.chunks(records)]), rows)
    assert found.size == len(packed)


def test_the_hash_is_that_of_the_file():
    import xxhash

    data = zst(plain(some_trades()), 100)
    found = stream(data)
    for _ in found.chunks():
        pass
    assert found.digest == xxhash.xxh3_128(data).hexdigest()


@pytest.mark.parametrize("records", [1, 5, 100])
def test_records_of_other_types_are_passed_over_by_their_own_length(records):
    rows = some_trades(12)
    other = np.zeros(7, dtype=np.int64)  # a record of 56 bytes and of no type that is read
    other[0] = 14 | 22 << 8
    pieces = [other.tobytes()] + [rows[i : i + 3].tobytes() + other.tobytes() for i in range(0, 12, 3)]
    found = stream(metadata(rows) + b"".join(pieces))
    np.testing.assert_array_equal(np.concatenate([c.copy() for c in found.chunks(records)]), rows)
    assert (found.records, found.others) == (12, 5)


# --- less than whole ------------------------------------------------------------------------------


def refused(data: bytes) -> SourceError:
    with pytest.raises(SourceError) as caught:
        read(data)
    assert isinstance(caught.value.values["offset"], int)
    assert caught.value.values["file"] == "a.dbn"
    assert caught.value.hint
    return caught.value


ROWS = some_books(12)
WHOLE = plain(ROWS)
PACKED = zst(WHOLE)
HEAD = len(WHOLE) - ROWS.nbytes


@given(st.integers(0, len(PACKED) - 1))
@example(0)
@example(3)
@example(len(PACKED) - 4)
@example(len(PACKED) - 1)
def test_a_compressed_file_cut_at_any_byte_is_refused(cut):
    error = refused(PACKED[:cut])
    assert error.values["offset"] <= cut
    if cut > 4:
        assert str(cut) in str(error)


@given(st.integers(0, len(WHOLE) - 1))
@example(HEAD)
@example(HEAD + 1)
@example(len(WHOLE) - 1)
def test_a_plain_file_cut_inside_a_record_is_refused(cut):
    if cut > HEAD and (cut - HEAD) % ROWS.dtype.itemsize == 0:
        np.testing.assert_array_equal(read(WHOLE[:cut]), ROWS[: (cut - HEAD) // ROWS.dtype.itemsize])
    else:
        refused(WHOLE[:cut])


@given(st.integers(0, len(PACKED) - 1), st.integers(0, 7))
def test_a_flipped_bit_of_a_compressed_file_is_noticed(place, bit):
    data = bytearray(PACKED)
    data[place] ^= 1 << bit
    try:
        found = read(bytes(data))
    except SourceError:
        return
    np.testing.assert_array_equal(found, ROWS)  # a bit that means nothing


@given(st.integers(0, HEAD - 1), st.integers(0, 255))
def test_damaged_metadata_never_end_in_anything_but_our_error(place, value):
    data = bytearray(WHOLE)
    data[place] = value
    try:
        read(bytes(data))
    except SourceError:
        return


@given(st.binary(max_size=200))
def test_other_bytes_are_refused(data):
    refused(data)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "empty"),
        (b"<Error><Code>NoSuchKey</Code></Error>", "not a DBN file"),
        (zst(b"ticker,price\n"), "not a DBN file"),
        (b"DBN\x09" + WHOLE[4:], "version 9"),
        (b"DBN\x03\xff\xff\xff\xff" + WHOLE[8:], "cannot be"),
        (WHOLE[:HEAD], "no record"),
        (zst(WHOLE[:HEAD]), "no record"),
        (PACKED + b"\0\0\0\0", "no zstd frame"),
        (PACKED + b"xy", "damaged"),
        (WHOLE + b"\0" * WORD, "part of a record"),
    ],
)
def test_what_is_wrong_is_said(data, why):
    assert why in str(refused(data))


@pytest.mark.parametrize(("length", "rtype"), [(0, 10), (1, 10), (4, 10), (91, 10), (12, 10), (92, 10 | 128)])
def test_a_length_that_cannot_be_names_the_record(length, rtype):
    data = bytearray(WHOLE)
    place = HEAD + 5 * ROWS.dtype.itemsize
    data[place], data[place + 1] = length, rtype
    if rtype == MBP10_RTYPE:
        error = refused(bytes(data))
        assert error.values["row"] == 6
        assert error.values["offset"] == place
    else:
        assert len(read(bytes(data))) == len(ROWS) - 1


def test_a_schema_that_is_not_read_is_named():
    rows = some_trades()
    with pytest.raises(SourceError, match="schema mbo are not read"):
        read(plain(rows, schema="mbo"))
    np.testing.assert_array_equal(read(plain(rows, schema="mbo"), rtype=TRADE_RTYPE), rows)


def test_files_are_told_by_their_bytes_not_by_their_names(tmp_path: Path):
    rows = some_trades()
    for name, data in (("a.dbn", PACKED), ("b.dbn.zst", WHOLE)):
        (tmp_path / name).write_bytes(data)
        assert sum(map(len, stream_chunks(tmp_path / name))) == len(ROWS)
    path = write(tmp_path / "c.dbn.zst", rows, frames=[30, 700])
    assert sum(map(len, stream_chunks(path))) == len(rows)


def test_an_interval_without_end_is_none():
    header = stream(plain(ROWS, bounds=(at("00:00"), None))).header
    assert header.end_ns is None
    assert header.start_ns == at("00:00", DAY)


def test_frames_are_walked_alike_in_pieces_of_any_size():
    data = zst(WHOLE, 10, 2000)
    for size in (1, 2, 3, 7, 1000):
        frames = Frames("a")
        for k in range(0, len(data), size):
            frames.feed(data[k : k + size])
        frames.finish()
        assert frames.size == len(data)


def test_blocks_are_walked_alike_in_pieces_of_any_size():
    """Blocks of all kinds (plain, of one byte, compressed), some whole in a piece, and cut anywhere."""
    rng = np.random.default_rng(1)
    content = b"".join([rng.bytes(300_000), bytes(500_000), rng.integers(0, 4, 400_000).astype(np.uint8).tobytes()])
    data = zst(content, 700_001)
    for size in (1, 2, 3, 5, 1000, 100_003, len(data)):
        frames = Frames("a")
        for k in range(0, len(data), size):
            frames.feed(data[k : k + size])
        frames.finish()
    for cut in rng.integers(1, len(data), 200).tolist():
        frames = Frames("a")
        frames.feed(data[: cut // 2])
        frames.feed(data[cut // 2 : cut])
        with pytest.raises(SourceError, match="cut short"):
            frames.finish()


def test_a_stream_that_is_left_gives_its_memory_back_at_once():
    """Not when Python looks for rings: the decompressor holds megabytes."""
    gc.disable()
    try:
        found = stream(PACKED)
        next(found.chunks())
        whole = weakref.ref(found._bytes)
        del found
        assert whole() is None
    finally:
        gc.enable()


def test_schemas_that_are_read():
    assert {"trades": TRADE_RTYPE, "mbp-10": MBP10_RTYPE} == RTYPES
    np.testing.assert_array_equal(library(WHOLE), ROWS)
