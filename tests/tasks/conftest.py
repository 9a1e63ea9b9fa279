"""Tests of entry points put their process back as it was."""

from tests.entries import own_process

__all__ = ["own_process"]
