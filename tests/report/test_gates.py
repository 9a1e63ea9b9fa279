"""Gates: what passes, what never does, and that no threshold or missing value helps."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.report.gates import GATES, best_of_n_value, decide, decide_again, thresholds_of, verdict_of
from raypipe.schema.modeling import HoldoutParams

GOOD = {
    "auc": 0.66,
    "auc_lower": 0.61,
    "sharpe": 0.8,
    "dsr": 0.97,
    "pbo": 0.1,
    "best_of_n": {"winners": 3, "p_values": {"xgboost": 0.01, "catboost": 0.2, "lightgbm": 0.03}},
}
THRESHOLDS = thresholds_of(HoldoutParams())
UNIT = st.floats(0, 1)
#: Gates that pass below their threshold.
BELOW = {"pbo", "best_of_n"}
#: JSON can say it, and no float can hold it.
HUGE = 10**400


def _short(value):
    return repr(value)[:5]


@st.composite
def metrics(draw):
    found = {name: draw(st.none() | UNIT | st.floats()) for name in GATES if name != "best_of_n"}
    p_values = draw(st.dictionaries(st.sampled_from("abc"), st.none() | UNIT))
    return {**found, "best_of_n": {"winners": draw(st.integers(0, 3)), "p_values": p_values}}


def test_good_values_pass():
    gates = decide(GOOD, THRESHOLDS)
    assert [gate.name for gate in gates] == list(GATES)
    assert all(gate.passed for gate in gates)
    assert verdict_of(gates) == "pass"


@pytest.mark.parametrize(
    ("name", "edge", "passes"),
    [
        ("auc", 0.6, True),
        ("auc_lower", 0.5, False),
        ("sharpe", 0.0, False),
        ("dsr", 0.95, True),
        ("pbo", 0.5, False),
    ],
)
def test_a_value_at_its_threshold(name, edge, passes):
    gates = {gate.name: gate for gate in decide({**GOOD, name: edge}, THRESHOLDS)}
    assert gates[name].passed is passes
    assert all(gate.passed for other, gate in gates.items() if other != name)
    assert verdict_of(tuple(gates.values())) == ("pass" if passes else "fail")


@given(metrics(), st.sampled_from(list(GATES)), st.floats(-2, 2), st.floats(0, 2))
def test_a_stricter_threshold_never_turns_fail_into_pass(values, name, threshold, more):
    stricter = threshold - more if name in BELOW else threshold + more
    loose = {gate.name: gate.passed for gate in decide(values, {**THRESHOLDS, name: threshold})}
    strict = {gate.name: gate.passed for gate in decide(values, {**THRESHOLDS, name: stricter})}
    assert strict[name] <= loose[name]
    assert {k: v for k, v in strict.items() if k != name} == {k: v for k, v in loose.items() if k != name}


@given(metrics(), st.sampled_from(list(GATES)))
def test_removing_a_metric_fails_its_gate(values, name):
    kept = {key: value for key, value in values.items() if key != name}
    gate = next(gate for gate in decide(kept, THRESHOLDS) if gate.name == name)
    assert not gate.passed
    assert gate.value is None
    assert gate.reason
    assert verdict_of(decide(kept, THRESHOLDS)) == "fail"


@pytest.mark.parametrize("name", GATES)
@pytest.mark.parametrize(
    "value", [None, math.nan, math.inf, -math.inf, HUGE, -HUGE, "0.9", True, [0.9], {}], ids=_short
)
def test_what_is_no_number_fails_with_a_reason(name, value):
    gates = {gate.name: gate for gate in decide({**GOOD, name: value}, THRESHOLDS, {name: "too few sessions"})}
    assert not gates[name].passed
    assert gates[name].reason == "too few sessions"
    assert all(gate.passed for other, gate in gates.items() if other != name)


@pytest.mark.parametrize("threshold", [None, math.nan, HUGE, "0"], ids=_short)
def test_a_threshold_that_is_none_fails(threshold):
    gate = next(gate for gate in decide(GOOD, {**THRESHOLDS, "sharpe": threshold}) if gate.name == "sharpe")
    assert not gate.passed
    assert "no threshold" in gate.reason


def test_a_verdict_needs_every_gate():
    gates = decide(GOOD, THRESHOLDS)
    assert verdict_of(gates[1:]) == "fail"
    assert verdict_of(()) == "fail"


def test_p_values_are_counted_before_they_are_compared():
    three = {"a": 0.02, "b": 0.9, "c": 0.5}
    assert best_of_n_value({"winners": 3, "p_values": three}) == pytest.approx(0.06)
    assert best_of_n_value({"winners": 1, "p_values": {"a": 0.02}}) == 0.02
    assert best_of_n_value({"winners": 2, "p_values": {"a": 0.8, "b": 0.9}}) == 1.0
    assert best_of_n_value({"winners": 3, "p_values": {"a": 0.02}}) is None  # the others are not told
    assert best_of_n_value({"winners": 2, "p_values": {"a": 0.02, "b": None}}) is None
    assert best_of_n_value({"winners": 0, "p_values": {}}) is None
    assert best_of_n_value({"winners": 1, "p_values": {"a": HUGE}}) is None
    assert best_of_n_value(0.01) is None


# --- from what is stored -------------------------------------------------------------------------


def stored(values=GOOD, **thresholds):
    gates = decide(values, {**THRESHOLDS, **thresholds}, {"pbo": "one candidate only"})
    document = {**values, "gates": [gate.to_dict() for gate in gates], "verdict": verdict_of(gates)}
    return json.loads(json.dumps(document))


def test_a_stored_table_is_made_again():
    for document in (stored(), stored({**GOOD, "pbo": None}), stored(auc=0.7)):
        again = decide_again(document)
        assert [gate.to_dict() for gate in again] == document["gates"]
        assert verdict_of(again) == document["verdict"]


def test_what_a_document_claims_is_not_believed():
    document = stored({**GOOD, "auc": 0.5})
    for row in document["gates"]:
        row.update(passed=True, value=0.99)
    document["verdict"] = "pass"
    assert [gate.name for gate in decide_again(document) if not gate.passed] == ["auc"]


@pytest.mark.parametrize("gates", [None, [], "pass", [None], [{"name": "auc"}]])
def test_a_document_without_thresholds_fails(gates):
    document = {**stored(), "gates": gates}
    assert verdict_of(decide_again(document)) == "fail"
    del document["gates"]
    assert verdict_of(decide_again(document)) == "fail"


def test_dropping_a_row_fails():
    for row in range(len(GATES)):
        document = stored()
        del document["gates"][row]
        assert [gate.name for gate in decide_again(document) if not gate.passed] == [list(GATES)[row]]
