"""Arguments and refusals of the entry point of sweeps. Its runs are in tests/ray."""

from __future__ import annotations

from pathlib import Path

import pytest

from raypipe.cli.main import main as cli
from raypipe.cli.tune import tune
from tuning.sweep import main, parser


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


@pytest.fixture
def pin(tmp_path, monkeypatch) -> Path:
    """A pinned lake, one byte of which is not what it was."""
    for name in ("PINNED_DATA_S3", "LAST_DATA_S3"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "data" / "part.bin"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"one")
    (tmp_path / "lake").mkdir()
    found = tmp_path / "pin.json"
    assert cli(["pin", "--input", "data", "--output", str(found), "--root", "lake"]) == 0
    file.write_bytes(b"two")
    return found


@pytest.mark.parametrize(
    ("how", "value", "code", "said"),
    [
        ("flag", "pin.json", 3, "pinned is sha256"),
        ("flag", "nowhere", 2, "there is no lake at"),
        ("flag", "none.json", 2, "there is no pin"),
        ("PINNED_DATA_S3", "pin.json", 3, "pinned is sha256"),
        ("LAST_DATA_S3", "nowhere", 2, "panel from nowhere (environment LAST_DATA_S3)"),
        ("last_dataset_uri.txt", "pin.json", 3, "pinned is sha256"),
    ],
)
def test_data_are_those_of_raypipe_tune(how, value, code, said, pin, tmp_path, monkeypatch, capsys):
    given = ["--splits", "s.json", "--features", "f.yaml", "--root", str(tmp_path / "lake")]
    if how == "flag":
        given += ["--input-data-s3", value]
    elif how.endswith(".txt"):
        (tmp_path / how).write_text(value)
    else:
        monkeypatch.setenv(how, value)
    capsys.readouterr()
    assert cli(["tune", *given, "--log-format", "text"]) == code
    theirs = capsys.readouterr().err
    assert said in theirs
    assert main(given) == code
    assert capsys.readouterr().err.splitlines() == theirs.splitlines()
