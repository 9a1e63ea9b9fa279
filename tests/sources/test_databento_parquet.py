"""ES trades and books as Parquet: the same rows as from DBN, less what Parquet does not have."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raypipe.errors import QuarantineError, SourceError
from raypipe.schema.books import ES_MBP10, ES_TRADES
from tests.sources.dbn_files import DAY, NAMES, write
from tests.sources.test_databento_bronze import book_market, market, rows_of, session

LACKING = {"instrument_id", "contract", "flags", "action", "depth", "side", "size", "price_ticks"}


def points(prices: np.ndarray) -> np.ndarray:
    return np.where(prices == 2**63 - 1, 0.0, prices / 1e9)


def columns(rows: np.ndarray) -> dict:
    return {
        "ts_event_ns": rows["ts_event"].astype(np.int64),
        "ts_recv_ns": rows["ts_recv"].astype(np.int64),
        "symbol": [NAMES[number] for number in rows["instrument_id"].tolist()],
        "seq": rows["sequence"].astype(np.int64),
    }


def as_trades(rows: np.ndarray) -> pa.Table:
    sides = np.select([rows["side"] == b"B", rows["side"] == b"A"], [1, -1], 0)
    return pa.table(
        {**columns(rows), "price": points(rows["price"]), "size": rows["size"].astype(np.int64), "aggressor": sides}
    )


def as_books(rows: np.ndarray) -> pa.Table:
    levels = {}
    for level in range(10):
        for side in ("bid", "ask"):
            levels[f"{side}_px_{level + 1}"] = points(rows[f"{side}_px_{level:02d}"])
            levels[f"{side}_sz_{level + 1}"] = rows[f"{side}_sz_{level:02d}"].astype(np.int64)
    return pa.table({**columns(rows), **levels})


def save(path, table: pa.Table):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)
    return path


def without(table: pa.Table, names: set[str]) -> list[dict]:
    kept = table.select([name for name in table.column_names if name not in names])
    return sorted(kept.to_pylist(), key=lambda row: (row["ts_event_ns"], row["sequence"]))


@pytest.mark.parametrize("day", [DAY, dt.date(2024, 1, 9)])
def test_trades_are_those_of_dbn(tmp_path, day):
    rows = market()
    found = rows_of(session(save(tmp_path / "date=1999-01-01" / "hour=03" / "p.parquet", as_trades(rows)), day=day))
    expected = rows_of(session(write(tmp_path / "a.dbn", rows), day=day))
    assert without(found, {"instrument_id", "flags"}) == without(expected, {"instrument_id", "flags"})
    assert found["flags"].null_count == found.num_rows


def test_books_are_those_of_dbn(tmp_path):
    rows = book_market()
    counts = {f"{side}_ct_{level:02d}" for side in ("bid", "ask") for level in range(10)}
    found = rows_of(session(save(tmp_path / "p.parquet", as_books(rows)), table=ES_MBP10), ES_MBP10)
    expected = rows_of(session(write(tmp_path / "a.dbn", rows), table=ES_MBP10), ES_MBP10)
    assert without(found, LACKING | counts) == without(expected, LACKING | counts)
    for name in ("flags", "depth", "action", "price_ticks"):
        assert found[name].null_count == found.num_rows


def test_hours_in_files_of_their_own_and_a_symbol_that_only_the_folder_has(tmp_path):
    table = as_trades(market()[market()["instrument_id"] != 46995]).drop_columns("symbol")
    whole = rows_of(session(save(tmp_path / "symbol=ES" / "p.parquet", table)))
    parts = [
        save(tmp_path / f"{n}.parquet", table.slice(a, 100)) for n, a in enumerate((300, 0, 200, 100)) if a < len(table)
    ]
    assert rows_of(session(*parts)).to_pylist() == whole.to_pylist()
    assert set(whole["contract"].to_pylist()) == {"ES"}


def test_files_that_are_not_so(tmp_path):
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(save(tmp_path / "p.parquet", as_trades(market())).read_bytes()[:-20])
    with pytest.raises(SourceError, match="not a whole Parquet file"):
        rows_of(session(broken))
    with pytest.raises(SourceError, match="no column price"):
        rows_of(session(save(tmp_path / "q.parquet", as_trades(market()).drop_columns("price"))))
    nested = as_trades(market()).append_column("x", pa.array([[1]] * 400))
    with pytest.raises(SourceError, match="a column of type list"):
        rows_of(session(save(tmp_path / "r.parquet", nested)))
    prices = as_trades(market()).drop_columns("price").append_column("price", pa.array([float("nan")] * 400))
    with pytest.raises(QuarantineError, match="price"):
        rows_of(session(save(tmp_path / "s.parquet", prices), table=ES_TRADES))
