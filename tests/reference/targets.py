"""Targets of closes by definition: one row at a time, from closes by session."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping


def _returns(closes: Mapping[int, float], first: int, last: int) -> list[float] | None:
    """ln(c_t / c_{t-1}) of the sessions first..last; None if a close is missing."""
    if any(session not in closes for session in range(first - 1, last + 1)):
        return None
    return [math.log(closes[s] / closes[s - 1]) for s in range(first, last + 1)]


def close_direction(closes: Mapping[int, float], session: int, horizon: int) -> int | None:
    """Whether the close ``horizon`` sessions later is higher; None if a bar of the window is missing."""
    if any(s not in closes for s in range(session, session + horizon + 1)):
        return None
    return int(closes[session + horizon] > closes[session])


def vol_regime(closes: Mapping[int, float], session: int) -> int | None:
    """std(r_{t+1..t+20}) > std(r_{t-59..t})."""
    after, before = _returns(closes, session + 1, session + 20), _returns(closes, session - 59, session)
    if after is None or before is None:
        return None
    return int(statistics.stdev(after) > statistics.stdev(before))


def abs_return(closes: Mapping[int, float], session: int) -> int | None:
    """abs r_{t+1} > median of abs r_{t-59..t}."""
    after, before = _returns(closes, session + 1, session + 1), _returns(closes, session - 59, session)
    if after is None or before is None:
        return None
    return int(abs(after[0]) > statistics.median(map(abs, before)))
