"""The flow of real books: rebuilt order by order, exactly conserved, and matched by what was traded."""

from __future__ import annotations

import csv
import gzip
from collections import defaultdict
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from databento import DBNStore

from raypipe.kernels.barrier import Zones, standing, zone_flows
from raypipe.kernels.book import ASK, BID, Book, BookScan
from raypipe.sources.databento import stream_chunks
from tests.kernels.books import CODES, scan
from tests.reference.book import F_LAST, Record, replay
from tests.reference.orders import OrderBook

SECOND = 10**9
#: File, contract, price of a tick in 1e-9, share of traded lots that displayed size explains.
ES = ("dbn_glbx/glbx-mdp3-20231225.mbp-10.dbn.zst", 17077, 250_000_000, (0.95, 1.0))
FROG = ("dbn_xnas/xnas-itch-20250403.FROG.mbp-10.dbn.zst", 6292, 10_000_000, (0.45, 0.6))
ORDERS = "dbn_glbx/esh4-glbx-mdp3-20231225.mbo.dbn.zst"
FILES = pytest.mark.parametrize("which", [ES, FROG], ids=["ES", "FROG"])
_LETTERS = {"A": -1, "B": 1, "N": 0}


@lru_cache(maxsize=4)
def rows_of(path: Path) -> np.ndarray:
    return np.concatenate([chunk.copy() for chunk in stream_chunks(path)])


def real_book(shared_data: Path, which, marks=()) -> Book:
    name, instrument, nanos, _ = which
    one = BookScan(np.array(marks, np.int64))
    for chunk in stream_chunks(shared_data / name):
        one.records(chunk.view(np.int64).reshape(len(chunk), -1), instrument, nanos)
    return one.finish()


def settled_times(rows: np.ndarray) -> np.ndarray:
    """Times after which a book was settled, by the fields of the vendor."""
    closed = (rows["flags"] & F_LAST > 0) & (rows["bid_px_00"] < rows["ask_px_00"])
    return np.unique(rows["ts_event"][closed]).astype(np.int64)


def shown(book: Book, mark: int, side: int) -> list[tuple[int, int]]:
    pairs = zip(book.marks.tick[mark, side].tolist(), book.marks.size[mark, side].tolist(), strict=True)
    return [pair for pair in pairs if pair[1]]


def test_es_book_equals_the_one_built_of_orders(shared_data):
    """Independent of the vendor's book: every order of the hour, at the last settled record of every event."""
    times = settled_times(rows_of(shared_data / ES[0]))
    book = real_book(shared_data, ES, times + 1)
    orders, at, checked = OrderBook(), 0, 0
    events = DBNStore.from_bytes((shared_data / ORDERS).read_bytes()).to_ndarray()
    for event, later in zip(events, [*events["ts_event"][1:].tolist(), 2**62], strict=True):
        price = int(event["price"])
        orders.apply(
            event["action"].decode(), event["side"].decode(), price, int(event["size"]), int(event["order_id"])
        )
        ts = int(event["ts_event"])
        while at < len(times) and times[at] < ts:
            at += 1
        if at < len(times) and times[at] == ts and later > ts:
            for side, letter in ((BID, "B"), (ASK, "A")):
                assert shown(book, at, side) == [(price // ES[2], size) for price, size in orders.levels(letter)]
            checked += 1
    assert checked > 30_000
    assert checked == len(times)


def test_arl_book_equals_the_one_built_of_orders(shared_data):
    """Every record of a stock's session: its own book, from the vendor's and from orders, in steps of a hundredth."""
    with gzip.open(shared_data / "dbn_xnas/ARL_20250717.mbp-10.csv.gz", "rt") as file:
        records = [_record(row) for row in csv.DictReader(file)]
    changes, states = replay(records)
    book = scan(records, sorted({state.ts + 1 for state in states}))
    assert len(book.flow.tick) == len(changes)
    with gzip.open(shared_data / "dbn_xnas/ARL_20250717.mbo.csv.gz", "rt") as file:
        events = [_order(row) for row in csv.DictReader(file)]
    orders, at, checked = OrderBook(), 0, 0
    for event, later in zip(events, [*events[1:], None], strict=True):
        orders.apply(*event[1:])
        if later is not None and later[0] == event[0]:
            continue
        while at < len(book.marks.at_ns) and book.marks.at_ns[at] <= event[0]:
            at += 1
        if at < len(book.marks.at_ns) and book.marks.at_ns[at] == event[0] + 1:
            for side, letter in ((BID, "B"), (ASK, "A")):
                assert shown(book, at, side) == orders.levels(letter)
            checked += 1
    assert checked == len(book.marks.at_ns) > 3000


def _ns(text: str) -> int:
    whole, _, rest = text.rstrip("Z").partition(".")
    return int(np.datetime64(whole, "s").astype(np.int64)) * SECOND + int(rest.ljust(9, "0"))


def _cents(text: str) -> int:
    return round(float(text) * 10_000) if text else 0  # below a dollar, prices have four places


def _order(row: dict[str, str]) -> tuple[int, str, str, int, int, int]:
    return (
        _ns(row["ts_event"]),
        row["action"],
        row["side"],
        _cents(row["price"]),
        int(row["size"]),
        int(row["order_id"]),
    )


def _record(row: dict[str, str]) -> Record:
    sides = []
    for side in ("bid", "ask"):
        levels = [(row[f"{side}_px_{k:02d}"], int(row[f"{side}_sz_{k:02d}"])) for k in range(10)]
        sides.append(tuple((_cents(price), size) for price, size in levels if size))
    assert row["action"] in CODES
    side = _LETTERS[row["side"]]
    return Record(
        _ns(row["ts_event"]), row["action"], int(row["flags"]), side, _cents(row["price"]), int(row["size"]), *sides
    )


@FILES
def test_flow_of_every_price_adds_up_to_the_book(shared_data, which):
    """All changes since the first book, price by price, are the book of each of a hundred moments."""
    times = settled_times(rows_of(shared_data / which[0]))
    marks = times[:: len(times) // 100] + 1
    book = real_book(shared_data, which, marks)
    flow, row = book.flow, 0
    net = flow.added.astype(np.int64) - flow.canceled - flow.filled + flow.scrolled
    there: dict[tuple[int, int], int] = defaultdict(int)
    for mark in range(len(marks)):
        while row < book.marks.row[mark]:
            there[int(flow.side[row]), int(flow.tick[row])] += int(net[row])
            row += 1
        for side in (BID, ASK):
            held = {tick: size for (s, tick), size in there.items() if s == side and size}
            assert held == dict(shown(book, mark, side))


@FILES
def test_flow_of_zones_is_conserved(shared_data, which):
    """Depth at the end - at the start = added - canceled - filled + view: exact, per side, window and zone."""
    times = settled_times(rows_of(shared_data / which[0]))
    rng = np.random.default_rng(1)
    ends = np.sort(rng.choice(times[times > times[0] + 300 * SECOND], 200))
    marks = np.unique([ends, ends - 240 * SECOND])
    book = real_book(shared_data, which, marks)
    row = np.searchsorted(marks, np.stack([ends - 240 * SECOND, ends], axis=1))
    side = rng.integers(0, 2, len(ends))
    level = book.marks.tick[row[:, 1], side, 0] + rng.integers(-5, 6, len(ends))
    zones = Zones.around(level.astype(np.float64), side, 8)
    depth = standing(book.marks, zones, row).depth
    added, canceled, filled, into, out = np.moveaxis(zone_flows(book.flow, zones, ends[:, None], 240 * SECOND), -1, 0)
    assert np.array_equal(depth[:, 1] - depth[:, 0], (added - canceled - filled + into - out)[:, 0])
    assert (added > 0).mean() > 0.9


@FILES
def test_fills_are_what_was_traded(shared_data, which):
    """Never more at a price than traded there. ES matches nearly all; of a stock about half was hidden."""
    name, _, nanos, (low, high) = which
    rows, flow = rows_of(shared_data / name), real_book(shared_data, which).flow
    trades = rows[rows["action"] == b"T"]
    traded: dict[int, int] = defaultdict(int)
    for tick, size in zip((trades["price"] // nanos).tolist(), trades["size"].tolist(), strict=True):
        traded[tick] += size
    filled = {tick: int(flow.filled[flow.tick == tick].sum()) for tick in set(flow.tick.tolist())}
    assert all(lots <= traded.get(tick, 0) for tick, lots in filled.items())
    assert low <= sum(filled.values()) / sum(traded.values()) <= high


def test_the_definition_on_a_real_hour(shared_data):
    """The naive replay of the first records of each file, change by change."""
    for name, instrument, nanos, _ in (ES, FROG):
        rows = rows_of(shared_data / name)[:8000]
        records = [_of_vendor(row, nanos) for row in rows]
        one = BookScan(np.empty(0, np.int64))
        one.records(np.ascontiguousarray(rows).view(np.int64).reshape(len(rows), -1), instrument, nanos)
        flow = one.finish().flow
        found = list(zip(*(values.tolist() for values in flow), strict=True))
        assert found == [tuple(change) for change in replay(records)[0]]


def _of_vendor(row: np.void, nanos: int) -> Record:
    sides = []
    for side in ("bid", "ask"):
        levels = [(int(row[f"{side}_px_{k:02d}"]), int(row[f"{side}_sz_{k:02d}"])) for k in range(10)]
        sides.append(tuple((price // nanos, size) for price, size in levels if size))
    tick, letter = int(row["price"]) // nanos, row["side"].decode()
    size, flags = int(row["size"]), int(row["flags"])
    return Record(int(row["ts_event"]), row["action"].decode(), flags, _LETTERS[letter], tick, size, *sides)
