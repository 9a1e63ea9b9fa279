"""A lake on S3, or on any server that speaks its protocol.

One PUT or one completed multipart upload publishes an object, so readers see the old one or the new
one. Nothing here needs conditional writes: some servers accept them and ignore them.
"""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from raypipe.errors import StorageError, UnsafeNameError
from raypipe.lake.faults import fault
from raypipe.lake.location import Location
from raypipe.lake.names import check_key
from raypipe.lake.objects import MISSING, Leftover, Leftovers, Stat, is_temporary, temporary_name
from raypipe.lake.s3_client import again, s3_client, storage_errors
from raypipe.lake.s3_file import RangedFile, get_range

__all__ = ["S3Store", "s3_client", "storage_errors"]

_MAX_PARTS = 10_000
#: Number and ETag of each part of an upload.
Parts = list[dict[str, Any]]


class S3Store:
    """Objects under ``s3://bucket/prefix``.

    Parameters
    ----------
    location
        One on S3.
    """

    #: Larger files go up in parts.
    multipart_bytes = 64 << 20
    part_bytes = 16 << 20

    def __init__(self, location: Location) -> None:
        self.uri = location.root
        self._bucket, self._prefix = location.bucket, location.prefix
        self._client = s3_client(location.endpoint_url, location.profile)
        mark = hashlib.sha256(repr((location.root, location.endpoint_url)).encode()).hexdigest()[:16]
        self._staging = Path(tempfile.gettempdir()) / f"raypipe-{os.getuid()}" / mark

    def stat(self, key: str) -> Stat | None:
        """See `ObjectStore.stat`."""
        try:
            with storage_errors(self.uri, key):
                head = again(self._client.head_object, **self._address(key))
        except StorageError as error:
            if error.values.get("code") == MISSING:
                return None
            raise
        return Stat(key, head["ContentLength"], head["ETag"].strip('"'), _ns(head["LastModified"]))

    def list(self, prefix: str) -> Iterator[Stat]:
        """See `ObjectStore.list`."""
        with storage_errors(self.uri, prefix):
            pages = self._client.get_paginator("list_objects_v2")
            found = [
                Stat(
                    item["Key"].removeprefix(self._prefix),
                    item["Size"],
                    item["ETag"].strip('"'),
                    _ns(item["LastModified"]),
                )
                for page in pages.paginate(Bucket=self._bucket, Prefix=self._prefix + prefix)
                for item in page.get("Contents", ())
            ]
        yield from sorted((stat for stat in found if _shown(stat.key)), key=lambda stat: stat.key)

    def read(self, key: str) -> bytes:
        """See `ObjectStore.read`: one GET, so one version."""
        with storage_errors(self.uri, key):
            return get_range(self._client, self._address(key)).data

    def open(self, key: str, *, whole: bool = False) -> pa.NativeFile:
        """See `ObjectStore.open`: one GET if all is wanted, else ranges of one version."""
        if whole:
            return pa.BufferReader(self.read(key))
        with storage_errors(self.uri, key):
            return pa.PythonFile(RangedFile(self._client, self._address(key), self.uri, key), mode="r")

    def put_file(self, key: str, path: Path) -> None:
        """See `ObjectStore.put_file`."""
        with storage_errors(self.uri, key):
            fault("before_upload")
            size = path.stat().st_size
            if size > self.multipart_bytes:
                self._put_parts(key, path, size)
            else:
                with path.open("rb") as body:
                    digest = hashlib.file_digest(body, _md5).digest()
                    body.seek(0)
                    again(self._client.put_object, **self._address(key), Body=body, ContentMD5=_base64(digest))
            fault("after_upload")
            if path.parent == self._staging and is_temporary(path.name):
                path.unlink(missing_ok=True)

    def put_bytes(self, key: str, data: bytes) -> None:
        """See `ObjectStore.put_bytes`."""
        with storage_errors(self.uri, key):
            fault("before_upload")
            again(self._client.put_object, **self._address(key), Body=data, ContentMD5=_base64(_md5(data).digest()))
            fault("after_upload")

    def delete(self, key: str) -> None:
        """See `ObjectStore.delete`."""
        with storage_errors(self.uri, key):
            again(self._client.delete_object, **self._address(key))

    def staging(self, key: str) -> Path:
        """See `ObjectStore.staging`: on local disk, in a folder of this user only."""
        check_key(key)
        self._staging.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._staging.parent.is_symlink() or self._staging.stat().st_uid != os.getuid():
            msg = "the folder for temporaries belongs to somebody else"
            raise UnsafeNameError(msg, hint="set TMPDIR to a folder of your own", name=str(self._staging))
        return self._staging / temporary_name(key.rpartition("/")[2])

    def leftovers(self, older_than_ns: int) -> Leftovers:
        """See `ObjectStore.leftovers`: unfinished uploads, and files of this machine that never went up."""
        found = [*self._uploads(), *_staged(self._staging)]
        return sorted((one for one in found if one.modified_ns < older_than_ns), key=lambda one: (one.key, one.token))

    def _uploads(self) -> Leftovers:
        pages = self._client.get_paginator("list_multipart_uploads")
        try:
            with storage_errors(self.uri, ""):
                return [
                    Leftover(
                        item["Key"].removeprefix(self._prefix), 0, _ns(item["Initiated"]), "multipart", item["UploadId"]
                    )
                    for page in pages.paginate(Bucket=self._bucket, Prefix=self._prefix)
                    for item in page.get("Uploads", ())
                ]
        except StorageError as error:
            # Servers that never saw an upload, or do not know the call, say so instead of "none".
            if error.values.get("code") in {"NoSuchUpload", "NotImplemented"}:
                return []
            raise

    def remove_leftover(self, leftover: Leftover) -> None:
        """See `ObjectStore.remove_leftover`."""
        if leftover.kind == "staging":
            Path(leftover.key).unlink(missing_ok=True)
            return
        try:
            with storage_errors(self.uri, leftover.key):
                address = self._address(leftover.key)
                again(self._client.abort_multipart_upload, **address, UploadId=leftover.token)
        except StorageError as error:
            if error.values.get("code") not in {MISSING, "NoSuchUpload"}:
                raise

    def _address(self, key: str) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": self._prefix + check_key(key)}

    def _put_parts(self, key: str, path: Path, size: int) -> None:
        address = self._address(key)
        upload = again(self._client.create_multipart_upload, **address)["UploadId"]
        try:
            parts = self._send_parts({**address, "UploadId": upload}, path, size)
            self._complete({**address, "UploadId": upload}, key, parts)
        except BaseException:
            # The first error is the one to tell; what cannot be aborted now, gc aborts later.
            with contextlib.suppress(Exception):
                self._client.abort_multipart_upload(**address, UploadId=upload)
            raise

    def _send_parts(self, upload: dict[str, str], path: Path, size: int) -> Parts:
        step = max(self.part_bytes, -(-size // _MAX_PARTS))
        parts = []
        with path.open("rb") as body:
            for number, data in enumerate(iter(lambda: body.read(step), b""), start=1):
                md5 = _base64(_md5(data).digest())
                sent = again(self._client.upload_part, **upload, PartNumber=number, Body=data, ContentMD5=md5)
                parts.append({"PartNumber": number, "ETag": sent["ETag"]})
                fault("mid_multipart")
        return parts

    def _complete(self, upload: dict[str, str], key: str, parts: Parts) -> None:
        try:
            with storage_errors(self.uri, key):
                again(self._client.complete_multipart_upload, **upload, MultipartUpload={"Parts": parts})
        except StorageError as error:
            # The answer to a completion may be lost, and the retry then finds no upload: look at the object.
            stat = self.stat(key) if error.values.get("code") == "NoSuchUpload" else None
            if stat is None or stat.stamp != _multipart_etag(parts):
                raise


def _md5(data: bytes = b"") -> Any:
    return hashlib.md5(data, usedforsecurity=False)


def _base64(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


def _multipart_etag(parts: Parts) -> str:
    digests = b"".join(bytes.fromhex(part["ETag"].strip('"')) for part in parts)
    return f"{_md5(digests).hexdigest()}-{len(parts)}"


def _ns(moment: dt.datetime) -> int:
    # Whole seconds, as in the headers of one object; some servers list milliseconds.
    return int(moment.timestamp()) * 1_000_000_000


def _shown(key: str) -> bool:
    try:
        return not is_temporary(check_key(key).rpartition("/")[2])
    except UnsafeNameError:
        return False


def _staged(folder: Path) -> Iterator[Leftover]:
    for path in folder.glob(".*.tmp"):
        with contextlib.suppress(FileNotFoundError):
            facts = path.stat()
            yield Leftover(str(path), facts.st_size, facts.st_mtime_ns, "staging")
