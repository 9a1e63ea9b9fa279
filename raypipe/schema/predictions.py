"""The table of predictions: what the model in use said of every row of the panel, labelled or not."""

from __future__ import annotations

from raypipe.schema.spec import Column, Table
from raypipe.schema.tables import SESSION, SYMBOL

__all__ = ["PREDICTIONS"]

_SILENT = "fewer than half of the bases have a model for the symbol"

PREDICTIONS = Table(
    name="gold/predictions",
    key=("symbol", "session"),
    grain="session",
    columns=(
        SESSION,
        SYMBOL,
        Column("p", "f32", "Calibrated probability of class 1, or the predicted value.", "1", _SILENT, "meta"),
        Column("z", "f32", "What ranks: the stacked prediction before calibration.", "1", _SILENT, "meta"),
        Column("version", "str", "Version of the model in the registry.", role="meta"),
        Column("decision_ns", "i64", "When all features of the row were known.", unit="ns", role="time"),
    ),
    doc="Predictions of the model in use.",
    floats="split",
)
