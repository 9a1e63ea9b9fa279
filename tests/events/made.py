"""Events over made-up minute bars: what the references say, and the tables that the families make of them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

from raypipe.calendar import Session
from raypipe.events import crosses
from raypipe.schema.events import EVENTS, EventsParams
from raypipe.schema.macd import WIDTH_NS, MacdParams
from raypipe.schema.minutes import window_of
from tests.features.bars import Fixed, run
from tests.features.minutes import Minutes, of_session
from tests.reference.events import Timeframe, events
from tests.reference.macd import Recipe, State, lines, resample

Row = dict[str, Any]
#: A MACD that sees crossings in few bars.
SHORT = {"fast": 2, "slow": 4, "signal": 2, "min_bars": 3}
recipes = st.builds(
    MacdParams,
    timeframes=st.sampled_from([("1m", "5m"), ("15m", "1m")]),
    min_bars=st.sampled_from([1, 5, 34]),
    fast=st.sampled_from([2, 12]),
)


def recipe_of(p: MacdParams) -> Recipe:
    return Recipe(p.fast, p.slow, p.signal, p.min_bars)


class Carried:
    """Recursions carried from session to session, by symbol and timeframe; nothing if sessions start afresh."""

    def __init__(self, made: Minutes, params: EventsParams) -> None:
        self._made, self._params = made, params
        self._states: dict[tuple[str, str], State | None] = {}

    def timeframes(self, session: Session, symbol: str) -> list[Timeframe]:
        """In the order of their rows, with the states that the session starts from."""
        ratio = self._made.splits.get((symbol, session.date), 1.0)
        found = []
        for tf in sorted(self._params.macd.timeframes, key=str.encode):
            state = self._states.get((symbol, tf)) if self._params.macd.state == "carry" else None
            found.append(Timeframe(tf, WIDTH_NS[tf], state.after_split(ratio) if state else None))
        return found

    def close(self, session: Session, symbol: str, timeframe: Timeframe) -> None:
        """Go on to the end of the session."""
        window = window_of(session, self._params.mode)
        coarse = resample(self._made.bars[session.date, symbol], timeframe.width_ns, window)
        _, after = lines([bar["close"] for bar in coarse], recipe_of(self._params.macd), timeframe.before)
        self._states[symbol, timeframe.name] = after


def walk(made: Minutes, params: EventsParams) -> Iterator[tuple[Session, str, list[Timeframe]]]:
    """Every session and symbol in order, with the recursions that they start from."""
    carried = Carried(made, params)
    for session in made.sessions:
        for symbol in made.symbols(session.date):
            timeframes = carried.timeframes(session, symbol)
            yield session, symbol, timeframes
            for timeframe in timeframes:
                carried.close(session, symbol, timeframe)


def expected_events(made: Minutes, params: EventsParams) -> list[Row]:
    """Rows of all sessions, by the definition."""
    rows = []
    for session, symbol, timeframes in walk(made, params):
        windows = window_of(session, params.mode), window_of(session, "rth")
        for timeframe in timeframes:
            found = events(symbol, made.bars[session.date, symbol], timeframe, *windows, recipe_of(params.macd))
            rows += [{"session": session.date, **row} for row in found]
    return [row for row in rows if params.side in ("both", "long" if row["direction"] > 0 else "short")]


def market_of(made: Minutes, params: EventsParams, more: dict[str, dict[dt.date, pa.Table]] | None = None) -> Fixed:
    """The market with `gold/events` built."""
    plain = made.carried(params.macd) if params.macd.state == "carry" else made.market()
    market = Fixed(plain.sessions, tables={**(plain.tables or {}), **(more or {})})
    table = run(crosses.FAMILY, market, made.sessions, params).table
    parts = {date: of_session(table, date) for date in made.dates}
    return Fixed(market.sessions, tables={**(market.tables or {}), EVENTS: parts})


def all_events(market: Fixed) -> pa.Table:
    """The events of all sessions."""
    return pa.concat_tables((market.tables or {})[EVENTS].values())


def sorted_rows(rows: Sequence[Row]) -> list[Row]:
    """In the order of `gold/events` within each session."""
    return sorted(
        rows, key=lambda r: (r["session"], r["symbol"].encode(), r["tf"].encode(), r["decision_ns"], r["event_type"])
    )
