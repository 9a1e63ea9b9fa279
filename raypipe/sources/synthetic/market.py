"""The simulated market, session by session: who is volatile, where prices open and close.

One market factor and a noise of its own move every symbol, over night and during regular hours. A
two-state chain per symbol sets the day's volatility: 1 % in the calm state, 4 % in the other. Sessions
run forward from the first one; history runs backward from the same eve, which the chain allows because
it is reversible. So neither more sessions nor more history change a session already made.

Prices move by factors ``1 + x + x*x/2`` instead of ``exp(x)``: close to it, and exactly the same on every
machine.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from raypipe.calendar import Session
from raypipe.sources.synthetic.bars import Bars, to_e4
from raypipe.sources.synthetic.draws import Draws
from raypipe.sources.synthetic.minutes import Day, Layout, expected_volume, growth, layout
from raypipe.sources.synthetic.universe import SLOTS, Universe

__all__ = ["SIGMA_CALM", "SIGMA_HIGH", "HistoryMaker", "backward", "forward"]

#: Daily volatility of the two states, close to close.
SIGMA_CALM, SIGMA_HIGH = 0.01, 0.04
#: Chance to stay in the calm and in the volatile state.
STAY_CALM, STAY_HIGH = 0.99, 0.97
_SIGMA_MARKET = 0.006
#: Share of the daily variance that falls between close and open.
_NIGHT = 0.2
_FLOOR_USD = 0.05


@dataclass(frozen=True, slots=True)
class _Shocks:
    """A session's random numbers for the taken symbols, each (n,)."""

    turn: NDArray[np.float64]
    night: NDArray[np.float64]
    hours: NDArray[np.float64]
    busy: NDArray[np.float64]
    market_night: float
    market_hours: float


def _shocks(seed: int, session: Session, slots: NDArray[np.int64]) -> _Shocks:
    draws = Draws(seed, "equities", session.date.toordinal())
    turn, night, hours, busy = (
        draw(SLOTS)[slots] for draw in (draws.uniform, draws.normal, draws.normal, draws.uniform)
    )
    market_night, market_hours = draws.normal(2).tolist()
    return _Shocks(turn, night, hours, busy, market_night, market_hours)


def _turned(high: NDArray[np.bool_], turn: NDArray[np.float64]) -> NDArray[np.bool_]:
    """The neighbouring session's state; the chain is reversible, so it is the same in both directions."""
    return np.asarray(high ^ (turn >= np.where(high, STAY_HIGH, STAY_CALM)))


def _day(session: Session, shocks: _Shocks, high: NDArray[np.bool_], market: Universe) -> Day:
    sigma = np.where(high, SIGMA_HIGH, SIGMA_CALM)
    common = market.beta * _SIGMA_MARKET
    own = np.sqrt(sigma * sigma - common * common)
    night, hours = np.sqrt(_NIGHT), np.sqrt(1.0 - _NIGHT)
    return Day(
        session=session,
        previous_usd=np.empty(0),
        night=night * (common * shocks.market_night + own * shocks.night),
        hours=hours * (common * shocks.market_hours + own * shocks.hours),
        own=hours * own,
        common=hours * common,
        high=high,
        busy=0.5 + shocks.busy + 0.8 * high,
    )


def forward(seed: int, sessions: Sequence[Session], market: Universe) -> Iterator[Day]:
    """The sessions from the first one on, oldest first."""
    high, previous = market.high, market.price_usd
    for number, session in enumerate(sessions):
        shocks = _shocks(seed, session, market.slots)
        high = _turned(high, shocks.turn) if number else high
        day = _day(session, shocks, high, market).after(previous)
        yield day
        previous = np.maximum(day.close_usd, _FLOOR_USD)


def backward(seed: int, sessions: Sequence[Session], market: Universe) -> Iterator[Day]:
    """The sessions before the first one, newest first: each closes where the next one's night begins."""
    high, close = market.high, market.price_usd
    for session in reversed(sessions):
        shocks = _shocks(seed, session, market.slots)
        high = _turned(high, shocks.turn)
        day = _day(session, shocks, high, market)
        previous = np.maximum(close / growth(day.night + day.hours), _FLOOR_USD)
        yield day.after(previous)
        close = previous


class HistoryMaker:
    """Makes day bars without minutes: extremes of a Brownian bridge, volume as expected of the symbol.

    Parameters
    ----------
    seed
        The market's seed.
    market
        The simulated symbols, n of them.
    places
        Index of each symbol in the market's names, int64 (n,).
    """

    def __init__(self, seed: int, market: Universe, places: NDArray[np.int64]) -> None:
        self._seed, self._market, self._places = seed, market, places
        self._volumes: dict[int, NDArray[np.float64]] = {}

    def bars(self, day: Day) -> Bars:
        """The day bars of one session."""
        draws, n = Draws(self._seed, "equities", day.session.date.toordinal(), 2), len(self._market)
        hours = layout(day.session)
        dice, size = draws.uniform(n), draws.uniform(n)
        traded = dice < 1.0 - np.exp(-self._market.rate * hours.weight[hours.regular].sum())
        volume = 1 + (self._expected(hours) * day.busy * (0.7 + 0.6 * size)).astype(np.int64)
        return Bars(
            symbol=self._places,
            start_ns=np.full(n, day.session.midnight_ns, np.int64),
            prices_e4=to_e4(day.previous_usd[:, None] * growth(_extremes(day, draws))),
            volume=volume,
            transactions=1 + volume // self._market.lot,
        ).take(np.flatnonzero(traded))

    def _expected(self, hours: Layout) -> NDArray[np.float64]:
        """Expected volume; it depends on nothing but the length of the session."""
        if hours.close not in self._volumes:
            self._volumes[hours.close] = expected_volume(self._market, hours)
        return self._volumes[hours.close]


def _extremes(day: Day, draws: Draws) -> NDArray[np.float64]:
    """Relative moves at the open, the close, the highest and the lowest point, float64 (n, 4)."""
    n, variance = len(day.night), day.own**2 + day.common**2
    up, down = (np.sqrt(day.hours**2 - 2.0 * variance * np.log(1.0 - draws.uniform(n))) for _ in range(2))
    closed = day.night + day.hours
    return np.stack([day.night, closed, (day.night + closed + up) / 2, (day.night + closed - down) / 2], axis=1)
