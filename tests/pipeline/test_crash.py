"""Whole runs killed at a step of a commit, on a folder and on S3: nothing partial is seen, a second run ends the same.

The lake's own tests break single commits at every step; here a run of many partitions dies in the middle.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from raypipe.lake.gc import gc
from raypipe.lake.location import Location
from raypipe.lake.store import Lake
from raypipe.lake.verify import verify
from raypipe.pipeline.driver import execute
from raypipe.pipeline.executor import Serial
from raypipe.pipeline.plan import Request, make_plan
from raypipe.pipeline.stages import stages
from raypipe.schema.family import Params
from tests.forks import Forks
from tests.pipeline.test_plan import lake_bytes
from tests.servers import S3Server

MakeLake = Callable[..., Lake]
STEPS = ("symbols", "daily")
LOCAL_POINTS = ("mid_tmp", "before_rename", "after_rename")
S3_POINTS = ("before_upload", "after_upload")


def build(root: str, endpoint_url: str) -> None:
    """Build everything; whoever calls it dies at a fault."""
    lake = Lake(Location.parse(root, endpoint_url=endpoint_url or None))
    params = {stage.name: stage.params() for stage in stages()}
    execute(make_plan(lake, params, Request(steps=STEPS)), Serial(), stop=threading.Event())


def die(forks: Forks, location: Location, point: str, nth: int) -> int:
    """Build in another process that is killed at the nth time it passes a point."""
    fault = f"{point}:kill,n={nth}"
    return forks.run("tests.pipeline.test_crash:build", location.root, location.endpoint_url or "", fault=fault)


def finish(lake: Lake, params: dict[str, Params]) -> None:
    result = execute(make_plan(lake, params, Request(steps=STEPS)), Serial(), stop=threading.Event())
    assert not result.failures, result.failures[0].error


def problems(lake: Lake, params: dict[str, Params]) -> list[object]:
    tables = [stage.table(params[stage.name]) for stage in stages()]
    return [problem for table in tables for problem in verify(lake, table)]


@pytest.mark.parametrize("point", LOCAL_POINTS)
def test_killed_on_a_folder(
    point: str, make_lake: MakeLake, built: MakeLake, params: dict[str, Params], forks: Forks
) -> None:
    lake = make_lake()
    assert die(forks, lake.location, point, 40) == -9
    assert problems(lake, params) == []
    before = lake_bytes(lake)
    whole = lake_bytes(built(*STEPS))
    assert 0 < len(before) < len(whole)
    assert before.items() <= whole.items()
    finish(lake, params)
    assert lake_bytes(lake) == whole
    gc(lake, grace_seconds=0, dry_run=False, now_ns=2**62)
    assert not [path for path in Path(lake.location.root).rglob("*") if path.name.endswith(".tmp")]


@pytest.mark.parametrize("point", S3_POINTS)
def test_killed_on_s3(
    point: str, make_lake: MakeLake, params: dict[str, Params], s3_server: S3Server, forks: Forks
) -> None:
    """The same lake on S3 holds the same bytes as on disk, also after a kill."""
    folder = make_lake()
    lake = Lake(Location.parse(f"s3://{s3_server.bucket()}/lake", endpoint_url=s3_server.endpoint_url))
    root = Path(folder.location.root)
    for path in sorted((root / "raw").rglob("*.csv.gz"))[-12:]:
        lake.store.put_file(str(path.relative_to(root)), path)
    for path in sorted((root / "raw").rglob("*.csv.gz"))[:-12]:
        path.unlink()
    assert die(forks, lake.location, point, 10) == -9
    assert problems(lake, params) == []
    finish(lake, params)
    finish(folder, params)
    expected = lake_bytes(folder)
    stored = {stat.key for tier in ("bronze/", "silver/", "gold/") for stat in lake.store.list(tier)}
    assert stored == set(expected)
    assert {key: lake.store.read(key) for key in expected} == expected
