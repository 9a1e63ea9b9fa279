"""Writing: equal rows are equal bytes, bad rows are refused, and a failure leaves nothing."""

from __future__ import annotations

import datetime as dt
import hashlib
import itertools
import resource
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raypipe.errors import DeveloperError, PartitionError, SchemaError, StorageError
from raypipe.lake import faults, rows
from raypipe.lake.rows import canonical
from raypipe.schema.spec import Column, Table
from tests.lake.samples import BARS, DAY, ONCE, TAPE, WEEKS, bars, local_lake, manifest, plain


@pytest.fixture
def lake(tmp_path):
    yield local_lake(tmp_path)
    faults.arm(None)


@pytest.fixture
def small_groups(monkeypatch):
    """Row groups of at most 50 rows, so that few rows make many groups."""
    for module in ("rows", "writer"):
        monkeypatch.setattr(f"raypipe.lake.{module}.GROUP_ROWS", 50)


def files(lake):
    return sorted(p.name for p in lake.store._root.rglob("*") if p.is_file())


def footer(lake, table=BARS, partition=DAY):
    return pq.read_metadata(lake.store._root / lake.key(table, partition))


def write_pieces(lake, *pieces):
    """Append tables; an exception among them is raised in its place."""
    with lake.writer(BARS, DAY, manifest()) as writer:
        for piece in pieces:
            if not isinstance(piece, pa.Table):
                raise piece
            writer.append(piece)


# --- equal rows, equal bytes -----------------------------------------------------------------


def _reencoded(table: pa.Table, seed: int) -> pa.Table:
    """The same values over larger, shuffled dictionaries with repeated entries."""
    rng = np.random.default_rng(seed)
    for i, column in enumerate(table.columns):
        if pa.types.is_dictionary(column.type):
            values = column.cast(pa.string()).to_pylist()
            pool = [*{v for v in values if v is not None}, "unused", "zzz"] * 2
            rng.shuffle(pool)
            codes = [None if v is None else int(rng.choice([j for j, p in enumerate(pool) if p == v])) for v in values]
            array = pa.DictionaryArray.from_arrays(pa.array(codes, pa.int32()), pa.array(pool, pa.string()))
            table = table.set_column(i, table.schema.field(i), array)
    return table


def test_bytes_depend_on_values_only(tmp_path, small_groups):
    data = bars(200)
    expected = local_lake(tmp_path / "0").write(BARS, DAY, data, manifest()).sha256

    @settings(max_examples=25)
    @given(st.lists(st.integers(0, 200), max_size=6), st.integers(0, 9))
    def check(cuts, seed):
        lake = local_lake(tmp_path / "1")
        edges = [0, *sorted(cuts), 200]
        with lake.writer(BARS, DAY, manifest()) as writer:
            for i, (start, stop) in enumerate(itertools.pairwise(edges)):
                writer.append(_reencoded(data.slice(start, stop - start), seed + i))
        assert writer.receipt.sha256 == expected

    check()


def test_the_receipt_is_true(lake):
    receipt = lake.write(BARS, DAY, bars(30), manifest())
    stored = lake.store.read(receipt.key)
    assert (receipt.sha256, receipt.bytes) == (hashlib.sha256(stored).hexdigest(), len(stored))


def test_row_groups_end_at_symbol_borders(lake, small_groups):
    data = bars(400, symbols=20)
    lake.write(BARS, DAY, data, manifest())
    groups = [footer(lake).row_group(i).num_rows for i in range(footer(lake).num_row_groups)]
    assert sum(groups) == 400
    assert max(groups) <= 50
    symbols = data["symbol"].cast(pa.string()).to_pylist()
    for edge in np.cumsum(groups)[:-1]:
        assert symbols[edge - 1] != symbols[edge]


def test_a_symbol_larger_than_a_group_is_cut(lake, small_groups):
    lake.write(BARS, DAY, bars(120, symbols=1), manifest())
    assert [footer(lake).row_group(i).num_rows for i in range(3)] == [50, 50, 20]
    assert plain(lake.read(BARS, DAY)).equals(plain(bars(120, symbols=1)))
    batches = list(lake.batches(BARS, DAY, ("ts_ns",)))
    assert pa.concat_tables(batches)["ts_ns"].to_pylist() == list(range(120))


def test_pages_have_checksums_and_the_codec_is_zstd(lake):
    lake.write(BARS, DAY, bars(30), manifest())
    column = footer(lake).row_group(0).column(3)
    assert (column.compression, column.has_dictionary_page, column.is_stats_set) == ("ZSTD", True, False)
    assert footer(lake).row_group(0).column(1).is_stats_set


@given(
    st.lists(st.one_of(st.none(), st.text("aZé\u07ff\uffff\U00010000", max_size=3)), max_size=12), st.integers(0, 99)
)
def test_canonical_keeps_values_and_sorts_bytewise(values, seed):
    table = pa.table({"v": pa.array(values, pa.string()).dictionary_encode()})
    array = canonical(_reencoded(table, seed)["v"] if values else table["v"])
    assert array.cast(pa.string()).to_pylist() == values
    names = array.dictionary.to_pylist()
    assert names == sorted({v for v in values if v is not None}, key=lambda text: text.encode())


def test_canonical_of_several_chunks_and_nulls_in_dictionaries():
    odd = pa.DictionaryArray.from_arrays(pa.array([0, 1, 2], pa.int32()), pa.array(["b", None, "a"]))
    column = pa.chunked_array([odd, pa.array(["c", "a"]).dictionary_encode()])
    array = canonical(column)
    assert array.to_pylist() == ["b", None, "a", "c", "a"]
    assert array.dictionary.to_pylist() == ["a", "b", "c"]


# --- facts and receipts ----------------------------------------------------------------------


def test_facts_can_be_added_until_the_block_ends(lake):
    with lake.writer(BARS, DAY, replace(manifest(), facts={"a_fact": "1"})) as writer:
        writer.append(bars(10))
        with pytest.raises(DeveloperError, match="receipt"):
            _ = writer.receipt
        writer.facts["symbols"] = "5"
    assert lake.manifest(BARS, DAY).facts == {"a_fact": "1", "symbols": "5"}
    assert lake.read(BARS, DAY).schema.metadata == {b"a_fact": b"1", b"symbols": b"5"}
    assert writer.receipt.rows == 10


# --- rows that are refused -------------------------------------------------------------------


def _set(table: pa.Table, name: str, row: int, value) -> pa.Table:
    values = table[name].to_pylist()
    values[row] = value
    i = table.schema.get_field_index(name)
    kind = table.schema.field(i).type
    flat = pa.array(values, pa.string()).dictionary_encode() if pa.types.is_dictionary(kind) else pa.array(values, kind)
    return table.set_column(i, table.schema.field(i).with_nullable(True), flat)


@pytest.mark.parametrize(
    ("column", "value", "match"),
    [
        ("close", float("nan"), "NaN"),
        ("close", None, "null"),
        ("ts_ns", 6, "duplicate key"),
        ("ts_ns", 0, "not sorted"),
        ("session", dt.date(2025, 1, 3), "2025-01-03 do not belong"),
    ],
)
def test_bad_rows_name_column_and_row(lake, column, value, match):
    data = _set(bars(10, symbols=1), column, 7, value)
    with pytest.raises(SchemaError, match=match) as caught:
        lake.write(BARS, DAY, data, manifest())
    assert caught.value.values["partition"] == DAY
    assert caught.value.values.get("row", 7) == 7
    assert files(lake) == []


def test_rows_are_counted_over_all_pieces(lake):
    data = _set(bars(10, symbols=1), "close", 7, float("inf"))
    with pytest.raises(SchemaError) as caught:
        write_pieces(lake, data.slice(0, 5), data.slice(5))
    assert caught.value.values["row"] == 7
    assert files(lake) == []


def test_order_is_checked_across_pieces(lake):
    data = bars(10, symbols=1)
    for first, second, match in [(data.slice(5), data.slice(0, 5), "sorted"), (data, data.slice(9), "duplicate")]:
        with pytest.raises(SchemaError, match=match):
            write_pieces(lake, first, second)


def test_another_schema_is_refused(lake):
    with pytest.raises(SchemaError, match="schema differs"):
        lake.write(BARS, DAY, bars(5).drop_columns(["reason"]), manifest())


def test_rows_of_another_symbol_or_week_are_refused(lake):
    tape = TAPE.build(
        {
            "symbol": pa.array(["A", "B"]).dictionary_encode(),
            "ts_ns": pa.array([1, 2], pa.int64()),
            "note": pa.array(["", ""]),
        }
    )
    with pytest.raises(SchemaError, match="B do not belong"):
        lake.write(TAPE, "A", tape, manifest(TAPE, "A"))
    week = WEEKS.build(
        {
            "week_start": pa.array([20_000], pa.int32()).cast(pa.date32()),
            "symbol": pa.array(["A"]).dictionary_encode(),
            "x": pa.array([1.0]),
        }
    )
    with pytest.raises(SchemaError, match="do not belong"):
        lake.write(WEEKS, "2025-01-06", week, manifest(WEEKS, "2025-01-06"))
    once = ONCE.build({"symbol": pa.array(["A"]).dictionary_encode(), "x": pa.array([1.0])})
    assert lake.write(ONCE, "all", once, manifest(ONCE, "all")).rows == 1


# --- failures leave nothing ------------------------------------------------------------------


def test_an_exception_in_the_block_shows_nothing(lake):
    lake.write(BARS, DAY, bars(5), manifest(fingerprint="old"))
    with pytest.raises(KeyboardInterrupt):
        write_pieces(lake, bars(30), KeyboardInterrupt)
    assert lake.manifest(BARS, DAY).fingerprint == "old"
    assert len(files(lake)) == 1


def test_errors_of_the_block_pass_unchanged(lake):
    with pytest.raises(FileNotFoundError):
        write_pieces(lake, bars(5), FileNotFoundError)
    assert files(lake) == []


def test_a_damaged_temporary_is_never_published(lake, monkeypatch):
    """What was closed is read back before it is shown: here the disk loses the end of it."""
    close = pq.ParquetWriter.close

    def lossy(self):
        close(self)
        self.file_handle = None
        temporary = next(lake.store._root.rglob(".*.tmp"))
        temporary.write_bytes(temporary.read_bytes()[:-20])

    monkeypatch.setattr(pq.ParquetWriter, "close", lossy)
    with pytest.raises(PartitionError, match="damaged"):
        lake.write(BARS, DAY, bars(30), manifest())
    monkeypatch.undo()
    assert files(lake) == []


def test_enospc_tells_path_and_free_bytes(lake):
    faults.arm("mid_tmp:enospc")
    with pytest.raises(StorageError, match=r"No space left on device, [0-9,]+ bytes free") as caught:
        lake.write(BARS, DAY, bars(30), manifest())
    assert "date=2025-01-02.parquet" in caught.value.values["path"]
    assert caught.value.exit_code == 5
    assert files(lake) == []


LIMITED = """
import resource, sys
from raypipe.schema.spec import Column, Table
from tests.lake.samples import BARS, DAY, bars, local_lake, manifest
from raypipe.errors import StorageError
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    local_lake(sys.argv[1]).write(BARS, DAY, bars(50_000), manifest())
except StorageError as error:
    print(error)
"""


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="no file size limits here")
def test_a_file_size_limit_is_an_error_with_its_reason(lake, tmp_path):
    done = subprocess.run([sys.executable, "-c", LIMITED, str(tmp_path)], capture_output=True, text=True, check=False)
    assert "File too large" in done.stdout, done.stderr
    assert "bytes free" in done.stdout
    assert "ulimit -f" in done.stdout
    assert files(lake) == []


def test_group_end_without_symbols():
    assert rows.group_end(TAPE, TAPE.empty()) == 0
    long = pa.table({name: pa.nulls(rows.GROUP_ROWS + 1, TAPE.arrow.field(name).type) for name in TAPE.names})
    assert rows.group_end(TAPE, long) == rows.GROUP_ROWS


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(1, 90_000)), min_size=1, max_size=6))
def test_group_end_where_a_group_holds_one_value(runs):
    table = Table("bronze/t", (), "session", (Column("id", "u32", "Contract."),), "Runs.", group_by="id")
    ids = np.repeat(*np.array(runs, np.uint32).T)
    data, start = pa.table({"id": ids}), 0
    while start < len(ids):
        end = start + rows.group_end(table, data.slice(start))
        assert len(set(ids[start:end].tolist())) == 1
        assert end - start <= rows.GROUP_ROWS_BY_VALUE
        assert end == len(ids) or ids[end] != ids[start] or end - start == rows.GROUP_ROWS_BY_VALUE
        start = end
