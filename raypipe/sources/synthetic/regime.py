"""The statistical expectation: volatility can be foretold, direction cannot.

It is measured on the day bars that were written, with the true volatility states as the score: no feature
can do better by more than chance, and a good one comes close.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from raypipe.sources.synthetic.bars import CLOSE, HIGH, LOW, Bars
from raypipe.sources.synthetic.truth import Entry

__all__ = ["Regime", "auc_of_flag"]

_EXPAND, _MIN_ROWS = 0.08, 10_000
_AUC_FLOOR, _AUC_SLACK, _DIRECTION_TOL = 0.70, 0.10, 0.03


class Regime:
    """Collects the simulated symbols' day bars and states, session by session.

    Parameters
    ----------
    places
        Index of each simulated symbol in the market's names, sorted, int64 (n,).
    """

    def __init__(self, places: NDArray[np.int64]) -> None:
        self._places = places
        self._rows: dict[int, tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]] = {}

    def add(self, number: int, day: Bars, high: NDArray[np.bool_]) -> None:
        """One session's day bars and true states; ``number`` orders the sessions."""
        close, span = np.full(len(self._places), np.nan), np.full(len(self._places), np.nan)
        rows = np.flatnonzero(np.isin(day.symbol, self._places))
        at = np.searchsorted(self._places, day.symbol[rows])
        prices = day.prices_e4[rows]
        close[at], span[at] = prices[:, CLOSE], prices[:, HIGH] - prices[:, LOW]
        self._rows[number] = close, span, high

    def entries(self) -> list[Entry]:
        """Expectations on areas under the ROC curve; none for a market too small to measure them."""
        oracle, rows = self.oracle()
        if rows < _MIN_ROWS:
            return []
        score = "silver/technical_features.hist_vol_20"
        least = max(_AUC_FLOOR, oracle - _AUC_SLACK)
        return [
            {
                "id": "regime",
                "table": "gold/range_expansion_labels",
                "key": {"score": score, "label": "label_next_day_range_expand"},
                "expect": {"auc_min": round(least, 6), "auc_oracle": round(oracle, 6)},
                "tol": 0.0,
            },
            {
                "id": "regime",
                "table": "silver/daily",
                "key": {"score": score, "label": "ret_d of the next session > 0"},
                "expect": {"auc": 0.5},
                "tol": _DIRECTION_TOL,
            },
        ]

    def oracle(self) -> tuple[float, int]:
        """Area under the curve of the true state against the next session's range, and the number of rows."""
        flags, labels = [], []
        for number, (close, _, high) in sorted(self._rows.items()):
            if number + 1 in self._rows:
                ratio = self._rows[number + 1][1] / close
                known = ~np.isnan(ratio)
                flags.append(high[known])
                labels.append(ratio[known] >= _EXPAND)
        if not flags:
            return float("nan"), 0
        flag, label = np.concatenate(flags), np.concatenate(labels)
        return auc_of_flag(flag, label), len(flag)


def auc_of_flag(flag: NDArray[np.bool_], label: NDArray[np.bool_]) -> float:
    """Area under the ROC curve of a score of two values; NaN if the label never varies.

    Examples
    --------
    >>> auc_of_flag(np.array([True, False, True]), np.array([True, False, False]))
    0.75
    """
    positives, negatives = int(label.sum()), int((~label).sum())
    if positives == 0 or negatives == 0:
        return float("nan")
    hit, false_alarm = (flag & label).sum() / positives, (flag & ~label).sum() / negatives
    return float((1.0 + hit - false_alarm) / 2.0)
