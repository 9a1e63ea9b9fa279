"""Daily bars from plain files: Parquet or CSV with a row per symbol and session, whatever vendor they came from.

Columns are told by name: ``session`` or ``date``, ``symbol``, ``open, high, low, close, volume`` and, where the vendor
has them, ``adj_close, dividends, split_ratio, shares_outstanding``. Others are passed over. Values are taken as they
are; what they mean is said by ``ingest.adjustment`` and settled when bars are loaded.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
from dataclasses import dataclass, field
from functools import cached_property
from typing import NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raypipe.calendar import EXCHANGE_TZ, calendar
from raypipe.errors import QuarantineError, SourceError
from raypipe.schema.daily_bars import OHLCV_1D, PRICES
from raypipe.schema.family import Finding
from raypipe.schema.frames import constant_dictionary, floats, nullable
from raypipe.sources.instruments import inflated

__all__ = ["DailyFile", "SymbolBars", "file_kind"]

_NEEDED = (*PRICES, "volume")
_OPTIONAL = ("adj_close", "dividends", "split_ratio", "shares_outstanding")
_NUMBERS = (*_NEEDED, *_OPTIONAL)
_DATES, _SYMBOLS = ("session", "date"), ("symbol", "ticker")
_EPOCH = dt.date(1970, 1, 1)
#: What a price may lie outside of the bar's range: the rounding of adjusted prices.
_ROUNDING = 1e-9
_SAMPLES = 10


def file_kind(name: str) -> str:
    """``csv`` or ``parquet`` by a file's name; empty for any other file."""
    plain = name.lower()
    return next((kind for kind in ("csv", "parquet") if plain.endswith((f".{kind}", f".{kind}.gz"))), "")


@dataclass(frozen=True)
class DailyFile:
    """One file of daily bars.

    Parameters
    ----------
    data
        Its bytes.
    name
        Its name, for the suffix and for errors.

    Raises
    ------
    SourceError
        From any of its methods: naming the row (1 = the first below the header) for a missing column, a value that is
        no number, a date that is no session or has a clock time, a symbol that is missing.
    """

    data: bytes = field(repr=False)
    name: str

    @cached_property
    def _columns(self) -> dict[str, pa.Array]:
        readers = {"csv": _read_csv, "parquet": _read_parquet}
        kind = file_kind(self.name)
        if kind not in readers:
            self._refuse("the suffix says nothing about the format", hint="give a .csv, .csv.gz or .parquet file")
        try:
            found = readers[kind](inflated(self.data, self.name))
        except (pa.ArrowInvalid, pa.ArrowKeyError, OSError, UnicodeDecodeError) as error:
            self._refuse(f"cannot be read as {kind}: {error}")
        for names in (_DATES, _SYMBOLS, *((name,) for name in _NEEDED)):
            if not any(name in found for name in names):
                self._refuse(f"column {names[0]!r} is missing", hint="raypipe ingest --help names the columns")
        return found

    @cached_property
    def _texts(self) -> pa.DictionaryArray:
        column = next(self._columns[name] for name in _SYMBOLS if name in self._columns)
        texts = column.cast(pa.string()).fill_null("").dictionary_encode()
        empty = pc.index_in(pa.scalar("", pa.string()), value_set=texts.dictionary).as_py()
        if empty is not None:
            self._refuse("the symbol is missing", row=pc.index(texts.indices, empty).as_py(), column="symbol")
        return texts

    def check(self) -> None:
        """Read everything: raises what any of the other methods would."""
        _ = self._texts, self._days, self._numbers

    @property
    def symbols(self) -> list[str]:
        """Every symbol, sorted."""
        found: list[str] = self._texts.dictionary.to_pylist()
        return sorted(found)

    @cached_property
    def _rows(self) -> dict[str, np.ndarray]:
        """File rows of each symbol, in the file's order; int64 (rows,)."""
        codes = self._texts.indices.to_numpy()
        order = np.argsort(codes, kind="stable")
        ends = np.cumsum(np.bincount(codes, minlength=len(self._texts.dictionary)))
        parts = np.split(order, ends[:-1]) if len(ends) else []
        return dict(zip(self._texts.dictionary.to_pylist(), parts, strict=True))

    @cached_property
    def _days(self) -> np.ndarray:
        """Days since 1970-01-01, int32 (rows,)."""
        name = next(name for name in _DATES if name in self._columns)
        values = self._columns[name]
        if pa.types.is_timestamp(values.type):
            values = values.cast(pa.timestamp("us", values.type.tz), safe=False)
        encoded = values.dictionary_encode()
        if encoded.null_count:
            self._refuse("the date is missing", row=pc.index(encoded.is_null(), True).as_py(), column=name)
        codes = encoded.indices.to_numpy()
        first = np.unique(codes, return_index=True)[1]
        read = [_Moment.of(value) for value in encoded.dictionary.to_pylist()]
        problems = ["is not a date" if moment is None else moment.problem for moment in read]
        if not any(problems) and {moment.aware for moment in read if moment} == {True, False}:
            problems = ["has an offset, and others have none" if m and m.aware else "" for m in read]
        for row, problem, value in zip(first, problems, encoded.dictionary.to_pylist(), strict=True):
            if problem:
                self._refuse(f"{str(value)!r} {problem}", row=int(row), column=name)
        days = np.array([moment.days for moment in read if moment], np.int32)
        found: np.ndarray = days[codes]
        return found

    def _number(self, name: str) -> np.ndarray:
        """A column as float64 (rows,), null and absent as NaN; the file's own infinities stay."""
        values = self._columns.get(name)
        if values is None:
            return np.full(len(self._texts), np.nan)
        return floats(values.cast(pa.float64()))

    @cached_property
    def _numbers(self) -> dict[str, np.ndarray]:
        return {name: self._number(name) for name in _NUMBERS}

    def bars(self, symbol: str) -> SymbolBars:
        """The rows of one symbol, in order of sessions."""
        rows = self._rows[symbol]
        rows = rows[np.argsort(self._days[rows], kind="stable")]
        values = {name: column[rows] for name, column in self._numbers.items()}
        return SymbolBars(symbol, (self.name,), np.zeros(len(rows), np.int32), rows, self._days[rows], values)

    def _refuse(self, problem: str, *, row: int | None = None, column: str | None = None, hint: str = "") -> NoReturn:
        hint = hint or "mend the file, then ingest it again"
        raise SourceError(problem, hint=hint, file=self.name, row=None if row is None else row + 1, column=column)


@dataclass(frozen=True)
class _Moment:
    """A date as a file gives it: its day, whether it had an offset, and what is wrong with it."""

    days: int
    aware: bool
    problem: str = ""

    @classmethod
    def of(cls, value: object) -> _Moment | None:
        if isinstance(value, str):
            try:
                value = dt.datetime.fromisoformat(value.strip())
            except ValueError:
                return None
        if not isinstance(value, dt.datetime):
            return cls._checked(value, aware=False) if isinstance(value, dt.date) else None
        aware = value.tzinfo is not None
        local = value.astimezone(EXCHANGE_TZ) if aware else value
        if local.time() != dt.time(0):
            return cls(0, aware, f"has the clock time {local:%H:%M:%S} of the exchange, where midnight was expected")
        return cls._checked(local.date(), aware=aware)

    @classmethod
    def _checked(cls, date: dt.date, *, aware: bool) -> _Moment:
        problem = "" if calendar().has(date) else "is not a session of the exchange"
        return cls((date - _EPOCH).days, aware, problem)


@dataclass(frozen=True)
class SymbolBars:
    """The rows of one symbol, of one file or more, by session.

    Attributes
    ----------
    symbol
        The symbol.
    files
        Names of the files.
    source, row
        Per bar, which file it is of and in which row (0 = the first below the header).
    days
        Days since 1970-01-01, int32 (bars,), ascending.
    values
        Each float64 (bars,), NaN where the file has no value.
    """

    symbol: str
    files: tuple[str, ...]
    source: np.ndarray
    row: np.ndarray
    days: np.ndarray
    values: dict[str, np.ndarray]

    @classmethod
    def joined(cls, parts: list[SymbolBars]) -> SymbolBars:
        """The bars of one symbol from several files together."""
        if len(parts) == 1:
            return parts[0]
        source = np.concatenate([np.full(len(p.days), i, np.int32) for i, p in enumerate(parts)])
        row, days = np.concatenate([p.row for p in parts]), np.concatenate([p.days for p in parts])
        order = np.argsort(days, kind="stable")
        values = {name: np.concatenate([p.values[name] for p in parts])[order] for name in _NUMBERS}
        files = tuple(name for p in parts for name in p.files)
        return cls(parts[0].symbol, files, source[order], row[order], days[order], values)

    def only(self, keep: np.ndarray) -> SymbolBars:
        """Some of the bars; ``keep`` is bool (bars,)."""
        values = {name: column[keep] for name, column in self.values.items()}
        return SymbolBars(self.symbol, self.files, self.source[keep], self.row[keep], self.days[keep], values)

    def between(self, start: dt.date | None, end: dt.date | None) -> SymbolBars:
        """The bars of a closed range of dates."""
        lo = (start - _EPOCH).days if start else -(2**31)
        hi = (end - _EPOCH).days if end else 2**31 - 1
        return self.only((self.days >= lo) & (self.days <= hi))

    def place(self, bar: int) -> str:
        """Where a bar stands, for people."""
        return f"{self.files[self.source[bar]]} row {self.row[bar] + 1}"

    def without_repeats(self, noted: list[Finding]) -> SymbolBars:
        """Without bars that repeat another in full.

        Raises
        ------
        SourceError
            If two bars of a session differ, naming both.
        """
        repeats = np.zeros(len(self.days), dtype=bool)
        repeats[1:] = self.days[1:] == self.days[:-1]
        for bar in np.flatnonzero(repeats).tolist():
            if any(not _same(column[bar], column[bar - 1]) for column in self.values.values()):
                msg = f"two different bars of {self._date(bar)}: {self.place(bar - 1)} and {self.place(bar)}"
                raise SourceError(msg, hint="remove one of them, then ingest again", symbol=self.symbol)
        if repeats.any():
            count = int(repeats.sum())
            noted.append(Finding("repeated_rows", "rows that repeat another in full were passed over", count))
        return self.only(~repeats)

    def without_bad(self, noted: list[Finding]) -> tuple[SymbolBars, pa.Table]:
        """The bars that may be used, and those set aside with their reasons."""
        reasons = _reasons(self.values)
        bad = reasons != ""
        for rule in sorted(set(reasons[bad])):
            where = np.flatnonzero(reasons == rule)
            samples = tuple(f"{self._date(bar)} ({self.place(bar)})" for bar in where[:_SAMPLES])
            message = f"{len(where):,} rows set aside: {rule}"
            noted.append(Finding(f"quarantined_{rule}", message, len(where), samples))
        return self.only(~bad), self._quarantined(bad, reasons)

    def refuse_many(self, bad: int, max_share: float) -> None:
        """Refuse the symbol if ``bad`` of its bars, set aside, are too many.

        Raises
        ------
        QuarantineError
            If they are more than the share ``max_share``.
        """
        if bad > max_share * len(self.days):
            msg = f"{bad:,} of {len(self.days):,} rows break a rule"
            hint = "see quarantine/; ohlcv_1d.max_share is the share allowed"
            raise QuarantineError(msg, hint=hint, table=OHLCV_1D.name, partition=self.symbol)

    def _quarantined(self, bad: np.ndarray, reasons: np.ndarray) -> pa.Table:
        part = self.only(bad)
        columns = {
            "session": pa.array(part.days).view(pa.date32()),
            "symbol": pa.array([self.symbol] * len(part.days), pa.string()),
            **{name: pa.array(column) for name, column in part.values.items()},
            "file": pa.array([self.files[i] for i in part.source], pa.string()),
            "row": pa.array(part.row + 1),
            "reason": pa.array(reasons[bad].tolist(), pa.string()),
        }
        return pa.table(columns)

    def to_table(self, vintages: tuple[int, ...]) -> pa.Table:
        """The bars as `bronze/ohlcv_1d`; ``vintages`` says when each file came, 0 if that is not known."""
        vintage = np.array(vintages, np.int64)[self.source] if len(self.days) else np.zeros(0, np.int64)
        return OHLCV_1D.build(
            {
                "session": pa.array(self.days).view(pa.date32()),
                "symbol": constant_dictionary(self.symbol, len(self.days)),
                **{name: nullable(column) for name, column in self.values.items()},
                "vintage_ns": nullable(vintage, null=vintage == 0),
            }
        )

    def _date(self, bar: int) -> dt.date:
        return _EPOCH + dt.timedelta(days=int(self.days[bar]))


def _same(a: float, b: float) -> bool:
    return bool(a == b or (np.isnan(a) and np.isnan(b)))


def _reasons(values: dict[str, np.ndarray]) -> np.ndarray:
    """The first rule that each bar breaks; empty text if none. Object (bars,)."""
    low, high, close = values["low"], values["high"], values["close"]
    before = np.concatenate([[np.nan], close[:-1]])
    reasons = np.full(len(close), "", dtype=object)
    with np.errstate(invalid="ignore"):
        rules = {
            "not_finite": _any([~np.isfinite(values[name]) for name in _NEEDED])
            | _any([np.isinf(values[name]) for name in _OPTIONAL]),
            "price_not_positive": _any([values[name] <= 0 for name in PRICES]),
            "high_below_low": high < low,
            "open_outside_range": _outside(values["open"], low, high),
            "close_outside_range": _outside(close, low, high),
            "volume_negative": values["volume"] < 0,
            "dividend_negative": values["dividends"] < 0,
            "dividend_above_price": (values["dividends"] > 0) & (values["dividends"] >= before),
            "split_ratio_negative": values["split_ratio"] < 0,
        }
    for rule, hit in rules.items():
        reasons[hit & (reasons == "")] = rule
    return reasons


def _any(masks: list[np.ndarray]) -> np.ndarray:
    hit: np.ndarray = np.logical_or.reduce(masks)
    return hit


def _outside(price: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    hit: np.ndarray = (price < low * (1 - _ROUNDING)) | (price > high * (1 + _ROUNDING))
    return hit


# --- formats -----------------------------------------------------------------------------------


def _read_csv(data: bytes) -> dict[str, pa.Array]:
    """Symbols and dates as text throughout: a symbol may be called NA, TRUE or 1."""
    from pyarrow import csv as arrow_csv

    text = data.removeprefix(b"\xef\xbb\xbf")
    header = next(csv.reader(io.StringIO(text.partition(b"\n")[0].decode())), [])
    types = {name: pa.string() for name in (*_DATES, *_SYMBOLS)} | {name: pa.float64() for name in _NUMBERS}
    present = {name: kind for name, kind in types.items() if name in header}
    if not present:
        return {}
    convert = arrow_csv.ConvertOptions(include_columns=list(present), column_types=present, strings_can_be_null=False)
    read = arrow_csv.ReadOptions(use_threads=False)
    return _plain(arrow_csv.read_csv(pa.BufferReader(text), read_options=read, convert_options=convert))


def _read_parquet(data: bytes) -> dict[str, pa.Array]:
    import pyarrow.parquet as pq

    file = pq.ParquetFile(pa.BufferReader(data), arrow_extensions_enabled=False)
    wanted = (*_DATES, *_SYMBOLS, *_NUMBERS)
    return _plain(file.read(columns=[name for name in wanted if name in file.schema_arrow.names], use_threads=False))


def _plain(table: pa.Table) -> dict[str, pa.Array]:
    found = {name: table[name].combine_chunks() for name in table.column_names}
    return {name: pa.concat_arrays(c.chunks) if isinstance(c, pa.ChunkedArray) else c for name, c in found.items()}
