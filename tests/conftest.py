"""What every test may rely on: a closed environment, hypothesis profiles, the real files if they are there."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.servers", "tests.forks"]

ROOT = Path(__file__).resolve().parent.parent

# Nothing of the person who runs the tests may reach them: no account, no proxy, no cluster.
for name in (
    "AWS_PROFILE",
    "AWS_SESSION_TOKEN",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
    "RAY_ADDRESS",
    "RAY_API_SERVER_ADDRESS",
):
    os.environ.pop(name, None)
for name in [name for name in os.environ if name.startswith("RAYPIPE_") and name != "RAYPIPE_SHARED_DATA"]:
    del os.environ[name]
os.environ.update(
    AWS_CONFIG_FILE=os.devnull,
    AWS_SHARED_CREDENTIALS_FILE=os.devnull,
    AWS_EC2_METADATA_DISABLED="true",
    AWS_ACCESS_KEY_ID="test",
    AWS_SECRET_ACCESS_KEY="test-secret",
    AWS_DEFAULT_REGION="us-east-1",
    NO_PROXY="127.0.0.1,localhost",
    no_proxy="127.0.0.1,localhost",
    RAY_USAGE_STATS_ENABLED="0",
    RAY_AUTH_MODE="token",
    RAY_AUTH_TOKEN=secrets.token_hex(32),  # else Ray would put one into the home folder
)

# How long drawing an example takes says more about a busy machine than about the test.
_CALM = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("dev", max_examples=50, **_CALM)
settings.register_profile("ci", max_examples=100, derandomize=True, **_CALM)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))


#: The longest files that start no Ray.
LONGEST = ("tests/controls/test_noise.py", "tests/contracts/test_families.py", "tests/docs/test_pages.py")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the users of real files; among parallel workers, hand out what takes longest first: Ray, then `LONGEST`.

    There are as many of these as workers: a worker gets its second file with the first, and nobody takes it off again.
    """
    for item in items:
        if "shared_data" in getattr(item, "fixturenames", ()):
            item.add_marker("realdata")
    if hasattr(config, "workerinput"):
        items.sort(key=_turn)


def _turn(item: pytest.Item) -> int:
    file = item.nodeid.partition("::")[0]
    if item.get_closest_marker("ray"):
        return 0
    return 1 + LONGEST.index(file) if file in LONGEST else 1 + len(LONGEST)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """One worker per file, because fixtures are shared in it, and one for all files that start Ray clusters.

    The mark ``xdist_group`` would say the same, but pytest 9.2 with xdist 3.8 ignores it (pytest-xdist issue 1386).
    """
    from xdist.scheduler import LoadFileScheduling

    class ByFile(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return _scope(nodeid.partition("::")[0])

    config.option.loadscopereorder = False
    return ByFile(config, log)


@cache
def _scope(file: str) -> str:
    path = ROOT / file
    return "ray" if path.is_file() and "pytest.mark.ray" in path.read_text(encoding="utf-8") else file


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real vendor files: ``$RAYPIPE_SHARED_DATA``, or ``../shared/data`` beside the repository."""
    named = os.environ.get("RAYPIPE_SHARED_DATA")
    folder = Path(named) if named else ROOT.parent / "shared" / "data"
    if not folder.is_absolute():
        folder = ROOT / folder
    if not folder.is_dir():
        pytest.skip(f"no real vendor files at {folder}; name their folder in RAYPIPE_SHARED_DATA")
    return folder.resolve()


@pytest.fixture(scope="module")
def one_net() -> Iterator[None]:
    """Stacks learn one net where they else learn five, for what holds of each of them: most of the time goes there."""
    from raypipe.models import _meta

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_meta, "NET_SEEDS", 1)
        yield
