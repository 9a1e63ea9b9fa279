"""Names, aliases, spaces and parameters of the families."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from raypipe.errors import DeveloperError, UsageError
from raypipe.models import catalog
from raypipe.models.catalog import model, models
from raypipe.models.model import distributions
from raypipe.models.space import Dim, choice, real, whole

ALIASES = {
    "xgb": "xgboost",
    "cb": "catboost",
    "cat": "catboost",
    "lgbm": "lightgbm",
    "lgb": "lightgbm",
    "rf": "random_forest",
    "et": "extra_trees",
    "lr": "logistic",
}
#: Section 7 of the plan: low, high, and the defaults over all symbols and for one.
SAFE = {
    "xgboost": {
        "max_depth": (2, 6, 3, 3),
        "eta": (0.01, 0.15, 0.05, 0.05),
        "min_leaf_rows": (20, 1000, 400, 80),
        "subsample": (0.5, 0.9, 0.7, 0.7),
        "colsample_bytree": (0.2, 0.8, 0.5, 0.5),
        "gamma": (0, 5, 0, 0),
        "alpha": (1e-3, 10, 0.01, 0.01),
        "lambda": (1, 100, 10, 10),
        "n_rounds": (30, 600, 150, 60),
    },
    "catboost": {
        "depth": (2, 6, 4, 4),
        "learning_rate": (0.01, 0.15, 0.05, 0.05),
        "l2_leaf_reg": (3, 100, 10, 10),
        "rsm": (0.2, 0.8, 0.5, 0.5),
        "subsample": (0.5, 0.9, 0.7, 0.7),
        "random_strength": (0, 10, 1, 1),
        "n_rounds": (30, 500, 150, 60),
    },
    "lightgbm": {
        "num_leaves": (3, 31, 7, 7),
        "learning_rate": (0.01, 0.15, 0.03, 0.03),
        "min_leaf_rows": (20, 1000, 200, 60),
        "feature_fraction": (0.2, 0.8, 0.5, 0.5),
        "bagging_fraction": (0.5, 0.9, 0.7, 0.7),
        "lambda_l1": (1e-3, 10, 1e-3, 1e-3),
        "lambda_l2": (1, 100, 10, 10),
        "n_rounds": (30, 600, 200, 100),
    },
    "random_forest": {
        "n_estimators": (100, 300, 200, 200),
        "max_depth": (3, 8, 6, 6),
        "min_leaf_rows": (20, 1000, 200, 20),
        "max_features": (0.2, 0.8, 0.5, 0.5),
    },
    "logistic": {"l2": (1e-4, 10, 0.02, 1)},
    "ridge": {"l2": (1e-4, 10, 0.02, 1)},
}
#: Drawn log-uniformly.
LOG = {"eta", "learning_rate", "min_leaf_rows", "alpha", "lambda", "l2_leaf_reg", "n_rounds", "num_leaves"}
LOG |= {"lambda_l1", "lambda_l2", "l2"}


@pytest.mark.parametrize("name", SAFE)
def test_safe_spaces_are_those_of_the_plan(name):
    space = models()[name].spaces["safe"]
    assert {key: (dim.low, dim.high, dim.pooled, dim.symbol) for key, dim in space.items()} == SAFE[name]
    assert {key for key, dim in space.items() if dim.log} == LOG & space.keys()


def test_wide_spaces_are_those_of_the_plan():
    ranges = {
        name: {key: dim.choices or (dim.low, dim.high) for key, dim in models()[name].spaces["wide"].items()}
        for name in ("xgboost", "catboost", "lightgbm", "random_forest", "extra_trees")
    }
    rounds = {"n_rounds": (50, 1000)}
    assert ranges == {
        "xgboost": {
            "max_depth": (3, 10),
            "eta": (0.01, 0.3),
            "min_child_weight": (1, 10),
            "subsample": (0.5, 1),
            "colsample_bytree": (0.5, 1),
            "gamma": (0, 10),
            "alpha": (0, 10),
            "lambda": (0, 10),
            **rounds,
        },
        "catboost": {
            "n_rounds": (100, 500),
            "depth": (4, 10),
            "learning_rate": (0.01, 0.3),
            "l2_leaf_reg": (1, 10),
            "border_count": (32, 255),
            "bagging_temperature": (0, 1),
            "random_strength": (0, 10),
        },
        "lightgbm": {
            "num_leaves": (10, 300),
            "learning_rate": (0.01, 0.3),
            "min_child_samples": (5, 100),
            "feature_fraction": (0.4, 1),
            "bagging_fraction": (0.4, 1),
            "bagging_freq": (1, 7),
            "reg_alpha": (0, 10),
            "reg_lambda": (0, 10),
            **rounds,
        },
        "random_forest": {
            "n_estimators": (50, 300),
            "max_depth": (3, 15),
            "min_samples_split": (2, 10),
            "min_samples_leaf": (1, 5),
            "max_features": ("sqrt", "log2"),
        },
        "extra_trees": {
            "n_estimators": (100, 700),
            "max_depth": (5, 15),
            "min_samples_split": (2, 20),
            "min_samples_leaf": (1, 10),
            "max_features": ("sqrt", "log2", 1.0),
        },
    }


@pytest.mark.parametrize("name", models())
def test_defaults_lie_in_their_space_and_are_parameters(name):
    one = models()[name]
    for space in ("safe", "wide"):
        made = distributions(one.spaces[space])
        for scope in ("pooled", "symbol"):
            config = one.default(space, scope)
            params, rounds = one.split(config)
            assert config.keys() == made.keys()
            assert all(made[key]._contains(made[key].to_internal_repr(value)) for key, value in config.items())
            assert (rounds > 0) is (one.rounds_key is not None)
            one.checked(params)
    assert one.defaults == {scope: one.default("safe", scope) for scope in ("pooled", "symbol")}
    assert one.checked({}) == one.checked(one.defaults["pooled"]), "parameters have other defaults than the space"


def test_drawn_configurations_are_parameters():
    import optuna

    for one in models().values():
        for space in one.spaces.values():
            study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
            for _ in range(5):
                params, _ = one.split(study.ask(distributions(space)).params)
                one.checked(params)


@pytest.mark.parametrize(("alias", "name"), ALIASES.items())
@pytest.mark.parametrize(("suffix", "space"), [("", None), ("-safe", "safe"), ("-wide", "wide")])
def test_aliases_and_suffixes(alias, name, suffix, space):
    assert model(alias + suffix) == (models()[name], space)
    assert model(name + suffix) == (models()[name], space)


@pytest.mark.parametrize("name", ["xgbost", "xgb-deep", "", "-safe", "XGB"])
def test_an_unknown_name_is_refused(name):
    with pytest.raises(UsageError, match="there is no model family"):
        model(name)


def test_a_near_name_is_proposed():
    with pytest.raises(UsageError, match="did you mean xgboost"):
        model("xgbost")


def test_two_families_of_one_name_are_a_bug(monkeypatch: pytest.MonkeyPatch):
    one = models()["xgboost"]
    twin = replace(one, name="other")
    with pytest.raises(DeveloperError, match="'xgb': xgboost and other"):
        catalog._by_any_name({"xgboost": one, "other": twin})
    monkeypatch.setattr(catalog, "_declared", lambda: [one, twin])
    catalog.models.cache_clear()
    with pytest.raises(DeveloperError):
        models()
    monkeypatch.undo()
    catalog.models.cache_clear()


@pytest.mark.parametrize(
    ("name", "params", "said"),
    [
        ("xgboost", {"max_dept": 3}, "max_dept"),
        ("xgboost", {"eta": 0}, "eta"),
        ("lightgbm", {"feature_fraction": 1.5}, "feature_fraction"),
        ("catboost", {"depth": 40}, "depth"),
        ("logistic", {"l2": float("nan")}, "l2"),
        ("random_forest", {"max_features": "some"}, "max_features"),
    ],
)
def test_wrong_parameters_are_named(name, params, said):
    with pytest.raises(UsageError, match=said) as refused:
        models()[name].checked(params)
    assert name in str(refused.value)


def test_what_a_family_cannot_do_is_refused():
    x, y = np.array([[0.0], [1.0]], np.float32), np.array([0.0, 1.0], np.float32)
    with pytest.raises(UsageError, match="cannot be fitted for class"):
        models()["ols"].fit(x, y, task="class", params={}, seed=0)
    with pytest.raises(UsageError, match="0 rounds"):
        models()["xgboost"].fit(x, y, task="class", params={}, rounds=0, seed=0)
    with pytest.raises(DeveloperError, match="has no rounds"):
        models()["ridge"].best_rounds(x, y, x, y, task="regression", params={}, seed=0)


@pytest.mark.parametrize(
    "make",
    [
        lambda: whole(2, 6, 7),
        lambda: real(0, 1, 0.5, log=True),
        lambda: Dim("choice", "a", "c", choices=("a", "b")),
        lambda: Dim("int", 2.5, 2, 1, 3),
    ],
)
def test_an_impossible_dimension_is_a_bug(make):
    with pytest.raises(DeveloperError):
        make()


def test_a_dimension_knows_what_lies_in_it():
    assert 1 in real(0, 1, 0.5)
    assert 1.5 not in whole(1, 2, 1)
    assert "sqrt" in choice("sqrt", 1.0)
    assert 1 not in choice("sqrt", 1.0)
