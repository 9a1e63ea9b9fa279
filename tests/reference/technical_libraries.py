"""The same indicators from independent libraries: what the tests compare with, and what the benchmark has to beat."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import talib

Arrays = dict[str, np.ndarray]
#: Indicators of one symbol by TA-Lib, from float64 (rows,) arrays high, low, close and volume; NaN where undefined.
#: The recursions remember every row given.
BY_TALIB: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], np.ndarray]] = {
    "rsi_14": lambda high, low, close, volume: talib.RSI(close, 14),
    "adx_14": lambda high, low, close, volume: talib.ADX(high, low, close, 14),
    "atr_14": lambda high, low, close, volume: talib.ATR(high, low, close, 14),
    "obv": lambda high, low, close, volume: talib.OBV(close, volume) - volume[0],  # TA-Lib counts the first row too
    "stoch_k": lambda high, low, close, volume: talib.STOCHF(high, low, close, 14, 1, 0)[0],
    "stoch_d": lambda high, low, close, volume: talib.STOCHF(high, low, close, 14, 3, 0)[1],
    "roc_10": lambda high, low, close, volume: talib.ROC(close, 10),
    "sma_20": lambda high, low, close, volume: talib.BBANDS(close, 20, 2, 2)[1],
    "std_20": lambda high, low, close, volume: talib.STDDEV(close, 20, 1),
    "sma_50": lambda high, low, close, volume: talib.SMA(close, 50),
    "sma_200": lambda high, low, close, volume: talib.SMA(close, 200),
}


def by_pandas(bars: pd.DataFrame) -> pd.DataFrame:
    """Indicators of one symbol as notebooks write them, from columns high, low, close and volume.

    The smoothed ones are seeded with their first value, not with a mean as Wilder's are: only the cost is comparable.
    """
    high, low, close, volume = (bars[name] for name in ("high", "low", "close", "volume"))
    change = close.diff()
    gain, loss = _wilder(change.clip(lower=0)), _wilder(-change.clip(upper=0))
    before = close.shift()
    true_range = pd.concat([high - low, (high - before).abs(), (low - before).abs()], axis=1).max(axis=1)
    up, down = high.diff(), -low.diff()
    plus, minus = _wilder(up.where((up > down) & (up > 0), 0.0)), _wilder(down.where((down > up) & (down > 0), 0.0))
    bottom, top = low.rolling(14).min(), high.rolling(14).max()
    k = 100 * (close - bottom) / (top - bottom)
    return pd.DataFrame(
        {
            "rsi_14": 100 * gain / (gain + loss),
            "adx_14": _wilder(100 * (plus - minus).abs() / (plus + minus)),
            "atr_14": _wilder(true_range),
            "obv": (np.sign(change).fillna(0) * volume).cumsum(),
            "stoch_k": k,
            "stoch_d": k.rolling(3).mean(),
            "roc_10": 100 * close.pct_change(10),
            "sma_20": close.rolling(20).mean(),
            "std_20": close.rolling(20).std(ddof=0),
            "sma_50": close.rolling(50).mean(),
            "sma_200": close.rolling(200).mean(),
            "vwap": ((high + low + close) / 3 * volume).rolling(20).sum() / volume.rolling(20).sum(),
            "hist_vol_20": np.log(close / before).rolling(20).std() * np.sqrt(252),
        }
    )


def _wilder(values: pd.Series) -> pd.Series:
    return values.ewm(alpha=1 / 14, adjust=False).mean()
