"""Total returns that begin at the next open: what a decision at a session's close could earn.

Entry is the open of the next session, exit the open ``h`` sessions later. A symbol that is gone by then is sold at the
next open within 5 sessions, else at its last close less what is usually lost when a name leaves the exchange.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from pydantic import Field, field_validator

from raypipe.calendar import calendar
from raypipe.schema.family import Family, Inputs, Params, Read, Result
from raypipe.schema.frames import floats, nullable
from raypipe.schema.spec import Column, Table
from raypipe.schema.tables import SESSION, SYMBOL

__all__ = ["FAMILY", "ForwardLabelsParams", "labels_of", "table"]

_BARS, _UNIVERSE = "silver/bars_1d", "silver/universe"
#: How many sessions an exit waits for a bar.
_PATIENCE = 5
_NEVER = np.iinfo(np.int64).max
_NULL = "there is no bar at the entry, or the exit is not in the data yet"


class ForwardLabelsParams(Params):
    """Which horizons.

    Attributes
    ----------
    horizons
        In sessions, ascending.
    delist_return
        What a holding is worth, against its last close, when its bars end.
    """

    horizons: tuple[int, ...] = (1, 5, 10, 20)
    delist_return: float = Field(-0.30, ge=-1, le=0)

    @field_validator("horizons")
    @classmethod
    def _ascending(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if not value or value[0] < 1 or list(value) != sorted(set(value)):
            msg = f"horizons are {list(value)}; write sessions above 0, ascending"
            raise ValueError(msg)
        return value


def table(params: ForwardLabelsParams) -> Table:
    """The table provided: `gold/forward_labels`, with two columns per horizon."""
    values = [column for horizon in params.horizons for column in _columns(horizon)]
    return Table(
        "gold/forward_labels",
        key=("symbol", "session"),
        grain="symbol",
        columns=(
            SESSION,
            SYMBOL,
            Column("entry_ns", "i64", "Open of the next session: the label's interval begins.", "ns", role="time"),
            *values,
            Column(
                "label_known_ns",
                "i64",
                "Close of the last exit's session: from then on the whole row is known.",
                "ns",
                null="a horizon is not settled",
                role="time",
            ),
        ),
        doc="Total returns of each daily bar from the next open on; never an input of a model.",
        floats="split",
    )


def _columns(horizon: int) -> tuple[Column, Column]:
    value = Column(
        f"forward_return_{horizon}d",
        "f64",
        f"Total return from the next open to the open {horizon} sessions later.",
        unit="1",
        null=_NULL,
        role="label",
    )
    end = f"When forward_return_{horizon}d ends: the label's interval is (entry_ns, this]."
    return value, Column(f"exit_ns_{horizon}d", "i64", end, "ns", null=_NULL, role="label")


def requires(_: ForwardLabelsParams) -> tuple[Read, ...]:
    """The symbol's daily bars; and the sessions of all symbols, because a silence is one only if others traded."""
    return (Read(_BARS, ("session", "symbol", "open", "close", "div_factor")), Read(_UNIVERSE, ("session",)))


def compute(inputs: Inputs, params: ForwardLabelsParams) -> Result:
    """One row per daily bar, sorted by symbol and session."""
    universe = inputs.once(_UNIVERSE)
    spec, bars = table(params), inputs.of_symbols(_BARS)
    parts = [bars[symbol] for symbol in inputs.symbols if symbol in bars and bars[symbol].num_rows]
    if not parts or universe is None or not universe.num_rows:
        return Result(spec.empty())
    last = int(calendar().places(_days(universe)).max())
    return Result(pa.concat_tables([labels_of(rows, last, params) for rows in parts]))


def _days(rows: pa.Table) -> np.ndarray:
    days: np.ndarray = rows["session"].combine_chunks().view(pa.int32()).to_numpy()
    return days


@dataclass(frozen=True)
class _Bars:
    """The bars of one symbol by their places in the calendar; ``last`` is the place where all data end."""

    place: np.ndarray
    open: np.ndarray
    close: np.ndarray
    last: int

    def exits(self, wanted: np.ndarray, delist_return: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Price, time and settlement of exits at the open of each session wanted, by its place.

        Returns
        -------
        price
            float64 (rows,); NaN where the exit is not settled.
        exit_ns, known_ns
            int64 (rows,); the largest number there.
        """
        following = np.searchsorted(self.place, wanted)
        at = np.minimum(following, len(self.place) - 1)
        traded = (following < len(self.place)) & (self.place[at] <= wanted + _PATIENCE)
        gone = ~traded & (wanted + _PATIENCE <= self.last)
        exit_place = np.where(traded, self.place[at], wanted + _PATIENCE)
        opens, closes = calendar().hours_at(exit_place)
        price = np.where(traded, self.open[at], np.nan)
        price[gone] = self.close[following[gone] - 1] * (1.0 + delist_return)
        settled = traded | gone
        exit_ns = np.where(traded, opens, closes)
        return price, np.where(settled, exit_ns, _NEVER), np.where(settled, closes, _NEVER)


def labels_of(rows: pa.Table, last: int, params: ForwardLabelsParams) -> pa.Table:
    """The labels of one symbol's bars (session, symbol, open, close, div_factor); ``last``: where all data end."""
    factor, place = floats(rows["div_factor"]), calendar().places(_days(rows))
    bars = _Bars(place, floats(rows["open"]) * factor, floats(rows["close"]) * factor, last)
    entered = np.append(place[1:] == place[:-1] + 1, False)
    entry = np.where(entered, np.append(bars.open[1:], np.nan), np.nan)
    known = np.zeros(len(place), np.int64)
    columns: dict[str, pa.Array] = {}
    for horizon in params.horizons:
        price, exit_ns, known_ns = bars.exits(place + 1 + horizon, params.delist_return)
        value = price / entry - 1.0
        columns[f"forward_return_{horizon}d"] = nullable(value)
        columns[f"exit_ns_{horizon}d"] = nullable(exit_ns, null=np.isnan(value))
        known = np.maximum(known, np.where(np.isnan(value), _NEVER, known_ns))
    return table(params).build(
        {
            "session": rows["session"],
            "symbol": rows["symbol"],
            "entry_ns": pa.array(calendar().hours_at(place + 1)[0]),
            **columns,
            "label_known_ns": nullable(known, null=known == _NEVER),
        }
    )


FAMILY = Family(
    "forward_labels", 1, ForwardLabelsParams, table, requires, compute, cost=0.01, memory=256 << 20, chunk=64
)
