"""raypipe tune: a sweep on a small lake, stopped by its arguments, gone on with, and what is shown of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from raypipe.cli.main import main
from raypipe.cli.models import sweep_executor
from raypipe.config import load_config
from raypipe.dataset.selection import POOLED, Selection
from raypipe.training.study import StudyOutcome
from raypipe.training.sweep_progress import LineWatch
from raypipe.training.sweep_run import ProcessSweep, SerialSweep
from raypipe.training.workspace import Workspace
from tests.training.model_lake import SETS, make_lake

SPLITS, FEATURES = "splits.json", "features.yaml"
FILES = ("--splits", SPLITS, "--features", FEATURES)
#: Two studies over all symbols, of three quick configurations.
QUICK = (*FILES, "--algorithms", "lr,lgbm", "--n-configs", "3", "--no-per-symbol", "--executor", "serial")


def selection(root: Path, **changes: Any) -> Selection:
    """Twelve features of the panel, the same in every fold; one symbol has one fewer."""
    config = load_config(None, sets=SETS, flags={"lake.root": str(root / "lake")}, folder=root)
    workspace = Workspace.open(config, "direction_1d")
    splits = workspace.read_splits(root / SPLITS)
    names = workspace.panel.features[:12]
    scopes = {POOLED: names, workspace.panel.symbols[0]: names[1:]}
    made: dict[str, Any] = {
        "target": "direction_1d",
        "splits_sha256": splits.sha256,
        "data_sha256": splits.data_sha256,
        "scope": "pooled",
        "max_features": 12,
        "symbols": tuple(sorted(workspace.panel.symbols)),
        "folds": dict.fromkeys((0, *(one.id for one in splits.folds)), scopes),
        "dropped": {},
    }
    return Selection(**{**made, **changes})


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("tune")
    make_lake(root)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        sets = [word for value in SETS for word in ("--set", value)]
        assert main(["splits", "--target", "direction_1d", "--output", SPLITS, "--root", "lake", *sets]) == 0
        (root / FEATURES).write_bytes(selection(root).to_yaml())
    return root


@pytest.fixture
def call(root, monkeypatch, capsys):
    monkeypatch.chdir(root)

    def run(*args: str) -> tuple[int, str, str]:
        sets = [word for value in SETS for word in ("--set", value)]
        capsys.readouterr()
        code = main([*args, "--root", "lake", *sets])
        return code, *capsys.readouterr()

    return run


def test_a_sweep_from_beginning_to_end(call, root):
    code, out, err = call("tune", *QUICK, "--seed", "1")
    assert code == 0, err
    run_id = out.rsplit("run ", 1)[1].split(":")[0]
    folder = root / "lake" / "runs" / run_id
    assert {path.name for path in folder.iterdir()} == {
        "best_lightgbm.json",
        "best_logistic.json",
        "configurations.parquet",
        "run.json",
        "studies",
    }
    assert pq.read_table(folder / "configurations.parquet").num_rows == 6
    best = json.loads((folder / "best_lightgbm.json").read_bytes())
    assert f"{best['best_auc']:.4f}" in out
    assert "2 studies of direction_1d, executor serial" in err
    held = json.loads((root / SPLITS).read_bytes())["holdout"]
    assert (f"no study sees the hold-out {held['start']} .. {held['end']}" if held else "nothing is held out") in err


def test_the_same_again_does_nothing_more_and_says_the_same(call, root):
    first = call("tune", *QUICK, "--seed", "2", "--json")
    document = json.loads(first[1])
    before = {path: path.stat().st_mtime_ns for path in Path(root / "lake" / "runs").rglob("*") if path.is_file()}
    again = call("tune", *QUICK, "--seed", "2", "--json")
    assert Path(document["folder"]) == root / "lake" / "runs" / document["sweep"]["run_id"]
    assert json.loads(again[1]) == document
    assert document["sweep"]["status"] == "done"
    assert set(document["best"]) == {"logistic", "lightgbm"}
    assert before == {path: path.stat().st_mtime_ns for path in before}


def test_a_dry_run_lists_studies_and_writes_nothing(call, root):
    code, out, _ = call("tune", *FILES, "--algorithms", "lr", "--n-configs", "3", "--seed", "3", "--dry-run", "--json")
    document = json.loads(out)
    assert code == 0
    states = {(one["scope"], one["state"], one["done"]) for one in document["studies"]}
    assert ("NONE", "skipped", 0) in states
    assert ("_pooled", "new", 0) in states
    assert not (root / "lake" / "runs" / document["run_id"]).exists()


def test_a_listed_symbol_without_rows_is_skipped_and_the_others_run(call):
    args = ("--algorithms", "lr", "--n-configs", "1", "--seed", "4", "--executor", "serial", "--json")
    code, out, err = call("tune", *FILES, *args)
    studies = json.loads(out)["sweep"]["studies"]
    assert code == 1
    assert {one["scope"]: one["status"] for one in studies}["NONE"] == "skipped"
    assert {one["status"] for one in studies} == {"done", "skipped"}
    assert "logistic/NONE skipped" in err


def test_fresh_keeps_the_old_folder(call, root):
    run_id = json.loads(call("tune", *QUICK, "--seed", "5", "--json")[1])["sweep"]["run_id"]
    code, out, _ = call("tune", *QUICK, "--seed", "5", "--fresh", "--json")
    assert code == 0
    assert all(one["asked"] == 3 for one in json.loads(out)["sweep"]["studies"])
    assert (root / "lake" / "runs" / f"{run_id}.old-1" / "run.json").exists()


def test_another_lake_may_have_the_panel(root, monkeypatch, capsys):
    monkeypatch.chdir(root)
    sets = [word for value in SETS for word in ("--set", value)]
    code = main(["tune", *QUICK, "--seed", "6", "--input-data-s3", "lake", "--root", "out", "--json", *sets])
    assert code == 0
    run_id = json.loads(capsys.readouterr().out)["sweep"]["run_id"]
    assert (root / "out" / "runs" / run_id / "run.json").exists()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--splits", SPLITS), "missing option '--features'"),
        ((*FILES, "--algorithms", "xgboots"), "did you mean xgboost"),
        ((*FILES, "--symbols", "ZZZ"), "ZZZ is not among"),
        ((*FILES, "--no-pooled", "--no-per-symbol"), "neither pooled"),
        ((*FILES, "--windows"), "needs 720 sessions, and the panel has 420"),
        (("--splits", "none.json", "--features", FEATURES), "none.json cannot be read"),
        (("--splits", SPLITS, "--features", SPLITS), "not a selection of features"),
    ],
)
def test_what_cannot_be_searched_ends_with_two(call, args, message):
    code, _, err = call("tune", *args)
    assert code == 2
    assert message in err.lower() if message.startswith("missing") else message in err


@pytest.mark.parametrize("field", ["target", "splits_sha256", "data_sha256"])
def test_features_of_other_splits_are_refused(call, root, field):
    (root / "other.yaml").write_bytes(selection(root, **{field: "x"}).to_yaml())
    code, _, err = call("tune", "--splits", SPLITS, "--features", "other.yaml")
    assert code == 2
    assert f"another {field}" in err


def test_features_that_the_panel_lacks_are_refused(call, root):
    made = selection(root)
    folds = {fold: {POOLED: ("gone", *scopes[POOLED])} for fold, scopes in made.folds.items()}
    (root / "gone.yaml").write_bytes(selection(root, folds=folds).to_yaml())
    code, _, err = call("tune", "--splits", SPLITS, "--features", "gone.yaml")
    assert code == 2
    assert "no feature gone" in err


def test_edited_splits_are_refused_before_any_study(call, root):
    raw = json.loads((root / SPLITS).read_bytes())
    raw["folds"][0]["n_train_rows"] += 1
    (root / "edited.json").write_text(json.dumps(raw))
    code, _, err = call("tune", "--splits", "edited.json", "--features", FEATURES)
    assert code == 3
    assert "V9" in err


def test_an_edited_journal_ends_with_three_and_names_the_line(call, root):
    run_id = json.loads(call("tune", *QUICK, "--seed", "7", "--json")[1])["sweep"]["run_id"]
    path = root / "lake" / "runs" / run_id / "studies" / "logistic" / "_pooled" / "journal.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"source":"default"', b'"source":"random"'))
    code, _, err = call("tune", *QUICK, "--seed", "7")
    assert code == 3
    assert "line 2" in err


# --- executors and progress --------------------------------------------------------------------


class Plan:
    """As much of a plan as an executor is chosen by."""

    def __init__(self, jobs: int, **params: Any) -> None:
        from raypipe.schema.modeling import TuneParams

        self.jobs, self.params = (None,) * jobs, TuneParams(**params)


@pytest.mark.parametrize(
    ("run", "plan", "kind", "workers"),
    [
        ({"executor": "serial", "workers": 4}, Plan(9), SerialSweep, 1),
        ({"executor": "process", "workers": 4}, Plan(9), ProcessSweep, 4),
        ({"workers": 4}, Plan(9), ProcessSweep, 4),
        ({"workers": 4}, Plan(1), SerialSweep, 1),
        ({"workers": 1}, Plan(9), SerialSweep, 1),
        ({"workers": 4}, Plan(9, threads=2), ProcessSweep, 2),
        ({"workers": 4}, Plan(9, max_concurrent=3), ProcessSweep, 3),
    ],
)
def test_who_runs_the_studies(run, plan, kind, workers):
    config = load_config(None, flags={f"run.{name}": value for name, value in run.items()})
    found = sweep_executor(config, plan)
    assert (type(found), found.workers) == (kind, workers)


def test_lines_are_few_and_failures_are_said_at_once():
    said: list[str] = []
    now = [0.0]
    watch = LineWatch(20, said.append, lambda line: said.append(f"! {line}"), lambda: now[0])
    for i in range(20):
        now[0] += 6.0
        bad = i == 4
        watch.ended(StudyOutcome("xgboost", f"S{i}", "failed" if bad else "done", "no folds" if bad else ""))
    assert "! xgboost/S4 failed: no folds" in said
    assert len(said) <= 11
    assert said[0] == "2 of 20 studies (10%)"


def test_the_live_table_shows_what_runs(root, monkeypatch):
    from raypipe.cli.tune_progress import live_watch
    from tests.training.studies import made_data, made_job
    from tests.training.sweeps import plan_at

    plan, warned = plan_at(root, made_data(sessions=100)), []
    with live_watch(plan, warned.append) as watch:
        job = made_job(root, "AAA", "logistic")
        watch.running(job, 2, 0.61)
        names = [task.description for task in watch._bars.tasks]
        assert names == ["studies", "logistic/AAA"]
        assert watch._bars.tasks[1].fields["best"] == "best 0.6100"
        watch.ended(StudyOutcome("logistic", "AAA", "done", value=0.62))
        assert [task.description for task in watch._bars.tasks] == ["studies"]
        assert watch._bars.tasks[0].fields["best"] == "logistic 0.6200"
    assert not warned
