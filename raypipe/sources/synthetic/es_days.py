"""The sessions of the simulated ES market: which contracts trade, which one leads, and where prices start and end.

Fair prices form a chain of integers that runs forward from the first session, so that more sessions change none
already made.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from raypipe.calendar import Session, at_exchange_time
from raypipe.sources.synthetic.draws import Draws

__all__ = ["CARRY_TICKS", "SECOND_NS", "Contract", "EsDay", "es_days"]

SECOND_NS = 1_000_000_000
#: A contract trades this much above the one before it: 55 index points.
CARRY_TICKS = 220
_FIRST_TICKS = 27_000
_CODES = {3: "H", 6: "M", 9: "U", 12: "Z"}
_FRIDAY, _ROLL_DAYS = 4, 8
_MOVE_TICKS, _RANGE_TICKS = 28, 24
_PM_HIGH, _PM_LOW = 56, -64
# Ratios are estimated from prices in whole cents.
_BAND_USD, _ROUNDING = 0.10, 0.02


@dataclass(frozen=True, slots=True)
class Contract:
    """A quarterly future.

    Attributes
    ----------
    symbol
        The vendor's raw symbol, such as ``ESZ5``.
    instrument_id
        The exchange's number of it.
    expiry
        Third Friday of its month.
    """

    symbol: str
    instrument_id: int
    expiry: dt.date


@dataclass(frozen=True, slots=True)
class EsDay:
    """One session's plan. Prices are ticks of the leading contract.

    Attributes
    ----------
    session
        The session.
    start_ns, end_ns, halt_ns
        18:00 of the calendar day before, 17:00, and when trading stops: 17:00, or 13:15 on an early close.
    lead, other
        The contract with nearly all volume, and the one beside it.
    open_ticks, close_ticks
        Fair price at the start and at the end; the former is the last session's latter.
    pm_high_ticks, pm_low_ticks
        Where the pre-market's extremes are driven to.
    carry_ticks
        How far the leading contract trades above the one that led the first session.
    touch_ticks
        At this distance from a level a trade touches it for sure: 0.10 US dollars, rounded down.
    """

    session: Session
    start_ns: int
    end_ns: int
    halt_ns: int
    lead: Contract
    other: Contract
    open_ticks: int
    close_ticks: int
    pm_high_ticks: int
    pm_low_ticks: int
    carry_ticks: int
    touch_ticks: int

    @property
    def other_above_ticks(self) -> int:
        """How far the other contract trades above the leading one."""
        return CARRY_TICKS if self.other.expiry > self.lead.expiry else -CARRY_TICKS

    def at(self, time: str) -> int:
        """Nanoseconds UTC of a wall-clock time ``HH:MM[:SS]``; later than 17:00 is the evening before."""
        moment = dt.time.fromisoformat(time)
        early = moment > dt.time(17, 0)
        return at_exchange_time(self.session.date - dt.timedelta(days=early), moment)

    @property
    def bounce_time(self) -> str:
        """Hour of the planted bounce: two hours before the close, or one before an early one."""
        return "12" if self.session.early_close else "14"


def es_days(
    seed: int, sessions: Sequence[Session], roll_session: dt.date | None = None, ratio: float = 10.05
) -> Iterator[EsDay]:
    """Plan sessions, oldest first.

    Parameters
    ----------
    seed
        The market's seed.
    sessions
        From the market's first one on.
    roll_session
        From it on the contract after the first session's leads. None rolls as the market does, eight days before
        expiry.
    ratio
        ES points of the first leading contract that are one US dollar of SPY.
    """
    ticks, chain = _FIRST_TICKS, _chain(sessions[0].date) if sessions else []
    for session in sessions:
        lead, other = _leaders(chain, session.date, roll_session)
        move, high, low = _dice(seed, session)
        first = ticks + CARRY_TICKS * lead
        yield EsDay(
            session=session,
            start_ns=at_exchange_time(session.date - dt.timedelta(days=1), dt.time(18, 0)),
            end_ns=at_exchange_time(session.date, dt.time(17, 0)),
            halt_ns=at_exchange_time(session.date, dt.time(13, 15) if session.early_close else dt.time(17, 0)),
            lead=chain[lead],
            other=chain[other],
            open_ticks=first,
            close_ticks=first + move,
            pm_high_ticks=first + _PM_HIGH + high,
            pm_low_ticks=first + _PM_LOW - low,
            carry_ticks=CARRY_TICKS * lead,
            touch_ticks=int(_BAND_USD * 4 * ratio * first / ticks - _ROUNDING),
        )
        ticks += move


def _chain(date: dt.date) -> list[Contract]:
    """Contracts from the one that leads on a date on."""
    months = [(date.year + k // 4, 3 * (k % 4) + 3) for k in range(4 * 25)]
    found = [_contract(year, month) for year, month in months]
    return [each for each in found if each.expiry - dt.timedelta(days=_ROLL_DAYS) > date]


def _contract(year: int, month: int) -> Contract:
    first = dt.date(year, month, 1)
    expiry = first + dt.timedelta(days=(_FRIDAY - first.weekday()) % 7 + 14)
    # Ids that look like the exchange's own and never collide.
    return Contract(f"ES{_CODES[month]}{year % 10}", 4_000 + 40 * (year % 100) + month, expiry)


def _leaders(chain: Sequence[Contract], date: dt.date, roll_session: dt.date | None) -> tuple[int, int]:
    """Places of the leading contract and of the one beside it: the old one while it lives, else the next."""
    if roll_session is not None:
        return (1, 0) if date >= roll_session else (0, 1)
    lead = next(k for k, each in enumerate(chain) if each.expiry - dt.timedelta(days=_ROLL_DAYS) > date)
    return lead, lead - 1 if lead and chain[lead - 1].expiry >= date else lead + 1


def _dice(seed: int, session: Session) -> tuple[int, int, int]:
    """Fair move of the session, and how much further than usual the pre-market goes up and down, ticks."""
    u = Draws(seed, "es", session.date.toordinal()).uniform(3)
    move = int(u[0] * (2 * _MOVE_TICKS + 1)) - _MOVE_TICKS
    return move, int(u[1] * (_RANGE_TICKS + 1)), int(u[2] * (_RANGE_TICKS + 1))
