"""Bars of the clock and MACD over them by their definitions, one symbol at a time.

A bar is a dict with ``start_ns, open, high, low, close, volume``; bars of a symbol come in order of time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Bar = Mapping[str, Any]
FLAT = 1e-12


@dataclass(frozen=True)
class Recipe:
    """Lengths of the averages, and from which bar on values count."""

    fast: int = 12
    slow: int = 26
    signal: int = 9
    min_bars: int = 34


@dataclass(frozen=True)
class State:
    """Where a recursion stands after its last bar."""

    fast: float
    slow: float
    signal: float
    close: float
    bars: int

    def after_split(self, ratio: float) -> State:
        """The same on the share basis after a split."""
        return State(self.fast / ratio, self.slow / ratio, self.signal / ratio, self.close / ratio, self.bars)

    @property
    def hist(self) -> float:
        return self.fast - self.slow - self.signal


def resample(bars: Sequence[Bar], width_ns: int, window: tuple[int, int]) -> list[dict[str, Any]]:
    """Bars of a clock width from the minute bars of a window."""
    buckets: dict[int, list[Bar]] = {}
    for bar in bars:
        if window[0] <= bar["start_ns"] < window[1]:
            buckets.setdefault(bar["start_ns"] // width_ns * width_ns, []).append(bar)
    return [_bucket(start, inside) for start, inside in buckets.items()]


def _bucket(start_ns: int, inside: Sequence[Bar]) -> dict[str, Any]:
    volume = inside[0]["volume"]
    for bar in inside[1:]:
        volume += bar["volume"]
    return {
        "start_ns": start_ns,
        "open": inside[0]["open"],
        "high": max(bar["high"] for bar in inside),
        "low": min(bar["low"] for bar in inside),
        "close": inside[-1]["close"],
        "volume": volume,
    }


def lines(
    closes: Sequence[float], recipe: Recipe, before: State | None = None
) -> tuple[list[dict[str, Any]], State | None]:
    """What MACD says at every bar, and where it stands after the last."""
    rows: list[dict[str, Any]] = []
    state = before
    for close in closes:
        earlier = state
        state = _step(earlier, close, recipe)
        rows.append(
            {
                "macd": state.fast - state.slow,
                "signal": state.signal,
                "hist": state.hist,
                "bar_index": state.bars - 1,
                "seasoned": state.bars >= recipe.min_bars,
                "cross": _cross(earlier, state, recipe),
            }
        )
    return rows, state


def _step(state: State | None, close: float, recipe: Recipe) -> State:
    if state is None:
        return State(close, close, 0.0, close, 1)
    fast = state.fast + 2.0 / (recipe.fast + 1.0) * (close - state.fast)
    slow = state.slow + 2.0 / (recipe.slow + 1.0) * (close - state.slow)
    signal = state.signal + 2.0 / (recipe.signal + 1.0) * (fast - slow - state.signal)
    return State(fast, slow, signal, close, state.bars + 1)


def _cross(earlier: State | None, now: State, recipe: Recipe) -> int:
    if earlier is None or earlier.bars < recipe.min_bars:
        return 0
    then, after = _flat(earlier), _flat(now)
    return 1 if then <= 0 < after else -1 if then >= 0 > after else 0


def _flat(state: State) -> float:
    return 0.0 if abs(state.hist) <= FLAT * state.close else state.hist


def session_features(
    bars: Sequence[Bar], tf: str, width_ns: int, window: tuple[int, int], recipe: Recipe, before: State | None = None
) -> tuple[dict[str, Any] | None, State | None]:
    """The columns of one symbol and timeframe (None without a bar), and where it stands after them."""
    coarse = resample(bars, width_ns, window)
    rows, state = lines([bar["close"] for bar in coarse], recipe, before)
    if not rows:
        return None, before
    last, close = rows[-1], coarse[-1]["close"]
    seasoned = [row["hist"] for row in rows if row["seasoned"]]
    known = last["seasoned"]
    found = {
        "close_last": close,
        "macd_last": last["macd"] if known else None,
        "signal_last": last["signal"] if known else None,
        "hist_last": last["hist"] if known else None,
        "hist_min": min(seasoned) if seasoned else None,
        "hist_max": max(seasoned) if seasoned else None,
        "bars_n": len(rows),
        "hist_zero_cross_up_count": sum(row["cross"] == 1 for row in rows),
        "hist_zero_cross_down_count": sum(row["cross"] == -1 for row in rows),
        "hist_last_bps": 1e4 * last["hist"] / close if known else None,
    }
    return {f"{name}__{tf}": value for name, value in found.items()}, state
