"""Which symbols of a session may be traded: by the vendor's list of types, else by how they are spelled.

The universe is the session's own: the symbols of its day bars, or of its minute bars where no day file
exists. Nothing is deleted; later tables keep the tradable symbols only.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raypipe.calendar import Session
from raypipe.errors import BlockedError
from raypipe.features.panel import stack
from raypipe.schema.family import Family, Finding, Inputs, Params, Read, Result
from raypipe.schema.frames import codes_of, date_array, dictionary_array
from raypipe.schema.spec import Table
from raypipe.schema.tables import DAY_AGGS, MINUTE_AGGS, REFERENCE, SYMBOL_TYPES

__all__ = ["FAMILY", "REASONS", "SymbolsParams"]

#: First match decides; on the vendor's own spelling, case-sensitive. Anything unmatched is kept.
REASONS: tuple[tuple[str, str], ...] = (
    ("test", r"^(Z[A-Z]ZZT|[ABCMNPTZ]TEST(\.[A-Z])?|(?s:.*)\.TEST|ZEXIT|ZIEXT|ZXIET|ZVV|IGZ|ZZK)$"),
    ("preferred", r"^[A-Z.]+p[A-Z]?$"),
    ("warrant", r"\.W(S(\.[A-Z])?)?$|^[A-Z]{4}W$"),
    ("unit", r"\.U$|^[A-Z]{4}U$"),
    ("right", r"r$|\.RT?$|^[A-Z]{4}R$"),
    ("when_issued", r"w$|\.(WI|WD|CL|CV|PP)$"),
    ("odd", r"[^A-Za-z.]|^$|^(?s:.{17,})$"),
)
#: A fifth letter that makes a preferred share, if the other four are themselves a symbol of the session.
_PREFERRED_OF_ROOT = r"^[A-Z]{4}[PONM]$"
_KEPT = ""
_LABELS = (_KEPT, *(name for name, _ in REASONS))
_PREFERRED = _LABELS.index("preferred")


class SymbolsParams(Params):
    """Which vendor types are shares or funds.

    Attributes
    ----------
    keep_types
        Type codes of the reference list that stay tradable; every other code goes.
    """

    keep_types: tuple[str, ...] = ("CS", "ADRC", "OS", "GDR", "NYRS", "ETF", "ETN", "ETV", "ETS", "FUND")


def table(_: SymbolsParams) -> Table:
    """The table provided: `silver/symbol_types`."""
    return SYMBOL_TYPES


def requires(_: SymbolsParams) -> tuple[Read, ...]:
    """The session's symbols, and the reference snapshots that it may know."""
    return (
        Read(DAY_AGGS.name, ("symbol",), optional=True),
        Read(MINUTE_AGGS.name, ("symbol",), optional=True, unless=DAY_AGGS.name),
        Read(REFERENCE.name, optional=True, rows=known_snapshots),
    )


def known_snapshots(reference: pa.Table, first: dt.date, last: dt.date) -> pa.Table:
    """The snapshots that sessions [first, last] use: the latest at or before each, else the earliest."""
    dates = pc.unique(reference["as_of"]).sort().to_pylist()
    used = {_snapshot_of(dates, first), *(date for date in dates if first <= date <= last)}
    return reference.filter(pc.is_in(reference["as_of"], value_set=pa.array(sorted(d for d in used if d), pa.date32())))


def _snapshot_of(dates: Iterable[dt.date], session: dt.date) -> dt.date | None:
    known = sorted(dates)
    past = [date for date in known if date <= session]
    return past[-1] if past else known[0] if known else None


def compute(inputs: Inputs, params: SymbolsParams) -> Result:
    """One row per symbol of each session's universe, sorted by symbol."""
    sources = [_universe(inputs, target.date) for target in inputs.targets]
    names, codes = codes_of([pa.chunked_array([symbols]) for symbols in sources])
    spelled = _Spelling.of(names)
    reference = _Reference(inputs.once(REFERENCE.name), names, params)
    parts, findings = [], []
    for target, rows in zip(inputs.targets, codes, strict=True):
        traded = np.zeros(len(names), dtype=bool)
        traded[rows] = True
        universe = np.flatnonzero(traded).astype(np.int32)
        snapshot = reference.at(target.date)
        parts.append(_session(target, universe, spelled, snapshot, names))
        findings += reference.findings(target.date, universe)
    return Result(stack(SYMBOL_TYPES, parts), tuple(findings))


def _universe(inputs: Inputs, date: dt.date) -> pa.DictionaryArray:
    """The symbols of day bars, or of minute bars if there is no day file."""
    for name in (DAY_AGGS.name, MINUTE_AGGS.name):
        found = inputs.partitions(name).get(date)
        if found is not None:
            column = found["symbol"].combine_chunks()
            return column.chunk(0) if isinstance(column, pa.ChunkedArray) else column
    msg = "neither day bars nor minute bars of the session exist"
    raise BlockedError(msg, hint="build bronze first", table=DAY_AGGS.name, partition=date.isoformat())


@dataclass(frozen=True, slots=True)
class _Spelling:
    """What spelling says of each name: a verdict, and the root whose presence makes it a preferred share."""

    verdicts: np.ndarray
    roots: np.ndarray

    @classmethod
    def of(cls, names: pa.Array) -> _Spelling:
        verdicts = np.zeros(len(names), dtype=np.int32)
        for label in range(len(REASONS), 0, -1):  # the first match is written last
            verdicts[_matches(names, REASONS[label - 1][1])] = label
        rooted = _matches(names, _PREFERRED_OF_ROOT) & ((verdicts == 0) | (verdicts > _PREFERRED))
        root = pc.index_in(pc.utf8_slice_codeunits(names, 0, 4), value_set=names).fill_null(-1).to_numpy()
        return cls(verdicts, np.where(rooted, root, -1))

    def within(self, universe: np.ndarray) -> np.ndarray:
        """Verdict of each symbol of a universe (sorted codes), int32."""
        present = np.zeros(len(self.roots) + 1, dtype=bool)  # the last one stands for "no root"
        present[universe] = True
        return np.where(present[self.roots[universe]], _PREFERRED, self.verdicts[universe])


def _matches(names: pa.Array, pattern: str) -> np.ndarray:
    matches: np.ndarray = pc.match_substring_regex(names, pattern).to_numpy(zero_copy_only=False)
    return matches


@dataclass(frozen=True, slots=True)
class _Snapshot:
    """Vendor types of one snapshot, per name: code of the type, -1 where the list has no such symbol."""

    types: np.ndarray
    labels: pa.Array
    keep: np.ndarray
    rows: int


class _Reference:
    """The reference snapshots of a read, looked up by session."""

    def __init__(self, rows: pa.Table | None, names: pa.Array, params: SymbolsParams) -> None:
        self._rows, self._names, self._keep = rows, names, pa.array(params.keep_types, pa.string())
        self.dates: list[dt.date] = [] if rows is None else pc.unique(rows["as_of"]).to_pylist()
        self._loaded: dict[dt.date, _Snapshot] = {}

    def at(self, session: dt.date) -> _Snapshot | None:
        date = _snapshot_of(self.dates, session)
        if date is None or self._rows is None:
            return None
        if date not in self._loaded:
            rows = self._rows.filter(pc.equal(self._rows["as_of"], pa.scalar(date)))
            types = rows["type"].cast(pa.string()).combine_chunks().dictionary_encode()
            position = pc.index_in(self._names, value_set=rows["symbol"].cast(pa.string()).combine_chunks())
            codes = types.indices.take(position).fill_null(-1).to_numpy()
            keep = pc.is_in(types.dictionary, value_set=self._keep).to_numpy(zero_copy_only=False)
            self._loaded[date] = _Snapshot(codes, types.dictionary, keep, rows.num_rows)
        return self._loaded[date]

    def findings(self, session: dt.date, universe: np.ndarray) -> list[Finding]:
        date, snapshot = _snapshot_of(self.dates, session), self.at(session)
        if date is None or snapshot is None:
            return []
        found, where = [], session.isoformat()
        if date > session:
            message = f"no reference snapshot is as old as the session; the earliest, of {date}, stands in"
            found.append(Finding("reference_from_later", message, partition=where))
        unused = snapshot.rows - int((snapshot.types[universe] >= 0).sum())
        if unused:
            message = "reference rows whose symbol did not trade were passed over"
            found.append(Finding("reference_unknown_symbol", message, unused, level="info", partition=where))
        return found


def _session(
    target: Session, universe: np.ndarray, spelled: _Spelling, snapshot: _Snapshot | None, names: pa.Array
) -> pa.Table:
    count = len(universe)
    verdicts = spelled.within(universe)
    labels = ["PATTERN", *_LABELS]
    types, reasons, listed = np.zeros(count, np.int32), verdicts + 1, np.zeros(count, dtype=bool)
    if snapshot is not None:
        codes = snapshot.types[universe]
        listed = codes >= 0
        first = len(labels)
        vendor = snapshot.labels.to_pylist()
        labels += [*vendor, *(f"type:{name}" for name in vendor)]
        kept = np.append(snapshot.keep, False)[codes]
        types = np.where(listed, first + codes, types)
        reasons = np.where(listed, np.where(kept, 1, first + len(vendor) + codes), reasons)
    words = pa.array(labels, pa.string())
    tradable = reasons == 1
    return SYMBOL_TYPES.build(
        {
            "session": date_array(target.date, count),
            "symbol": dictionary_array(universe, names),
            "type": _words(types, words),
            "tradable": pa.array(tradable),
            "reason": _words(reasons, words, null=tradable),
            "source": _words(listed.astype(np.int32), pa.array(["pattern", "reference"], pa.string())),
            "available_ns": pa.array(np.full(count, target.ext_end_ns)),
        }
    )


def _words(codes: np.ndarray, words: pa.Array, *, null: np.ndarray | None = None) -> pa.DictionaryArray:
    """Words by code, null where said, on a dictionary of just those in use."""
    if null is None or not null.any():
        return dictionary_array(codes, words)
    if null.all():
        return pa.DictionaryArray.from_arrays(pa.nulls(len(codes), pa.int32()), pa.array([], pa.string()))
    packed = dictionary_array(codes[~null], words)
    indices = np.zeros(len(codes), dtype=np.int32)
    indices[~null] = packed.indices.to_numpy()
    return pa.DictionaryArray.from_arrays(pa.array(indices, mask=null), packed.dictionary)


FAMILY = Family("symbols", 1, SymbolsParams, table, requires, compute, cost=0.03, chunk=63, fuse="day")
