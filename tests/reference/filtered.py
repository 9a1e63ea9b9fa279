"""Which day rows pass, by definition: one row at a time; bars as in `tests.reference.daily`."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence

from tests.reference.daily import Row, Splits, basis


def filtered(
    bars: Iterable[Row],
    sessions: Sequence[dt.date],
    splits: Splits,
    *,
    band: tuple[float, float] = (1.0, 9.99),
    window: int = 90,
    min_avg_volume: float = 750_000,
    min_days: int = 60,
) -> list[Row]:
    """``session, symbol, avg_volume, days_in_window`` of every row that passes, sorted by session and symbol."""
    bars = sorted(bars, key=lambda bar: (bar["session"], bar["symbol"].encode()))
    rows = []
    for bar in bars:
        here = sessions.index(bar["session"])
        inside = set(sessions[max(here - window + 1, 0) : here + 1])
        total, count = 0.0, 0
        for other in bars:  # in order of time
            if other["symbol"] == bar["symbol"] and other["session"] in inside:
                total += other["volume"] * basis(bar["symbol"], other["session"], bar["session"], sessions, splits)
                count += 1
        in_band = band[0] <= bar["close"] <= band[1]
        enough = (not min_avg_volume or total / count >= min_avg_volume) and (not min_days or count >= min_days)
        if in_band and enough:
            rows.append(
                {
                    "session": bar["session"],
                    "symbol": bar["symbol"],
                    "avg_volume": total / count,
                    "days_in_window": count,
                }
            )
    return rows
