"""The source stages: raw vendor files to bronze tables. The first rows of the pipeline."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa

from raypipe.acquisition.receipts import Receipt, corporate_file, receipt_of, renewed_receipt, save_receipt
from raypipe.calendar import calendar
from raypipe.errors import PartitionError, ShortObjectError, SourceError, StorageError
from raypipe.lake.objects import ObjectStore, is_missing
from raypipe.lake.store import Lake
from raypipe.lake.writer import Receipt as Committed
from raypipe.pipeline.books import BOOK_SOURCES
from raypipe.pipeline.job import Target
from raypipe.pipeline.raw import RAW_DATASETS, parse_once
from raypipe.pipeline.stages import Built, Stage
from raypipe.pipeline.work import Work
from raypipe.schema.family import Finding, Params, Read
from raypipe.schema.spec import Table
from raypipe.schema.tables import DAY_AGGS, MINUTE_AGGS, REFERENCE, SPLITS
from raypipe.sources.polygon import BronzeParams, FlatFile, OutOfOrderError
from raypipe.sources.polygon_keys import key_of

__all__ = ["SOURCES"]

#: Rows that are handed on in memory. A larger table is read back once the text that it came from is gone.
_MOST_KEPT_ROWS = 1_000_000


def build_session(work: Work, targets: tuple[Target, ...]) -> Iterator[Built]:
    """One flat file to its bronze partition; rows that break a rule go to quarantine."""
    from raypipe.pipeline.stages import stage_named

    for target in targets:
        stage = stage_named(target.stage)
        table, raw = work.table(target.table), stage.reads(work.params(stage))[0].table
        key = f"raw/{key_of(RAW_DATASETS[raw], dt.date.fromisoformat(target.partition))}"
        data = _read_raw(work, raw, target.partition, key)
        params = work.params(stage)
        assert isinstance(params, BronzeParams)
        session = calendar().session(dt.date.fromisoformat(target.partition))
        file = FlatFile.from_gzip(data, key, table, session, params)
        del data
        receipt = _convert(work, stage, target, file)
        yield Built(target, receipt, file.findings)


def _convert(work: Work, stage: Stage, target: Target, file: FlatFile) -> Committed:
    try:
        try:
            return _write(work, stage, target, file, sort=False)
        except OutOfOrderError:
            return _write(work, stage, target, file, sort=True)
    finally:
        _quarantine(work.lake, target, file)


def _write(work: Work, stage: Stage, target: Target, file: FlatFile, *, sort: bool) -> Committed:
    table = work.table(target.table)
    with work.lake.writer(table, target.partition, work.manifest(stage, target, 0)) as writer:
        kept: list[pa.Table] = []
        for block in file.blocks(sort=sort):
            writer.append(block)
            if work.wants(target):
                kept = [*kept, work.part(target.table, block)] if writer.rows <= _MOST_KEPT_ROWS else []
        writer.facts.update(file.facts)
    if kept:
        work.keep(target, pa.concat_tables(kept))
    return writer.receipt


def _quarantine(lake: Lake, target: Target, file: FlatFile) -> None:
    """Rows set aside stand beside the lake, whether the file was taken or not."""
    rows = file.quarantined
    if rows is not None:
        lake.quarantine(target.table, target.partition, rows)


def _read_raw(work: Work, raw: str, partition: str, key: str) -> bytes:
    """The file's bytes, if they are still those that the plan saw."""
    try:
        data = work.lake.store.read(key)
    except StorageError as error:
        if not is_missing(error):
            raise
        msg = "the raw file is gone since the plan was made"
        raise SourceError(msg, hint="ingest it again, then run again", file=key) from error
    receipt = receipt_of(work.lake.store, key)
    # Only a listing promises a size: a file that was adopted from disk may be mended where it lies.
    if receipt is not None and receipt.etag and receipt.size != len(data):
        msg = f"short object: {len(data):,} of {receipt.size:,} bytes"
        raise ShortObjectError(msg, hint="ingest it again", file=key)
    sha256 = hashlib.sha256(data).hexdigest()
    if sha256 != {ref.partition: ref.fingerprint for ref in work.job.inputs[raw]}[partition]:
        msg = "the raw file is not the one that the plan saw"
        raise PartitionError(msg, hint="run again", table=raw, partition=partition)
    _note_hash(work.lake.store, key, receipt, sha256)
    return data


def _note_hash(store: ObjectStore, key: str, receipt: Receipt | None, sha256: str) -> None:
    """Spare later plans the hashing of a file that came without a receipt, or was touched since."""
    stat = store.stat(key)
    if stat is not None and not (receipt and receipt.trusted(stat)):
        save_receipt(store, renewed_receipt(stat, receipt, sha256))


def build_once(work: Work, targets: tuple[Target, ...]) -> Iterator[Built]:
    """One corporate file to its bronze table."""
    from raypipe.pipeline.stages import stage_named

    for target in targets:
        stage = stage_named(target.stage)
        table, raw = work.table(target.table), stage.reads(work.params(stage))[0].table
        file = corporate_file(work.lake.store, raw.removeprefix("raw/"))
        if file is None:
            msg = "the raw file is gone since the plan was made"
            raise SourceError(msg, hint="ingest it again, then run again", file=raw)
        noted: list[Finding] = []
        rows = parse_once(table.name, _read_raw(work, raw, target.partition, file.key), file.key, noted)
        manifest = work.manifest(stage, target, rows.num_rows)
        yield Built(target, work.lake.write(table, target.partition, rows, manifest), tuple(noted))


class NoParams(Params):
    """A stage without parameters."""


def _constant(value: Any) -> Callable[[Any], Any]:
    return lambda _params: value


def _session_source(name: str, step: str, raw: str, table: Table, **hints: Any) -> Stage:
    return Stage(
        name=name,
        step=step,
        version=1,
        params=BronzeParams,
        table=_constant(table),
        requires=_constant((Read(raw),)),
        build=build_session,
        **hints,
    )


def _once_source(name: str, raw: str, table: Table) -> Stage:
    return Stage(
        name=name,
        step="symbols",
        version=1,
        params=NoParams,
        table=_constant(table),
        requires=_constant((Read(raw),)),
        build=build_once,
        cost=0.1,
    )


#: Sources, from vendor to bronze. Costs are of a full-market session (10,500 symbols, 1.7 M minute rows).
SOURCES = (
    _once_source("splits", "raw/splits", SPLITS),
    _once_source("reference", "raw/reference", REFERENCE),
    _session_source("day_aggs", "daily", "raw/day_aggs", DAY_AGGS, cost=0.02, chunk=16, fuse="day", memory=200 << 20),
    _session_source("minute_aggs", "minute", "raw/minute_aggs", MINUTE_AGGS, cost=0.6, fuse="minute", memory=600 << 20),
    *BOOK_SOURCES,
)
