"""Tables, rows and manifests that the lake's tests share."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pyarrow as pa

from raypipe.lake.location import Location
from raypipe.lake.manifest import InputSummary, Manifest
from raypipe.lake.store import Lake
from raypipe.schema.spec import Column, Table

SESSION = Column("session", "date32", "Session.", role="key")
SYMBOL = Column("symbol", "dict", "Symbol.", role="key")
BARS = Table(
    "bronze/bars",
    key=("symbol", "ts_ns"),
    grain="session",
    columns=(
        SESSION,
        SYMBOL,
        Column("ts_ns", "i64", "Time.", unit="ns", role="key"),
        Column("close", "f64", "Price.", unit="usd"),
        Column("trades", "i32", "Trades.", null="not told"),
        Column("reason", "dict", "Reason.", null="none", role="meta"),
    ),
    doc="Bars.",
)
PANEL = Table(
    "silver/panel",
    key=("symbol",),
    grain="session",
    columns=(SESSION, SYMBOL, Column("signal", "f64", "Signal.", null="unknown"), Column("ok", "bool", "Flag.")),
    doc="A derived panel.",
    floats="split",
)
WEEKS = Table(
    "silver/weeks",
    key=("symbol",),
    grain="week",
    columns=(Column("week_start", "date32", "Monday.", role="key"), SYMBOL, Column("x", "f64", "Value.")),
    doc="Weeks.",
)
TAPE = Table(
    "silver/tape",
    key=("ts_ns",),
    grain="symbol",
    columns=(SYMBOL, Column("ts_ns", "i64", "Time.", role="key"), Column("note", "str", "Text.")),
    doc="One symbol.",
)
ONCE = Table("bronze/once", key=("symbol",), grain="once", columns=(SYMBOL, Column("x", "f64", "Value.")), doc="Once.")
DAY = "2025-01-02"


def bars(rows: int = 40, *, day: str = DAY, seed: int = 0, symbols: int = 5) -> pa.Table:
    """Seeded bars, sorted by symbol and time, with nulls."""
    rng = np.random.default_rng(seed)
    codes = np.sort(rng.integers(0, symbols, rows)).astype(np.int32)
    names = pa.array([f"S{i:05d}" for i in range(symbols)])
    reasons = pa.array(rng.choice(["late", "thin"], rows), pa.string(), mask=rng.random(rows) < 0.5)
    return BARS.build(
        {
            "session": pa.array([dt.date.fromisoformat(day)] * rows, pa.date32()),
            "symbol": pa.DictionaryArray.from_arrays(codes, names),
            "ts_ns": pa.array(np.arange(rows, dtype=np.int64)),
            "close": pa.array(np.round(rng.uniform(1, 500, rows), 2)),
            "trades": pa.array(rng.integers(0, 99, rows).astype(np.int32), mask=rng.random(rows) < 0.2),
            "reason": reasons.dictionary_encode(),
        }
    )


def manifest(table: Table = BARS, partition: str = DAY, fingerprint: str = "f" * 64) -> Manifest:
    """A manifest as a plan would make it."""
    inputs = {"raw/bars": InputSummary("2025-01-01", DAY, 2, "d" * 64)}
    return Manifest(table.name, partition, fingerprint, 3, "p" * 16, table.digest, inputs, code_version="0.1.0")


def plain(table: pa.Table) -> pa.Table:
    """The table with dictionaries decoded, so that equal values are equal tables."""
    kinds = [f.with_type(pa.string()) if pa.types.is_dictionary(f.type) else f for f in table.schema]
    return table.cast(pa.schema(kinds)).combine_chunks()


def local_lake(path) -> Lake:
    """A lake in a folder."""
    return Lake(Location.parse(str(path)))


def s3_lake(server, *, prefix: str = "lake", endpoint_url: str | None = None) -> Lake:
    """A lake in a new bucket of a server, or of a proxy before it."""
    return Lake(Location.parse(f"s3://{server.bucket()}/{prefix}", endpoint_url=endpoint_url or server.endpoint_url))
