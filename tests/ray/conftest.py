"""One head for all tests of jobs, and lakes with a small market's raw files."""

from __future__ import annotations

import datetime as dt
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from raypipe.sources.synthetic import SynthParams, write_market
from tests.ray.head import Head, ray_head

#: 4 sessions with minutes, 2025-10-31 to 2025-11-05, and 8 sessions of history with day bars only.
MARKET = SynthParams(sessions=4, symbols=8, history=8, seed=5)
FIRST, LAST = dt.date(2025, 10, 31), dt.date(2025, 11, 5)


@pytest.fixture(scope="session")
def head() -> Iterator[Head]:
    with ray_head() as running:
        yield running


@pytest.fixture(scope="session")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The vendor files of `MARKET`; not to be changed."""
    folder = tmp_path_factory.mktemp("market")
    write_market(folder, MARKET, force=True)
    return folder


@pytest.fixture
def make_lake(market: Path, tmp_path: Path) -> Callable[[str], Path]:
    """Makes lakes that hold the market's raw files and nothing else."""

    def make(name: str) -> Path:
        root = tmp_path / name
        shutil.copytree(market / "us_stocks_sip", root / "raw" / "us_stocks_sip", copy_function=os.link)
        return root

    return make
