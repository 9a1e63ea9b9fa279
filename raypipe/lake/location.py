"""Where a lake is: a value that travels between processes and carries no secret."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from raypipe.errors import UnsafeNameError, UsageError
from raypipe.lake.names import check_key

__all__ = ["Location"]

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_PROFILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@ -]{0,127}")


@dataclass(frozen=True, slots=True)
class Location:
    """The root of a lake or of a folder of vendor files.

    It holds names only. Credentials are found where a store is opened, in the process that opens it,
    so a pickled location has nothing to leak.

    Attributes
    ----------
    root
        Absolute local folder, or ``s3://bucket/prefix`` (prefix without a final slash, or none).
    endpoint_url
        Address of an S3 server other than AWS; None on a local folder.
    profile
        Named profile of the AWS configuration; None on a local folder.
    """

    root: str
    endpoint_url: str | None = None
    profile: str | None = None

    @classmethod
    def parse(cls, root: str, *, endpoint_url: str | None = None, profile: str | None = None) -> Location:
        """Check what a person wrote and bring it into one form.

        A local folder is made absolute, and has neither endpoint nor profile, so that equal folders
        are equal locations.

        Raises
        ------
        UnsafeNameError
            For NUL and control characters, ``..`` segments, a bucket or prefix outside the allow-list.
        UsageError
            For an unknown scheme, a malformed endpoint or profile.

        Examples
        --------
        >>> Location.parse("s3://market-lake/us/").root
        's3://market-lake/us'
        >>> Location.parse("/data/lake").is_local
        True
        """
        if not root or any(ord(c) < ord(" ") or ord(c) == 127 for c in root):  # noqa: PLR2004
            msg = "the location of a lake is empty or holds control characters"
            raise UnsafeNameError(msg, hint="name a folder or s3://bucket/prefix")
        scheme = _SCHEME.match(root)
        if scheme is None:
            return cls(_folder(root))
        if scheme.group(1) != "s3":
            # The rest of the address is not repeated: it may hold a password.
            msg = f"a lake cannot be on {scheme.group(1)}://"
            raise UsageError(msg, hint="name a folder or s3://bucket/prefix")
        return cls(_bucket_and_prefix(root[len("s3://") :]), _endpoint(endpoint_url), _profile(profile))

    @property
    def is_local(self) -> bool:
        """Whether the root is a folder of this machine."""
        return not self.root.startswith("s3://")

    @property
    def bucket(self) -> str:
        """Bucket of an S3 root."""
        return self.root.removeprefix("s3://").partition("/")[0]

    @property
    def prefix(self) -> str:
        """What stands before every key of an S3 root: empty, or ending in a slash."""
        rest = self.root.removeprefix("s3://").partition("/")[2]
        return f"{rest}/" if rest else ""


def _folder(root: str) -> str:
    if ".." in root.replace("\\", "/").split("/"):
        msg = "a folder with '..' in it depends on where it is read from"
        raise UnsafeNameError(msg, hint="write the folder without '..'", name=repr(root))
    return str(Path(root).absolute())


def _bucket_and_prefix(rest: str) -> str:
    bucket, _, prefix = rest.partition("/")
    if not _BUCKET.fullmatch(bucket) or ".." in bucket:
        # Not repeated either: s3://KEY:SECRET@bucket is a known spelling elsewhere.
        msg = "the bucket is not a valid S3 bucket name (3 to 63 of a-z 0-9 . -)"
        raise UnsafeNameError(msg, hint="write s3://bucket/prefix; credentials never stand in an address")
    prefix = prefix.rstrip("/")
    return f"s3://{bucket}/{check_key(prefix)}" if prefix else f"s3://{bucket}"


def _endpoint(url: str | None) -> str | None:
    if not url:
        return None
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        msg = "the endpoint is not an address such as https://host:port"
        raise UsageError(msg, hint="check endpoint_url")
    if parts.username is not None or parts.password is not None:
        msg = "the endpoint holds a user or password"
        raise UsageError(msg, hint="give credentials by environment variables or a profile")
    return url.rstrip("/")


def _profile(name: str | None) -> str | None:
    if not name:
        return None
    if not _PROFILE.fullmatch(name):
        msg = "not a profile name"
        raise UsageError(msg, hint="check profile", name=repr(name))
    return name
