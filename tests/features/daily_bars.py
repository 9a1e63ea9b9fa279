"""Daily bars for tests: rows of silver/bars_1d made of plain arrays."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from raypipe.calendar import calendar
from raypipe.features.bars_1d import BARS_1D
from raypipe.schema.family import Inputs
from raypipe.schema.frames import constant_dictionary

SESSIONS = calendar().between(*(np.datetime64(day).item() for day in ("2015-01-02", "2019-12-31")))


def walk(rng: np.random.Generator, rows: int, *, sigma: float = 0.02) -> dict[str, np.ndarray]:
    """A random walk of prices, volumes, and a total-return factor that grows now and then."""
    close = 50 * np.exp(np.cumsum(rng.normal(0, sigma, rows)))
    first = close * np.exp(rng.normal(0, sigma / 2, rows))
    return {
        "open": first,
        "high": np.maximum(first, close) * np.exp(np.abs(rng.normal(0, sigma / 2, rows))),
        "low": np.minimum(first, close) * np.exp(-np.abs(rng.normal(0, sigma / 2, rows))),
        "close": close,
        "volume": np.round(rng.lognormal(13, 1, rows)),
        "div_factor": np.cumprod(np.where(rng.random(rows) < 0.02, 1.005, 1.0)),
    }


def bars_table(values: dict[str, np.ndarray], symbol: str = "AAA", **others: np.ndarray) -> pa.Table:
    """Rows of silver/bars_1d, from the first session on."""
    rows = len(values["close"])
    sessions = SESSIONS[:rows]
    columns = {"split_factor": np.ones(rows), "dividend_usd": np.zeros(rows), "is_stale": np.zeros(rows, bool)}
    columns |= {**values, **others}
    return BARS_1D.build(
        {
            "session": pa.array([s.date for s in sessions], pa.date32()),
            "symbol": constant_dictionary(symbol, rows),
            **{name: pa.array(column) for name, column in columns.items()},
            "available_ns": pa.array([s.close_ns for s in sessions], pa.int64()),
        }
    )


def inputs_of(**tables: pa.Table) -> Inputs:
    """Inputs of a family of symbols: its bars, by symbol."""
    names = tuple(sorted(tables))
    return Inputs((), {}, symbols=names, by_symbol={BARS_1D.name: {name: tables[name] for name in names}})
