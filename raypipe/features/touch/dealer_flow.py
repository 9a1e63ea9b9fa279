"""Group dealer_flow: how fast dealers' gamma near the level changes, from the prints of the last minutes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from raypipe.calendar import NS_PER_MINUTE
from raypipe.features.touch.group import Group
from raypipe.features.touch.prints import has_prints, print_moments, prints_book
from raypipe.features.touch.scene import Scene
from raypipe.schema.frames import nullable
from raypipe.schema.spec import Column

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["GROUP"]

_NO_PRINTS = "the session has no option prints"
#: A base flow this small is none, shares per usd and minute.
_NO_FLOW = 1e-6


def _columns() -> tuple[Column, ...]:
    said = {
        "velocity": (
            "Dealers' gamma printed near the level in the last minutes (flow.window_min).",
            "shares / usd / min",
        ),
        "impulse": ("How much faster than over the longer window before (flow.baseline_min).", "1"),
        "accel_1m": ("Flow of the last minute less that of the minute before.", "shares / usd / min"),
        "accel_3m": ("Flow of the last three minutes less that of the three before, per minute.", "shares / usd / min"),
    }
    made: list[Column] = []
    for names in (("velocity",), ("impulse",), ("accel_1m", "accel_3m")):
        own = [Column(f"gamma_flow_{name}", "f64", *said[name], _NO_PRINTS) for name in names]
        made += own
        made += [replace(one, name=one.name.replace("gamma", "dealer"), alias_of=one.name) for one in own]
    made.append(Column("dealer_pressure", "f64", "tanh of the velocity: + where dealers turn short.", "1", _NO_PRINTS))
    made.append(Column("dealer_pressure_accel", "f64", "The same of gamma_flow_accel_1m.", "1", _NO_PRINTS))
    return tuple(made)


def _compute(scene: Scene) -> dict[str, pa.Array]:
    flow, scale = scene.params.flow, scene.params.pressure.flow
    since = _flows(scene)
    velocity, base = since(flow.window_min) / flow.window_min, since(flow.baseline_min) / flow.baseline_min
    calm = np.abs(base) <= _NO_FLOW
    impulse = np.where(calm, 0.0, (velocity - base) / np.where(calm, 1.0, np.abs(base)))
    one, three = since(1), since(3)
    accel_1m = one - (since(2) - one)
    accel_3m = (three - (since(6) - three)) / 3
    made = {
        "gamma_flow_velocity": velocity,
        "gamma_flow_impulse": impulse,
        "gamma_flow_accel_1m": accel_1m,
        "gamma_flow_accel_3m": accel_3m,
        "dealer_pressure": np.tanh(-velocity / scale),
        "dealer_pressure_accel": np.tanh(-accel_1m / scale),
    }
    none = np.full(len(scene), not has_prints(scene))
    return {name: nullable(values + 0.0, null=none) for name, values in made.items()}


def _flows(scene: Scene) -> Callable[[float], np.ndarray]:
    """Minutes -> net dealers' gamma printed near each level in so many minutes before the decision; (touches,)."""
    from raypipe.kernels.fuel import fuel_at

    book, level = prints_book(scene), scene.values("level_price")
    until, near = print_moments(scene, scene.decision_ns), scene.params.fuel.strike_range_usd

    def net_before(moments: np.ndarray) -> np.ndarray:
        return fuel_at(book, moments, level, near, np.inf).net_gamma

    now = net_before(until)
    return lambda minutes: now - net_before(until - round(minutes * NS_PER_MINUTE))


GROUP = Group("dealer_flow", _columns(), params=("flow", "pressure", "fuel", "options"), after=(), compute=_compute)
