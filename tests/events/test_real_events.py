"""Events, their state and their labels on real minute bars: SPY IBM BAC AIG in 2013, AAPL TWX over AAPL's split."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from raypipe.features import event_state
from raypipe.features.event_state import EventStateParams
from raypipe.labels import first_passage
from raypipe.labels.first_passage import LabelsParams
from raypipe.schema.events import EventsParams
from raypipe.schema.macd import MacdParams
from tests.events.made import all_events, expected_events, market_of
from tests.features.bars import run
from tests.features.minutes import Minutes, assert_values, of_session
from tests.features.test_event_state import expected as expected_state
from tests.features.test_event_state import table_of
from tests.features.test_real_minutes import DATES_2013, DATES_2014, SPLIT, sample
from tests.labels.test_first_passage import expected as expected_labels

FRIDAY, SPLIT_DAY = DATES_2014[-2:]


@pytest.fixture(scope="module", params=[DATES_2013, DATES_2014], ids=["2013", "2014"])
def made(shared_data: Path, request: pytest.FixtureRequest) -> Minutes:
    found = sample(shared_data / "polygon" / "us_stocks_sip" / "minute_aggs_v1", request.param)
    found.splits = dict(SPLIT)
    return found


@pytest.mark.parametrize("mode", ["all", "rth"])
@pytest.mark.parametrize("state", ["session", "carry"])
def test_events_and_labels_equal_the_definition(made: Minutes, mode, state):
    p = LabelsParams(
        barriers=[{"target_move": 0.0015}, {"target_move": 0.008, "stop_move": 0.004, "time_window_minutes": 60}],
        events=EventsParams(mode=mode, macd=MacdParams(state=state, modes=("all", "rth"))),
    )
    market = market_of(made, p.events)
    events = all_events(market)
    assert_values(events, expected_events(made, p.events))
    labels = run(first_passage.FAMILY, market, made.sessions, p).table
    assert_values(labels, expected_labels(made, p, events))
    assert events.num_rows > 200
    assert set(labels["outcome_15bp_30m"].to_pylist()) >= {"target", "adverse", "timeout"}


def test_state_equals_the_definition(made: Minutes):
    p = EventStateParams()
    chosen = (made.dates[-1], made.symbols(made.dates[-1])[0])
    one = Minutes({chosen: made.bars[chosen]}, made.splits)
    assert_values(run(event_state.FAMILY, market_of(one, p.events), one.sessions, p).table, expected_state(one, p))


def test_a_split_over_night_is_no_gap(shared_data: Path):
    """AAPL closed at 645.57 as traded before 7:1; the first bar after still shows that price, and then 92."""
    made = sample(shared_data / "polygon" / "us_stocks_sip" / "minute_aggs_v1", DATES_2014)
    close = made.bars[FRIDAY, "AAPL"][-1]["close"]
    daily = {"silver/daily": {FRIDAY: table_of([{"symbol": "AAPL", "close": close}], "close")}}

    def rets() -> list[float]:
        p = EventStateParams()
        table = run(event_state.FAMILY, market_of(made, p.events, daily), made.sessions, p).table
        rows = of_session(table, SPLIT_DAY).to_pylist()
        return [row["ret_from_prev_close"] for row in rows if row["symbol"] == "AAPL"]

    assert max(rets()) < -0.8
    made.splits = dict(SPLIT)
    assert len(rets()) > 10
    assert max(abs(value) for value in rets()) < 0.03


def test_the_sessions_lie_where_the_calendar_says(made: Minutes):
    """October is in daylight saving time: regular hours begin at 13:30 UTC."""
    events = all_events(market_of(made, EventsParams()))
    for session in made.sessions:
        rows = of_session(events, session.date).to_pylist()
        assert {row["segment"] for row in rows} >= {"rth"}
        open_utc = dt.datetime.combine(session.date, dt.time(13, 30), dt.UTC)
        assert session.open_ns == int(open_utc.timestamp()) * 10**9
        for row in rows:
            assert (row["segment"] == "rth") == (session.open_ns <= row["decision_ns"] < session.close_ns)
