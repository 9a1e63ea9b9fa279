"""The vendor's S3 endpoint: listing a month, getting an object from an offset, and what refusals mean.

An endpoint's error texts are never passed on, only their codes: servers have been seen to repeat access keys.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from raypipe.acquisition.listing import Listing, RemoteObject, by_session
from raypipe.errors import StorageError, UsageError
from raypipe.sources.endpoint import IngestParams
from raypipe.sources.polygon_keys import Dataset, Month, month_prefix

__all__ = ["REFUSED", "REPLACED", "Body", "IngestParams", "Remote", "has_code", "list_months"]

#: Values ``code`` of StorageErrors: the endpoint refused (403); the object is not the one that was listed.
REFUSED, REPLACED = "Refused", "Replaced"
_FORBIDDEN, _PRECONDITION_FAILED = 403, 412
_BAD_KEYS = frozenset({"InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken"})


@dataclass(frozen=True, slots=True)
class Body:
    """An object's bytes from an offset on.

    Attributes
    ----------
    stream
        Has ``read(n)``.
    offset
        Where it starts: 0 if the server does not know ranges.
    size
        Bytes of the whole object.
    """

    stream: Any
    offset: int
    size: int


def has_code(error: StorageError, code: str) -> bool:
    """Whether an error is of that kind."""
    return error.values.get("code") == code


class Remote:
    """One bucket of an S3 endpoint; may be shared by threads.

    Parameters
    ----------
    params
        Endpoint, bucket, profile.

    Raises
    ------
    UsageError
        If no credentials can be found; it names where they were looked for.
    """

    def __init__(self, params: IngestParams) -> None:
        self.uri = params.endpoint_url
        self.bucket, self._prefix = params.bucket, params.prefix
        self._profile, self._profile_found = params.aws_profile, True
        self._client = self._open()

    def month(self, data: Dataset, month: Month) -> list[RemoteObject]:
        """List one month of one data set, page after page.

        Raises
        ------
        StorageError
            Of code `REFUSED` without entitlement; otherwise if the endpoint cannot be used.
        UsageError
            Without credentials.
        """
        prefix = self._prefix + month_prefix(data, month)
        with self._errors(data.folder, prefix):
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
            return [self._listed(item) for page in pages for item in page.get("Contents", ())]

    def head(self, key: str) -> RemoteObject:
        """Facts of one object as it is now."""
        with self._errors(key.split("/")[1], key):
            facts = self._client.head_object(Bucket=self.bucket, Key=self._prefix + key)
        return RemoteObject(key, facts["ContentLength"], facts["ETag"].strip('"'), _iso(facts["LastModified"]))

    def get(self, listed: RemoteObject, offset: int) -> Body:
        """Start to get an object, as it was listed, from an offset on.

        Raises
        ------
        StorageError
            Of code `REPLACED` if the object is another one by now: some servers answer 412, others ignore the
            condition, so the answer's ETag is compared as well.
        """
        wanted = {"IfMatch": f'"{listed.etag}"'} | ({"Range": f"bytes={offset}-"} if offset else {})
        with self._errors(listed.key.split("/")[1], listed.key):
            answer = self._client.get_object(Bucket=self.bucket, Key=self._prefix + listed.key, **wanted)
        start, size = _range(answer)
        if answer["ETag"].strip('"') != listed.etag:
            answer["Body"].close()
            raise self._replaced(listed.key)
        return Body(answer["Body"], start, size)

    def _open(self) -> Any:
        from raypipe.lake.s3_client import s3_client

        try:
            return s3_client(self.uri, self._profile or None)
        except StorageError as error:
            if not has_code(error, "ProfileNotFound"):
                raise
        self._profile_found = False
        return s3_client(self.uri, None)

    def _listed(self, item: dict[str, Any]) -> RemoteObject:
        key = item["Key"].removeprefix(self._prefix)
        return RemoteObject(key, item["Size"], item["ETag"].strip('"'), _iso(item["LastModified"]))

    @contextlib.contextmanager
    def _errors(self, folder: str, key: str) -> Iterator[None]:
        from botocore.exceptions import ClientError, NoCredentialsError, PartialCredentialsError

        from raypipe.lake.s3_client import storage_errors

        with storage_errors(self.uri, key):
            try:
                yield
            except ClientError as error:
                status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
                if status == _FORBIDDEN:
                    raise self._refused(folder, key, error.response) from None
                if status == _PRECONDITION_FAILED:
                    raise self._replaced(key) from None
                raise
            except (NoCredentialsError, PartialCredentialsError):
                raise self._no_credentials() from None

    def _refused(self, folder: str, key: str, answer: dict[str, Any]) -> StorageError:
        code = answer.get("Error", {}).get("Code")
        msg = f"key pair has no entitlement for {folder}"
        if code in _BAD_KEYS:
            msg = f"{msg}: the endpoint does not accept it ({code})"
        return StorageError(msg, hint=self._tried(), store=self.uri, key=key, code=REFUSED)

    def _replaced(self, key: str) -> StorageError:
        return StorageError("the object was replaced since it was listed", store=self.uri, key=key, code=REPLACED)

    def _no_credentials(self) -> UsageError:
        msg = f"no credentials for {self.uri}"
        return UsageError(msg, hint=f"{self._tried()}; set both variables or name a profile with --aws-profile")

    def _tried(self) -> str:
        if os.environ.get("AWS_ACCESS_KEY_ID") and os.environ.get("AWS_SECRET_ACCESS_KEY"):
            return "used AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY of the environment, no profile"
        unset = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not both set"
        if self._profile and self._profile_found:
            return f"{unset}; tried profile {self._profile!r}"
        missing = f"profile {self._profile!r} does not exist; " if self._profile else ""
        return f"{unset}; {missing}tried boto3's own chain"


def _iso(moment: dt.datetime) -> str:
    return moment.astimezone(dt.UTC).isoformat()


def _range(answer: dict[str, Any]) -> tuple[int, int]:
    """Offset and size of the whole, from an answer to a request with or without a range."""
    told = answer.get("ContentRange", "")
    if not told:
        return 0, answer["ContentLength"]
    span, _, size = told.removeprefix("bytes ").partition("/")
    return int(span.partition("-")[0]), int(size)


def list_months(remote: Remote, datasets: Iterable[Dataset], months: Sequence[Month], jobs: int) -> Listing:
    """List months of data sets, each apart, several at once.

    A data set that the endpoint refuses is noted in ``refused``; the others are listed all the same.

    Raises
    ------
    StorageError
        If the endpoint cannot be used.
    UsageError
        Without credentials.
    """
    places = [(data, month) for data in datasets for month in months]
    with ThreadPoolExecutor(jobs) as pool:
        answers = list(pool.map(lambda place: _month_or_refusal(remote, *place), places))
    listed = {place: answer for place, answer in zip(places, answers, strict=True) if isinstance(answer, list)}
    refused = {data: answer for (data, _), answer in zip(places, answers, strict=True) if isinstance(answer, str)}
    objects = by_session(each for found in listed.values() for each in found)
    return Listing(objects, frozenset(listed), frozenset(datasets), refused, source=f"{remote.uri}/{remote.bucket}")


def _month_or_refusal(remote: Remote, data: Dataset, month: Month) -> list[RemoteObject] | str:
    try:
        return remote.month(data, month)
    except StorageError as error:
        if not has_code(error, REFUSED):
            raise
        return f"{error.message} ({error.hint})"
