"""Raw files and their receipts: what the vendor said of a file, and the hash of what is on disk.

The receipt ``NAME.receipt.json`` beside a file holds the remote's facts. The content is the truth: its hash
is taken from the receipt only while size and stamp of the file match, else computed anew. So knowing the
fingerprints of 500 files costs stats and small reads, not hashing.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from raypipe.acquisition.digest import Digest, digest
from raypipe.calendar import calendar
from raypipe.errors import SourceError, StorageError
from raypipe.lake.objects import is_missing
from raypipe.sources.polygon_keys import Dataset, parse_key

if TYPE_CHECKING:
    from raypipe.lake.objects import ObjectStore, Stat

__all__ = [
    "CORPORATE",
    "RAW",
    "RECEIPT",
    "RawFile",
    "RawInventory",
    "Receipt",
    "corporate_file",
    "known_sha256",
    "raw_digest",
    "raw_files",
    "raw_inventory",
    "read_receipts",
    "receipt_of",
    "renewed_receipt",
    "save_receipt",
]

log = logging.getLogger(__name__)

#: Where vendor keys start in the lake.
RAW = "raw/"
RECEIPT = ".receipt.json"
#: Vendor files that are not per session: what they are called, and their place without the suffix.
CORPORATE = {"reference": "raw/reference/tickers", "splits": "raw/reference/splits"}
#: Receipts read at once from a store where each read is a request.
_READERS = 16


@dataclass(frozen=True, slots=True)
class Receipt:
    """What is known of one raw file.

    Attributes
    ----------
    key
        Its key in the lake.
    endpoint, etag, last_modified
        Where it was fetched, and its listing there; empty if it was adopted from disk.
    size
        Bytes that the listing promised; of the file itself if it was adopted from disk.
    sha256
        Of the content, in hex.
    mtime_ns, stamp
        Of the stored file when it was hashed.
    fetched_ns
        When it came, nanoseconds UTC; 0 if it was found in place.
    """

    key: str
    endpoint: str
    etag: str
    size: int
    last_modified: str
    sha256: str
    mtime_ns: int = 0
    stamp: str = ""
    fetched_ns: int = 0

    def at(self, stat: Stat, now_ns: int | None = None) -> Receipt:
        """The same receipt for the file as it is stored now; ``now_ns`` says that it came now."""
        fetched_ns = self.fetched_ns if now_ns is None else now_ns
        return replace(self, mtime_ns=stat.modified_ns, stamp=stat.stamp, fetched_ns=fetched_ns)

    def trusted(self, stat: Stat) -> bool:
        """Whether the hash still stands for the stored file."""
        return self.size == stat.size and self.stamp == stat.stamp

    def to_json(self) -> bytes:
        """The document that is stored."""
        return json.dumps(asdict(self), indent=1).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Receipt | None:
        """Read a document; None if it is damaged, because the file can be hashed again."""
        try:
            raw = json.loads(data)
            return cls(**{each.name: _typed(raw[each.name], each.type) for each in fields(cls)})
        except (ValueError, TypeError, KeyError):
            return None


def _typed(value: object, kind: object) -> Any:
    if type(value).__name__ != kind:
        msg = f"expected {kind}"
        raise TypeError(msg)
    return value


@dataclass(frozen=True, slots=True)
class RawFile:
    """One raw file as an input of a plan.

    Attributes
    ----------
    dataset, session
        Which; None for corporate files.
    key
        Its key in the lake.
    size, sha256, stamp
        Of its content.
    """

    dataset: Dataset | None
    session: dt.date | None
    key: str
    size: int
    sha256: str
    stamp: str


@dataclass(frozen=True, slots=True)
class RawInventory:
    """Everything under the folder of one data set.

    Attributes
    ----------
    sessions
        The files of sessions, in order.
    not_sessions
        Files on dates that are no sessions: kept, reported, never processed.
    strays
        Keys that are not the vendor's, such as a file in another month's folder.
    receipts
        Facts of receipt files, by the key of their file.
    """

    sessions: Mapping[dt.date, Stat] = field(default_factory=dict)
    not_sessions: Mapping[dt.date, Stat] = field(default_factory=dict)
    strays: tuple[str, ...] = ()
    receipts: Mapping[str, Stat] = field(default_factory=dict)

    @property
    def files(self) -> dict[dt.date, Stat]:
        """All files with a date, sessions or not."""
        return {**self.sessions, **self.not_sessions}


def raw_inventory(store: ObjectStore, data: Dataset) -> RawInventory:
    """List the raw files of a data set: one walk, nothing is read."""
    receipts: dict[str, Stat] = {}
    sessions: dict[dt.date, Stat] = {}
    others: dict[dt.date, Stat] = {}
    strays: list[str] = []
    for stat in store.list(f"{RAW}{data.prefix}/"):
        place = parse_key(stat.key.removeprefix(RAW))
        if stat.key.endswith(RECEIPT):
            receipts[stat.key.removesuffix(RECEIPT)] = stat
        elif place:
            (sessions if calendar().has(place[1]) else others)[place[1]] = stat
        elif not stat.key.endswith((".part", ".part.etag")):
            strays.append(stat.key)
    return RawInventory(sessions, others, tuple(strays), receipts)


def raw_files(store: ObjectStore, data: Dataset) -> dict[dt.date, RawFile]:
    """Fingerprints of the raw files of all sessions of a data set.

    A file without a receipt is adopted: it is hashed and gets one. A receipt that does not match its file
    any more gets the new hash and keeps the vendor's facts.

    Returns
    -------
    By session, in order. Files on other dates are left out; `raw_inventory` has them.
    """
    found = raw_inventory(store, data)
    receipts = read_receipts(store, [stat.key for stat in found.sessions.values() if stat.key in found.receipts])
    return {
        session: RawFile(
            data, session, stat.key, stat.size, known_sha256(store, stat, receipts.get(stat.key)), stat.stamp
        )
        for session, stat in found.sessions.items()
    }


def corporate_file(store: ObjectStore, kind: str, *, save: bool = True) -> RawFile | None:
    """The file of symbols (``reference``) or of splits (``splits``), whatever its suffix; None if there is none.

    Raises
    ------
    SourceError
        If there are several.
    """
    found = [stat for stat in store.list(f"{CORPORATE[kind]}.") if not stat.key.endswith(RECEIPT)]
    if len(found) > 1:
        msg = f"there are {len(found)} files of {kind}: {', '.join(stat.key for stat in found)}"
        raise SourceError(msg, hint="keep one of them", file=found[0].key)
    if not found:
        return None
    stat = found[0]
    sha256 = known_sha256(store, stat, receipt_of(store, stat.key), save=save)
    return RawFile(None, None, stat.key, stat.size, sha256, stat.stamp)


# --- receipts ----------------------------------------------------------------------------------


def receipt_of(store: ObjectStore, key: str) -> Receipt | None:
    """The receipt of one raw file; None if it has none, or a damaged one."""
    try:
        return Receipt.from_json(store.read(key + RECEIPT))
    except StorageError as error:
        if is_missing(error):
            return None
        raise


def read_receipts(store: ObjectStore, keys: Sequence[str]) -> dict[str, Receipt]:
    """The receipts of several raw files that have one; damaged ones are left out."""
    read = ((key, Receipt.from_json(data)) for key, data in _read_all(store, keys))
    return {key: receipt for key, receipt in read if receipt}


def _read_all(store: ObjectStore, keys: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    names = [key + RECEIPT for key in keys]
    if not store.uri.startswith("s3://"):
        yield from zip(keys, map(store.read, names), strict=True)
        return
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(_READERS) as pool:
        yield from zip(keys, pool.map(store.read, names), strict=True)


def raw_digest(store: ObjectStore, key: str) -> Digest:
    """Hash a stored file."""
    with store.open(key, whole=True) as stream:
        return digest(cast("BinaryIO", stream))


def save_receipt(store: ObjectStore, receipt: Receipt) -> None:
    """Store a receipt beside its file."""
    store.put_bytes(receipt.key + RECEIPT, receipt.to_json())


def known_sha256(store: ObjectStore, stat: Stat, receipt: Receipt | None, *, save: bool = True) -> str:
    """The hash of a stored file: from its receipt while that is trusted, else computed, and noted if ``save``."""
    if receipt and receipt.trusted(stat):
        return receipt.sha256
    sha256 = raw_digest(store, stat.key).sha256
    renewed = renewed_receipt(stat, receipt, sha256)
    if save and renewed != receipt:
        try:
            save_receipt(store, renewed)
        except StorageError as error:
            # A lake that can only be read: the hash is right, it is just computed again next time.
            log.warning("receipt of %s not written: %s", stat.key, error.message)
    return sha256


def renewed_receipt(stat: Stat, receipt: Receipt | None, sha256: str) -> Receipt:
    """A receipt for the content that a file has now; the vendor's facts stay, if there are any."""
    base = receipt or Receipt(stat.key, "", "", stat.size, "", sha256)
    size = base.size if base.etag else stat.size
    return replace(base, size=size, sha256=sha256).at(stat)
