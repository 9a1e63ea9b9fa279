"""Group barrier against its definition, by hand for every state, and under laws of time, mirror and scale."""

from __future__ import annotations

import pyarrow.compute as pc
import pytest

from raypipe.features.touch.barrier import GROUP
from raypipe.features.touch.book_view import session_book
from tests.features.touch import scenes
from tests.features.touch.order_books import OPEN, Made, random_session, touch, without_actions
from tests.reference import book as naive
from tests.reference.book import ASK, BID, F_LAST, Record

SECOND = 10**9
T = OPEN + 600 * SECOND
L = 24_000
BIDS = tuple((L - 1 - k, 100) for k in range(10))
ASKS = tuple((L + k, 100) for k in range(10))
CONSTANT_HERE = {"barrier_fill_method"}


def columns(made: Made, **given):
    return GROUP.compute(made.scene(**given))


def rules(**changes):
    return naive.RULES | changes


def expected(made, method="exact", how=naive.RULES):
    changes, states = made.truth
    return [
        naive.barrier(
            changes, states, r["decision_ns"], r["level_price_es"] * 4, r["direction"] == "UP", OPEN, method, how
        )
        for r in made.rows
    ]


def check(found, wanted):
    assert set(found) == set(wanted[0])
    for name, column in found.items():
        got = column.to_pylist()
        for i, (one, row) in enumerate(zip(got, wanted, strict=True)):
            other = row[name]
            right = one == (pytest.approx(other, rel=1e-9) if isinstance(other, float) else other)
            assert right, f"{name}, row {i}: {one}, expected {other}"


def steady(*events, bids=BIDS, asks=ASKS, before_s=500.0, beat_s=1.0):
    """A book that stands still but for some events (seconds before T, action, what changed) and a last record."""
    records = [Record(T - round(before_s * SECOND), "A", F_LAST, 0, 0, 0, bids, asks)]
    for seconds, action, change in [*events, (beat_s, "A", {})] if beat_s else events:
        last = records[-1]
        record = Record(T - round(seconds * SECOND), action, F_LAST, 0, 0, 0, last.bids, last.asks)
        records.append(record._replace(**change))
    return Made(records, [], [touch(T, L + 4), touch(T, L - 5, up=False)])


def up(made, **given):
    """The touch that rises, as a row of values."""
    return {name: column[0].as_py() for name, column in columns(made, **given).items()}


def asks(*changed):
    """The resting asks with other sizes at some levels: (level, size)."""
    sizes = dict.fromkeys(range(10), 100) | dict(changed)
    return tuple((L + k, size) for k, size in sizes.items() if size)


# --- definition --------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("length", [10**6, 37])
def test_all_columns_follow_their_definitions(seed, length):
    made = random_session(seed, odd=0.15)
    check(columns(made, length=length), expected(made))


@pytest.mark.parametrize("seed", range(3))
def test_a_vendor_without_actions(seed):
    made = without_actions(random_session(seed, 500))
    check(columns(made), expected(made, "volume"))


@pytest.mark.parametrize("seed", range(3))
def test_other_parameters(seed):
    made = random_session(seed, odd=0.0)
    how = rules(window_ns=30 * SECOND, reach=3, gross=True, r_vac=0.9, delta=5, weak=200, least=0.7, age_ns=2 * SECOND)
    how |= {"average_ns": 90 * SECOND, "confident": 50}
    given = {"window_s": 30, "zone_ticks": 3, "state_ratio": "gross", "r_vac": 0.9, "delta_contracts": 5}
    given |= {"weak_depth": 200, "min_visible_frac": 0.7, "max_book_age_s": 2, "avg_window_s": 90}
    found = columns(made, params=scenes.params(barrier=given | {"confidence_contracts": 50}))
    check(found, expected(made, how=how))


def test_the_sample_sees_something():
    made = random_session(1, 1500, touches=120, odd=0.02)
    found = columns(made)
    constant = {name for name, column in found.items() if len(set(column.to_pylist())) < 2}
    assert constant == CONSTANT_HERE
    assert 0 < found["depth_in_zone"].null_count < 120


def test_types_and_nulls_are_as_declared():
    found = columns(random_session(2))
    for column in GROUP.columns:
        assert found[column.name].type == column.arrow.type, column.name
        assert column.nullable or not found[column.name].null_count, column.name


def test_no_touch_and_no_book():
    made = random_session(3, 50)
    assert {len(column) for column in columns(made.replaced(rows=[])).values()} == {0}
    nothing = columns(made.replaced(records=[]))
    assert nothing["book_age_ms"].null_count == nothing["depth_in_zone"].null_count == len(made.rows)
    assert set(nothing["barrier_state"].to_pylist()) == {"NEUTRAL"}
    assert set(nothing["zone_visible_time_frac"].to_pylist()) == {0.0}


# --- the six states ----------------------------------------------------------------------------

PULLED = (50, "C", {"asks": asks((3, 10), (4, 10), (5, 10))})
GREW = (50, "A", {"asks": asks((4, 400))})


@pytest.mark.parametrize(
    ("events", "state"),
    [
        ([PULLED], "VACUUM"),
        ([GREW], "WALL"),
        ([], "NEUTRAL"),
        ([(50, "A", {"asks": asks((4, 160))})], "ABSORPTION"),  # a little more than before
        ([(50, "A", {"asks": asks((4, 160))}), (40, "C", {"asks": ASKS})], "ABSORPTION"),  # came and went
    ],
)
def test_states(events, state):
    assert up(steady(*events))["barrier_state"] == state


def test_consumed():
    """Makers put back half of what takers took: not a vacuum, but it is being eaten."""
    events = [
        (50, "T", {"side": 1, "tick": L, "size": 300, "flags": 0}),
        (50, "C", {"asks": asks((0, 0))}),
        (40, "A", {"asks": asks((0, 150))}),
    ]
    row = up(steady(*events, asks=asks((0, 300))))
    assert (row["barrier_added"], row["barrier_canceled"], row["barrier_filled"]) == (150, 0, 300)
    assert row["barrier_state"] == "CONSUMED"
    pulled = up(steady(events[1], events[2], asks=asks((0, 300))))
    assert pulled["barrier_canceled"] == 300
    assert pulled["barrier_state"] == "VACUUM"


def test_the_gross_ratio_balances():
    """Adds and cancels by the hundred: makers withdrew on balance, which a ratio of gross flows does not see."""
    events = [(60.0 - k, "AC"[k % 2], {"asks": asks((4, 300 if k % 2 == 0 else 100))}) for k in range(20)]
    events.append((30, "C", {"asks": asks((4, 0), (5, 0))}))
    made = steady(*events)
    assert up(made)["barrier_state"] == "VACUUM"
    assert up(made, params=scenes.params(barrier={"state_ratio": "gross"}))["barrier_state"] == "NEUTRAL"


def test_weak():
    few = tuple((L + k, 3) for k in range(10))
    assert up(steady(asks=few))["barrier_state"] == "WEAK"


# --- out of sight ------------------------------------------------------------------------------


def test_a_zone_out_of_sight_is_unknown_not_empty():
    """Trap: the zone lies beyond the tenth level, where the feed shows nothing."""
    made = steady(PULLED).replaced(rows=[touch(T, L + 30)])
    row = up(made)
    assert row["zone_visible_frac"] == 0.0
    assert not row["zone_visible"]
    assert (row["barrier_state"], row["barrier_confidence"]) == ("NEUTRAL", 0.0)
    for name in ("depth_in_zone", "depth_in_zone_start", "wall_ratio", "barrier_delta_liq", "barrier_refill_ratio"):
        assert row[name] is None, name
    assert row["wall_ratio_nonzero"] == row["barrier_delta_liq_nonzero"] == 0


def test_an_old_book_is_unknown_too():
    made = steady(before_s=61, beat_s=0)
    row = up(made)
    assert row["zone_visible"]
    assert row["book_age_ms"] == 61_000
    assert row["depth_in_zone"] is None
    assert up(steady(before_s=60, beat_s=0))["depth_in_zone"] == 1000


def test_depth_that_scrolls_into_view_was_not_added():
    """Trap: the best ask goes, an eleventh level appears. Nothing was added."""
    shifted = (*ASKS[1:], (L + 10, 70))
    row = up(steady((50, "C", {"asks": shifted})))
    assert (row["barrier_added"], row["barrier_canceled"], row["barrier_view_in"]) == (0, 100, 70)
    assert row["depth_in_zone"] - row["depth_in_zone_start"] == 0 - 100 + 70


def test_a_clear_is_no_state():
    """An emptied book is not a book without sellers: the one before counts until it is there again."""
    row = up(steady((50, "R", {"bids": (), "asks": ()}), before_s=55))
    assert row["depth_in_zone"] == 1000
    assert row["barrier_canceled"] == 0


def test_a_crossed_book_is_no_state():
    row = up(steady((50, "A", {"bids": ((L + 2, 5), *BIDS[:9])})))
    assert row["book_age_ms"] == 500_000 - 0
    assert row["depth_in_zone"] is None  # the last state is too old by then
    assert up(steady((50, "A", {"bids": ((L + 2, 5), *BIDS[:9])}), before_s=55))["depth_in_zone"] == 1000


# --- laws --------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_flow_adds_up_over_the_window(seed):
    """Conservation: depth now - at the start = added - canceled - filled + into sight - out of sight, exactly."""
    found = columns(random_session(seed, 1500, touches=60, odd=0.02))
    start, end = found["depth_in_zone_start"], found["depth_in_zone"]
    net = pc.subtract(pc.subtract(found["barrier_added"], found["barrier_canceled"]), found["barrier_filled"])
    net = pc.add(net, pc.subtract(found["barrier_view_in"], found["barrier_view_out"]))
    both = pc.is_valid(pc.add(start, end))
    assert pc.sum(both).as_py() > 5
    assert pc.subtract(end, start).filter(both).equals(net.filter(both))


@pytest.mark.parametrize("seed", range(4))
def test_nothing_at_or_after_the_touch_counts(seed):
    """Everything from the nanosecond of a touch on is replaced: no value of its row changes."""
    made = random_session(seed, 600)
    row = made.rows[len(made.rows) // 2]
    t = row["decision_ns"]
    other = random_session(seed + 77, 300)
    shift = t - other.records[0].ts
    future = [r._replace(ts=r.ts + shift) for r in other.records]
    cut = [r for r in made.records if r.ts < t]
    whole, *others = (
        columns(made.replaced(records=records, rows=[row])) for records in (made.records, cut, [*cut, *future])
    )
    for changed in others:
        assert all(column.equals(changed[name]) for name, column in whole.items())


def test_an_event_that_is_not_closed_is_not_known():
    """Two records of one event at different times: before the second, the first is not there."""
    gone = asks((4, 10))
    early, late = (20, "C", {"asks": gone, "flags": 0}), (10, "C", {"asks": gone})
    made = steady((30, "A", {}), early, late, beat_s=0)
    rows = [touch(T - k * SECOND, L + 4) for k in (15, 10)] + [touch(T - 10 * SECOND + 1, L + 4)]
    assert columns(made.replaced(rows=rows))["barrier_canceled"].to_pylist() == [0, 0, 90]


def test_a_record_on_the_edge_is_in_one_of_two_windows():
    gone = (50, "C", {"asks": asks((4, 10))})
    at = T - 50 * SECOND
    rows = [touch(at, L + 4), touch(at + 240 * SECOND, L + 4), touch(at + 240 * SECOND + 1, L + 4)]
    assert columns(steady(gone, beat_s=0).replaced(rows=rows))["barrier_canceled"].to_pylist() == [0, 90, 0]


def reflect(made: Made) -> Made:
    """Prices mirrored about a level, sides swapped."""

    def flip(levels):
        return tuple((2 * L - tick, size) for tick, size in levels)

    records = [
        r._replace(side=-r.side, tick=2 * L - r.tick, bids=flip(r.asks), asks=flip(r.bids)) for r in made.records
    ]
    rows = [touch(r["decision_ns"], 2 * L - r["level_price_es"] * 4, up=r["direction"] != "UP") for r in made.rows]
    return Made(records, [], rows)


@pytest.mark.parametrize("seed", range(3))
def test_mirrored_sessions_have_the_same_barrier(seed):
    made = random_session(seed, 600)
    one, other = columns(made), columns(reflect(made))
    assert all(column.equals(other[name]) for name, column in one.items())


def test_one_pass_serves_all_groups():
    scene = random_session(1, 100).scene()
    assert session_book(scene) is session_book(scene)


def test_sides():
    """Asks defend against a rise, bids against a fall."""
    found = columns(steady((50, "C", {"bids": BIDS[1:]})))
    assert found["barrier_canceled"].to_pylist() == [0, 100]
    assert (ASK, BID) == (1, 0)
