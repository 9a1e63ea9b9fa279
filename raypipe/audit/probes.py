"""One table put to the proof: its sampled partitions made again with other futures, value held against value."""

from __future__ import annotations

import datetime as dt
import zlib
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raypipe.audit.compare import Paired
from raypipe.audit.futures import Cut, Noise
from raypipe.audit.sampling import cut_times, sessions_of
from raypipe.audit.tally import Faults, Tally, Where
from raypipe.audit.verdicts import Problem, TableReport, exchange_time
from raypipe.calendar import Session, at_exchange_time, calendar
from raypipe.errors import PartitionError, RaypipeError, UnavailableError
from raypipe.pipeline.nodes import Node
from raypipe.pipeline.replay import Rebuild, Replay
from raypipe.schema.known import decided_by, decided_ns, has_labels, known_by, known_ns
from raypipe.schema.spec import Table

__all__ = ["TableAudit"]

#: Moments tried in one partition.
MOMENTS = 6
#: Later partitions that are made together with one, of noise, to see whether it knows of its company.
COMPANY = 2


@dataclass(frozen=True, slots=True)
class _Rows:
    """Rows of one partition with the times that they are judged by, int64 (rows,) each."""

    table: pa.Table
    decided: np.ndarray
    known: np.ndarray

    @classmethod
    def of(cls, spec: Table, rows: pa.Table) -> _Rows:
        return cls(rows, decided_ns(spec, rows), known_ns(spec, rows))


class TableAudit:
    """The proof of one table, partition by partition.

    Parameters
    ----------
    replay
        The lake.
    name
        The table.
    seed
        Of the moments and of the noise.
    """

    def __init__(self, replay: Replay, name: str, seed: int) -> None:
        self._replay, self._name, self._seed = replay, name, seed
        self._spec = replay.tables[name]
        self._tally = Tally(self._spec)
        self._labels = {column.name for column in self._spec.columns if column.role == "label"}
        if self._labels and known_by(self._spec) != decided_by(self._spec):
            self._labels.add(known_by(self._spec).column)  # when labels are settled is itself news
        # What later splits restate is no feature; that the rows come again is asked of it all the same.
        self._restated = {column.name for column in self._spec.columns if column.role == "vintage"}
        self._features = [name for name in self._spec.names if name not in self._labels | self._restated]
        self._problems: list[Problem] = []
        self._partitions: list[str] = []
        self._rows = self._moments = self._altered = 0
        self._doing = ""

    def report(self) -> TableReport:
        """What was found."""
        counts = self._rows, self._moments, self._altered
        return TableReport(self._name, tuple(self._partitions), *counts, self._tally.verdicts(), tuple(self._problems))

    def prove(self, partition: str) -> None:
        """Prove a stored partition; what cannot be proved is noted.

        Raises
        ------
        UnavailableError
            If the storage cannot be used.
        """
        self._partitions.append(partition)
        self._doing = "could not be made again"
        try:
            obstacle = _obstacle(self._replay.node(self._name, partition))
            if obstacle:
                self._problems.append(Problem(partition, "stale", obstacle))
            else:
                self._prove(partition)
        except UnavailableError:
            raise
        except Exception as error:  # noqa: BLE001 - a family that fails is a finding, and the others go on
            text = str(error) if isinstance(error, RaypipeError) else f"{type(error).__name__}: {error}"
            self._problems.append(Problem(partition, "failed", f"{self._doing}: {text}"))

    def _prove(self, partition: str) -> None:
        rebuild = self._replay.rebuild(self._name, (partition,))
        base = _Rows.of(self._spec, rebuild.rows()[0])
        self._rows += base.table.num_rows
        self._tally.rows(base.table)
        self._same_again(partition, base.table)
        self._apart_by_role(partition)
        if self._replay.is_source(self._name):
            self._of_own_session(partition, base)
        else:
            self._in_other_futures(partition, base, rebuild)

    # --- without another future -------------------------------------------------------------------

    def _same_again(self, partition: str, rows: pa.Table) -> None:
        """What is stored comes of the inputs again."""
        pairs = Paired(self._spec.key, self._replay.stored(self._name, partition), rows)
        where = Where(partition, "rebuild")
        for name in self._spec.names:
            self._tally.compared(name, len(pairs.rows))
            self._tally.differs(name, pairs.unequal(name), where)
        for name in self._spec.key:
            self._tally.differs(name, pairs.lonely(name, pairs.missing, pairs.extra), where)

    def _apart_by_role(self, partition: str) -> None:
        """Labels and features are apart: in the file as in the declaration, and by name."""
        where = Where(partition, "declared")
        roles = self._replay.stored_roles(self._name, partition)
        labels = {c.name: t.name for t in self._replay.tables.values() for c in t.columns if c.role == "label"}
        for column in self._spec.columns:
            stored = roles.get(column.name, "")
            if stored != column.role:
                mixed = "label" in (stored.partition(",")[0], column.role)
                note = self._tally.leaks if mixed else self._tally.differs
                note(column.name, [(1, {}, f"role {stored}", f"role {column.role}")], where)
            owner = labels.get(column.name) or labels.get(column.alias_of)
            if column.role == "feature" and owner:
                self._tally.leaks(column.name, [(1, {}, f"a label of {owner}", "role feature")], where)

    def _of_own_session(self, partition: str, base: _Rows) -> None:
        """Rows of a raw file are known within its own session."""
        column = known_by(self._spec).column
        for session in sessions_of(self._spec, partition):
            start = _first_ns(self._spec, session)
            bad = np.flatnonzero((base.known < start) | (base.known > session.ext_end_ns))
            if len(bad):
                row = base.table.slice(int(bad[0]), 1).to_pylist()[0]
                fault = (len(bad), {name: row[name] for name in self._spec.key}, row[column], f"within {partition}")
                self._tally.leaks(column, [fault], Where(partition, "declared"))

    # --- other futures ----------------------------------------------------------------------------

    def _in_other_futures(self, partition: str, base: _Rows, rebuild: Rebuild) -> None:
        mark = self._tally.mark()
        moments = self._cut_times(partition, base)
        for at_ns in moments:
            self._moments += 1
            cut = Cut(at_ns, self._seed, for_labels=has_labels(self._spec))
            self._hold(base, self._altered_rows(rebuild, cut)[0], Where(partition, "cut", at_ns))
            noise = Noise(at_ns, self._seed, _symbols(base.table))
            later = self._company(partition) if at_ns == moments[-1] else {}
            together = self._replay.rebuild(self._name, (partition, *later)) if later else rebuild
            rows, *others = self._altered_rows(together, noise)
            self._hold(base, rows, Where(partition, "noise", at_ns))
            for stored, altered in zip(later.values(), others, strict=True):
                # These are of the noise themselves: where they change, it could have been seen.
                self._tally.moved(self._features, Paired(self._spec.key, stored, altered))
        if self._tally.since(mark):
            self._tell_from_chance(partition, base, rebuild, mark)

    def _cut_times(self, partition: str, base: _Rows) -> list[int]:
        times = np.concatenate([base.decided, base.known]) if self._labels else base.decided
        times = times[times < np.iinfo(np.int64).max]  # a row without labels is never settled
        if not len(times):
            return [session.ext_end_ns for session in sessions_of(self._spec, partition)[-1:]]
        return cut_times(times, MOMENTS, np.random.default_rng([self._seed, zlib.crc32(partition.encode())]))

    def _altered_rows(self, rebuild: Rebuild, change: Cut | Noise) -> list[pa.Table]:
        what = "the future cut off" if isinstance(change, Cut) else "noise for a future"
        self._doing = f"could not be made with {what} from {exchange_time(change.at_ns)} on"
        with np.errstate(all="ignore"):
            rows = rebuild.rows(change)
        self._altered += change.touched
        return rows

    def _company(self, partition: str) -> dict[str, pa.Table]:
        """The next partitions, to be made together with one: none may know what else is built along with it."""
        stored = self._replay.partitions(self._name)
        found: dict[str, pa.Table] = {}
        for key in stored[stored.index(partition) + 1 :][:COMPANY]:
            if _obstacle(self._replay.node(self._name, key)):
                break
            try:
                found[key] = self._replay.stored(self._name, key)
            except PartitionError:
                break  # damaged: that is its own problem, not this partition's
        return found

    def _hold(self, base: _Rows, altered: pa.Table, where: Where) -> None:
        """Hold altered rows against those of the true future: what was decided, or settled, by then is the same."""
        pairs = Paired(self._spec.key, base.table, altered)
        early, settled = base.decided[pairs.rows] <= where.at_ns, base.known[pairs.rows] <= where.at_ns
        for name in self._spec.names:
            if name in self._restated:
                continue
            must, may = (settled, early & ~settled) if name in self._labels else (early, ~early)
            self._tally.compared(name, int(must.sum()))
            self._tally.leaks(name, pairs.unequal(name, must), where)
            self._tally.moved((name,), pairs, may)
        missing = self._by_then(base, pairs.missing, where)
        extra = self._by_then(_Rows.of(self._spec, altered), pairs.extra, where)
        for name in self._spec.key:
            self._tally.leaks(name, pairs.lonely(name, missing, extra), where)

    def _by_then(self, rows: _Rows, at: np.ndarray, where: Where) -> np.ndarray:
        """Those of some rows that must be there by a moment. Rows of labels may be chosen by whether they have one."""
        there: np.ndarray = rows.decided[at] <= where.at_ns
        if self._labels:
            there &= rows.known[at] <= where.at_ns
        by_then: np.ndarray = at[there]
        return by_then

    def _tell_from_chance(self, partition: str, base: _Rows, rebuild: Rebuild, mark: dict[str, Faults]) -> None:
        """A column that changes from one time to the next does not leak: it cannot be made again at all."""
        self._doing = "could not be made again"
        pairs, where = Paired(self._spec.key, base.table, rebuild.rows()[0]), Where(partition, "rebuild")
        for name in self._tally.since(mark):
            if pairs.changed(name).any():
                self._tally.take_back(name, mark)
                self._tally.differs(name, pairs.unequal(name), where)


def _first_ns(spec: Table, session: Session) -> int:
    """When the first row of a raw file may be known: futures trade from the evening before on, or from Friday's."""
    if spec.key:
        return at_exchange_time(session.date, dt.time(0))
    before = calendar().offset(session.date, -1)
    return at_exchange_time(before, dt.time(17))


def _obstacle(node: Node) -> str:
    """Why a stored partition cannot be made again as it is; empty if it can."""
    if node.state != "current":
        return f"{node.state}: {node.reason}"
    return "" if node.refs else "its raw file is gone"


def _symbols(rows: pa.Table) -> pa.Array:
    """Distinct symbols of some rows."""
    if "symbol" not in rows.column_names:
        return pa.array([], pa.string())
    return pc.unique(rows["symbol"].cast(pa.string()))
