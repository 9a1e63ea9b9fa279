"""SPY option prints of one session: from vendors' files to checked, sorted bronze rows with a side each.

Cancelled and corrected prints are dropped and counted; prints of packages keep their volume, but their price says
nothing about a side. Where the vendor names no aggressor the tick test does. Rows that break a rule are set aside with
their reason and place; a file that cannot be trusted as a whole is refused.
"""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from raypipe.calendar import NS_PER_MINUTE, Session, at_exchange_time, calendar
from raypipe.errors import QuarantineError, SourceError
from raypipe.kernels.occ import tick_signs
from raypipe.schema.books import SPY_OPTION_TRADES
from raypipe.schema.family import Finding
from raypipe.schema.frames import date_array, dictionary_array
from raypipe.schema.signals import OptionParams
from raypipe.sources.option_order import coded, in_order, refuse_overlap
from raypipe.sources.option_parquet import read_parquet
from raypipe.sources.option_prints import UNKNOWN, OptionFile, Prints, Wanted, expiry_code, names_of, refused_rows
from raypipe.sources.option_text import read_text
from raypipe.sources.refused import Refused

__all__ = ["OptionFile", "OptionTrades", "session_bounds"]

#: Share of a session's prints that may be set aside before the partition fails.
MAX_SHARE = 0.01
#: Rows of a table of `OptionTrades.blocks`.
_BLOCK_ROWS = 131_072
#: Reasons by code.
REASONS = ("", "price", "size", "strike", "time")
_PRICE, _SIZE, _STRIKE, _TIME = range(1, 5)
_YEAR_2000_NS, _YEAR_2100_NS = 946_684_800_000_000_000, 4_102_444_800_000_000_000
_UNITS = {"seconds": 10**9, "milliseconds": 10**6, "microseconds": 10**3}
_MOST_SIZE, _STRIKE_BITS = 2**32 - 1, 2**31 - 1
_RIGHTS = pa.array(["C", "P"], pa.string())
_SOURCES = pa.array(["tick", "vendor"], pa.string())


def session_bounds(session: Session) -> tuple[int, int]:
    """From when to when a print belongs to a session: 17:00 New York time of the session before to its own, in ns UTC.

    Examples
    --------
    >>> monday = calendar().session(dt.date(2025, 11, 3))
    >>> start, end = session_bounds(monday)
    >>> (end - start) / (3600 * 10**9)
    73.0
    """
    before = calendar().offset(session.date, -1)
    return at_exchange_time(before, dt.time(17)), at_exchange_time(session.date, dt.time(17))


@dataclass(slots=True)
class _Tally:
    """What was noticed on the way."""

    dropped: Counter[str] = field(default_factory=Counter)
    refused: Refused = field(default_factory=Refused)
    findings: list[Finding] = field(default_factory=list)
    facts: dict[str, str] = field(default_factory=dict)


class OptionTrades:
    """The SPY option prints of one session.

    Parameters
    ----------
    files
        Flat files (``.csv.gz``) or Parquet files that hold prints of the session.
    session
        The session. Rows decide what belongs to it, never names of files or folders; the exception is that a row
        of a flat file that lies outside is set aside, as such a file is of one session.
    params
        Which prints count, and how a side is found.
    max_share
        Share of the prints that may be set aside.
    """

    def __init__(
        self, files: Sequence[OptionFile], session: Session, params: OptionParams, max_share: float = MAX_SHARE
    ) -> None:
        self._files, self._session, self._params, self._max_share = list(files), session, params, max_share
        self._tally = _Tally()

    @property
    def _wanted(self) -> Wanted:
        date = self._session.date
        first_ns, end_ns = session_bounds(self._session)
        expiries = calendar().dates(date, date + dt.timedelta(days=self._params.max_dte))
        return Wanted(first_ns, end_ns, tuple(expiries))

    def table(self) -> pa.Table:
        """The session's prints, rows of `SPY_OPTION_TRADES` by time, contract, sequence and place in the files.

        Raises
        ------
        SourceError
            If a file cannot be read, two files overlap, or no print belongs to the session.
        QuarantineError
            If too many rows were set aside.
        """
        self._tally = _Tally()
        prints = self._read()
        self._judge(len(prints))
        prints = in_order(prints)
        table = self._assemble(prints)
        self._note(prints, table)
        return table

    def blocks(self) -> Iterator[pa.Table]:
        """The rows of :meth:`table` in pieces of a row group each."""
        table = self.table()
        for start in range(0, table.num_rows, _BLOCK_ROWS):
            yield table.slice(start, _BLOCK_ROWS)

    # --- files ---------------------------------------------------------------------------------

    def _read(self) -> Prints:
        as_read: list[tuple[str, Prints]] = []
        kept: list[tuple[str, Prints]] = []
        for file in self._files:
            prints = self._read_file(file)
            twin = next((name for name, other in as_read if len(other) and other.same_as(prints)), None)
            if twin is not None:
                self._tally.findings.append(Finding("same_file", f"{file.name} repeats {twin} and was read once"))
                continue
            as_read.append((file.name, prints))
            kept.append((file.name, self._checked(prints, file.name)))
        refuse_overlap(kept)
        return Prints.joined([prints for _, prints in kept]) if kept else Prints.none()

    def _read_file(self, file: OptionFile) -> Prints:
        is_text = file.name.endswith(".gz")
        if not is_text and not file.name.endswith(".parquet"):
            msg = "neither a flat file nor Parquet"
            raise SourceError(msg, hint="names end in .csv.gz or .parquet", file=file.name)
        prints, refused, extra = (read_text if is_text else read_parquet)(file, self._wanted)
        self._count(refused)
        if extra:
            self._tally.findings.append(Finding("extra_columns", f"columns passed over: {', '.join(extra)}"))
        _check_unit(prints, file.name)
        return prints

    # --- rows ----------------------------------------------------------------------------------

    def _checked(self, prints: Prints, file: str) -> Prints:
        """The prints of a file that are taken: in the session, not taken back, and sound."""
        wanted = self._wanted
        inside = (prints.ts_ns >= wanted.first_ns) & (prints.ts_ns < wanted.end_ns)
        prints = self._split(prints, np.where(inside, 0, _TIME), file)
        cancelled = _having(prints, self._params.drop_conditions)
        corrected = ~cancelled & (prints.correction != 0)
        self._tally.dropped.update(cancelled=int(cancelled.sum()), corrected=int(corrected.sum()))
        dropped = cancelled | corrected
        prints = prints.take(~dropped) if dropped.any() else prints
        codes = np.zeros(len(prints), np.int8)
        codes[(prints.contract >> 1) & _STRIKE_BITS == 0] = _STRIKE
        codes[(prints.size <= 0) | (prints.size > _MOST_SIZE)] = _SIZE
        codes[~((prints.price > 0) & (prints.price < np.inf))] = _PRICE
        return self._split(prints, codes, file)

    def _split(self, prints: Prints, codes: np.ndarray, file: str) -> Prints:
        bad = np.flatnonzero(codes)
        if not len(bad):
            return prints
        self._count(refused_rows(prints.take(bad), [REASONS[code] for code in codes[bad]], file))
        return prints.take(codes == 0)

    def _count(self, refused: pa.Table) -> None:
        if not refused.num_rows:
            return
        row, symbol = refused["row"], refused["option_symbol"]
        reasons = refused["reason"].to_pylist()
        self._tally.refused.add(refused, reasons, lambda at: f"row {row[at]}: {symbol[at].as_py()[:40]}")

    def _judge(self, kept: int) -> None:
        refused, dropped = self._tally.refused, sum(self._tally.dropped.values())
        read = kept + refused.total + dropped
        names = ", ".join(file.name for file in self._files[:3]) or "none"
        if refused.total > self._max_share * read:
            msg = f"{refused.total:,} of {read:,} prints break a rule ({dict(refused.counts)}); first {refused.first}"
            hint = "mend the file; the rows stand in quarantine"
            raise QuarantineError(msg, hint=hint, file=names, partition=self._session.key)
        if kept == 0:
            msg = "no print of a SPY option that expires in the session"
            hint = "not every session has an expiry; else fetch the file again"
            raise SourceError(msg, hint=hint, file=names, partition=self._session.key)

    # --- the table -----------------------------------------------------------------------------

    def _assemble(self, prints: Prints) -> pa.Table:
        n = len(prints)
        distinct, contract = coded(prints.contract)
        side, by_vendor = self._sides(prints, contract)
        strike = (prints.contract >> 1) & _STRIKE_BITS
        no_sequence, no_exchange = prints.sequence < 0, prints.exchange < 0
        columns: dict[str, pa.Array] = {
            "session": date_array(self._session.date, n),
            "ts_event_ns": pa.array(prints.ts_ns),
            "sequence": pa.array(prints.sequence, mask=no_sequence if no_sequence.any() else None),
            "option_symbol": _dictionary(contract, names_of(distinct)),
            "strike_e3": pa.array(strike.astype(np.int32)),
            "right": dictionary_array((prints.contract & 1).astype(np.int32), _RIGHTS),
            "price": pa.array(prints.price),
            "size": pa.array(prints.size.astype(np.uint32)),
            "aggressor": pa.array(side),
            "aggressor_source": dictionary_array(by_vendor.astype(np.int32), _SOURCES),
            "conditions": _conditions_column(prints),
            "exchange": pa.array(prints.exchange.astype(np.int32), mask=no_exchange if no_exchange.any() else None),
            "exp_date": self._expiry_column(prints),
        }
        return SPY_OPTION_TRADES.build(columns)

    def _sides(self, prints: Prints, contract: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Each print's aggressor, and whether it is the vendor's."""
        package = _having(prints, self._params.unsigned_conditions)
        signs = tick_signs(contract, prints.price, package, self._params.zero_tick == "carry")
        by_vendor = prints.vendor != UNKNOWN
        side = np.where(by_vendor, prints.vendor, signs).astype(np.int8)
        side[package] = 0
        self._tally.facts["packages"] = str(int(package.sum()))
        return side, by_vendor

    def _expiry_column(self, prints: Prints) -> pa.Array:
        by_code = {expiry_code(date): date for date in self._wanted.expiries}
        if len(by_code) == 1:
            return date_array(self._session.date, len(prints))
        distinct, of_row = np.unique(prints.contract >> 32, return_inverse=True)
        dates = pa.array([by_code[code] for code in distinct.tolist()], pa.date32())
        return dates.take(pa.array(of_row))

    # --- what is told --------------------------------------------------------------------------

    def _note(self, prints: Prints, table: pa.Table) -> None:
        tally, session = self._tally, self._session
        minutes = np.unique((prints.ts_ns[_rth(prints.ts_ns, session)] - session.open_ns) // NS_PER_MINUTE)
        unknown = prints.vendor == UNKNOWN
        if 0 < unknown.sum() < len(prints):
            text = (
                f"{unknown.sum():,} prints ({unknown.mean():.1%}) without a side of the vendor's took the tick test's"
            )
            tally.findings.append(Finding("unknown_aggressor", text, int(unknown.sum())))
        tally.facts |= {
            "contracts": str(len(table["option_symbol"].chunk(0).dictionary)),
            "first_ns": str(int(prints.ts_ns[0])),
            "last_ns": str(int(prints.ts_ns[-1])),
            "minutes": str(len(minutes)),
            "coverage": f"{len(minutes) * NS_PER_MINUTE / (session.close_ns - session.open_ns):.6f}",
            "cancelled": str(tally.dropped["cancelled"]),
            "corrected": str(tally.dropped["corrected"]),
            "quarantined": str(tally.refused.total),
        }

    @property
    def quarantined(self) -> pa.Table | None:
        """Rows set aside: reason, file, row and what was read; None if there is none."""
        return self._tally.refused.table

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What the user should know about prints that were taken."""
        t = self._tally
        found = t.refused.findings
        for kind, text in (
            ("cancelled", "cancelled prints were dropped"),
            ("corrected", "corrected prints were dropped"),
        ):
            if t.dropped[kind]:
                found.append(Finding(kind, f"{t.dropped[kind]:,} {text}", t.dropped[kind], level="info"))
        return (*found, *t.findings)

    @property
    def facts(self) -> dict[str, str]:
        """What the footer says: counts, first and last time, and the share of regular minutes with a print."""
        return dict(self._tally.facts)


# --- helpers -----------------------------------------------------------------------------------


def _rth(ts_ns: np.ndarray, session: Session) -> np.ndarray:
    inside: np.ndarray = (ts_ns >= session.open_ns) & (ts_ns < session.close_ns)
    return inside


def _check_unit(prints: Prints, file: str) -> None:
    """Refuse timestamps in another unit."""
    there = np.flatnonzero(prints.ts_ns > 0)
    if not len(there):
        return
    first = int(prints.ts_ns[there[0]])
    if not _YEAR_2000_NS <= first < _YEAR_2100_NS:
        unit = next((u for u, f in _UNITS.items() if _YEAR_2000_NS <= first * f < _YEAR_2100_NS), "an unknown unit")
        msg = f"{first} is not in nanoseconds; it looks like {unit}"
        hint = "times must be nanoseconds since 1970, UTC"
        raise SourceError(msg, hint=hint, file=file, row=int(prints.row[there[0]]))


def _having(prints: Prints, codes: Sequence[int]) -> np.ndarray:
    """Which prints have one of some condition codes."""
    wanted = set(codes)
    hit = [not wanted.isdisjoint(int(code) for code in re.findall(r"\d{1,9}", text)) for text in prints.texts]
    found: np.ndarray = np.array([*hit, False], dtype=bool)[prints.conditions]
    return found


def _dictionary(codes: np.ndarray, names: list[str]) -> pa.DictionaryArray:
    """A dictionary column whose names, all in use, are put in bytewise order."""
    order = np.argsort(np.array([name.encode() for name in names]), kind="stable")
    rank = np.empty(len(order), np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    return pa.DictionaryArray.from_arrays(pa.array(rank[codes]), pa.array([names[i] for i in order], pa.string()))


def _conditions_column(prints: Prints) -> pa.DictionaryArray:
    used = np.flatnonzero(np.bincount(prints.conditions + 1, minlength=len(prints.texts) + 1)[1:])
    texts = [prints.texts[i] for i in used]
    by_name = {text: code for code, text in enumerate(sorted(set(texts), key=str.encode))}
    rank = np.zeros(len(prints.texts) + 1, np.int32)
    rank[used] = [by_name[text] for text in texts]
    none = prints.conditions < 0
    indices = pa.array(rank[prints.conditions], pa.int32(), mask=none if none.any() else None)
    return pa.DictionaryArray.from_arrays(indices, pa.array(list(by_name), pa.string()))
