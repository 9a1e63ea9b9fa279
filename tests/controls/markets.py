"""Markets for the controls: one without anything to find, and the real one."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pyarrow.parquet as pq

from raypipe.calendar import calendar
from tests.controls.chain import World, bars_table

#: Share of the variance of returns that one factor has.
FACTOR = 0.35


def noise(seed: int, *, symbols: int = 46, sessions: int = 1_509, start: str = "2018-01-02") -> World:
    """A Gaussian walk with one common factor: nothing in it can be known before."""
    rng = np.random.default_rng(seed)
    days = np.array(calendar().dates(dt.date.fromisoformat(start), dt.date(2025, 12, 31))[:sessions], "datetime64[D]")
    common, own = rng.normal(size=(sessions, 1)), rng.normal(size=(sessions, symbols))
    moves = 0.015 * (np.sqrt(FACTOR) * common + np.sqrt(1 - FACTOR) * own)
    close = 50 * np.exp(np.cumsum(moves, axis=0))
    first = close * np.exp(-moves * rng.uniform(size=moves.shape))
    reach = np.abs(rng.normal(0, 0.004, (2, sessions, symbols)))
    bars = {
        "open": first,
        "high": np.maximum(first, close) * np.exp(reach[0]),
        "low": np.minimum(first, close) * np.exp(-reach[1]),
        "close": close,
        "volume": np.round(rng.lognormal(14, 0.3, moves.shape)),
    }
    names = [f"N{i:02d}" for i in range(symbols)]
    return World.of(
        {
            name: bars_table(name, days, {key: column[:, i] for key, column in bars.items()})
            for i, name in enumerate(names)
        }
    )


def real(path) -> World:
    """The symbols of a file of daily bars."""
    table = pq.read_table(path).to_pandas()
    bars = {}
    for name, rows in table.groupby("symbol", sort=True):
        days = rows["date"].to_numpy().astype("datetime64[D]")
        values = {c: rows[c].to_numpy(np.float64) for c in ("open", "high", "low", "close", "volume")}
        bars[str(name)] = bars_table(str(name), days, values)
    return World.of(bars)
