"""Object stores: what a lake needs from storage, whatever provides it.

A store shows whole objects only. Whatever is half done has a name that no listing shows.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import pyarrow as pa

from raypipe.errors import StorageError
from raypipe.lake.location import Location

__all__ = [
    "MISSING",
    "Leftover",
    "Leftovers",
    "ObjectStore",
    "Stat",
    "disk_errors",
    "is_missing",
    "is_temporary",
    "open_store",
    "temporary_name",
]

#: Value ``code`` of the StorageError for a key that does not exist, on every store.
MISSING = "NoSuchKey"
_TEMPORARY = re.compile(r"\..+\.\d+-[0-9a-f]{12}\.tmp")
_NAME_MAX = 200  # of 255 bytes, so that a temporary name fits whatever the key
_HINTS = {
    errno.ENOSPC: "free some space and run again",
    errno.EDQUOT: "the quota is used up: free some space and run again",
    errno.EFBIG: "the file size limit is too low: see ulimit -f",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "check the permissions of the folder",
}


@dataclass(frozen=True, slots=True)
class Stat:
    """One object of a listing.

    Attributes
    ----------
    key
        Path below the root, with slashes.
    size
        Bytes.
    stamp
        Changes when the content may have changed: modification time locally, ETag on S3.
    modified_ns
        Modification time, nanoseconds UTC.
    """

    key: str
    size: int
    stamp: str
    modified_ns: int


@dataclass(frozen=True, slots=True)
class Leftover:
    """What a dead process left behind; nobody but `raypipe gc` sees it.

    Attributes
    ----------
    key
        Path below the root; for kind ``staging`` an absolute path of this machine.
    size, modified_ns
        Bytes (0 if unknown) and time of the last change, or of the start of an upload.
    kind
        ``temporary`` (local folder), ``multipart`` (unfinished upload), ``staging`` (local file for an upload).
    token
        Upload id, for kind ``multipart``.
    """

    key: str
    size: int
    modified_ns: int
    kind: Literal["temporary", "multipart", "staging"]
    token: str = ""


#: An alias, because the stores have a method named list.
Leftovers = list[Leftover]


class ObjectStore(Protocol):
    """Keys to bytes. Writes are atomic: a reader sees the old object or the new one."""

    uri: str

    def stat(self, key: str) -> Stat | None:
        """Facts of one object, or None if there is none."""

    def list(self, prefix: str) -> Iterator[Stat]:
        """Objects whose key starts with ``prefix``, recursively, sorted by key, without temporaries.

        Objects whose names are outside the allow-list of `check_key` are passed over.
        """

    def read(self, key: str) -> bytes:
        """The whole object. StorageError with code `MISSING` if there is none."""

    def open(self, key: str, *, whole: bool = False) -> pa.NativeFile:
        """Random access to one version of an object; ``whole`` says that all of it will be read."""

    def put_file(self, key: str, path: Path) -> None:
        """Publish a closed file under ``key``. A file from `staging` is used up; any other is copied."""

    def put_bytes(self, key: str, data: bytes) -> None:
        """Publish bytes under ``key``."""

    def delete(self, key: str) -> None:
        """Remove an object; none is fine."""

    def staging(self, key: str) -> Path:
        """A new temporary path for the file that will become ``key``."""

    def leftovers(self, older_than_ns: int) -> Leftovers:
        """Temporaries and unfinished uploads that last changed before a moment, sorted by key."""

    def remove_leftover(self, leftover: Leftover) -> None:
        """Remove one of them; if it is gone, fine."""


def open_store(location: Location) -> ObjectStore:
    """The store of a location; opened once per process, location and set of credentials."""
    key = (os.getpid(), location, _credential_mark())
    if key not in _stores:
        _stores[key] = _make_store(location)
    return _stores[key]


_stores: dict[tuple[int, Location, int], ObjectStore] = {}


def _make_store(location: Location) -> ObjectStore:
    if location.is_local:
        from raypipe.lake.local import LocalStore

        return LocalStore(location)
    from raypipe.lake.s3 import S3Store

    return S3Store(location)


def _credential_mark() -> int:
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
    return hash(tuple(os.environ.get(name) for name in names))


def is_missing(error: StorageError) -> bool:
    """Whether an error says that the object does not exist."""
    return error.values.get("code") == MISSING


def is_temporary(name: str) -> bool:
    """Whether a file name is that of a temporary."""
    return _TEMPORARY.fullmatch(name) is not None


def temporary_name(name: str) -> str:
    """A hidden name for a file on its way to ``name``; it tells whose it was.

    The random part keeps processes with equal numbers on several machines apart.
    """
    return f".{name[:_NAME_MAX]}.{os.getpid()}-{secrets.token_hex(6)}.tmp"


@contextlib.contextmanager
def disk_errors(store: str, key: str, path: Path) -> Iterator[None]:
    """Turn an OSError into a StorageError that tells the path and the free bytes."""
    try:
        yield
    except FileNotFoundError:
        msg = "no such file"
        raise StorageError(msg, store=store, key=key, code=MISSING) from None
    except OSError as error:
        what = os.strerror(error.errno) if error.errno else str(error)
        msg = f"{what}, {_free_bytes(path):,} bytes free"
        raise StorageError(
            msg,
            hint=_HINTS.get(error.errno or 0, "check the disk"),
            store=store,
            key=key,
            path=str(path),
            code=errno.errorcode.get(error.errno or 0),
        ) from error


def _free_bytes(path: Path) -> int:
    folder = next((p for p in (path, *path.parents) if p.exists()), Path("/"))
    return shutil.disk_usage(folder).free
