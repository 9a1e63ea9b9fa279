"""Models as part of a run: from bars to a verdict with one command, and nothing twice."""

from __future__ import annotations

import json
import shutil
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from raypipe.cli.main import main
from raypipe.config import load_config
from raypipe.errors import StorageError, UsageError
from raypipe.pipeline import session
from raypipe.sources.synthetic.daily import SIGNAL_TARGET
from raypipe.training import model_run, study_fit
from raypipe.training.holdout_run import HoldoutWish, run_holdout
from raypipe.training.model_run import ModelOrder, run_models, wanted_models
from raypipe.training.registry import promote
from raypipe.training.study import StudyJob
from raypipe.training.sweep_run import SerialSweep
from raypipe.training.workspace import Workspace
from tests.training.planted_lake import SESSIONS, write_lake
from tests.training.sweeps import Silent

#: What `models` stands for, and what these tables are made of.
TABLES = {
    "bronze/ohlcv_1d",
    "silver/bars_1d",
    "silver/universe",
    "gold/panel_technical",
    "gold/forward_labels",
    "gold/targets",
    "gold/model_panel",
}


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """The folder after one run, and the document that it printed."""
    root = tmp_path_factory.mktemp("models")
    write_lake(root)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.setenv("XDG_STATE_HOME", str(root / "state"))
        out = root / "out.json"
        with out.open("w") as file:
            patch.setattr("sys.stdout", file)
            assert main(["run", "--json"]) == 0
    return root, json.loads(out.read_text())


@pytest.fixture
def folder(first, tmp_path, monkeypatch):
    """A copy of it, to work in."""
    root = tmp_path / "work"
    shutil.copytree(first[0], root)
    text = (root / "raypipe.yaml").read_text().replace(str(first[0]), str(root))
    (root / "raypipe.yaml").write_text(text)
    monkeypatch.chdir(root)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return root


@pytest.fixture
def tables_only(folder):
    """The same without anything of models."""
    forget_models(folder / "lake")
    return folder


@pytest.fixture
def call(folder, capfd):
    def run(*args: str) -> tuple[int, Any]:
        capfd.readouterr()
        code = main([*args, "--json"])
        return code, json.loads(capfd.readouterr().out)

    return run


def forget_models(lake: Path) -> None:
    for path in lake.glob("runs/????????????"):
        shutil.rmtree(path)
    shutil.rmtree(lake / "selections")
    shutil.rmtree(lake / "registry")


def files(top: Path) -> dict[str, bytes]:
    return {str(path.relative_to(top)): path.read_bytes() for path in sorted(top.rglob("*")) if path.is_file()}


def looks(lake: Path) -> list[str]:
    return sorted(path.name for path in lake.glob("registry/*/looks/*.json"))


def order(stop_at: str = "", **changes: Any) -> ModelOrder:
    """Everything in this process; stops once a study of that name has a configuration."""

    class Stopper(Silent):
        def running(self, job: StudyJob, done: int, best: float | None) -> None:
            if job.name == stop_at:
                made.stop.set()

    made = ModelOrder(lambda _: SerialSweep(), lambda _: nullcontext(Stopper()), lambda _: None, **changes)
    return made


def test_one_command_leads_from_bars_to_a_verdict(first):
    root, document = first
    made, lake = document["models"], root / "lake"
    assert set(document["tables"]) == TABLES, "those that models need, no other"
    assert (made["status"], made["target"], made["exit_code"]) == ("pass", SIGNAL_TARGET, 0)
    run = lake / "runs" / made["run_id"]
    assert made["bundle"] == str(run / "bundle")
    assert made["page"] == str(run / "report.html")
    assert {"splits.json", "feature_config.yaml", "models.json", "run.json"} <= {path.name for path in run.iterdir()}
    metrics = json.loads((run / "bundle" / "holdout_metrics.json").read_text())
    assert [gate["name"] for gate in made["gates"]] == [gate["name"] for gate in metrics["gates"]]
    assert metrics["start"] == SESSIONS[-100].key
    assert "All gates passed" in (run / "report.html").read_text()
    assert "<h2>Models and gates</h2>" in Path(document["report"]).read_text(), "the page of tables knows them too"
    assert len(looks(lake)) == 1


@pytest.mark.parametrize(("sets", "said"), [((), "the last 252 sessions"), (("holdout.start=2024-01-02",), "")])
def test_a_hold_out_that_nobody_named_is_said_to_be_chosen(sets, said, tmp_path):
    splits = SimpleNamespace(holdout=("2024-01-02", "2024-12-31"))
    line = model_run._held_out(splits, load_config(env={}, folder=tmp_path, sets=sets))
    assert line.startswith("hold-out 2024-01-02 .. 2024-12-31")
    assert ("holdout.start names others" in line) is bool(said)
    assert said in line


def test_a_second_run_does_nothing_again_and_looks_at_nothing(first, folder, call, monkeypatch):
    before = files(folder / "lake")
    for name in ("stack_run", "run_holdout"):
        monkeypatch.setattr(model_run, name, None)
    code, document = call("run")
    assert (code, document["models"]["gates"]) == (0, first[1]["models"]["gates"])
    after = files(folder / "lake")
    assert {name for name in after if after[name] != before.get(name)} <= {"runs/" + _page(document)}
    assert after.keys() == before.keys()


def _page(document: Any) -> str:
    return f"{document['models']['run_id']}/report.html"


def test_another_threshold_judges_the_same_bundle_again_without_another_look(folder, call):
    lake = folder / "lake"
    bundle = next(lake.glob("runs/*/bundle/bundle.json")).read_bytes()
    seen = looks(lake)
    code, document = call("run", "--set", "holdout.threshold_auc=0.99")
    assert (code, document["exit_code"], document["models"]["status"]) == (3, 3, "fail")
    assert [gate["name"] for gate in document["models"]["gates"] if not gate["passed"]] == ["auc"]
    assert looks(lake) == seen
    assert next(lake.glob("runs/*/bundle/bundle.json")).read_bytes() == bundle
    assert "Refused: auc" in next(lake.glob("runs/????????????/report.html")).read_text()


def test_a_bundle_that_was_removed_is_made_again(folder, call):
    (bundle,) = (folder / "lake").glob("runs/*/bundle")
    whole, seen = files(bundle), looks(folder / "lake")
    shutil.rmtree(bundle)
    code, _ = call("run")
    assert (code, files(bundle), looks(folder / "lake")) == (0, whole, seen)


def test_a_run_that_was_stopped_ends_as_one_that_was_not(first, tables_only):
    config = load_config(env={}, folder=tables_only)
    stopped = run_models(config, order(stop_at="logistic/_pooled"))
    assert (stopped.status, stopped.exit_code, stopped.bundle, stopped.gates) == ("stopped", 130, "", ())
    assert "has not ended" in Path(stopped.page).read_text()
    assert not looks(tables_only / "lake")
    again = run_models(config, order())
    assert (again.run_id, again.exit_code) == (stopped.run_id, 0)
    assert files(Path(again.bundle)) == files(Path(first[1]["models"]["bundle"]))


def test_a_stop_after_the_search_looks_at_nothing(tables_only):
    made = order()

    class Late(Silent):
        def ended(self, outcome: Any) -> None:
            made.stop.set()

    config = load_config(env={}, folder=tables_only, sets=["tune.algorithms=[logistic]"])
    late = ModelOrder(made.executor, lambda _: nullcontext(Late()), made.say, stop=made.stop)
    found = run_models(config, late)
    assert (found.status, found.exit_code) == ("stopped", 130)
    assert not looks(tables_only / "lake")


def test_a_search_that_lost_a_study_is_judged_and_says_so(tables_only, monkeypatch):
    real = model_run.run_sweep

    def lossy(*args: Any) -> Any:
        record = real(*args)
        record.exit_code = 1
        return record

    monkeypatch.setattr(model_run, "run_sweep", lossy)
    found = run_models(load_config(env={}, folder=tables_only), order())
    assert (found.status, found.exit_code) == ("pass", 1)


def test_a_search_without_a_winner_has_no_bundle(tables_only, monkeypatch):
    def broken(*_: Any, **__: Any) -> Any:
        msg = "no fit today"
        raise ValueError(msg)

    monkeypatch.setattr(study_fit, "_fold", broken)
    found = run_models(load_config(env={}, folder=tables_only), order())
    assert (found.status, found.exit_code, found.bundle) == ("failed", 1, "")
    assert "studies failed" in Path(found.page).read_text()
    assert not looks(tables_only / "lake")


@pytest.mark.parametrize(
    ("sets", "said"),
    [
        (["tune.target="], "nothing to make models of"),
        (["holdout.start="], "are too few for 3 folds"),
        ([f"holdout.start={SESSIONS[80].key}"], "session"),
        (["tune.target=direction_9d"], "direction_9d"),
    ],
)
def test_what_models_cannot_be_made_of_ends_with_two(tables_only, call, sets, said):
    code, document = call("run", *[word for each in sets for word in ("--set", each)])
    assert (code, document["exit_code"]) == (2, 2)
    assert said in json.dumps(document["error"])
    assert not list((tables_only / "lake").glob("runs/????????????"))


def test_text_says_what_became_of_the_tables_before_it_refuses(tables_only, capfd):
    shutil.rmtree(tables_only / "lake" / "gold")
    assert main(["run", "--set", "holdout.start="]) == 2
    said = capfd.readouterr()
    assert "gold/model_panel" in said.out
    assert "are too few for 3 folds" in said.err


def test_fewer_sessions_than_a_hold_out_has(tables_only, monkeypatch):
    monkeypatch.setattr(model_run, "HOLDOUT_SESSIONS", len(SESSIONS))
    config = load_config(env={}, folder=tables_only, sets=["holdout.start="])
    with pytest.raises(UsageError, match="318 sessions have labels; a hold-out of 320 leaves none"):
        run_models(config, order())


def test_when_a_run_makes_models(first):
    def wanted(steps: str, target: str, *asked: str) -> bool:
        sets = [f"run.steps=[{steps}]", f"tune.target={target}"]
        return bool(wanted_models(load_config(env={}, folder=first[0], sets=sets), asked))

    assert wanted("", SIGNAL_TARGET)
    assert not wanted("", "")
    assert wanted("models", SIGNAL_TARGET)
    assert not wanted("daily", SIGNAL_TARGET)
    assert wanted("daily", SIGNAL_TARGET, "models")
    assert not wanted("models", SIGNAL_TARGET, "daily")
    with pytest.raises(UsageError, match="nothing to make models of"):
        wanted("models", "")


def test_other_commands_take_a_profile_with_models(folder, call, capfd):
    code, document = call("plan")
    assert code == 0, document
    code, _ = call("retry")
    assert code == 0
    assert call("run", "--dry-run")[0] == 0
    assert main(["plan", "--steps", "models"]) == 0
    (folder / "bars").mkdir()
    shutil.copy(folder / "lake" / "raw" / "ohlcv_1d" / "bars.csv", folder / "bars")
    code, document = call("ingest", "--from-dir", "bars", "--set", "ingest.provider=files", "--root", "other")
    assert code == 0, document
    assert set(document["run"]["tables"]) == TABLES
    assert not list((folder / "other").glob("runs/????????????")), "ingest builds tables, not models"


def test_a_lake_on_s3_holds_the_same(first, tables_only, moto_server, monkeypatch):
    for name, value in moto_server.env.items():
        monkeypatch.setenv(name, value)
    client, bucket = moto_server.client(), moto_server.bucket()
    for name, data in files(tables_only / "lake").items():
        client.put_object(Bucket=bucket, Key=f"lake/{name}", Body=data)
    sets = [f"lake.root=s3://{bucket}/lake", f"lake.endpoint_url={moto_server.endpoint_url}"]
    config = load_config(env={}, folder=tables_only, sets=sets)
    made = run_models(config, order())
    assert (made.exit_code, made.bundle) == (0, f"s3://{bucket}/lake/runs/{made.run_id}/bundle")
    stored = listed(client, bucket, f"lake/runs/{made.run_id}/bundle/")
    assert stored == files(Path(first[1]["models"]["bundle"]))
    monkeypatch.setattr(model_run, "stack_run", None)
    assert run_models(config, order()).gates == made.gates
    assert len(listed(client, bucket, "lake/registry/")) == 1
    judged = run_holdout(config, HoldoutWish(made.bundle))
    assert judged.metrics_file == f"{made.bundle}/holdout_metrics.json"
    assert listed(client, bucket, f"lake/runs/{made.run_id}/bundle/") == stored, "the same look, the same bytes"
    assert promote(config.lake.location, made.bundle, SIGNAL_TARGET, approve=True).version == "v0001"


def listed(client: Any, bucket: str, prefix: str) -> dict[str, bytes]:
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    keys = [each["Key"] for page in pages for each in page.get("Contents", ())]
    return {key.removeprefix(prefix): client.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys}


# --- retry ---------------------------------------------------------------------------------------


class Killed(BaseException):
    """What no handler of ours catches."""


def dies(*_: Any, **__: Any) -> Any:
    raise Killed


def newest(lake: Path) -> Any:
    """The record of the last run that has one."""
    return json.loads(max(lake.glob("runs/*T*Z-*/run.json")).read_text())


@pytest.mark.parametrize("step", ["_features", "run_sweep", "stack_run"])
def test_retry_makes_the_models_of_a_driver_that_was_killed(step, first, tables_only, call, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(Workspace if step == "_features" else model_run, "select" if step == "_features" else step, dies)
        with pytest.raises(Killed):
            main(["run"])
    lake = tables_only / "lake"
    assert newest(lake)["models"] == {"target": SIGNAL_TARGET, "status": "pending"}
    before = files(lake)
    assert call("retry", "--dry-run")[0] == 0
    assert files(lake) == before
    code, document = call("retry")
    assert (code, document["models"]["status"], document["tables"]) == (0, "pass", {})
    assert files(Path(document["models"]["bundle"])) == files(Path(first[1]["models"]["bundle"]))
    ended = newest(lake)["models"]
    assert ended == {"target": SIGNAL_TARGET, "status": "pass", "exit_code": 0, "run_id": document["models"]["run_id"]}
    before = files(lake)
    code, document = call("retry")
    assert (code, "models" in document) == (0, False)
    assert files(lake) == before


def test_retry_makes_models_that_failed(tables_only, call, monkeypatch):
    def unreachable(*_: Any) -> Any:
        msg = "nobody answers"
        raise StorageError(msg)

    lake = tables_only / "lake"
    shutil.rmtree(lake / "gold" / "model_panel")
    with monkeypatch.context() as patch:
        patch.setattr(model_run, "run_holdout", unreachable)
        assert call("run")[0] == 5
    failed, noted = newest(lake)["run_id"], newest(lake)["models"]
    assert (noted["status"], noted["exit_code"]) == ("failed", 5)
    assert call("retry", "--set", "tune.target=noise_1d")[0] == 2
    assert call("run", "--steps", "targets", "--force")[0] == 0
    code, document = call("retry", "--run-id", failed)
    assert (code, document["models"]["status"]) == (0, "pass")


def test_retry_makes_tables_and_then_models_where_neither_was_done(tables_only, call, monkeypatch):
    shutil.rmtree(tables_only / "lake" / "gold" / "model_panel")
    with monkeypatch.context() as patch:
        patch.setattr(session, "execute", dies)
        with pytest.raises(Killed):
            main(["run"])
    code, document = call("retry")
    assert (code, document["models"]["status"], set(document["tables"])) == (0, "pass", {"gold/model_panel"})


def test_a_run_of_tables_alone_is_retried_without_models(tables_only, call):
    assert call("run", "--steps", "targets", "--force")[0] == 0
    assert newest(tables_only / "lake")["models"] == {}
    code, document = call("retry")
    assert (code, "models" in document) == (0, False)
    assert not list((tables_only / "lake").glob("runs/????????????"))


def test_the_page_of_the_run_shows_its_models(first):
    (record,) = (first[0] / "lake").glob("runs/*T*Z-*/run.json")
    assert json.loads(record.read_text())["models"]["status"] == "pass"
    assert first[1]["models"]["run_id"] in record.with_name("report.html").read_text()
