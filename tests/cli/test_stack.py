"""raypipe stack: from a finished sweep on a small lake to a bundle, to the registry, to predictions."""

from __future__ import annotations

import json
import shutil

import pyarrow.parquet as pq
import pytest

from raypipe.cli.main import main
from raypipe.config import load_config
from raypipe.dataset.selection import POOLED, Selection
from raypipe.training.bundle_files import check_bundle
from raypipe.training.workspace import Workspace
from tests.training.bundles import files_of, judged
from tests.training.model_lake import SETS, make_lake

SPLITS, FEATURES = "splits.json", "feature_config.yaml"
_SETS = [word for value in SETS for word in ("--set", value)]


def select(root) -> Selection:
    """Twelve features of the panel, the same in every fold."""
    config = load_config(None, sets=SETS, flags={"lake.root": str(root / "lake")}, folder=root)
    workspace = Workspace.open(config, "direction_1d")
    splits = workspace.read_splits(root / SPLITS)
    names = workspace.panel.features[:12]
    folds = {fold: {POOLED: names} for fold in (0, *(one.id for one in splits.folds))}
    symbols = tuple(sorted(workspace.panel.symbols))
    return Selection("direction_1d", splits.sha256, splits.data_sha256, "pooled", 12, symbols, folds, {})


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("stack")
    make_lake(root)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        assert main(["splits", "--target", "direction_1d", "--output", SPLITS, "--root", "lake", *_SETS]) == 0
        (root / FEATURES).write_bytes(select(root).to_yaml())
        sweep = ("--splits", SPLITS, "--features", FEATURES, "--algorithms", "lr,lgbm", "--n-configs", "3")
        assert main(["tune", *sweep, "--no-per-symbol", "--executor", "serial", "--root", "lake", *_SETS]) == 0
    return root


@pytest.fixture
def run_id(root):
    return next(path.name for path in (root / "lake" / "runs").iterdir())


@pytest.fixture
def call(root, monkeypatch, capfd):
    monkeypatch.chdir(root)
    for name in ("PINNED_DATA_S3", "LAST_DATA_S3"):
        monkeypatch.delenv(name, raising=False)

    def run(*args: object) -> tuple[int, str, str]:
        capfd.readouterr()
        code = main([*map(str, args), "--root", "lake", *_SETS])
        return code, *capfd.readouterr()

    return run


def test_a_run_is_stacked_and_its_bundle_predicts(call, root, run_id):
    code, out, err = call("stack", "--run-id", run_id, "--splits", SPLITS)
    assert code == 0, err
    assert "mean" in out
    assert "naive" in out
    assert "auto would take" in out
    folder = root / "lake" / "runs" / run_id
    assert set(pq.read_table(folder / "oof.parquet").column_names) == {
        *("fold_id", "session", "symbol", "y", "label_end_ns", "p_lightgbm_pooled", "p_logistic_pooled"),
        *("stack_mean", "stack_logistic", "stack_meta_mlp"),
    }
    assert pq.read_table(folder / "multiplicity.parquet").num_rows == 2
    facts = check_bundle(folder / "bundle")
    assert facts.note["name"] == facts.note["target"] == "direction_1d"
    assert facts.note["panel_fingerprints"]["gold/model_panel"]
    assert facts.json("features.json")["columns"][0]["dtype"] == "float"
    judged(folder / "bundle", name="small")
    assert call("promote", "--model-path", folder / "bundle", "--name", "small", "--approve")[0] == 0
    code, out, err = call("predict", "--name", "small", "--json")
    assert code == 0, err
    assert json.loads(out)["sessions"][0]["status"] == "built"


def test_a_strategy_and_families_may_be_named_and_equal_calls_make_equal_bundles(call, root, run_id):
    args = (
        "stack",
        "--run-id",
        run_id,
        "--splits",
        SPLITS,
        "--models",
        "lgbm-safe",
        "--strategy",
        "logistic",
        "--json",
    )
    made = [json.loads(call(*args, "--output", f"out/{name}")[1]) for name in ("a", "b")]
    assert made[0]["strategy"] == "logistic"
    assert made[0]["bundle_sha256"] == made[1]["bundle_sha256"]
    assert files_of(root / "out" / "a") == files_of(root / "out" / "b")
    assert {row["strategy"] for row in made[0]["scores"]} >= {"mean", "lightgbm.pooled", "naive"}
    assert not any("logistic.pooled" in row["strategy"] for row in made[0]["scores"])


def test_a_pickle_is_spelled_but_not_made(call, root, run_id):
    code, _, err = call("stack", "--run-id", run_id, "--splits", SPLITS, "--models", "lr", "--output", "out/meta.pkl")
    assert code == 0
    assert "never pickles" in err
    assert (root / "out" / "meta" / "bundle.json").is_file()
    assert not (root / "out" / "meta.pkl").exists()


def test_a_pin_is_verified_first_and_travels_in_the_bundle(call, root, run_id, monkeypatch):
    copied = root / "copied"
    shutil.copytree(root / "lake" / "gold", copied / "gold")
    assert call("pin", "--input", "copied", "--output", "pin.json")[0] == 0
    pin = json.loads((root / "pin.json").read_bytes())
    monkeypatch.setenv("PINNED_DATA_S3", "pin.json")
    code, _, err = call("stack", "--run-id", run_id, "--splits", SPLITS, "--models", "lr", "--output", "out/p")
    assert code == 0, err
    assert "environment PINNED_DATA_S3" in err
    assert check_bundle(root / "out" / "p").note["pin_sha256"] == pin["pin_sha256"]
    search = ("tune", "--splits", SPLITS, "--features", FEATURES, "--algorithms", "lr", "--no-per-symbol", "--dry-run")
    code, _, err = call(*search)
    assert code == 0, err
    assert "environment PINNED_DATA_S3" in err
    (copied / "gold" / "more.txt").write_text("new")
    code, _, err = call("stack", "--run-id", run_id, "--splits", SPLITS, "--models", "lr", "--output", "out/q")
    assert code == 3
    assert "more.txt" in err
    assert call(*search)[0] == 3
    assert not (root / "out" / "q").exists()


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        ({"--run-id": "ffffffffffff"}, 2, "no studies"),
        ({"--run-id": "../x"}, 2, "not allowed"),
        ({"--splits": "none.json"}, 2, "none.json"),
        ({"--features": "none.yaml"}, 2, "none.yaml"),
        ({"--features": "other.yaml"}, 3, "features_sha256"),
        ({"--models": "catboost"}, 2, "catboost"),
        ({"--models": "cotboost"}, 2, "did you mean"),
        ({"--regime-columns": "volatility"}, 2, "regime columns volatility"),
    ],
)
def test_what_does_not_belong_together_is_refused(call, root, run_id, change, code, said):
    text = (root / FEATURES).read_text().replace("max_features: 12", "max_features: 13")
    (root / "other.yaml").write_text(text)
    given = {"--run-id": run_id, "--splits": SPLITS, "--output": "out/never", **change}
    found, _, err = call("stack", *(word for pair in given.items() for word in pair))
    assert found == code, err
    assert said in err
    assert not (root / "out" / "never").exists()
