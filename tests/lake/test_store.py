"""The lake as its users see it: keys, partitions, manifests, round trips, quarantine."""

from __future__ import annotations

import datetime as dt
import pickle
from dataclasses import replace

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raypipe.errors import DeveloperError, PartitionError, SchemaError, UnsafeNameError
from raypipe.lake.store import Lake
from tests.lake.samples import BARS, DAY, ONCE, PANEL, TAPE, WEEKS, bars, local_lake, manifest, plain, s3_lake


@pytest.fixture(params=["local", "moto", "rclone"])
def lake(request, tmp_path, monkeypatch) -> Lake:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    if request.param == "local":
        return local_lake(tmp_path / "lake")
    server = request.getfixturevalue(f"{request.param}_server")
    for name, value in server.env.items():
        monkeypatch.setenv(name, value)
    return s3_lake(server)


@pytest.fixture
def folder(tmp_path) -> Lake:
    return local_lake(tmp_path)


def panel(rows: int, day: str = DAY) -> pa.Table:
    values = np.linspace(-1, 1, rows)
    return PANEL.build(
        {
            "session": pa.array([dt.date.fromisoformat(day)] * rows, pa.date32()),
            "symbol": pa.array([f"S{i:04d}" for i in range(rows)]).dictionary_encode().cast(PANEL["symbol"].arrow.type),
            "signal": pa.array(values, mask=values > 0.5),
            "ok": pa.array(values > 0),
        }
    )


def tape(symbol: str, rows: int = 3) -> pa.Table:
    return TAPE.build(
        {
            "symbol": pa.array([symbol] * rows, pa.string()).dictionary_encode(),
            "ts_ns": pa.array(range(rows), pa.int64()),
            "note": pa.array([f"note {i}" for i in range(rows)]),
        }
    )


# --- round trips -----------------------------------------------------------------------------


def test_write_then_read(lake):
    data = bars(100)
    receipt = lake.write(BARS, DAY, data, manifest())
    assert receipt.key == "bronze/bars/date=2025-01-02.parquet"
    stat = lake.store.stat(receipt.key)
    assert (receipt.rows, receipt.bytes) == (100, stat.size)
    back = lake.read(BARS, DAY)
    assert back.schema.equals(BARS.arrow, check_metadata=True)
    assert plain(back).equals(plain(data))
    assert lake.manifest(BARS, DAY) == replace(manifest(), rows=100)
    assert lake.partitions(BARS) == [DAY]


def test_read_some_columns_in_the_order_asked_for(lake):
    data = bars(100)
    lake.write(BARS, DAY, data, manifest())
    back = lake.read(BARS, DAY, ("close", "symbol"))
    assert back.column_names == ["close", "symbol"]
    assert plain(back).equals(plain(data.select(["close", "symbol"])))
    assert back.schema.field("symbol").type == pa.dictionary(pa.int32(), pa.string())


def test_a_rewrite_replaces(lake):
    lake.write(BARS, DAY, bars(10), manifest(fingerprint="a"))
    lake.write(BARS, DAY, bars(20), manifest(fingerprint="b"))
    assert lake.read(BARS, DAY).num_rows == 20
    assert lake.manifest(BARS, DAY).fingerprint == "b"
    assert lake.partitions(BARS) == [DAY]


def test_manifests_of_a_table(lake):
    days = ["2025-01-02", "2025-01-03", "2025-01-06"]
    for day in reversed(days):
        lake.write(BARS, day, bars(5, day=day), manifest(partition=day, fingerprint=day))
    lake.store.put_bytes(lake.key(BARS, days[1]), b"PAR1 not really PAR1")
    found = lake.manifests(BARS)
    assert list(found) == days
    assert isinstance(found[days[1]], PartitionError)
    assert [found[day].fingerprint for day in (days[0], days[2])] == [days[0], days[2]]
    assert lake.manifests(PANEL) == {}


def test_nothing_there(lake):
    assert lake.manifest(BARS, DAY) is None
    assert lake.partitions(BARS) == []
    with pytest.raises(PartitionError, match="no such partition") as caught:
        lake.read(BARS, DAY)
    assert (caught.value.values["table"], caught.value.values["partition"]) == ("bronze/bars", DAY)


def test_an_empty_partition(lake):
    lake.write(BARS, DAY, BARS.empty(), manifest())
    assert lake.manifest(BARS, DAY).rows == 0
    back = lake.read(BARS, DAY)
    assert back.num_rows == 0
    assert back.schema.equals(BARS.arrow)


def test_quarantine(lake):
    rows = pa.table({"reason": ["bad price"], "line": [7]})
    key = lake.quarantine("bronze/bars", DAY, rows)
    assert key == f"quarantine/bronze/bars/date={DAY}.parquet"
    assert pq.read_table(pa.BufferReader(lake.store.read(key))).equals(rows)
    lake.quarantine("bronze/bars", DAY, rows.slice(0, 0))
    assert lake.store.stat(key) is None
    assert lake.quarantine("bronze/once", "all", rows) == "quarantine/bronze/once/all.parquet"
    with pytest.raises(UnsafeNameError):
        lake.quarantine("../x", DAY, rows)


# --- keys ------------------------------------------------------------------------------------


def test_keys(folder):
    assert folder.key(WEEKS, "2025-01-06") == "silver/weeks/date=2025-01-06.parquet"
    assert folder.key(ONCE, "all") == "bronze/once/all.parquet"
    assert folder.key(TAPE, "ABRpD") == "silver/tape/symbol=ABR%70D.parquet"
    with pytest.raises(UnsafeNameError):
        folder.key(BARS, "../2025")


def test_symbols_that_differ_by_case_are_two_partitions(folder):
    for symbol in ("ABRPD", "ABRpD", "CON", "NA", "1"):
        folder.write(TAPE, symbol, tape(symbol), manifest(TAPE, symbol))
    assert folder.partitions(TAPE) == ["1", "ABRPD", "ABRpD", "CON", "NA"]
    assert folder.read(TAPE, "ABRpD")["symbol"].to_pylist() == ["ABRpD"] * 3
    names = [path.name.casefold() for path in (folder.store._root / "silver" / "tape").iterdir()]
    assert len(set(names)) == 5


def test_files_of_others_are_passed_over(folder):
    folder.write(BARS, DAY, bars(5), manifest())
    place = folder.store._root / "bronze" / "bars"
    for name in (
        "notes.txt",
        ".DS_Store",
        "date=2025-01-03.parquet.bak",
        "date=x.parquet",
        ".date=2025-01-03.parquet.tmp",
    ):
        (place / name).write_bytes(b"x")
    (place / "old").mkdir()
    (place / "old" / "date=2025-01-03.parquet").write_bytes(b"x")
    assert folder.partitions(BARS) == [DAY]


def test_a_lake_can_be_pickled(folder):
    again = pickle.loads(pickle.dumps(folder))
    assert (again.location, repr(again)) == (folder.location, repr(folder))


# --- kinds of columns ------------------------------------------------------------------------


def test_split_tables_use_byte_stream_split(folder):
    data = panel(500)
    folder.write(PANEL, DAY, data, manifest(PANEL))
    back = folder.read(PANEL, DAY)
    assert plain(back).equals(plain(data))
    group = pq.read_metadata(folder.store._root / folder.key(PANEL, DAY)).row_group(0)
    assert "BYTE_STREAM_SPLIT" in group.column(2).encodings
    assert not group.column(2).has_dictionary_page
    assert group.column(1).has_dictionary_page


def test_plain_text_columns(folder):
    folder.write(TAPE, "A", tape("A"), manifest(TAPE, "A"))
    back = folder.read(TAPE, "A")
    assert back.schema.equals(TAPE.arrow, check_metadata=True)
    assert back["note"].to_pylist() == ["note 0", "note 1", "note 2"]


def test_other_tools_read_a_partition_without_help(folder):
    data = bars(50)
    folder.write(BARS, DAY, data, manifest())
    path = str(folder.store._root / folder.key(BARS, DAY))
    expected = data["symbol"].cast(pa.string()).to_pylist()
    with duckdb.connect() as connection:
        assert [
            row[0] for row in connection.execute("select symbol from read_parquet(?)", [path]).fetchall()
        ] == expected
    assert pl.read_parquet(path)["symbol"].cast(pl.String).to_list() == expected
    (glob,) = (folder.store._root / "bronze" / "bars").glob("*.parquet")
    assert str(glob) == path


# --- requests that are wrong -----------------------------------------------------------------


def test_unknown_columns_are_named(folder):
    folder.write(BARS, DAY, bars(5), manifest())
    with pytest.raises(SchemaError, match="price"):
        folder.read(BARS, DAY, ("price",))


@pytest.mark.parametrize("wrong", [manifest(PANEL), manifest(partition="2025-01-03")])
def test_the_manifest_must_be_about_the_partition(folder, wrong):
    with pytest.raises(DeveloperError, match="manifest is about"):
        folder.write(BARS, DAY, bars(5), wrong)
    assert folder.partitions(BARS) == []
