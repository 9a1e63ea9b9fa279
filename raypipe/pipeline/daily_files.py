"""The stage that brings daily bars from files to bronze, symbol by symbol."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from weakref import WeakKeyDictionary

import pyarrow as pa

from raypipe.acquisition.receipts import receipt_of
from raypipe.errors import SourceError
from raypipe.pipeline.daily_index import DAILY_RAW, DailyFilesParams, DailyIndex
from raypipe.pipeline.job import Target
from raypipe.pipeline.stages import Built, Stage
from raypipe.pipeline.work import Work
from raypipe.schema.daily_bars import OHLCV_1D
from raypipe.schema.family import Finding, Read
from raypipe.sources.symbol_lists import VendorName

__all__ = ["DAILY_FILES", "daily_rows"]

#: What the lake holds, listed once per job.
_INDEXES: WeakKeyDictionary[Work, DailyIndex] = WeakKeyDictionary()


def build_daily(work: Work, targets: tuple[Target, ...]) -> Iterator[Built]:
    """Bars of files to their bronze partitions; rows that break a rule go to quarantine."""
    from raypipe.pipeline.stages import stage_named

    for target in targets:
        stage = stage_named(target.stage)
        noted: list[Finding] = []
        rows = daily_rows(work, target, noted, keep_bad=True)
        manifest = work.manifest(stage, target, rows.num_rows)
        receipt = work.lake.write(work.table(target.table), target.partition, rows, manifest)
        work.keep(target, rows)
        yield Built(target, receipt, tuple(noted))


def daily_rows(work: Work, target: Target, noted: list[Finding], *, keep_bad: bool = False) -> pa.Table:
    """The bronze rows of one symbol.

    Parameters
    ----------
    work, target
        The job, and which symbol.
    noted
        Receives what the user should know.
    keep_bad
        Whether rows that are set aside are written to quarantine.

    Raises
    ------
    SourceError
        If a file is gone, is another one than the plan saw, or cannot be used.
    QuarantineError
        If too many rows break a rule.
    """
    from raypipe.pipeline.stages import stage_named

    params = work.params(stage_named(target.stage))
    assert isinstance(params, DailyFilesParams)
    index = _index_of(work, target, params.names)
    found = index.bars(target.partition)
    bars = found.between(params.ingest.start_date, params.ingest.end_date)
    if len(bars.days) < len(found.days):
        message = "rows outside ingest.start_date and end_date were passed over"
        noted.append(Finding("outside_dates", message, len(found.days) - len(bars.days), level="info"))
    bars = bars.without_repeats(noted)
    good, bad = bars.without_bad(noted)
    if keep_bad:
        work.lake.quarantine(target.table, target.partition, bad)
    bars.refuse_many(bad.num_rows, params.max_share)
    return good.to_table(tuple(_came(work, key) for key in index.files_of(target.partition)))


def _index_of(work: Work, target: Target, names: tuple[VendorName, ...]) -> DailyIndex:
    """The files of daily bars, if those of a symbol are the ones that the plan saw."""
    index = _INDEXES.setdefault(work, DailyIndex(work.lake.store, names))
    planned = {ref.partition: ref.fingerprint for ref in work.job.inputs[DAILY_RAW]}[target.partition]
    found = index.get(target.partition)
    if found is None or found.sha256 != planned:
        msg = "the raw files are not those that the plan saw"
        raise SourceError(msg, hint="run again", table=target.table, partition=target.partition)
    return index


def _came(work: Work, key: str) -> int:
    receipt = receipt_of(work.lake.store, key)
    return receipt.fetched_ns if receipt else 0


def _constant(value: Any) -> Callable[[Any], Any]:
    return lambda _params: value


DAILY_FILES = Stage(
    name="ohlcv_1d",
    step="bars_1d",
    version=1,
    params=DailyFilesParams,
    table=_constant(OHLCV_1D),
    requires=_constant((Read(DAILY_RAW),)),
    build=build_daily,
    cost=0.01,
    memory=512 << 20,
    chunk=64,
    fuse="symbol",
)
