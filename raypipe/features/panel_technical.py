"""The technical panel: 92 numbers of each daily bar of a symbol, none of them a level of prices or shares.

Prices are total-return prices (price * ``div_factor``), so neither splits nor dividends move a column. Everything is
known at the session's close; the first row that has every column is a symbol's 258th.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from raypipe.features._panel_columns import panel_columns
from raypipe.features.bars_1d import BARS_1D
from raypipe.schema.daily_bars import PRICES
from raypipe.schema.family import Family, Inputs, Params, Read, Result
from raypipe.schema.frames import floats
from raypipe.schema.spec import Table
from raypipe.schema.tables import AVAILABLE_NS, SESSION, SYMBOL

__all__ = ["FAMILY", "PANEL_TECHNICAL", "PanelTechnicalParams"]

PANEL_TECHNICAL = Table(
    "gold/panel_technical",
    key=("symbol", "session"),
    grain="symbol",
    columns=(SESSION, SYMBOL, *panel_columns(), AVAILABLE_NS),
    doc="Scale-free technical columns of each daily bar, on total-return prices.",
    floats="split",
)
_VALUES = PANEL_TECHNICAL.names[2:-1]
_INPUT = (*PRICES, "volume", "div_factor")


class PanelTechnicalParams(Params):
    """The panel has no parameters."""


def table(_: PanelTechnicalParams) -> Table:
    """The table provided: `gold/panel_technical`."""
    return PANEL_TECHNICAL


def requires(_: PanelTechnicalParams) -> tuple[Read, ...]:
    """The symbol's daily bars."""
    return (Read(BARS_1D.name, ("session", "symbol", *_INPUT, "available_ns")),)


def compute(inputs: Inputs, _: PanelTechnicalParams) -> Result:
    """One row per daily bar, sorted by symbol and session."""
    bars = inputs.of_symbols(BARS_1D.name)
    parts = [bars[symbol] for symbol in inputs.symbols if symbol in bars and bars[symbol].num_rows]
    if not parts:
        return Result(PANEL_TECHNICAL.empty())
    return Result(pa.concat_tables([_panel(rows) for rows in parts]))


def _panel(rows: pa.Table) -> pa.Table:
    """The panel of one symbol."""
    from raypipe.kernels._jit import as_input
    from raypipe.kernels.panel import PANEL_COLUMNS, panel

    assert PANEL_COLUMNS == _VALUES
    out = np.empty((len(_VALUES), rows.num_rows), np.float32)
    first, high, low, close, volume, factor = (as_input(floats(rows[name])) for name in _INPUT)
    with np.errstate(divide="ignore", invalid="ignore"):  # what is undefined is null below; compiled code never warns
        panel(first, high, low, close, volume, factor, as_input(np.array([0, rows.num_rows])), out)
    keys = {name: rows[name] for name in ("session", "symbol", "available_ns")}
    return PANEL_TECHNICAL.build({**keys, **dict(zip(_VALUES, _columns(out), strict=True))})


def _columns(values: np.ndarray) -> list[pa.Array]:
    """Rows of an array as float32 columns, null where not finite; one pass for all of them."""
    valid = np.isfinite(values)
    values[~valid] = 0.0
    whole = valid.all(axis=1)
    masks = np.packbits(valid, axis=1, bitorder="little")
    size, kind = values.shape[1], pa.float32()
    return [
        pa.Array.from_buffers(kind, size, [None if full else pa.py_buffer(mask), pa.py_buffer(column)])
        for column, mask, full in zip(values, masks, whole, strict=True)
    ]


FAMILY = Family(
    "panel_technical",
    1,
    PanelTechnicalParams,
    table,
    requires,
    compute,
    step="panel_technical",
    cost=0.01,
    memory=256 << 20,
    chunk=64,
    fuse="symbol",
)
