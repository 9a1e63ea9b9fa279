"""What models are to predict of each daily bar: directions, returns, and whether moves become larger.

Targets that begin at the next open are told by `gold/forward_labels`. Those that begin at the session's own close are
made of total-return closes here, and only where no bar of their window is missing. A tie is "not up".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from raypipe.calendar import calendar
from raypipe.labels.forward_return import ForwardLabelsParams
from raypipe.schema.family import Family, Inputs, Params, Read, Result, shared
from raypipe.schema.frames import floats, nullable
from raypipe.schema.modeling import TargetParams
from raypipe.schema.spec import Column, Table
from raypipe.schema.tables import SESSION, SYMBOL
from raypipe.schema.targets import TARGETS, TargetSpec

__all__ = ["FAMILY", "TargetsParams", "table", "targets_of"]

_BARS, _UNIVERSE, _FORWARD = "silver/bars_1d", "silver/universe", "gold/forward_labels"
#: Daily returns, the row's own the last, that a row's own past is made of.
_TRAILING = 60
_NEVER = np.iinfo(np.int64).max
_NULL = {
    "open": "there is no bar at the entry, or the exit is not in the data yet",
    "close": "a bar of the window is missing, or fewer sessions are left",
}


class TargetsParams(Params):
    """Nothing of its own: what targets are made of, and the horizons of returns."""

    target: TargetParams = shared("target", TargetParams)
    forward_labels: ForwardLabelsParams = shared("forward_labels", ForwardLabelsParams)

    def tracked(self) -> dict[str, Any]:
        """Nothing: inputs and columns say it all."""
        return {}


def specs(params: TargetsParams) -> tuple[TargetSpec, ...]:
    """The targets, those left out whose horizon the returns do not have."""
    horizons = params.forward_labels.horizons
    return tuple(spec for spec in TARGETS.values() if spec.start == "close" or spec.horizon in horizons)


def table(params: TargetsParams) -> Table:
    """The table provided: `gold/targets`, with two columns per target."""
    return Table(
        "gold/targets",
        key=("symbol", "session"),
        grain="symbol",
        columns=(
            SESSION,
            SYMBOL,
            Column("entry_ns", "i64", "Open of the next session: where labels of returns begin.", "ns", role="time"),
            Column("close_ns", "i64", "Close of the session: where the other labels begin.", "ns", role="time"),
            *(column for spec in specs(params) for column in _columns(spec)),
            Column(
                "label_known_ns",
                "i64",
                "When the windows of all targets are over: from then on the whole row is known.",
                "ns",
                null="a window is not over yet",
                role="time",
            ),
        ),
        doc="What models are to predict of each daily bar; never an input of a model.",
        floats="split",
    )


def _columns(spec: TargetSpec) -> tuple[Column, Column]:
    null = _NULL[spec.start]
    if spec.name in ("vol_regime_20d", "abs_return_1d"):
        null += f", or fewer than {_TRAILING} returns stand before"
    end = f"When {spec.name} ends: the label's interval is ({spec.start_column}, this]."
    return (
        Column(spec.name, "f32", spec.doc, unit="1", null=null, role="label"),
        Column(spec.end_column, "i64", end, "ns", null=null, role="label"),
    )


def requires(params: TargetsParams) -> tuple[Read, ...]:
    """The symbol's closes and returns; and the sessions of all symbols, which say what is over."""
    values = [name for horizon in params.forward_labels.horizons for name in _forward_names(horizon)]
    return (
        Read(_BARS, ("session", "symbol", "close", "div_factor")),
        Read(_FORWARD, ("session", "symbol", "label_known_ns", *values)),
        Read(_UNIVERSE, ("session",)),
    )


def _forward_names(horizon: int) -> tuple[str, str]:
    return f"forward_return_{horizon}d", f"exit_ns_{horizon}d"


def _enabled(params: TargetsParams) -> bool:
    return params.target.bars == _BARS


def compute(inputs: Inputs, params: TargetsParams) -> Result:
    """One row per daily bar, sorted by symbol and session."""
    universe = inputs.once(_UNIVERSE)
    bars, forward = inputs.of_symbols(_BARS), inputs.of_symbols(_FORWARD)
    names = [name for name in inputs.symbols if name in bars and name in forward and bars[name].num_rows]
    if not names or universe is None or not universe.num_rows:
        return Result(table(params).empty())
    last = int(calendar().places(_days(universe)).max())
    return Result(pa.concat_tables([targets_of(bars[name], forward[name], last, params) for name in names]))


def _days(rows: pa.Table) -> np.ndarray:
    days: np.ndarray = rows["session"].combine_chunks().view(pa.int32()).to_numpy()
    return days


def targets_of(bars: pa.Table, forward: pa.Table, last: int, params: TargetsParams) -> pa.Table:
    """The targets of one symbol.

    Parameters
    ----------
    bars
        Columns ``session, symbol, close, div_factor``, sorted by session.
    forward
        Rows of `gold/forward_labels`; a bar that has none there is not settled yet.
    last
        Place in the calendar where all data end.
    params
        Which targets.
    """
    forward = _beside(bars, forward)
    past = _Past(calendar().places(_days(bars)), floats(bars["close"]) * floats(bars["div_factor"]))
    columns: dict[str, Any] = {}
    for spec in specs(params):
        if spec.start == "open":
            value, end = (forward[name] for name in _forward_names(spec.horizon))
            number = floats(value)
            with np.errstate(invalid="ignore"):
                number = np.where(np.isnan(number), np.nan, number > 0) if spec.kind == "class" else number
            columns[spec.name] = nullable(number.astype(np.float32))
            columns[spec.end_column] = end
        else:
            number = past.target(spec)
            ends = calendar().hours_at(past.place + spec.horizon)[1]
            columns[spec.name] = nullable(number.astype(np.float32))
            columns[spec.end_column] = nullable(ends, null=np.isnan(number))
    longest = max(spec.horizon for spec in specs(params) if spec.start == "close")
    over = np.where(past.place + longest <= last, calendar().hours_at(past.place + longest)[1], _NEVER)
    known = np.maximum(over, forward["label_known_ns"].fill_null(_NEVER).to_numpy())
    return table(params).build(
        {
            "session": bars["session"],
            "symbol": bars["symbol"],
            "entry_ns": pa.array(calendar().hours_at(past.place + 1)[0]),
            "close_ns": pa.array(calendar().hours_at(past.place)[1]),
            **columns,
            "label_known_ns": nullable(known, null=known == _NEVER),
        }
    )


def _beside(bars: pa.Table, forward: pa.Table) -> pa.Table:
    """The forward labels of each bar, null where it has none."""
    ours, theirs = _days(bars), _days(forward)
    place = np.searchsorted(theirs, ours)
    there = np.append(theirs, -1)[place] == ours
    return forward.take(pa.array(np.where(there, place, 0), mask=~there))


# --- targets of closes -------------------------------------------------------------------------


@dataclass(frozen=True)
class _Past:
    """Total-return closes of one symbol by their places in the calendar."""

    place: np.ndarray
    close: np.ndarray

    def target(self, spec: TargetSpec) -> np.ndarray:
        """A target that begins at the close, float64 (rows,), NaN where it is undefined."""
        if spec.name == "vol_regime_20d":
            return self._compared(self._deviation(spec.horizon), self._deviation(_TRAILING), spec.horizon)
        if spec.name == "abs_return_1d":
            size = np.abs(self._returns())
            return self._compared(size, _windows(size, _TRAILING, np.median), spec.horizon)
        return self._compared(self.close, self.close, spec.horizon, trailing=0)

    def _returns(self) -> np.ndarray:
        """Logarithmic return of each row, NaN in the first and after a missing bar."""
        found = np.full(len(self.close), np.nan)
        found[1:] = np.diff(np.log(self.close))
        found[1:][np.diff(self.place) != 1] = np.nan
        return found

    def _deviation(self, rows: int) -> np.ndarray:
        return _windows(self._returns(), rows, lambda windows, axis: np.std(windows, axis=axis, ddof=1))

    def _compared(self, later: np.ndarray, now: np.ndarray, horizon: int, trailing: int = _TRAILING) -> np.ndarray:
        """Whether a number ``horizon`` rows on is above one of now, where all bars from the past on are there."""
        count = len(self.place)
        found = np.full(count, np.nan)
        rows = np.arange(trailing, count - horizon)
        whole = self.place[rows + horizon] - self.place[rows - trailing] == horizon + trailing
        rows = rows[whole]
        found[rows] = later[rows + horizon] > now[rows]
        return found


def _windows(values: np.ndarray, rows: int, reduce: Any) -> np.ndarray:
    """A number of the last ``rows`` values at each row, NaN before there are so many."""
    found = np.full(len(values), np.nan)
    if len(values) >= rows:
        found[rows - 1 :] = reduce(np.lib.stride_tricks.sliding_window_view(values, rows), axis=1)
    return found


FAMILY = Family(
    "targets",
    1,
    TargetsParams,
    table,
    requires,
    compute,
    cost=0.01,
    memory=256 << 20,
    chunk=64,
    enabled=_enabled,
)
