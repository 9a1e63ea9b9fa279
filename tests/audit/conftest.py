"""A small lake in which families cheat."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import pytest

from raypipe.audit.leakage import audit_leakage
from raypipe.audit.verdicts import ColumnVerdict, Report
from raypipe.config import Config, load_config
from raypipe.lake.store import Lake
from raypipe.pipeline import stages
from raypipe.pipeline.driver import execute
from raypipe.pipeline.executor import Serial
from raypipe.pipeline.intake import keep_corporate
from raypipe.pipeline.plan import Request, make_plan
from raypipe.pipeline.replay import Replay
from raypipe.sources.synthetic import SynthParams, write_market

#: 6 sessions with minutes, 2025-10-31 to 2025-11-07, the end of daylight saving among them; a split in the middle.
MARKET = SynthParams(sessions=6, symbols=6, history=8, seed=5)


@pytest.fixture(scope="package", autouse=True)
def planted() -> Iterator[None]:
    """The families of `tests.audit.cheats` are found like any other."""
    caches = (stages.family_catalog, stages.stages, stages.stage_of_table)
    packages = (*stages.FAMILY_PACKAGES, "tests.audit.cheats")
    with mock.patch.object(stages, "FAMILY_PACKAGES", packages):
        for cached in caches:
            cached.cache_clear()
        yield
    for cached in caches:
        cached.cache_clear()


def config_of(root: Path) -> Config:
    return load_config(None, env={}, folder=root.parent, flags={"lake.root": str(root)})


def build(config: Config, *steps: str) -> None:
    """Build some steps and what they read."""
    plan = make_plan(Lake(config.lake.location), config.params, Request(steps=steps))
    result = execute(plan, Serial(), stop=threading.Event())
    assert not result.failures, result.failures[0].error


@pytest.fixture(scope="package")
def built(planted, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake in which every cheat is built; not to be changed."""
    folder = tmp_path_factory.mktemp("cheats")
    write_market(folder / "market", MARKET, force=True)
    root = folder / "lake"
    shutil.copytree(folder / "market" / "us_stocks_sip", root / "raw" / "us_stocks_sip")
    config = config_of(root)
    for kind, name in (("splits", "splits.csv"), ("reference", "tickers.csv")):
        keep_corporate(config, kind, folder / "market" / "reference" / name)
    build(config, "cheat", "symbols")
    return root


@pytest.fixture
def own(built: Path, tmp_path: Path) -> Path:
    """A copy for a test that changes it."""
    root = tmp_path / "lake"
    shutil.copytree(built, root)
    return root


@pytest.fixture(scope="package")
def audited(built: Path) -> Callable[[str], dict[str, ColumnVerdict]]:
    """Verdicts on the columns of one table of the cheats' lake."""
    replay = Replay(config_of(built))

    def audit(name: str) -> dict[str, ColumnVerdict]:
        (report,) = audit_leakage(replay, [name], sessions=4).tables
        assert not report.problems
        return {column.name: column for column in report.columns}

    return audit


def audit(root: Path, *names: str, sessions: int = 3, seed: int = 7) -> Report:
    replay = Replay(config_of(root))
    return audit_leakage(replay, names or list(replay.tables), sessions=sessions, seed=seed)
