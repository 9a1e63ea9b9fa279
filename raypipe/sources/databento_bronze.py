"""One session of ES, from Databento files to checked bronze rows.

Trades of a session fit into memory. Books do not: their records go through buffers, one for each contract, and leave
them as row groups of one contract. A file whose time steps back is read again, slice by slice of time, and sorted.
"""

from __future__ import annotations

import datetime as dt
import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa

from raypipe.calendar import NS_PER_MINUTE, NS_PER_SECOND, Session, at_exchange_time, calendar
from raypipe.errors import QuarantineError, SourceError
from raypipe.kernels import dbn
from raypipe.schema.books import ES_MBP10, ES_TRADES
from raypipe.schema.family import Finding
from raypipe.schema.spec import Table
from raypipe.sources.databento import Header, RecordStream
from raypipe.sources.databento_columns import Buffer
from raypipe.sources.databento_parquet import ParquetStream
from raypipe.sources.databento_refused import set_aside
from raypipe.sources.databento_slots import Slots
from raypipe.sources.databento_symbols import Symbology, likely_outrights
from raypipe.sources.refused import Refused

__all__ = ["SCHEMA_OF", "BookSession", "DbnPart", "DisorderError", "record_window"]

#: Which schema a table is made of.
SCHEMA_OF = {ES_TRADES.name: "trades", ES_MBP10.name: "mbp-10"}
TICK_E9 = 250_000_000
#: Share of a session's rows that may be set aside.
MAX_SHARE = 0.001
#: Rows of a row group, and rows that may wait in the buffers of all contracts.
GROUP_ROWS, WAITING_ROWS = 131_072, 393_216
#: Rows of a slice in which books are sorted.
SLICE_ROWS = 400_000
#: A file's range is of the vendor's clock; the exchange's is a little behind it.
_LATENCY_NS = NS_PER_SECOND
_BOOK_LEAD_NS = 240 * NS_PER_SECOND
_PRICES = 4_096
_YEARS = 946_684_800 * NS_PER_SECOND, 4_102_444_800 * NS_PER_SECOND
_UNITS = {"seconds": 10**9, "milliseconds": 10**6, "microseconds": 10**3}


class DisorderError(Exception):
    """Time steps back within a contract; the caller starts again with ``sort``. Never leaves the bronze stage."""


@dataclass(frozen=True, slots=True)
class DbnPart:
    """One file of a session.

    Attributes
    ----------
    name
        For messages.
    open
        Opens it for reading bytes.
    symbology
        What lies beside it; used where its own metadata say nothing.
    """

    name: str
    open: Callable[[], BinaryIO]
    symbology: Symbology = field(default_factory=Symbology)


def record_window(date: dt.date) -> tuple[int, int]:
    """From when until when records belong to a session: between the 17:00 New York ends of two sessions, in ns UTC.

    Examples
    --------
    >>> start, end = record_window(dt.date(2023, 12, 26))  # after Christmas: from Friday evening on
    >>> (end - start) / (24 * 3600 * 10**9)
    4.0
    """
    before = calendar().offset(date, -1)
    return at_exchange_time(before, dt.time(17)), at_exchange_time(date, dt.time(17))


class BookSession:
    """The records of one session in one or several files.

    Parameters
    ----------
    parts
        Its files, in any order.
    table
        `ES_TRADES` or `ES_MBP10`.
    session
        The session.

    Attributes
    ----------
    digests
        XXH3-128 of each file read, by name.
    """

    def __init__(self, parts: Sequence[DbnPart], table: Table, session: Session) -> None:
        self._parts, self._table, self._session = parts, table, session
        self._window = record_window(session.date)
        self._bare = any(part.name.endswith(".parquet") for part in parts)
        lead = _BOOK_LEAD_NS if table is ES_MBP10 else 0
        self._cover = session.open_ns - lead, session.close_ns
        self.digests: dict[str, str] = {}
        self._reset()

    def _reset(self) -> None:
        minutes = (self._cover[1] - self._cover[0]) // NS_PER_MINUTE
        self._slots = Slots(minutes)
        self._refused = Refused()
        self._steps_back, self._others = 0, 0
        self._guessed: set[int] | None = None

    # --- rows -----------------------------------------------------------------------------------

    def blocks(self, *, sort: bool = False) -> Iterator[pa.Table]:
        """Checked rows as tables of the bronze schema, in the vendor's order; of books, each of one contract.

        Parameters
        ----------
        sort
            Read books slice by slice and sort contracts whose time steps back. Trades are sorted in any case.

        Raises
        ------
        DisorderError
            Without ``sort``, when the time of a book's contract steps back.
        SourceError
            If a file cannot be used, or two files hold the same contract over the same interval.
        QuarantineError
            At the end, if too many rows were set aside.
        """
        self._reset()
        if self._table is ES_TRADES:
            yield from self._trades()
        elif sort:
            yield from self._sorted_books()
        else:
            yield from self._books()
        self._judge()

    def _trades(self) -> Iterator[pa.Table]:
        buffer = Buffer(self._table)
        for words, slot_of in self._chunks(self._window):
            self._fill(words, slot_of, np.flatnonzero(slot_of >= 0), buffer)
        if len(self._parts) > 1:
            buffer.merge()
        for slot in self._slots.disordered:
            buffer.reorder(_time_order(*buffer.of_slot(slot)), slot)
        self._steps_back = self._slots.steps_back
        if buffer.rows:
            yield self._taken(buffer)

    def _books(self) -> Iterator[pa.Table]:
        buffers: dict[int, Buffer] = {}
        for words, slot_of in self._chunks(self._window):
            for slot in _present(slot_of):
                buffer = buffers.setdefault(slot, Buffer(self._table, GROUP_ROWS))
                chosen = np.flatnonzero(slot_of == slot)
                while len(chosen := self._fill(words, slot_of, chosen, buffer)):
                    yield self._taken(buffer)
            if self._slots.steps_back:
                raise DisorderError
            yield from self._relieve(buffers)
        for slot in sorted(buffers, key=self._slots.order):
            if buffers[slot].rows:
                yield self._taken(buffers[slot])

    def _relieve(self, buffers: dict[int, Buffer]) -> Iterator[pa.Table]:
        """Hand on the longest buffer when too many rows wait."""
        if sum(buffer.rows for buffer in buffers.values()) > WAITING_ROWS:
            yield self._taken(max(buffers.values(), key=lambda buffer: buffer.rows))

    def _sorted_books(self) -> Iterator[pa.Table]:
        slices = self._survey()
        told, refused = self._slots, self._refused
        for low, high in slices:
            # What was counted and set aside by the survey is not counted again.
            self._slots, self._refused = told.fresh(), Refused()
            buffers: dict[int, Buffer] = {}
            for words, slot_of in self._chunks((low, high)):
                for slot in _present(slot_of):
                    buffer = buffers.setdefault(slot, Buffer(self._table))
                    self._fill(words, slot_of, np.flatnonzero(slot_of == slot), buffer)
            for slot in sorted(buffers, key=self._slots.order):
                buffer = buffers[slot]
                if told.is_disordered(self._slots.key(slot)):
                    buffer.reorder(_time_order(*buffer.of_slot(slot)), slot)
                if buffer.rows:
                    yield self._taken(buffer)
        self._slots, self._refused = told, refused

    def _survey(self) -> list[tuple[int, int]]:
        """Judge and count all records, keep none; returns slices of time that are small enough to be sorted."""
        low, high = self._window
        counts = np.zeros((high - low) // NS_PER_MINUTE, dtype=np.int64)
        scratch = Buffer(self._table)
        for words, slot_of in self._chunks(self._window):
            mine = np.flatnonzero(slot_of >= 0)
            self._fill(words, slot_of, mine, scratch)
            counts += np.bincount((words[mine, 1] - low) // NS_PER_MINUTE, minlength=len(counts))
            scratch.clear()
        self._steps_back = self._slots.steps_back
        part = np.cumsum(counts) // SLICE_ROWS
        starts = np.flatnonzero(np.diff(part, prepend=-1)) * NS_PER_MINUTE + low
        edges = [low, *(int(start) for start in starts[1:]), high]
        return list(itertools.pairwise(edges))

    def _fill(self, words: np.ndarray, slot_of: np.ndarray, chosen: np.ndarray, buffer: Buffer) -> np.ndarray:
        """Turn records into rows; returns those that did not fit."""
        codes = np.zeros(len(words), dtype=np.uint8)
        while True:
            buffer.make_room()
            used, buffer.rows = dbn.book_rows(
                words, chosen, slot_of, self._rules, self._slots.tally, buffer.columns, buffer.rows, buffer.room, codes
            )
            chosen = chosen[used:]
            if not len(chosen) or buffer.full:
                break
        if codes.any():
            set_aside(self._refused, words, codes, self._part.name, self._first_row)
        return chosen

    def _taken(self, buffer: Buffer) -> pa.Table:
        table = buffer.take(self._session.date, self._slots.numbers, self._slots.names, bare=self._bare)
        buffer.clear()
        return table

    # --- files ----------------------------------------------------------------------------------

    def _chunks(self, window: tuple[int, int]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Records of all files as words, with the slot of each: -1 where it is not wanted."""
        spans: list[tuple[str, dict[Any, tuple[int, int]]]] = []
        for part in self._in_order():
            with part.open() as raw:
                stream = _stream(raw, part.name)
                self._begin(part, stream.header)
                for chunk in stream.chunks():
                    words = chunk.view(np.int64).reshape(len(chunk), -1)
                    self._first_row = stream.records - len(chunk) + 1
                    yield words, self._routed(words, window)
            self.digests[part.name] = stream.digest
            self._others += stream.others
            spans.append((part.name, self._slots.end_of_file()))
            _refuse_overlap(spans, self._session)

    def _in_order(self) -> list[DbnPart]:
        """The files by their first record, so that neither names nor listings decide."""
        if len(self._parts) < 2:  # noqa: PLR2004 - one file has an order
            return list(self._parts)
        return sorted(self._parts, key=_first_received)

    def _begin(self, part: DbnPart, header: Header) -> None:
        end = header.end_ns if header.end_ns is not None else 2**63 - 1
        self._rules = dbn.Rules(TICK_E9, header.start_ns - _LATENCY_NS, end, *self._cover)
        self._part, self._own = part, Symbology.of_header(header)
        self._guessed = None
        self._slots.begin_file()

    def _routed(self, words: np.ndarray, window: tuple[int, int]) -> np.ndarray:
        slot_of = np.full(len(words), -1, dtype=np.int32)
        at = 0
        while True:
            at, why = self._slots.route(words, at, window, slot_of)
            if why == dbn.DONE:
                return slot_of
            if why == dbn.BAD_EPOCH:
                raise self._bad_epoch(words, at)
            self._learn(int(words[at, 0]) >> 32 & 0xFFFFFFFF, int(words[at, 1]))

    def _learn(self, number: int, ts_ns: int) -> None:
        """Find out what an id stands for."""
        meaning = self._own.meaning(number, ts_ns) or self._part.symbology.meaning(number, ts_ns)
        if meaning is not None:
            self._slots.add(number, meaning)
            return
        if self._guessed is None:
            self._guessed = self._guess()
        self._slots.add_guess(number, number in self._guessed)

    def _guess(self) -> set[int]:
        """Read the file once more for prices, where nothing says what its ids are."""
        prices: dict[int, list[np.ndarray]] = {}
        lots: Counter[int] = Counter()
        low, high = self._window
        with self._part.open() as raw:
            for chunk in _stream(raw, self._part.name).chunks():
                mine = chunk[(chunk["ts_event"] >= low) & (chunk["ts_event"] < high)]
                for number in np.unique(mine["instrument_id"]).tolist():
                    rows = mine[mine["instrument_id"] == number]
                    lots[number] += int(rows["size"][rows["action"] == b"T"].sum(dtype=np.int64))
                    defined = rows["price"][rows["price"] != 2**63 - 1]
                    if sum(map(len, prices.setdefault(number, []))) < _PRICES:
                        prices[number].append(defined.copy())
        merged = {number: np.concatenate(found) for number, found in prices.items()}
        return likely_outrights(merged, lots, self._part.name)

    def _bad_epoch(self, words: np.ndarray, at: int) -> SourceError:
        found = int(words[at, 1])
        unit = next((u for u, f in _UNITS.items() if _YEARS[0] <= found * f < _YEARS[1]), "")
        msg = f"ts_event {found} is not a time between 2000 and 2100" + (f"; it looks like {unit}" if unit else "")
        hint = "times must be nanoseconds since 1970, UTC"
        return SourceError(msg, hint=hint, file=self._part.name, row=self._first_row + at, column="ts_event")

    # --- what was noticed -----------------------------------------------------------------------

    def _judge(self) -> None:
        bad, good = self._refused.total, self._slots.rows
        if bad > MAX_SHARE * (bad + good):
            counts = dict(self._refused.counts)
            msg = f"{bad:,} of {bad + good:,} rows break a rule ({counts}); first {self._refused.first}"
            raise QuarantineError(msg, hint="fetch the file again", table=self._table.name, partition=self._session.key)

    @property
    def quarantined(self) -> pa.Table | None:
        """Rows set aside: reason, file, row and values; None if there is none."""
        return self._refused.table

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What the user should know about a session that was taken."""
        rows, lots = self._slots.excluded_totals
        found = self._refused.findings
        for kind, count, text, level in (
            ("excluded", rows, f"rows of spreads and other instruments were left out ({lots:,} lots)", "info"),
            ("steps_back", self._steps_back, "times the clock of a contract stepped back; it was sorted", "warning"),
            ("other_records", self._others, "records of other types were passed over", "info"),
            ("guessed", self._slots.guesses, "instruments without symbology, told by their price", "warning"),
        ):
            found += [Finding(kind, f"{count:,} {text}", count, level=level)] if count else []
        if not self._slots.rows:
            found.append(Finding("no_rows", "the files hold no record of an outright contract in this session"))
        return tuple(found)

    @property
    def facts(self) -> dict[str, str]:
        """What the footer says beside the manifest: contracts, what was left out, minutes covered, sources."""
        first = (self._session.open_ns - self._cover[0]) // NS_PER_MINUTE
        return {
            **self._slots.facts(self._cover[0], first),
            "quarantined": str(self._refused.total),
            "steps_back": str(self._steps_back),
            "sources": ",".join(sorted(self.digests.values())),
        }


def _present(slot_of: np.ndarray) -> list[int]:
    """The slots of a chunk, ascending."""
    low, high = int(slot_of.min()), int(slot_of.max())
    if low == high:
        return [low] if low >= 0 else []
    return [int(slot) for slot in np.flatnonzero(np.bincount(slot_of + 1)[1:])]


def _time_order(ts_event: np.ndarray, sequence: np.ndarray) -> np.ndarray:
    """By time, then sequence, then place."""
    return np.lexsort((sequence, ts_event))


def _stream(raw: BinaryIO, name: str) -> RecordStream | ParquetStream:
    return ParquetStream(raw, name) if name.endswith(".parquet") else RecordStream(raw, name)


def _first_received(part: DbnPart) -> tuple[int, int, str]:
    with part.open() as raw:
        for chunk in _stream(raw, part.name).chunks(64):
            return int(chunk["ts_recv"][0]), int(chunk["ts_event"][0]), chunk[:1].tobytes().hex()
    return 0, 0, ""


def _refuse_overlap(spans: list[tuple[str, dict[Any, tuple[int, int]]]], session: Session) -> None:
    """Refuse the newest file if an earlier one holds one of its contracts over the same interval."""
    name, mine = spans[-1]
    for other, theirs in spans[:-1]:
        for key, (low, high) in mine.items():
            if key in theirs and low < theirs[key][1] and theirs[key][0] < high:
                msg = f"{other} and {name} both hold {key[1]} between {max(low, theirs[key][0])} and"
                msg += f" {min(high, theirs[key][1])} (ts_recv, ns)"
                raise SourceError(msg, hint="keep one of them", file=name, partition=session.key)
