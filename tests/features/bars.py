"""Made-up day bars for the day-level families, as rows for the references and as a market for the library."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from hypothesis import settings
from hypothesis import strategies as st

from raypipe.calendar import Session, calendar
from raypipe.features import daily
from raypipe.schema.family import Family, Params, Result
from raypipe.schema.tables import DAY_AGGS, SPLITS, SYMBOL_TYPES
from tests.contracts.market import Market, read
from tests.contracts.sources import Partitions

Row = dict[str, Any]
#: Around a new year inside an ISO week, three holidays, an early close and a day of mourning.
FIRST, LAST = dt.date(2024, 12, 19), dt.date(2025, 1, 31)


@dataclass
class Fixed(Market):
    """A market of given tables."""

    tables: dict[str, Partitions] | None = None

    def _make(self, name: str) -> Partitions:
        return (self.tables or {}).get(name, {})


@dataclass(frozen=True)
class Sample:
    """Bars, splits and the sessions that the lake holds."""

    sessions: tuple[Session, ...]
    bars: tuple[Row, ...]
    splits: dict[tuple[str, dt.date], float]
    held: frozenset[dt.date]

    @property
    def dates(self) -> list[dt.date]:
        return [session.date for session in self.sessions]

    @property
    def targets(self) -> list[Session]:
        return [session for session in self.sessions if session.date in self.held]

    def market(self, *, with_splits: bool = True) -> Market:
        """Bronze tables; every symbol is tradable."""
        by_date = day_tables(self.bars, self.held)
        types = {date: types_of(date, table["symbol"].to_pylist()) for date, table in by_date.items()}
        tables: dict[str, Partitions] = {DAY_AGGS.name: by_date, SYMBOL_TYPES.name: types}
        if with_splits:
            tables[SPLITS.name] = {None: splits_table(self.splits)}
        return Fixed(self.sessions, tables=tables)

    def with_daily(self, params: Params | None = None) -> Market:
        """The same with `silver/daily` built."""
        market = self.market()
        built = run(daily.FAMILY, market, self.targets, params).table
        parts = {date: built.filter(pa.compute.equal(built["session"], date)) for date in sorted(self.held)}
        return Fixed(self.sessions, tables={**market.tables, daily.DAILY.name: parts})


def run(family: Family, market: Market, targets: Sequence[Session], params: Params | None = None) -> Result:
    """Build the targets at once from just what the family requires."""
    params = params or family.params()
    return family.compute(read(market, family, params, targets), params)


def day_tables(bars: Iterable[Row], held: Collection[dt.date]) -> dict[dt.date, pa.Table]:
    """`bronze/day_aggs` by session, rows sorted by symbol."""
    by_date: dict[dt.date, list[Row]] = {date: [] for date in sorted(held)}
    for bar in sorted(bars, key=lambda bar: bar["symbol"].encode()):
        by_date[bar["session"]].append(bar)
    return {date: _day_table(date, rows) for date, rows in by_date.items()}


def _day_table(date: dt.date, rows: list[Row]) -> pa.Table:
    columns = {name: [row[name] for row in rows] for name in ("open", "high", "low", "close", "volume")}
    return DAY_AGGS.build(
        {
            "session": pa.array([date] * len(rows), pa.date32()),
            "symbol": pa.array([row["symbol"] for row in rows], pa.string()).dictionary_encode(),
            "window_start_ns": pa.array([calendar().session(date).midnight_ns] * len(rows), pa.int64()),
            **{name: pa.array(values, pa.float64()) for name, values in columns.items()},
            "transactions": pa.array([row["transactions"] for row in rows], pa.int32()),
        }
    )


def types_of(date: dt.date, symbols: Sequence[str], tradable: Collection[str] | None = None) -> pa.Table:
    """`silver/symbol_types` of one session; all are tradable unless said."""
    kept = [tradable is None or symbol in tradable for symbol in symbols]
    words = {"type": ["CS"] * len(symbols), "source": ["reference"] * len(symbols)}
    return SYMBOL_TYPES.build(
        {
            "session": pa.array([date] * len(symbols), pa.date32()),
            "symbol": pa.array(symbols, pa.string()).dictionary_encode(),
            **{name: pa.array(values, pa.string()).dictionary_encode() for name, values in words.items()},
            "reason": pa.array([None if keep else "odd" for keep in kept], pa.string()).dictionary_encode(),
            "tradable": pa.array(kept, pa.bool_()),
            "available_ns": pa.array([0] * len(symbols), pa.int64()),
        }
    )


def splits_table(splits: dict[tuple[str, dt.date], float]) -> pa.Table:
    """`bronze/splits`."""
    keys = sorted(splits, key=lambda key: (key[0].encode(), key[1]))
    return SPLITS.build(
        {
            "symbol": pa.array([symbol for symbol, _ in keys], pa.string()).dictionary_encode(),
            "ex_session": pa.array([date for _, date in keys], pa.date32()),
            "split_ratio": pa.array([splits[key] for key in keys], pa.float64()),
        }
    )


def bar(date: dt.date, symbol: str, close: float, **other: Any) -> Row:
    """A bar that is flat at its close unless said otherwise."""
    flat = dict.fromkeys(("open", "high", "low", "close"), close)
    return {"session": date, "symbol": symbol, **flat, "volume": 1000.0, "transactions": 10, **other}


prices = st.integers(1, 100_000).map(lambda cents: cents / 100)
ratios = st.sampled_from([2.0, 4.0, 7.0, 1.5, 0.1, 1 / 3, 0.05])


def _made(date: dt.date, symbol: str, drawn: tuple[list[float], bool, float, int | None]) -> Row:
    values, falls, volume, transactions = drawn
    low, first, last, high = sorted(values)
    first, last = (last, first) if falls else (first, last)
    return bar(date, symbol, last, open=first, high=high, low=low, volume=volume, transactions=transactions)


_values = st.tuples(
    st.lists(prices, min_size=4, max_size=4),
    st.booleans(),
    st.one_of(st.integers(0, 10**9).map(float), st.floats(0, 1e7).map(lambda shares: round(shares, 6))),
    st.one_of(st.none(), st.integers(1, 10**6)),
)
_names = st.lists(st.sampled_from(["A", "AA", "B", "Ba", "b", "BRK.B"]), min_size=1, max_size=4, unique=True)
#: Where rows are: dense, thin, or one alone.
_places = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 15)), max_size=25, unique=True)


#: Markets cost more to draw, and to compute by the definition, than the inputs of kernels: fewer of them.
FEWER = settings(max_examples=40)


@st.composite
def samples(draw: st.DrawFn) -> Sample:
    """A few symbols over a few weeks: gaps, symbols of one row, sessions without rows or missing, splits anywhere."""
    start = draw(st.integers(0, 10))
    sessions = calendar().between(FIRST, LAST)[start : start + draw(st.integers(1, 16))]
    holes = draw(st.sets(st.integers(0, 15), max_size=2)) - {len(sessions) - 1}
    held = [session.date for i, session in enumerate(sessions) if i not in holes]
    names = draw(_names)
    keys = {(held[place % len(held)], names[name % len(names)]) for name, place in draw(_places)}
    drawn = draw(st.lists(_values, min_size=len(keys), max_size=len(keys)))
    rows = tuple(_made(*key, values) for key, values in zip(sorted(keys), drawn, strict=True))
    split_keys = st.tuples(st.sampled_from([*names, "GONE"]), st.sampled_from([session.date for session in sessions]))
    splits = draw(st.dictionaries(split_keys, ratios, max_size=6))
    return Sample(tuple(sessions), rows, splits, frozenset(held))


def assert_rows(table: pa.Table, expected: Sequence[Row]) -> None:
    """Equal to the last bit, in every column that the reference states."""
    columns = list(expected[0]) if expected else []
    assert table.num_rows == len(expected)
    assert table.select(columns).to_pylist() == [dict(row) for row in expected]
