"""The source stages of books and option prints: raw files of the vendors to bronze by session."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, ClassVar, Protocol

import pyarrow as pa

from raypipe.calendar import calendar
from raypipe.errors import PartitionError, SourceError
from raypipe.lake.writer import Receipt
from raypipe.pipeline.book_files import BOOK_RAW, BookFile, BookFiles
from raypipe.pipeline.job import Target
from raypipe.pipeline.stages import Built, Stage
from raypipe.pipeline.work import Work
from raypipe.schema.books import ES_MBP10, ES_TRADES, SPY_OPTION_TRADES
from raypipe.schema.family import Finding, Read
from raypipe.schema.signals import SignalPart
from raypipe.schema.spec import Table
from raypipe.sources.databento_bronze import BookSession, DbnPart, DisorderError
from raypipe.sources.options import OptionFile, OptionTrades

__all__ = ["BOOK_SOURCES", "BookParams", "OptionPrintParams", "book_rows", "check_sources"]

#: Rows that are handed on in memory; a book is read back by row groups.
_MOST_KEPT_ROWS = 2_000_000


class BookParams(SignalPart):
    """ES books and trades: where the files are does not count, only what they hold."""


class OptionPrintParams(SignalPart):
    """SPY option prints."""

    GROUPS: ClassVar[tuple[str, ...]] = ("options",)


class _Reader(Protocol):
    """Files of one session on their way to rows."""

    @property
    def quarantined(self) -> pa.Table | None: ...

    @property
    def findings(self) -> tuple[Finding, ...]: ...

    @property
    def facts(self) -> dict[str, str]: ...

    def blocks(self) -> Iterator[pa.Table]: ...


def build_books(work: Work, targets: tuple[Target, ...]) -> Iterator[Built]:
    """The files of each session to its bronze partition; rows that break a rule go to quarantine."""
    from raypipe.pipeline.stages import stage_named

    for target in targets:
        yield _Session(work, stage_named(target.stage), target).build()


def book_rows(work: Work, target: Target) -> pa.Table:
    """What the files of one session give by themselves; nothing is written."""
    from raypipe.pipeline.stages import stage_named

    return _Session(work, stage_named(target.stage), target).rows()


class _Session:
    """One session's partition in the making."""

    def __init__(self, work: Work, stage: Stage, target: Target) -> None:
        params = work.params(stage)
        assert isinstance(params, SignalPart)
        self._work, self._stage, self._target, self._params = work, stage, target, params
        self._table = work.table(target.table)
        self._raw = stage.reads(params)[0].table
        self._files = BookFiles(work.lake.store, params.signals.sources)
        self._session = calendar().session(dt.date.fromisoformat(target.partition))

    def build(self) -> Built:
        listed = self._files.files(self._raw, self._target.partition)
        if not listed:
            msg = f"the files of {self._target.partition} are gone since the plan was made"
            raise SourceError(msg, hint="put them back, or run again", file=self._raw)
        files = self._once_each(listed)
        reader = self._reader(files)
        try:
            receipt = self._written(reader, listed)
        finally:
            self._set_aside(reader)
        for file in listed:
            self._files.remember(file, self._files.digest(file))
        return Built(self._target, receipt, (*reader.findings, *self._noticed(listed, files)))

    def rows(self) -> pa.Table:
        """The rows, as they would be written."""
        listed = self._files.files(self._raw, self._target.partition)
        reader = self._reader(self._once_each(listed))
        try:
            blocks = list(reader.blocks())
        except DisorderError:
            reader = self._reader(self._once_each(listed))
            assert isinstance(reader, BookSession)
            blocks = list(reader.blocks(sort=True))
        return pa.concat_tables([self._table.empty(), *blocks]).unify_dictionaries()

    def _once_each(self, listed: Sequence[BookFile]) -> list[BookFile]:
        """The files without those that repeat another; only files of equal size are hashed for that."""
        sizes = Counter(file.size for file in listed)
        found: dict[str, BookFile] = {}
        for file in listed:
            found.setdefault(self._files.digest(file) if sizes[file.size] > 1 else file.name, file)
        return list(found.values())

    def _reader(self, files: Sequence[BookFile]) -> BookSession | OptionTrades:
        opened = {file: partial(self._files.open, file) for file in files}
        if self._table is SPY_OPTION_TRADES:
            prints = [OptionFile(file.name, opened[file]) for file in files]
            return OptionTrades(prints, self._session, self._params.signals.options)
        parts = [DbnPart(file.name, opened[file], self._files.symbology(file)) for file in files]
        return BookSession(parts, self._table, self._session)

    def _written(self, reader: BookSession | OptionTrades, listed: Sequence[BookFile]) -> Receipt:
        try:
            return self._write(reader, reader.blocks(), listed)
        except DisorderError:
            assert isinstance(reader, BookSession)
            return self._write(reader, reader.blocks(sort=True), listed)

    def _write(self, reader: _Reader, blocks: Iterable[pa.Table], listed: Sequence[BookFile]) -> Receipt:
        work, target = self._work, self._target
        with work.lake.writer(self._table, target.partition, work.manifest(self._stage, target, 0)) as writer:
            kept: list[pa.Table] = []
            for block in blocks:
                writer.append(block)
                if work.wants(target) and self._table is not ES_MBP10:
                    kept = [*kept, work.part(target.table, block)] if writer.rows <= _MOST_KEPT_ROWS else []
            writer.facts.update(reader.facts)
            self._check_plan(reader, listed)
        if kept:
            # As a reader would find them: with the facts of the footer.
            work.keep(target, pa.concat_tables(kept).replace_schema_metadata(dict(reader.facts)))
        return writer.receipt

    def _check_plan(self, reader: _Reader, listed: Sequence[BookFile]) -> None:
        """What was read must be what the plan saw; it was hashed on the way."""
        read = reader.digests if isinstance(reader, BookSession) else {}
        digests = [self._files.learnt(file, read.get(file.name)) for file in listed]
        planned = {ref.partition: ref.fingerprint for ref in self._work.job.inputs[self._raw]}
        if self._files.fingerprint(listed, digests) != planned[self._target.partition]:
            msg = "the raw files are not those that the plan saw"
            raise PartitionError(msg, hint="run again", table=self._raw, partition=self._target.partition)

    def _set_aside(self, reader: _Reader) -> None:
        rows = reader.quarantined
        if rows is not None:
            self._work.lake.quarantine(self._target.table, self._target.partition, rows)

    def _noticed(self, listed: Sequence[BookFile], files: Sequence[BookFile]) -> tuple[Finding, ...]:
        repeats = tuple(file.name for file in listed if file not in files)
        found = [Finding("same_file", "files that repeat another were read once", len(repeats), repeats)]
        skipped = self._files.skipped(self._raw, self._target.partition)
        texts = tuple(f"{name}: {why}" for name, why in skipped.items())
        found.append(Finding("skipped_files", "files were passed over", len(texts), texts))
        return tuple(finding for finding in found if finding.count)


def check_sources(files: BookFiles, raw: str) -> None:
    """Refuse sources none of whose files is of use.

    Raises
    ------
    SourceError
        Naming the first file and what is wrong with it.
    """
    if files.partitions(raw):
        return
    skipped = files.skipped(raw)
    for name, why in skipped.items():
        msg = f"none of {len(skipped)} files is of use; of this one: {why}"
        raise SourceError(msg, hint=f"give files of {BOOK_RAW[raw].kind}", file=name)
    msg = "there is no file to build from"
    raise SourceError(msg, hint=f"name files with --source, or put them under {BOOK_RAW[raw].folder}", file=raw)


def _constant(value: Any) -> Callable[[Any], Any]:
    return lambda _params: value


def _source(name: str, raw: str, table: Table, params: type[SignalPart], **hints: Any) -> Stage:
    return Stage(
        name=name,
        step=name,
        version=1,
        params=params,
        table=_constant(table),
        requires=_constant((Read(raw),)),
        build=build_books,
        # Sessions look back on bars of others: those and what they come of are not part of what waits for them.
        fuse="front" if table is ES_TRADES else "signals",
        **hints,
    )


#: Costs are of a session of 500 K trades, 2 M book events and 600 K option prints.
BOOK_SOURCES = (
    _source("es_trades", "raw/es_trades", ES_TRADES, BookParams, cost=0.2, memory=500 << 20),
    _source("es_mbp10", "raw/es_mbp10", ES_MBP10, BookParams, cost=1.4, memory=700 << 20),
    _source("spy_option_trades", "raw/spy_options", SPY_OPTION_TRADES, OptionPrintParams, cost=0.8, memory=700 << 20),
)
