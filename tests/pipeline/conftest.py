"""A small lake of real vendor layout, made once and copied by hard links."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from raypipe.lake.location import Location
from raypipe.lake.store import Lake
from raypipe.schema.family import Params
from raypipe.sources.synthetic import SynthParams, write_market

#: 6 sessions with minutes, 2025-10-31 to 2025-11-07, and 30 sessions of history with day bars only.
MARKET = SynthParams(sessions=6, symbols=10, history=30, seed=11)
FIRST, LAST = dt.date(2025, 10, 31), dt.date(2025, 11, 7)


@pytest.fixture(scope="session")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The vendor files of `MARKET`; not to be changed."""
    folder = tmp_path_factory.mktemp("market")
    write_market(folder, MARKET, force=True)
    return folder


@pytest.fixture
def make_lake(market: Path, tmp_path: Path) -> Callable[[str], Lake]:
    """Makes lakes that hold the market's raw files and nothing else."""

    return lambda name="lake": _raw_lake(market, tmp_path / name)


@pytest.fixture(scope="session")
def built(market: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Lake]:
    """Lakes with default parameters in which the tables of some steps (or all) stand: made once, not to be changed."""
    from raypipe.pipeline.driver import execute
    from raypipe.pipeline.executor import Serial
    from raypipe.pipeline.plan import Request, make_plan

    @cache
    def made(*steps: str) -> Lake:
        lake = _raw_lake(market, tmp_path_factory.mktemp("built") / "lake")
        plan = make_plan(lake, _defaults(), Request(steps=steps))
        result = execute(plan, Serial(), stop=threading.Event())
        assert not result.failures, result.failures[0].error
        return lake

    return made


@pytest.fixture
def copy_built(built: Callable[..., Lake], tmp_path: Path) -> Callable[..., Lake]:
    """Copies of what `built` makes, by hard links: files may be replaced in them, and not be written into."""

    def make(*steps: str, name: str = "lake") -> Lake:
        shutil.copytree(built(*steps).location.root, tmp_path / name, copy_function=os.link)
        return Lake(Location.parse(str(tmp_path / name)))

    return make


@pytest.fixture
def params() -> dict[str, Params]:
    """Default parameters of every stage."""
    return _defaults()


def _raw_lake(market: Path, root: Path) -> Lake:
    shutil.copytree(market / "us_stocks_sip", root / "raw" / "us_stocks_sip", copy_function=os.link)
    return Lake(Location.parse(str(root)))


def _defaults() -> dict[str, Params]:
    from raypipe.pipeline.stages import stages

    return {stage.name: stage.params() for stage in stages()}
