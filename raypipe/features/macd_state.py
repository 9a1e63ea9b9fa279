"""Where the MACD recursions stood after each session: what the next one goes on from, if state is carried.

Each partition is made from the one before, so sessions are built in order. Everything else that MACD makes can
then be built in parallel again.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raypipe.calendar import Session
from raypipe.features.macd import Recursion, known_ns, minute_reads, pieces_of, recursions
from raypipe.features.panel import stack
from raypipe.schema.family import Family, Inputs, Params, Read, Result, shared
from raypipe.schema.frames import constant_dictionary, date_array, dictionary_array
from raypipe.schema.macd import MACD_STATE, MacdParams, carried
from raypipe.schema.minutes import Mode
from raypipe.schema.spec import Table

__all__ = ["FAMILY", "MacdStateParams"]

#: Columns of a state, as they are put together.
_VALUES = ("ema_fast", "ema_slow", "signal_ema", "last_close", "bars_n", "last_start_ns", "age_sessions")


class MacdStateParams(Params):
    """Nothing of its own: the recipe of MACD."""

    macd: MacdParams = shared("macd", MacdParams)


def table(_: MacdStateParams) -> Table:
    """The table provided: `silver/macd_state`."""
    return MACD_STATE


def enabled(params: MacdStateParams) -> bool:
    """Only where state is carried."""
    return params.macd.state == "carry"


def requires(params: MacdStateParams) -> tuple[Read, ...]:
    """Closes of the session's minute bars, and the state of the session before."""
    return tuple(minute_reads(params.macd.model_copy(update={"state": "carry"}), "close"))


def compute(inputs: Inputs, params: MacdStateParams) -> Result:
    """One row per mode, timeframe and symbol that traded within ``state_max_age_sessions`` sessions."""
    recipe = params.macd.model_copy(update={"state": "carry"})
    parts = []
    for target in inputs.targets:
        pieces = pieces_of(inputs, target, recipe)
        for mode in recipe.modes:
            for tf in sorted(recipe.timeframes, key=str.encode):
                moved = [_moved(piece) for piece in recursions(pieces, inputs, target, recipe, mode, tf)]
                parts.append(_rows(moved, inputs, target, recipe, (mode, tf)))
    return Result(stack(MACD_STATE, parts))


def _rows(
    pieces: Sequence[pa.Table], inputs: Inputs, target: Session, params: MacdParams, key: tuple[Mode, str]
) -> pa.Table:
    """Recursions that moved in the session, and older ones a session older, by symbol."""
    mode, tf = key
    before = _rested(carried(inputs, target, mode, tf), params.state_max_age_sessions)
    moved = pa.concat_tables([before.slice(0, 0), *pieces])
    rested = before.filter(pc.invert(pc.is_in(before["symbol"], value_set=moved["symbol"].combine_chunks())))
    both = pa.concat_tables([moved, rested]).combine_chunks()
    both = both.take(pc.sort_indices(both["symbol"].cast(pa.binary())))
    count = both.num_rows
    return MACD_STATE.build(
        {
            "session": date_array(target.date, count),
            "mode": constant_dictionary(mode, count),
            "tf": constant_dictionary(tf, count),
            "symbol": dictionary_array(np.arange(count, dtype=np.int32), both["symbol"].combine_chunks()),
            **{name: both[name] for name in _VALUES},
            "available_ns": pa.array(np.full(count, known_ns(target, mode), np.int64)),
        }
    )


def _moved(piece: Recursion) -> pa.Table:
    """States of the symbols that have a bar."""
    traded = piece.traded
    last = piece.bars.offsets[1:][traded] - 1
    values = [
        *(value[traded] for value in piece.series.state),
        piece.bars.start_ns[last],
        np.zeros(len(last), np.int16),
    ]
    return _table(piece.minutes.symbols.filter(pa.array(traded)), values)


def _rested(rows: pa.Table, max_age: int) -> pa.Table:
    """States of the session before, a session older; those that are too old are dropped."""
    aged = rows.filter(pc.less(rows["age_sessions"], max_age))
    values = [aged[name].to_numpy() for name in _VALUES]
    return _table(aged["symbol"].cast(pa.string()).combine_chunks(), [*values[:-1], values[-1] + np.int16(1)])


def _table(symbols: pa.Array, values: list[np.ndarray]) -> pa.Table:
    columns = [pa.array(column, MACD_STATE[name].arrow.type) for name, column in zip(_VALUES, values, strict=True)]
    return pa.table([symbols, *columns], names=["symbol", *_VALUES])


FAMILY = Family(
    "macd_state", 1, MacdStateParams, table, requires, compute, step="macd", cost=0.1, chunk=21, enabled=enabled
)
