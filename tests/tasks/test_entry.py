"""What the entry points of jobs share: errors are said as the command line says them, and end with its codes."""

from __future__ import annotations

import pytest

from raypipe.cli.app import App
from raypipe.errors import DataQualityError, StorageError, UsageError
from tasks.entry import Call, counted, entry_point, lake_arguments, new_parser


def run(work, *args: str) -> int:
    """An entry point with the arguments that all have."""
    parser = new_parser("tasks.made_up", "It does nothing.")
    lake_arguments(parser, "jobs")
    return entry_point(parser, lambda _: {"run.dq": "off"}, work, args)


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

    def work(_: Call) -> int:
        raise error

    assert run(work, "--root", "/lake") == code
    mine = capsys.readouterr().err
    assert mine.startswith(theirs)
    assert "hunter22" not in mine
    rest = mine.removeprefix(theirs)
    assert ("Traceback" in rest) == (code == 1), "a bug has its trace in the log of the job"


def test_work_gets_the_configuration_that_the_arguments_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text("run: {executor: serial, workers: 7, dq: fail}")
    seen: list[Call] = []
    given = ["--root", "/the lake", "--config", "mine.yaml", "--workers", "3", "--set", "run.allow_holes=true"]
    assert run(lambda call: seen.append(call) or 9, *given, "--address", "there:6379") == 9
    (call,) = seen
    found = call.config.run
    assert (found.executor, found.workers, found.address) == ("ray", 3, "there:6379")
    assert (found.dq, found.allow_holes) == ("off", True)
    assert call.config.lake.root == "/the lake"
    assert call.command.startswith("python -m tasks.made_up --root '/the lake' --config mine.yaml")
    assert not call.stop.is_set()


def test_counts_name_only_what_there_is():
    assert counted(["failed", "built", "built", "odd"], ("built", "failed", "cancelled")) == "2 built, 1 failed"
    assert counted([], ("built",)) == ""
