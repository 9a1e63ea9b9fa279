"""The flow of a simulated session against what its simulator did: it knows each add, cancel and fill."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable

import numpy as np
import pytest

from raypipe.calendar import calendar
from raypipe.kernels.book import Book, BookScan
from raypipe.sources.synthetic.es_days import EsDay, es_days
from raypipe.sources.synthetic.es_market import Feed, simulate

Totals = dict[tuple[int, int, int], tuple[int, int, int]]


@pytest.fixture(scope="module", params=[1, 2])
def market(request: pytest.FixtureRequest) -> tuple[EsDay, list[Feed]]:
    day = next(iter(es_days(request.param, [calendar().session(dt.date(2025, 3, 11))])))
    return day, list(simulate(request.param, day, 0.05))


def passed(day: EsDay, pieces: Iterable[np.ndarray]) -> Book:
    one = BookScan(np.empty(0, np.int64))
    for rows in pieces:
        one.records(rows, day.lead.instrument_id, 250_000_000)
    return one.finish()


def front(day: EsDay, rows: np.ndarray) -> np.ndarray:
    """Only the records of the leading contract."""
    return rows[rows[:, 0] >> 32 == day.lead.instrument_id]


def totals(*columns: np.ndarray, after_ns: int) -> Totals:
    """Added, canceled and filled by time, side and tick."""
    made: Totals = defaultdict(lambda: (0, 0, 0))
    for ts, side, tick, added, canceled, filled in zip(*(values.tolist() for values in columns), strict=True):
        if ts > after_ns and (added or canceled or filled):
            a, c, f = made[ts, side, tick]
            made[ts, side, tick] = (a + added, c + canceled, f + filled)
    return dict(made)


def test_every_add_cancel_and_fill_of_continuous_trading(market):
    """Exactly, at its nanosecond. Before it lie the crossed book of the pre-open and the auction that uncrosses it."""
    day, feeds = market
    flow, opened = passed(day, (feed.rows for feed in feeds)).flow, day.start_ns + 10**9
    times, changes = (np.concatenate([getattr(feed, name) for feed in feeds]) for name in ("lead_ns", "changes"))
    wanted = totals(times, *changes.T, after_ns=opened)
    found = totals(flow.time_ns, flow.side, flow.tick, flow.added, flow.canceled, flow.filled, after_ns=opened)
    assert len(wanted) > 50_000
    assert found == wanted


def test_other_contracts_in_the_feed_change_nothing(market):
    """Back months and spreads between the records of the front month: 3 % of the feed."""
    day, feeds = market
    rows = [feed.rows for feed in feeds]
    leading = [front(day, piece) for piece in rows]
    assert sum(map(len, rows)) - sum(map(len, leading)) > 1000
    alone, mixed = passed(day, leading), passed(day, rows)
    for one, other in zip(alone[:2], mixed[:2], strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
