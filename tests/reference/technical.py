"""Technical features of one symbol and session, term by term as they are defined: slow, and nothing clever."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

Value = float | None


class Bar(NamedTuple):
    """A row of the symbol; ``session`` counts calendar sessions from anywhere."""

    session: int
    open: float
    high: float
    low: float
    close: float
    volume: float


def technical(bars: Sequence[Bar], splits: Mapping[int, float], at: int, memory: int = 260) -> dict[str, Value]:
    """The row of session ``at``. ``splits``: ratio by ex-session, of which only those up to ``at`` may be used."""
    known = [_on_basis(bar, splits, at) for bar in bars if at - memory < bar.session <= at]
    assert known[-1].session == at
    high, low = [bar.high for bar in known], [bar.low for bar in known]
    close, volume = [bar.close for bar in known], [bar.volume for bar in known]
    found: dict[str, Value] = {name: getattr(known[-1], name) for name in ("open", "high", "low", "close", "volume")}
    found |= _oscillators(high, low, close)
    found |= _bands(close)
    found["obv"] = _obv(close, volume)
    found["vwap"] = _vwap(high, low, close, volume)
    found["hist_vol_20"] = _hist_vol(close)
    found["rsi_overbought"] = _flag(found["rsi_14"], lambda rsi: rsi > 70)
    found["rsi_oversold"] = _flag(found["rsi_14"], lambda rsi: rsi < 30)
    found["above_bb_upper"] = _flag(found["bb_upper"], lambda upper: close[-1] > upper)
    found["below_bb_lower"] = _flag(found["bb_lower"], lambda lower: close[-1] < lower)
    found["strong_trend"] = _flag(found["adx_14"], lambda adx: adx > 25)
    return found


def _on_basis(bar: Bar, splits: Mapping[int, float], at: int) -> Bar:
    basis = math.prod(splits[session] for session in sorted(splits, reverse=True) if bar.session < session <= at)
    prices = (bar.open / basis, bar.high / basis, bar.low / basis, bar.close / basis)
    return Bar(bar.session, *prices, bar.volume * basis)


def _flag(value: Value, test) -> Value:
    return None if value is None else int(test(value))


# --- oscillators -------------------------------------------------------------------------------


def _oscillators(high: list[float], low: list[float], close: list[float]) -> dict[str, Value]:
    atr = _wilder_mean(_true_ranges(high, low, close))
    k = [_stoch(high, low, close, i) for i in range(13, len(close))]
    return {
        "rsi_14": _rsi(close),
        "stoch_k": k[-1] if k else None,
        "stoch_d": sum(k[-3:]) / 3 if len(k) >= 3 else None,
        "roc_10": 100 * (close[-1] / close[-11] - 1) if len(close) > 10 else None,
        "adx_14": _adx(high, low),
        "atr_14": atr,
        "atr_14_pct": None if atr is None else atr / close[-1],
    }


def _wilder_mean(terms: list[float]) -> Value:
    """Seed = mean of the first 14, then (13 a + x) / 14."""
    if len(terms) < 14:
        return None
    mean = sum(terms[:14]) / 14
    for x in terms[14:]:
        mean = (13 * mean + x) / 14
    return mean


def _wilder_sums(terms: list[float]) -> list[float]:
    """From term 13 (counted from 0) on: the sum of the first 13, then s - s/14 + x."""
    total = sum(terms[:13])
    sums = []
    for x in terms[13:]:
        total = total - total / 14 + x
        sums.append(total)
    return sums


def _rsi(close: list[float]) -> Value:
    changes = [b - a for a, b in pairwise(close)]
    gain = _wilder_mean([max(x, 0.0) for x in changes])
    loss = _wilder_mean([max(-x, 0.0) for x in changes])
    if gain is None or loss is None:
        return None
    return 50.0 if gain + loss == 0 else 100 * gain / (gain + loss)


def _true_ranges(high: list[float], low: list[float], close: list[float]) -> list[float]:
    return [
        max(high[i] - low[i], abs(high[i] - close[i - 1]), abs(low[i] - close[i - 1])) for i in range(1, len(close))
    ]


def _adx(high: list[float], low: list[float]) -> Value:
    ups = [b - a for a, b in pairwise(high)]
    downs = [a - b for a, b in pairwise(low)]
    moves = list(zip(ups, downs, strict=True))
    plus = _wilder_sums([up if up > down and up > 0 else 0.0 for up, down in moves])
    minus = _wilder_sums([down if down > up and down > 0 else 0.0 for up, down in moves])
    index = [0.0 if p + m == 0 else 100 * abs(p - m) / (p + m) for p, m in zip(plus, minus, strict=True)]
    return _wilder_mean(index)


def _stoch(high: list[float], low: list[float], close: list[float], i: int) -> float:
    bottom, top = min(low[i - 13 : i + 1]), max(high[i - 13 : i + 1])
    return 50.0 if top == bottom else 100 * (close[i] - bottom) / (top - bottom)


# --- levels and volume -------------------------------------------------------------------------


def _mean(values: list[float], n: int) -> Value:
    return sum(values[-n:]) / n if len(values) >= n else None


def _bands(close: list[float]) -> dict[str, Value]:
    fast, middle, slow = _mean(close, 20), _mean(close, 50), _mean(close, 200)
    found: dict[str, Value] = {
        "bb_middle": fast,
        "bb_upper": None,
        "bb_lower": None,
        "bb_pct": None,
        "sma_20": fast,
        "sma_50": middle,
        "sma_200": slow,
        "sma_cross_20_50": fast / middle - 1 if fast is not None and middle is not None else None,
        "sma_cross_50_200": middle / slow - 1 if middle is not None and slow is not None else None,
    }
    if fast is not None:
        flat = len(set(close[-20:])) == 1
        std = 0.0 if flat else math.sqrt(sum((c - fast) ** 2 for c in close[-20:]) / 20)
        found["bb_upper"], found["bb_lower"] = fast + 2 * std, fast - 2 * std
        if not flat:
            found["bb_pct"] = (close[-1] - (fast - 2 * std)) / (4 * std)
    return found


def _obv(close: list[float], volume: list[float]) -> float:
    total = 0.0
    for i in range(1, len(close)):
        total += volume[i] if close[i] > close[i - 1] else -volume[i] if close[i] < close[i - 1] else 0.0
    return total


def _vwap(high: list[float], low: list[float], close: list[float], volume: list[float]) -> Value:
    if len(close) < 20 or sum(volume[-20:]) == 0:
        return None
    typical = [sum(prices) / 3 for prices in zip(high, low, close, strict=True)]
    return sum(t * v for t, v in zip(typical[-20:], volume[-20:], strict=True)) / sum(volume[-20:])


def _hist_vol(close: list[float]) -> Value:
    if len(close) < 21:
        return None
    returns = [math.log(b / a) for a, b in pairwise(close[-21:])]
    mean = sum(returns) / 20
    return math.sqrt(sum((r - mean) ** 2 for r in returns) / 19) * math.sqrt(252)
