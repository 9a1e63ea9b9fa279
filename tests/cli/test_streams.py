"""Standard output is for results, standard error for everything else; colour, verbosity, formats."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys

import pytest

from tests.cli.conftest import spawn


def commands(root) -> list[tuple[str, ...]]:
    """Every command that shows something of a lake."""
    names = ("plan", "run", "retry", "status", "tables", "config", "verify", "gc", "doctor", "report")
    return [*((name, "--root", str(root)) for name in names), ("clean-symbols", "--root", str(root), "--dry-run")]


NAMES = [args[0] for args in commands("x")]


@pytest.mark.parametrize("name", NAMES)
def test_json_is_one_document_of_schema_1(raypipe, built, name):
    args = next(args for args in commands(built) if args[0] == name)
    result = raypipe(*args, "--json")
    assert result.code == 0
    assert (result.json["schema"], result.json["command"]) == (1, name)
    assert result.out.count("\n") == 1


@pytest.mark.parametrize("name", NAMES)
def test_text_goes_to_standard_output_and_stays_plain(raypipe, built, name):
    args = next(args for args in commands(built) if args[0] == name)
    result = raypipe(*args)
    assert result.code == 0
    assert result.out
    assert "\x1b" not in result.out + result.err
    assert all(line == line.rstrip() for line in result.out.splitlines())


def test_quiet_leaves_results_and_warnings(raypipe, built):
    loud, quiet = raypipe("verify", "--root", built), raypipe("verify", "--root", built, "-q")
    assert quiet.out == loud.out
    assert "partitions" in loud.err
    assert quiet.err == ""


def test_quiet_still_shows_errors(raypipe, tmp_path):
    assert raypipe("run", "--root", tmp_path / "no", "-q").err.startswith("error: there is no lake")


def test_log_lines_as_json(raypipe, built, tmp_path):
    result = raypipe("verify", "--root", built, "--log-format", "json")
    lines = [json.loads(line) for line in result.err.splitlines()]
    assert lines
    assert {tuple(line) for line in lines} == {("time", "level", "logger", "message")}
    failed = raypipe("run", "--root", tmp_path / "no", "--log-format", "json")
    assert [json.loads(line)["level"] for line in failed.err.splitlines()] == ["error", "info"]


def test_a_name_cannot_forge_a_line_or_a_colour(raypipe, tmp_path):
    name = "no\x1b[31m\nerror: forged"
    for args in ((), ("--log-format", "json")):
        result = raypipe("export", "--root", tmp_path, "--out", "x", "--tables", name, *args)
        assert result.code == 2
        assert "\x1b" not in result.err
        assert not any(line.startswith("error: forged") for line in result.err.splitlines())


def test_rich_markup_in_names_is_only_text(raypipe, tmp_path):
    assert "[red]x[/red]" in raypipe("export", "--root", tmp_path, "--out", "x", "--tables", "[red]x[/red]").err


def _in_terminal(*args: str, env: dict[str, str] | None = None) -> str:
    """What a terminal shows, standard error included."""
    leader, follower = pty.openpty()
    command = [sys.executable, "-m", "raypipe", *args]
    environment = {name: value for name, value in os.environ.items() if name not in {"CI", "NO_COLOR"}}
    with subprocess.Popen(
        command, stdout=follower, stderr=follower, env={**environment, "TERM": "xterm-256color", **(env or {})}
    ):
        os.close(follower)
        shown = b""
        while True:
            try:
                piece = os.read(leader, 65536)
            except OSError:  # the other end is closed
                break
            if not piece:
                break
            shown += piece
    os.close(leader)
    return shown.decode()


def test_a_terminal_gets_colour_unless_it_is_refused(built):
    args = ("status", "--root", str(built))
    assert "\x1b[32m" in _in_terminal(*args)
    assert "\x1b" not in _in_terminal(*args, "--no-color")
    assert "\x1b" not in _in_terminal(*args, env={"NO_COLOR": "1"})
    assert "\x1b" not in _in_terminal(*args, env={"TERM": "dumb"})


def test_a_terminal_gets_a_bar_unless_it_is_refused(lake):
    args = ("run", "--root", str(lake), "--executor", "serial", "--steps", "symbols")
    assert "━" in _in_terminal(*args)
    plain = _in_terminal(*args, "--force", "--no-progress")
    assert "━" not in plain
    assert "building" in plain


def test_a_terminal_without_unicode_gets_plain_marks(built):
    result = spawn("status", "--root", built, env={"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"})
    assert result.code == 0
    assert "# current" in result.out


def test_names_that_the_terminal_cannot_take_are_spelled_out(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "raypipe", "config", "--root", str(tmp_path / "é€"), "--json"],
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
    )
    assert done.returncode == 0
    assert done.stdout.isascii()
