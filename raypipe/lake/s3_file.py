"""Random access to one version of an S3 object, by ranged GETs with the tail fetched first.

A Parquet footer stands at the end, so a footer costs one GET and no HEAD.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from typing import Any

from raypipe.errors import StorageError
from raypipe.lake.s3_client import again, again_later, storage_errors

__all__ = ["Body", "RangedFile", "get_range"]

TAIL_BYTES = 64 << 10
_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+)")


@dataclass(frozen=True, slots=True)
class Body:
    """Bytes of an object from offset ``start``, the size of the whole, and the version they belong to."""

    data: bytes
    start: int
    size: int
    etag: str


def get_range(client: Any, address: dict[str, str], span: str | None = None) -> Body:
    """GET an object, or the bytes ``span`` of it (as in a Range header).

    botocore retries requests, not bodies: a body that ends early or stalls is fetched again here.
    """
    from botocore.exceptions import HTTPClientError, IncompleteReadError

    attempt = 0
    while True:
        answer = _answer(client, address, span)
        try:
            return _body(answer, answer["Body"].read())
        except (IncompleteReadError, HTTPClientError):
            if not again_later(attempt):
                raise
            attempt += 1


def _answer(client: Any, address: dict[str, str], span: str | None) -> dict[str, Any]:
    from botocore.exceptions import ClientError

    try:
        wanted = {"Range": f"bytes={span}"} if span else {}
        return again(client.get_object, **address, **wanted)  # type: ignore[no-any-return]
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") != "InvalidRange" or not span:
            raise
        # A suffix longer than the object: most servers send what there is, some refuse.
        return again(client.get_object, **address)  # type: ignore[no-any-return]


def _body(answer: dict[str, Any], data: bytes) -> Body:
    place = _CONTENT_RANGE.fullmatch(answer.get("ContentRange") or "")
    start, size = (int(place.group(1)), int(place.group(2))) if place else (0, len(data))
    return Body(data, start, size, answer.get("ETag", ""))


class RangedFile(io.RawIOBase):
    """A read-only file over ranged GETs.

    Raises
    ------
    StorageError
        With code ``Replaced`` if the object was replaced since it was opened: bytes of two versions
        are never mixed.
    """

    def __init__(self, client: Any, address: dict[str, str], store: str, key: str) -> None:
        super().__init__()
        self._client, self._address, self._store, self._key = client, address, store, key
        self._tail = get_range(client, address, f"-{TAIL_BYTES}")
        self._at = 0

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def tell(self) -> int:
        """The offset of the next byte."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to an offset."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._tail.size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readall(self) -> bytes:
        """All bytes from here to the end."""
        return self.read(self._tail.size - self._at) or b""

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer from here; returns how many bytes there were."""
        stop = min(self._at + len(buffer), self._tail.size)
        data = self._fetch(self._at, stop) if stop > self._at else b""
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def _fetch(self, start: int, stop: int) -> bytes:
        if start >= self._tail.start:
            return self._tail.data[start - self._tail.start : stop - self._tail.start]
        with storage_errors(self._store, self._key):
            body = get_range(self._client, self._address, f"{start}-{stop - 1}")
        if body.etag != self._tail.etag or body.size != self._tail.size:
            msg = "the object was replaced while it was read"
            raise StorageError(msg, hint="run again", store=self._store, key=self._key, code="Replaced")
        return body.data[start - body.start : stop - body.start]
