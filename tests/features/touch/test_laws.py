"""Laws of the groups that look at bars and levels: mirrored, scaled, cut off and with noise for a future."""

from __future__ import annotations

import dataclasses

import numpy as np
import pyarrow as pa
import pytest

from raypipe.features.touch.group import add_columns
from tests.features.touch.test_groups import OURS, same
from tests.features.touch.walks import TARGET, Walk, random_walk

#: Ticks about which prices are mirrored, and the same in dollars at a ratio of 10.
AXIS, AXIS_USD = 48_000.0, 1_200.0
#: What changes its sign in the mirror, and what its meaning.
SIGNED = (
    *("sma_spread", "sma_200_slope", "sma_400_slope", "sma_200_slope_5bar", "sma_400_slope_5bar"),
    *("mean_reversion_pressure_200", "mean_reversion_pressure_400"),
    *("mean_reversion_velocity_200", "mean_reversion_velocity_400"),
    *("dist_to_sma_200", "dist_to_sma_400", "dist_to_vwap", "spot_to_sma_200", "spot_to_sma_400", "spot_to_vwap"),
    *("distance_signed_atr", "dist_to_sma_200_atr", "dist_to_sma_400_atr"),
)
KEPT = (
    *("is_first_15m", "bars_since_open", "atr", "confluence_count", "confluence_pressure", "confluence_min_distance"),
    *("gex_alignment", "rel_vol_ratio", "time_period", "approach_velocity", "approach_bars", "approach_distance"),
    *("prior_touches", "attempt_index", "attempt_cluster_id", "runway_distance", "runway_quality", "distance_atr"),
    *("confluence_level", "sma_proximity"),
)


def held(walk: Walk) -> Walk:
    """The same with one ratio of 10, and levels that keep their dollars."""
    return dataclasses.replace(walk, rows=[row | {"es_spy_ratio": 10.0} for row in walk.rows])


def mirrored(walk: Walk) -> Walk:
    """Prices p become AXIS - p: highs are lows, calls puts, up down."""

    def bar(one):
        start, opened, high, low, close, volume = one
        return (start, AXIS - opened, AXIS - low, AXIS - high, AXIS - close, volume)

    def usd(value):
        return None if value is None else AXIS_USD - value

    swap = {f"{name}_high": f"{name}_low" for name in ("pm", "or", "session")} | {
        "call_wall": "put_wall",
        "call_wall_decayed": "put_wall_decayed",
    }
    swap |= {b: a for a, b in swap.items()}
    swap |= {name: name for name in ("vwap", "gamma_flip")}
    kinds = {0: 1, 1: 0, 2: 3, 3: 2, 4: 5, 5: 4, 10: 11, 11: 10}
    rows = []
    for row in walk.rows:
        turned = {swap[name]: usd(value) for name, value in row.items() if name in swap}
        kind = kinds.get(row["level_kind"], row["level_kind"])
        rows.append(
            row
            | turned
            | {
                "spot": usd(row["spot"]),
                "level_price": usd(row["level_price"]),
                "distance_signed": -row["distance_signed"],
                "direction": "DOWN" if row["direction"] == "UP" else "UP",
                "direction_sign": -row["direction_sign"],
                "level_kind": kind,
            }
        )
    prints = [(at, 1_200_000 - strike, size) for at, strike, size in walk.prints]
    before = [(session, [bar(one) for one in bars], -shift) for session, bars, shift in walk.before]
    trades = [(at, int(AXIS) - ticks) for at, ticks in walk.trades]
    return dataclasses.replace(
        walk, bars=[bar(one) for one in walk.bars], before=before, trades=trades, prints=prints, rows=rows
    )


def unlike(got: pa.Array, wanted: pa.Array, sign: int = 1) -> list[int]:
    pairs = zip(got.to_pylist(), wanted.to_pylist(), strict=True)
    return [i for i, (a, b) in enumerate(pairs) if not same(a, sign * b if sign < 0 and b is not None else b)]


@pytest.mark.parametrize("seed", range(3))
def test_mirror(seed):
    walk = held(random_walk(seed))
    plain, turned = (add_columns(one.scene(), OURS) for one in (walk, mirrored(walk)))
    for name in SIGNED:
        assert not unlike(turned[name], plain[name], -1), name
    for name in KEPT:
        wrong = unlike(turned[name], plain[name])
        # A share of the price is another one in the mirror: of it only what lies at its edge may move.
        assert len(wrong) <= (0 if name not in {"confluence_level", "sma_proximity"} else len(walk.rows) // 20), name
    states = {0: 0, 1: 1, 2: 3, 3: 2}
    assert turned["breakout_state"].to_pylist() == [states[x] for x in plain["breakout_state"].to_pylist()]
    other = {"UP": "DOWN", "DOWN": "UP"}
    assert turned["runway_direction"].to_pylist() == [other[x] for x in plain["runway_direction"].to_pylist()]
    assert np.allclose(np.add(turned["session_position"], plain["session_position"]), 1.0)


def test_scale():
    """ES and the ratio doubled: dollars stay."""
    walk = random_walk(7)

    def bar(one):
        return (one[0], *(2 * price for price in one[1:5]), one[5])

    doubled = dataclasses.replace(
        walk,
        bars=[bar(one) for one in walk.bars],
        before=[(session, [bar(one) for one in bars], 2 * shift) for session, bars, shift in walk.before],
        trades=[(at, 2 * ticks) for at, ticks in walk.trades],
        rows=[row | {"es_spy_ratio": 2 * row["es_spy_ratio"]} for row in walk.rows],
    )
    plain, scaled = (add_columns(one.scene(), OURS) for one in (walk, doubled))
    for name, column in plain.items():
        assert not unlike(scaled[name], column), name


def known(walk: Walk, n: int) -> Walk:
    """What was known at row n's decision, and the rows up to it."""
    t = walk.rows[n]["decision_ns"]
    return dataclasses.replace(
        walk,
        bars=[bar for bar in walk.bars if bar[0] + 60 * 10**9 <= t],
        trades=[trade for trade in walk.trades if trade[0] < t],
        prints=[one for one in walk.prints if one[0] < t],
        rows=walk.rows[: n + 1],
    )


def noisy(walk: Walk, n: int, rng: np.random.Generator) -> Walk:
    """Everything from row n's decision on is something else."""
    t, past = walk.rows[n]["decision_ns"], known(walk, n)
    later = [bar for bar in walk.bars if bar[0] + 60 * 10**9 > t]
    shuffled = [
        (bar[0], *(price + 50 for price in later[i][1:5]), 9)
        for bar, i in zip(later, rng.permutation(len(later)), strict=True)
    ]
    return dataclasses.replace(
        walk,
        bars=past.bars + shuffled,
        trades=[*past.trades, (t + 1, 20_000)],
        prints=past.prints + [(t, int(k), 500) for k in rng.integers(580_000, 620_000, 50)],
        rows=past.rows + [row | {"level_price": row["level_price"] + 0.01} for row in walk.rows[n + 1 :]],
    )


@pytest.mark.parametrize("seed", range(2))
def test_no_row_looks_beyond_its_decision(seed):
    walk, rng = random_walk(seed), np.random.default_rng(seed)
    whole = add_columns(walk.scene(), OURS)
    for n in (0, 7, 23, len(walk.rows) - 1):
        for other in (known(walk, n), noisy(walk, n, rng)):
            for name, column in add_columns(other.scene(), OURS).items():
                assert column.slice(0, n + 1).to_pylist() == whole[name].slice(0, n + 1).to_pylist(), (name, n)


def test_sessions_before_the_warm_up_do_not_matter():
    walk = random_walk(3, holes=0.0)
    limited = walk.params.model_copy(
        update={"session": walk.params.session.model_copy(update={"volume_warmup_sessions": 4})}
    )
    same_walk = dataclasses.replace(walk, params=limited)
    other = dataclasses.replace(same_walk, before=[(s, [], 0.0) for s, _, _ in walk.before[:3]] + walk.before[3:])
    a, b = (add_columns(one.scene(), OURS) for one in (same_walk, other))
    assert all(a[name].equals(b[name]) for name in a)
    assert TARGET.date not in {session.date for session, _, _ in walk.before}
