"""The pass over trades against one that looks at every level for every trade."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from raypipe.kernels.touches import Bands, MovingLevels, StandingLevels, bar_touches, touches

MINUTE = 60 * 10**9
BANDS = Bands(0.1, 0.25)
NEAR = 1e-9

tapes = st.lists(
    st.tuples(st.integers(0, 3 * 60).map(lambda s: s * 10**9), st.integers(-30, 30)), min_size=1, max_size=80
).map(lambda rows: sorted(rows, key=lambda row: row[0]))
values = st.none() | st.integers(-30, 30).map(lambda k: 6000 + k / 4) | st.floats(5992, 6008)


def naive(tape, levels, ratio, open_at, codes, range_trades):
    """Every level, every trade; what moves is told by the trades of earlier nanoseconds."""
    found, state, last = [], {}, {}
    for i, (ts, ticks) in enumerate(tape):
        price, minute = ticks / 4, ts // MINUTE
        first = i == 0 or tape[i - 1][0] < ts
        before = [trade for trade in tape[open_at:] if trade[0] < ts]
        now = list(levels[minute]) + [moving(code, before, range_trades) for code in codes]
        for k, value in enumerate(now):
            if value is None or ratio[minute] is None:
                state[k] = last[k] = None
                continue
            x = (price - value) / ratio[minute]
            was, old = state.get(k), last.get(k)
            last[k], fired = value, 0
            if was is None or abs(value - old) / ratio[minute] > BANDS.rearm + NEAR:
                was = ""
            elif first and was == "below" and x >= -BANDS.touch - NEAR:
                fired = 1
            elif first and was == "above" and x <= BANDS.touch + NEAR:
                fired = -1
            if fired:
                was = ""
            elif was == "":
                was = "below" if x <= -BANDS.rearm + NEAR else "above" if x >= BANDS.rearm - NEAR else ""
            state[k] = was
            if fired and i >= open_at:
                found.append((i, k, fired))
    return found


def moving(code, before, range_trades):
    some = before[:range_trades] if code >= 3 else before
    if not some:
        return None
    prices = [ticks / 4 for _, ticks in some]
    return {0: max, 1: min, 2: lambda p: sum(p) / len(p), 3: max, 4: min}[code](prices)


@given(
    tapes,
    st.lists(st.lists(values, min_size=4, max_size=4), min_size=4, max_size=4),
    st.lists(st.none() | st.sampled_from([10.0, 10.0, 9.97]), min_size=4, max_size=4),
    st.integers(0, 20),
    st.sets(st.integers(0, 4)),
    st.integers(0, 10),
)
def test_only_the_levels_within_reach_need_a_look(tape, levels, ratio, open_at, codes, range_trades):
    tape = [(ts, 24_000 + ticks) for ts, ticks in tape]
    open_at = min(open_at, len(tape))
    while 0 < open_at < len(tape) and tape[open_at - 1][0] == tape[open_at][0]:
        open_at -= 1
    ticks = np.array([t for _, t in tape[open_at:]], np.int32)
    lots = np.arange(1, len(ticks) + 1)
    empty = len(ticks) == 0
    loose = MovingLevels(
        sorted(codes),
        open_at,
        range_trades,
        ticks if empty else np.maximum.accumulate(ticks),
        ticks if empty else np.minimum.accumulate(ticks),
        lots,
        np.cumsum(ticks.astype(np.int64)),
    )
    grid = np.array([[np.nan if v is None else v for v in row] for row in levels])
    known = np.array([np.nan if r is None else r for r in ratio])
    times, prices = zip(*tape, strict=True)
    found = touches(times, prices, StandingLevels(0, grid, known), loose, BANDS)
    got = sorted(zip(found.trade.tolist(), found.level.tolist(), found.sign.tolist(), strict=True))
    assert got == sorted(naive(tape, levels, ratio, open_at, sorted(codes), range_trades))


@given(
    st.lists(st.tuples(*[st.integers(-12, 12)] * 3), min_size=1, max_size=8),
    st.lists(values, min_size=1, max_size=3),
    st.sampled_from([10.0, 9.97, None]),
    st.sampled_from([(None, None), (3, None)]) | st.tuples(st.integers(-12, 12), st.integers(-12, 12)),
)
def test_bars(rows, levels, ratio, before):
    last, other = before
    bars = [(max(row), min(row), row[2]) for row in rows]
    high, low, close = (6000 + np.array(column) / 4 for column in zip(*bars, strict=True))
    grid = np.array([[np.nan if value is None else value for value in levels]] * len(bars))
    came = [np.full(len(bars), np.nan if p is None else 6000 + p / 4) for p in (last, other)]
    found = bar_touches((high, low, close), grid, np.full(len(bars), ratio or np.nan), tuple(came), (0.1, 0.25))
    expected = []
    for b in range(len(bars)):
        for k, value in enumerate(levels):
            prices = [6000 + p / 4 for p in (last, other) if p is not None]
            came_from = next((price for price in prices if value is not None and abs(price - value) > NEAR), None)
            if came_from is None or not ratio:
                continue
            reached = low[b] - (0.1 + NEAR) * ratio <= value <= high[b] + (0.1 + NEAR) * ratio
            if reached and abs(close[b] - value) <= (0.25 + NEAR) * ratio:
                expected.append((b, k, 1 if came_from < value else -1))
    assert list(zip(*(column.tolist() for column in found), strict=True)) == expected
