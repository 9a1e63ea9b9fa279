"""The bytes of a DBN file: inflated into the caller's buffer, hashed on the way, and refused unless they are whole.

A zstd library stops at the end of a cut file without a word, and reads the first of several frames only. So the
frames are walked here beside it, from header to header: at the end of the file a frame must have ended.
"""

from __future__ import annotations

from typing import BinaryIO, cast

from raypipe.errors import SourceError

__all__ = ["ZSTD_MAGIC", "Frames", "WholeBytes"]

ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_SKIPPABLE = b"\x2a\x4d\x18"  # after a first byte of 0x50-0x5f
_RLE, _RESERVED = 1, 3
_READ = 1 << 18
_AGAIN = "fetch it again"


def _is_skippable(magic: bytes) -> bool:
    return magic[1:] == _SKIPPABLE and magic[0] >> 4 == 5  # noqa: PLR2004 - see _SKIPPABLE


class Frames:
    """Walks the frames of a zstd file from block header to block header; what lies between is not looked at.

    Parameters
    ----------
    name
        The file's name, for errors.

    Attributes
    ----------
    size
        Bytes fed so far.
    """

    def __init__(self, name: str) -> None:
        self._name, self.size = name, 0
        self._at, self._part, self._checksum = 0, b"", False
        self._want(4, "frame")

    def _want(self, size: int, what: str) -> None:
        self._need, self._what = size, what

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the file.

        Raises
        ------
        SourceError
            If no frame starts where one must.
        """
        end = self.size + len(data)
        while self._at < end:
            if self._what == "block" and not self._part:
                self._pass_blocks(data)
            low = self._at - self.size
            piece = data[low : low + self._need - len(self._part)]
            self._at += len(piece)
            self._part += piece
            if len(self._part) == self._need:
                header, self._part = self._part, b""
                self._take(header)
        self.size = end

    def _pass_blocks(self, data: bytes) -> None:
        """Pass over blocks whose headers lie whole in the data, but for the last of a frame and what is no block."""
        at, last = self._at - self.size, len(data) - 3
        while at <= last:
            bits = data[at] | data[at + 1] << 8 | data[at + 2] << 16
            if bits & 1 or bits >> 1 & 3 == _RESERVED:
                break
            at += 3 + (1 if bits >> 1 & 3 == _RLE else bits >> 3)
        self._at = self.size + at

    def _take(self, header: bytes) -> None:
        if self._what == "block":
            self._block(int.from_bytes(header, "little"))
        elif self._what == "frame":
            self._frame(header)
        elif self._what == "descriptor":
            self._descriptor(header[0])
        else:  # the length of a skippable frame
            self._at += int.from_bytes(header, "little")
            self._want(4, "frame")

    def _frame(self, magic: bytes) -> None:
        if magic == ZSTD_MAGIC:
            self._want(1, "descriptor")
        elif _is_skippable(magic):
            self._want(4, "skippable")
        else:
            msg = "bytes that are no zstd frame"
            raise SourceError(msg, hint=_AGAIN, file=self._name, offset=self._at - len(magic))

    def _descriptor(self, bits: int) -> None:
        """Pass over the rest of a frame's header: window, dictionary id, content size."""
        single, size_flag = bits >> 5 & 1, bits >> 6
        self._at += (0 if single else 1) + (0, 1, 2, 4)[bits & 3] + (single, 2, 4, 8)[size_flag]
        self._checksum = bool(bits >> 2 & 1)
        self._want(3, "block")

    def _block(self, bits: int) -> None:
        kind = bits >> 1 & 3
        if kind == _RESERVED:
            msg = "a zstd block of a type that does not exist"
            raise SourceError(msg, hint=_AGAIN, file=self._name, offset=self._at - 3)
        self._at += 1 if kind == _RLE else bits >> 3
        if bits & 1:
            self._at += 4 if self._checksum else 0
            self._want(4, "frame")

    def finish(self) -> None:
        """Say that all bytes were fed.

        Raises
        ------
        SourceError
            If a frame has not ended.
        """
        if self._what != "frame" or self._part or self._at != self.size:
            msg = f"the zstd stream is cut short: no end of frame by byte {self.size}"
            raise SourceError(msg, hint=_AGAIN, file=self._name, offset=self.size)


class _File:
    """The file's bytes as they are, hashed and walked on the way: what the decompressor reads.

    Apart from `WholeBytes`, for what a decompressor holds must not hold the decompressor: its megabytes would stay
    until Python looks for rings.
    """

    def __init__(self, raw: BinaryIO, name: str) -> None:
        import xxhash

        self.raw, self.hash, self.size = raw, xxhash.xxh3_128(), 0
        self.start = raw.read(len(ZSTD_MAGIC))
        # What a file is, its first bytes say; names are given by people.
        compressed = ZSTD_MAGIC.startswith(self.start) or _is_skippable(self.start)
        self.frames = Frames(name) if compressed and self.start else None

    def read(self, size: int = -1) -> bytes:
        """The next bytes of the file."""
        start, self.start = self.start, b""
        data = start + self.raw.read(max(size - len(start), 0)) if size >= 0 else start + self.raw.read()
        self.took(data)
        if self.frames is not None:
            self.frames.feed(data)
        return data

    def took(self, data: bytes | memoryview) -> None:
        """Count and hash bytes."""
        self.hash.update(data)
        self.size += len(data)


class WholeBytes:
    """A plain or zstd-compressed file as one stream of bytes.

    Parameters
    ----------
    raw
        The file, at its start.
    name
        Its name, for errors.

    Attributes
    ----------
    offset
        Bytes handed out so far, inflated.

    Raises
    ------
    SourceError
        If the file is empty.
    """

    def __init__(self, raw: BinaryIO, name: str) -> None:
        self._file, self._name, self.offset = _File(raw, name), name, 0
        if not self._file.start:
            msg = "the file is empty"
            raise SourceError(msg, hint=_AGAIN, file=name, offset=0)
        self.compressed = self._file.frames is not None
        self._inflated = self._open_zstd() if self.compressed else None

    def _open_zstd(self) -> BinaryIO:
        import zstandard

        source = cast("BinaryIO", self._file)  # of a file, it has what is called: read
        reader = zstandard.ZstdDecompressor().stream_reader(source, read_size=_READ, read_across_frames=True)
        return cast("BinaryIO", reader)

    @property
    def size(self) -> int:
        """Bytes of the file read so far."""
        return self._file.size

    def readinto(self, buffer: memoryview) -> int:
        """Fill a buffer; fewer bytes come only at the end.

        Raises
        ------
        SourceError
            If the compressed stream is damaged.
        """
        got = self._inflate(buffer) if self._inflated is not None else self._copy(buffer)
        self.offset += got
        return got

    def _copy(self, buffer: memoryview) -> int:
        file = self._file
        first, file.start = file.start, b""
        buffer[: len(first)] = first
        got = len(first)
        while got < len(buffer):
            count = file.raw.readinto(buffer[got:])  # type: ignore[attr-defined]
            if not count:
                break
            got += count
        file.took(buffer[:got])
        return got

    def _inflate(self, buffer: memoryview) -> int:
        import zstandard

        got = 0
        try:
            while got < len(buffer):
                count = self._inflated.readinto(buffer[got:])  # type: ignore[union-attr]
                if not count:
                    break
                got += count
        except zstandard.ZstdError as error:
            msg = f"the zstd stream is damaged before byte {self.size} ({error})"
            raise SourceError(msg, hint=_AGAIN, file=self._name, offset=self.size) from None
        return got

    def exactly(self, size: int, what: str) -> bytes:
        """The next ``size`` bytes.

        Raises
        ------
        SourceError
            If the file ends before.
        """
        data = bytearray(size)
        got = self.readinto(memoryview(data))
        if got < size:
            self.finish()
            msg = f"the file ends in its {what}, at byte {self.offset}"
            raise SourceError(msg, hint=_AGAIN, file=self._name, offset=self.offset)
        return bytes(data)

    def finish(self) -> None:
        """Say that the end was reached.

        Raises
        ------
        SourceError
            If the compressed stream has not ended.
        """
        while self._file.read(_READ):
            pass
        if self._file.frames is not None:
            self._file.frames.finish()

    @property
    def digest(self) -> str:
        """XXH3-128 of the file's bytes read so far, in hex."""
        return str(self._file.hash.hexdigest())
