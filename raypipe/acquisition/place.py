"""Putting a checked raw file in its place: the older one kept aside, the new one in one step, then its receipt."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from raypipe.acquisition.parts import Part
from raypipe.acquisition.receipts import RAW, Receipt, raw_digest, save_receipt
from raypipe.errors import StorageError
from raypipe.lake.faults import fault
from raypipe.lake.names import inside
from raypipe.lake.objects import ObjectStore

__all__ = ["link_in", "move_in", "publish", "supersede"]


def publish(store: ObjectStore, receipt: Receipt, put: Callable[[str], None], now_ns: int) -> None:
    """Put a checked file in place and write its receipt.

    The older file is kept aside first, if its content differs. Killed before the receipt, the file stands
    with an older receipt or none, and is hashed where that matters.

    Parameters
    ----------
    store
        The lake.
    receipt
        The file's facts; time, stamp and modification time are filled in.
    put
        Stores the file under a key, in one step.
    now_ns
        The time, nanoseconds UTC.
    """
    key = receipt.key
    old = store.stat(key)
    # Hashed, not looked up: the reason to replace a file may be that it is not what its receipt says.
    old_sha256 = raw_digest(store, key).sha256 if old else ""
    if old_sha256 != receipt.sha256:
        if old:
            supersede(store, key, old_sha256)
        put(key)
    fault("before_receipt")
    stat = store.stat(key)
    if stat is None:
        msg = "the file vanished while it was put in place"
        raise StorageError(msg, hint="is somebody else at work in the lake?", store=store.uri, key=key)
    save_receipt(store, receipt.at(stat, now_ns))


def supersede(store: ObjectStore, key: str, sha256: str) -> str:
    """Keep a raw file under ``raw/_superseded/``, named by its content; returns where."""
    folder, _, name = key.removeprefix(RAW).rpartition("/")
    stem, _, suffix = name.partition(".")
    kept = f"{RAW}_superseded/{folder}/{stem}.{sha256[:12]}.{suffix}"
    if store.stat(kept) is None:
        if store.uri.startswith("s3://"):
            store.put_bytes(kept, store.read(key))
        else:
            link_in(store, inside(Path(store.uri), key), kept)
    return kept


def link_in(store: ObjectStore, path: Path, key: str) -> None:
    """Store a file that stays where it is: by a hard link where that works, else by a copy."""
    temporary = store.staging(key)
    try:
        os.link(path, temporary)
    except OSError:  # another file system, or one without links
        store.put_file(key, path)
        return
    try:
        store.put_file(key, temporary)
    finally:
        temporary.unlink(missing_ok=True)


def move_in(store: ObjectStore, part: Part, key: str) -> None:
    """Store a part: moved on a local disk, else uploaded from where it is.

    A link would not do: a part that survives a kill beside the file that shares its bytes would be emptied
    by the next download, and the file with it.
    """
    if store.uri.startswith("s3://"):
        store.put_file(key, part.path)
        return
    temporary = store.staging(key)
    part.etag_path.unlink(missing_ok=True)
    part.path.rename(temporary)
    try:
        store.put_file(key, temporary)
    finally:
        temporary.unlink(missing_ok=True)
