"""Arguments and refusals of the entry point of sweeps. Its runs are in tests/ray."""

from __future__ import annotations

import signal

import pytest

from raypipe.cli.tune import tune
from tuning.sweep import main, parser


@pytest.fixture(autouse=True)
def handlers():
    """The entry point owns its process; here it does not."""
    kept = {name: signal.getsignal(name) for name in (signal.SIGTERM, signal.SIGINT)}
    yield
    for name, handler in kept.items():
        signal.signal(name, handler)


def test_it_takes_the_options_of_raypipe_tune():
    mine = {name for action in parser()._actions for name in action.option_strings}
    theirs = {name for option in tune.params for name in option.opts if name.startswith("--")}
    presentation = {"--json", "--quiet", "--verbose", "--no-color", "--no-progress", "--log-format", "--dry-run"}
    assert theirs - mine == presentation | {"--executor"}
    assert mine - theirs == {"-h", "--help"}


def test_a_relative_lake_is_refused(tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    with caplog.at_level("ERROR", "raypipe.tasks"):
        assert main(["--splits", "s.json", "--features", "f.yaml", "--root", "lake"]) == 2
