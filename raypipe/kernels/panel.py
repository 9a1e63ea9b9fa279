"""The technical panel: 92 scale-free numbers of each daily bar, symbol after symbol.

A symbol's series are laid out once (total-return prices, returns, logarithms), and every column is a pass over them.
Everything starts at the symbol's first
bar, so a value depends on that bar's past alone, to the last bit. Where a column is undefined it is not finite.
"""

from __future__ import annotations

import math

import numpy as np

from raypipe.kernels._jit import kernel
from raypipe.kernels._panel_series import (
    AMIHUD,
    AMIHUD_SEEN,
    CLOSE,
    DAY_LOG,
    DOLLARS,
    DOWN,
    FLOW,
    GARMAN,
    HIGH,
    LOW,
    NIGHT_LOG,
    NO_LOG,
    NO_LOG_CHANGE,
    RANGE,
    RANGE_SQUARE,
    RETURNS,
    SERIES,
    TYPICAL,
    UP,
    VOLUME,
    VOLUME_CHANGE,
    VOLUME_LOG,
    series,
)
from raypipe.kernels._panel_trend import LOOKBACKS, MEANS, oscillators, trend
from raypipe.kernels.blocks import block_correlation, block_extremes, block_mean, block_mean_std, block_moments

__all__ = ["PANEL_COLUMNS", "panel"]


def _each(pattern: str, *lengths: int) -> tuple[str, ...]:
    return tuple(pattern.format(length) for length in lengths)


#: The columns, in order.
PANEL_COLUMNS = (
    *_each("momentum_{}d", *LOOKBACKS),
    *("momentum_6_1", "momentum_12_1", "momentum_vol_ratio_10d", "momentum_vol_ratio_20d"),
    *("momentum_consensus", "overnight_return_20d", "intraday_return_20d"),
    *_each("dist_sma_{}d", *MEANS),
    *_each("dist_ema_{}d", 12, 26, 50),
    *("sma_ratio_20_50", "sma_ratio_50_200", "trend_strength", "above_200_sma"),
    *("macd_pct", "macd_signal_pct", "macd_hist_pct"),
    *_each("rsi_{}d", 14, 28),
    *_each("stochastic_k_{}d", 14, 28),
    *_each("stochastic_d_{}d", 14, 28),
    *_each("price_zscore_{}d", 20, 50),
    "adx_14d",
    *_each("volatility_{}d", 5, 10, 20, 50, 100),
    *_each("parkinson_vol_{}d", 5, 10, 20, 50),
    "garman_klass_vol_20d",
    *_each("atr_pct_{}d", 14, 28),
    *("vol_ratio_10_50", "vol_ratio_20_100", "vol_regime", "vol_expansion"),
    "hl_range_pct",
    *_each("avg_hl_range_{}d", 5, 10, 20),
    *_each("range_ratio_{}d", 5, 10, 20),
    *_each("return_skew_{}d", 20, 60),
    *_each("return_kurt_{}d", 20, 60),
    *_each("return_autocorr_{}d", 20, 60),
    *_each("return_zscore_{}d", 20, 60),
    *_each("sharpe_{}d", 20, 60),
    *("up_share_20d", "max_return_20d", "downside_vol_20d", "max_abs_return_20d"),
    *_each("volume_ratio_{}d", 5, 10, 20, 50),
    *_each("volume_change_{}d", 1, 5),
    *("log_dollar_volume_20d", "amihud_20d", "obv_slope_20d", "vwap_dist_20d"),
    *("volume_zscore_60d", "volume_price_corr_20d", "drawdown_252d", "dist_from_200d_high", "dist_from_200d_low"),
    *("crisis_indicator", "recovery_indicator"),
)
_AT = PANEL_COLUMNS.index
_MOMENTUM_VOL, _NIGHT, _ZSCORE = _AT("momentum_vol_ratio_10d"), _AT("overnight_return_20d"), _AT("price_zscore_20d")
_VOLATILITY, _PARKINSON, _GARMAN = _AT("volatility_5d"), _AT("parkinson_vol_5d"), _AT("garman_klass_vol_20d")
_VOL_RATIO, _RANGE, _SKEW = _AT("vol_ratio_10_50"), _AT("hl_range_pct"), _AT("return_skew_20d")
_UP_SHARE, _VOLUME_RATIO, _DOLLARS = _AT("up_share_20d"), _AT("volume_ratio_5d"), _AT("log_dollar_volume_20d")
_VOLUME_Z, _CRISIS = _AT("volume_zscore_60d"), _AT("crisis_indicator")
_YEAR = math.sqrt(252.0)
_SPANS = (5, 10, 20, 50, 100, 252)
_RANGE_SPANS = (5, 10, 20, 50)
_MOMENT_SPANS = (20, 60)
_SCRATCH = 9
_CRISIS_DRAWDOWN, _CRISIS_REGIME = -0.15, 1.5


@kernel
def panel(
    first: np.ndarray,
    high: np.ndarray,
    low: np.ndarray,
    close: np.ndarray,
    volume: np.ndarray,
    factor: np.ndarray,
    starts: np.ndarray,
    out: np.ndarray,
) -> None:
    """Compute the panel of many symbols.

    Parameters
    ----------
    first, high, low, close, volume
        float64 (rows,): the bars, symbol after symbol and by session; prices above 0, volumes at least 0.
    factor
        float64 (rows,): total-return factor; price * factor is a total-return price.
    starts
        int64 (symbols + 1,): first row of each symbol, and the number of rows.
    out
        float32 (92, rows): filled in the order of `PANEL_COLUMNS`; not finite where undefined.
    """
    longest = 0
    for symbol in range(len(starts) - 1):
        longest = max(longest, starts[symbol + 1] - starts[symbol])
    s = np.zeros((SERIES, longest))
    w = np.zeros((_SCRATCH, longest))
    out[:] = math.nan
    for symbol in range(len(starts) - 1):
        a, b = starts[symbol], starts[symbol + 1]
        series(first[a:b], high[a:b], low[a:b], close[a:b], volume[a:b], factor[a:b], s)
        trend(s, w, b - a, a, out)
        oscillators(s, w, b - a, a, out)
        _night_and_day(s, w, b - a, a, out)
        _volatilities(s, w, b - a, a, out)
        _ranges(s, w, b - a, a, out)
        _moments(s, w, b - a, a, out)
        _shares(s, w, b - a, a, out)
        _volumes(s, w, b - a, a, out)
        _flows(s, w, b - a, a, out)
        _extremes(s, w, b - a, a, out)


@kernel
def _night_and_day(s: np.ndarray, w: np.ndarray, n: int, at: int, out: np.ndarray) -> None:
    block_mean(s[NIGHT_LOG], 1, n, 20, w[0])
    block_mean(s[DAY_LOG], 0, n, 20, w[1])
    for t in range(20, n):
        out[_NIGHT, at + t] = w[0, t]
    for t in range(19, n):
        out[_NIGHT + 1, at + t] = w[1, t]


@kernel
def _volatilities(s: np.ndarray, w: np.ndarray, n: int, at: int, out: np.ndarray) -> None:
    """Everything made of standard deviations of returns and closes; leaves std_20 / std_252 in the last scratch row."""
    for j in range(len(_SPANS)):
        block_mean_std(s[RETURNS], 1, n, _SPANS[j], w[6], w[j])
    for j in range(len(_SPANS) - 1):
        for t in range(_SPANS[j], n):
            out[_VOLATILITY + j, at + t] = _YEAR * w[j, t]
    close = s[CLOSE]
    for j in range(2):
        length = _SPANS[1 + j]
        for t in range(length, n):
            momentum = close[t] / close[t - length] - 1.0
            out[_MOMENTUM_VOL + j, at + t] = momentum / (w[1 + j, t] * math.sqrt(length))
    for t in range(50, n):
        out[_VOL_RATIO, at + t] = w[1, t] / w[3, t]
    for t in range(100, n):
        out[_VOL_RATIO + 1, at + t] = w[2, t] / w[4, t]
    for t in range(252, n):
        w[8, t] = w[2, t] / w[5, t]
        out[_VOL_RATIO + 2, at + t] = w[8, t]
    for t in range(40, n):
        out[_VOL_RATIO + 3, at + t] = w[2, t] / w[2, t - 20] - 1.0
    for j in range(2):
        length = 20 if j == 0 else 50
        block_mean_std(close, 0, n, length, w[6], w[7])
        for t in range(length - 1, n):
            out[_ZSCORE + j, at + t] = (close[t] - w[6, t]) / w[7, t]


@kernel
def _ranges(s: np.ndarray, w: np.ndarray, n: int, at: int, out: np.ndarray) -> None:
    for j in range(len(_RANGE_SPANS)):
        length = _RANGE_SPANS[j]
        block_mean(s[RANGE_SQUARE], 0, n, length, w[0])
        for t in range(length - 1, n):
            out[_PARKINSON + j, at + t] = _YEAR * math.sqrt(w[0, t] / (4.0 * math.log(2.0)))
    block_mean(s[GARMAN], 0, n, 20, w[0])
    for t in range(19, n):
        out[_GARMAN, at + t] = _YEAR * math.sqrt(max(w[0, t], 0.0))
    ranges = s[RANGE]
    for t in range(n):
        out[_RANGE, at + t] = ranges[t]
    for j in range(3):
        length = _RANGE_SPANS[j]
        block_mean(ranges, 0, n, length, w[0])
        for t in range(length - 1, n):
            out[_RANGE + 1 + j, at + t] = w[0, t]
            out[_RANGE + 4 + j, at + t] = ranges[t] / w[0, t]


@kernel
def _moments(s: np.ndarray, w: np.ndarray, n: int, at: int, out: np.ndarray) -> None:
    """Skew, kurtosis, autocorrelation, z-score and Sharpe ratio of returns."""
    returns = s[RETURNS]
    for j in range(len(_MOMENT_SPANS)):
        length = _MOMENT_SPANS[j]
        block_moments(returns, 1, n, length, w[0], w[1:4])
        block_correlation(returns[1:], returns[:-1], 1, n - 1, length - 1, w[4])
        k = float(length)
        skew = k * math.sqrt(k - 1.0) / (k - 2.0)
        kurt = k * (k + 1.0) * (k - 1.0) / ((k - 2.0) * (k - 3.0))
        excess = 3.0 * (k - 1.0) * (k - 1.0) / ((k - 2.0) * (k - 3.0))
        for t in range(length, n):
            square = w[1, t]
            std = math.sqrt(square / (k - 1.0))
            out[_SKEW + j, at + t] = skew * w[2, t] / (square * math.sqrt(square))
            out[_SKEW + 2 + j, at + t] = kurt * w[3, t] / (square * square) - excess
            out[_SKEW + 4 + j, at + t] = w[4, t - 1]
            out[_SKEW + 6 + j, at + t] = (returns[t] - w[0, t]) / std
            out[_SKEW + 8 + j, at + t] = _YEAR * w[0, t] / std


@kernel
def _shares(s: np.ndarray, w: np.ndarray, n: int, at: int, out: np.ndarray) -> None:
    block_mean(s[UP], 1, n, 20, w[0])
    block_extremes(s[RETURNS], s[RETURNS], 1, n, 20, w[1], w[2])
    block_mean(s[DOWN], 1, n, 20, w[3])
    for t in range(20, n):
        out[_UP_SHARE, at + t] = w[0, t]
        out[_UP_SHARE + 1, at + t] = w[2, t]
        out[_UP_SHARE + 2, at + t] = _YEAR * math.sqrt(max(w[3, t], 0.0))
        out[_UP_SHARE + 3, at + t] = max(w[2, t], -w[1, t])


@kernel
def _volumes(s: np.ndarray, w: np.ndarray, n: int, at: int, out: np.ndarray) -> None:
    volume = s[VOLUME]
    for j in range(len(_RANGE_SPANS)):
        length = _RANGE_SPANS[j]
        block_mean(volume, 0, n, length, w[0])
        for t in range(length - 1, n):
            out[_VOLUME_RATIO + j, at + t] = volume[t] / w[0, t]
    for t in range(1, n):
        out[_VOLUME_RATIO + 4, at + t] = math.nan if s[NO_LOG_CHANGE, t] > 0.0 else s[VOLUME_CHANGE, t]
    logs, missing = s[VOLUME_LOG], s[NO_LOG]
    for t in range(5, n):
        undefined = missing[t] + missing[t - 5] > 0.0
        out[_VOLUME_RATIO + 5, at + t] = math.nan if undefined else logs[t] - logs[t - 5]
    block_mean_std(logs, 0, n, 60, w[0], w[1])
    block_mean(missing, 0, n, 60, w[2])
    for t in range(59, n):
        out[_VOLUME_Z, at + t] = math.nan if w[2, t] > 0.0 else (logs[t] - w[0, t]) / w[1, t]
    block_correlation(s[RETURNS], s[VOLUME_CHANGE], 1, n, 20, w[0])
    block_mean(s[NO_LOG_CHANGE], 1, n, 20, w[1])
    for t in range(20, n):
        out[_VOLUME_Z + 1, at + t] = math.nan if w[1, t] > 0.0 else w[0, t]


@kernel
def _flows(s: np.ndarray, w: np.ndarray, n: int, at: int, out: np.ndarray) -> None:
    """Dollars, illiquidity, signed volume and the distance from the mean price paid."""
    block_mean(s[DOLLARS], 0, n, 20, w[0])
    for t in range(19, n):
        out[_DOLLARS, at + t] = math.log(w[0, t]) if w[0, t] > 0.0 else math.nan
    block_mean(s[AMIHUD], 1, n, 20, w[0])
    block_mean(s[AMIHUD_SEEN], 1, n, 20, w[1])
    block_mean(s[FLOW], 1, n, 20, w[2])
    block_mean(s[VOLUME], 0, n, 20, w[3])
    block_mean(s[TYPICAL], 0, n, 20, w[4])
    for t in range(20, n):
        out[_DOLLARS + 1, at + t] = math.log1p(1e9 * (w[0, t] / w[1, t]))
        out[_DOLLARS + 2, at + t] = w[2, t] / w[3, t]
    close = s[CLOSE]
    for t in range(19, n):
        out[_DOLLARS + 3, at + t] = close[t] * w[3, t] / w[4, t] - 1.0


@kernel
def _extremes(s: np.ndarray, w: np.ndarray, n: int, at: int, out: np.ndarray) -> None:
    """Distances from highs and lows, and what follows; needs std_20 / std_252 in the last scratch row."""
    close, regime = s[CLOSE], w[8]
    block_extremes(close, close, 0, n, 252, w[0], w[1])
    for t in range(251, n):
        w[2, t] = close[t] / w[1, t] - 1.0
        out[_VOLUME_Z + 2, at + t] = w[2, t]
    block_extremes(s[LOW], s[HIGH], 0, n, 200, w[0], w[1])
    for t in range(199, n):
        out[_VOLUME_Z + 3, at + t] = close[t] / w[1, t] - 1.0
        out[_VOLUME_Z + 4, at + t] = close[t] / w[0, t] - 1.0
    for t in range(252, n):
        if math.isfinite(regime[t]):
            out[_CRISIS, at + t] = 1.0 if w[2, t] < _CRISIS_DRAWDOWN and regime[t] > _CRISIS_REGIME else 0.0
    for t in range(257, n):
        if math.isfinite(regime[t]) and math.isfinite(regime[t - 5]):
            out[_CRISIS + 1, at + t] = 1.0 if w[2, t] > w[2, t - 5] and regime[t] < regime[t - 5] else 0.0
