"""Downloads on their way: ``NAME.part``, with the ETag that its bytes belong to in ``NAME.part.etag``.

A killed process leaves them behind, and the next one goes on where it stopped. One process at a time works on
a part; another one that wants the same object meanwhile uses a part of its own.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from raypipe.acquisition.digest import digest
from raypipe.acquisition.receipts import RAW
from raypipe.lake.faults import fault
from raypipe.lake.names import inside
from raypipe.lake.objects import ObjectStore, disk_errors

__all__ = ["PART", "PART_ETAG", "Part", "locked_part", "part_bytes", "part_files", "part_path"]

PART, PART_ETAG = ".part", ".part.etag"


@dataclass(slots=True)
class Part:
    """A download on its way.

    Attributes
    ----------
    path, file
        Where it is; open for reading and writing, and locked.
    store
        The lake that it is for, for errors.
    """

    path: Path
    file: BinaryIO
    store: str

    @property
    def etag_path(self) -> Path:
        """The note of which version of the object it is."""
        return self.path.with_name(self.path.name.removesuffix(PART) + PART_ETAG)

    def size(self) -> int:
        """Bytes so far."""
        return os.fstat(self.file.fileno()).st_size

    def resume(self, etag: str, size: int) -> int:
        """Where to go on: the part's size if it belongs to this ETag, else 0 with the part emptied."""
        with disk_errors(self.store, self.path.name, self.path):
            if _etag(self.etag_path) != etag or self.size() > size:
                self.empty()
                self.etag_path.write_text(etag, encoding="ascii")
            return self.size()

    def write(self, offset: int, blocks: Iterable[bytes]) -> int:
        """Write blocks from an offset on; returns the size then.

        Each block is with the system at once, so a kill loses none of it.
        """
        with disk_errors(self.store, self.path.name, self.path):
            self.file.truncate(offset)
            self.file.seek(offset)
            for block in blocks:
                self._append(block)
                fault("mid_tmp")
        return self.size()

    def empty(self) -> None:
        """Throw its bytes away. Only a part that was not put in place: its inode is nobody else's."""
        self.etag_path.unlink(missing_ok=True)
        self.file.truncate(0)

    def remove(self) -> None:
        """Remove what is left of it, but not what another process made under its name since."""
        with contextlib.suppress(FileNotFoundError):
            if os.fstat(self.file.fileno()).st_ino == self.path.stat().st_ino:
                self.path.unlink()
        self.etag_path.unlink(missing_ok=True)

    def md5(self) -> str:
        """MD5 of its bytes, in hex."""
        with self.path.open("rb") as stream:
            return digest(stream).md5

    def _append(self, block: bytes) -> None:
        """Write all of a block: an unbuffered file may take less."""
        rest = memoryview(block)
        while rest:
            rest = rest[self.file.write(rest) :]


def _etag(path: Path) -> str | None:
    try:
        return path.read_text(encoding="ascii")
    except (FileNotFoundError, UnicodeDecodeError):
        return None


def part_path(store: ObjectStore, key: str) -> Path:
    """Where the bytes of a raw file are gathered: beside it, or on local disk if the lake is on S3."""
    if store.uri.startswith("s3://"):
        return store.staging(key).parent / f"{key.replace('/', '_')}{PART}"
    return inside(Path(store.uri), key + PART)


def part_bytes(store: ObjectStore, key: str, etag: str) -> int | None:
    """Bytes that an earlier run already has of this version of an object; None without any."""
    path = part_path(store, key)
    if _etag(path.with_name(path.name.removesuffix(PART) + PART_ETAG)) != etag or not path.exists():
        return None
    return path.stat().st_size


def part_files(store: ObjectStore, older_than_ns: int) -> list[Path]:
    """Parts and their notes that were last written before a moment: downloads that nobody took up again."""
    place = part_path(store, f"{RAW}x").parent
    found = (path for path in place.rglob("*") if path.name.endswith((PART, PART_ETAG)))
    return sorted(path for path in found if path.stat().st_mtime_ns < older_than_ns)


@contextlib.contextmanager
def locked_part(store: ObjectStore, key: str) -> Iterator[Part]:
    """The part of a raw file, for this process alone; a part of its own if another one is at it."""
    private = store.staging(key)  # also makes the folder
    shared = part_path(store, key)
    with disk_errors(store.uri, key, shared):
        file, path = _open_locked(shared) or (private.open("w+b", buffering=0), private)
    part = Part(path, file, store.uri)
    with file:
        try:
            yield part
        finally:
            if path == private or part.size() == 0:
                part.remove()


def _open_locked(path: Path) -> tuple[BinaryIO, Path] | None:
    """Open and lock; None if another process holds it."""
    while True:
        file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644), "r+b", buffering=0)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            return None
        with contextlib.suppress(FileNotFoundError):
            if os.fstat(file.fileno()).st_ino == path.stat().st_ino:
                return file, path
        file.close()  # it was finished and removed between opening and locking
