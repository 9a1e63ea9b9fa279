"""Made-up minute bars of several symbols, as rows for the references and as arrays for the kernels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from hypothesis import strategies as st

from raypipe.kernels.resample import Ohlcv

MINUTE = 60 * 10**9
#: 2025-01-02, 04:00 exchange time; the window has 960 minutes, regular hours are 330 to 720.
START = 1_735_808_400 * 10**9
WHOLE = (START, START + 960 * MINUTE)
RTH = (START + 330 * MINUTE, START + 720 * MINUTE)
COLUMNS = ("open", "high", "low", "close", "volume")


@dataclass(frozen=True)
class Tape:
    """Rows of each symbol, in order of time."""

    symbols: tuple[tuple[dict[str, Any], ...], ...]

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        return [row for symbol in self.symbols for row in symbol]

    @property
    def end(self) -> np.ndarray:
        return np.cumsum([len(symbol) for symbol in self.symbols], dtype=np.int64)

    @property
    def begin(self) -> np.ndarray:
        return self.end - [len(symbol) for symbol in self.symbols]

    @property
    def start_ns(self) -> np.ndarray:
        return np.array([row["start_ns"] for row in self.rows], np.int64)

    @property
    def bars(self) -> Ohlcv:
        return Ohlcv(*(np.array([row[name] for row in self.rows], np.float64) for name in COLUMNS))


def symbol_bars(rng: np.random.Generator, minutes: list[int], kind: str = "walk") -> tuple[dict[str, Any], ...]:
    """Bars at some minutes after 04:00; ``kind`` is walk, flat or ties (few different prices)."""
    count = len(minutes)
    close = 10 * np.exp(np.cumsum(rng.normal(0, 0.004, count)))
    if kind == "flat":
        close = np.full(count, 10.1)
    if kind == "ties":
        close = rng.choice([10.0, 10.1, 10.2], count)
    first = np.append(close[:1], close[:-1]) if kind != "walk" else close * np.exp(rng.normal(0, 0.002, count))
    high = np.maximum(first, close) * (1 + (kind == "walk") * rng.random(count) * 0.002)
    low = np.minimum(first, close) * (1 - (kind == "walk") * rng.random(count) * 0.002)
    volume = np.round(rng.lognormal(5, 1, count), int(rng.integers(0, 3)))
    columns = (START + np.array(minutes, np.int64) * MINUTE, first, high, low, close, volume)
    names = ("start_ns", *COLUMNS)
    return tuple(dict(zip(names, values, strict=True)) for values in zip(*(c.tolist() for c in columns), strict=True))


def _tape(seed: int, shapes: list[tuple[str, str, int]]) -> Tape:
    rng = np.random.default_rng(seed)
    symbols = []
    for density, kind, count in shapes:
        first = {"dense": 320, "sparse": 0, "early": 0, "late": 715}[density]
        reach = {"dense": count + count // 3 + 1, "sparse": 960, "early": 330, "late": 245}[density]
        minutes = first + np.sort(rng.choice(reach, min(count, reach), replace=False))
        symbols.append(symbol_bars(rng, minutes.tolist(), kind))
    return Tape(tuple(symbols))


#: Dense and sparse symbols, with bars only before or only after regular hours, with one bar, with none.
tapes = st.builds(
    _tape,
    st.integers(0, 2**32 - 1),
    st.lists(
        st.tuples(
            st.sampled_from(["dense", "sparse", "early", "late"]),
            st.sampled_from(["walk", "walk", "flat", "ties"]),
            st.one_of(st.integers(0, 12), st.integers(0, 130)),
        ),
        max_size=5,
    ),
)


def equal_bits(got: np.ndarray, expected: list[float | None]) -> None:
    """Refuse floats that differ in any bit; None is NaN."""
    wanted = np.array([np.nan if value is None else value for value in expected], np.float64)
    np.testing.assert_array_equal(got, wanted)
    np.testing.assert_array_equal(np.signbit(got[~np.isnan(got)]), np.signbit(wanted[~np.isnan(wanted)]))
