"""What the vendor has: listings from a text file, or saved by the last ingest.

A listing says which sessions of which data set exist, with the facts that each object had. It also says
what it does not know: a month that was never listed proves nothing about its sessions.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raypipe.errors import SourceError, UsageError
from raypipe.sources.polygon_keys import DATASETS, Dataset, Month, find_key, parse_key

if TYPE_CHECKING:
    from raypipe.lake.objects import ObjectStore

__all__ = [
    "Listing",
    "RemoteObject",
    "listing_key",
    "parse_files_list",
    "read_files_list",
    "save_month",
    "saved_listing",
]

#: Larger text files are no listing: the vendor's whole history is some ten thousand lines.
MAX_LIST_BYTES = 256 << 20
_AWS_FIELDS = 4  # date, time, size, key


@dataclass(frozen=True, slots=True)
class RemoteObject:
    """One object as listed.

    Attributes
    ----------
    key
        The vendor's key.
    size
        Bytes; None where the listing gives bare keys.
    etag
        Without quotes; empty where unknown. It is the content's MD5 if it has no ``-``.
    last_modified
        ISO time in UTC; empty where unknown.
    """

    key: str
    size: int | None = None
    etag: str = ""
    last_modified: str = ""

    @property
    def md5(self) -> str:
        """The content's MD5 in hex, if the ETag says it; else empty."""
        return self.etag if self.etag and "-" not in self.etag else ""


@dataclass(frozen=True, slots=True)
class Listing:
    """What is known of the vendor's side.

    Attributes
    ----------
    objects
        By data set and date; also dates that are no sessions.
    months
        What was listed; None means everything of the data sets in `datasets`.
    datasets
        The data sets that the listing speaks of.
    refused
        Data sets that the endpoint refused to list, and why.
    source
        Where it comes from, for people.
    """

    objects: Mapping[tuple[Dataset, dt.date], RemoteObject] = field(default_factory=dict)
    months: frozenset[tuple[Dataset, Month]] | None = None
    datasets: frozenset[Dataset] = frozenset(DATASETS.values())
    refused: Mapping[Dataset, str] = field(default_factory=dict)
    source: str = ""

    def get(self, data: Dataset, session: dt.date) -> RemoteObject | None:
        """The object of a session, or None."""
        return self.objects.get((data, session))

    def covers(self, data: Dataset, session: dt.date) -> bool:
        """Whether the absence of a session from this listing means anything."""
        if data not in self.datasets or data in self.refused:
            return False
        return self.months is None or (data, (session.year, session.month)) in self.months


def by_session(objects: Iterable[RemoteObject]) -> dict[tuple[Dataset, dt.date], RemoteObject]:
    """Objects by data set and date; keys that are not the vendor's are left out."""
    named = ((parse_key(each.key), each) for each in objects)
    return {place: each for place, each in named if place}


# --- text files --------------------------------------------------------------------------------


def read_files_list(path: Path) -> Listing:
    """Read a list of the vendor's files: ``aws s3 ls --recursive`` text, or bare keys.

    Raises
    ------
    UsageError
        If the file cannot be read or is too large.
    SourceError
        If no line of it names a file of the vendor.
    """
    try:
        if path.stat().st_size > MAX_LIST_BYTES:
            msg = f"{path} is larger than {MAX_LIST_BYTES >> 20} MiB"
            raise UsageError(msg, hint="a list of files is text with one key a line")
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror}"
        raise UsageError(msg, hint="name a list of files with --files-list") from None
    return parse_files_list(text, str(path))


def parse_files_list(text: str, source: str) -> Listing:
    """`read_files_list` on text that was read already."""
    objects = by_session(each for line in text.splitlines() if (each := _parse_line(line)))
    if not objects:
        msg = "no line names a flat file of the vendor"
        raise SourceError(msg, hint="make it with: aws s3 ls --recursive s3://BUCKET/us_stocks_sip/", file=source)
    return Listing(objects, None, frozenset(data for data, _ in objects), source=source)


def _parse_line(line: str) -> RemoteObject | None:
    """One line: date, time, size and key as ``aws s3 ls`` prints them, or a key alone."""
    key = find_key(line)
    if key is None:
        return None
    fields = line.split(maxsplit=_AWS_FIELDS - 1)
    size = int(fields[2]) if len(fields) == _AWS_FIELDS and fields[2].isdecimal() else None
    return RemoteObject(key, size)


# --- saved by ingest ---------------------------------------------------------------------------


def listing_key(data: Dataset, month: Month) -> str:
    """Where the listing of one month is saved in the lake."""
    return f"raw/_listings/{data.folder}/{month[0]:04d}-{month[1]:02d}.json"


def save_month(
    store: ObjectStore, data: Dataset, month: Month, objects: Iterable[RemoteObject], about: Mapping[str, Any]
) -> None:
    """Save one month's listing, replacing the older one.

    Parameters
    ----------
    store
        The lake.
    data, month, objects
        What was listed.
    about
        Endpoint, bucket and time, for people.
    """
    document = {**about, "objects": [asdict(each) for each in sorted(objects, key=lambda each: each.key)]}
    store.put_bytes(listing_key(data, month), json.dumps(document, indent=1).encode())


def saved_listing(store: ObjectStore, datasets: Iterable[Dataset], months: Iterable[Month]) -> Listing:
    """What the last ingest saw of some months; months that it never listed stay unknown."""
    wanted = {listing_key(data, month): (data, month) for data in datasets for month in months}
    present = {stat.key for stat in store.list("raw/_listings/")}
    found: list[RemoteObject] = []
    for key in sorted(present & wanted.keys()):
        found += _read_month(store.read(key), key)
    known = frozenset(wanted[key] for key in present & wanted.keys())
    return Listing(by_session(found), known, source="the listing saved by the last ingest" if known else "")


def _read_month(data: bytes, key: str) -> list[RemoteObject]:
    try:
        return [RemoteObject(**each) for each in json.loads(data)["objects"]]
    except (ValueError, TypeError, KeyError):
        msg = "the saved listing is damaged"
        raise SourceError(msg, hint="delete it; the next ingest saves it again", file=key) from None
