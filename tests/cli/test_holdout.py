"""raypipe holdout: judged on sessions of its own, twice with the same bytes, looks counted, and what is refused."""

from __future__ import annotations

import json

import pyarrow.parquet as pq
import pytest

from raypipe.cli.main import main
from raypipe.report.gates import GATES
from tests.cli.test_stack import _SETS, FEATURES, SPLITS, select
from tests.training.model_lake import make_lake

START = "2021-05-03"
FIELDS = {
    *("schema", "name", "bundle_sha256", "target", "horizon_sessions", "start", "end", "n_sessions", "n_rows"),
    *("n_symbols", "auc", "auc_lower", "auc_upper", "auc_se", "auc_naive", "auc_by_strategy", "auc_mean_symbol"),
    *("auc_mean_session", "log_loss", "brier", "ece", "base_rate_cv", "base_rate_holdout", "rank_ic", "book"),
    *("sharpe", "sharpe_gross", "turnover", "psr", "dsr", "pbo", "best_of_n", "n_trials_raw", "n_trials_effective"),
    *("looks", "gates", "verdict", "splits_sha256", "data_sha256", "code_version"),
}
#: So low that all gates pass, whatever the market does.
LOW = ("--threshold-auc", "0", "--threshold-sharpe", "-99", "--threshold-dsr", "0", "--threshold-pbo", "1")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("holdout")
    make_lake(root)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        where = ("--root", "lake", *_SETS)
        made = ("splits", "--target", "direction_1d", "--holdout-start", START, "--output", SPLITS)
        assert main([*made, *where]) == 0
        (root / FEATURES).write_bytes(select(root).to_yaml())
        sweep = ("--splits", SPLITS, "--features", FEATURES, "--algorithms", "lr,lgbm", "--n-configs", "3")
        assert main(["tune", *sweep, "--no-per-symbol", "--executor", "serial", *where]) == 0
        run_id = next(path.name for path in (root / "lake" / "runs").iterdir())
        for name, strategy in (("a", "mean"), ("b", "logistic")):
            wish = ("--run-id", run_id, "--splits", SPLITS, "--strategy", strategy, "--name", "small")
            assert main(["stack", *wish, "--output", f"out/{name}", *where]) == 0
    return root


@pytest.fixture
def call(root, monkeypatch, capfd):
    monkeypatch.chdir(root)
    for name in ("PINNED_DATA_S3", "LAST_DATA_S3"):
        monkeypatch.delenv(name, raising=False)

    def run(*args: object) -> tuple[int, str, str]:
        capfd.readouterr()
        code = main(["holdout", *map(str, args), "--root", "lake", *_SETS])
        return code, *capfd.readouterr()

    return run


def test_a_bundle_is_judged(call, root):
    code, out, err = call("--model", "out/a", "--name", "first")
    assert code == 3, err
    assert "verdict: fail" in out
    metrics = json.loads((root / "out" / "a" / "holdout_metrics.json").read_bytes())
    assert set(metrics) == FIELDS
    assert [gate["name"] for gate in metrics["gates"]] == list(GATES)
    assert metrics["start"] == START
    assert (metrics["n_symbols"], metrics["book"], metrics["name"]) == (6, "neutral", "first")
    assert metrics["n_trials_raw"] == 2 * 3 + 3
    assert 1 <= metrics["n_trials_effective"] < 9
    assert set(metrics["auc_by_strategy"]) == {"mean", "logistic", "meta-mlp"}
    assert None not in (metrics["auc"], metrics["sharpe"], metrics["dsr"], metrics["pbo"])
    rows = pq.read_table(root / "out" / "a" / "holdout_predictions.parquet")
    assert rows.column_names == ["session", "symbol", "p", "z", "y", "weight", "ret"]
    assert rows.num_rows == metrics["n_rows"]
    assert rows.sort_by([("session", "ascending"), ("symbol", "ascending")])["session"].equals(rows["session"])
    assert rows.to_pandas().groupby("session")["weight"].sum().abs().max() < 1e-12
    assert rows["p"].null_count == rows["weight"].null_count == 0


def test_equal_runs_write_equal_bytes(call, root):
    for name in ("one", "two"):
        call("--model", "out/a", "--name", "same", "--output", f"{name}/m.json")
    for file in ("m.json", "holdout_predictions.parquet"):
        assert (root / "one" / file).read_bytes() == (root / "two" / file).read_bytes()
    assert len(list((root / "lake" / "registry" / "same" / "looks").iterdir())) == 1


def test_every_other_look_at_the_same_sessions_is_a_trial(call, root):
    def judged(model, *more):
        call("--model", model, "--name", "counted", "--output", "looks/m.json", *more)
        found = json.loads((root / "looks" / "m.json").read_bytes())
        return found["looks"], found["n_trials_raw"]

    assert judged("out/a") == (0, 9)
    assert judged("out/b") == (1, 10)
    assert judged("out/b") == (1, 10)
    assert judged("out/b", "--start", "2021-05-10") == (2, 11)
    assert judged("out/a") == (2, 11)


def test_thresholds_are_arguments_and_stand_on_record(call, root):
    code, out, _ = call("--model", "out/a", "--name", "low", *LOW, "--output", "low.json", "--json")
    document = json.loads(out)
    stored = {gate["name"]: gate["threshold"] for gate in json.loads((root / "low.json").read_bytes())["gates"]}
    assert stored == {"auc": 0.0, "auc_lower": 0.5, "sharpe": -99.0, "dsr": 0.0, "pbo": 1.0, "best_of_n": 0.05}
    failed = [gate["name"] for gate in document["gates"] if not gate["passed"]]
    assert set(failed) <= {"auc_lower", "best_of_n"}
    assert code == (3 if failed else 0)


def test_an_altered_bundle_is_refused_before_anything_is_looked_at(call, root):
    bundle = root / "out" / "b" / "meta.json"
    was = bundle.read_bytes()
    bundle.write_bytes(was + b" ")
    code, _, err = call("--model", "out/b", "--name", "altered")
    bundle.write_bytes(was)
    assert code != 0
    assert "meta.json" in err
    assert not (root / "lake" / "registry" / "altered").exists()


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--model", "out/none"), "out/none"),
        (("--model", "nobody@v0001"), "nobody"),
        (("--model", "out/a", "--start", "2021-04-20"), "was trained on"),
        (("--model", "out/a", "--start", "2021-06-01", "--end", "2021-05-03"), "before"),
        (("--model", "out/a", "--start", "2029-01-02", "--end", "2029-02-01"), "has a label"),
        (("--model", "out/a", "--name", "../x"), "name"),
    ],
)
def test_what_cannot_be_judged_is_refused_and_not_looked_at(call, root, args, said):
    given = args if "--name" in args else (*args, "--name", "refused")
    code, _, err = call(*given)
    assert code == 2, err
    assert said in err
    assert not (root / "lake" / "registry" / "refused").exists()


def test_few_sessions_judge_nothing(call, root):
    code, _, _ = call("--model", "out/a", "--name", "few", "--end", "2021-06-01", "--output", "few.json")
    assert code == 3
    metrics = json.loads((root / "few.json").read_bytes())
    assert metrics["auc"] is metrics["sharpe"] is metrics["dsr"] is None
    assert "at least 60" in metrics["gates"][0]["reason"]


def test_a_registered_version_is_judged_again(call, root):
    call("--model", "out/b", "--name", "kept", *LOW)
    metrics = root / "out" / "b" / "holdout_metrics.json"
    document = json.loads(metrics.read_bytes())
    for gate in document["gates"]:
        gate["threshold"] = {"auc_lower": -1.0, "best_of_n": 1.0}.get(gate["name"], gate["threshold"])
    metrics.write_text(json.dumps(document))  # noise passes nothing: this one is let in by hand
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        promoted = ("promote", "--model-path", "out/b", "--name", "kept", "--approve")
        assert main([*promoted, "--root", "lake", *_SETS]) == 0
    code, out, err = call("--model", "kept@v0001", "--name", "kept", "--json")
    assert code in (0, 3), err
    assert json.loads(out)["bundle_sha256"] == document["bundle_sha256"]
    run = next((root / "lake" / "runs").iterdir())
    assert (run / "holdout_metrics.json").is_file()
