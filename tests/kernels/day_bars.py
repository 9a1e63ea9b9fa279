"""Made-up day bars on [session, symbol] grids, and the indicators of a grid as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from raypipe.kernels._jit import as_input
from raypipe.kernels.technical import INDICATORS, technical

#: How a close moves from row to row; ``ties`` has few distinct prices.
KINDS = ("walk", "flat", "rising", "falling", "ties")


@dataclass(frozen=True)
class Grid:
    """Bars of a few symbols; NaN where a symbol has no row."""

    high: np.ndarray
    low: np.ndarray
    close: np.ndarray
    volume: np.ndarray
    ratios: np.ndarray

    @property
    def shape(self) -> tuple[int, int]:
        return self.close.shape

    def scaled(self, prices: float, volumes: float) -> Grid:
        """Every price and every volume times a constant."""
        return Grid(self.high * prices, self.low * prices, self.close * prices, self.volume * volumes, self.ratios)


def closes(rng: np.random.Generator, kind: str, rows: int) -> np.ndarray:
    """Closes of one kind, in whole cents."""
    start = rng.integers(200, 20_000)
    if kind == "flat":
        return np.full(rows, start / 100)
    if kind == "ties":
        return rng.integers(500, 504, rows) / 100
    steps = rng.integers(1, 40, rows) if kind != "walk" else rng.normal(0, start * 0.02, rows)
    path = start + np.cumsum(-steps if kind == "falling" else steps)
    return np.maximum(np.round(path + (rows * 40 if kind == "falling" else 0)), 5) / 100


def grid(seed: int, kinds: Sequence[str], sessions: int, presence: float = 1.0, splits: int = 0) -> Grid:
    """One symbol per kind; some rows are missing, some volumes are 0, splits fall anywhere."""
    rng = np.random.default_rng(seed)
    close = np.column_stack([closes(rng, kind, sessions) for kind in kinds])
    moves = np.array([kind not in ("flat", "ties") for kind in kinds])
    high = close + np.where(moves, rng.integers(0, 50, close.shape), 0) / 100
    low = np.maximum(close - np.where(moves, rng.integers(0, 50, close.shape), 0) / 100, 0.01)
    volume = np.where(rng.random(close.shape) < 0.1, 0.0, np.round(rng.lognormal(8, 2, close.shape), 2))
    ratios = np.ones(close.shape)
    places = rng.integers(0, close.size, splits)
    ratios.ravel()[places] = rng.choice([2.0, 4.0, 7.0, 1.5, 0.1, 1 / 3], splits)
    absent = rng.random(close.shape) >= presence
    high, low, close, volume = (np.where(absent, np.nan, values) for values in (high, low, close, volume))
    return Grid(high, low, close, volume, ratios)


def indicators(bars: Grid, targets: Sequence[int] | None = None, memory: int = 260) -> dict[str, np.ndarray]:
    """Indicators of the target sessions (all unless said), each float64 (targets, symbols); NaN where undefined."""
    wanted = np.arange(bars.shape[0]) if targets is None else np.asarray(targets, np.int64)
    here = ~np.isnan(bars.close[wanted])
    places = np.full(here.shape, -1)
    places[here] = np.arange(here.sum())
    out = np.full((len(INDICATORS), here.sum()), -777.0)
    grids = (as_input(values) for values in (bars.high, bars.low, bars.close, bars.volume, bars.ratios))
    technical(*grids, as_input(wanted, np.int64), as_input(places, np.int64), memory, out)
    assert not (out == -777.0).any()
    found = np.full((len(INDICATORS), *here.shape), np.nan)
    found[:, here] = out
    return dict(zip(INDICATORS, found, strict=True))


#: A few symbols of every kind over a few months.
grids = st.builds(
    grid,
    seed=st.integers(0, 2**32),
    kinds=st.lists(st.sampled_from(KINDS), min_size=1, max_size=3),
    sessions=st.integers(1, 70),
    presence=st.sampled_from([1.0, 0.9, 0.5, 0.1]),
    splits=st.integers(0, 4),
)
