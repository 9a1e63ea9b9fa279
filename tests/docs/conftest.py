"""What the pages may count on: a bash with raypipe, a vendor on S3, made-up files of every kind, a built lake."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from raypipe.sources.synthetic import SynthParams, write_market
from tests.docs.blocks import ROOT
from tests.docs.server import CLIENT

#: Nine sessions, 2025-01-02 to 2025-01-15, and what looks back on them; the last two have order books and options.
MARKET = SynthParams(
    sessions=9,
    symbols=4,
    history=4,
    start_date=dt.date(2025, 1, 2),
    datasets=("equities", "es", "options", "daily"),
    es_activity=0.01,
    daily_symbols=4,
    daily_sessions=320,
    seed=3,
)
SECONDS = 200


@dataclass(frozen=True)
class Bash:
    """A bash whose raypipe and python are forks of one process.

    Attributes
    ----------
    env
        Its environment, but for what belongs to a page.
    """

    env: dict[str, str]

    def run(self, script: str, folder: Path, **env: str) -> subprocess.CompletedProcess[str]:
        """Run a script in a folder; `pytest.fail` is the caller's."""
        return subprocess.run(
            ["bash", "-c", script],
            cwd=folder,
            env={**self.env, "PWD": str(folder), **env},
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS,
        )


@pytest.fixture(scope="session")
def bash(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bash]:
    bin_folder = tmp_path_factory.mktemp("bin")
    for name in ("raypipe", "python"):
        (bin_folder / name).write_text(f"#!{sys.executable} -SE\n{CLIENT}", encoding="utf-8")
        (bin_folder / name).chmod(0o755)
    env = {name: value for name, value in os.environ.items() if not name.startswith("RAYPIPE_")}
    env |= {"PYTHONPATH": str(ROOT), "RAYPIPE_RUN__EXECUTOR": "serial", "AWS_MAX_ATTEMPTS": "1"}
    with tempfile.TemporaryDirectory(prefix="docs-") as short:  # the path of a socket may have 107 characters
        address = f"{short}/server"
        command = [sys.executable, "-m", "tests.docs.server", address]
        with subprocess.Popen(command, cwd=ROOT, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
            assert server.stdin is not None
            assert server.stdout is not None
            assert server.stdout.readline() == b"ready\n"
            yield Bash(env | {"DOCS_SERVER": address, "PATH": f"{bin_folder}:{os.environ['PATH']}"})
            server.stdin.close()


@pytest.fixture(scope="session")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The vendors' files of `MARKET`; not to be changed."""
    folder = tmp_path_factory.mktemp("market")
    write_market(folder, MARKET, force=True)
    return folder


@pytest.fixture(scope="session")
def vendor(market: Path, moto_server) -> dict[str, str]:
    """The flat files in a bucket, an empty bucket for a lake, and the environment that leads to both."""
    client = moto_server.client()
    for bucket in ("flatfiles", "my-lake"):
        client.create_bucket(Bucket=bucket)
    for file in sorted((market / "us_stocks_sip").rglob("*.csv.gz")):
        client.upload_file(str(file), "flatfiles", file.relative_to(market).as_posix())
    url = moto_server.endpoint_url
    return {**moto_server.env, "RAYPIPE_ENDPOINT_URL": url, "RAYPIPE_INGEST__ENDPOINT_URL": url}


@pytest.fixture(scope="session")
def built(market: Path, bash: Bash, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake with all that is made of three sessions of equities; not to be changed."""
    folder = tmp_path_factory.mktemp("built")
    reference = f"--reference {market}/reference/tickers.csv --splits {market}/reference/splits.csv"
    done = bash.run(f"raypipe ingest --from-dir {market}/us_stocks_sip --end 2025-01-06 {reference}", folder)
    assert done.returncode == 0, done.stderr
    return folder / "lake"


@pytest.fixture
def given(request: pytest.FixtureRequest, market: Path, tmp_path: Path) -> Callable[[str], None]:
    """Puts something into the folder where a page starts."""
    folders = {"es": "databento/GLBX.MDP3", "opra": "us_options_opra", "bars": "daily"}

    def put(name: str) -> None:
        source = request.getfixturevalue("built") if name == "lake" else market / folders[name]
        shutil.copytree(source, tmp_path / name, copy_function=os.link)

    return put
