"""One pass over a file's bytes: its hashes, and whether it is a whole gzip file.

The text is inflated and thrown away, so a file that inflates to a thousand times its size costs time but no
memory.
"""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import dataclass
from typing import BinaryIO

from raypipe.errors import SourceError

__all__ = ["CHUNK", "Digest", "digest", "gzip_digest"]

#: Bytes read at a time.
CHUNK = 1 << 20
_GZIP = 16 + zlib.MAX_WBITS
_MAGIC = b"\x1f\x8b"


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
    hasher, members = _Hasher(), _Members(file)
    while block := stream.read(CHUNK):
        if hasher.size == 0 and not block.startswith(_MAGIC):
            raise _not_gzip(block, file)
        members.feed(block, hasher.size)
        hasher.update(block)
    members.finish(hasher.size)
    return hasher.result()


class _Members:
    """Inflates the members of a gzip file one after the other, keeping nothing."""

    def __init__(self, file: str) -> None:
        self._file, self._inflate, self._padding = file, zlib.decompressobj(_GZIP), False

    def feed(self, block: bytes, offset: int) -> None:
        pending = block
        while pending:
            if self._inflate.eof and not self._next_member(pending, offset + len(block) - len(pending)):
                return
            pending = self._run(pending, offset + len(block) - len(pending))

    def finish(self, size: int) -> None:
        if size == 0:
            msg = "the file is empty"
            raise SourceError(msg, hint="fetch it again", file=self._file, offset=0)
        if not self._inflate.eof and not self._padding:
            msg = f"the gzip stream is cut short: no trailer by byte {size}"
            raise SourceError(msg, hint="fetch it again", file=self._file, offset=size)

    def _next_member(self, pending: bytes, offset: int) -> bool:
        """Start another member; False at zero padding, which gzip allows after the last."""
        if not pending.strip(b"\0"):
            self._padding = True
            return False
        if self._padding or not _MAGIC.startswith(pending[:2]):
            msg = "bytes that are not gzip follow the end of the gzip stream"
            raise SourceError(msg, hint="fetch it again", file=self._file, offset=offset)
        self._inflate = zlib.decompressobj(_GZIP)
        return True

    def _run(self, pending: bytes, offset: int) -> bytes:
        """Inflate up to one chunk of text; returns what is left of ``pending``."""
        try:
            self._inflate.decompress(pending, CHUNK)
        except zlib.error as error:
            msg = f"the gzip stream is damaged ({error})"
            raise SourceError(msg, hint="fetch it again", file=self._file, offset=offset) from None
        return self._inflate.unused_data if self._inflate.eof else self._inflate.unconsumed_tail


def _not_gzip(block: bytes, file: str) -> SourceError:
    start = block[:60].split(b"\n")[0].decode("ascii", errors="replace")
    kind = "an XML or HTML page" if block.lstrip()[:1] == b"<" else "no gzip file"
    msg = f"the body is {kind}: it starts with {start!r}"
    return SourceError(msg, hint="look at the object at its source", file=file, offset=0)
