"""Group score: how likely book, dealers and tape make a break, now and over the seconds before the touch.

The score is computed anew at every moment of a grid before each touch, with the level held fixed: it is never carried
from one row to the next, so a signal neither latches nor leaks between levels.
"""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa

from raypipe.features.touch.book_view import (
    ABSORPTION,
    CONSUMED,
    NEUTRAL,
    STATES,
    VACUUM,
    WALL,
    WEAK,
    grid_of,
    grid_view,
)
from raypipe.features.touch.group import Group
from raypipe.features.touch.prints import has_prints, print_moments, prints_book
from raypipe.features.touch.scene import Scene
from raypipe.features.touch.tape_view import TapeView, tape_at
from raypipe.features.touch.words import words
from raypipe.schema.frames import nullable
from raypipe.schema.signals import ScoreParams
from raypipe.schema.spec import Column

__all__ = ["GROUP"]

_NO_PRINTS = "the session has no option prints"
_POINTS = "0 to 100"
_SIGNALS = ("BREAK", "REJECT", "CONTESTED", "NEUTRAL")
_BREAK, _REJECT, _CONTESTED, _NONE = range(len(_SIGNALS))
_LEVELS = ("HIGH", "MEDIUM", "LOW")
_SWEPT = 100.0
#: The most that slope and imbalance can add without a sweep, and the slope (points / s) that adds it.
_PART, _FULL_SLOPE = 25.0, 0.5
#: Scores between which neither side of a consumed barrier is winning.
_CONTESTED_FROM, _CONTESTED_TO = 30.0, 70.0

_COLUMNS = (
    Column("liquidity_score", "f64", "100 for a vacuum at the level down to 0 for a wall.", _POINTS),
    Column(
        "hedge_score", "f64", "100 if dealers amplify a move, 50 if neutral, 0 if they dampen.", _POINTS, _NO_PRINTS
    ),
    Column("tape_score", "f64", "100 for a sweep along the break, else by slope and imbalance.", _POINTS),
    Column("break_score_raw", "f64", "The three, weighted.", _POINTS, _NO_PRINTS),
    Column("break_score_smooth", "f64", "Its weighted mean over the seconds before.", _POINTS, _NO_PRINTS),
    Column("signal", "dict", "BREAK, REJECT, CONTESTED or NEUTRAL."),
    Column("confidence", "dict", "HIGH, MEDIUM or LOW: mean of barrier, tape and fuel.", null=_NO_PRINTS),
)


def _liquidity_scores() -> np.ndarray:
    scores = np.zeros(len(STATES))
    scores[[VACUUM, WEAK, CONSUMED, NEUTRAL]] = 100.0, 75.0, 60.0, 50.0
    scores[[WALL, ABSORPTION]] = 0.0
    return scores


def _compute(scene: Scene) -> dict[str, pa.Array]:
    from raypipe.kernels.score import smoothed

    params, grid = scene.params.score, grid_of(scene)
    liquidity = _liquidity_scores()[grid_view(scene).state]
    hedge, tape = _hedge(scene, grid), _tape(scene, tape_at(scene, grid))
    weights = params.weights
    raw = weights.liquidity * liquidity + weights.hedge * hedge + weights.tape * tape
    step = 1 - math.exp(-params.snap_ms / 1000 / params.tau_s)
    return {
        "liquidity_score": pa.array(liquidity[:, -1]),
        "hedge_score": nullable(hedge[:, -1]),
        "tape_score": pa.array(tape[:, -1]),
        "break_score_raw": nullable(raw[:, -1]),
        "break_score_smooth": nullable(smoothed(raw, step)),
        "signal": words(_SIGNALS, _signal(scene, raw)),
        "confidence": words(_LEVELS, _confidence(scene, params)),
    }


def _hedge(scene: Scene, grid: np.ndarray) -> np.ndarray:
    """100, 50 or 0 by the dealers' effect at every moment; NaN in a session without option prints."""
    from raypipe.kernels.fuel import fuel_effect_at

    if not has_prints(scene):
        return np.full(grid.shape, np.nan)
    fuel = scene.params.fuel
    level = np.repeat(scene.values("level_price"), grid.shape[1])
    moments = print_moments(scene, grid.ravel())
    effect = fuel_effect_at(prints_book(scene), moments, level, fuel.strike_range_usd, fuel.effect_gamma)
    scores: np.ndarray = 50.0 - 50.0 * effect.reshape(grid.shape)
    return scores


def _tape(scene: Scene, tape: TapeView) -> np.ndarray:
    """0 to 100 at every moment: a sweep along the break, or slope and imbalance as far as they go along."""
    sign = scene.values("direction_sign")[:, None]
    slope, imbalance = sign * tape.slope_3s, sign * tape.imbalance
    parts = _PART * np.clip(slope / _FULL_SLOPE, 0, 1) + _PART * np.clip(imbalance, 0, 1)
    scores: np.ndarray = np.where(tape.sweeps.found & (tape.sweeps.side == sign), _SWEPT, parts)
    return scores


def _signal(scene: Scene, raw: np.ndarray) -> np.ndarray:
    """Place in `_SIGNALS` of each row."""
    from raypipe.kernels.score import held_above

    params = scene.params.score
    held = round(params.hold_s * 1_000_000_000) // (params.snap_ms * 1_000_000) + 1
    close = scene.values("distance") <= scene.params.touch.touch_usd
    now, traded = raw[:, -1], scene.values("tape_buy_vol") + scene.values("tape_sell_vol")
    contested = (now >= _CONTESTED_FROM) & (now <= _CONTESTED_TO) & (traded >= params.contested_contracts)
    conditions = [
        held_above(raw, params.break_above, held),
        held_above(-raw, -params.reject_below, held) & close,
        contested & (scene.texts("barrier_state") == STATES[CONSUMED]),
    ]
    return np.select(conditions, [_BREAK, _REJECT, _CONTESTED], _NONE)


def _confidence(scene: Scene, params: ScoreParams) -> np.ndarray:
    """Place in `_LEVELS` of each row; -1 without fuel."""
    parts = [scene.values(f"{name}_confidence") for name in ("barrier", "tape", "fuel")]
    mean = np.sum(parts, axis=0) / len(parts)
    return np.where(np.isnan(mean), -1, np.select([mean >= params.high, mean >= params.medium], [0, 1], 2))


GROUP = Group(
    "score", _COLUMNS, ("score", "barrier", "tape", "fuel", "options", "touch"), ("barrier", "tape", "fuel"), _compute
)
