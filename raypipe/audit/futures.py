"""Other futures: inputs as they were known at a moment, with what came later cut off or replaced by noise.

Noise keeps to the schema, so that a family runs on it as on anything else: rows keep their keys and times, values are
those of other rows, prices of a row are scaled by one factor and so stay in order, and nulls stay where they are. Of
series, such as minute bars, some rows are missing too: in every table those of the same symbols and times.
"""

from __future__ import annotations

import datetime as dt
import zlib
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raypipe.calendar import EXCHANGE_TZ, NS_PER_DAY, NS_PER_MINUTE, NS_PER_SECOND, calendar
from raypipe.schema.known import decided_ns, has_labels, is_held, known_by, known_ns
from raypipe.schema.spec import Column, Table

__all__ = ["Cut", "Noise", "scrambled"]

#: Columns that say which row it is, or when: noise leaves them as they are.
_FIXED_ROLES = ("key", "time", "id")
#: Sessions after the moment among which invented news is spread.
_NEWS_SESSIONS = 5
#: Spreads the bits of what it multiplies.
_ODD = np.uint64(0x9E3779B97F4A7C15)


@dataclass(slots=True)
class Cut:
    """The future removed.

    A target that holds labels is made of tables of labels, which are of the future: of those the rows decided by the
    moment stay and only their values are replaced, because without labels there would be no rows to look at.

    Attributes
    ----------
    at_ns
        The moment: rows known later go.
    seed
        Of the random numbers for labels.
    for_labels
        Whether the target holds labels.
    touched
        How many rows were removed or replaced so far.
    """

    at_ns: int
    seed: int
    for_labels: bool = False
    touched: int = 0

    def __call__(self, spec: Table, partition: str, rows: pa.Table) -> pa.Table:
        """The rows that were known."""
        late = known_ns(spec, rows) > self.at_ns
        if not late.any() or is_held(spec):
            return rows
        self.touched += int(late.sum())
        if self.for_labels and has_labels(spec):
            decided = decided_ns(spec, rows) <= self.at_ns
            return scrambled(spec, rows, late, _draws(self.seed, spec, partition)).filter(pa.array(decided))
        return rows.filter(pa.array(~late))


@dataclass(slots=True)
class Noise:
    """The future replaced.

    Attributes
    ----------
    at_ns, seed, touched
        As of `Cut`.
    symbols
        Symbols for which news is invented in tables that are read as a whole, such as a split of tomorrow.
    """

    at_ns: int
    seed: int
    symbols: pa.Array = field(default_factory=lambda: pa.array([], pa.string()))
    touched: int = 0

    def __call__(self, spec: Table, partition: str, rows: pa.Table) -> pa.Table:
        """The rows that were known, and noise."""
        late = known_ns(spec, rows) > self.at_ns
        draws = _draws(self.seed, spec, partition)
        if spec.grain == "once":
            known = rows.filter(pa.array(~late))
            news = _news(spec, rows, self, draws)
            self.touched += news.num_rows
            return _sorted(spec, pa.concat_tables([known, news]))
        if not late.any() or is_held(spec):
            return rows
        self.touched += int(late.sum())
        noisy = scrambled(spec, rows, late, draws)
        if "symbol" not in spec.key or known_by(spec).column not in spec.key or has_labels(spec):
            return noisy
        return noisy.filter(pa.array(~(late & _absent(spec, rows, self.seed))))


def _draws(seed: int, spec: Table, partition: str) -> np.random.Generator:
    return np.random.default_rng([seed, zlib.crc32(f"{spec.name}/{partition}".encode())])


# --- noise ---------------------------------------------------------------------------------------


def scrambled(spec: Table, rows: pa.Table, late: np.ndarray, draws: np.random.Generator) -> pa.Table:
    """Rows of which the late ones have the values of others, scaled.

    Parameters
    ----------
    spec, rows
        The table as declared, and rows of some of its columns.
    late
        Which rows are replaced, bool (rows,).
    draws
        Random numbers.

    Returns
    -------
    A table of the same columns, rows, keys, times and nulls.
    """
    movable = [name for name in rows.column_names if _is_movable(spec[name])]
    order = _shuffled(rows.select(movable), late, draws)
    taken = rows.select(movable).take(pa.array(order))
    factors = {unit: _factors(late, draws) for unit in sorted({spec[name].unit for name in movable})}
    for name in movable:
        column = _noisy(taken[name], late, factors[spec[name].unit], draws)
        rows = rows.set_column(rows.schema.get_field_index(name), rows.schema.field(name), column)
    return rows


def _is_movable(column: Column) -> bool:
    """Values, and words that are labels. Other words and dates say what a row is, such as the segment of a bar."""
    return column.role not in _FIXED_ROLES and (column.role == "label" or column.dtype not in ("dict", "str", "date32"))


def _shuffled(rows: pa.Table, late: np.ndarray, draws: np.random.Generator) -> np.ndarray:
    """Where each row takes its values from: late rows from late rows with nulls in the same columns; int64 (rows,)."""
    order = np.arange(rows.num_rows)
    at = np.flatnonzero(late)
    nulls = [column.is_null().to_numpy()[at] for column in rows.columns if column.null_count]
    pattern = np.unique(np.packbits(nulls, axis=0), axis=1, return_inverse=True)[1] if nulls else np.zeros(len(at))
    order[at[np.lexsort((at, pattern))]] = at[np.lexsort((draws.random(len(at)), pattern))]
    return order


def _factors(late: np.ndarray, draws: np.random.Generator) -> np.ndarray:
    """One factor per row, 1 for those that stay; float64 (rows,)."""
    return np.where(late, np.exp(draws.normal(0.0, 0.5, len(late))), 1.0)


def _noisy(
    values: pa.ChunkedArray, late: np.ndarray, factors: np.ndarray, draws: np.random.Generator
) -> pa.ChunkedArray:
    kind = values.type
    if pa.types.is_floating(kind):
        return pc.multiply(values, pa.array(factors)).cast(kind)
    if pa.types.is_boolean(kind) or pa.types.is_int8(kind):
        # Few values are possible: shuffling flags that are all alike would change nothing.
        seen = np.unique(values.drop_null().to_numpy().astype(np.int8))
        pool = np.array([0, 1]) if np.isin(seen, (0, 1)).all() else seen
        drawn = pa.array(draws.choice(pool, len(values)).astype(np.int8)).cast(kind)
        return pc.if_else(pc.and_(pa.array(late), values.is_valid()), drawn, values)
    return values


def _absent(spec: Table, rows: pa.Table, seed: int) -> np.ndarray:
    """Which rows are missing from a noisy series, bool (rows,): one in eight, by symbol and time alone."""
    encoded = rows["symbol"].cast(pa.string()).combine_chunks().dictionary_encode()
    hashes = [zlib.crc32(f"{seed}/{name}".encode()) for name in encoded.dictionary.to_pylist()]
    symbols = np.array([*hashes, 0], np.uint64)[encoded.indices.to_numpy()]
    minutes = (known_ns(spec, rows) // NS_PER_MINUTE).astype(np.uint64)
    mixed: np.ndarray = (symbols ^ (minutes * _ODD)) * _ODD
    absent: np.ndarray = mixed >> np.uint64(61) == 0
    return absent


# --- news ----------------------------------------------------------------------------------------


def _news(spec: Table, rows: pa.Table, noise: Noise, draws: np.random.Generator) -> pa.Table:
    """Rows that could become known within the next sessions, one per symbol: of the values of others."""
    count = len(noise.symbols) if "symbol" in spec else rows.num_rows
    like = draws.integers(0, rows.num_rows, count) if rows.num_rows else None
    columns = {}
    for column in spec.columns:
        if column.name == known_by(spec).column:
            columns[column.name] = _upcoming(column, noise.at_ns, count, draws)
        elif column.name == "symbol":
            columns[column.name] = noise.symbols.cast(pa.string()).dictionary_encode()
        elif like is not None:
            columns[column.name] = rows[column.name].take(pa.array(like))
        else:
            columns[column.name] = _anything(column, count, draws)
    return spec.build(columns)


def _upcoming(column: Column, at_ns: int, count: int, draws: np.random.Generator) -> pa.Array:
    if column.dtype == "i64":
        return pa.array(at_ns + draws.integers(1, NS_PER_DAY, count))
    today = dt.datetime.fromtimestamp(at_ns // NS_PER_SECOND, EXCHANGE_TZ).date()
    days = calendar().dates(today + dt.timedelta(days=1), today + dt.timedelta(days=21))[:_NEWS_SESSIONS]
    return pa.array([days[i] for i in draws.integers(0, len(days), count)], pa.date32())


def _anything(column: Column, count: int, draws: np.random.Generator) -> pa.Array:
    """Values of a column of which none was ever seen."""
    kind = column.arrow.type
    if column.dtype in ("dict", "str"):
        return pa.array(["news"] * count, pa.string()).cast(kind)
    if column.dtype == "date32":
        return pa.nulls(count, kind)
    return pa.array(draws.integers(2, 8, count)).cast(kind)


def _sorted(spec: Table, rows: pa.Table) -> pa.Table:
    """Rows in key order, text bytewise, the first of each key."""
    rows = rows.unify_dictionaries()
    plain = pa.table({name: _sortable(rows[name]) for name in spec.key})
    order = pc.sort_indices(plain, sort_keys=[(name, "ascending") for name in spec.key])
    return _first_of_each_key(rows.take(order), plain.take(order))


def _first_of_each_key(rows: pa.Table, keys: pa.Table) -> pa.Table:
    """Rows without those that repeat the key of the row before."""
    if rows.num_rows <= 1:
        return rows
    same = np.ones(rows.num_rows - 1, dtype=bool)
    for column in keys.columns:
        same &= pc.equal(column[1:], column[:-1]).to_numpy()
    return rows.filter(pa.array(np.append(True, ~same)))


def _sortable(column: pa.ChunkedArray) -> pa.ChunkedArray:
    text = pa.types.is_dictionary(column.type) or pa.types.is_string(column.type)
    return column.cast(pa.string()).cast(pa.binary()) if text else column
