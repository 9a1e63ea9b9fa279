"""One pass over a file's bytes: its hashes, and whether it is a whole gzip file.

The text is inflated and thrown away, so a file that inflates to a thousand times its size costs time but no
memory.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import BinaryIO

from raypipe.sources.gzipped import MAGIC, Members, not_gzip

__all__ = ["CHUNK", "Digest", "digest", "gzip_digest"]

#: Bytes read at a time.
CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Digest:
    """Size in bytes and hashes in hex of a file's content."""

    size: int
    md5: str
    sha256: str


class _Hasher:
    def __init__(self) -> None:
        self._md5, self._sha256, self.size = hashlib.md5(usedforsecurity=False), hashlib.sha256(), 0

    def update(self, block: bytes) -> None:
        self._md5.update(block)
        self._sha256.update(block)
        self.size += len(block)

    def result(self) -> Digest:
        return Digest(self.size, self._md5.hexdigest(), self._sha256.hexdigest())


def digest(stream: BinaryIO) -> Digest:
    """Hash a stream to its end."""
    hasher = _Hasher()
    while block := stream.read(CHUNK):
        hasher.update(block)
    return hasher.result()


def gzip_digest(stream: BinaryIO, file: str) -> Digest:
    """Hash a stream and prove that it is gzip, whole, and has the right checksums.

    Parameters
    ----------
    stream
        Read from its start to its end.
    file
        Its name, for the error.

    Raises
    ------
    SourceError
        If it is empty, not gzip, cut short, damaged, or followed by anything but zeros; with the offset.
    """
    hasher, members = _Hasher(), Members(file, sink=len)
    while block := stream.read(CHUNK):
        if hasher.size == 0 and not block.startswith(MAGIC):
            raise not_gzip(block, file)
        members.feed(block, hasher.size)
        hasher.update(block)
    members.finish(hasher.size)
    return hasher.result()
