"""Forward returns and the universe by their definitions, with dictionaries and loops."""

from __future__ import annotations

from statistics import median


def forward_return(opens, closes, place, horizon, last, delist):
    """Return of one bar, and (place, at the close) of its exit; None where it is not settled.

    ``opens`` and ``closes`` are total-return prices by place in the calendar; ``last`` is where all data end.
    """
    if place + 1 not in opens:
        return None, None
    wanted = place + 1 + horizon
    for late in range(6):
        if wanted + late > last:
            return None, None
        if wanted + late in opens:
            return opens[wanted + late] / opens[place + 1] - 1, (wanted + late, False)
    before = max(p for p in closes if p < wanted)
    return closes[before] * (1 + delist) / opens[place + 1] - 1, (wanted + 5, True)


def reason(bars, place, *, history, window, presence, price, dollars):
    """Why a symbol is not in the universe of one session; ``ok`` if it is.

    ``bars`` holds (as-traded close, dollars traded, is stale) by place in the calendar.
    """
    if sum(p <= place for p in bars) < history:
        return "too_short"
    recent = [bars[p] for p in range(place - window + 1, place + 1) if p in bars]
    if bars[place][2] or sum(not stale for _, _, stale in recent) / window < presence:
        return "stale"
    if bars[place][0] < price:
        return "low_price"
    return "low_dollar_volume" if median(d for _, d, _ in recent) < dollars else "ok"
