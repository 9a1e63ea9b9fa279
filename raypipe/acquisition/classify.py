"""What is to be done about each file of the vendor: listing, calendar, clock and lake held against each other.

Nothing is changed here. A file whose receipt cannot be trusted is read and hashed.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from raypipe.acquisition.listing import Listing, RemoteObject
from raypipe.acquisition.parts import part_bytes
from raypipe.acquisition.receipts import RAW, RawInventory, Receipt, raw_digest, raw_inventory, read_receipts
from raypipe.calendar import calendar
from raypipe.sources.polygon_keys import Dataset, key_of, published_ns

if TYPE_CHECKING:
    from raypipe.lake.objects import ObjectStore, Stat

__all__ = ["TO_FETCH", "Item", "LocalSide", "ObjectState", "Rules", "State", "classify"]

State = Literal[
    "current", "new", "partial", "changed", "not_yet", "missing_remote", "not_session", "forbidden", "failed"
]
#: States of objects that are to be fetched; in a report they say why an object was fetched.
TO_FETCH = frozenset({"new", "partial", "changed"})
#: While a run waits for files, an absent one counts as late, not as missing, for this long.
LATE_NS = 24 * 3600 * 1_000_000_000


@dataclass(frozen=True, slots=True)
class ObjectState:
    """One file of the vendor and how it stands.

    Attributes
    ----------
    dataset, session
        Which file.
    state
        In a plan, `TO_FETCH` are to be fetched; in a report they were.
    reason
        Why, in a few words; empty where the state says all.
    bytes
        Size of the object, as listed or else as stored; 0 if there is none.
    key
        The vendor's key.
    """

    dataset: Dataset
    session: dt.date
    state: State
    reason: str
    bytes: int
    key: str


@dataclass(frozen=True, slots=True)
class Item:
    """A state, and what it takes to act on it: the listed object, or a receipt that only has to be written."""

    state: ObjectState
    remote: RemoteObject | None = None
    receipt: Receipt | None = None


@dataclass(frozen=True, slots=True)
class Rules:
    """By what the files are judged.

    Attributes
    ----------
    now_ns
        The time, nanoseconds UTC.
    publish_time_et
        When files are due.
    endpoint
        Where the listing comes from.
    verify
        Whether every stored file is read, whatever its receipt says.
    waiting
        Whether absent files may still come although they were due.
    """

    now_ns: int
    publish_time_et: str
    endpoint: str = ""
    verify: bool = False
    waiting: bool = False

    def due(self, session: dt.date) -> bool:
        """Whether the file of a session should be there."""
        late = LATE_NS if self.waiting else 0
        return published_ns(session, self.publish_time_et) + late <= self.now_ns


@dataclass(frozen=True, slots=True)
class LocalSide:
    """What the lake has of one data set."""

    store: ObjectStore
    data: Dataset
    inventory: RawInventory
    receipts: Mapping[str, Receipt] = field(default_factory=dict)

    @classmethod
    def read(cls, store: ObjectStore, data: Dataset, start: dt.date, end: dt.date) -> LocalSide:
        """List the files of a data set and read the receipts of a range of dates."""
        found = raw_inventory(store, data)
        keys = [stat.key for day, stat in found.files.items() if start <= day <= end and stat.key in found.receipts]
        return cls(store, data, found, read_receipts(store, keys))


def classify(local: LocalSide, listing: Listing, start: dt.date, end: dt.date, rules: Rules) -> list[Item]:
    """Judge every session of the closed range [start, end], and files on dates that are none, in order of dates."""
    listed = {day for data, day in listing.objects if data is local.data}
    odd = {day for day in listed | local.inventory.files.keys() if start <= day <= end and not calendar().has(day)}
    items = [_session(local, listing, day, rules) for day in calendar().dates(start, end)]
    items += [_not_session(local, listing, day) for day in odd]
    return sorted(items, key=lambda item: item.state.session)


def _not_session(local: LocalSide, listing: Listing, day: dt.date) -> Item:
    stat, remote = local.inventory.not_sessions.get(day), listing.get(local.data, day)
    reason = "the exchange did not trade: kept, never processed" if stat else "the exchange did not trade: not fetched"
    size = stat.size if stat else (remote.size if remote else 0) or 0
    return Item(ObjectState(local.data, day, "not_session", reason, size, key_of(local.data, day)))


def _session(local: LocalSide, listing: Listing, day: dt.date, rules: Rules) -> Item:
    stat, remote = local.inventory.sessions.get(day), listing.get(local.data, day)
    if local.data in listing.refused and (stat or rules.due(day)):
        return _item(local, day, "forbidden", listing.refused[local.data], stat.size if stat else 0)
    if remote is None:
        return _unlisted(local, day, stat, rules)
    if stat is None:
        return _absent(local, day, remote)
    state, reason, receipt = _compare(local, stat, remote, rules)
    return _item(local, day, state, reason, remote.size or 0, remote=remote, receipt=receipt)


def _item(local: LocalSide, day: dt.date, state: State, reason: str = "", size: int = 0, **more: Any) -> Item:
    return Item(ObjectState(local.data, day, state, reason, size, key_of(local.data, day)), **more)


def _unlisted(local: LocalSide, day: dt.date, stat: Stat | None, rules: Rules) -> Item:
    if stat:
        return _item(local, day, "current", "not listed; the file in the lake stays", stat.size)
    due = dt.datetime.fromtimestamp(published_ns(day, rules.publish_time_et) // 10**9, dt.UTC)
    when = f"{due:%Y-%m-%d %H:%M} UTC"
    if rules.due(day):
        return _item(local, day, "missing_remote", f"was due {when}")
    return _item(local, day, "not_yet", f"due {when}")


def _absent(local: LocalSide, day: dt.date, remote: RemoteObject) -> Item:
    have = part_bytes(local.store, RAW + remote.key, remote.etag)
    if have:
        return _item(
            local, day, "partial", f"{have:,} of {remote.size:,} bytes are here", remote.size or 0, remote=remote
        )
    return _item(local, day, "new", "", remote.size or 0, remote=remote)


def _compare(local: LocalSide, stat: Stat, remote: RemoteObject, rules: Rules) -> tuple[State, str, Receipt | None]:
    """A stored file against its listing: state, reason, and the receipt to write if it is not the stored one."""
    receipt = local.receipts.get(stat.key)
    if stat.size != remote.size:
        return "changed", f"size {stat.size:,} here, {remote.size:,} listed", None
    same_etag = receipt is not None and receipt.etag == remote.etag
    if receipt and same_etag and receipt.trusted(stat) and not rules.verify:
        return "current", "", None
    if receipt and receipt.etag and not same_etag and not remote.md5:
        return "changed", "another ETag is listed", None
    content = raw_digest(local.store, stat.key)
    if remote.md5 and content.md5 != remote.md5:
        what = "another ETag is listed" if receipt and not same_etag else "the content is not the listed one"
        return "changed", what, None
    if receipt and same_etag and content.sha256 != receipt.sha256:
        return "changed", "the content is not the one that was fetched", None
    endpoint = receipt.endpoint if receipt and same_etag else rules.endpoint
    fresh = Receipt(stat.key, endpoint, remote.etag, content.size, remote.last_modified, content.sha256)
    renewed = replace(fresh, fetched_ns=receipt.fetched_ns if receipt else 0).at(stat)
    return "current", "" if receipt else "found in place, receipt written", None if renewed == receipt else renewed
