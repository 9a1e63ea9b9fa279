"""A vendor for the tests of acquisition: flat files in a bucket of a real S3 server, a lake, a frozen clock."""

from __future__ import annotations

import datetime as dt
import gzip
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from raypipe.acquisition.acquire import IngestParams, IngestReport, ingest, plan_ingest
from raypipe.acquisition.classify import ObjectState
from raypipe.lake.location import Location
from raypipe.lake.objects import ObjectStore, open_store
from raypipe.sources.polygon_keys import DAY, Dataset, key_of
from tests.servers import S3Server

HEADER = b"ticker,volume,open,close,high,low,window_start,transactions\n"
#: Sessions of the first two weeks of 2025; the 9th was a day of mourning, the 4th a Saturday.
D2, D3, D6, D7, D8, D10 = (dt.date(2025, 1, day) for day in (2, 3, 6, 7, 8, 10))
MOURNING, SATURDAY = dt.date(2025, 1, 9), dt.date(2025, 1, 4)


def at(text: str) -> Callable[[], int]:
    """A clock that stands still at a UTC time."""
    moment = int(dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC).timestamp()) * 10**9
    return lambda: moment


#: A Sunday after everything was published.
LATER = at("2025-01-12T18:00")


def flat_file(seed: object, size: int = 2_000) -> bytes:
    """Gzip of a file with the vendor's header and ``size`` bytes of text; stored, so equal sizes give equal lengths."""
    text = random.Random(str(seed)).randbytes(size // 2).hex().encode()
    return gzip.compress(HEADER + text + b"\n", compresslevel=0, mtime=0)


@dataclass
class Vendor:
    """A bucket with flat files."""

    server: S3Server
    bucket: str
    endpoint_url: str
    pauses: list[float] = field(default_factory=list)

    @cached_property
    def client(self):
        return self.server.client()

    def put(self, data: Dataset, *sessions: dt.date, body: bytes | None = None) -> None:
        for session in sessions:
            self.put_key(key_of(data, session), flat_file((data.name, session)) if body is None else body)

    def put_key(self, key: str, body: bytes) -> None:
        self.client.put_object(Bucket=self.bucket, Key=key, Body=body)

    def get(self, data: Dataset, session: dt.date) -> bytes:
        return self.client.get_object(Bucket=self.bucket, Key=key_of(data, session))["Body"].read()

    def params(self, **changes) -> IngestParams:
        return IngestParams(endpoint_url=self.endpoint_url, bucket=self.bucket, aws_profile="", **changes)

    def ingest(self, lake: ObjectStore, start=D2, end=D10, *, now_ns=LATER, datasets=(DAY,), **more) -> IngestReport:
        params = more.pop("params", None) or self.params()
        more = {"sleep": self.pauses.append} | more
        return ingest(lake, params, start=start, end=end, datasets=datasets, now_ns=now_ns, **more)

    def plan(self, lake: ObjectStore, start=D2, end=D10, *, now_ns=LATER, datasets=(DAY,), **more) -> list[ObjectState]:
        params = more.pop("params", None) or self.params()
        return plan_ingest(lake, params, start=start, end=end, datasets=datasets, now_ns=now_ns, **more)


def vendor_on(server: S3Server, endpoint_url: str | None = None) -> Vendor:
    return Vendor(server, server.bucket(), endpoint_url or server.endpoint_url)


def lake_at(root: Path) -> ObjectStore:
    return open_store(Location.parse(str(root)))


def states(objects) -> dict[str, list[dt.date]]:
    """Sessions by state."""
    found: dict[str, list[dt.date]] = {}
    for each in objects:
        found.setdefault(each.state, []).append(each.session)
    return found


def raw_keys(lake: ObjectStore) -> list[str]:
    return [stat.key for stat in lake.list("raw/")]
