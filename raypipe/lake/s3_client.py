"""The boto3 client: how it finds credentials, how it retries, and what its errors become.

No error text of a server is passed on, only its code: servers have been seen to repeat access keys.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

from raypipe.errors import StorageError
from raypipe.lake.objects import MISSING

__all__ = ["again", "again_later", "s3_client", "storage_errors"]

ATTEMPTS = 5
CONNECT_TIMEOUT_SECONDS = 10
READ_TIMEOUT_SECONDS = 60
_LONGEST_PAUSE_SECONDS = 8.0
#: Conflicts that pass by themselves; botocore does not retry them.
_CONFLICTS = frozenset({"OperationAborted", "ConditionalRequestConflict", "409", "Conflict"})
_MISSING = frozenset({"NoSuchKey", "404", "NotFound"})
_REFUSED = frozenset(
    {"AccessDenied", "403", "Forbidden", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken"}
)
_HINTS = {
    "NoSuchBucket": "create the bucket, or check its name and the endpoint",
    "RequestTimeTooSkewed": "the clock of this machine is wrong",
    "SlowDown": "the server asks for fewer requests: run again with fewer workers",
}
#: Errors of botocore whose text holds names and addresses only.
_PLAIN = frozenset(
    {
        "ConnectTimeoutError",
        "ConnectionClosedError",
        "EndpointConnectionError",
        "IncompleteReadError",
        "NoCredentialsError",
        "PartialCredentialsError",
        "ProfileNotFound",
        "ReadTimeoutError",
        "SSLError",
    }
)


def s3_client(endpoint_url: str | None, profile: str | None) -> Any:
    """Open a boto3 S3 client: path-style addresses, signature version 4, standard retries.

    Credentials are the pair ``AWS_ACCESS_KEY_ID`` and ``AWS_SECRET_ACCESS_KEY`` if both are set, and then
    no profile is touched; else the named profile; else boto3's own chain. ``AWS_MAX_ATTEMPTS`` changes
    the number of attempts (5).

    Raises
    ------
    StorageError
        If no client can be made, naming where credentials were looked for.
    """
    import boto3
    from botocore.config import Config

    config = Config(
        signature_version="s3v4",
        s3={"addressing_style": "path"},
        retries={"mode": "standard", "total_max_attempts": int(os.environ.get("AWS_MAX_ATTEMPTS") or ATTEMPTS)},
        connect_timeout=CONNECT_TIMEOUT_SECONDS,
        read_timeout=READ_TIMEOUT_SECONDS,
        max_pool_connections=32,
        # Trailing checksums are refused by several servers; Content-MD5 is sent instead.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    with storage_errors(endpoint_url or "s3", "", tried=_tried(profile)):
        session = boto3.session.Session(**_session_arguments(profile))
        return session.client(
            "s3", endpoint_url=endpoint_url, config=config, region_name=session.region_name or "us-east-1"
        )


def _session_arguments(profile: str | None) -> dict[str, Any]:
    if not _pair_is_set():
        return {"profile_name": profile} if profile else {}
    import botocore.session

    # Without this, AWS_PROFILE naming a missing profile breaks even a client that needs none.
    quiet = botocore.session.Session(session_vars={"profile": (None, None, None, None)})
    return {
        "botocore_session": quiet,
        "aws_access_key_id": os.environ["AWS_ACCESS_KEY_ID"],
        "aws_secret_access_key": os.environ["AWS_SECRET_ACCESS_KEY"],
        "aws_session_token": os.environ.get("AWS_SESSION_TOKEN") or None,
    }


def _pair_is_set() -> bool:
    return bool(os.environ.get("AWS_ACCESS_KEY_ID") and os.environ.get("AWS_SECRET_ACCESS_KEY"))


def _tried(profile: str | None) -> str:
    if _pair_is_set():
        return "credentials came from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    found = f"profile {profile!r}" if profile else "boto3's own chain (environment, configuration files, instance role)"
    return f"AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not both set; tried {found}"


@contextlib.contextmanager
def storage_errors(store: str, key: str, *, tried: str = "") -> Iterator[None]:
    """Turn errors of botocore, and of local files on their way up, into StorageError.

    Its value ``code`` is the server's code; a missing object has the code ``NoSuchKey``.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        code, text = _client_error(error)
        hint = _HINTS.get(code) or (tried or _tried(None) if code in _REFUSED else "run again later")
        # "from None": the original text is the server's, and may hold a key.
        raise StorageError(text, hint=hint, store=store, key=key, code=code) from None
    except BotoCoreError as error:
        kind = type(error).__name__
        text = str(error) if kind in _PLAIN else kind
        hint = tried or _tried(None) if "Credential" in kind or "Profile" in kind else "check the network and endpoint"
        raise StorageError(text, hint=hint, store=store, key=key, code=kind) from None
    except OSError as error:
        text = f"{os.strerror(error.errno) if error.errno else error}"
        raise StorageError(text, hint="check the local disk", store=store, key=key, path=error.filename) from error


def _client_error(error: Any) -> tuple[str, str]:
    answer = error.response
    status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    code = re.sub(r"[^A-Za-z0-9]", "", str(answer.get("Error", {}).get("Code", "")))[:64] or str(status)
    code = MISSING if code in _MISSING else code
    attempts = answer.get("ResponseMetadata", {}).get("RetryAttempts", 0) + 1
    return code, f"{error.operation_name} answered {code} (HTTP {status}) on attempt {attempts}"


def again(call: Callable[..., Any], **arguments: Any) -> Any:
    """Call the client; repeat a passing conflict (409) with growing random pauses, as botocore does for 5xx."""
    from botocore.exceptions import ClientError

    for attempt in range(ATTEMPTS):
        try:
            return call(**arguments)
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") not in _CONFLICTS or not again_later(attempt):
                raise
            if hasattr(arguments.get("Body"), "seek"):
                arguments["Body"].seek(0)
    raise AssertionError  # the last attempt returned or raised


def again_later(attempt: int) -> bool:
    """Pause before another attempt; False if there have been enough."""
    if attempt + 1 >= int(os.environ.get("AWS_MAX_ATTEMPTS") or ATTEMPTS):
        return False
    time.sleep(random.uniform(0, min(_LONGEST_PAUSE_SECONDS, 0.25 * 2**attempt)))
    return True
