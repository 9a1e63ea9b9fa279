"""Mean daily volume of each symbol's last rows, for those who hold a session's volume against it.

A session could look back on its own, but would open thirty partitions to read one number per symbol; here many
sessions look back together, and each later reader opens one partition.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from raypipe.calendar import Session
from raypipe.features.daily import DAILY
from raypipe.features.panel import Panel, known_splits, stack
from raypipe.kernels.splits import basis, mean_of_last
from raypipe.schema.family import Family, Inputs, Params, Read, Result, shared
from raypipe.schema.frames import date_array
from raypipe.schema.minutes import MinuteParams
from raypipe.schema.spec import Column, Table
from raypipe.schema.tables import AVAILABLE_NS, SESSION, SPLITS, SYMBOL

__all__ = ["FAMILY", "VOLUME_MEANS", "VolumeMeansParams"]

VOLUME_MEANS = Table(
    "silver/volume_means",
    key=("symbol",),
    grain="session",
    columns=(
        SESSION,
        SYMBOL,
        Column(
            "mean_volume",
            "f64",
            "Mean daily volume of the last vol_spike_lookback rows, this session's included, on its share basis.",
            unit="shares",
        ),
        AVAILABLE_NS,
    ),
    doc="Symbols with enough rows in the last vol_spike_window_sessions sessions, whether or not they traded in this.",
    floats="split",
)


class VolumeMeansParams(Params):
    """Nothing of its own: how far back minute features look."""

    minute: MinuteParams = shared("minute_features", MinuteParams)

    def tracked(self) -> dict[str, object]:
        """Of the minute features' parameters those that matter here."""
        names = ("vol_spike_lookback", "vol_spike_window_sessions", "adjust")
        return {name: value for name, value in self.minute.tracked().items() if name in names}


def table(_: VolumeMeansParams) -> Table:
    """The table provided: `silver/volume_means`."""
    return VOLUME_MEANS


def requires(params: VolumeMeansParams) -> tuple[Read, ...]:
    """Daily volumes of the window and the splits in it."""
    reads = [Read(DAILY.name, ("symbol", "volume"), before=params.minute.vol_spike_window_sessions - 1)]
    if params.minute.adjust == "splits":
        reads.append(Read(SPLITS.name, optional=True, rows=known_splits))
    return tuple(reads)


def compute(inputs: Inputs, params: VolumeMeansParams) -> Result:
    """One row per symbol that has enough rows, sorted by symbol."""
    before = params.minute.vol_spike_window_sessions - 1
    panel = Panel(DAILY.name, inputs.partitions(DAILY.name), inputs.targets, before)
    volumes, ratios = panel.grid("volume"), panel.split_ratios(inputs.once(SPLITS.name))
    parts = []
    for target in inputs.targets:
        last = panel.row(target.date)
        window = slice(last - before, last + 1)
        mean = mean_of_last(volumes[window] * basis(ratios[window]), params.minute.vol_spike_lookback)
        parts.append(_rows(target, panel, mean))
    return Result(stack(VOLUME_MEANS, parts))


def _rows(target: Session, panel: Panel, mean: np.ndarray) -> pa.Table:
    there = np.flatnonzero(~np.isnan(mean)).astype(np.int32)
    return VOLUME_MEANS.build(
        {
            "session": date_array(target.date, len(there)),
            "symbol": panel.symbols(there),
            "mean_volume": pa.array(mean[there]),
            "available_ns": pa.array(np.full(len(there), target.ext_end_ns, np.int64)),
        }
    )


FAMILY = Family("volume_means", 1, VolumeMeansParams, table, requires, compute, step="minute", cost=0.02, chunk=63)
