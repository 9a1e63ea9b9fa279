"""The made-up market of daily bars from files: a table per symbol."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from raypipe.calendar import Session
from raypipe.schema.daily_bars import OHLCV_1D
from raypipe.schema.frames import constant_dictionary

__all__ = ["ohlcv_1d"]


def ohlcv_1d(symbols: Sequence[str], rng: np.random.Generator, sessions: Sequence[Session]) -> dict[str, pa.Table]:
    """Bars of symbols that list late, end early and miss sessions, with dividends, splits and dead stretches."""
    made: dict[str, pa.Table] = {}
    for name in symbols:
        first, last = rng.integers(0, 8), len(sessions) - rng.integers(0, 8)
        days = [s.date for i, s in enumerate(sessions) if first <= i <= last and rng.random() < 0.97]
        bars = _walk(rng, len(days))
        close = bars["close"]
        dead = rng.random(len(days)) < 0.02
        dividends = np.where(rng.random(len(days)) < 0.03, np.round(close * 0.01, 2), 0.0)
        made[name] = OHLCV_1D.build(
            {
                "session": pa.array(days, pa.date32()),
                "symbol": constant_dictionary(name, len(days)),
                **{key: pa.array(values) for key, values in bars.items()},
                "volume": pa.array(np.where(dead, 0.0, np.round(rng.lognormal(13.5, 1.0, len(days))))),
                "adj_close": pa.array(close * 0.9),
                "dividends": pa.array(dividends),
                "split_ratio": pa.array(np.where(rng.random(len(days)) < 0.01, 3.0, 0.0)),
                "shares_outstanding": pa.array(np.full(len(days), 1e9)),
                "vintage_ns": pa.array(np.full(len(days), 1, np.int64)),
            }
        )
    return made


def _walk(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    """Prices of consecutive bars."""
    close = np.round(rng.uniform(8, 60) * np.exp(np.cumsum(rng.normal(0, 0.02, count))), 2)
    first = np.round(close * np.exp(rng.normal(0, 0.01, count)), 2)
    high, low = np.maximum(first, close) * 1.01, np.minimum(first, close) * 0.99
    return {"open": first, "high": np.round(high, 2), "low": np.round(low, 2), "close": close}
