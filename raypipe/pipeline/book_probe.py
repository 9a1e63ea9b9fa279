"""What a raw file of books or prints holds, found out from its first bytes, its footer, or all of it if need be."""

from __future__ import annotations

import datetime as dt
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from raypipe.calendar import EXCHANGE_TZ, NS_PER_DAY, NS_PER_SECOND, calendar
from raypipe.errors import SourceError
from raypipe.sources.databento import RTYPES, RecordStream, read_header
from raypipe.sources.databento_symbols import Symbology, is_root

__all__ = ["Facts", "probe", "session_of"]

ES_DATASET = "GLBX.MDP3"
_HEAD_BYTES = 1 << 16
_GZIP = 16 + zlib.MAX_WBITS
_FAR_NS = 4_102_444_800 * NS_PER_SECOND


@dataclass(frozen=True, slots=True)
class Facts:
    """What a file holds.

    Attributes
    ----------
    kind
        ``trades``, ``mbp-10``, ``options``, or another schema of the vendor.
    first_ns, last_ns
        Times of its records, or of the interval that was asked for, ns UTC.
    is_dbn, dataset
        Whether it is DBN, and of which data set.
    named
        Whether it says what its instruments are.
    is_es
        Whether ES is among them; True if they are not named.
    """

    kind: str
    first_ns: int
    last_ns: int
    is_dbn: bool = False
    dataset: str = ""
    named: bool = True
    is_es: bool = True

    def refused(self, kind: str) -> str:
        """Why it is no input of that kind; empty if it is one."""
        if self.kind != kind:
            return f"it holds {self.kind or 'several schemas'}, not {kind}"
        if self.is_dbn and self.dataset != ES_DATASET:
            return f"it is of {self.dataset}, not of {ES_DATASET}"
        return "" if self.is_es else "none of its instruments is ES"

    def sessions(self) -> list[dt.date]:
        """Sessions that it has records of, or may have."""
        return calendar().dates(session_of(self.first_ns), session_of(max(self.last_ns, self.first_ns)))


def session_of(ns: int) -> dt.date:
    """The session of a record: the first whose 17:00 New York end lies after it.

    Examples
    --------
    >>> session_of(1_703_545_200_000_000_000)  # 18:00 of Christmas day
    datetime.date(2023, 12, 26)
    """
    local = dt.datetime.fromtimestamp(ns // NS_PER_SECOND, tz=EXCHANGE_TZ)
    date = local.date() + dt.timedelta(days=local.hour >= 17)  # noqa: PLR2004 - the end of the exchange's day
    return calendar().between(date, date + dt.timedelta(days=14))[0].date


def probe(name: str, open_file: Callable[[], BinaryIO]) -> Facts:
    """Find out what a file holds.

    Raises
    ------
    SourceError
        If it is none of the formats that are read.
    """
    if name.endswith(".parquet"):
        return _of_parquet(name, open_file)
    if name.endswith(".csv.gz"):
        return _of_text(name, open_file)
    with open_file() as raw:
        header = read_header(raw, name)
    known = Symbology.of_header(header).symbols
    first, last = header.start_ns, (header.end_ns or 0) - 1
    if header.schema in RTYPES and not 0 < first <= last < _FAR_NS:
        first, last = _scanned(name, open_file)
    is_es = any(map(is_root, known)) if known else True
    return Facts(header.schema, first, last, True, header.dataset, bool(known), is_es)


def _scanned(name: str, open_file: Callable[[], BinaryIO]) -> tuple[int, int]:
    """First and last time of the records of a file that does not state its interval."""
    ranges: list[tuple[int, int]] = []
    with open_file() as raw:
        for chunk in RecordStream(raw, name).chunks():
            times = chunk["ts_event"].view(np.int64) if chunk["ts_event"].flags.c_contiguous else chunk["ts_event"]
            plausible = times[times < _FAR_NS]
            if len(plausible):
                ranges.append((int(plausible.min()), int(plausible.max())))
    return min((low for low, _ in ranges), default=0), max((high for _, high in ranges), default=0)


# --- option prints, and ES as Parquet ------------------------------------------------------------


def _of_parquet(name: str, open_file: Callable[[], BinaryIO]) -> Facts:
    try:
        with open_file() as stream:
            file = pq.ParquetFile(stream, arrow_extensions_enabled=False)
            columns = set(file.schema_arrow.names)
            if "ts_event_ns" not in columns:
                return Facts("other columns", 0, 0)
            bounds = _range(file)
    except (pa.ArrowException, OSError) as error:
        msg = f"not a whole Parquet file ({str(error).splitlines()[0]})"
        raise SourceError(msg, hint="fetch it again", file=name) from None
    kind = "options" if "strike" in columns else "mbp-10" if "bid_px_1" in columns else "trades"
    return Facts(kind, *bounds)


def _range(file: pq.ParquetFile) -> tuple[int, int]:
    """First and last time: by the statistics of all row groups, else by the column."""
    place = file.metadata.schema.names.index("ts_event_ns")
    groups = [file.metadata.row_group(k).column(place).statistics for k in range(file.num_row_groups)]
    if groups and all(group is not None and group.has_min_max and isinstance(group.min, int) for group in groups):
        return min(group.min for group in groups), max(group.max for group in groups)
    times = file.read(["ts_event_ns"], use_threads=False)["ts_event_ns"].drop_null().cast(pa.int64()).to_numpy()
    return (int(times.min()), int(times.max())) if len(times) else (0, 0)


def _of_text(name: str, open_file: Callable[[], BinaryIO]) -> Facts:
    """A flat file is of one date: its first print says which."""
    with open_file() as raw:
        head = raw.read(_HEAD_BYTES)
    try:
        lines = zlib.decompressobj(_GZIP).decompress(head).split(b"\n")
        header = [field.strip() for field in lines[0].decode().split(",")]
        row = dict(zip(header, lines[1].decode().split(","), strict=False))
        first = int(float(row.get("sip_timestamp") or row["participant_timestamp"]))
    except (zlib.error, ValueError, KeyError, IndexError):
        return _by_name(name)
    if not 0 < first < _FAR_NS:
        return _by_name(name)
    return Facts("options", first, first)


def _by_name(name: str) -> Facts:
    """A file whose first row cannot be read has the date in its name: the session's job will say what is wrong."""
    stem = name.rpartition("/")[2].removesuffix(".csv.gz")
    try:
        date = dt.date.fromisoformat(stem)
    except ValueError:
        msg = "the first line after the header is no option print, and the name is no date"
        raise SourceError(msg, hint="give flat files of option trades", file=name) from None
    noon = (date - dt.date(1970, 1, 1)).days * NS_PER_DAY + NS_PER_DAY // 2
    return Facts("options", noon, noon)
