"""Indicators over any windows by their definitions: one window, one formula, row by row. Slow on purpose."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

from tests.reference.panel import A, ema, mean, std, wilder

NAN = math.nan


def ta_windows(
    high: Sequence[float],
    low: Sequence[float],
    close: Sequence[float],
    volume: Sequence[float],
    windows: Mapping[str, int],
) -> dict[str, list[float]]:
    """Every column of one symbol, NaN for null; prices are on the total-return basis."""
    h, l, c, n = high, low, close, windows  # noqa: E741
    rows = range(len(c))
    return {
        "ta_rsi": _rsi(c, n["rsi_n"]),
        "ta_atr_pct": _atr(h, l, c, n["atr_n"]),
        "ta_bb_pos": [_band(c, t, n["bb_n"])[0] for t in rows],
        "ta_bb_width": [_band(c, t, n["bb_n"])[1] for t in rows],
        "ta_macd_hist_pct": _macd(c, n["macd_fast"], n["macd_slow"], n["macd_signal"]),
        "ta_momentum": [c[t] / c[t - n["momentum_n"]] - 1 if t >= n["momentum_n"] else NAN for t in rows],
        "ta_volatility": [_volatility(c, t, n["vol_n"]) for t in rows],
        "ta_stoch_k": [_stochastic(h, l, c, t, n["stoch_n"]) for t in rows],
        "ta_volume_ratio": [_ratio(volume, t, n["volume_n"]) for t in rows],
    }


def _over(a: float, b: float) -> float:
    return a / b if b else NAN


def _rsi(c, n):
    up = [0.0, *(max(b - a, 0) for a, b in itertools.pairwise(c))]
    down = [0.0, *(max(a - b, 0) for a, b in itertools.pairwise(c))]
    u, d = wilder(up, n, 1), wilder(down, n, 1)
    return [NAN if t < 7 * n else 100 * u[t] / (u[t] + d[t]) if u[t] + d[t] else 50.0 for t in range(len(c))]


def _atr(h, l, c, n):  # noqa: E741
    ranges = [0.0, *(max(h[t], c[t - 1]) - min(l[t], c[t - 1]) for t in range(1, len(c)))]
    smooth = wilder(ranges, n, 1)
    return [NAN if t < 7 * n else smooth[t] / c[t] for t in range(len(c))]


def _band(c, t, n):
    if t < n - 1:
        return NAN, NAN
    w = c[t - n + 1 : t + 1]
    m, s = mean(w), std(w)
    return _over(c[t] - (m - 2 * s), 4 * s), 4 * s / m


def _macd(c, fast, slow, signal):
    begin = math.ceil(3.5 * slow)
    a, b = ema(c, fast), ema(c, slow)
    line = [a[t] - b[t] for t in range(len(c))]
    smooth = ema(line, signal, begin)
    first = begin + math.ceil(3.5 * signal)
    return [NAN if t < first else (line[t] - smooth[t]) / c[t] for t in range(len(c))]


def _volatility(c, t, n):
    if t < n:
        return NAN
    return A * std([c[i] / c[i - 1] - 1 for i in range(t - n + 1, t + 1)])


def _stochastic(h, l, c, t, n):  # noqa: E741
    if t < n - 1:
        return NAN
    top, bottom = max(h[t - n + 1 : t + 1]), min(l[t - n + 1 : t + 1])
    return 100 * (c[t] - bottom) / (top - bottom) if top > bottom else 50.0


def _ratio(v, t, n):
    return NAN if t < n - 1 else _over(v[t], mean(v[t - n + 1 : t + 1]))
