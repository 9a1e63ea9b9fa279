"""Polygon flat files: from the bytes of one csv.gz to checked, sorted bronze rows.

The fast path inflates the whole object and parses it in one pass, block by block at symbol borders. Text that
the fast parser does not expect goes through ``pyarrow.csv`` instead, and a file out of order through one sort;
the rows that come out are the same whichever way they went. Vendor rows that break a rule are set aside with
their line and reason; a file that cannot be trusted as a whole is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raypipe.calendar import NS_PER_DAY, NS_PER_MINUTE, Session
from raypipe.errors import QuarantineError, SourceError
from raypipe.kernels.csv import ohlc_rules
from raypipe.schema.family import Finding, Params
from raypipe.schema.frames import date_array
from raypipe.schema.spec import Table
from raypipe.schema.tables import DAY_AGGS, MINUTE_AGGS
from raypipe.sources.flat_text import Rows, Text, read_header, read_rows, scan_blocks
from raypipe.sources.gzipped import inflate
from raypipe.sources.refused import Refused

__all__ = ["BronzeParams", "FlatFile", "OutOfOrderError"]

_SYMBOL = r"\A[A-Za-z0-9][A-Za-z0-9.^+=*$#!~:_-]{0,31}\z"
_SEGMENTS = pa.array(["pre", "rth", "post"])
#: Reasons by code; codes 1-3 are those of the price kernel.
REASONS = ("", "price", "ohlc_order", "volume", "time", "symbol", "duplicate_conflict")
_PRICE, _ORDER, _VOLUME, _TIME, _BAD_SYMBOL, _CONFLICT = range(1, 7)
_YEAR_2000_NS, _YEAR_2100_NS = 946_684_800_000_000_000, 4_102_444_800_000_000_000
_UNITS = {"seconds": 10**9, "milliseconds": 10**6, "microseconds": 10**3}
_WIDE_BAR = 1.5


class BronzeParams(Params):
    """How vendor rows are judged.

    Attributes
    ----------
    max_share
        Share of a file's rows that may be set aside before the file fails.
    extra_columns
        Whether columns that raypipe does not know fail the file or are passed over with a warning.
    """

    max_share: float = 0.001
    extra_columns: str = "fail"


class OutOfOrderError(Exception):
    """Rows are not sorted; the caller starts again in sort mode. Never leaves the bronze stage."""


@dataclass(slots=True)
class _Tally:
    """What was noticed on the way."""

    rows: int = 0
    kept: int = 0
    symbols: int = 0
    last_ns: int = 0
    duplicates: int = 0
    zero_volume: int = 0
    wide_bars: int = 0
    unsorted: bool = False
    refused: Refused = field(default_factory=Refused)


class FlatFile:
    """One vendor file of one session.

    Parameters
    ----------
    text
        The inflated file.
    table
        `DAY_AGGS` or `MINUTE_AGGS`: what it becomes.
    session
        The session that its name promises.
    params
        How rows are judged.

    Raises
    ------
    SourceError
        If the header is not the vendor's.
    """

    def __init__(self, text: Text, table: Table, session: Session, params: BronzeParams) -> None:
        self._text, self._table, self._session, self._params = text, table, session, params
        self._tally = _Tally()
        self._sorted_mode = False

    @classmethod
    def from_gzip(cls, data: bytes, name: str, table: Table, session: Session, params: BronzeParams) -> FlatFile:
        """Inflate a file and read its header.

        Raises
        ------
        SourceError
            If it is not whole gzip, or its header is not the vendor's.
        """
        text = read_header(inflate(data, name), name, allow_extra=params.extra_columns == "warn")
        return cls(text, table, session, params)

    def blocks(self, *, sort: bool = False) -> Iterator[pa.Table]:
        """Checked rows in key order, as tables of the bronze schema.

        Parameters
        ----------
        sort
            Read the whole file and sort it. Otherwise blocks are parsed and yielded one by one.

        Raises
        ------
        OutOfOrderError
            Without ``sort``, when a row is out of order or repeated.
        SourceError
            If the file as a whole cannot be used.
        QuarantineError
            At the end, if too many rows were set aside.
        """
        self._tally, self._sorted_mode = _Tally(), sort
        for rows in [read_rows(self._text)] if sort else scan_blocks(self._text):
            if not sort and not rows.ascending:
                raise OutOfOrderError
            if not len(rows):
                continue
            self._tally.rows += len(rows)
            self._tally.unsorted |= not rows.ascending
            checked = self._checked(_sorted(rows) if sort else rows)
            if checked.num_rows:
                yield checked
        self._judge()

    def _checked(self, rows: Rows) -> pa.Table:
        self._check_unit(rows)
        codes = ohlc_rules(rows.open, rows.high, rows.low, rows.close, rows.volume)
        self._mark(codes, ~self._in_session(rows.window_start_ns), _TIME)
        self._mark(codes, _bad_symbols(rows), _BAD_SYMBOL)
        drop = self._mark_repeats(codes, rows) if self._sorted_mode else np.zeros(len(rows), dtype=bool)
        if codes.any():
            self._set_aside(rows, codes)
        keep = (codes == 0) & ~drop
        good = rows if keep.all() else rows.take(np.flatnonzero(keep))
        self._count(good)
        return self._assemble(good)

    @staticmethod
    def _mark(codes: np.ndarray, bad: np.ndarray, code: int) -> None:
        codes[bad & (codes == 0)] = code

    def _in_session(self, window_start_ns: np.ndarray) -> np.ndarray:
        s = self._session
        if self._table is DAY_AGGS:
            at_midnight: np.ndarray = window_start_ns == s.midnight_ns
            return at_midnight
        inside: np.ndarray = (window_start_ns >= s.ext_start_ns) & (window_start_ns < s.ext_end_ns)
        inside &= (window_start_ns - s.ext_start_ns) % NS_PER_MINUTE == 0
        return inside

    def _check_unit(self, rows: Rows) -> None:
        """Refuse timestamps in another unit, and day bars stamped at UTC midnight."""
        first = int(rows.window_start_ns[0])
        name, row = self._text.name, int(rows.lines[0])
        if not _YEAR_2000_NS <= first < _YEAR_2100_NS:
            unit = next((u for u, f in _UNITS.items() if _YEAR_2000_NS <= first * f < _YEAR_2100_NS), "an unknown unit")
            msg = f"{first} is not in nanoseconds; it looks like {unit}"
            raise SourceError(msg, hint="window_start must be nanoseconds since 1970, UTC", **_at(name, row))
        if self._table is DAY_AGGS and first % NS_PER_DAY == 0:
            msg = f"{first} is midnight UTC; day bars are stamped at midnight of the exchange"
            raise SourceError(msg, hint="this file is not in the vendor's layout", **_at(name, row))

    def _mark_repeats(self, codes: np.ndarray, rows: Rows) -> np.ndarray:
        """Mark rows with one key and different values; give those that merely repeat another."""
        same_key = np.zeros(len(rows), dtype=bool)
        same_key[1:] = (rows.codes[1:] == rows.codes[:-1]) & (rows.window_start_ns[1:] == rows.window_start_ns[:-1])
        if not same_key.any():
            return same_key
        group = np.cumsum(~same_key) - 1
        equal = ~same_key
        equal[1:] |= same_key[1:] & rows.equal_to_previous()
        conflict = np.zeros(group[-1] + 1, dtype=bool)
        np.logical_or.at(conflict, group, ~equal)
        self._mark(codes, conflict[group], _CONFLICT)
        drop: np.ndarray = same_key & ~conflict[group]
        self._tally.duplicates += int((drop & (codes == 0)).sum())
        return drop

    def _set_aside(self, rows: Rows, codes: np.ndarray) -> None:
        bad = np.flatnonzero(codes)
        refused, reasons = rows.take(bad), [REASONS[code] for code in codes[bad]]
        table = refused.to_quarantine(reasons)
        line, symbol = table["line"], table["symbol"]
        self._tally.refused.add(table, reasons, lambda at: f"row {line[at]}: {symbol[at].as_py()[:40]}")

    def _count(self, good: Rows) -> None:
        tally = self._tally
        tally.kept += len(good)
        tally.symbols += good.distinct
        tally.zero_volume += int((good.volume == 0).sum())
        tally.wide_bars += int((good.high > _WIDE_BAR * good.low).sum())
        if len(good):
            tally.last_ns = max(tally.last_ns, int(good.window_start_ns.max()))

    def _assemble(self, rows: Rows) -> pa.Table:
        n = len(rows)
        columns = {
            "session": date_array(self._session.date, n),
            "symbol": rows.symbol_column(),
            "window_start_ns": pa.array(rows.window_start_ns),
            **{name: pa.array(getattr(rows, name)) for name in ("open", "high", "low", "close", "volume")},
            "transactions": pa.nulls(n, pa.int32()) if rows.transactions is None else pa.array(rows.transactions),
        }
        if self._table is MINUTE_AGGS:
            columns["segment"] = self._segments(rows.window_start_ns)
        return self._table.build(columns)

    def _segments(self, window_start_ns: np.ndarray) -> pa.Array:
        s = self._session
        code = (window_start_ns >= s.open_ns).astype(np.int32) + (window_start_ns >= s.close_ns)
        return pa.DictionaryArray.from_arrays(pa.array(code, pa.int32()), _SEGMENTS)

    # --- the verdict on the file -------------------------------------------------------------

    def _judge(self) -> None:
        tally, name = self._tally, self._text.name
        refused = tally.refused
        if tally.rows == 0:
            msg = "the file has a header and no rows"
            raise SourceError(msg, hint="fetch it again", file=name)
        if (bad := refused.total) > self._params.max_share * tally.rows:
            msg = f"{bad:,} of {tally.rows:,} rows break a rule ({dict(refused.counts)}); first {refused.first}"
            hint = f"mend the file, or raise bronze.max_share above {self._params.max_share}"
            raise QuarantineError(msg, hint=hint, file=name, partition=self._session.key)

    @property
    def quarantined(self) -> pa.Table | None:
        """Rows set aside: reason, line and the values as read; None if there is none."""
        return self._tally.refused.table

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What the user should know about a file that was taken."""
        t = self._tally
        found = t.refused.findings
        for kind, count, text in (
            ("duplicates", t.duplicates, "rows that repeat another exactly were dropped"),
            ("zero_volume", t.zero_volume, "bars without volume were kept"),
            ("wide_bars", t.wide_bars, "bars with a high above 1.5 times the low were kept"),
        ):
            found += [Finding(kind, f"{count:,} {text}", count)] if count else []
        found += [Finding("unsorted", "the file was out of order and was sorted")] if t.unsorted else []
        found += (
            [Finding("extra_columns", f"columns passed over: {', '.join(self._text.extra)}")]
            if self._text.extra
            else []
        )
        return tuple(found)

    @property
    def facts(self) -> dict[str, str]:
        """What the footer says beside the manifest: windows of the session, coverage, rows refused."""
        s, t = self._session, self._tally
        windows = {
            "rth_open_ns": s.open_ns,
            "rth_close_ns": s.close_ns,
            "ext_start_ns": s.ext_start_ns,
            "ext_end_ns": s.ext_end_ns,
        }
        counts = {"symbols": t.symbols, "last_ns": t.last_ns, "quarantined": t.refused.total}
        both = {**(windows if self._table is MINUTE_AGGS else {}), **counts}
        return {name: str(value) for name, value in both.items()}


def _at(name: str, row: int) -> dict[str, object]:
    return {"file": name, "row": row, "column": "window_start"}


def _sorted(rows: Rows) -> Rows:
    """Rows by symbol and time; equal keys by file position, and repeated values next to each other."""
    return rows.take(np.lexsort((rows.window_start_ns, rows.codes)))


def _bad_symbols(rows: Rows) -> np.ndarray:
    bad = ~pc.match_substring_regex(rows.names, _SYMBOL).to_numpy(zero_copy_only=False)
    return bad[rows.codes] if bad.any() else np.zeros(len(rows), dtype=bool)
