"""raypipe train: what is written, what is shown, and exit codes."""

from __future__ import annotations

import json
import re

import pytest

from raypipe.cli.main import main
from raypipe.models.catalog import load_fitted
from tests.training.model_lake import SETS, config_of, make_lake

PANEL = ("--data-path", "gold/panel_technical")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    make_lake(root)
    return root


@pytest.fixture
def call(root, monkeypatch, capsys):
    monkeypatch.chdir(root)

    def run(*args: object) -> tuple[int, str, str]:
        sets = [word for value in SETS for word in ("--set", value)]
        code = main([*map(str, args), "--root", "lake", *sets])
        return code, *capsys.readouterr()

    return run


def test_a_classifier_is_fitted_scored_and_written(call, root):
    code, out, err = call("train", *PANEL, "--target", "vol_regime_20d", "--n-folds", 3, "--output-dir", "out")
    assert code == 0, err
    assert "lightgbm for vol_regime_20d: 3 folds" in out
    assert re.search(r"auc +0\.\d{4} +0\.\d{4} +0\.5000 +0\.\d{4}", out)
    results = json.loads((root / "out" / "classifier_results.json").read_bytes())
    assert results["schema"] == 1
    assert set(results) == {
        *("schema", "params", "splits_sha256", "folds", "mean", "se", "majority_baseline", "train_metrics"),
        "feature_importance",
    }
    assert results["train_metrics"]["auc"] > results["mean"]["auc"]
    assert load_fitted("lightgbm", root / "out" / "classifier").features == len(results["params"]["features"])


def test_numbers_by_least_squares_as_json(call, root):
    code, out, err = call(
        *("train", "--model-type", "linear", "--regularization", "none", *PANEL, "--features", "re:momentum_|vol"),
        *("--output-dir", "ols", "--json"),
    )
    assert code == 0, err
    found = json.loads(out)["results"]
    assert found["params"]["target"] == "forward_return_1d"
    assert {one["name"] for one in found["coefficients"]} == set(found["params"]["features"])
    assert all(one["se"] > 0 and 0 <= one["p"] <= 1 for one in found["coefficients"] if one["se"] is not None)
    assert found == json.loads((root / "ols" / "linear_results.json").read_bytes())


def test_folds_of_a_file_and_parameters_of_a_search(call, root):
    made = call("splits", *PANEL, "--target", "direction_5d", "--n-folds", 2, "--output", "two.json", "--json")
    assert made[0] == 0, made[2]
    best = {"algorithm": "xgboost", "hyperparameters": {"_pooled": {"max_depth": 2, "n_rounds": 9}}, "rounds": {}}
    (root / "best_xgboost.json").write_text(json.dumps(best))
    code, out, err = call(
        *("train", *PANEL, "--splits", "two.json", "--algorithm", "xgb", "--params-from", "best_xgboost.json"),
        *("--seed", 7, "--json"),
    )
    assert code == 0, err
    found = json.loads(out)["results"]
    assert (found["splits_sha256"], len(found["folds"])) == (json.loads(made[1])["sha256"], 2)
    params = found["params"]
    assert (params["target"], params["n_rounds"], params["seed"]) == ("direction_5d", 9, 7)
    assert params["hyperparameters"]["max_depth"] == 2
    assert (root / "models" / "classifier" / "model.ubj").is_file()


def test_a_dry_run_fits_and_writes_nothing(call, root):
    code, out, err = call("train", *PANEL, "--n-folds", 2, "--output-dir", "dry", "--dry-run", "--json")
    assert code == 0, err
    found = json.loads(out)
    assert (found["algorithm"], found["target"], len(found["folds"])) == ("lightgbm", "direction_1d", 2)
    assert not (root / "dry").exists()
    text = call("train", *PANEL, "--n-folds", 2, "--dry-run")[1]
    assert "source: gold/panel_technical" in text
    assert text.splitlines()[-1].split() == ["2", *(str(found["folds"][1][name]) for name in ("n_train", "n_test"))]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--model-type", "linear", "--target", "direction_5d"), "is a target of class"),
        (("--target", "direction_9d"), "there is no target"),
        (("--algorithm", "xgbost"), "did you mean xgboost"),
        (("--alpha", "1"), "--alpha changes nothing"),
        (("--splits", "two.json", "--n-folds", "3"), "exclude each other"),
        (("--params-from", "none.json"), "none.json"),
        (("--splits", "none.json"), "none.json cannot be read"),
        (("--data-path", "gold/nothing"), "gold/nothing"),
        (("--model-type", "linear", "--regularization", "l1"), "does not go with"),
    ],
)
def test_wrong_requests_end_with_two(call, args, message):
    args = args if "--data-path" in args else (*PANEL, *args)
    code, _, err = call("train", *args)
    assert (code, message in err) == (2, True), err


def test_without_a_table_it_takes_the_panel_of_models_and_the_target_of_the_configuration(call):
    code, out, err = call("train", "--n-folds", 2, "--dry-run", "--json")
    assert code == 0, err
    found = json.loads(out)
    assert (found["source"], found["target"]) == ("gold/model_panel", "direction_1d")
    regime = ("--set", "tune.target=vol_regime_20d", "--n-folds", 2, "--dry-run", "--json")
    assert json.loads(call("train", *regime)[1])["target"] == "vol_regime_20d"
    assert json.loads(call("train", "--model-type", "linear", *regime)[1])["target"] == "forward_return_1d"


def test_technical_features_come_before_the_panel_of_models(root):
    from raypipe.training.inputs import built_of

    config, names = config_of(root), ("silver/technical_features", "gold/model_panel")
    assert built_of(config, names) == "gold/model_panel"
    assert built_of(config, ("gold/panel_technical", *names)) == "gold/panel_technical"
    assert built_of(config, ("silver/technical_features", "silver/daily")) == "silver/technical_features"


def test_a_table_that_is_not_built_is_named(call):
    code, _, err = call("train", "--data-path", "silver/technical_features")
    assert code in (1, 2)
    assert "silver/technical_features" in err
