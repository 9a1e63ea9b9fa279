"""The technical panel by its definitions: one window, one formula, row by row. Slow on purpose."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

A = math.sqrt(252)


@dataclass
class Bars:
    """Daily bars of one symbol and their total-return factor, as plain lists."""

    open: Sequence[float]
    high: Sequence[float]
    low: Sequence[float]
    close: Sequence[float]
    volume: Sequence[float]
    factor: Sequence[float]


def mean(x):
    return x[0] if len(set(x)) == 1 else sum(x) / len(x)  # of equal values it is that value, to the last bit


def std(x):
    m = mean(x)
    return math.sqrt(sum((v - m) ** 2 for v in x) / (len(x) - 1))


def correlation(x, y):
    mx, my = mean(x), mean(y)
    return sum((a - mx) * (b - my) for a, b in zip(x, y, strict=True)) / math.sqrt(
        sum((a - mx) ** 2 for a in x) * sum((b - my) ** 2 for b in y)
    )


def skew(x):
    n, m, s = len(x), mean(x), std(x)
    return n / ((n - 1) * (n - 2)) * sum(((v - m) / s) ** 3 for v in x)


def kurt(x):
    n, m, s = len(x), mean(x), std(x)
    term = n * (n + 1) / ((n - 1) * (n - 2) * (n - 3)) * sum(((v - m) / s) ** 4 for v in x)
    return term - 3 * (n - 1) ** 2 / ((n - 2) * (n - 3))


def ema(x, span, start=0):
    """Values from ``start`` on by row."""
    out, alpha = {}, 2 / (span + 1)
    for t in range(start, len(x)):
        out[t] = x[t] if t == start else alpha * x[t] + (1 - alpha) * out[t - 1]
    return out


def wilder(x, p, start):
    """Values by row: the mean of the first p from ``start`` on, then with weight 1/p."""
    out = {}
    for t in range(start + p - 1, len(x)):
        out[t] = mean(x[start : t + 1]) if t == start + p - 1 else out[t - 1] * (1 - 1 / p) + x[t] / p
    return out


class Twin:
    """The series of a symbol, and the columns found so far."""

    def __init__(self, bars: Bars) -> None:
        f, self.v = bars.factor, list(bars.volume)
        prices = (bars.open, bars.high, bars.low, bars.close)
        self.o, self.h, self.l, self.c = ([p * k for p, k in zip(x, f, strict=True)] for x in prices)
        o, h, l, c, v, n = self.o, self.h, self.l, self.c, self.v, len(self.c)  # noqa: E741
        self.r = [math.nan] + [c[t] / c[t - 1] - 1 for t in range(1, n)]
        self.dollars = [a * b for a, b in zip(bars.close, v, strict=True)]
        self.ln_v = [math.log(x) if x > 0 else math.nan for x in v]
        self.d_ln_v = [math.nan] + [self.ln_v[t] - self.ln_v[t - 1] for t in range(1, n)]
        self.night = [math.nan] + [math.log(o[t] / c[t - 1]) for t in range(1, n)]
        self.day = [math.log(c[t] / o[t]) for t in range(n)]
        self.hl2 = [math.log(h[t] / l[t]) ** 2 for t in range(n)]
        self.gk = [0.5 * self.hl2[t] - (2 * math.log(2) - 1) * self.day[t] ** 2 for t in range(n)]
        self.x = [(h[t] - l[t]) / c[t] for t in range(n)]
        self.typical = [v[t] * (h[t] + l[t] + c[t]) / 3 for t in range(n)]
        self.true_range = [math.nan] + [max(h[t], c[t - 1]) - min(l[t], c[t - 1]) for t in range(1, n)]
        self.out: dict[str, list[float | None]] = {}

    def put(self, name: str, rule: Callable[[int], float], first: int) -> None:
        self.out[name] = [_defined(rule, t) if t >= first else None for t in range(len(self.c))]


def last(series, w, t):
    return series[t - w + 1 : t + 1]


def panel(bars: Bars) -> dict[str, list[float | None]]:
    """Every column by name; None where undefined."""
    twin = Twin(bars)
    for group in (_trend, _oscillators, _direction, _volatility, _returns, _volume, _extremes):
        group(twin)
    return twin.out


def _trend(s: Twin) -> None:
    c, r, night, day, n, put = s.c, s.r, s.night, s.day, len(s.c), s.put
    for w in (1, 5, 10, 20, 50, 100):
        put(f"momentum_{w}d", lambda t, w=w: c[t] / c[t - w] - 1, w)
    put("momentum_6_1", lambda t: c[t - 21] / c[t - 126] - 1, 126)
    put("momentum_12_1", lambda t: c[t - 21] / c[t - 252] - 1, 252)
    for w in (10, 20):
        put(f"momentum_vol_ratio_{w}d", lambda t, w=w: (c[t] / c[t - w] - 1) / (std(last(r, w, t)) * math.sqrt(w)), w)
    put("momentum_consensus", lambda t: sum(c[t] / c[t - w] > 1 for w in (5, 20, 60)), 60)
    put("overnight_return_20d", lambda t: mean(last(night, 20, t)), 20)
    put("intraday_return_20d", lambda t: mean(last(day, 20, t)), 19)
    for w in (5, 10, 20, 50, 100, 200):
        put(f"dist_sma_{w}d", lambda t, w=w: c[t] / mean(last(c, w, t)) - 1, w - 1)
    emas = {s: ema(c, s) for s in (12, 26, 50)}
    for s in (12, 26, 50):
        put(f"dist_ema_{s}d", lambda t, s=s: c[t] / emas[s][t] - 1, math.ceil(3.5 * s))
    put("sma_ratio_20_50", lambda t: mean(last(c, 20, t)) / mean(last(c, 50, t)) - 1, 49)
    put("sma_ratio_50_200", lambda t: mean(last(c, 50, t)) / mean(last(c, 200, t)) - 1, 199)
    put("trend_strength", lambda t: abs(mean(last(c, 20, t)) / mean(last(c, 50, t)) - 1), 49)
    put("above_200_sma", lambda t: float(c[t] > mean(last(c, 200, t))), 199)
    macd = [emas[12][t] - emas[26][t] for t in range(n)]
    signal = ema(macd, 9, start=91)
    put("macd_pct", lambda t: macd[t] / c[t], 91)
    put("macd_signal_pct", lambda t: signal[t] / c[t], 123)
    put("macd_hist_pct", lambda t: (macd[t] - signal[t]) / c[t], 123)


def _oscillators(s: Twin) -> None:
    h, l, c, true_range, n, put = s.h, s.l, s.c, s.true_range, len(s.c), s.put  # noqa: E741
    up = [math.nan] + [max(c[t] - c[t - 1], 0) for t in range(1, n)]
    down = [math.nan] + [max(c[t - 1] - c[t], 0) for t in range(1, n)]
    for p in (14, 28):
        u, d, tr = wilder(up, p, 1), wilder(down, p, 1), wilder(true_range, p, 1)
        put(f"rsi_{p}d", lambda t, u=u, d=d: 100 * u[t] / (u[t] + d[t]) if u[t] + d[t] else 50.0, 7 * p)
        put(f"atr_pct_{p}d", lambda t, tr=tr: tr[t] / c[t], 7 * p)

        def k(t, p=p):
            low, high = min(last(l, p, t)), max(last(h, p, t))
            return 100 * (c[t] - low) / (high - low) if high > low else 50.0

        put(f"stochastic_k_{p}d", k, p - 1)
        put(f"stochastic_d_{p}d", lambda t, k=k: mean([k(t), k(t - 1), k(t - 2)]), p + 1)
    for w in (20, 50):
        put(f"price_zscore_{w}d", lambda t, w=w: (c[t] - mean(last(c, w, t))) / std(last(c, w, t)), w - 1)


def _direction(s: Twin) -> None:
    h, l, true_range, n, put = s.h, s.l, s.true_range, len(s.c), s.put  # noqa: E741
    moved = [(h[t] - h[t - 1], l[t - 1] - l[t]) for t in range(1, n)]
    plus = wilder([math.nan] + [a if a > b and a > 0 else 0.0 for a, b in moved], 14, 1)
    minus = wilder([math.nan] + [b if b > a and b > 0 else 0.0 for a, b in moved], 14, 1)
    tr14 = wilder(true_range, 14, 1)
    dx = [math.nan] * n
    for t in range(98, n):
        p_di, m_di = (100 * q[t] / tr14[t] if tr14[t] else 0.0 for q in (plus, minus))
        dx[t] = 100 * abs(p_di - m_di) / (p_di + m_di) if p_di + m_di else 0.0
    adx = wilder(dx, 14, 98)
    put("adx_14d", lambda t: adx[t], 196)


def _volatility(s: Twin) -> None:
    r, hl2, gk, x, put = s.r, s.hl2, s.gk, s.x, s.put
    for w in (5, 10, 20, 50, 100):
        put(f"volatility_{w}d", lambda t, w=w: A * std(last(r, w, t)), w)
    for w in (5, 10, 20, 50):
        put(f"parkinson_vol_{w}d", lambda t, w=w: A * math.sqrt(mean(last(hl2, w, t)) / (4 * math.log(2))), w - 1)
    put("garman_klass_vol_20d", lambda t: A * math.sqrt(max(0.0, mean(last(gk, 20, t)))), 19)
    put("vol_ratio_10_50", lambda t: std(last(r, 10, t)) / std(last(r, 50, t)), 50)
    put("vol_ratio_20_100", lambda t: std(last(r, 20, t)) / std(last(r, 100, t)), 100)
    put("vol_regime", lambda t: std(last(r, 20, t)) / std(last(r, 252, t)), 252)
    put("vol_expansion", lambda t: std(last(r, 20, t)) / std(last(r, 20, t - 20)) - 1, 40)
    put("hl_range_pct", lambda t: x[t], 0)
    for w in (5, 10, 20):
        put(f"avg_hl_range_{w}d", lambda t, w=w: mean(last(x, w, t)), w - 1)
        put(f"range_ratio_{w}d", lambda t, w=w: x[t] / mean(last(x, w, t)), w - 1)


def _returns(s: Twin) -> None:
    r, put = s.r, s.put
    for w in (20, 60):
        put(f"return_skew_{w}d", lambda t, w=w: skew(last(r, w, t)), w)
        put(f"return_kurt_{w}d", lambda t, w=w: kurt(last(r, w, t)), w)
        put(f"return_autocorr_{w}d", lambda t, w=w: correlation(last(r, w - 1, t - 1), last(r, w - 1, t)), w)
        put(f"return_zscore_{w}d", lambda t, w=w: (r[t] - mean(last(r, w, t))) / std(last(r, w, t)), w)
        put(f"sharpe_{w}d", lambda t, w=w: A * mean(last(r, w, t)) / std(last(r, w, t)), w)
    put("up_share_20d", lambda t: mean([q > 0 for q in last(r, 20, t)]), 20)
    put("max_return_20d", lambda t: max(last(r, 20, t)), 20)
    put("downside_vol_20d", lambda t: A * math.sqrt(mean([min(q, 0) ** 2 for q in last(r, 20, t)])), 20)
    put("max_abs_return_20d", lambda t: max(abs(q) for q in last(r, 20, t)), 20)


def _volume(s: Twin) -> None:
    c, v, r, dollars, ln_v, d_ln_v, typical, put = s.c, s.v, s.r, s.dollars, s.ln_v, s.d_ln_v, s.typical, s.put
    for w in (5, 10, 20, 50):
        put(f"volume_ratio_{w}d", lambda t, w=w: v[t] / mean(last(v, w, t)), w - 1)
    for k_ in (1, 5):
        put(f"volume_change_{k_}d", lambda t, k_=k_: ln_v[t] - ln_v[t - k_], k_)
    put("log_dollar_volume_20d", lambda t: math.log(mean(last(dollars, 20, t))), 19)

    def amihud(t):
        pairs = zip(last(r, 20, t), last(dollars, 20, t), strict=True)
        return math.log(1 + 1e9 * mean([abs(a) / b for a, b in pairs if b > 0]))

    put("amihud_20d", amihud, 20)

    def obv(t):
        signed = sum((a > 0) * b - (a < 0) * b for a, b in zip(last(r, 20, t), last(v, 20, t), strict=True))
        return signed / sum(last(v, 20, t))

    put("obv_slope_20d", obv, 20)
    put("vwap_dist_20d", lambda t: c[t] * sum(last(v, 20, t)) / sum(last(typical, 20, t)) - 1, 19)
    put("volume_zscore_60d", lambda t: (ln_v[t] - mean(last(ln_v, 60, t))) / std(last(ln_v, 60, t)), 59)
    put("volume_price_corr_20d", lambda t: correlation(last(r, 20, t), last(d_ln_v, 20, t)), 20)


def _extremes(s: Twin) -> None:
    h, l, c, put = s.h, s.l, s.c, s.put  # noqa: E741
    put("drawdown_252d", lambda t: c[t] / max(last(c, 252, t)) - 1, 251)
    put("dist_from_200d_high", lambda t: c[t] / max(last(h, 200, t)) - 1, 199)
    put("dist_from_200d_low", lambda t: c[t] / min(last(l, 200, t)) - 1, 199)
    drawdown, regime = s.out["drawdown_252d"], s.out["vol_regime"]
    put("crisis_indicator", lambda t: float(drawdown[t] < -0.15 and regime[t] > 1.5), 252)
    put("recovery_indicator", lambda t: float(drawdown[t] > drawdown[t - 5] and regime[t] < regime[t - 5]), 257)


def _defined(rule: Callable[[int], float], t: int) -> float | None:
    try:
        value = float(rule(t))
    except (ZeroDivisionError, ValueError, TypeError):  # 0 below the line, ln 0, or a part that is undefined
        return None
    return value if math.isfinite(value) else None
