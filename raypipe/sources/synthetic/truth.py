"""``truth.json``: what every table must say about the planted symbols.

Expectations follow from the scripts by plain arithmetic on single numbers; nothing here imports the code
that they judge. Each names its table, so that a checker can skip tables that are not built.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from raypipe.calendar import Session, at_exchange_time
from raypipe.sources.synthetic.bars import CLOSE, HIGH, LOW, OPEN
from raypipe.sources.synthetic.planted import (
    PLANTED,
    SPLIT_NUMBER,
    SPLIT_RATIO,
    STEPS,
    VOLUME,
    Crossing,
    Step,
    Tape,
    evening_tape,
    opening_tape,
    split_close_e4,
)
from raypipe.sources.synthetic.universe import NAMED

__all__ = ["Entry", "expectations"]

Entry = dict[str, Any]
_MOVE, _WINDOW_MINUTES, _SUFFIX = 0.008, 30, "80bp_30m"
_SECOND_NS = 1_000_000_000
_TF_MINUTES = {"1m": 1, "5m": 5}
_FILTER_SESSIONS, _FILTER_MIN_DAYS = 90, 60
_RSI_ROWS = 14
_EXACT, _FLOAT, _F32 = 0.0, 1e-9, 1e-6


@dataclass(frozen=True, slots=True)
class _Place:
    """A session and its neighbours: ``number`` counts from the first session of ``sessions``."""

    sessions: Sequence[Session]
    history: Sequence[Session]
    number: int

    @property
    def session(self) -> Session:
        return self.sessions[self.number]

    def at(self, number: int) -> Session | None:
        """A neighbour, or None beyond the market."""
        position = len(self.history) + number
        chain = [*self.history, *self.sessions]
        return chain[position] if 0 <= position < len(chain) else None

    def full_before(self) -> int | None:
        """How many sessions ago the last full one was, within the range with minute bars."""
        back = [n for n in range(1, self.number + 1) if not self.sessions[self.number - n].early_close]
        return back[0] if back else None

    def filter_days(self) -> int:
        """Full sessions among the last 90, this one included."""
        window = [self.at(self.number - n) for n in range(_FILTER_SESSIONS)]
        return sum(1 for session in window if session and not session.early_close)


def expectations(sessions: Sequence[Session], history: Sequence[Session]) -> list[Entry]:
    """All expectations, in order of sessions.

    Parameters
    ----------
    sessions, history
        Sessions with minute bars; earlier ones with day bars only.
    """
    entries = list(_split_chain(sessions, history))
    for number in range(len(sessions)):
        place = _Place(sessions, history, number)
        entries += _names(place.session)
        entries += _opening(place.session)
        entries += _evening(place.session)
        if not place.session.early_close:
            entries += [entry for step in STEPS for entry in _step(step, place)]
            entries += _exact_touch(place)
    return entries


def _entry(name: str, table: str, key: dict[str, Any], expect: dict[str, Any], tol: float = _FLOAT) -> Entry:
    return {"id": name, "table": table, "key": key, "expect": expect, "tol": tol}


def _usd(price_e4: int) -> float:
    return int(price_e4) / 10_000


def _key(session: Session, symbol: str, **more: Any) -> dict[str, Any]:
    return {"session": session.key, "symbol": symbol, **more}


def _wall_ns(session: Session, time: str) -> int:
    return at_exchange_time(session.date, dt.time.fromisoformat(time))


# --- step scripts ----------------------------------------------------------------------------


def _step(step: Step, place: _Place) -> Iterator[Entry]:
    session, tape = place.session, step.tape()
    yield _day_bar(tape, session)
    yield from _minute_rows(step, session)
    yield _hours(tape, session)
    yield _macd(step, tape, session)
    back = place.full_before()
    if back:
        close = _usd(step.after_e4)
        expect = {"prev_close": close, "gap_sessions": back, "ret_d": 0.0, "split_ratio": 1.0, "suspect_gap": False}
        yield _entry(step.symbol, "silver/daily", _key(session, step.symbol), expect)
    for crossing in step.crossings:
        yield from _event(step, crossing, session)


def _rows(tape: Tape, session: Session, cross: bool) -> list[list[int]]:
    """Prices of the bars in regular hours, with or without the closing cross."""
    first, end = ((ns - session.ext_start_ns) // (60 * _SECOND_NS) for ns in (session.open_ns, session.close_ns))
    bars = zip(tape.minute.tolist(), tape.prices_e4.tolist(), strict=True)
    return [prices for minute, prices in bars if first <= minute < end + cross]


def _day_bar(tape: Tape, session: Session) -> Entry:
    """Prices of regular hours and the closing cross, volume of all bars."""
    rows = _rows(tape, session, cross=True)
    expect = {
        "window_start_ns": at_exchange_time(session.date, dt.time(0, 0)),
        "open": _usd(rows[0][OPEN]),
        "high": _usd(max(row[HIGH] for row in rows)),
        "low": _usd(min(row[LOW] for row in rows)),
        "close": _usd(rows[-1][CLOSE]),
        "volume": float(tape.volume * len(tape.minute)),
        "transactions": tape.transactions * len(tape.minute),
    }
    return _entry(tape.symbol, "bronze/day_aggs", _key(session, tape.symbol), expect, _EXACT)


def _minute_rows(step: Step, session: Session) -> Iterator[Entry]:
    """The bar of the step, and those with an extreme of their own."""
    rows: dict[str, dict[str, Any]] = {step.at: {"open": _usd(step.before_e4), "close": _usd(step.after_e4)}}
    for column, extremes in (("high", step.highs), ("low", step.lows)):
        for time, price in extremes.items():
            rows.setdefault(time, {"close": _usd(step.after_e4)})[column] = _usd(price)
    for time, prices in sorted(rows.items()):
        key = _key(session, step.symbol, window_start_ns=_wall_ns(session, time))
        segment = "rth" if time < "16:00" else "post"
        yield _entry(
            step.symbol, "bronze/minute_aggs", key, {**prices, "volume": float(VOLUME), "segment": segment}, _EXACT
        )


def _hours(tape: Tape, session: Session) -> Entry:
    """Minute features of regular hours."""
    rows = _rows(tape, session, cross=False)
    high, low = max(row[HIGH] for row in rows), min(row[LOW] for row in rows)
    expect = {
        "day_open": _usd(rows[0][OPEN]),
        "day_high": _usd(high),
        "day_low": _usd(low),
        "day_close": _usd(rows[-1][CLOSE]),
        "day_volume": float(tape.volume * len(rows)),
        "bars_n": len(rows),
        "day_range_pct": (high - low) / rows[0][OPEN],
    }
    return _entry(tape.symbol, "silver/minute_features", _key(session, tape.symbol), expect)


def _macd(step: Step, tape: Tape, session: Session) -> Entry:
    expect: dict[str, Any] = {}
    for tf, width in _TF_MINUTES.items():
        events = [crossing.event_type for crossing in step.crossings if crossing.tf == tf]
        expect[f"hist_zero_cross_up_count__{tf}"] = events.count("cross_up")
        expect[f"hist_zero_cross_down_count__{tf}"] = events.count("cross_down")
        expect[f"bars_n__{tf}"] = len({minute // width for minute in tape.minute.tolist()})
        expect[f"close_last__{tf}"] = _usd(step.after_e4)
    return _entry(step.symbol, "silver/macd_session_features", _key(session, step.symbol, mode="all"), expect)


def _event(step: Step, crossing: Crossing, session: Session) -> Iterator[Entry]:
    decision_ns = _wall_ns(session, crossing.decided)
    key = _key(session, step.symbol, tf=crossing.tf, decision_ns=decision_ns, event_type=crossing.event_type)
    start_ns, letter = decision_ns - _TF_MINUTES[crossing.tf] * 60 * _SECOND_NS, crossing.event_type[6].upper()
    expect = {
        "event_id": f"{step.symbol}|{crossing.tf}|{start_ns}|{letter}",
        "direction": 1 if crossing.event_type == "cross_up" else -1,
        "bar_start_ns": start_ns,
        "segment": "rth",
        "entry_close": _usd(step.after_e4),
    }
    yield _entry(step.symbol, "gold/events", key, expect)
    yield _entry(step.symbol, "gold/event_labels", key, _labels(step, crossing, session), _F32)


def _labels(step: Step, crossing: Crossing, session: Session) -> dict[str, Any]:
    """Labels in the event's own direction and of both views; null without an entry."""
    up, entered = crossing.event_type == "cross_up", crossing.outcome != "no_entry"
    entry = _usd(step.after_e4)
    ret = {"target": _MOVE, "adverse": -_MOVE, "timeout": 0.0}.get(crossing.outcome)
    entry_ns = _wall_ns(session, crossing.decided) + crossing.delay_s * _SECOND_NS
    values = {
        "entry_ns": entry_ns,
        "entry_price": entry,
        "entry_delay_s": crossing.delay_s,
        f"label_up_{_SUFFIX}": crossing.label_up,
        f"label_dn_{_SUFFIX}": crossing.label_dn,
        f"label_{_SUFFIX}": crossing.label_up if up else crossing.label_dn,
        f"ret_{_SUFFIX}": ret,
        f"exit_price_{_SUFFIX}": None if ret is None else entry * (1 + (ret if up else -ret)),
        f"touch_s_{_SUFFIX}": crossing.touch_s,
        f"ambiguous_{_SUFFIX}": crossing.ambiguous,
        f"horizon_end_ns_{_WINDOW_MINUTES}m": min(entry_ns + _WINDOW_MINUTES * 60 * _SECOND_NS, session.close_ns),
        f"horizon_truncated_{_WINDOW_MINUTES}m": crossing.truncated,
    }
    # Without an entry only the outcome is certain; the entry, the labels and the return are null.
    shown = values if entered else dict.fromkeys(list(values)[:9])
    return {**shown, f"outcome_{_SUFFIX}": crossing.outcome}


def _exact_touch(place: _Place) -> Iterator[Entry]:
    """PLEX passes the daily filter, so it reaches the training set and the range labels."""
    session, key = place.session, _key(place.session, "PLEX")
    days = place.filter_days()
    expect: dict[str, Any]
    if days >= _FILTER_MIN_DAYS:
        expect = {"avg_volume": float(390 * VOLUME), "days_in_window": days, "close_in_band": True}
        yield _entry("PLEX", "silver/daily_filtered", key, expect)
    following, previous = place.at(place.number + 1), place.at(place.number - 1)
    if following and not following.early_close:
        expect = {"next_session": following.key, "next_day_range_pct": 0.56 / 7.5, "label_next_day_range_expand": 0}
        yield _entry("PLEX", "gold/range_expansion_labels", key, expect)
    if place.number and previous and not previous.early_close and days > _FILTER_MIN_DAYS:
        more = {"tf": "1m", "decision_ns": _wall_ns(session, "13:01"), "event_type": "cross_up"}
        expect = {f"label_{_SUFFIX}": 1, "prev_session": previous.key, "prev_age_sessions": 1}
        yield _entry("PLEX", "gold/ml_dataset", {**key, **more}, expect)


# --- every session ---------------------------------------------------------------------------


def _names(session: Session) -> Iterator[Entry]:
    flags = {named.symbol: named.tradable for named in NAMED}
    flags |= {symbol: True for symbol in PLANTED if symbol in ("PLOR", "PLEV", "PLSP") or not session.early_close}
    for symbol, tradable in flags.items():
        yield _entry("names", "silver/symbol_types", _key(session, symbol), {"tradable": tradable}, _EXACT)


def _opening(session: Session) -> Iterator[Entry]:
    tape = opening_tape(session)
    yield _day_bar(tape, session)
    entry = _hours(tape, session)
    entry["expect"] |= {
        "first_5m_high": 20.3,
        "first_5m_low": 19.8,
        "first_15m_high": 20.5,
        "first_15m_low": 19.6,
        "range_5m_pct": 0.5 / 20,
        "range_15m_pct": 0.9 / 20,
        "breakout_5m_up": True,
        "breakout_5m_down": False,
        "breakout_15m_up": False,
        "breakout_15m_down": False,
    }
    yield entry


def _evening(session: Session) -> Iterator[Entry]:
    tape, flat = evening_tape(session), (session.close_ns - session.open_ns) // (60 * _SECOND_NS)
    yield _day_bar(tape, session)
    yield _hours(tape, session)
    start_ns = _wall_ns(session, "19:30")
    key = _key(session, "PLEV", window_start_ns=start_ns)
    yield _entry("PLEV", "bronze/minute_aggs", key, {"open": 30.0, "close": 31.25, "segment": "post"}, _EXACT)
    expect = {"close_last__1m": 31.25, "close_last__5m": 31.25, "bars_n__1m": flat + 10, "bars_n__5m": flat // 5 + 2}
    yield _entry("PLEV", "silver/macd_session_features", _key(session, "PLEV", mode="all"), expect)


def _split_chain(sessions: Sequence[Session], history: Sequence[Session]) -> Iterator[Entry]:
    """PLSP gains 1 % a session over the split, by what its two closes say."""
    for position, session in enumerate([*history, *sessions]):
        number, key = position - len(history), _key(session, "PLSP")
        ratio = float(SPLIT_RATIO) if number == SPLIT_NUMBER else 1.0
        expect: dict[str, Any] = {"close": _usd(split_close_e4(number)), "split_ratio": ratio}
        if position:
            before = _usd(split_close_e4(number - 1)) / ratio
            expect |= {"prev_close": before, "gap_sessions": 1, "ret_d": 0.01, "suspect_gap": False}
        yield _entry("PLSP", "silver/daily", key, expect, 1e-4)
        if position >= _RSI_ROWS:
            yield _entry("PLSP", "silver/technical_features", key, {"rsi_14": 100.0})
    if len(sessions) > SPLIT_NUMBER:
        key = {"symbol": "PLSP", "ex_session": sessions[SPLIT_NUMBER].key}
        yield _entry("PLSP", "bronze/splits", key, {"split_ratio": float(SPLIT_RATIO)}, _EXACT)
