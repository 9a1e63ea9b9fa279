"""How rows of vendor tables are made up for the family suite: a generator per table, in `SOURCES`.

A new vendor table needs a function with ``@source``.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa

from raypipe.calendar import Session, at_exchange_time, calendar
from raypipe.schema.daily_bars import OHLCV_1D
from raypipe.schema.known import known_ns
from raypipe.schema.spec import Table
from raypipe.schema.tables import DAY_AGGS, MINUTE_AGGS, REFERENCE, SPLITS
from tests.contracts import books, daily

Partitions = Mapping[dt.date | None, pa.Table]
Generate = Callable[[np.random.Generator, Sequence[Session]], dict[dt.date | None, pa.Table]]
Known = Callable[[pa.Table], np.ndarray]

#: In bytewise order; some are for the rules of symbol cleaning.
SYMBOLS = (
    *("AAA", "AGNC", "AGNCP", "BACpK", "BBB", "BF.A", "CCC", "COOP", "EEE", "GGG", "HH", "KKK", "LULU"),
    *("NTEST", "PQR", "SHIP", "SNAP", "TT", "UU", "XYZ.WS", "YY", "ZZZZW", "b"),
)
MINUTE_NS = 60 * 10**9


@dataclass(frozen=True)
class Source:
    """How rows of a vendor table are made, and when each could first be known."""

    table: Table
    generate: Generate
    known_ns: Known


SOURCES: dict[str, Source] = {}


def source(table: Table, known_ns: Known) -> Callable[[Generate], Generate]:
    """Register the generator of a vendor table."""

    def register(generate: Generate) -> Generate:
        SOURCES[table.name] = Source(table, generate, known_ns)
        return generate

    return register


# --- when a row is known -----------------------------------------------------------------------


def end_of_session(table: pa.Table) -> np.ndarray:
    """20:00 exchange time of each row's session."""
    return _by_date(table["session"], lambda date: calendar().session(date).ext_end_ns)


def midnight_of(column: str) -> Known:
    """00:00 exchange time of each row's date in a column."""
    return lambda table: _by_date(table[column], lambda date: at_exchange_time(date, dt.time(0)))


def _by_date(dates: pa.ChunkedArray, moment: Callable[[dt.date], int]) -> np.ndarray:
    encoded = dates.combine_chunks().dictionary_encode()
    return np.array([*map(moment, encoded.dictionary.to_pylist()), 0], dtype=np.int64)[encoded.indices.to_numpy()]


# --- vendor tables -----------------------------------------------------------------------------


def _encoded(names: Iterable[str]) -> pa.DictionaryArray:
    return pa.array(list(names), pa.string()).dictionary_encode()


def _bars(rng: np.random.Generator, start: np.ndarray) -> dict[str, np.ndarray]:
    close = np.round(np.maximum(start * np.exp(rng.normal(0, 0.03, len(start))), 0.05), 2)
    first = np.round(np.maximum(start, 0.05), 2)
    return {
        "open": first,
        "high": np.round(np.maximum(first, close) * 1.02, 2),
        "low": np.round(np.minimum(first, close) * 0.97, 2),
        "close": close,
        "volume": np.round(rng.lognormal(13.5, 1.0, len(start))),
    }


@source(DAY_AGGS, end_of_session)
def day_aggs(rng: np.random.Generator, sessions: Sequence[Session]) -> dict[dt.date | None, pa.Table]:
    """Random walks from 0.5 to 50 dollars; some symbols miss sessions, some appear late or stop early."""
    price = rng.uniform(0.5, 12, len(SYMBOLS)) * np.where(rng.random(len(SYMBOLS)) < 0.2, 4, 1)
    presence = rng.uniform(0.6, 1.0, len(SYMBOLS))
    first, last = rng.integers(0, 8, len(SYMBOLS)), len(sessions) - rng.integers(0, 8, len(SYMBOLS))
    made: dict[dt.date | None, pa.Table] = {}
    for i, session in enumerate(sessions):
        here = np.flatnonzero((rng.random(len(SYMBOLS)) < presence) & (first <= i) & (i <= last))
        bars = _bars(rng, price[here] * np.exp(rng.normal(0, 0.02, len(here))))
        price[here] = bars["close"]
        transactions = pa.array(rng.integers(1, 999, len(here)), pa.int32(), mask=rng.random(len(here)) < 0.1)
        made[session.date] = DAY_AGGS.build(
            {
                "session": pa.array([session.date] * len(here), pa.date32()),
                "symbol": _encoded(SYMBOLS[k] for k in here),
                "window_start_ns": pa.array([session.midnight_ns] * len(here), pa.int64()),
                **{name: pa.array(values) for name, values in bars.items()},
                "transactions": transactions,
            }
        )
    return made


@source(MINUTE_AGGS, lambda table: table["window_start_ns"].to_numpy() + MINUTE_NS)
def minute_aggs(rng: np.random.Generator, sessions: Sequence[Session]) -> dict[dt.date | None, pa.Table]:
    """Up to 60 bars per symbol and session, with holes: spread over every segment, or within 90 minutes of them."""
    return {session.date: _minutes(rng, session) for session in sessions}


def _minutes(rng: np.random.Generator, session: Session) -> pa.Table:
    names, starts, parts = [], [], []
    for name in SYMBOLS:
        count = int(rng.integers(0, 60))
        span = int(rng.choice([90, 16 * 60]))
        minutes = rng.integers(0, 16 * 60 - span + 1) + np.sort(rng.choice(span, count, replace=False))
        names += [name] * count
        starts.append(session.ext_start_ns + minutes.astype(np.int64) * MINUTE_NS)
        parts.append(_bars(rng, rng.uniform(2, 20) * np.exp(np.cumsum(rng.normal(0, 0.01, count)))))
    window = np.concatenate(starts)
    segment = np.where(window < session.open_ns, "pre", np.where(window < session.close_ns, "rth", "post"))
    return MINUTE_AGGS.build(
        {
            "session": pa.array([session.date] * len(window), pa.date32()),
            "symbol": _encoded(names),
            "window_start_ns": pa.array(window),
            **{name: pa.array(np.concatenate([part[name] for part in parts])) for name in parts[0]},
            "transactions": pa.array(rng.integers(1, 50, len(window)), pa.int32()),
            "segment": _encoded(segment),
        }
    )


@source(SPLITS, midnight_of("ex_session"))
def splits(rng: np.random.Generator, sessions: Sequence[Session]) -> dict[dt.date | None, pa.Table]:
    """Several splits per symbol, ex on sessions with and without a bar, and one of a symbol that never trades."""
    dates = [session.date for session in sessions]
    pairs = {(str(rng.choice(SYMBOLS)), dates[int(i)]) for i in rng.integers(0, len(dates), 30)}
    rows = sorted({*pairs, ("GONE", dates[-1])}, key=lambda pair: (pair[0].encode(), pair[1]))
    ratios = rng.choice([2.0, 4.0, 0.1, 1.5, 7.0, 1 / 3], len(rows))
    return {
        None: SPLITS.build(
            {
                "symbol": _encoded(symbol for symbol, _ in rows),
                "ex_session": pa.array([date for _, date in rows], pa.date32()),
                "split_ratio": pa.array(ratios),
            }
        )
    }


@source(REFERENCE, midnight_of("as_of"))
def reference(rng: np.random.Generator, sessions: Sequence[Session]) -> dict[dt.date | None, pa.Table]:
    """A snapshot as old as the first session and three later ones, each without some of the symbols."""
    later = rng.choice(len(sessions) - 1, 3, replace=False) + 1
    dates = [sessions[0].date, *(sessions[int(i)].date for i in sorted(later))]
    rows = [(date, name) for date in dates for name in sorted(SYMBOLS, key=str.encode) if rng.random() < 0.7]
    return {
        None: REFERENCE.build(
            {
                "as_of": pa.array([date for date, _ in rows], pa.date32()),
                "symbol": _encoded(name for _, name in rows),
                "type": _encoded(rng.choice(["CS", "ETF", "PFD", "WARRANT", "UNIT"], len(rows))),
            }
        )
    }


def _register(table: Table, generate: Generate) -> None:
    source(table, lambda rows: known_ns(table, rows))(generate)


source(OHLCV_1D, lambda table: known_ns(OHLCV_1D, table))(partial(daily.ohlcv_1d, SYMBOLS))
for _table, _generate in books.GENERATORS:
    _register(_table, _generate)
