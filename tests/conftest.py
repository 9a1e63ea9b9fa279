"""What every test may rely on: a closed environment, hypothesis profiles, the real files if they are there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

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
)

settings.register_profile("dev", max_examples=50, deadline=None)
settings.register_profile(
    "ci", max_examples=100, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark users of real files, and keep what shares a cluster or a file's fixtures in one worker."""
    for item in items:
        if "shared_data" in getattr(item, "fixturenames", ()):
            item.add_marker("realdata")
        if item.get_closest_marker("xdist_group") is None:
            group = "ray" if item.get_closest_marker("ray") else str(item.path)
            item.add_marker(pytest.mark.xdist_group(group))


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
