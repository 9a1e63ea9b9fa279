"""Weeks by their definition, one symbol and one week at a time; bars as in `tests.reference.daily`."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Sequence

from tests.reference.daily import Row, Splits, basis


def weekly(
    bars: Iterable[Row],
    sessions: Sequence[dt.date],
    held: Collection[dt.date],
    splits: Splits,
    *,
    max_gap_weeks: int = 4,
) -> list[Row]:
    """Every row of `silver/weekly`, sorted by week and symbol; ``held`` are the sessions that the lake has."""
    weeks: dict[dt.date, dict[str, list[Row]]] = {}
    for bar in sorted(bars, key=lambda bar: (bar["session"], bar["symbol"].encode())):
        weeks.setdefault(monday_of(bar["session"]), {}).setdefault(bar["symbol"], []).append(bar)
    rows = []
    for monday in sorted(weeks):
        of_week = [session for session in sessions if monday_of(session) == monday]
        last = max(session for session in of_week if session in held)
        for symbol in sorted(weeks[monday], key=str.encode):
            row = _bar(weeks[monday][symbol], last, sessions, splits)
            past = [week for week in weeks if monday - dt.timedelta(weeks=max_gap_weeks) <= week < monday]
            earlier = [bar for week in sorted(past) for bar in weeks[week].get(symbol, [])]
            iso = monday.isocalendar()
            row |= {"session": last, "symbol": symbol, "week_start": monday, "week_end": last}
            row |= {"year": iso.year, "week": iso.week, "complete": all(session in held for session in of_week)}
            rows.append(row | _change(row["close_w"], earlier, symbol, last, sessions, splits))
    return rows


def monday_of(date: dt.date) -> dt.date:
    return date - dt.timedelta(days=date.weekday())


def _bar(bars: list[Row], last: dt.date, sessions, splits) -> Row:
    ratios = [basis(bar["symbol"], bar["session"], last, sessions, splits) for bar in bars]
    volume = 0.0
    for bar, ratio in zip(bars, ratios, strict=True):
        volume += bar["volume"] * ratio
    return {
        "open_w": bars[0]["open"] / ratios[0],
        "high_w": max(bar["high"] / ratio for bar, ratio in zip(bars, ratios, strict=True)),
        "low_w": min(bar["low"] / ratio for bar, ratio in zip(bars, ratios, strict=True)),
        "close_w": bars[-1]["close"] / ratios[-1],
        "volume_w": volume,
        "sessions_n": len(bars),
    }


def _change(close: float, earlier: list[Row], symbol: str, last: dt.date, sessions, splits) -> Row:
    if not earlier:
        return dict.fromkeys(("ret_w", "abs_ret_w", "abs_change_w"))
    prev = earlier[-1]["close"] / basis(symbol, earlier[-1]["session"], last, sessions, splits)
    return {"ret_w": close / prev - 1, "abs_ret_w": abs(close / prev - 1), "abs_change_w": abs(close - prev)}
