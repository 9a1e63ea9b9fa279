"""A session's option prints in the form that queries at levels and moments need; shared by the groups that ask."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raypipe.features.touch.scene import Scene
from raypipe.schema.frames import floats

if TYPE_CHECKING:
    from raypipe.kernels.fuel import FuelBook

__all__ = ["has_prints", "print_moments", "prints_book"]

_NS_PER_MS = 1_000_000


def prints_book(scene: Scene) -> FuelBook:
    """The scene's option prints since the open, by strike; made once."""
    book: FuelBook = scene.once("fuel_book", _made)
    return book


def _made(scene: Scene) -> FuelBook:
    from raypipe.kernels.fuel import fuel_book

    greeks = scene.greeks
    return fuel_book(
        greeks["ts_event_ns"].to_numpy(),
        greeks["strike_e3"].to_numpy(),
        pc.equal(greeks["right"].cast(pa.string()), "P").to_numpy(),
        greeks["size"].to_numpy(),
        greeks["aggressor"].to_numpy(),
        floats(greeks["dealer_gamma"]),
        floats(greeks["gross_gamma"]),
        scene.target.open_ns,
    )


def print_moments(scene: Scene, moments: np.ndarray) -> np.ndarray:
    """Up to when prints are known at each moment: earlier by the latency of the feed. int64, same shape."""
    known: np.ndarray = moments - scene.params.options.option_latency_ms * _NS_PER_MS
    return known


def has_prints(scene: Scene) -> bool:
    """Whether the session has option prints at all: a partition of them is never empty."""
    return bool(scene.greeks.num_rows)
