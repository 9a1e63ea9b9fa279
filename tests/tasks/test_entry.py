"""What the entry points of jobs share: errors are said as the command line says them, and end with its codes."""

from __future__ import annotations

import logging
import signal

import pytest

from raypipe.cli.app import App
from raypipe.errors import DataQualityError, StorageError, UsageError
from tasks.entry import entry_point


@pytest.fixture(autouse=True)
def process():
    """The entry point owns its process; here it does not."""
    kept = {name: signal.getsignal(name) for name in (signal.SIGTERM, signal.SIGINT)}
    logger = logging.getLogger("raypipe")
    handlers, propagate, level = logger.handlers, logger.propagate, logger.level
    yield
    logger.handlers, logger.propagate = handlers, propagate
    logger.setLevel(level)
    for name, handler in kept.items():
        signal.signal(name, handler)


def raising(error: Exception):
    """Work that goes wrong."""

    def work(_):
        raise error

    return work


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("there is no such thing", hint="name another", file="a.json"), 2),
        (DataQualityError("the file is not as it was"), 3),
        (StorageError("it hangs up", hint="try later", store="s3://b"), 5),
        (StorageError("it says https://me:hunter22@host"), 5),
        (PermissionError(13, "Permission denied", "/lake/x"), 5),
        (OSError("the device went away"), 5),
        (ZeroDivisionError("by zero"), 1),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_errors_are_those_of_the_command_line(error, code, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    app = App(())
    assert app.fail(error) == code
    theirs = capsys.readouterr().err
    app.notes.close()
    capsys.readouterr()  # the name of the log file
    assert entry_point(raising(error)) == code
    mine = capsys.readouterr().err
    assert mine.startswith(theirs)
    assert "hunter22" not in mine
    rest = mine.removeprefix(theirs)
    assert ("Traceback" in rest) == (code == 1), "a bug has its trace in the log of the job"
