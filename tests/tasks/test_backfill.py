"""Arguments and refusals of the entry point. Its runs are in tests/ray."""

from __future__ import annotations

import datetime as dt
import json
from types import SimpleNamespace

import pytest

from raypipe.cli.main import main as cli
from raypipe.cli.models import sweep_executor
from raypipe.cli.run import run
from raypipe.config import load_config
from raypipe.pipeline.record import RunRecord
from raypipe.training import model_run
from raypipe.training.model_run import ModelRun
from tasks.backfill import main, parser


def test_it_takes_the_options_of_raypipe_run():
    mine = {name for action in parser()._actions for name in action.option_strings}
    theirs = {name for option in run.params for name in option.opts if name.startswith("--")}
    presentation = {"--json", "--quiet", "--verbose", "--no-color", "--no-progress", "--log-format", "--dry-run"}
    assert theirs - mine == presentation | {"--executor"}
    assert mine - theirs == {"-h", "--help"}


def test_words_may_follow_each_other_or_commas():
    options = parser().parse_args(
        ["--steps", "daily,minute", "symbols", "--steps", "x", "--dates", "2022-01-03,2022-01-04"]
    )
    assert options.steps == [["daily", "minute"], ["symbols"], ["x"]]
    assert options.dates == [[dt.date(2022, 1, 3), dt.date(2022, 1, 4)]]


@pytest.mark.parametrize("text", ["2022-1-3", "20220103", "2022-W01-1", "tomorrow", "2022-02-30"])
def test_dates_are_strict(text, capsys):
    for option in ("--start", "--dates"):
        with pytest.raises(SystemExit) as end:
            main([option, text])
        assert end.value.code == 2
    assert "YYYY-MM-DD" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["--root", "lake"], 2, "relative to a folder that other nodes do not have"),
        (["--root", "/nowhere/at/all"], 2, "there is no lake at /nowhere/at/all"),
        (["--root", "gs://bucket"], 2, "cannot be on gs://"),
        (["--set", "run.nonsense=1"], 2, "nonsense"),
        (["--workers", "0"], 2, "workers"),
    ],
)
def test_what_cannot_run_is_refused_with_the_code_of_its_error(args, code, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(args) == code
    assert said in capsys.readouterr().err


def test_without_input_it_may_be_tried_later(tmp_path, capsys):
    assert main(["--root", str(tmp_path), "--start", "2022-01-03", "--end", "2022-01-04"]) == 4
    assert "raypipe ingest" in capsys.readouterr().err


def test_errors_tell_no_secret(tmp_path, capsys):
    assert main(["--root", "s3://AKIAABCDEFGHIJKLMNOP:hidden@bucket"]) == 2
    assert "hidden" not in capsys.readouterr().err


def test_a_backfill_may_begin_with_the_files(tmp_path, caplog):
    """Nothing comes of an empty folder, and nothing is built then."""
    (tmp_path / "vendor").mkdir()
    given = ["--root", str(tmp_path / "lake"), "--steps", "ingest", "daily"]
    with caplog.at_level("ERROR", "raypipe.tasks"):
        assert main([*given, "--set", f"ingest.from_dir={tmp_path / 'vendor'}"]) == 2
    assert not (tmp_path / "lake" / "silver").exists()


@pytest.mark.parametrize(
    ("sets", "limit"), [([], None), (["run.workers=3"], 3), (["run.workers=3", "tune.max_concurrent=2"], 2)]
)
def test_a_search_has_the_studies_at_a_time_that_raypipe_run_has(sets, limit, tmp_path):
    """The configuration of the search comes first."""
    from tuning.executor import RaySweep

    config = load_config(env={}, folder=tmp_path, sets=sets)
    plan = SimpleNamespace(params=config.params["tune"])
    assert RaySweep.of(plan, config.run)._limit == limit
    assert RaySweep.of(plan, config.run, "auto")._address == "auto"
    assert sweep_executor(load_config(env={}, folder=tmp_path, sets=[*sets, "run.executor=ray"]), plan)._limit == limit


@pytest.mark.parametrize(
    ("tables", "models", "made", "code"),
    [
        (0, 0, True, 0),
        (0, 3, True, 3),
        (1, 0, True, 1),
        (1, 3, True, 1),
        (3, 0, False, 3),
        (5, 0, False, 5),
        (130, 0, False, 130),
    ],
)
def test_models_follow_tables_as_in_raypipe_run(tables, models, made, code, tmp_path, monkeypatch, capsys):
    """Some tables may have failed: there are models of the others, and the exit code says so."""
    asked = []

    def fake(config, order):
        asked.append(order.command)
        return ModelRun("0123456789ab", "direction_1d", "pass", models)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(model_run, "run_models", fake)
    record = RunRecord("id", "", "ray", 1, 0, exit_code=tables)
    monkeypatch.setattr("tasks.backfill.run_wish", lambda *_: record)
    monkeypatch.setattr("raypipe.pipeline.session.plan_wish", lambda *_: None)
    monkeypatch.setattr("raypipe.cli.run.carry_out", lambda *_, **__: record)
    given = ["--root", str(tmp_path), "--set", "tune.target=direction_1d"]
    assert main(given) == code
    assert cli(["run", *given, "--json"]) == code
    assert len(asked) == 2 * made
    document = json.loads(capsys.readouterr().out)
    assert document["exit_code"] == code
    assert ("models" in document) == made


def test_a_backfill_that_was_stopped_after_its_tables_makes_no_models(tmp_path, monkeypatch):
    monkeypatch.setattr(model_run, "run_models", None)

    def stopped(_config, _wish, order):
        order.stop.set()
        return RunRecord("id", "", "ray", 1, 0, exit_code=0)

    monkeypatch.setattr("tasks.backfill.run_wish", stopped)
    assert main(["--root", str(tmp_path), "--set", "tune.target=direction_1d"]) == 130
