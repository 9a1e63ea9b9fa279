"""A small lake of real vendor layout, made once and copied by hard links."""

from __future__ import annotations

import datetime as dt
import os
import shutil
from collections.abc import Callable
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

    def make(name: str = "lake") -> Lake:
        root = tmp_path / name
        shutil.copytree(market / "us_stocks_sip", root / "raw" / "us_stocks_sip", copy_function=os.link)
        return Lake(Location.parse(str(root)))

    return make


@pytest.fixture
def params() -> dict[str, Params]:
    """Default parameters of every stage."""
    from raypipe.pipeline.stages import stages

    return {stage.name: stage.params() for stage in stages()}
