"""Arguments and refusals of the entry point for signals."""

from __future__ import annotations

import datetime as dt
import json

import pytest

from raypipe.cli.signals import signals
from tasks.signals import main, parser
from tests.signal_lake import BUILT, write_bronze


def test_it_takes_the_options_of_raypipe_signals():
    mine = {name for action in parser()._actions for name in action.option_strings}
    theirs = {name for option in signals.params for name in option.opts if name.startswith("--")}
    presentation = {"--quiet", "--verbose", "--no-color", "--no-progress", "--log-format"}
    assert theirs - mine == presentation | {"--columns", "--output"}
    assert mine - theirs == {"-h", "--help", "--address", "--num-cpus"}


def test_cpus_are_workers():
    assert parser().parse_args(["--num-cpus", "3"]).workers == 3


def test_dates_may_follow_each_other_or_commas():
    options = parser().parse_args(["--dates", "2025-02-03,2025-02-04", "2025-02-05"])
    assert options.dates == [[dt.date(2025, 2, 3), dt.date(2025, 2, 4)], [dt.date(2025, 2, 5)]]


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["--root", "lake"], 2, "relative to a folder that other nodes do not have"),
        (["--root", "/nowhere/at/all"], 2, "there is no lake at /nowhere/at/all"),
        (["--set", "signals.nonsense=1"], 2, "nonsense"),
    ],
)
def test_what_cannot_run_is_refused_with_the_code_of_its_error(args, code, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(args) == code
    assert said in capsys.readouterr().err


def test_a_dry_run_lists_sessions_and_starts_nothing(tmp_path, capsys):
    root = write_bronze(tmp_path / "lake").location.root
    before = sorted(tmp_path.rglob("*"))
    assert main(["--root", root, "--dry-run", "--start-date", BUILT[0], "--json"]) == 0
    said = capsys.readouterr()
    assert [(one["session"], one["state"]) for one in json.loads(said.out)["sessions"]] == [(k, "run") for k in BUILT]
    assert f"{BUILT[0]} run" in said.err
    assert sorted(tmp_path.rglob("*")) == before


def test_without_an_eligible_session_it_is_a_mistake(tmp_path, capsys):
    assert main(["--root", str(tmp_path)]) == 2
    assert "no session" in capsys.readouterr().err
