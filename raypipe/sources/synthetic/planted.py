"""Scripted symbols: minute bars whose every consequence is known beforehand.

The names start with PL and stand beside the simulated ones. Step scripts are flat, jump once and stay flat,
so that their MACD crosses once up at the step and once down 14 bars later; a few highs and lows then decide
the labels. They trade on full sessions only, the others on every session. What must follow from them is in
``truth.py``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from raypipe.calendar import Session
from raypipe.sources.synthetic.bars import CLOSE, HIGH, LOW, MINUTE_NS, OPEN, Bars, concat

__all__ = [
    "PLANTED",
    "SPLIT_NUMBER",
    "SPLIT_RATIO",
    "STEPS",
    "Crossing",
    "Step",
    "Tape",
    "clock",
    "planted_bars",
    "tapes",
]

VOLUME, TRANSACTIONS = 3_000, 30
#: PLSP's ex-session counts from the first session, so that it stays where it is when sessions are added.
SPLIT_NUMBER, SPLIT_RATIO = 3, 4
_SPLIT_START, _SPLIT_GROWTH = Decimal(100), Decimal("1.01")
_NOTHING: Mapping[str, int] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Tape:
    """The scripted minute bars of one symbol in one session.

    Attributes
    ----------
    symbol
        Name.
    minute
        Minutes after 04:00 exchange time, int64 (n,).
    prices_e4
        Open, close, high, low in ten-thousandths, int64 (n, 4).
    volume, transactions
        Of every bar.
    """

    symbol: str
    minute: NDArray[np.int64]
    prices_e4: NDArray[np.int64]
    volume: int = VOLUME
    transactions: int = TRANSACTIONS


@dataclass(frozen=True, slots=True)
class Crossing:
    """A MACD crossing of a step script, and what labels of 80 bp in 30 minutes say of it.

    Attributes
    ----------
    tf, event_type
        Timeframe; ``cross_up`` or ``cross_down``.
    decided
        Wall-clock time at which the crossing bar ends.
    outcome, touch_s
        In the event's own direction; seconds to the touch.
    label_up, label_dn
        Labels of the long and the short view.
    delay_s
        From decision to entry.
    ambiguous, truncated
        Both barriers in one bar; horizon cut at the close.
    """

    tf: str
    event_type: str
    decided: str
    outcome: str = "timeout"
    touch_s: int | None = None
    label_up: int = 0
    label_dn: int = 0
    delay_s: int = 0
    ambiguous: bool = False
    truncated: bool = False


def _quiet(**decided: str) -> tuple[Crossing, ...]:
    """Crossings down after which nothing happens, at ``m1`` and ``m5``."""
    return tuple(Crossing(f"{name[1:]}m", "cross_down", at) for name, at in decided.items())


def _up(tf: str, decided: str, outcome: str = "timeout", touch_s: int | None = None, **values: int) -> Crossing:
    return Crossing(tf, "cross_up", decided, outcome, touch_s, **values)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Step:
    """A flat price, one jump, and a flat price again.

    Attributes
    ----------
    symbol
        Name.
    crossings
        All crossings of the session, mode all.
    highs, lows
        Extremes by wall-clock time, in ten-thousandths.
    before_e4, after_e4
        The two prices.
    at
        Bar that opens at the one and closes at the other.
    later
        Bars after it: ranges of wall-clock time (from, to, every so many minutes), half-open.
    """

    symbol: str
    crossings: tuple[Crossing, ...]
    highs: Mapping[str, int] = field(default_factory=lambda: _NOTHING)
    lows: Mapping[str, int] = field(default_factory=lambda: _NOTHING)
    before_e4: int = 100_000
    after_e4: int = 105_000
    at: str = "13:00"
    later: tuple[tuple[str, str, int], ...] = (("13:01", "16:00", 1),)

    def tape(self) -> Tape:
        """Its bars."""
        minute = _minutes(("09:30", self.at, 1), (self.at, self.at, 0), *self.later)
        close = np.where(minute < clock(self.at), self.before_e4, self.after_e4)
        return _tape(self.symbol, minute, close, self.highs, self.lows)


_DOWN = _quiet(m1="13:15", m5="14:15")
STEPS: tuple[Step, ...] = (
    Step(
        "PLTA",
        (_up("1m", "13:01", "target", 660, label_up=1), _up("5m", "13:05", "target", 420, label_up=1), *_DOWN),
        highs={"13:11": 106_000},
    ),
    Step(
        "PLAD",
        (
            _up("1m", "13:01", "adverse", 360, label_dn=1),
            _up("5m", "13:05", "adverse", 120, label_dn=1),
            Crossing("1m", "cross_down", "13:15", "adverse", 360, label_up=1),
            *_quiet(m5="14:15"),
        ),
        highs={"13:20": 106_000},
        lows={"13:06": 104_000},
    ),
    Step("PLTO", (_up("1m", "13:01"), _up("5m", "13:05"), *_DOWN)),
    Step(
        "PLAM",
        (
            _up("1m", "13:01", "adverse", 540, ambiguous=True),
            _up("5m", "13:05", "adverse", 300, ambiguous=True),
            *_DOWN,
        ),
        highs={"13:09": 106_000},
        lows={"13:09": 104_000},
    ),
    Step(
        "PLEX",
        (_up("1m", "13:01", "target", 660, label_up=1), _up("5m", "13:05", "target", 420, label_up=1), *_DOWN),
        # In floats 7.5*1.008 lies above 7.56: an exact touch needs a tolerance.
        highs={"13:11": 75_600},
        before_e4=70_000,
        after_e4=75_000,
    ),
    Step(
        "PLGP",
        (_up("1m", "13:01", delay_s=180), _up("5m", "13:05"), *_quiet(m1="13:18", m5="14:15")),
        later=(("13:04", "16:00", 1),),
    ),
    Step("PLNE", (_up("1m", "13:01", "no_entry"), _up("5m", "13:05", "no_entry")), later=()),
    Step(
        "PLHZ",
        (
            _up("1m", "15:40", truncated=True),
            _up("5m", "15:40", truncated=True),
            Crossing("1m", "cross_down", "15:54", truncated=True),
        ),
        highs={"16:05": 106_000},
        at="15:39",
        later=(("15:40", "16:11", 1),),
    ),
    Step(
        "PLTM",
        (
            _up("1m", "13:01"),
            _up("5m", "13:05", "no_entry"),
            Crossing("1m", "cross_down", "15:11", "no_entry"),
            Crossing("5m", "cross_down", "15:25", "no_entry"),
        ),
        highs={"13:40": 106_000},
        later=(("13:01", "13:02", 1), ("13:10", "16:00", 10)),
    ),
)
#: All scripted names.
PLANTED: tuple[str, ...] = (*(step.symbol for step in STEPS), "PLOR", "PLEV", "PLSP")


def clock(time: str) -> int:
    """Minutes after 04:00 of a wall-clock time ``HH:MM``."""
    return 60 * int(time[:2]) + int(time[3:]) - 240


def tapes(session: Session, number: int) -> Iterator[Tape]:
    """The scripted bars of a session; ``number`` counts from the first session and is negative in the history."""
    yield split_tape(session, number)
    if number >= 0:
        yield opening_tape(session)
        yield evening_tape(session)
    if session.early_close:
        return
    if number >= 0:
        yield from (step.tape() for step in STEPS)
    else:
        yield quiet_history()


def planted_bars(session: Session, number: int, places: Mapping[str, int]) -> Bars:
    """The scripted minute bars of a session, sorted; ``places`` holds the index of each name."""
    return concat([_bars(tape, session, places[tape.symbol]) for tape in tapes(session, number)]).sorted()


def quiet_history() -> Tape:
    """PLEX before the first session: flat at 7.50, so that it passes the daily filter."""
    minute = _minutes(("09:30", "16:00", 1))
    return _tape("PLEX", minute, np.full(len(minute), 75_000))


def opening_tape(session: Session) -> Tape:
    """PLOR: an opening range whose neighbours before 09:30, at 09:35 and at 09:45 reach further.

    Bars at 04:30, 05:30 and 09:29 would be the opening range of a reader that takes 09:30 for UTC or is late
    by a minute; 30.00 after the close must not reach the day bar.
    """
    shut = _wall(session.close_ns, session)
    minute = _minutes(("04:30", "04:31", 1), ("05:30", "05:31", 1), ("09:29", shut, 1), (shut, shut, 0))
    minute = np.append(minute, minute[-1] + 1)
    close = np.where(minute < clock("10:00"), 200_000, 204_000)
    highs = {"04:30": 270_000, "05:30": 260_000, "09:29": 250_000}
    highs |= {"09:31": 203_000, "09:35": 205_000, "09:45": 210_000}
    lows = {"04:30": 130_000, "05:30": 140_000, "09:29": 150_000}
    lows |= {"09:33": 198_000, "09:40": 196_000, "09:45": 190_000}
    tape = _tape("PLOR", minute, close, highs, lows)
    tape.prices_e4[-1, HIGH] = 300_000
    return tape


def evening_tape(session: Session) -> Tape:
    """PLEV: flat at 30.00 in regular hours, then ten bars from 19:30: the next date in UTC during winter."""
    minute = _minutes(("09:30", _wall(session.close_ns, session), 1), ("19:30", "19:40", 1))
    return _tape("PLEV", minute, np.where(minute < clock("19:30"), 300_000, 312_500))


def split_close_e4(number: int) -> int:
    """PLSP's close as traded: 1 % more each session, a quarter from the ex-session on."""
    ratio = SPLIT_RATIO if number >= SPLIT_NUMBER else 1
    return round(_SPLIT_START * _SPLIT_GROWTH**number / ratio * 10_000)


def split_tape(session: Session, number: int) -> Tape:
    """PLSP: a bar every half hour, rising from 0.4 % above the last close, on the session's own basis."""
    ratio = SPLIT_RATIO if number >= SPLIT_NUMBER else 1
    minute = _minutes(("09:30", _wall(session.close_ns, session), 30))
    close = split_close_e4(number)
    opened = round(_SPLIT_START * _SPLIT_GROWTH ** (number - 1) * Decimal("1.004") / ratio * 10_000)
    border = opened + (close - opened) * np.arange(len(minute) + 1) // len(minute)
    prices = np.stack([border[:-1], border[1:], border[1:], border[:-1]], axis=1)
    return Tape("PLSP", minute, prices, VOLUME * ratio)


def _wall(moment_ns: int, session: Session) -> str:
    """Wall-clock time of a moment of the session."""
    minute = (moment_ns - session.ext_start_ns) // MINUTE_NS + 240
    return f"{minute // 60:02d}:{minute % 60:02d}"


def _minutes(*ranges: tuple[str, str, int]) -> NDArray[np.int64]:
    """Minutes after 04:00 of half-open ranges; a step of 0 means the first minute alone."""
    parts = [np.arange(clock(a), clock(b) if every else clock(a) + 1, every or 1) for a, b, every in ranges]
    return np.concatenate(parts).astype(np.int64)


def _tape(
    symbol: str,
    minute: NDArray[np.int64],
    close_e4: NDArray[np.int64],
    highs: Mapping[str, int] = _NOTHING,
    lows: Mapping[str, int] = _NOTHING,
) -> Tape:
    """Bars that open at the close before, with the given extremes."""
    prices = np.empty((len(minute), 4), np.int64)
    prices[:, CLOSE] = close_e4
    prices[:, OPEN] = np.append(close_e4[:1], close_e4[:-1])
    prices[:, HIGH], prices[:, LOW] = prices[:, :2].max(axis=1), prices[:, :2].min(axis=1)
    for column, extremes in ((HIGH, highs), (LOW, lows)):
        for time, price in extremes.items():
            prices[np.flatnonzero(minute == clock(time)), column] = price
    return Tape(symbol, minute, prices)


def _bars(tape: Tape, session: Session, place: int) -> Bars:
    n = len(tape.minute)
    return Bars(
        symbol=np.full(n, place, np.int64),
        start_ns=session.ext_start_ns + tape.minute * MINUTE_NS,
        prices_e4=tape.prices_e4,
        volume=np.full(n, tape.volume, np.int64),
        transactions=np.full(n, tape.transactions, np.int64),
    )
