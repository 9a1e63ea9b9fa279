"""Minute features and MACD side by side: one row per symbol of the minute features, no more and no fewer."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from raypipe.features import macd
from raypipe.features.minute import MINUTE_FEATURES
from raypipe.features.panel import stack
from raypipe.schema.family import Family, Inputs, Params, Read, Result, shared
from raypipe.schema.macd import MacdParams
from raypipe.schema.spec import Column, Table
from raypipe.schema.tables import AVAILABLE_NS

__all__ = ["FAMILY", "JoinParams"]

_MODE = "all"
_NO_ROW = "the symbol has no row of mode all"


class JoinParams(Params):
    """Nothing of its own: the recipe of MACD says which columns there are."""

    macd: MacdParams = shared("macd", MacdParams)


def table(params: JoinParams) -> Table:
    """The table provided: `silver/minute_features_plus_macd`."""
    return Table(
        "silver/minute_features_plus_macd",
        key=("symbol",),
        grain="session",
        columns=(*MINUTE_FEATURES.columns[:-1], *_macd_columns(params), AVAILABLE_NS),
        doc="silver/minute_features with the row of silver/macd_session_features of mode all beside it.",
        floats="split",
    )


def _macd_columns(params: JoinParams) -> tuple[Column, ...]:
    columns = macd.table(params.macd).columns
    return tuple(replace(c, null=c.null or _NO_ROW) for c in columns if c.role == "feature")


def enabled(params: JoinParams) -> bool:
    """Only if MACD is computed over all bars."""
    return _MODE in params.macd.modes


def requires(params: JoinParams) -> tuple[Read, ...]:
    """Both tables of the session."""
    return Read(MINUTE_FEATURES.name), Read(macd.table(params.macd).name)


def compute(inputs: Inputs, params: JoinParams) -> Result:
    """The rows of the minute features, in their order."""
    spec = table(params)
    left = inputs.partitions(MINUTE_FEATURES.name)
    right = inputs.partitions(macd.table(params.macd).name)
    return Result(stack(spec, [_joined(spec, left[t.date], right[t.date]) for t in inputs.targets]))


def _joined(spec: Table, left: pa.Table, right: pa.Table) -> pa.Table:
    rows = right.filter(pc.equal(right["mode"].cast(pa.string()), _MODE))
    names = rows["symbol"].cast(pa.string()).combine_chunks()
    place = pc.index_in(left["symbol"].cast(pa.string()), value_set=names)
    added = [name for name in spec.names if name not in left.schema.names]
    beside = rows.select(added).take(place)
    return spec.build({name: left[name] if name in left.schema.names else beside[name] for name in spec.names})


FAMILY = Family("join", 1, JoinParams, table, requires, compute, cost=0.05, fuse="minute", enabled=enabled)
