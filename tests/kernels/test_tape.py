"""The tape at any moments: its definition on made-up trades, single runs by hand, and laws of grids and mirrors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.kernels.tape import SweepRules, near_volumes, slopes, sweeps
from tests.kernels.books import START, prints_of
from tests.reference import tape as naive
from tests.reference.book import Trade

seeds = st.integers(0, 10_000)
MS = 1_000_000
LEVEL = 24_000
WIDTH = 2 * 10**9
BAND = 4.0


def rules(*, gap=100, near=3, prints=2, prices=2, lots=20, turnover=0):
    return SweepRules(gap * MS, near, prints, prices, lots, turnover)


def random_trades(seed: int, count: int = 120) -> list[Trade]:
    rng = np.random.default_rng(seed)
    step = int(rng.choice([20, 60, 150]))
    ts = START + np.cumsum(rng.choice([0, MS, step * MS, 100 * MS, 100 * MS + 1], count, p=[0.2, 0.3, 0.3, 0.1, 0.1]))
    ticks = LEVEL + np.cumsum(rng.integers(-2, 3, count))
    side = rng.choice([1, -1, 0], count, p=[0.5, 0.3, 0.2])
    rows = zip(ts.tolist(), ticks.tolist(), rng.integers(1, 20, count).tolist(), side.tolist(), strict=True)
    return [Trade(*row) for row in rows]


def grids(seed: int, trades: list[Trade], levels: int = 4, moments: int = 20) -> np.ndarray:
    """Moments of some levels; steps of 250 ms, and single ones exactly at trades."""
    rng = np.random.default_rng(seed)
    last = rng.choice([t.ts for t in trades], levels) + rng.integers(-1, 2, levels)
    return last[:, None] - np.arange(moments)[::-1] * 250 * MS


def at(trades, moments, how, level=LEVEL, width=WIDTH):
    place = prints_of(trades), np.full(len(moments), float(level)), np.full(len(moments), BAND)
    return sweeps(*place, np.asarray(moments, np.int64), width, how)


def one(trades, how=None, *, end=None, width=10**12):
    """The sweep of a single window as (side, contracts, prints, ms); None without one."""
    found = at(trades, [[trades[-1].ts + 1 if end is None else end]], how or rules(), width=width)
    if not found.found[0, 0]:
        return None
    return tuple(int(values[0, 0]) for values in (found.side, found.lots, found.prints, found.lasted_ns // MS))


def tape_of(text: str, gap: int = 10) -> list[Trade]:
    """Trades every 10 ms of 10 lots at alternating prices: B, S, N; a space is a pause of a second."""
    made, ts = [], START
    for letter in text:
        ts += 1000 * MS if letter == " " else gap * MS
        if letter != " ":
            made.append(Trade(ts, LEVEL + len(made) % 2, 10, {"B": 1, "S": -1, "N": 0}[letter]))
    return made


@given(seeds)
def test_volumes_equal_the_definition_at_every_moment(seed):
    trades = random_trades(seed)
    moments = grids(seed, trades)
    level = LEVEL + np.array([0.0, 1.4, -2.5, 30.0])
    found = near_volumes(prints_of(trades), level, np.full(4, BAND), moments, WIDTH)
    for k, row in enumerate(moments.tolist()):
        for j, t in enumerate(row):
            window = naive.within(trades, t - WIDTH, t)
            near = [trade for trade in window if abs(trade.tick - level[k]) <= BAND]
            assert tuple(int(v[k, j]) for v in found) == (*naive.volumes(near), len(window))


@given(seeds)
def test_slopes_equal_the_definition(seed):
    trades = random_trades(seed, 60)
    moments = grids(seed, trades, 3, 6)
    found = slopes(prints_of(trades), moments, WIDTH)
    wanted = [[4 * naive.slope(naive.within(trades, t - WIDTH, t)) for t in row] for row in moments.tolist()]
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-9)


@given(seeds, st.integers(1, 4), st.integers(1, 60), st.sampled_from([1, 2, 3]))
def test_sweeps_equal_the_definition_at_every_moment(seed, prints, lots, prices):
    trades = random_trades(seed)
    moments = grids(seed, trades)
    how = rules(prints=prints, lots=lots, prices=prices, turnover=LEVEL * 30)
    words = {"prints": prints, "contracts": lots, "prices": prices, "notional": LEVEL * 30 * 12.5}
    found = at(trades, moments, how)
    for k, row in enumerate(moments.tolist()):
        for j, t in enumerate(row):
            near = [x for x in naive.within(trades, t - WIDTH, t) if abs(x.tick - LEVEL) <= BAND]
            want = naive.sweep(near, naive.RULES | words)
            got = [
                values[k, j].item()
                for values in (found.side, found.turnover, found.lots, found.prints, found.lasted_ns)
            ]
            assert found.found[k, j] == (want is not None)
            if want is None:
                assert got == [0, 0, 0, 0, 0]
            else:
                assert got == [want.side, want.notional / 12.5, *want[2:]]


@given(seeds)
def test_a_moment_is_the_same_alone_and_in_a_grid(seed):
    trades = random_trades(seed)
    moments = grids(seed, trades)
    whole = at(trades, moments, rules())
    alone = at(trades, moments[:, -1:], rules())
    for one_by_one, gridded in zip(alone, whole, strict=True):
        assert np.array_equal(one_by_one[:, 0], gridded[:, -1])


@given(seeds, st.integers(0, 119))
def test_what_is_not_before_the_moment_does_not_count(seed, cut):
    trades = random_trades(seed)
    t = trades[cut].ts
    before = [trade for trade in trades if trade.ts < t]
    moments = np.array([[t - 250 * MS, t]])
    args = np.array([float(LEVEL)]), np.array([BAND]), moments, WIDTH
    for how in (lambda p: near_volumes(p, *args), lambda p: sweeps(p, *args, rules())):
        assert all(np.array_equal(a, b) for a, b in zip(how(prints_of(trades)), how(prints_of(before)), strict=True))
    assert np.array_equal(slopes(prints_of(trades), moments, WIDTH), slopes(prints_of(before), moments, WIDTH))


@given(seeds)
def test_mirrored_tapes(seed):
    trades = random_trades(seed)
    mirrored = [Trade(t.ts, 2 * LEVEL - t.tick, t.size, -t.side) for t in trades]
    moments = grids(seed, trades)
    found, other = at(trades, moments, rules(turnover=0)), at(mirrored, moments, rules(turnover=0))
    assert np.array_equal(found.found, other.found)
    place = np.full(4, float(LEVEL)), np.full(4, BAND), moments, WIDTH
    one_way, other_way = near_volumes(prints_of(trades), *place), near_volumes(prints_of(mirrored), *place)
    assert np.array_equal(one_way.buy, other_way.sell)
    assert np.array_equal(one_way.unsided, other_way.unsided)
    turned = -slopes(prints_of(mirrored), moments, WIDTH)
    np.testing.assert_allclose(slopes(prints_of(trades), moments, WIDTH), turned, rtol=1e-12, atol=1e-12)


# --- by hand -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("BBB", (1, 30, 3, 20)),
        ("SSS", (-1, 30, 3, 20)),
        ("NNN", (0, 30, 3, 20)),
        ("BNB", (1, 30, 3, 20)),
        ("NBS", (1, 20, 2, 10)),  # the first N goes with what follows it
        ("BNNSS", (1, 30, 3, 20)),  # and these with what was before
        ("BBSS", (-1, 20, 2, 10)),  # equals: the latest
        ("BBBSS", (1, 30, 3, 20)),
        ("BSBS", None),
        ("BB BB", (1, 20, 2, 10)),
        ("BB", None),  # three prints near the level at least
        ("B B B", None),
    ],
)
def test_runs(text, wanted):
    assert one(tape_of(text)) == wanted


def test_a_busy_tape_is_never_one_sided_and_is_swept_all_the_same():
    trades = tape_of("SBSBSB" + "BBBBBBBB" + "SBSBSB")
    assert one(trades, rules(lots=50))[:3] == (1, 90, 9)


def test_gaps_are_inclusive():
    trades = [Trade(START + k * 100 * MS, LEVEL + k % 2, 10, 1) for k in range(3)]
    assert one(trades)[:3] == (1, 30, 3)
    late = [t._replace(ts=t.ts + k) for k, t in enumerate(trades)]
    assert one(late) is None


def test_windows_cut_runs_at_both_ends():
    trades = tape_of("BBBBBB")
    assert one(trades, end=trades[4].ts)[:3] == (1, 40, 4)
    assert one(trades, end=trades[5].ts, width=30 * MS)[:3] == (1, 30, 3)  # its start included, its end not


def test_distinct_prices_count_not_their_span():
    trades = [Trade(START + k * MS, LEVEL + 3 * (k % 2), 10, 1) for k in range(6)]
    assert one(trades, rules(prices=2)) is not None
    assert one(trades, rules(prices=3)) is None


def test_no_slope_of_one_instant():
    trades = [Trade(START, LEVEL + k, 1, 1) for k in range(3)]
    assert slopes(prints_of(trades), np.array([START, START + 1, START + 2]), WIDTH).tolist() == [0.0, 0.0, 0.0]


def test_nothing_traded_and_nothing_asked():
    empty, level = prints_of([]), np.array([float(LEVEL)])
    moments = np.array([[START]])
    assert not at([], moments, rules()).found.any()
    assert near_volumes(empty, level, level, moments, WIDTH).trades.tolist() == [[0]]
    assert slopes(empty, moments, WIDTH).tolist() == [[0.0]]
    nobody = np.empty((0, 3), np.int64)
    assert sweeps(empty, level[:0], level[:0], nobody, WIDTH, rules()).found.shape == (0, 3)
