"""Synthetic books against replays of their own records, and their planted touches, prints and minutes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.sources.synthetic_books import MINUTE_NS, entry, files, ids, made, ns, records, store

FLAG_LAST = 128
UNDEFINED = 2**63 - 1
LEVELS = [f"{level:02d}" for level in range(10)]


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three sessions over the end of daylight saving time, the last two with books."""
    return made(tmp_path_factory.mktemp("books"), sessions=3, es_sessions=3)


# --- the book -----------------------------------------------------------------------------------


def test_events_are_in_order_and_closed_by_their_last_record(market: Path) -> None:
    found = records(market, "mbp-10", "2025-11-03")
    assert (np.diff(found["ts_recv"].astype(np.int64)) >= 0).all()
    assert (np.diff(found["ts_event"].astype(np.int64)) >= 0).all()
    late = found["ts_recv"].astype(np.int64) - found["ts_event"].astype(np.int64)
    assert late.min() >= 90_000
    assert np.median(late) < 330_000
    event = list(zip(found["instrument_id"].tolist(), found["ts_event"].tolist(), strict=True))
    ends = np.array([a != b for a, b in zip(event, [*event[1:], None], strict=True)])
    last = found["flags"] & FLAG_LAST > 0
    auction = found["ts_event"] < ns("2025-11-02", "18:00:01")
    assert np.array_equal(last[~auction], ends[~auction])
    step = np.diff(found["sequence"].astype(np.int64))
    assert np.array_equal(step, ends[:-1].astype(np.int64))


def test_levels_are_sorted_priced_on_the_grid_and_uncrossed(market: Path) -> None:
    found = records(market, "mbp-10", "2025-11-03", "ESZ5")
    for side, sign in (("bid", -1), ("ask", 1)):
        price = np.stack([found[f"{side}_px_{k}"] for k in LEVELS], axis=1)
        size = np.stack([found[f"{side}_sz_{k}"] for k in LEVELS], axis=1)
        count = np.stack([found[f"{side}_ct_{k}"] for k in LEVELS], axis=1)
        there = price != UNDEFINED
        assert np.array_equal(there, size > 0)
        assert (count <= size).all()
        assert np.array_equal(there, count > 0)
        assert (price[there] % 250_000_000 == 0).all()
        both = there[:, :-1] & there[:, 1:]
        assert (sign * np.diff(price, axis=1)[both] > 0).all()
        assert there[:, -1].mean() > 0.9
    settled = found["flags"] & FLAG_LAST > 0
    assert (found["bid_px_00"] < found["ask_px_00"])[settled].mean() > 0.9999


def test_the_pre_open_book_crosses_and_an_auction_uncrosses_it(market: Path) -> None:
    found = np.concatenate([store(path).to_ndarray() for path in files(market, "mbp-10")[:1]])
    found = found[found["instrument_id"] == ids(market)["ESZ5"]]
    early = found[found["ts_event"] < ns("2025-11-02", "18:00")]
    assert early["action"][0] == b"R"
    assert (early["bid_px_00"] > early["ask_px_00"])[-3:].all()
    first = found[found["ts_event"] >= ns("2025-11-02", "18:00")]
    assert (first["action"][0], first["side"][0]) == (b"T", b"N")


def books_of(found: np.ndarray) -> Iterator[tuple[Any, dict[str, dict[int, int]]]]:
    for row in found:
        sides = {}
        for side in ("bid", "ask"):
            pairs = ((int(row[f"{side}_px_{k}"]), int(row[f"{side}_sz_{k}"])) for k in LEVELS)
            sides[side] = {price: size for price, size in pairs if price != UNDEFINED}
        yield row, sides


def flow_of(found: np.ndarray) -> dict[tuple[int, int], list[int]]:
    """Contracts added, canceled and filled per minute and side, by differences of the books in common view."""
    sums: dict[tuple[int, int], list[int]] = {}
    before: dict[str, dict[int, int]] | None = None
    pending: dict[tuple[str, int], int] = {}
    for row, after in books_of(found):
        if before is not None:
            for side, sign in (("bid", 1), ("ask", -1)):
                old, new = before[side], after[side]
                ends = [max(-sign * p for p in book) for book in (old, new) if len(book) == len(LEVELS)]
                key = int(row["ts_event"]) // MINUTE_NS * MINUTE_NS, sign
                total = sums.setdefault(key, [0, 0, 0])
                for price in old.keys() | new.keys():
                    change = new.get(price, 0) - old.get(price, 0)
                    if ends and -sign * price > min(ends):
                        continue
                    filled = min(max(-change, 0), pending.get((side, price), 0))
                    pending[side, price] = pending.get((side, price), 0) - filled
                    for k, lots in enumerate((max(change, 0), max(-change, 0) - filled, filled)):
                        total[k] += lots
        if row["action"] == b"T":
            key2 = ("ask" if row["side"] == b"B" else "bid", int(row["price"]))
            pending[key2] = pending.get(key2, 0) + int(row["size"])
        elif row["flags"] & FLAG_LAST:
            assert not any(pending.values()), "a trade that the book never showed"
            pending.clear()
        before = after
    return sums


def test_replayed_books_give_the_simulators_counts(market: Path) -> None:
    found = records(market, "mbp-10", "2025-11-03", "ESZ5")
    start, end = ns("2025-11-03", "10:15"), ns("2025-11-03", "10:45")
    near = found[(found["ts_event"] >= start - MINUTE_NS) & (found["ts_event"] < end)]
    expected = {
        (row["start_ns"], row["side"]): [row["added"], row["canceled"], row["filled"]]
        for row in pq.read_table(market / "truth_es_flow.parquet").to_pylist()
    }
    sums = {key: total for key, total in flow_of(near).items() if key[0] >= start}
    assert len(sums) == 60
    for key, total in sums.items():
        assert total == expected[key], key
    assert sum(total[2] for total in sums.values()) > 500


@pytest.mark.parametrize(("name", "side"), [("ES-BREAK", "ask"), ("ES-BOUNCE", "bid")])
def test_the_counts_around_a_planted_touch_are_those_of_the_zone(market: Path, name: str, side: str) -> None:
    found, planted = records(market, "mbp-10", "2025-11-03", "ESZ5"), entry(market, name, "2025-11-03")["expect"]
    touch = planted["decision_ns"]
    near = found[(found["ts_event"] >= touch - 240 * 10**9 - MINUTE_NS) & (found["ts_event"] < touch)]
    level, total = round(planted["level_price_es"] * 4), [0, 0, 0]
    change = near_changes(near, side)
    for ts, tick, *lots in change:
        if ts >= touch - 240 * 10**9 and abs(tick - level) <= 8:
            total = [a + b for a, b in zip(total, lots, strict=True)]
    assert total == [planted[f"barrier_{word}"] for word in ("added", "canceled", "filled")]
    assert planted["barrier_state"] == ("VACUUM" if name == "ES-BREAK" else "WALL")


def near_changes(found: np.ndarray, side: str) -> Iterator[tuple[int, int, int, int, int]]:
    """Changes of one side's levels in common view; a removal at a trade's time and price is a fill."""
    sign, before, traded = (1 if side == "bid" else -1), None, {}
    for row, sides in books_of(found):
        after = sides[side]
        if row["action"] == b"T":
            traded[int(row["ts_event"]), int(row["price"])] = int(row["size"])
        if before is not None:
            ends = [max(-sign * p for p in book) for book in (before, after) if len(book) == len(LEVELS)]
            for price in before.keys() | after.keys():
                change = after.get(price, 0) - before.get(price, 0)
                if change and not (ends and -sign * price > min(ends)):
                    fill = -change if (int(row["ts_event"]), price) in traded and change < 0 else 0
                    cut = max(-change, 0) - fill
                    yield int(row["ts_event"]), price // 250_000_000, max(change, 0), cut, fill
        before = after
