"""The symbols' last session before an event's own, and what the tables of whole sessions say of it."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raypipe.calendar import Session, calendar
from raypipe.dataset.columns import JOINED, Plan, timeframes
from raypipe.schema.family import Inputs
from raypipe.schema.frames import floats, nullable
from raypipe.schema.spec import Column
from raypipe.schema.splits import split_ratios

__all__ = ["Past"]


class Past:
    """The last session before, per symbol, and what tables say of it.

    Parameters
    ----------
    inputs, target, plan
        What was read, the session, and the families joined.
    names
        The symbols.
    """

    def __init__(self, inputs: Inputs, target: Session, names: pa.Array, plan: Plan) -> None:
        self._inputs, self._names, self._plan = inputs, names, plan
        dates = calendar()
        self._dates = [dates.offset(target.date, -lag) for lag in range(1, plan.params.max_feature_age_sessions + 1)]
        #: Which of them is each symbol's, -1 for none; and the ratio of the splits since then.
        self._which = np.full(len(names), -1)
        self._ratio = np.ones(len(names))
        since, following = np.ones(len(names)), target
        for i, date in enumerate(self._dates):
            since *= split_ratios(inputs, following, names)
            mine = (self._which < 0) & self._traded(date)
            self._which[mine], self._ratio[mine] = i, since[mine]
            following = dates.session(date)

    def _traded(self, date: dt.date) -> np.ndarray:
        """Which symbols have a row in any of the tables: a lake may lack day or minute files. bool (symbols,)."""
        found = np.zeros(len(self._names), dtype=bool)
        for name in JOINED:
            rows = self._of(name, date)
            if rows is not None:
                found |= pc.is_in(self._names, value_set=_symbols(rows)).to_numpy(zero_copy_only=False)
        return found

    def in_universe(self) -> np.ndarray:
        """Which symbols are in the universe; bool (symbols,)."""
        everybody = self._plan.params.universe == "all"
        inside: np.ndarray = self._rows("filtered")[1] >= 0
        return np.ones(len(inside), dtype=bool) if everybody else inside

    def in_price_range(self) -> np.ndarray:
        """Which symbols' previous close lies in the price range; bool (symbols,)."""
        params = self._plan.params
        if not params.price_filter:
            return np.ones(len(self._names), dtype=bool)
        table, place = self._rows("daily")
        close = np.append(floats(table["close"]), np.nan)[place] / self._ratio
        inside: np.ndarray = (params.price_min <= close) & (close <= params.price_max)
        return inside

    def columns(self, codes: np.ndarray) -> dict[str, pa.Array]:
        """The columns of events of some symbols."""
        none = self._which < 0
        days = np.array([np.datetime64(date, "D").astype(np.int64) for date in self._dates], np.int32)
        found: dict[str, pa.Array] = {
            "prev_session": nullable(days[self._which], null=none).view(pa.date32()),
            "prev_age_sessions": nullable(self._which + 1, pa.int16(), null=none),
        }
        for name in JOINED:
            table, place = self._rows(name)
            rows = table.take(pa.array(place, mask=place < 0))
            found |= {f"prev_{c.name}": self._on_basis(rows[c.name], c) for c in self._plan.previous(name)}
        for tf in timeframes(self._plan.previous("macd")):
            spread = floats(found[f"prev_hist_max__{tf}"]) - floats(found[f"prev_hist_min__{tf}"])
            found[f"prev_hist_range__{tf}"] = nullable(spread)
        symbols = pa.array(codes)
        return {name: values.take(symbols) for name, values in found.items()}

    def _on_basis(self, values: pa.ChunkedArray, column: Column) -> pa.ChunkedArray | pa.Array:
        """Prices and volumes from before a split on the share basis of the event's session."""
        if column.unit not in ("usd", "shares") or (self._ratio == 1.0).all():
            return values
        numbers = floats(values)
        moved = numbers / self._ratio if column.unit == "usd" else numbers * self._ratio
        return nullable(moved).cast(column.arrow.type)

    def _rows(self, name: str) -> tuple[pa.Table, np.ndarray]:
        """Rows of several sessions, and which of them is each symbol's; -1 for none, int64 (symbols,)."""
        place, parts, start = np.full(len(self._names), -1), [self._plan.spec(name).empty()], 0
        for i, date in enumerate(self._dates):
            mine = self._which == i
            rows = self._of(name, date) if mine.any() else None
            if rows is None:
                continue
            here = pc.index_in(self._names, value_set=_symbols(rows)).fill_null(-1).to_numpy()
            place[mine & (here >= 0)] = start + here[mine & (here >= 0)]
            parts.append(rows)
            start += rows.num_rows
        return pa.concat_tables(parts[1:] or parts), place

    def _of(self, name: str, date: dt.date) -> pa.Table | None:
        """The rows of one table and session that count; None if the lake has none."""
        spec = self._plan.spec(name)
        rows = self._inputs.partitions(spec.name).get(date)
        if rows is None or "mode" not in spec:
            return rows
        return rows.filter(pc.equal(rows["mode"].cast(pa.string()), self._plan.macd_mode))


def _symbols(table: pa.Table) -> pa.Array:
    return table["symbol"].cast(pa.string()).combine_chunks()
