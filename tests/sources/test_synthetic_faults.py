"""Each kind of damage shows its own fault, and only that one."""

from __future__ import annotations

import gzip
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from raypipe.errors import SourceError, UsageError
from raypipe.sources.synthetic import FAULTS, SynthParams, corrupt, write_market
from raypipe.sources.synthetic.faults import TRANSFER_FAULTS
from tests.sources.synthetic_files import Row, bar_file, read, truth

DATE = "2025-10-31"
DAY_NS = 86_400 * 10**9


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("good")
    write_market(out, SynthParams(sessions=1, symbols=5, history=0))
    return out


@pytest.fixture(params=["minute", "day"])
def whole(request: pytest.FixtureRequest, good: Path) -> Path:
    return bar_file(good, request.param, DATE)


@pytest.fixture
def damaged(whole: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    path = tmp_path / whole.name
    path.write_bytes(whole.read_bytes())
    return path


def text(path: Path) -> bytes:
    return gzip.decompress(path.read_bytes())


def differences(before: list[Row], after: list[Row]) -> tuple[list[Row], list[Row]]:
    """Rows that are gone, and rows that are new."""
    old, new = Counter(before), Counter(after)
    return list((old - new).elements()), list((new - old).elements())


def is_sorted(rows: list[Row]) -> bool:
    keys = [(row.symbol.encode(), row.start_ns) for row in rows]
    return keys == sorted(keys)


def chunks(data: bytes) -> Iterator[bytes]:
    """What a streaming reader gets before it fails or ends."""
    yield zlib.decompressobj(31).decompress(data)


def test_cut_half_stops_in_the_middle_of_the_stream(whole: Path, damaged: Path) -> None:
    corrupt(damaged, "cut_half")
    assert damaged.read_bytes() == whole.read_bytes()[: whole.stat().st_size // 2]
    with pytest.raises(EOFError):
        text(damaged)


def test_no_trailer_holds_all_rows_but_no_end(whole: Path, damaged: Path) -> None:
    corrupt(damaged, "no_trailer")
    assert next(chunks(damaged.read_bytes())) == text(whole)
    with pytest.raises(EOFError):
        text(damaged)


def test_bad_crc_holds_all_rows_under_a_wrong_sum(whole: Path, damaged: Path) -> None:
    corrupt(damaged, "bad_crc")
    assert damaged.stat().st_size == whole.stat().st_size
    assert zlib.decompressobj(-15).decompress(damaged.read_bytes()[10:]) == text(whole)
    with pytest.raises(gzip.BadGzipFile, match="CRC"):
        text(damaged)


def test_mid_row_is_valid_gzip_that_ends_inside_a_row(whole: Path, damaged: Path) -> None:
    corrupt(damaged, "mid_row")
    assert text(whole).startswith(text(damaged))
    assert text(damaged).rsplit(b"\n", 1)[1].count(b",") == 3


def test_on_newline_is_valid_gzip_with_fewer_whole_rows(whole: Path, damaged: Path) -> None:
    corrupt(damaged, "on_newline")
    rows, kept = read(whole), read(damaged)
    assert rows[: len(kept)] == kept
    assert 0 < len(kept) < len(rows)
    assert text(damaged).endswith(b"\n")


def test_xml_body_and_empty_are_no_gzip(damaged: Path) -> None:
    corrupt(damaged, "xml_body")
    assert damaged.read_bytes().startswith(b"<?xml")
    assert b"<Error>" in damaged.read_bytes()


def test_empty_has_no_bytes(damaged: Path) -> None:
    corrupt(damaged, "empty")
    assert damaged.stat().st_size == 0


def test_dup_exact_repeats_one_row(whole: Path, damaged: Path) -> None:
    corrupt(damaged, "dup_exact")
    gone, new = differences(read(whole), read(damaged))
    assert gone == []
    assert len(new) == 1
    assert new[0] in read(whole)
    assert is_sorted(read(damaged))


def test_dup_conflict_repeats_one_key_with_other_values(whole: Path, damaged: Path) -> None:
    corrupt(damaged, "dup_conflict")
    gone, (new,) = differences(read(whole), read(damaged))
    assert gone == []
    assert replace(new, volume=new.volume - 1) in read(whole)
    assert is_sorted(read(damaged))


def test_unsorted_holds_the_same_rows(whole: Path, damaged: Path) -> None:
    corrupt(damaged, "unsorted")
    assert differences(read(whole), read(damaged)) == ([], [])
    assert is_sorted(read(whole))
    assert not is_sorted(read(damaged))


def test_wrong_day_moves_one_row_to_another_date(whole: Path, damaged: Path) -> None:
    corrupt(damaged, "wrong_day")
    (gone,), (new,) = differences(read(whole), read(damaged))
    assert new == replace(gone, start_ns=gone.start_ns + DAY_NS)
    assert is_sorted(read(damaged))


def test_ms_timestamps_are_a_million_times_smaller(whole: Path, damaged: Path) -> None:
    corrupt(damaged, "ms_timestamps")
    assert [replace(row, start_ns=row.start_ns * 10**6) for row in read(damaged)] == read(whole)


def test_renamed_column_changes_the_header_alone(whole: Path, damaged: Path) -> None:
    corrupt(damaged, "renamed_column")
    (head, rest), (old_head, old_rest) = (text(path).split(b"\n", 1) for path in (damaged, whole))
    assert rest == old_rest
    assert head == old_head.replace(b"volume", b"vol")


def test_decimal_volume_comes_late_in_the_file(whole: Path, damaged: Path) -> None:
    corrupt(damaged, "decimal_volume")
    lines = text(damaged).decode().splitlines()[1:]
    volumes = [line.split(",")[1] for line in lines]
    decimal = ["." in volume for volume in volumes]
    assert decimal == sorted(decimal)
    assert 0 < sum(decimal) < len(decimal)
    assert [int(float(volume)) for volume in volumes] == [row.volume for row in read(whole)]


def test_bad_ohlc_turns_one_bar_upside_down(whole: Path, damaged: Path) -> None:
    corrupt(damaged, "bad_ohlc")
    _, (new,) = differences(read(whole), read(damaged))
    assert new.high < new.low
    assert is_sorted(read(damaged))


@pytest.mark.parametrize("kind", FAULTS)
def test_damage_is_always_the_same(kind: str, whole: Path, tmp_path: Path) -> None:
    results = set()
    for name in ("a", "b"):
        path = tmp_path / name
        path.write_bytes(whole.read_bytes())
        corrupt(path, kind)
        results.add(path.read_bytes())
    assert len(results) == 1
    assert results != {whole.read_bytes()}


def test_bad_ohlc_of_a_flat_bar_is_bad_too(tmp_path: Path) -> None:
    path = tmp_path / "flat.csv.gz"
    header = b"ticker,volume,open,close,high,low,window_start,transactions\n"
    path.write_bytes(gzip.compress(header + b"A,5,10.5,10.5,10.5,10.5,1761912000000000000,1\n"))
    corrupt(path, "bad_ohlc")
    (row,) = read(path)
    assert row.high < row.low


def test_unknown_kinds_and_unusable_files_are_refused(whole: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'scratch', must be one of cut_half, "):
        corrupt(whole, "scratch")
    cut = tmp_path / "cut.csv.gz"
    cut.write_bytes(whole.read_bytes()[:50])
    with pytest.raises(SourceError, match="cannot be damaged further"):
        corrupt(cut, "dup_exact")
    cut.write_bytes(gzip.compress(b"ticker\n"))
    with pytest.raises(SourceError, match="has no row to damage"):
        corrupt(cut, "dup_exact")


def test_faults_of_a_market_hit_one_file_each(good: Path, tmp_path: Path) -> None:
    params = SynthParams(sessions=2, symbols=5, history=0)
    faults = ("cut_half", "bad_ohlc", "dup_exact")
    clean, out = tmp_path / "clean", tmp_path / "faulty"
    write_market(clean, params)
    result = write_market(out, replace(params, faults=faults))
    hit = [
        ("cut_half", "us_stocks_sip/minute_aggs_v1/2025/11/2025-11-03.csv.gz"),
        ("bad_ohlc", "us_stocks_sip/minute_aggs_v1/2025/10/2025-10-31.csv.gz"),
        ("dup_exact", "us_stocks_sip/day_aggs_v1/2025/11/2025-11-03.csv.gz"),
    ]
    assert list(result.faults) == hit
    assert truth(out)["faults"] == [{"kind": kind, "key": key} for kind, key in hit]
    changed = {key for key in result.keys if (out / key).read_bytes() != (clean / key).read_bytes()}
    assert changed == {key for _, key in hit}
    # The listing states what the vendor has: its own faults, but whole objects.
    listed = {line.split()[3]: int(line.split()[2]) for line in (out / "files_list.txt").read_text().splitlines()}
    for kind, key in hit:
        assert listed[key] == ((clean if kind in TRANSFER_FAULTS else out) / key).stat().st_size
