"""raypipe select: the file, the table, and exit codes."""

from __future__ import annotations

import json

import pytest

from raypipe.cli.main import main
from raypipe.dataset.selection import SELECTION, Selection
from raypipe.errors import UsageError
from raypipe.lake.store import Lake
from raypipe.training.workspace import Workspace
from tests.training.model_lake import SETS, config_of, make_lake


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    config = make_lake(root)
    workspace = Workspace.open(config, "vol_regime_20d")
    (root / "splits.json").write_bytes(workspace.make_splits().to_json())
    return root


@pytest.fixture
def call(root, monkeypatch, capsys):
    monkeypatch.chdir(root)

    def run(*args: str) -> tuple[int, str, str]:
        few = ("panel.market_means=[]", "cv.n_folds=5")
        sets = [word for value in (*SETS, *few) for word in ("--set", value)]
        code = main([*args, "--root", "lake", *sets])
        return code, *capsys.readouterr()

    return run


def test_features_are_written_and_read_back(call, root):
    asked = ("select", "--splits", "splits.json", "--max-features", "12", "--table", "gold/panel_technical")
    names = ("--features", "re:(rsi|volatility|momentum|vol_).*")
    code, _, err = call(*asked, *names, "--output", "out/features.yaml", "--json")
    assert code == 3
    assert "rule V2" in err  # the splits are those of the list, which has a symbol more
    made = ("splits", "--target", "vol_regime_20d", "--table", "gold/panel_technical", *names, "--n-folds", "2")
    assert call(*made, "--output", "mine.json")[0] == 0
    code, out, _ = call(*(word if word != "splits.json" else "mine.json" for word in asked), *names, "--json")
    assert code == 0
    document = json.loads(out)
    assert set(document["folds"]) == {"0", "1", "2"}
    assert 0 < len(document["folds"]["0"]) <= 12
    config = config_of(root, "cv.n_folds=2")
    found = Selection.from_yaml((root / "feature_config.yaml").read_bytes())
    stored = Lake(config.lake.location).read(SELECTION, "all")
    assert stored.num_rows == 3 * len({*stored["feature"].to_pylist()})
    from raypipe.training.inputs import Asked

    workspace = Workspace.open(config, "vol_regime_20d", Asked("gold/panel_technical", features=names[1]))
    splits = workspace.read_splits(root / "mine.json")
    assert workspace.read_selection(root / "feature_config.yaml", splits) == found
    other = workspace.make_splits()
    config = config_of(root, "cv.n_folds=3")
    bare = Workspace.open(config, "vol_regime_20d", Asked("gold/panel_technical", names[1]))
    three = bare.make_splits()
    with pytest.raises(UsageError, match="was made for splits"):
        bare.read_selection(root / "feature_config.yaml", three)
    assert other.sha256 == splits.sha256


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (("select",), 2, "missing option '--splits'"),
        (("select", "--splits", "none.json"), 2, "none.json cannot be read"),
        (("select", "--splits", "symbols.txt"), 3, "not a file of splits"),
    ],
)
def test_wrong_requests(call, args, code, message):
    got, _, err = call(*args)
    assert got == code
    assert message in err
