"""Databento DBN: a file's metadata, and its records as a stream of arrays in one reused buffer.

The vendor's library returns the records that it could read of a cut file and says nothing. Here a file is whole or
refused, with the byte where it breaks: frames must end, records must be whole, their types and lengths must be those of
the schema. A day is never in memory at once.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from raypipe.errors import SourceError
from raypipe.kernels.dbn import gather_records, leading_records
from raypipe.sources.databento_bytes import WholeBytes
from raypipe.sources.dbn_layout import MAGIC, MBP10_RTYPE, TRADE_RTYPE, VERSIONS, WORD, record_dtype

__all__ = ["CHUNK_RECORDS", "RTYPES", "Header", "Interval", "RecordStream", "read_header", "stream_chunks"]

#: Records of a chunk: small enough for the cache, large enough for Python's part to vanish.
CHUNK_RECORDS = 4_096
#: Schemas that are read, and the type of their records.
RTYPES = {"trades": TRADE_RTYPE, "mbp-10": MBP10_RTYPE}
_PREFIX = 8
_MOST_METADATA = 1 << 26
#: Longest record that a length byte can state.
_LONGEST = 255 * 4
_AGAIN = "fetch it again"
#: Times from here on are no times.
_UNDEFINED = 2**63


@dataclass(frozen=True, slots=True)
class Interval:
    """Between which dates (UTC, end exclusive) a symbol stood for another."""

    start: dt.date
    end: dt.date
    symbol: str


@dataclass(frozen=True, slots=True)
class Header:
    """The metadata of a file.

    Attributes
    ----------
    version, dataset
        Of the encoding (1 to 3); such as ``GLBX.MDP3``.
    schema
        Such as ``trades``; empty where records of several schemas may be mixed.
    start_ns, end_ns
        The interval that was asked for, end exclusive; an end of None is not stated.
    stype_in, stype_out
        What ``mappings`` map from and to.
    mappings
        By input symbol, its output symbols.
    """

    version: int
    dataset: str
    schema: str
    start_ns: int
    end_ns: int | None
    stype_in: str
    stype_out: str
    mappings: Mapping[str, tuple[Interval, ...]]


class RecordStream:
    """The records of one file.

    Parameters
    ----------
    raw
        The file, opened for reading bytes, at its start.
    name
        Its name, for errors.
    rtype
        Type of the records wanted; that of the schema if None. Records of other types are passed over.

    Attributes
    ----------
    header
        Its metadata.
    records, others
        Records of the wanted type so far, and records of other types.
    digest
        XXH3-128 of the file, in hex; final when `chunks` is exhausted.

    Raises
    ------
    SourceError
        If it is not DBN, of a version or schema that is not read, or its metadata are damaged.
    """

    def __init__(self, raw: BinaryIO, name: str, *, rtype: int | None = None) -> None:
        self._bytes, self.name = WholeBytes(raw, name), name
        self.header = _header(self._bytes, name)
        self.records, self.others = 0, 0
        self._rtype = RTYPES.get(self.header.schema) if rtype is None else rtype

    @property
    def digest(self) -> str:
        """XXH3-128 of the file's bytes."""
        return self._bytes.digest

    @property
    def size(self) -> int:
        """Bytes of the file read so far."""
        return self._bytes.size

    @property
    def offset(self) -> int:
        """Bytes of the inflated file read so far."""
        return self._bytes.offset

    def chunks(self, records: int = CHUNK_RECORDS) -> Iterator[np.ndarray]:
        """Yield the records, many at a time.

        Parameters
        ----------
        records
            Most records of a chunk.

        Yields
        ------
        Structured arrays (n,) of `record_dtype`: views of one buffer, valid until the next is asked for.

        Raises
        ------
        SourceError
            If the file is cut short, damaged, or holds no record.
        """
        if self._rtype is None:
            msg = f"records of schema {self.header.schema or 'several'} are not read"
            raise SourceError(msg, hint=f"schemas are {', '.join(RTYPES)}", file=self.name)
        buffer = np.empty((records * (record_dtype(self._rtype).itemsize + WORD) + _LONGEST) // WORD, dtype=np.int64)
        view, have, dtype = buffer.data.cast("B"), 0, None
        while True:
            have += self._bytes.readinto(view[have:])
            at_end = have < len(view)
            dtype = dtype or self._dtype(buffer[: have // WORD], self._rtype)
            used = yield from self._cut(buffer[: have // WORD], dtype)
            rest = have - used
            view[:rest], have = bytes(view[used:have]), rest
            if at_end:
                break
        self._finish(rest)

    @staticmethod
    def _dtype(words: np.ndarray, rtype: int) -> np.dtype[np.void]:
        """The dtype by the first record's own length; what the metadata say of ``ts_out`` does not count."""
        at = 0
        while at < len(words) and (int(words[at]) >> 8 & 0xFF) != rtype and int(words[at]) & 0xFF > 1:
            at += (int(words[at]) & 0xFF) // 2
        size = (int(words[at]) & 0xFF) * 4 if at < len(words) else 0
        return record_dtype(rtype, ts_out=size == record_dtype(rtype).itemsize + WORD)

    def _cut(self, words: np.ndarray, dtype: np.dtype[np.void]) -> Any:
        """Yield the records of a buffer; returns the bytes used."""
        width = dtype.itemsize // WORD
        head = dtype.itemsize // 4 | (self._rtype or 0) << 8
        whole = len(words) // width
        count = leading_records(words[: whole * width].reshape(whole, width), head)
        if count:
            yield self._counted(np.ndarray(count, dtype, words))  # a view takes ten times as long
        used = count * width
        wanted = np.empty((max(whole - count, 1), width), dtype=np.int64) if count < whole else None
        while wanted is not None:
            step, found, others, bad = gather_records(words[used:], head, wanted)
            self.others += others
            used += step
            if found:
                yield self._counted(np.ndarray(found, dtype, wanted))
            if bad:
                raise self._broken(words[used:])
            wanted = wanted if found == len(wanted) else None
        return used * WORD

    def _counted(self, found: np.ndarray) -> np.ndarray:
        self.records += len(found)
        return found

    def _broken(self, rest: np.ndarray) -> SourceError:
        offset = self.offset - rest.nbytes
        first = int(rest[0])
        msg = f"a record of type {first >> 8 & 0xFF} and {(first & 0xFF) * 4} bytes stands where none can"
        return SourceError(msg, hint=_AGAIN, file=self.name, offset=offset, row=self.records + self.others + 1)

    def _finish(self, rest: int) -> None:
        self._bytes.finish()
        if rest:
            msg = f"the file ends with part of a record, at byte {self.offset} of its inflated content"
            raise SourceError(msg, hint=_AGAIN, file=self.name, offset=self.offset)
        if not self.records:
            msg = "the file holds no record"
            raise SourceError(msg, hint=f"{_AGAIN}, or take it away", file=self.name, offset=self.offset)


def stream_chunks(path: Path | str, *, records: int = CHUNK_RECORDS) -> Iterator[np.ndarray]:
    """Yield the records of a trades or MBP-10 file in chunks; see `RecordStream.chunks`.

    Parameters
    ----------
    path
        A ``.dbn`` or ``.dbn.zst`` file.
    records
        Most records of a chunk.

    Examples
    --------
    A kernel takes a chunk as 64-bit words: ``chunk.view(np.int64).reshape(len(chunk), -1)``.
    """
    with Path(path).open("rb", buffering=0) as raw:
        yield from RecordStream(raw, str(path)).chunks(records)


def read_header(raw: BinaryIO, name: str) -> Header:
    """The metadata of a file; its records are not looked at.

    Raises
    ------
    SourceError
        As `RecordStream`.
    """
    return _header(WholeBytes(raw, name), name)


def _header(source: WholeBytes, name: str) -> Header:
    prefix = source.exactly(_PREFIX, "first bytes")
    if prefix[:3] != MAGIC:
        msg = f"not a DBN file: it starts with {prefix[:3]!r}"
        raise SourceError(msg, hint="give DBN files, plain or zstd", file=name, offset=0)
    version, length = prefix[3], int.from_bytes(prefix[4:], "little")
    if version not in VERSIONS:
        msg = f"DBN version {version} is not read"
        raise SourceError(msg, hint="versions 1 to 3 are", file=name, offset=3)
    if length > _MOST_METADATA:
        msg = f"metadata of {length:,} bytes cannot be"
        raise SourceError(msg, hint=_AGAIN, file=name, offset=4)
    return _decoded(prefix + source.exactly(length, "metadata"), version, name)


def _decoded(data: bytes, version: int, name: str) -> Header:
    from databento_dbn import Metadata

    try:
        found: Any = Metadata.decode(data)
        mappings = {
            symbol: tuple(Interval(i["start_date"], i["end_date"], i["symbol"]) for i in intervals)
            for symbol, intervals in found.mappings.items()
        }
        return Header(
            version=version,
            dataset=str(found.dataset),
            schema="" if found.schema is None else str(found.schema),
            start_ns=0 if int(found.start) >= _UNDEFINED else int(found.start),
            end_ns=None if found.end is None or int(found.end) >= _UNDEFINED else int(found.end),
            stype_in="" if found.stype_in is None else str(found.stype_in),
            stype_out=str(found.stype_out),
            mappings=mappings,
        )
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # noqa: BLE001 - the library's PanicException is not an Exception
        msg = f"the metadata are damaged ({type(error).__name__}: {error})"
        raise SourceError(msg, hint=_AGAIN, file=name, offset=_PREFIX) from None
