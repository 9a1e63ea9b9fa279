"""Flat files and Parquet files of option prints, made from rows."""

from __future__ import annotations

import datetime as dt
import gzip
import io
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from raypipe.calendar import calendar
from raypipe.schema.signals import OptionParams
from raypipe.sources.options import OptionFile, OptionTrades

SESSION = calendar().session(dt.date(2025, 12, 16))
HEADER = ("ticker", "conditions", "correction", "exchange", "price", "sip_timestamp", "size")
OPEN = SESSION.open_ns
SECOND = 10**9


def line(**given: Any) -> dict[str, str]:
    """A sound row of a flat file, with some values changed."""
    row = {
        "ticker": "O:SPY251216C00690000",
        "conditions": "209",
        "correction": "0",
        "exchange": "302",
        "price": "1.25",
        "sip_timestamp": str(OPEN + SECOND),
        "size": "3",
    }
    return row | {name: str(value) for name, value in given.items()}


def text_of(rows: Sequence[Mapping[str, str]], header: Sequence[str] = HEADER, end: str = "\n") -> str:
    """The text of a flat file; texts with a comma are quoted, as the vendor does."""

    def quoted(value: str) -> str:
        return f'"{value}"' if "," in value else value

    lines = [",".join(header), *(",".join(quoted(row.get(name, "")) for name in header) for row in rows)]
    return "".join(one + end for one in lines)


def flat(text: str | bytes, name: str = "us_options_opra/trades_v1/2025/12/2025-12-16.csv.gz") -> OptionFile:
    """A csv.gz of a text."""
    data = gzip.compress(text.encode() if isinstance(text, str) else text, 1)
    return OptionFile(name, lambda: io.BytesIO(data))


def parquet(columns: Mapping[str, Any] | pa.Table, name: str = "part-0.parquet", **options: Any) -> OptionFile:
    """A Parquet file."""
    sink = io.BytesIO()
    pq.write_table(columns if isinstance(columns, pa.Table) else pa.table(dict(columns)), sink, **options)
    return OptionFile(name, lambda: io.BytesIO(sink.getvalue()))


def trades(*files: OptionFile, max_share: float = 1.0, **params: Any) -> OptionTrades:
    """The prints of the session in some files; by default nothing is too much in quarantine."""
    return OptionTrades(files, SESSION, OptionParams(**params), max_share)
