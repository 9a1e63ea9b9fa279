"""What tests of entry points of jobs share: an entry point owns its process, a test does not."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def own_process() -> Iterator[None]:
    """Signal handlers and the log are afterwards as they were."""
    kept = {name: signal.getsignal(name) for name in (signal.SIGTERM, signal.SIGINT)}
    logger = logging.getLogger("raypipe")
    handlers, propagate, level = list(logger.handlers), logger.propagate, logger.level
    yield
    logger.handlers, logger.propagate = handlers, propagate
    logger.setLevel(level)
    for name, handler in kept.items():
        signal.signal(name, handler)
