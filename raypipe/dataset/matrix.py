"""Panels and targets as arrays: what splitters, models and scores are given.

A row is a symbol at a session. Rows are sorted by symbol, session and decision time, so a symbol is one contiguous
slice. A target is apart from the panel, row for row, and never among its features.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

__all__ = ["Panel", "Target"]


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """Features of n rows.

    Attributes
    ----------
    symbols
        The symbols in their order; ``symbol_id`` indexes them.
    sessions
        datetime64[D], ascending: the pinned list of sessions; ``session_id`` indexes it.
    symbol_id, session_id
        int16 and int32 (n,), sorted by the first, then the second.
    decision_ns
        int64 (n,), nanoseconds UTC: when all features of the row are known.
    features
        Names of the columns of ``x``.
    x
        float32 (n, features), C order, read-only; NaN where a value is null. Never infinite.
    """

    symbols: tuple[str, ...]
    sessions: np.ndarray
    symbol_id: np.ndarray
    session_id: np.ndarray
    decision_ns: np.ndarray
    features: tuple[str, ...]
    x: np.ndarray

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.decision_ns)

    def column(self, name: str) -> np.ndarray:
        """One feature, float32 (n,)."""
        column: np.ndarray = self.x[:, self.features.index(name)]
        return column

    def rows_of(self, symbol: str) -> slice:
        """Where a symbol's rows are; empty if it has none."""
        place = self.symbols.index(symbol)
        low, high = np.searchsorted(self.symbol_id, [place, place + 1])
        return slice(int(low), int(high))


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """What is to be predicted, row for row of a panel.

    Attributes
    ----------
    name
        As in `gold/targets`, such as ``direction_5d``.
    kind
        ``class``: 0 or 1. ``regression``: a number.
    horizon
        Sessions that a label looks ahead.
    y
        float32 (n,), NaN where there is no label.
    start_ns, end_ns
        int64 (n,): the label's interval (start, end], nanoseconds UTC; 0 where there is no label.
    """

    name: str
    kind: Literal["class", "regression"]
    horizon: int
    y: np.ndarray
    start_ns: np.ndarray
    end_ns: np.ndarray

    @property
    def known(self) -> np.ndarray:
        """Which rows have a label, bool (n,)."""
        known: np.ndarray = ~np.isnan(self.y)
        return known
