"""Reading a synthetic market back with nothing but the standard library."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HEADER = ["ticker", "volume", "open", "close", "high", "low", "window_start", "transactions"]


@dataclass(frozen=True)
class Row:
    symbol: str
    volume: int
    open: float
    close: float
    high: float
    low: float
    start_ns: int
    transactions: int


def read(path: Path) -> list[Row]:
    """All rows of a flat file, in its order."""
    lines = list(csv.reader(io.StringIO(gzip.decompress(path.read_bytes()).decode())))
    assert lines[0] == HEADER
    return [Row(c[0], int(c[1]), *map(float, c[2:6]), int(c[6]), int(c[7])) for c in lines[1:]]


def by_symbol(rows: list[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        found[row.symbol].append(row)
    return dict(found)


def bar_file(out: Path, data: str, date: str) -> Path:
    return out / f"us_stocks_sip/{data}_aggs_v1/{date[:4]}/{date[5:7]}/{date}.csv.gz"


def truth(out: Path) -> dict[str, Any]:
    return json.loads((out / "truth.json").read_text())


def contents(out: Path) -> dict[str, bytes]:
    """Every file below a folder by its relative name."""
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}
