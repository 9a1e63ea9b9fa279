"""Stored partitions made again in memory, from their inputs as they are or altered: what audits go by.

The rows come from the code and the inputs that a run would use; the only difference is that inputs may pass through a
change on their way from the lake to the family. Nothing is written.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Sequence
from typing import TypeAlias

import pyarrow as pa

from raypipe.acquisition.receipts import corporate_file
from raypipe.calendar import calendar
from raypipe.config import Config
from raypipe.errors import SourceError, StorageError
from raypipe.lake.footer import read_footer, stored_schema
from raypipe.lake.objects import is_missing
from raypipe.lake.store import Lake
from raypipe.pipeline.book_files import BOOK_RAW
from raypipe.pipeline.books import book_rows
from raypipe.pipeline.daily_files import daily_rows
from raypipe.pipeline.job import Job, Target
from raypipe.pipeline.nodes import ONCE, Node, Nodes
from raypipe.pipeline.plan import make_job
from raypipe.pipeline.raw import RAW_DATASETS, parse_once
from raypipe.pipeline.stages import enabled_stages, family_catalog, stage_named
from raypipe.pipeline.work import Work, compute_family
from raypipe.schema.daily_bars import OHLCV_1D
from raypipe.schema.family import linked
from raypipe.schema.known import decided_by, known_by
from raypipe.schema.spec import Table
from raypipe.schema.streams import Stream, WholeTable
from raypipe.sources.polygon import BronzeParams, FlatFile, OutOfOrderError
from raypipe.sources.polygon_keys import key_of

__all__ = ["Change", "Rebuild", "Replay"]

#: Alters the rows of one input partition; it may read the columns given and that which says when rows were known.
Change: TypeAlias = Callable[[Table, str, pa.Table], pa.Table]


class Replay:
    """The stored partitions of a lake, and how each would be made now.

    Parameters
    ----------
    config
        The configuration; it names the lake.
    """

    def __init__(self, config: Config) -> None:
        params = linked(config.params)
        self._lake = Lake(config.lake.location)
        self._nodes = Nodes(self._lake, params, enabled_stages(params), allow_holes=config.run.allow_holes)
        self._plain = {name: one.model_dump(mode="json") for name, one in params.items()}

    @property
    def tables(self) -> dict[str, Table]:
        """Every table that is switched on, in stage order."""
        return {name: self._nodes.view(name).table for name in self._nodes.tables()}

    def partitions(self, name: str) -> list[str]:
        """Partitions of a table that the lake holds, sorted."""
        return sorted(self._nodes.view(name).partitions)

    def is_source(self, name: str) -> bool:
        """Whether a table is made of raw files, not by a family."""
        return self._nodes.view(name).stage.name not in family_catalog()

    def inputs(self, name: str) -> list[str]:
        """Tables that a table is made of."""
        return list(dict.fromkeys(read.table for read in self._nodes.view(name).reads))

    def node(self, name: str, partition: str) -> Node:
        """The state of a partition, and why."""
        return self._nodes.node(name, partition)

    def stored(self, name: str, partition: str) -> pa.Table:
        """A partition as it is stored.

        Raises
        ------
        PartitionError
            If it is damaged, or another one than the plan saw.
        """
        spec = self._nodes.view(name).table
        return self._lake.read(spec, partition, fingerprint=self.node(name, partition).fingerprint)

    def stored_roles(self, name: str, partition: str) -> dict[str, str]:
        """The role of each column by the file itself: its fields and, where it has one, the list in its footer.

        Where the two differ, the role reads ``FIELD, but FOOTER in the footer``.
        """
        spec = self._nodes.view(name).table
        with self._lake.store.open(self._lake.key(spec, partition)) as source:
            schema = stored_schema(read_footer(source))
        roles = {field.name: (field.metadata or {}).get(b"role", b"").decode() for field in schema}
        manifest = self._lake.manifest(spec, partition)
        listed = json.loads(manifest.facts.get("roles", "{}")) if manifest else {}
        differing = {column: role for column, role in listed.items() if roles.get(column) != role}
        return roles | {c: f"{roles.get(c, 'absent')}, but {role} in the footer" for c, role in differing.items()}

    def rebuild(self, name: str, partitions: Sequence[str]) -> Rebuild:
        """Some stored partitions of one table, ready to be made again together."""
        return Rebuild(make_job(self._lake, self._nodes, [self.node(name, key) for key in partitions], self._plain))


class Rebuild(Work):
    """Partitions of one table that are made in memory, as often as wanted. What they read is read once.

    Parameters
    ----------
    job
        The job that would build them.
    """

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        self._change: Change | None = None
        self._read: dict[tuple[str, str, tuple[str, ...]], pa.Table] = {}

    def rows(self, change: Change | None = None) -> list[pa.Table]:
        """The rows of each partition, with every input changed first.

        Raises
        ------
        UserDataError
            If an input is not what the plan saw, or the family refuses it.
        """
        targets = self.job.targets
        if targets[0].stage not in family_catalog():
            return [_source_rows(self, target) for target in targets]
        self._change = change
        return compute_family(self, targets)[1]

    def load(self, name: str, partition: str, columns: tuple[str, ...]) -> pa.Table:
        """Read an input, and change it."""
        spec = self.table(name)
        times = known_by(spec).column, decided_by(spec).column
        known = times if spec.grain != "once" else spec.names
        wanted = tuple(dict.fromkeys((*columns, *known))) if columns else ()
        key = (name, partition, wanted)
        if key not in self._read:
            expected = {ref.partition: ref.fingerprint for ref in self.job.inputs[name]}[partition]
            self._read[key] = self.lake.read(spec, partition, wanted, fingerprint=expected)
        rows = self._read[key] if self._change is None else self._change(spec, partition, self._read[key])
        return rows.select(columns) if columns else rows

    def stream(self, name: str, partition: str, columns: tuple[str, ...]) -> Stream:
        """An input, changed as a whole."""
        return WholeTable(self.load(name, partition, columns))


def _source_rows(work: Work, target: Target) -> pa.Table:
    """The rows that a raw file gives by itself."""
    if target.table == OHLCV_1D.name:
        return daily_rows(work, target, [])
    stage = stage_named(target.stage)
    table, raw = work.table(target.table), stage.reads(work.params(stage))[0].table
    if target.partition == ONCE:
        file = corporate_file(work.lake.store, raw.removeprefix("raw/"), save=False)
        key = file.key if file else raw
        return parse_once(table.name, _raw_bytes(work, key), key)
    if raw in BOOK_RAW:
        return book_rows(work, target)
    session = calendar().session(dt.date.fromisoformat(target.partition))
    key = f"raw/{key_of(RAW_DATASETS[raw], session.date)}"
    params = work.params(stage)
    assert isinstance(params, BronzeParams)
    flat = FlatFile.from_gzip(_raw_bytes(work, key), key, table, session, params)
    try:
        blocks = list(flat.blocks(sort=False))
    except OutOfOrderError:
        blocks = list(flat.blocks(sort=True))
    return pa.concat_tables([table.empty(), *blocks])


def _raw_bytes(work: Work, key: str) -> bytes:
    try:
        return work.lake.store.read(key)
    except StorageError as error:
        if not is_missing(error):
            raise
        msg = "the raw file is gone since the plan was made"
        raise SourceError(msg, hint="ingest it again, then run again", file=key) from error
