"""Levels beside the touched one: what groups of confluence and runway look at.

Single levels come from the level vector and the moving averages, in dollars at the row's ratio. Of ROUND and STRIKE,
which have many levels, only those that matter are looked for, and only if their kind is enabled.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from raypipe.features.touch.scene import Scene
from raypipe.schema.touches import LEVEL_KINDS

__all__ = ["CALL_WALL", "GAMMA_FLIP", "PUT_WALL", "SAME_USD", "SESSION_HIGH", "SESSION_LOW", "VWAP", "Neighbours"]

SESSION_HIGH, SESSION_LOW, VWAP = (LEVEL_KINDS.index(name) for name in ("SESSION_HIGH", "SESSION_LOW", "VWAP"))
ROUND, STRIKE = LEVEL_KINDS.index("ROUND"), LEVEL_KINDS.index("STRIKE")
CALL_WALL, PUT_WALL = LEVEL_KINDS.index("CALL_WALL"), LEVEL_KINDS.index("PUT_WALL")
GAMMA_FLIP = LEVEL_KINDS.index("GAMMA_FLIP")
#: Two prices closer than this are one: they went through different quotients of floats.
SAME_USD = 1e-6


class Neighbours:
    """Levels of a scene's rows, by kind.

    Parameters
    ----------
    scene
        With the moving averages of group reversion.
    """

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._levels = scene.params.levels
        self._level, self._kind = scene.values("level_price"), scene.values("level_kind")

    @cached_property
    def single(self) -> dict[int, np.ndarray]:
        """Price of each kind that has one level, usd, NaN where it has none; float64 (touches,) each.

        Walls are those of `signals.levels.wall_basis`.
        """
        decayed = self._levels.wall_basis == "decayed"
        names = {code: name.lower() for code, name in enumerate(LEVEL_KINDS) if code not in {ROUND, STRIKE}}
        if decayed:
            names |= {CALL_WALL: "call_wall_decayed", PUT_WALL: "put_wall_decayed"}
        return {code: self._scene.values(name) for code, name in names.items()}

    def distances(self) -> dict[int, np.ndarray]:
        """Distance of the nearest other level of each enabled kind, usd, NaN where there is none."""
        found = {
            code: np.where(self._kind == code, np.nan, np.abs(price - self._level))
            for code, price in self.single.items()
            if code in self._levels.kinds
        }
        if ROUND in self._levels.kinds:
            spacing = self._levels.round_spacing_usd
            nearest = np.abs(self._level - np.round(self._level / spacing) * spacing)
            found[ROUND] = np.where(self._kind == ROUND, spacing, nearest)
        if STRIKE in self._levels.kinds:
            away = np.abs(self._strikes - self._level[:, None])
            away[(self._kind == STRIKE)[:, None] & (away < SAME_USD)] = np.nan
            found[STRIKE] = _smallest(away)
        return dict(sorted(found.items()))

    def beyond(self, sign: np.ndarray, gap_usd: float) -> dict[int, np.ndarray]:
        """Price of the next level of each kind more than ``gap_usd`` beyond the touched one, usd; NaN if none.

        Parameters
        ----------
        sign
            1 to look up, -1 to look down; (touches,).
        gap_usd
            Levels not farther than this are the touched one.
        """
        gap = gap_usd + SAME_USD
        found = {
            code: np.where((self._kind != code) & ((price - self._level) * sign > gap), price, np.nan)
            for code, price in self.single.items()
        }
        if ROUND in self._levels.kinds:
            spacing = self._levels.round_spacing_usd
            found[ROUND] = (np.floor((self._level * sign + gap) / spacing) + 1) * spacing * sign
        if STRIKE in self._levels.kinds:
            facing = self._strikes * sign[:, None]
            found[STRIKE] = sign * _smallest(np.where(facing > (self._level * sign + gap)[:, None], facing, np.nan))
        return dict(sorted(found.items()))

    @cached_property
    def _strikes(self) -> np.ndarray:
        """Strikes that are levels at each row, usd, NaN where one is not yet; float64 (touches, strikes)."""
        there = self._scene.strikes.born_ns <= self._scene.decision_ns[:, None]
        return np.where(there, self._scene.strikes.price, np.nan)


def _smallest(away: np.ndarray) -> np.ndarray:
    """Smallest value of each row, NaN if it has none."""
    least: np.ndarray = np.min(np.where(np.isnan(away), np.inf, away), axis=1, initial=np.inf)
    return np.where(np.isinf(least), np.nan, least)
