"""Day rows by their definition, one symbol and one session at a time.

A bar is a dict with ``session, symbol, open, high, low, close, volume, transactions``; splits are a dict
``(symbol, ex_session) -> ratio``; sessions are the calendar's dates in order.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Row = dict[str, Any]
Splits = Mapping[tuple[str, dt.date], float]


def basis(symbol: str, since: dt.date, until: dt.date, sessions: Sequence[dt.date], splits: Splits) -> float:
    """Product of the split ratios with ex-session in (since, until], from the last to the first."""
    product = 1.0
    for session in reversed(sessions):
        if since < session <= until:
            product *= splits.get((symbol, session), 1.0)
    return product


def daily(
    bars: Iterable[Row],
    sessions: Sequence[dt.date],
    splits: Splits,
    *,
    max_gap_sessions: int = 5,
    band: tuple[float, float] = (1.0, 9.99),
) -> list[Row]:
    """Every row of `silver/daily`, sorted by session and symbol."""
    by_key = {(bar["session"], bar["symbol"]): bar for bar in bars}
    return [
        _row(by_key, by_key[key], sessions, splits, max_gap_sessions, band)
        for key in sorted(by_key, key=lambda key: (key[0], key[1].encode()))
    ]


def _row(by_key, bar, sessions, splits, max_gap_sessions, band) -> Row:
    here, symbol = sessions.index(bar["session"]), bar["symbol"]
    ratio = splits.get((symbol, bar["session"]), 1.0)
    row = {
        **{name: bar[name] for name in ("session", "symbol", "open", "high", "low", "close", "volume", "transactions")},
        "split_ratio": ratio,
        "close_in_band": band[0] <= bar["close"] <= band[1],
        "dollar_volume": bar["close"] * bar["volume"],
    }
    row |= dict.fromkeys(("prev_close", "gap_sessions", "ret_d", "abs_ret_d", "abs_change_d", "suspect_gap"))
    for age in range(1, max_gap_sessions + 1):
        earlier = by_key.get((sessions[here - age], symbol)) if age <= here else None
        if earlier is not None:
            prev = earlier["close"] / basis(symbol, earlier["session"], bar["session"], sessions, splits)
            jump = bar["open"] / prev
            row |= {"prev_close": prev, "gap_sessions": age, "ret_d": bar["close"] / prev - 1}
            row |= {"abs_ret_d": abs(row["ret_d"]), "abs_change_d": abs(bar["close"] - prev)}
            row["suspect_gap"] = (jump < 0.6 or jump > 1 / 0.6) and ratio == 1.0
            break
    return row
