"""``raypipe demo``: how it ends. The whole chain in a process of its own is in test_keep.py."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from raypipe.audit.verdicts import ColumnVerdict, Offence, Problem, Report, TableReport

CLEAN = ColumnVerdict("bars", "feature", "clean", 12)
FIRST = Offence("2025-01-02", {}, 1, 2, "rebuild")

ROOT = Path(__file__).parents[2]


def report(*columns: ColumnVerdict, problems: tuple[Problem, ...] = ()) -> Report:
    return Report(7, (TableReport("gold/x", ("2025-01-02",), 4, 1, 9, columns, problems),))


@pytest.fixture
def ends(raypipe, own_built, monkeypatch):
    """Run a demo of a lake that is there already, whose answers are as planted and whose audit says this."""
    symbols = own_built.parent / "vendor" / "flatfiles" / "daily" / "symbols.txt"
    symbols.parent.mkdir(parents=True)
    symbols.write_text("AAA\n", encoding="utf-8")
    for name, value in (("synthesise", None), ("acquire_market", None), ("compare_market", [])):
        monkeypatch.setattr(f"raypipe.pipeline.market.{name}", lambda *_, value=value, **__: value)
    monkeypatch.setattr("raypipe.cli.demo._search", lambda *_: [])

    def end(found: Report, *args: str):
        monkeypatch.setattr("raypipe.audit.leakage.audit_leakage", lambda *_, **__: found)
        return raypipe("demo", "--out", own_built.parent, "--executor", "serial", *args)

    return end


@pytest.mark.parametrize(
    ("found", "code", "said"),
    [
        (report(CLEAN, ColumnVerdict("peek", "feature", "leaks", 1, 1, FIRST)), 3, "1 columns leak"),
        (report(CLEAN, ColumnVerdict("odd", "feature", "differs", 1, 1, FIRST)), 1, "then audit again"),
        (report(CLEAN, problems=(Problem("2025-01-02", "failed", "no input"),)), 1, "then audit again"),
        (report(CLEAN), 0, ""),
    ],
)
def test_a_demo_ends_as_its_audit_does(ends, own_built, found, code, said):
    done = ends(found)
    assert done.code == code, done.err
    assert said in done.err
    assert "audit: 1 table, columns: 1 clean" in done.out
    assert done.out[0] != "\n"
    kept = max((own_built / "audit" / "leakage").glob("*"))
    assert json.loads(kept.read_text())["exit_code"] == code


def test_columns_without_a_row_are_counted_apart(ends):
    document = ends(report(CLEAN, ColumnVerdict("x", "feature", "unproved")), "--json").json
    assert document["audit"]["verdicts"]["unproved"] == 1
    assert document["audit"]["exit_code"] == document["exit_code"] == 0


def test_the_profile_says_what_the_command_does(tmp_path):
    """Every value but where the demo's own folder is; the steps of the profile are all that there are."""
    from raypipe.cli.demo import _models, demo
    from raypipe.config import load_config
    from raypipe.pipeline.market import SIGNAL_TARGET
    from raypipe.pipeline.session import MODELS
    from raypipe.pipeline.stages import stages

    symbols = tmp_path / "daily" / "symbols.txt"
    symbols.parent.mkdir()
    symbols.write_text("AAA\n", encoding="utf-8")
    (executor,) = (option.default for option in demo.params if option.name == "executor")
    own = {name.replace("__", "."): value for name, value in _models(tmp_path).items()}
    own |= {"run.executor": executor, "tune.target": SIGNAL_TARGET}
    command = load_config(env={}, folder=ROOT, flags=own)
    listed = {"panel.symbols_file": str(symbols)}
    profile = load_config(env={}, folder=ROOT, profile="demo", flags=listed)
    assert {stage.step for stage in stages() if stage.step} | {MODELS} == set(profile.run.steps)
    assert (command.run.steps, command.run.model_copy(update={"steps": profile.run.steps})) == ((), profile.run)
    assert command.params == profile.params
    assert command.ingest == profile.ingest
