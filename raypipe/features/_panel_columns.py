"""The 92 columns of the technical panel: what each means, and from which row of a symbol on it is there."""

from __future__ import annotations

from raypipe.schema.spec import Column

__all__ = ["panel_columns"]

_R = "one-row returns"
#: Name (``{}`` stands for the length), lengths, rows before the first value beyond the length, unit, sentence.
_ROWS: tuple[tuple[str, tuple[int, ...], int, str, str], ...] = (
    ("momentum_{}d", (1, 5, 10, 20, 50, 100), 0, "1", "Return over {} rows."),
    ("momentum_6_1", (126,), 0, "1", "Return from 126 rows to 21 rows ago."),
    ("momentum_12_1", (252,), 0, "1", "Return from 252 rows to 21 rows ago."),
    (
        "momentum_vol_ratio_{}d",
        (10, 20),
        0,
        "1",
        "Return over {} rows / (their standard deviation * root of {}).",
    ),
    ("momentum_consensus", (60,), 0, "1", "How many of the returns over 5, 20 and 60 rows are above 0."),
    ("overnight_return_20d", (20,), 0, "1", "Mean of 20 logarithms of open / close before."),
    ("intraday_return_20d", (19,), 0, "1", "Mean of 20 logarithms of close / open."),
    ("dist_sma_{}d", (5, 10, 20, 50, 100, 200), -1, "1", "close / mean of {} closes - 1."),
    ("dist_ema_12d", (42,), 0, "1", "close / exponential mean of span 12 - 1."),
    ("dist_ema_26d", (91,), 0, "1", "close / exponential mean of span 26 - 1."),
    ("dist_ema_50d", (175,), 0, "1", "close / exponential mean of span 50 - 1."),
    ("sma_ratio_20_50", (49,), 0, "1", "Mean of 20 closes / mean of 50 - 1."),
    ("sma_ratio_50_200", (199,), 0, "1", "Mean of 50 closes / mean of 200 - 1."),
    ("trend_strength", (49,), 0, "1", "Absolute value of sma_ratio_20_50."),
    ("above_200_sma", (199,), 0, "1", "1 if the close is above the mean of 200 closes, else 0."),
    ("macd_pct", (91,), 0, "1", "(Exponential mean of span 12 - that of span 26) / close."),
    ("macd_signal_pct", (123,), 0, "1", "Exponential mean of span 9 of the numerator of macd_pct / close."),
    ("macd_hist_pct", (123,), 0, "1", "macd_pct - macd_signal_pct."),
    ("rsi_14d", (98,), 0, "percent", "Wilder's relative strength index over 14 rows; 50 where nothing moved."),
    ("rsi_28d", (196,), 0, "percent", "Wilder's relative strength index over 28 rows; 50 where nothing moved."),
    ("stochastic_k_{}d", (14, 28), -1, "percent", "Where the close stands in the range of {} rows; 50 in a flat one."),
    ("stochastic_d_{}d", (14, 28), 1, "percent", "Mean of the last 3 stochastic_k of {} rows."),
    ("price_zscore_{}d", (20, 50), -1, "1", "(close - mean of {} closes) / their standard deviation."),
    (
        "adx_14d",
        (196,),
        0,
        "percent",
        "Wilder's directional index over 14 rows, averaged; a row without movement counts 0.",
    ),
    ("volatility_{}d", (5, 10, 20, 50, 100), 0, "1", f"Standard deviation of {{}} {_R}, per year."),
    ("parkinson_vol_{}d", (5, 10, 20, 50), -1, "1", "Parkinson's volatility of {} ranges, per year."),
    ("garman_klass_vol_20d", (19,), 0, "1", "Volatility of 20 rows after Garman and Klass, per year."),
    ("atr_pct_14d", (98,), 0, "1", "Wilder's average true range over 14 rows / close."),
    ("atr_pct_28d", (196,), 0, "1", "Wilder's average true range over 28 rows / close."),
    ("vol_ratio_10_50", (50,), 0, "1", f"Standard deviation of 10 {_R} / that of 50."),
    ("vol_ratio_20_100", (100,), 0, "1", f"Standard deviation of 20 {_R} / that of 100."),
    ("vol_regime", (252,), 0, "1", f"Standard deviation of 20 {_R} / that of 252."),
    ("vol_expansion", (40,), 0, "1", f"Standard deviation of 20 {_R} / that of 20 rows ago - 1."),
    ("hl_range_pct", (0,), 0, "1", "(high - low) / close."),
    ("avg_hl_range_{}d", (5, 10, 20), -1, "1", "Mean of {} hl_range_pct."),
    ("range_ratio_{}d", (5, 10, 20), -1, "1", "hl_range_pct / its mean over {} rows."),
    ("return_skew_{}d", (20, 60), 0, "1", f"Adjusted Fisher-Pearson skewness of {{}} {_R}."),
    ("return_kurt_{}d", (20, 60), 0, "1", f"Adjusted excess kurtosis of {{}} {_R}."),
    ("return_autocorr_{}d", (20, 60), 0, "1", f"Correlation of neighbours among {{}} {_R}."),
    ("return_zscore_{}d", (20, 60), 0, "1", f"(Last return - mean of {{}} {_R}) / their standard deviation."),
    ("sharpe_{}d", (20, 60), 0, "1", f"Mean of {{}} {_R} / their standard deviation, per year."),
    ("up_share_20d", (20,), 0, "1", f"Share of 20 {_R} above 0."),
    ("max_return_20d", (20,), 0, "1", f"Greatest of 20 {_R}."),
    ("downside_vol_20d", (20,), 0, "1", f"Root of the mean square of 20 {_R}, those above 0 counted as 0, per year."),
    ("max_abs_return_20d", (20,), 0, "1", f"Greatest absolute value of 20 {_R}."),
    ("volume_ratio_{}d", (5, 10, 20, 50), -1, "1", "volume / mean of {} volumes."),
    ("volume_change_{}d", (1, 5), 0, "1", "Logarithm of volume / volume {} rows ago."),
    ("log_dollar_volume_20d", (19,), 0, "1", "Logarithm of the mean of 20 close * volume in USD, without dividends."),
    ("amihud_20d", (20,), 0, "1", "ln(1 + 1e9 * mean of absolute return / (close * volume) over 20 rows with trades)."),
    ("obv_slope_20d", (20,), 0, "1", "Sum of 20 volumes with the sign of their returns / sum of the volumes."),
    ("vwap_dist_20d", (19,), 0, "1", "close / mean of 20 (high + low + close) / 3, weighted by volume, - 1."),
    ("volume_zscore_60d", (59,), 0, "1", "(Logarithm of volume - mean of 60) / their standard deviation."),
    ("volume_price_corr_20d", (20,), 0, "1", f"Correlation of 20 {_R} with changes of the logarithm of volume."),
    ("drawdown_252d", (251,), 0, "1", "close / greatest of 252 closes - 1."),
    ("dist_from_200d_high", (199,), 0, "1", "close / greatest of 200 highs - 1."),
    ("dist_from_200d_low", (199,), 0, "1", "close / least of 200 lows - 1."),
    ("crisis_indicator", (252,), 0, "1", "1 if drawdown_252d < -0.15 and vol_regime > 1.5, else 0."),
    (
        "recovery_indicator",
        (257,),
        0,
        "1",
        "1 if drawdown_252d and vol_regime are better than 5 rows ago, else 0.",
    ),
)


def panel_columns() -> tuple[Column, ...]:
    """The columns, in order."""
    return tuple(
        Column(
            name.format(length),
            "f32",
            doc.replace("{}", str(length)),
            unit=unit,
            null=f"fewer than {length + more + 1} rows of the symbol, or a denominator or logarithm of 0",
        )
        for name, lengths, more, unit, doc in _ROWS
        for length in lengths
    )
