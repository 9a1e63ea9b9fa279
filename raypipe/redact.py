"""Keep secrets out of whatever people and files get to see: messages, logs, tracebacks, run records.

Two nets: values known to be secret (from the environment and from the AWS credentials file), and shapes that
secrets have wherever they come from. Nothing of ours is imported, so every layer may use it.
"""

from __future__ import annotations

import configparser
import logging
import os
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path

__all__ = ["MASK", "RedactingFilter", "known_secrets", "redact"]

MASK = "***"
#: Shorter values are too common as words to be masked wherever they stand.
MIN_SECRET = 8
_SECRET_NAME = re.compile(r"SECRET|TOKEN|PASSWORD|PASSWD|API_?KEY|ACCESS_KEY|PRIVATE_KEY", re.IGNORECASE)
_NOT_SECRET = re.compile(r"_(FILE|PATH|DIR|URI|URL|MODE)$", re.IGNORECASE)

#: Each keeps its first group, if it has one, and masks the rest.
_SHAPES = (
    re.compile(r"\b(?:AKIA|ASIA|AROA|AIDA)[0-9A-Z]{12,}\b"),
    re.compile(
        r"((?:aws_)?(?:secret_access_key|access_key_id|session_token)[\"']?\s*[=:]\s*[\"']?)[^\s\"',}]+", re.IGNORECASE
    ),
    re.compile(
        r"([?&](?:api_?key|token|x-amz-(?:signature|credential|security-token)|signature|awsaccesskeyid)=)[^&\s\"'<>]+",
        re.IGNORECASE,
    ),
    re.compile(r"(<AWSAccessKeyId>)[^<]+"),
    re.compile(
        r"((?:authorization|x-amz-security-token)[\"']?\s*[:=]\s*[\"']?)(?:[A-Za-z0-9-]+ )?[^\s\"',]+"
        r"(?:,?\s*(?:Signed\w+|Signature)=[^\s\"',]+)*",
        re.IGNORECASE,
    ),
    re.compile(r"(Credential=)[^\s,\"']+"),
    re.compile(r"(\b[a-z][a-z0-9+.-]*://)[^/\s:@]+:[^/\s@]+(?=@)", re.IGNORECASE),
)


def redact(text: str, secrets: Iterable[str] | None = None) -> str:
    """Mask everything in a text that is, or looks like, a secret.

    Parameters
    ----------
    text
        Any text.
    secrets
        Values to mask wherever they stand; those of `known_secrets` if None.

    Examples
    --------
    >>> redact("GET https://host/v1?apiKey=abcd1234&limit=5", ())
    'GET https://host/v1?apiKey=***&limit=5'
    """
    for secret in known_secrets() if secrets is None else secrets:
        text = text.replace(secret, MASK)
    for shape in _SHAPES:
        text = shape.sub(_masked, text)
    return text


def _masked(match: re.Match[str]) -> str:
    return (match.group(1) if match.re.groups else "") + MASK


@lru_cache(maxsize=1)
def known_secrets() -> tuple[str, ...]:
    """Secret values of this process's environment and of the AWS credentials file, longest first."""
    return tuple(sorted({*_of_environment(os.environ), *_of_file()}, key=len, reverse=True))


def _of_environment(env: Mapping[str, str]) -> set[str]:
    names = (name for name in env if _SECRET_NAME.search(name) and not _NOT_SECRET.search(name))
    return {env[name] for name in names if len(env[name]) >= MIN_SECRET}


def _of_file() -> set[str]:
    """Keys of all profiles; a file that cannot be read hides nothing, because boto3 cannot read it either."""
    path = Path(os.environ.get("AWS_SHARED_CREDENTIALS_FILE") or Path.home() / ".aws" / "credentials")
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, configparser.Error):
        return set()
    values = (value for profile in parser.values() for name, value in profile.items() if _SECRET_NAME.search(name))
    return {value for value in values if value and len(value) >= MIN_SECRET}


class RedactingFilter(logging.Filter):
    """A filter for handlers: message, arguments, traceback and stack of every record are masked."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Mask in place; every record passes."""
        record.msg, record.args = redact(record.getMessage()), None
        if record.exc_info:
            record.exc_text = redact(logging.Formatter().formatException(record.exc_info))
            record.exc_info = None
        if record.stack_info:
            record.stack_info = redact(record.stack_info)
        return True
