"""State at moments inside a session: the definition to the last bit, and what may and may not matter."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from raypipe.kernels.event_state import HistState, PriceState, hist_state, in_time_order, price_state
from raypipe.kernels.macd import Smoothing, macd_of_minutes
from raypipe.kernels.resample import Ohlcv
from tests.kernels.minute_bars import MINUTE, RTH, START, WHOLE, Tape, equal_bits, tapes
from tests.reference.macd import Recipe, lines, resample
from tests.reference.minute import minute_features

#: Moments are ends of bars, mostly.
moments = st.lists(st.one_of(st.integers(0, 960), st.integers(325, 345)), min_size=1, max_size=15)
windows = st.sampled_from([WHOLE, RTH])
SMALL = Smoothing(2, 4, 2, 3)


def laid_out(tape: Tape, minutes: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Symbol and time of the same moments in every symbol, in no order."""
    place = np.repeat(np.arange(len(tape.symbols)), len(minutes))
    decision_ns = np.tile(START + np.array(minutes, np.int64) * MINUTE, len(tape.symbols))
    mix = np.random.default_rng(0).permutation(len(place))
    return place[mix], decision_ns[mix]


def prices(tape: Tape, place: np.ndarray, decision_ns: np.ndarray, window=WHOLE) -> PriceState:
    rows = np.append(tape.begin, 0)[place], np.append(tape.end, 0)[place]
    order = in_time_order(place, decision_ns)
    return price_state(tape.start_ns, tape.bars, rows, decision_ns, order, window, RTH)


def hists(tape: Tape, place: np.ndarray, decision_ns: np.ndarray, width: int, own: np.ndarray) -> HistState:
    start_ns, close = tape.start_ns, tape.bars.close
    bars, series = macd_of_minutes(start_ns, close, tape.begin, tape.end, WHOLE, width * MINUTE, SMALL)
    return hist_state(
        bars.start_ns + width * MINUTE,
        series.hist,
        close[bars.tail - 1],
        series.bar_index,
        series.cross,
        bars.offsets,
        SMALL.min_bars,
        place,
        decision_ns,
        in_time_order(place, decision_ns),
        own,
    )


def _close_by(known, moment_ns):
    old = [bar["close"] for bar in known if bar["start_ns"] + MINUTE <= moment_ns]
    return old[-1] if old else None


def expected_prices(bars, now, window) -> dict[str, float | None]:
    known = [bar for bar in bars if bar["start_ns"] + MINUTE <= now]
    moves, day = minute_features(known, window, RTH) or {}, minute_features(known, RTH, RTH) or {}
    whole = minute_features(known, WHOLE, RTH) or {}
    return {
        "close": whole.get("day_close"),
        "volume": whole.get("day_volume"),
        **{f"rth_{name}": day.get(f"day_{name}") for name in ("open", "high", "low", "close")},
        **{name: moves.get(name) for name in ("max_1m_ret", "max_5m_ret", "max_drawdown_5m")},
        **{name: day.get(name) for name in ("first_5m_high", "first_5m_low", "first_15m_high", "first_15m_low")},
        "close_5m_back": _close_by(known, now - 5 * MINUTE),
        "close_30m_back": _close_by(known, now - 30 * MINUTE),
    }


@given(tapes, moments, windows)
def test_prices_equal_the_definition(tape, minutes, window):
    place, decision_ns = laid_out(tape, minutes)
    found = prices(tape, place, decision_ns, window)
    wanted = [expected_prices(tape.symbols[k], now, window) for k, now in zip(place, decision_ns.tolist(), strict=True)]
    for name in PriceState._fields:
        equal_bits(getattr(found, name), [row[name] for row in wanted])


def expected_hist(bars, now: int, width: int, own: bool) -> dict[str, float | None]:
    coarse = [bar for bar in resample(bars, width * MINUTE, WHOLE) if bar["start_ns"] + width * MINUTE <= now]
    rows, _ = lines([bar["close"] for bar in coarse], Recipe(*SMALL))
    bps = [1e4 * row["hist"] / bar["close"] for row, bar in zip(rows, coarse, strict=True) if row["seasoned"]]
    crossings = [i for i, row in enumerate(rows) if row["cross"] and not (own and i == len(rows) - 1)]
    return {
        "bps": bps[-1] if bps else None,
        "lowest": min(bps, default=None),
        "highest": max(bps, default=None),
        "bars": len(rows),
        "ups": sum(rows[i]["cross"] > 0 for i in crossings),
        "downs": sum(rows[i]["cross"] < 0 for i in crossings),
        "since": len(rows) - 1 - crossings[-1] if crossings else None,
    }


@given(tapes, moments, st.sampled_from([1, 5, 30]), st.booleans())
def test_hist_equals_the_definition(tape, minutes, width, own):
    place, decision_ns = laid_out(tape, minutes)
    found = hists(tape, place, decision_ns, width, np.full(len(place), own))
    moments_of = zip(place, decision_ns.tolist(), strict=True)
    wanted = [expected_hist(tape.symbols[k], now, width, own) for k, now in moments_of]
    for name in HistState._fields:
        equal_bits(getattr(found, name), [row[name] for row in wanted])


@given(tapes, moments)
def test_later_bars_do_not_matter(tape, minutes):
    """With everything that had not ended by the latest moment replaced, nothing moves."""
    place, decision_ns = laid_out(tape, minutes)
    later = tape.start_ns + MINUTE > decision_ns.max(initial=0)
    other = Ohlcv(*(np.where(later, values * 3 + 1, values) for values in tape.bars))
    rows = np.append(tape.begin, 0)[place], np.append(tape.end, 0)[place]
    order = in_time_order(place, decision_ns)
    changed = price_state(tape.start_ns, other, rows, decision_ns, order, WHOLE, RTH)
    for got, wanted in zip(changed, prices(tape, place, decision_ns), strict=True):
        np.testing.assert_array_equal(got, wanted)


@settings(max_examples=20)
@given(tapes, moments)
def test_a_moment_does_not_depend_on_the_others(tape, minutes):
    place, decision_ns = laid_out(tape, minutes)
    together, own = prices(tape, place, decision_ns), np.zeros(len(place), dtype=bool)
    hist = hists(tape, place, decision_ns, 5, own)
    for e in range(min(len(place), 5)):
        alone = prices(tape, place[e : e + 1], decision_ns[e : e + 1])
        np.testing.assert_array_equal([field[0] for field in alone], [field[e] for field in together])
        one = hists(tape, place[e : e + 1], decision_ns[e : e + 1], 5, own[:1])
        np.testing.assert_array_equal([field[0] for field in one], [field[e] for field in hist])


def test_a_moment_of_a_symbol_without_bars_has_nothing():
    tape = Tape(())
    nobody, now = np.array([-1]), np.array([WHOLE[1]])
    found = prices(tape, nobody, now), hists(tape, nobody, now, 1, np.array([False]))
    assert all(np.isnan(values).all() for state in found for values in state)
