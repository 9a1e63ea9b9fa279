"""Fetching one object so that nothing but the whole, checked file is ever taken for it.

Bytes go to ``NAME.part``, with the ETag that they belong to beside it, so a killed download goes on where it
stopped. The part is checked (size, MD5, gzip to its end) and only then put in place, as one step; the older
file, if another one, is kept under ``raw/_superseded/``.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator
from functools import partial

from raypipe.acquisition.digest import Digest, gzip_digest
from raypipe.acquisition.listing import RemoteObject
from raypipe.acquisition.parts import Part, locked_part
from raypipe.acquisition.place import move_in, publish
from raypipe.acquisition.receipts import RAW, Receipt
from raypipe.acquisition.remote import REPLACED, Body, Remote, has_code
from raypipe.errors import ShortObjectError, SourceError, StorageError
from raypipe.lake.faults import fault
from raypipe.lake.objects import ObjectStore

__all__ = ["Fetcher", "pause_seconds"]

#: Pause before attempt n + 1: up to this many seconds times 2 ** n, drawn evenly.
BACKOFF_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0
#: Bytes asked of a body at a time. When a connection breaks, urllib3 drops what the broken read had got.
BLOCK = 64 << 10


class Fetcher:
    """Gets objects and puts them into a lake; may be shared by threads.

    Parameters
    ----------
    remote, store
        From where, to where.
    attempts
        How often a body that comes short or damaged is asked for.
    now_ns
        The clock.
    sleep
        Pauses for so many seconds.
    """

    def __init__(
        self,
        remote: Remote,
        store: ObjectStore,
        *,
        attempts: int,
        now_ns: Callable[[], int],
        sleep: Callable[[float], object],
    ) -> None:
        self._remote, self._store, self._attempts = remote, store, attempts
        self._now_ns, self._sleep = now_ns, sleep

    def fetch(self, listed: RemoteObject) -> RemoteObject:
        """Get one object, check it and put it in place.

        Returns
        -------
        The facts of what was got: newer than those listed, if it was replaced meanwhile.

        Raises
        ------
        SourceError
            If the object is not a whole gzip file, or comes short or damaged every time.
        StorageError
            If the endpoint refuses or cannot be used, or the disk fails.
        """
        key = RAW + listed.key
        fault("before_tmp")
        with locked_part(self._store, key) as part:
            got, content = self._get_checked(part, listed)
            receipt = Receipt(key, self._remote.uri, got.etag, content.size, got.last_modified, content.sha256)
            publish(self._store, receipt, partial(move_in, self._store, part), self._now_ns())
            part.remove()
        return got

    def _get_checked(self, part: Part, listed: RemoteObject) -> tuple[RemoteObject, Digest]:
        for attempt in range(1, self._attempts + 1):
            try:
                fresh = self._download(part, listed)
                return listed, _checked(part, listed, fresh)
            except _AgainError as again:
                if attempt == self._attempts:
                    raise again.cause from None
            except StorageError as error:
                if not has_code(error, REPLACED) or attempt == self._attempts:
                    raise
                listed = self._remote.head(listed.key)
            self._sleep(pause_seconds(attempt))
        raise AssertionError  # the last attempt returned or raised

    def _download(self, part: Part, listed: RemoteObject) -> bool:
        """Bring the part to its full size; whether all of it came in this one answer."""
        size = listed.size or 0
        offset = part.resume(listed.etag, size)
        if offset == size:
            return False
        body = self._remote.get(listed, offset)
        if body.size != size:
            body.stream.close()
            raise _AgainError(_short(listed, body.size))
        with contextlib.closing(body.stream):
            got = part.write(body.offset, _blocks(body, listed))
        if got != size:
            raise _AgainError(_short(listed, got))
        return body.offset == 0


def pause_seconds(attempt: int) -> float:
    """How long to wait after a failed attempt (1, 2 ...): random, longer each time."""
    return random.uniform(0, min(LONGEST_PAUSE_SECONDS, BACKOFF_SECONDS * 2**attempt))


class _AgainError(Exception):
    """Another attempt may go better; ``cause`` is the error if none does."""

    def __init__(self, cause: SourceError) -> None:
        super().__init__(str(cause))
        self.cause = cause


def _short(listed: RemoteObject, got: int) -> ShortObjectError:
    msg = f"short object: {got:,} of {listed.size:,} bytes"
    return ShortObjectError(msg, hint="run again to go on from here", file=RAW + listed.key)


def _checked(part: Part, listed: RemoteObject, fresh: bool) -> Digest:
    """Prove the part against the listing; what is wrong with it is thrown away."""
    try:
        with part.path.open("rb") as stream:
            content = gzip_digest(stream, RAW + listed.key)
    except SourceError as error:
        proven = fresh if not listed.md5 else part.md5() == listed.md5
        part.empty()
        if proven:
            raise
        raise _AgainError(error) from None
    if listed.md5 and content.md5 != listed.md5:
        part.empty()
        msg = f"the content's MD5 is {content.md5}, the listing says {listed.md5}"
        raise _AgainError(SourceError(msg, hint="run again", file=RAW + listed.key))
    return content


def _blocks(body: Body, listed: RemoteObject) -> Iterator[bytes]:
    """The body piece by piece. A connection that breaks ends it early: what came is kept, the size tells."""
    from raypipe.lake.s3_client import storage_errors

    with contextlib.suppress(StorageError), storage_errors("", listed.key):
        while block := body.stream.read(BLOCK):
            yield block
