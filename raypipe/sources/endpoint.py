"""Where the vendor's flat files are served from, and how hard to try for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from raypipe.schema.daily_bars import DailyIngest

if TYPE_CHECKING:
    from pydantic.config import JsonDict

__all__ = ["IngestParams"]

_UNTRACKED: JsonDict = {"track": False}


def _field(default: Any, doc: str, **limits: Any) -> Any:
    return Field(default, description=doc, json_schema_extra=_UNTRACKED, **limits)


class IngestParams(DailyIngest):
    """Where files come from and how hard to try; and what daily bars from files are."""

    from_dir: str | None = _field(None, "Folder whose files the step `ingest` of a run adopts; empty: the endpoint.")
    endpoint_url: str = _field("https://files.massive.com", "Address of the S3 endpoint.")
    bucket: str = _field("flatfiles", "Bucket of the flat files.")
    prefix: str = _field("", "What stands before the vendor's keys in the bucket, with its slash.")
    aws_profile: str = _field("massive", "Profile used if no key pair is set in the environment.")
    jobs: int = _field(4, "Objects fetched at once.", ge=1, le=64)
    publish_time_et: str = _field("11:00", "When files are due on the next calendar day, exchange time.")
    attempts: int = _field(5, "Attempts per object when bodies come short or damaged.", ge=1, le=20)
    poll_seconds: float = _field(60.0, "Pause between listings while waiting for files.", gt=0)
