"""Made-up minute bars over a few sessions for the minute families, as rows for the references and as a market."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from hypothesis import strategies as st

from raypipe.calendar import Session, calendar
from raypipe.features import macd_state
from raypipe.schema.macd import MACD_STATE, MacdParams
from raypipe.schema.tables import MINUTE_AGGS, SPLITS, SYMBOL_TYPES
from tests.contracts.sources import Partitions
from tests.features.bars import Fixed, run, splits_table, types_of
from tests.kernels.minute_bars import COLUMNS, MINUTE, START, symbol_bars

Row = dict[str, Any]
#: The end of daylight saving time lies between the first two; the last one closes early.
DATES = (dt.date(2025, 10, 31), dt.date(2025, 11, 3), dt.date(2025, 11, 26), dt.date(2025, 11, 28))
SYMBOLS = ("A", "AA", "BRK.B", "b")


@dataclass
class Minutes:
    """Bars by (session, symbol), and splits by (symbol, ex-session)."""

    bars: dict[tuple[dt.date, str], list[Row]]
    splits: dict[tuple[str, dt.date], float] = field(default_factory=dict)

    @property
    def dates(self) -> list[dt.date]:
        return sorted({date for date, _ in self.bars})

    @property
    def sessions(self) -> list[Session]:
        return [calendar().session(date) for date in self.dates]

    def symbols(self, date: dt.date) -> list[str]:
        """Symbols of a session, bytewise; those without bars too."""
        return sorted((symbol for day, symbol in self.bars if day == date), key=str.encode)

    def market(self, more: Mapping[str, Partitions] | None = None) -> Fixed:
        """Bronze minutes and splits; every symbol is tradable."""
        tables: dict[str, Partitions] = {
            MINUTE_AGGS.name: {date: self._table(date) for date in self.dates},
            SYMBOL_TYPES.name: {date: types_of(date, self.symbols(date)) for date in self.dates},
        }
        if self.splits:
            tables[SPLITS.name] = {None: splits_table(self.splits)}
        return Fixed(self.sessions, tables={**tables, **(more or {})})

    def _table(self, date: dt.date) -> pa.Table:
        session = calendar().session(date)
        rows = [(symbol, row) for symbol in self.symbols(date) for row in self.bars[date, symbol]]
        starts = np.array([row["start_ns"] for _, row in rows], np.int64)
        segment = np.where(starts < session.open_ns, "pre", np.where(starts < session.close_ns, "rth", "post"))
        return MINUTE_AGGS.build(
            {
                "session": pa.array([date] * len(rows), pa.date32()),
                "symbol": pa.array([symbol for symbol, _ in rows], pa.string()).dictionary_encode(),
                "window_start_ns": pa.array(starts),
                **{name: pa.array([row[name] for _, row in rows], pa.float64()) for name in COLUMNS},
                "transactions": pa.nulls(len(rows), pa.int32()),
                "segment": pa.array(segment.tolist(), pa.string()).dictionary_encode(),
            }
        )

    def carried(self, params: MacdParams) -> Fixed:
        """The same with `silver/macd_state` built, session after session."""
        states: dict[dt.date | None, pa.Table] = {}
        family_params = macd_state.MacdStateParams(macd=params)
        for session in self.sessions:
            market = self.market({MACD_STATE.name: dict(states)})
            states[session.date] = run(macd_state.FAMILY, market, [session], family_params).table
        return self.market({MACD_STATE.name: states})


def session_bars(seed: int, date: dt.date, minutes: Sequence[int], kind: str = "walk") -> list[Row]:
    """Bars at some minutes after 04:00 of a session."""
    shift = calendar().session(date).ext_start_ns - START
    rows = symbol_bars(np.random.default_rng(seed), list(minutes), kind)
    return [{**row, "start_ns": row["start_ns"] + shift} for row in rows]


def _minutes(seed: int, shape: str, count: int) -> list[int]:
    rng = np.random.default_rng(seed)
    first, reach = {"dense": (325, count + count // 4 + 1), "sparse": (0, 960), "regular": (330, 390)}[shape]
    return sorted((first + rng.choice(reach, min(count, reach), replace=False)).tolist())


@st.composite
def samples(draw: st.DrawFn, dates: Sequence[dt.date] = DATES) -> Minutes:
    """Few symbols, with many bars, one, or none; symbols and sessions without bars among them."""
    seed = draw(st.integers(0, 2**31))
    bars: dict[tuple[dt.date, str], list[Row]] = {}
    for i, date in enumerate(dates):
        for j, symbol in enumerate(SYMBOLS):
            count = draw(st.sampled_from([0, 1, 3, 40, 90]))
            shape, kind = draw(st.sampled_from(["dense", "sparse", "regular"])), draw(st.sampled_from(["walk", "ties"]))
            own = seed + 100 * i + j
            bars[date, symbol] = session_bars(own, date, _minutes(own, shape, count), kind)
    keys = st.tuples(st.sampled_from(SYMBOLS), st.sampled_from(list(dates)))
    return Minutes(bars, draw(st.dictionaries(keys, st.sampled_from([2.0, 4.0, 0.1, 7.0]), max_size=4)))


def assert_values(table: pa.Table, expected: Sequence[Row]) -> None:
    """Equal to the last bit, row by row, in every column that the reference states."""
    assert table.num_rows == len(expected)
    for name in expected[0] if expected else ():
        got, wanted = table[name].to_pylist(), [row[name] for row in expected]
        assert got == wanted, f"{name}: {got} is not {wanted}"


def of_session(table: pa.Table, date: dt.date) -> pa.Table:
    """Rows of one session."""
    return table.filter(pc.equal(table["session"], pa.scalar(date, pa.date32())))


__all__ = ["COLUMNS", "DATES", "MINUTE", "Minutes", "assert_values", "of_session", "samples", "session_bars"]
