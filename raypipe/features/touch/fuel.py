"""Group fuel: the gamma that customers' prints since the open left dealers with, near the level.

Dealers short of gamma buy what rises and sell what falls, which amplifies a move through the level; dealers long of it
dampen the move. What they held before the open is not known, so this is a flow summed up, not an exposure.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from raypipe.features.touch.group import Group
from raypipe.features.touch.prints import has_prints, print_moments, prints_book
from raypipe.features.touch.scene import Scene
from raypipe.features.touch.words import words
from raypipe.schema.frames import nullable
from raypipe.schema.spec import Column

__all__ = ["GROUP"]

_NO_PRINTS = "the session has no option prints"
_GAMMA = "shares / usd"
_EFFECTS = ("AMPLIFY", "NEUTRAL", "DAMPEN")
_SHORT, _LONG, _UNKNOWN = range(3)
_BUCKETS = ("SHORT_GAMMA", "LONG_GAMMA", "UNKNOWN")


def _column(name: str, doc: str, unit: str = _GAMMA, null: str = _NO_PRINTS, alias_of: str = "") -> Column:
    return Column(name, "f64", doc, unit, null, alias_of=alias_of)


_NET = "Dealers' gamma of prints near the level since the open."
_COLUMNS = (
    _column("gamma_exposure", _NET),
    _column("fuel_net_dealer_gamma", _NET, alias_of="gamma_exposure"),
    _column("fuel_call_gamma", "The same of calls."),
    _column("fuel_put_gamma", "The same of puts."),
    _column("fuel_gross_gamma", "Gamma of prints near the level since the open, whoever took which side."),
    Column("fuel_volume", "i64", "Contracts of prints near the level since the open.", "contracts"),
    Column("fuel_effect", "dict", "AMPLIFY, NEUTRAL or DAMPEN: what dealers' hedging does to a move.", null=_NO_PRINTS),
    Column("gamma_bucket", "dict", "SHORT_GAMMA, LONG_GAMMA, or UNKNOWN without a print that has a side."),
    _column(
        "fuel_call_wall",
        "Near call strike at or above the level with the largest dealers' gamma.",
        "usd",
        "no such strike has enough",
    ),
    _column(
        "fuel_put_wall",
        "Near put strike at or below the level with the largest dealers' gamma.",
        "usd",
        "no such strike has enough",
    ),
    _column("fuel_hvl", "Where net dealers' gamma by strike changes its sign.", "usd", "there is no gamma flip"),
    _column("fuel_confidence", "How much was printed near the level, at most 1.", "1"),
)


def _compute(scene: Scene) -> dict[str, pa.Array]:
    from raypipe.kernels.fuel import effect_of, fuel_at

    params, none = scene.params.fuel, np.full(len(scene), not has_prints(scene))
    moments = print_moments(scene, scene.decision_ns)
    found = fuel_at(
        prints_book(scene), moments, scene.values("level_price"), params.strike_range_usd, params.wall_gamma
    )
    net = found.net_gamma
    bucket = np.where(found.signed == 0, _UNKNOWN, np.where(net < 0, _SHORT, _LONG))
    effect = effect_of(net, params.effect_gamma) + 1
    return {
        "gamma_exposure": nullable(net, null=none),
        "fuel_call_gamma": nullable(found.call_gamma, null=none),
        "fuel_put_gamma": nullable(found.put_gamma, null=none),
        "fuel_gross_gamma": nullable(found.gross_gamma, null=none),
        "fuel_volume": pa.array(found.volume),
        "fuel_effect": words(_EFFECTS, np.where(none, -1, effect)),
        "gamma_bucket": words(_BUCKETS, bucket),
        "fuel_call_wall": nullable(found.call_wall),
        "fuel_put_wall": nullable(found.put_wall),
        "fuel_hvl": nullable(scene.values("gamma_flip")),
        "fuel_confidence": nullable(np.minimum(1.0, found.volume / params.confidence_contracts), null=none),
    }


GROUP = Group("fuel", _COLUMNS, params=("fuel", "options"), after=(), compute=_compute)
