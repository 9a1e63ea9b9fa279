"""Gzip as vendors deliver it: whole, or refused with the byte where it breaks.

Libraries differ in what they let pass: a cut stream, zeros after the end, a second member. Here a file is taken
only if every member ends in its trailer with the right checksum and nothing but zeros follows.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable

from raypipe.errors import SourceError

__all__ = ["MAGIC", "Members", "inflate", "not_gzip"]

MAGIC = b"\x1f\x8b"
_MEMBER = MAGIC + b"\x08"
_GZIP = 16 + zlib.MAX_WBITS
_CHUNK = 1 << 20
_TRAILER = 8
#: A full-market minute file is 130 MB of text, 5 times its compressed size.
MAX_TEXT_BYTES = 1 << 30
MAX_RATIO = 200


class Members:
    """Inflates the members of a gzip file one after the other.

    Parameters
    ----------
    file
        Its name, for errors.
    sink
        Called with each piece of text, of at most 1 MiB.
    """

    def __init__(self, file: str, sink: Callable[[bytes], object]) -> None:
        self._file, self._sink = file, sink
        self._inflate, self._padding = zlib.decompressobj(_GZIP), False

    def feed(self, block: bytes, offset: int) -> None:
        """Take the bytes that stand at ``offset``.

        Raises
        ------
        SourceError
            If they are damaged, or follow the end of the stream and are not zeros.
        """
        pending = block
        while pending:
            if self._inflate.eof and not self._next_member(pending, offset + len(block) - len(pending)):
                return
            pending = self._run(pending, offset + len(block) - len(pending))

    def finish(self, size: int) -> None:
        """Say that ``size`` bytes were all.

        Raises
        ------
        SourceError
            If the stream has not ended.
        """
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
        if self._padding or not MAGIC.startswith(pending[:2]):
            msg = "bytes that are not gzip follow the end of the gzip stream"
            raise SourceError(msg, hint="fetch it again", file=self._file, offset=offset)
        self._inflate = zlib.decompressobj(_GZIP)
        return True

    def _run(self, pending: bytes, offset: int) -> bytes:
        """Inflate up to one chunk of text; returns what is left of ``pending``."""
        try:
            self._sink(self._inflate.decompress(pending, _CHUNK))
        except zlib.error as error:
            msg = f"the gzip stream is damaged ({error})"
            raise SourceError(msg, hint="fetch it again", file=self._file, offset=offset) from None
        return self._inflate.unused_data if self._inflate.eof else self._inflate.unconsumed_tail


def not_gzip(start: bytes, file: str) -> SourceError:
    """The error for a body that is something else."""
    line = start[:60].split(b"\n")[0].decode("ascii", errors="replace")
    kind = "an XML or HTML page" if start.lstrip()[:1] == b"<" else "no gzip file"
    msg = f"the body is {kind}: it starts with {line!r}"
    return SourceError(msg, hint="look at the object at its source", file=file, offset=0)


def inflate(data: bytes, file: str) -> bytes | bytearray:
    """Inflate a whole gzip file.

    Parameters
    ----------
    data
        The file's bytes.
    file
        Its name, for errors.

    Raises
    ------
    SourceError
        If it is empty, not gzip, cut short, damaged, or grows beyond all reason; with the offset.
    """
    if not data:
        Members(file, len).finish(0)
    if not data.startswith(MAGIC):
        raise not_gzip(data, file)
    limit = min(MAX_TEXT_BYTES, max(len(data) * MAX_RATIO, _CHUNK))
    text = _inflate_at_once(data, limit)
    return text if text is not None else _inflate_in_pieces(data, file, limit)


def _inflate_at_once(data: bytes, limit: int) -> bytes | bytearray | None:
    """libdeflate, 3 times faster than zlib; None unless the result is certainly all there is.

    It reads the first member only and trusts the size that it is told, so size and checksum of the result are
    held against the file's last trailer, and nothing inside may look like the start of another member.
    """
    try:
        import deflate
    except ImportError:
        return None  # an optional accelerator: no wheel on every platform
    crc, size = (int.from_bytes(data[-_TRAILER:][i : i + 4], "little") for i in (0, 4))
    if not 0 < size <= limit:
        return None
    try:
        text = deflate.gzip_decompress(data, size)
    except deflate.DeflateError:
        return None
    whole = len(text) == size and deflate.crc32(text) == crc and not _has_second_member(data)
    return text if whole else None


def _has_second_member(data: bytes) -> bool:
    """Whether some later place could be the start of a member. Three bytes agree by chance once in 16 MB."""
    start = data.find(_MEMBER, 1)
    while start >= 0:
        try:
            zlib.decompressobj(_GZIP).decompress(data[start : start + 4096], _CHUNK)
        except zlib.error:
            start = data.find(_MEMBER, start + 1)
        else:
            return True
    return False


def _inflate_in_pieces(data: bytes, file: str, limit: int) -> bytearray:
    text = bytearray()

    def sink(piece: bytes) -> None:
        text.extend(piece)
        if len(text) > limit:
            msg = f"inflates to more than {limit:,} bytes"
            raise SourceError(msg, hint="no market data grows like this; look at the object", file=file)

    members = Members(file, sink)
    for offset in range(0, len(data), _CHUNK):
        members.feed(data[offset : offset + _CHUNK], offset)
    members.finish(len(data))
    return text
