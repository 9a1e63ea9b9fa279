"""raypipe splits: files, what is shown, and exit codes."""

from __future__ import annotations

import json

import pytest

from raypipe.cli.main import main
from raypipe.training.workspace import splits_holdout
from tests.training.model_lake import SETS, make_lake


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    make_lake(root)
    return root


@pytest.fixture
def call(root, monkeypatch, capsys):
    monkeypatch.chdir(root)

    def run(*args: str) -> tuple[int, str, str]:
        sets = [word for value in SETS for word in ("--set", value)]
        code = main([*args, "--root", "lake", *sets])
        return code, *capsys.readouterr()

    return run


def test_a_file_is_made_and_verified(call, root):
    code, out, err = call("splits", "--target", "direction", "--horizon", "5", "--holdout-start", "2021-06-01")
    assert code == 0
    assert "direction_5d, walk_forward: 2020-" in out
    assert "1 listed symbols have no rows: NONE" in err
    assert "held out" not in err
    path = root / "configs" / "splits" / "direction_5d_walk_forward.json"
    raw = json.loads(path.read_bytes())
    assert (raw["n_folds"], raw["holdout"]["start"]) == (5, "2021-06-01")
    before = path.read_bytes()
    assert call("splits", "--target", "direction_5d", "--holdout-start", "2021-06-01")[0] == 0
    assert path.read_bytes() == before
    code, out, _ = call("splits", "--verify", str(path), "--json")
    assert code == 0
    assert json.loads(out)["verified"] is True


def test_a_file_that_was_edited_ends_with_three(call, root):
    code, _, err = call("splits", "--target", "direction_5d", "--n-folds", "3", "--output", "mine.json")
    assert code == 0
    assert "hint: nothing is held out" in err
    path = root / "mine.json"
    assert splits_holdout(path) is None
    raw = json.loads(path.read_bytes())
    fold = raw["folds"][1]
    fold["train"][-1]["end"], fold["purged"], fold["embargoed"] = fold["purged"][-1]["end"], [], []
    path.write_text(json.dumps(raw))
    code, _, err = call("splits", "--verify", str(path))
    assert code == 3
    assert "rule V4, fold 2, symbol" in err
    assert "session 20" in err


def test_flags_of_the_scheme(call):
    code, out, _ = call(
        *("splits", "--target", "direction_1d", "--scheme", "cpcv", "--n-groups", "5", "--test-groups", "2"),
        *("--embargo-sessions", "2", "--dry-run", "--json"),
    )
    document = json.loads(out)["splits"]
    assert code == 0
    assert (len(document["folds"]), len(document["paths"]), document["embargo_sessions"]) == (10, 4, 2)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("splits",), "--target is missing"),
        (("splits", "--target", "direction_9d"), "there is no target"),
        (("splits", "--target", "direction_5d", "--horizon", "20"), "looks 5 sessions ahead"),
        (("splits", "--target", "direction_5d", "--n-folds", "100"), "the largest cv.n_folds that fits"),
        (("splits", "--target", "direction_5d", "--symbols-file", "none.txt"), "none.txt: cannot be read"),
        (("splits", "--verify", "none.json"), "none.json cannot be read"),
    ],
)
def test_wrong_requests_end_with_two(call, args, message):
    code, _, err = call(*args)
    assert code == 2
    assert message in err
