"""Group hierarchy: where the price stands to the pre-market and opening ranges, and how much speaks for the move.

The confluence level is the first of ten patterns that fits; its codes are frozen.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa

from raypipe.calendar import NS_PER_MINUTE
from raypipe.features.touch.group import Group
from raypipe.features.touch.neighbours import CALL_WALL, PUT_WALL, Neighbours
from raypipe.features.touch.scene import Scene
from raypipe.features.touch.words import first_match, words
from raypipe.schema.frames import nullable
from raypipe.schema.spec import Column
from raypipe.schema.warmup import Bars, recent

__all__ = ["BREAKOUT_STATES", "CONFLUENCE_LEVELS", "GROUP"]

#: Meanings of the codes of `breakout_state` and `confluence_level`.
BREAKOUT_STATES = ("INSIDE", "PARTIAL", "ABOVE_ALL", "BELOW_ALL")
CONFLUENCE_LEVELS = (
    *("UNDEFINED", "ULTRA_PREMIUM", "PREMIUM", "STRONG", "MOMENTUM", "EXTENDED", "LATE_REVERSION", "FADING"),
    *("DEVELOPING", "WEAK", "CONSOLIDATION"),
)
_INSIDE, _PARTIAL, _ABOVE_ALL, _BELOW_ALL = range(4)
#: Sessions of volume that a mean needs.
_MIN_SESSIONS = 3

_BOUNDS = ("pm_high", "or_high", "pm_low", "or_low")
_NO_SMA = "no sma_200 or no sma_400"
_NO_VOLUME = "no minute of the session is over, or fewer than three sessions before reach so far"

_COLUMNS = (
    Column("breakout_state", "i8", "0 inside, 1 beyond some bound, 2 above both highs, 3 below both lows.", "1"),
    Column("sma_proximity", "dict", "CLOSE if both averages are near the price, else FAR.", null=_NO_SMA),
    Column("time_period", "dict", "FIRST_HOUR, or REST_OF_DAY."),
    Column("gex_alignment", "i8", "1 if dealers' gamma favours the breakout, -1 if a wall damps it, else 0.", "1"),
    Column("rel_vol_ratio", "f64", "Regular volume so far / its mean at this minute before.", "1", _NO_VOLUME),
    Column("rel_vol_state", "dict", "HIGH, NORMAL or LOW.", null=_NO_VOLUME),
    Column("confluence_level", "i8", "1 most to 9 least speaks for the move, 10 inside, 0 undefined.", "1"),
)


class _Breakout(NamedTuple):
    """Code of the state, and which bounds are broken; (touches,) each."""

    state: np.ndarray
    upper: np.ndarray
    lower: np.ndarray


def _compute(scene: Scene) -> dict[str, pa.Array]:
    params = scene.params.confluence
    breakout = _breakout(scene)
    far = _far_from_averages(scene)
    late = (scene.decision_ns - scene.target.open_ns >= params.first_hour_min * NS_PER_MINUTE).astype(np.int64)
    gex = _gex_alignment(scene, breakout)
    ratio = _relative_volume(scene)
    high = np.where(np.isnan(ratio), -1, first_match([ratio >= params.rel_vol_high, ratio <= params.rel_vol_low], 2))
    return {
        "breakout_state": pa.array(breakout.state.astype(np.int8)),
        "sma_proximity": words(("CLOSE", "FAR"), far),
        "time_period": words(("FIRST_HOUR", "REST_OF_DAY"), late),
        "gex_alignment": pa.array(gex.astype(np.int8)),
        "rel_vol_ratio": nullable(ratio),
        "rel_vol_state": words(("HIGH", "LOW", "NORMAL"), high),
        "confluence_level": pa.array(_level(scene, breakout.state, far, late, gex, high).astype(np.int8)),
    }


def _breakout(scene: Scene) -> _Breakout:
    spot = scene.values("spot")
    pm_high, or_high, pm_low, or_low = (scene.values(name) for name in _BOUNDS)
    there = ~np.isnan(pm_high + or_high + pm_low + or_low)
    above, below = (spot > pm_high, spot > or_high), (spot < pm_low, spot < or_low)
    upper, lower = there & (above[0] | above[1]), there & (below[0] | below[1])
    state = np.where(upper | lower, _PARTIAL, _INSIDE)
    state = np.where(there & above[0] & above[1], _ABOVE_ALL, state)
    return _Breakout(np.where(there & below[0] & below[1], _BELOW_ALL, state), upper, lower)


def _far_from_averages(scene: Scene) -> np.ndarray:
    """0 close to both averages, 1 far from one, -1 if one is missing."""
    spot = scene.values("spot")
    away = np.stack([np.abs(spot - scene.values(name)) / spot for name in ("sma_200", "sma_400")])
    far = ~(away < scene.params.confluence.sma_proximity).all(axis=0)
    return np.where(np.isnan(away).any(axis=0), -1, far.astype(np.int64))


def _gex_alignment(scene: Scene, breakout: _Breakout) -> np.ndarray:
    """Amplified beyond the wall of the broken side, or damped close to it."""
    spot, effect = scene.values("spot"), scene.texts("fuel_effect")
    walls, reach = Neighbours(scene).single, scene.params.confluence.wall_proximity_usd
    up, down = breakout.upper & ~breakout.lower, breakout.lower & ~breakout.upper
    beyond = (up & (spot > walls[CALL_WALL])) | (down & (spot < walls[PUT_WALL]))
    near = (up & (np.abs(spot - walls[CALL_WALL]) < reach)) | (down & (np.abs(spot - walls[PUT_WALL]) < reach))
    alignment: np.ndarray = (beyond & (effect == "AMPLIFY")).astype(np.int64) - (near & (effect == "DAMPEN"))
    return alignment


def _level(
    scene: Scene, state: np.ndarray, far: np.ndarray, late: np.ndarray, gex: np.ndarray, high: np.ndarray
) -> np.ndarray:
    """First pattern that fits, 1 to 10; 0 if something it needs is missing."""
    missing = np.isnan(sum(scene.values(name) for name in _BOUNDS)) | (far < 0) | (high < 0)
    full, partial = (state == _ABOVE_ALL) | (state == _BELOW_ALL), state == _PARTIAL
    close, first, aligned, busy = far == 0, late == 0, gex == 1, high == 0
    patterns = (
        missing,
        full & close & first & aligned & busy,
        full & close & first & aligned,
        full & close & first,
        full & ~close & first & aligned & busy,
        full & ~close & first,
        full & close & ~first & busy,
        full & ~first,
        partial & close & aligned & busy,
        partial,
    )
    return first_match(patterns, len(patterns))


def _relative_volume(scene: Scene) -> np.ndarray:
    """Volume of the completed regular minutes / its mean over the sessions before; NaN where it is not known."""
    minutes = (scene.decision_ns - scene.target.open_ns) // NS_PER_MINUTE
    own = _volume_until(scene.bars, scene.target.open_ns, minutes)
    warm = recent(scene.warm, scene.target, scene.params.session.volume_warmup_sessions)
    total, sessions = np.zeros(len(minutes)), np.zeros(len(minutes))
    for one in warm:
        open_then = minutes * NS_PER_MINUTE <= one.session.close_ns - one.session.open_ns
        total += np.where(open_then, _volume_until(one.bars, one.session.open_ns, minutes), 0)
        sessions += open_then
    known = (minutes > 0) & (sessions >= _MIN_SESSIONS) & (total > 0)
    return np.where(known, own / np.where(known, total / np.maximum(sessions, 1), 1.0), np.nan)


def _volume_until(bars: Bars, open_ns: int, minutes: np.ndarray) -> np.ndarray:
    """Contracts of the first so many regular minutes."""
    running = np.concatenate([[0], np.cumsum(bars.volume)])
    begin = np.searchsorted(bars.start_ns, open_ns)
    end = np.searchsorted(bars.start_ns, open_ns + minutes * NS_PER_MINUTE)
    contracts: np.ndarray = running[end] - running[begin]
    return contracts


GROUP = Group("hierarchy", _COLUMNS, ("confluence", "levels", "session"), ("fuel", "reversion"), _compute)
