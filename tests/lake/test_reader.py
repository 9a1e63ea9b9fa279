"""Reading: damaged, foreign, hostile and oversized files end in one kind of error, never in wrong data."""

from __future__ import annotations

import os
import pickle
import random
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raypipe.errors import PartitionError, StorageError
from raypipe.lake import footer
from raypipe.lake.verify import verify
from raypipe.schema.spec import Column, Table
from tests.lake.samples import BARS, DAY, TAPE, bars, local_lake, manifest, plain, s3_lake


@pytest.fixture
def lake(tmp_path):
    return local_lake(tmp_path / "lake")


def put(lake, table: pa.Table, *, stated=None, spec: Table = BARS, partition: str = DAY, **options) -> None:
    """A file in a partition's place that raypipe did not write, with a forged manifest."""
    stated = replace(stated or manifest(spec, partition), rows=table.num_rows)
    path = lake.store.staging(lake.key(spec, partition))
    with pq.ParquetWriter(path, table.schema, **options) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata(stated.to_metadata())
    lake.store.put_file(lake.key(spec, partition), path)


def refused(lake, match: str, spec: Table = BARS, partition: str = DAY) -> None:
    with pytest.raises(PartitionError, match=match) as caught:
        lake.read(spec, partition)
    assert (caught.value.values["table"], caught.value.values["partition"]) == (spec.name, partition)
    with pytest.raises(PartitionError, match=match):
        list(lake.batches(spec, partition))


# --- damage ----------------------------------------------------------------------------------


def test_bit_flips_are_errors_or_harmless(lake):
    """Every bit of a file was tried once by hand; here a different 300 each run, and all of the first page headers."""
    receipt = lake.write(BARS, DAY, bars(60), manifest())
    good, expected = lake.store.read(receipt.key), plain(lake.read(BARS, DAY))
    path = lake.store._root / receipt.key
    seed = random.randrange(1 << 32)
    places = [*range(8 * 4, 8 * 60), *random.Random(seed).sample(range(len(good) * 8), 300)]
    caught = 0
    for place in places:
        flipped = bytearray(good)
        flipped[place // 8] ^= 1 << place % 8
        path.write_bytes(flipped)
        try:
            back = lake.read(BARS, DAY)
        except PartitionError:
            caught += 1
        else:
            assert plain(back).equals(expected), f"bit {place}, seed {seed}"
    assert caught > len(places) / 2


@pytest.mark.parametrize("length", [0, 1, 4, 8, 100, 1000, -1, -4, -8, -100])
def test_cut_files_are_errors(lake, length):
    receipt = lake.write(BARS, DAY, bars(60), manifest())
    path = lake.store._root / receipt.key
    path.write_bytes(path.read_bytes()[:length])
    refused(lake, "damaged.*rebuild")
    assert isinstance(lake.manifests(BARS)[DAY], PartitionError)


def test_rotten_pages_are_found_by_verify(lake):
    for day in ("2025-01-02", "2025-01-03"):
        lake.write(BARS, day, bars(60, day=day), manifest(partition=day))
    assert list(verify(lake, BARS)) == []
    path = lake.store._root / lake.key(BARS, "2025-01-03")
    rotten = bytearray(path.read_bytes())
    start = pq.read_metadata(path).row_group(0).column(3).data_page_offset
    rotten[start + 60] ^= 1
    path.write_bytes(rotten)
    assert lake.manifest(BARS, "2025-01-03") is not None  # a footer alone cannot tell
    (problem,) = verify(lake, BARS)
    assert (problem.table, problem.partition, problem.kind) == ("bronze/bars", "2025-01-03", "damaged")
    assert list(verify(lake, BARS, ["2025-01-02"])) == []
    (missing,) = verify(lake, BARS, ["2025-01-06"])
    assert "no such partition" in missing.message


def test_rows_that_break_the_schema_are_found_by_verify(lake):
    data = bars(60)
    put(lake, data.take(list(reversed(range(60)))))
    (problem,) = verify(lake, BARS)
    assert problem.kind == "rows"
    assert "sorted" in problem.message


def test_disk_errors_are_not_taken_for_damage(lake):
    with pytest.raises(StorageError, match="Input/output"), footer.damage("t", "p", "k"):
        raise OSError(5, "Input/output error")


# --- files of others -------------------------------------------------------------------------


def test_a_file_without_manifest_is_refused(lake):
    key = lake.key(BARS, DAY)
    path = lake.store.staging(key)
    pq.write_table(bars(5), path)
    lake.store.put_file(key, path)
    refused(lake, "not written by raypipe")


def test_a_moved_file_is_refused(lake):
    receipt = lake.write(BARS, DAY, bars(5), manifest())
    lake.store.put_bytes(lake.key(BARS, "2025-01-03"), lake.store.read(receipt.key))
    refused(lake, "under another name", partition="2025-01-03")
    assert isinstance(lake.manifests(BARS)["2025-01-03"], PartitionError)


def test_rows_must_be_those_of_the_manifest(lake):
    key = lake.key(BARS, DAY)
    path = lake.store.staging(key)
    with pq.ParquetWriter(path, BARS.arrow) as writer:
        writer.write_table(bars(60))
        writer.add_key_value_metadata(replace(manifest(), rows=61).to_metadata())
    lake.store.put_file(key, path)
    refused(lake, "manifest says 61 rows, the footer 60")


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.rename_columns(["session", "symbol", "ts_ns", "price", "trades", "reason"]),
        lambda t: t.drop_columns(["trades"]),
        lambda t: t.append_column("extra", t["close"]),
        lambda t: t.select(["symbol", "session", "ts_ns", "close", "trades", "reason"]),
        lambda t: t.set_column(3, "close", t["close"].cast(pa.float32())),
        lambda t: t.set_column(1, "symbol", t["symbol"].cast(pa.string())),
    ],
)
def test_another_schema_is_refused(lake, change):
    put(lake, change(bars(20)))
    refused(lake, "schema differs")


# --- hostile files ---------------------------------------------------------------------------


class Payload:
    """Leaves a mark if it is ever unpickled."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


def _tagged(storage: pa.Array, name: str) -> pa.Table:
    """A column tagged as an extension type, as a stranger would write it."""
    field = pa.field("close", storage.type, False, {"ARROW:extension:name": name, "ARROW:extension:metadata": ""})
    data = bars(len(storage))
    return pa.table([*data.columns[:3], storage, *data.columns[4:]], BARS.arrow.set(3, field))


@pytest.mark.parametrize("name", ["ray.data.arrow_pickled_object", "arrow.json", "made.up"])
def test_extension_types_are_refused_before_any_data(lake, tmp_path, name):
    marker = tmp_path / "marker"
    put(lake, _tagged(pa.array([pickle.dumps(Payload(marker))] * 3, pa.binary()), name))
    refused(lake, "extension type")
    (problem,) = verify(lake, BARS)
    assert problem.kind == "damaged"
    assert isinstance(lake.manifests(BARS)[DAY], PartitionError)
    assert not marker.exists()


def test_nested_extension_types_are_refused(lake, tmp_path):
    inner = pa.field("item", pa.binary(), True, {"ARROW:extension:name": "ray.data.arrow_pickled_object"})
    storage = pa.array([[pickle.dumps(Payload(tmp_path / "marker"))]] * 3, pa.list_(inner))
    put(lake, _tagged(storage, "x"))
    refused(lake, "extension type")
    assert not (tmp_path / "marker").exists()


HOSTILE = """
import sys
from ray.data import DataContext  # registers the type that unpickles
from raypipe.errors import PartitionError
from tests.lake.samples import BARS, DAY, local_lake
try:
    local_lake(sys.argv[1]).read(BARS, DAY).to_pandas()
except PartitionError as error:
    print(error)
"""


@pytest.mark.slow
def test_a_pickled_column_runs_no_code_even_where_ray_data_is_imported(lake, tmp_path):
    marker = tmp_path / "marker"
    put(lake, _tagged(pa.array([pickle.dumps(Payload(marker))] * 3, pa.binary()), "ray.data.arrow_pickled_object"))
    env = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", HOSTILE, str(tmp_path / "lake")],
        capture_output=True, text=True, check=False, env=env,
    )  # fmt: skip
    assert "extension type" in done.stdout, done.stderr
    assert not marker.exists()


@pytest.mark.parametrize(
    "kind",
    [
        pa.binary(),
        pa.list_(pa.float64()),
        pa.struct([("a", pa.list_(pa.binary()))]),
        pa.timestamp("ns"),
        pa.dictionary(pa.int64(), pa.string()),
        pa.large_string(),
        pa.json_(),
        pa.uuid(),
        pa.list_(pa.uuid()),
    ],
    ids=str,
)
def test_types_outside_the_allow_list_are_refused(kind):
    with pytest.raises(PartitionError, match=r"never stores|extension"):
        footer.check_types(pa.field("x", kind))


def test_types_of_the_schema_pass():
    for column in (*BARS.arrow, *TAPE.arrow):
        footer.check_types(column)


# --- bombs -----------------------------------------------------------------------------------

FLAT = Table("silver/flat", key=("x",), grain="once", columns=(Column("x", "i64", "X."),), doc="One number.")


def test_a_bomb_is_refused_by_its_rows(lake):
    rows = 20_000_000
    zeros = pa.chunked_array([pa.array(np.zeros(rows // 20, np.int64))] * 20)
    put(lake, pa.table([zeros], FLAT.arrow), spec=FLAT, partition="all", compression="zstd")
    size = lake.store.stat(lake.key(FLAT, "all")).size
    assert size < 150_000
    assert rows * 8 > footer.MAX_RATIO * size
    with pytest.raises(PartitionError, match="20,000,000 rows"):
        lake.read(FLAT, "all")
    assert max(part.num_rows for part in lake.batches(FLAT, "all")) <= 1 << 20  # in pieces it cannot hurt


def test_a_bomb_of_text_is_refused_before_it_is_unpacked(lake):
    rows = 1500
    text = pa.array(["x" * 100_000] * rows)
    columns = [pa.array(["A"] * rows).dictionary_encode(), pa.array(range(rows), pa.int64()), text]
    put(lake, pa.table(columns, TAPE.arrow), spec=TAPE, partition="A", compression="zstd")
    assert lake.store.stat(lake.key(TAPE, "A")).size < 50_000
    refused(lake, "text, 150,000,000 bytes", TAPE, "A")


def test_honest_tables_pass_admission():
    footer.admit(BARS, BARS.names, 1_700_000, 20 << 20)
    footer.admit(BARS, BARS.names, 100_000, 10_000)
    with pytest.raises(PartitionError, match="refused"):
        footer.admit(BARS, BARS.names, -1, 1000)
    with pytest.raises(PartitionError, match="refused"):
        footer.admit(BARS, BARS.names, 1 << 40, 1 << 60)


# --- replaced while it is read ---------------------------------------------------------------


def test_reading_some_columns_of_a_large_object_sees_one_version(moto_server):
    lake = s3_lake(moto_server)
    lake.write(BARS, DAY, bars(60_000), manifest(fingerprint="1" * 64))
    part = lake.batches(BARS, DAY, ("close",))
    lake.write(BARS, DAY, bars(60_000, seed=1), manifest(fingerprint="2" * 64))
    expected = bars(60_000, seed=1)["close"]
    assert lake.read(BARS, DAY, ("close",))["close"].equals(expected)
    assert pa.concat_tables(part)["close"].equals(expected)


def test_a_local_reader_keeps_the_version_that_it_opened(lake):
    lake.write(BARS, DAY, bars(100), manifest())
    with lake.store.open(lake.key(BARS, DAY)) as source:
        lake.write(BARS, DAY, bars(50, seed=1), manifest())
        assert pq.read_table(source).num_rows == 100
    assert lake.read(BARS, DAY).num_rows == 50


def test_a_partition_of_another_history_is_refused(lake):
    lake.write(BARS, DAY, bars(5), manifest())
    assert lake.read(BARS, DAY, fingerprint=manifest().fingerprint).num_rows == 5
    with pytest.raises(PartitionError, match="changed since the plan"):
        lake.read(BARS, DAY, fingerprint="another")
    part = lake.batches(BARS, DAY, fingerprint="another")
    with pytest.raises(PartitionError, match="changed since the plan"):
        list(part)


# --- in pieces ---------------------------------------------------------------------------------------


def test_pieces_may_be_walked_again_and_those_without_a_value_are_passed_over(lake):
    spec = replace(TAPE, name="bronze/mixed", key=(), grain="session", group_by="who", columns=_MIXED)
    rows = [3, 3, 7, 7, 7, 2**32 - 1, 3]
    columns = {"session": [DAY] * len(rows), "who": rows, "n": range(len(rows))}
    data = pa.table([pa.array(columns["session"]).cast(pa.date32()), *_columns(spec, columns)], spec.arrow)
    with lake.writer(spec, DAY, manifest(spec)) as writer:
        for start, stop in ((0, 2), (2, 5), (5, 6), (6, 7)):
            writer.append(data.slice(start, stop - start))
    part = lake.batches(spec, DAY, ("n", "who"))
    for _ in range(2):
        assert [piece["n"].to_pylist() for piece in part] == [[0, 1], [2, 3, 4], [5], [6]]
    assert [piece["n"].to_pylist() for piece in part.where("who", 3)] == [[0, 1], [6]]
    assert [piece["n"].to_pylist() for piece in part.where("who", 2**32 - 1)] == [[5]]
    assert list(part.where("who", 5)) == []
    assert [piece["n"].to_pylist() for piece in lake.batches(spec, DAY, ("n",)).where("who", 7)] == [[2, 3, 4]]


_MIXED = (
    Column("session", "date32", "Session.", role="key"),
    Column("who", "u32", "Number.", role="id"),
    Column("n", "i64", "Count."),
)


def _columns(spec: Table, columns: dict) -> list[pa.Array]:
    return [pa.array(columns[name], spec[name].arrow.type) for name in ("who", "n")]
