"""Fixtures of the lake's tests."""

from __future__ import annotations

import pytest

from tests.lake.crash import Zygote, zygote


@pytest.fixture(scope="module")
def writers(tmp_path_factory) -> Zygote:
    """Writers that can be killed; their temporaries for S3 are in the same folder as this process's own."""
    temporary = str(tmp_path_factory.mktemp("staging"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tempfile.tempdir", temporary)
        with zygote(temporary) as one:
            yield one
