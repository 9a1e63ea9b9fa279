"""Studies: what they ask, what they may see, when they stop, and that stopping them changes nothing."""

from __future__ import annotations

import random
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raypipe.errors import UsageError
from raypipe.models.catalog import model
from raypipe.models.space import distributions
from raypipe.training.journal import POOLED, ConfigResult, read_study, study_key
from raypipe.training.study import Study, run_study
from raypipe.training.study_ask import Asker, hashed_seed
from raypipe.training.study_data import StudyData
from tests.training import studies
from tests.training.studies import RUN, configs, made_job, study_bytes

data, whole = studies.data, studies.whole


# --- what is asked -------------------------------------------------------------------------------


def test_the_first_configurations_are_given(whole):
    pooled = read_study(made_job(whole).location, study_key(RUN, "lightgbm", POOLED))
    family = model("lightgbm")[0]
    assert [one.source for one in pooled.configs[:2]] == ["default", "random"]
    assert pooled.configs[0].params == family.default("safe", "pooled")
    symbol = configs(whole, "BRK.B")
    assert [one.source for one in symbol[:3]] == ["pooled_winner", "default", "random"]
    assert symbol[0].params == pooled.winner.params
    assert symbol[1].params == family.default("safe", "symbol")


def test_everything_asked_lies_in_the_space(whole):
    space = model("lightgbm")[0].spaces["safe"]
    for one in (*configs(whole), *configs(whole, "BRK.B")):
        assert set(one.params) == set(space)
        assert all(value in space[name] for name, value in one.params.items())


def test_after_ten_configurations_the_model_asks(whole):
    sources = [one.source for one in configs(whole)]
    assert sources == ["default", *["random"] * 9, *["tpe"] * 4]


@settings(max_examples=5)
@given(cut=st.integers(0, 30), seed=st.integers(0, 2**63))
def test_who_asks_from_a_journal_asks_the_same(cut, seed):
    """Failed and pruned configurations included, and whatever the values are."""
    dims = distributions(model("xgboost")[0].spaces["safe"])
    draw = random.Random(seed)
    states = draw.choices(["complete", "pruned", "failed"], [8, 3, 1], k=31)

    def told(i: int, params: dict[str, Any], source: Any) -> ConfigResult:
        value = None if states[i] == "failed" else round(0.5 + params["eta"] / (1 + params["max_depth"]), 3)
        ran = 2 if states[i] == "pruned" else 4
        values = tuple(value if j < ran else None for j in range(4))
        return ConfigResult(i, source, params, values, (1,) * 4, ("drawn",) * 4, value, states[i])

    one, other, known = Asker(dims, seed), Asker(dims, seed), []
    for i in range(31):
        known.append(told(i, *one.ask(i)))
        one.tell(known[-1])
    for before in known[:cut]:
        other.tell(before)
    for i in range(cut, 31):
        found = told(i, *other.ask(i))
        assert found == known[i]
        other.tell(found)


def test_a_journal_of_13_asks_the_same_37(tmp_path, data):
    job = made_job(tmp_path, "AAA", "logistic", n_configs=50, prune=False)
    run_study(job, data)
    before = study_bytes(tmp_path, "AAA", "logistic")
    folder = tmp_path / job.key
    lines = (folder / "journal.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "journal.jsonl").write_bytes(b"".join(lines[:14]))
    rows = (folder / "oof.f32").read_bytes()
    (folder / "oof.f32").write_bytes(rows[: len(rows) // 50 * 13])
    found = run_study(job, data)
    assert found.asked == 37
    assert study_bytes(tmp_path, "AAA", "logistic") == before
    assert read_study(job.location, job.key).configs[:13] != read_study(job.location, job.key).configs[13:26]


def test_seeds_are_those_of_the_specification():
    import hashlib

    text = b'[42,"direction_5d","xgboost","_pooled"]'
    assert hashed_seed(42, "direction_5d", "xgboost", "_pooled") == int.from_bytes(
        hashlib.sha256(text).digest()[:8], "big"
    )


def test_another_pooled_winner_is_noticed(tmp_path, data):
    job = made_job(tmp_path, "AAA", "logistic", n_configs=4, pooled=True)
    run_study(made_job(tmp_path, POOLED, "logistic", n_configs=4), data)
    run_study(job, data)
    pooled = tmp_path / job.pooled
    for file in pooled.iterdir():
        file.unlink()
    run_study(made_job(tmp_path, POOLED, "logistic", n_configs=4, seed=8), data)
    with pytest.raises(UsageError, match="pooled_winner of now"):
        run_study(job, data)


# --- stopped and killed --------------------------------------------------------------------------


@pytest.mark.parametrize("scope", [POOLED, "BRK.B"])
def test_stopped_after_every_step_it_ends_the_same(whole, tmp_path, data, scope):
    if scope != POOLED:
        run_study(made_job(tmp_path), data)
    job, steps = made_job(tmp_path, scope, pooled=scope != POOLED), 0
    while True:
        with Study.open(job, data) as study:
            if study.step() is None:
                break
            steps += 1
    assert steps == job.params.n_configs
    assert study_bytes(tmp_path, scope) == study_bytes(whole, scope)


def test_a_stopped_study_says_so_and_goes_on(whole, tmp_path, data):
    stop, seen = threading.Event(), []

    def watch(one: ConfigResult) -> None:
        seen.append(one.i)
        if len(seen) == 3:
            stop.set()

    found = run_study(made_job(tmp_path), data, stop=stop.is_set, watch=watch)
    assert (found.status, found.asked, seen) == ("stopped", 3, [0, 1, 2])
    found = run_study(made_job(tmp_path), data)
    assert (found.status, found.asked) == ("done", 11)
    assert study_bytes(tmp_path) == study_bytes(whole)
    assert run_study(made_job(tmp_path), data).asked == 0


def study(root: str, arrays: str) -> None:
    """Whoever calls it dies at a fault."""
    run_study(made_job(Path(root), "AAA", "logistic"), StudyData.load(Path(arrays)))


@pytest.mark.parametrize("point", ["mid_row", "after_row", "mid_line", "after_line"])
def test_killed_at_every_step_of_a_line_it_ends_the_same(tmp_path, data, point, forks):
    undisturbed, killed, arrays = tmp_path / "undisturbed", tmp_path / "killed", tmp_path / "arrays"
    arrays.mkdir()
    data.save(arrays)
    run_study(made_job(undisturbed, "AAA", "logistic"), data)
    assert forks.run("tests.training.test_study:study", killed, arrays, fault=f"{point}:kill,n=6") == -9
    found = run_study(made_job(killed, "AAA", "logistic"), data)
    assert found.status == "done"
    assert 0 < found.asked < 14
    assert bool(found.warnings) == (point != "after_line")
    assert study_bytes(killed, "AAA", "logistic") == study_bytes(undisturbed, "AAA", "logistic")
