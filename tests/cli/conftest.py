"""A small market, lakes made of it, and two ways to call raypipe: in this process, and in one of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from raypipe.redact import known_secrets
from raypipe.sources.synthetic import SynthParams, write_market

#: 4 sessions with minutes, 2025-10-31 to 2025-11-05, and 8 sessions of history with day bars only.
MARKET = SynthParams(sessions=4, symbols=6, history=8, seed=3)
FIRST, LAST = "2025-10-31", "2025-11-05"
#: Steps that build the tables of day bars: enough where it does not matter what is built.
DAY_STEPS = ("--steps", "daily", "symbols")
SESSIONS = ("2025-10-31", "2025-11-03", "2025-11-04", "2025-11-05")


@dataclass(frozen=True)
class Result:
    """What a call left: exit code and both streams."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one document on standard output."""
        return json.loads(self.out)


@pytest.fixture(autouse=True)
def own_home(monkeypatch, tmp_path):
    """Nothing of the person's own configuration, and logs in the test's folder."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config-home"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state-home"))
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.chdir(tmp_path)
    known_secrets.cache_clear()
    yield
    known_secrets.cache_clear()


@pytest.fixture
def raypipe(capfd) -> Callable[..., Result]:
    """Call the command line in this process."""
    from raypipe.cli.main import main

    def call(*args: object) -> Result:
        capfd.readouterr()
        code = main([str(arg) for arg in args])
        out, err = capfd.readouterr()
        return Result(code, out, err)

    return call


def start(*args: object, **kwargs: Any) -> subprocess.Popen[str]:
    """Start the command line in a process of its own."""
    env = {**os.environ, **kwargs.pop("env", {})}
    command = [sys.executable, "-m", "raypipe", *map(str, args)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env, start_new_session=True, **kwargs
    )


def spawn(*args: object, **kwargs: Any) -> Result:
    """Call the command line in a process of its own."""
    with start(*args, **kwargs) as process:
        out, err = process.communicate(timeout=120)
    return Result(process.returncode, out, err)


@pytest.fixture(scope="session")
def market(tmp_path_factory) -> Path:
    """The vendor files of `MARKET`; not to be changed."""
    folder = tmp_path_factory.mktemp("market")
    write_market(folder, MARKET, force=True)
    return folder


@pytest.fixture(scope="session")
def built(market, tmp_path_factory) -> Path:
    """A lake with everything built; not to be changed."""
    root = tmp_path_factory.mktemp("built") / "lake"
    reference = market / "reference"
    done = spawn(
        *("ingest", "--root", root, "--from-dir", market, "--set", "run.executor=serial"),
        *("--reference", reference / "tickers.csv", "--splits", reference / "splits.csv"),
        cwd=root.parent,
    )
    assert done.code == 0, done.err
    return root


@pytest.fixture
def lake(market, tmp_path) -> Path:
    """A lake with the raw files and nothing else; the test's own."""
    root = tmp_path / "lake"
    shutil.copytree(market / "us_stocks_sip", root / "raw" / "us_stocks_sip")
    return root


@pytest.fixture
def own_built(built, tmp_path) -> Path:
    """A copy of `built` for a test that changes it."""
    root = tmp_path / "lake"
    shutil.copytree(built, root)
    return root


def files(root: Path, *tiers: str) -> dict[str, bytes]:
    """Every file below some folders of a lake, by path."""
    tops = [root / tier for tier in tiers] or [root]
    return {str(p.relative_to(root)): p.read_bytes() for top in tops for p in sorted(top.rglob("*")) if p.is_file()}


def tables(root: Path) -> dict[str, bytes]:
    """Every partition of a lake."""
    return files(root, "bronze", "silver", "gold")


def day_tables(root: Path) -> dict[str, bytes]:
    """The partitions that the steps `DAY_STEPS` build."""
    names = ("bronze/day_aggs", "silver/symbol_types", "silver/daily", "silver/daily_filtered", "silver/weekly")
    return files(root, *names)
