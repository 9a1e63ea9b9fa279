"""The verifier passes what is right, and finds each mistake that is planted."""

from __future__ import annotations

import ast
import datetime as dt
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings

from raypipe.calendar import calendar
from raypipe.dataset import blocks, splits, splits_file, verify
from raypipe.dataset.splits import make_splits
from raypipe.dataset.verify import verify_splits
from raypipe.errors import SplitsError
from raypipe.schema.modeling import CvParams
from tests.dataset.panels import SESSIONS, panel_and_target
from tests.dataset.test_splits import PANELS, SCHEMES, SMALL, made

PANEL, TARGET = panel_and_target(sessions=200, horizon=4)
HELD = PANEL.sessions[-40].item()
CASES = {
    "walk_forward": CvParams(n_folds=4, **SMALL),
    "purged_kfold": CvParams(scheme="purged_kfold", n_folds=4, **SMALL),
    "cpcv": CvParams(scheme="cpcv", n_groups=5, **SMALL),
}
DATES = PANEL.sessions.astype(str).tolist()


def document(scheme: str = "walk_forward", **limits) -> dict:
    return json.loads(make_splits(PANEL, TARGET, CASES[scheme], holdout_start=HELD, **limits).to_json())


def verified(raw: dict, scheme: str = "walk_forward", panel=PANEL, target=TARGET) -> None:
    verify_splits(json.dumps(raw).encode(), panel, target, calendar(), CASES[scheme])


def refused(raw: dict, rule: str, match: str = "rule V", scheme: str = "walk_forward", **inputs) -> SplitsError:
    with pytest.raises(SplitsError, match=match) as caught:
        verified(raw, scheme, **inputs)
    assert caught.value.values["rule"] == rule
    assert caught.value.exit_code == 3
    return caught.value


def later(date: str, sessions: int) -> str:
    return DATES[DATES.index(date) + sessions]


@settings(max_examples=80, deadline=None)
@given(made_of=PANELS, cv=SCHEMES)
def test_what_is_made_is_right(made_of, cv):
    panel, target = panel_and_target(**made_of)
    verify_splits(made(panel, target, cv).to_json(), panel, target, calendar(), cv)
    held = panel.sessions[-35].item()
    verify_splits(made(panel, target, cv, holdout_start=held).to_json(), panel, target, calendar(), cv)


@settings(max_examples=60, deadline=None)
@given(made_of=PANELS, cv=SCHEMES)
def test_any_purged_session_put_back_is_found(made_of, cv):
    panel, target = panel_and_target(**made_of)
    raw = json.loads(made(panel, target, cv).to_json())
    dates = panel.sessions.astype(str).tolist()
    found = [(fold, part) for fold in raw["folds"] for part in fold["purged"]]
    assume(found)
    fold, part = found[0]
    back = dates[dates.index(part["start"])]
    kept = [{"start": later_of(dates, back, 1), "end": part["end"]}] if back != part["end"] else []
    fold["purged"] = kept + fold["purged"][1:]
    fold["train"] = sorted([*fold["train"], {"start": back, "end": back}], key=lambda one: one["start"])
    with pytest.raises(SplitsError) as caught:
        verify_splits(json.dumps(raw).encode(), panel, target, calendar(), cv)
    assert caught.value.values["rule"] == "V4"
    assert caught.value.values["session"] == back
    assert caught.value.values["symbol"] in panel.symbols


def later_of(dates: list[str], date: str, sessions: int) -> str:
    return dates[dates.index(date) + sessions]


# --- V1, V2 ------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [b"", b"[]", b"\xff", b"[" * 100_000, b"{}"])
def test_v1_no_such_file(text):
    with pytest.raises(SplitsError, match="rule V1"):
        verify_splits(text, PANEL, TARGET, calendar())


@pytest.mark.parametrize(
    "change",
    [
        lambda raw: raw.update(extra=1),
        lambda raw: raw.pop("window"),
        lambda raw: raw.update(schema=2),
        lambda raw: raw.update(calendar="CME"),
        lambda raw: raw.update(embargo_sessions=-1),
        lambda raw: raw.update(embargo_sessions=True),
        lambda raw: raw.update(scheme="random"),
        lambda raw: raw.update(n_folds=3),
        lambda raw: raw.update(folds=[], n_folds=0),
        lambda raw: raw["folds"][1].update(id=7),
        lambda raw: raw["folds"][1].update(extra=7),
        lambda raw: raw["folds"][1]["test"][0].update(start="2019-01-01"),
        lambda raw: raw["folds"][1]["test"][0].update(start="yesterday"),
        lambda raw: raw["folds"][1]["test"][0].update(start=raw["folds"][2]["test"][0]["start"]),
        lambda raw: raw["folds"][1].update(train=raw["folds"][1]["train"] * 2),
        lambda raw: raw["folds"][1].update(train="all"),
        lambda raw: raw["cv"].update(days=3),
    ],
)
def test_v1_another_schema(change):
    raw = document()
    change(raw)
    refused(raw, "V1")


def test_v1_paths_of_another_type():
    raw = document("cpcv")
    raw["paths"][0][0] = "1"
    refused(raw, "V1", scheme="cpcv")


def test_v2_other_data():
    raw = document()
    end = TARGET.end_ns.copy()
    end[np.flatnonzero(TARGET.known)[3]] += 1
    refused(raw, "V2", "other rows", target=replace(TARGET, end_ns=end))
    refused(raw, "V2", "made for direction_5d", target=replace(TARGET, name="direction_1d"))
    refused(raw, "V2", "made for direction_5d", target=replace(TARGET, horizon=5))
    refused(raw, "V2", "other symbols", panel=replace(PANEL, symbols=("S00", "S01", "S02", "T")))
    longer = np.array([s.date for s in SESSIONS[:201]], "datetime64[D]")
    refused(raw, "V2", "another calendar", panel=replace(PANEL, sessions=longer))


# --- V3 ----------------------------------------------------------------------------------------


def test_v3_a_session_in_two_parts():
    raw = document()
    fold = raw["folds"][2]
    fold["embargoed"] = [{"start": fold["purged"][0]["start"], "end": fold["purged"][0]["start"]}]
    error = refused(raw, "V3", "in two parts")
    assert (error.values["fold"], error.values["session"]) == (3, fold["purged"][0]["start"])


def test_v3_tests_that_leave_sessions_out():
    raw = document()
    raw["folds"][1]["test"][0]["start"] = later(raw["folds"][1]["test"][0]["start"], 1)
    refused(raw, "V3", "leave sessions out")
    raw = document()
    raw["folds"], raw["n_folds"] = raw["folds"][:-1], 3
    refused(raw, "V3", "are not tested")
    raw = document("purged_kfold")
    raw["folds"][0]["test"][0]["start"] = later(raw["folds"][0]["test"][0]["start"], 1)
    refused(raw, "V3", scheme="purged_kfold")


def test_v3_combinations():
    raw = document("cpcv")
    raw["folds"][3] = {**raw["folds"][2], "id": 4}
    refused(raw, "V3", scheme="cpcv")
    for change in (lambda p: p.pop(), lambda p: p[0].__setitem__(0, 9), lambda p: p.append(p[0]), lambda p: p[0].pop()):
        raw = document("cpcv")
        change(raw["paths"])
        refused(raw, "V3", "paths", scheme="cpcv")


# --- V4 to V7 ----------------------------------------------------------------------------------


def moved(fold: dict, part: str, session: str) -> None:
    """Train on a session that was left out."""
    fold["train"] = sorted([*fold["train"], {"start": session, "end": session}], key=lambda one: one["start"])
    kept = []
    for one in fold[part]:
        if one["start"] <= session <= one["end"]:
            before, after = DATES.index(session) - 1, DATES.index(session) + 1
            kept += [{"start": one["start"], "end": DATES[before]}] if one["start"] < session else []
            kept += [{"start": DATES[after], "end": one["end"]}] if session < one["end"] else []
        else:
            kept.append(one)
    fold[part] = kept


@pytest.mark.parametrize("scheme", CASES)
def test_v4_each_purged_session(scheme):
    for number in range(len(document(scheme)["folds"])):
        spans = document(scheme)["folds"][number]["purged"]
        for session in (s for one in spans for s in DATES[DATES.index(one["start"]) : DATES.index(one["end"]) + 1]):
            raw = document(scheme)
            moved(raw["folds"][number], "purged", session)
            error = refused(raw, "V4", scheme=scheme)
            assert (error.values["fold"], error.values["session"]) == (number + 1, session)


@pytest.mark.parametrize("scheme", CASES)
def test_v5_each_embargoed_session(scheme):
    for number in range(len(document(scheme)["folds"])):
        spans = document(scheme)["folds"][number]["embargoed"]
        for session in (s for one in spans for s in DATES[DATES.index(one["start"]) : DATES.index(one["end"]) + 1]):
            raw = document(scheme)
            moved(raw["folds"][number], "embargoed", session)
            error = refused(raw, "V5", scheme=scheme)
            assert (error.values["fold"], error.values["session"]) == (number + 1, session)


def test_v5_an_embargo_on_the_wrong_side():
    raw = document("purged_kfold")
    fold = raw["folds"][1]
    after = fold["embargoed"][-1]
    fold["embargoed"] = [one for one in fold["embargoed"] if one != after]
    fold["train"] = sorted([*fold["train"], after], key=lambda one: one["start"])
    assert refused(raw, "V5", scheme="purged_kfold").values["session"] == after["start"]


def test_v6_training_on_the_future():
    raw = document("purged_kfold")
    raw["scheme"] = "walk_forward"
    assert refused(raw, "V6").values["fold"] == 1


def test_v7_a_label_that_reaches_into_the_hold_out():
    raw = document()
    raw["holdout"]["start"] = later(raw["holdout"]["start"], -1)
    error = refused(raw, "V7")
    assert error.values["fold"] == 4
    assert error.values["session"] == raw["cv"]["end"]


# --- V8, V9 ------------------------------------------------------------------------------------


def test_v8_too_few_rows_or_one_class():
    data = json.dumps(document()).encode()
    with pytest.raises(SplitsError, match=r"rule V8, fold 1: the train part has 80 rows, it needs 200") as caught:
        verify_splits(data, PANEL, TARGET, calendar(), CvParams())
    assert caught.value.values["rule"] == "V8"
    first = document()["folds"][0]["test"][0]
    inside = (PANEL.sessions >= np.datetime64(first["start"])) & (PANEL.sessions <= np.datetime64(first["end"]))
    y = np.where(inside[PANEL.session_id], 1.0, TARGET.y).astype(np.float32)
    refused(document(), "V8", "one class", target=replace(TARGET, y=y))


@pytest.mark.parametrize(
    "key", ["n_train_rows", "n_test_rows", "n_train_sessions", "n_test_sessions", "base_rate_train", "base_rate_test"]
)
def test_v9_what_is_recorded(key):
    raw = document()
    raw["folds"][1][key] += 1
    assert refused(raw, "V9", key).values["fold"] == 2


def test_v9_a_session_that_is_in_no_part_changes_the_counts():
    raw = document()
    raw["folds"][0]["train"][0]["start"] = later(raw["folds"][0]["train"][0]["start"], 3)
    refused(raw, "V9")


# --- independence ------------------------------------------------------------------------------


def names_of(module) -> set[str]:
    tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
    return {
        f"{node.module}.{alias.name}" if isinstance(node, ast.ImportFrom) else alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }


def test_the_verifier_shares_no_code_with_the_splitter():
    shared = {name for name in names_of(verify) if name.startswith("raypipe.")}
    assert shared == {
        "raypipe.calendar.Calendar",
        "raypipe.dataset.matrix.Panel",
        "raypipe.dataset.matrix.Target",
        "raypipe.errors.SplitsError",
        "raypipe.schema.modeling.CvParams",
    }
    for module in (splits, blocks, splits_file):
        assert not [name for name in names_of(module) if "verify" in name]


def test_regression_needs_no_classes():
    panel, target = panel_and_target(sessions=200, horizon=4, kind="regression")
    cv = CASES["walk_forward"]
    verify_splits(make_splits(panel, target, cv).to_json(), panel, target, calendar(), cv)
    assert dt.date.fromisoformat(document()["holdout"]["start"]) == HELD
