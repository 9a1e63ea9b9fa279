"""The flow of a simulated session against what its simulator did: it knows each add, cancel and fill."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict

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


def passed(day: EsDay, feeds: list[Feed], *, whole_feed: bool) -> Book:
    one = BookScan(np.empty(0, np.int64))
    for feed in feeds:
        one.records(feed.rows if whole_feed else feed.lead, day.lead.instrument_id, 250_000_000)
    return one.finish()


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
    flow, opened = passed(day, feeds, whole_feed=False).flow, day.start_ns + 10**9
    lead, changes = (np.concatenate([getattr(feed, name) for feed in feeds]) for name in ("lead", "changes"))
    wanted = totals(lead[:, 1], *changes.T, after_ns=opened)
    found = totals(flow.time_ns, flow.side, flow.tick, flow.added, flow.canceled, flow.filled, after_ns=opened)
    assert len(wanted) > 50_000
    assert found == wanted


def test_other_contracts_in_the_feed_change_nothing(market):
    """Back months and spreads between the records of the front month: 3 % of the feed."""
    day, feeds = market
    alone, mixed = (passed(day, feeds, whole_feed=whole) for whole in (False, True))
    assert sum(len(feed.rows) - len(feed.lead) for feed in feeds) > 1000
    for one, other in zip(alone[:2], mixed[:2], strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
