"""The page of a sweep: verdict first, nothing hostile gets through, and what is not there yet is left out."""

from __future__ import annotations

import re

import pytest

from raypipe.report.sweep import SweepFacts, render_sweep

HOSTILE = "</svg><script>alert(1)</script><img src=x onerror=alert(2)>&\"'"


def configuration(i: int, *, algorithm="lightgbm", scope="_pooled", state="complete", value: float | None = 0.55):
    return {
        "algorithm": algorithm,
        "scope": scope,
        "i": i,
        "source": "tpe",
        "state": state,
        "value": value,
        "value_se": 0.01,
        "fold_value": [0.5, None, 0.6],
        "fold_rounds": [10, None, 20],
        "params_json": "{}",
        "seconds": 1.0,
        "cpu_s": 1.0,
    }


@pytest.fixture
def configurations():
    pooled = [configuration(i, value=0.5 + i / 100) for i in range(8)]
    lost = [configuration(8, state="pruned", value=0.4), configuration(9, state="failed", value=None)]
    return [*pooled, *lost, configuration(0, scope="BRK.B", value=0.61)]


def run(**more):
    return {"run_id": "0123456789ab", "target": "direction_1d", "code_version": "0.1.0", "studies": [], **more}


def holdout(*gates):
    return {
        "start": "2023-01-03",
        "end": "2023-12-29",
        "n_rows": 11_500,
        "n_symbols": 46,
        "looks": 1,
        "gates": [
            {"name": name, "value": value, "threshold": 0.6, "passed": passed, "reason": None}
            for name, value, passed in gates
        ],
    }


def test_a_refusal_is_the_first_thing_said(configurations):
    page = render_sweep(SweepFacts(run(), configurations, holdout=holdout(("auc", 0.5, False), ("pbo", None, False))))
    body = page.partition("<body>")[2]
    assert body.index("Refused: auc, pbo") < body.index("Gates") < body.index("Search")


def test_a_passed_hold_out_is_said_as_such(configurations):
    page = render_sweep(SweepFacts(run(), configurations, holdout=holdout(("auc", 0.7, True))))
    assert "All gates passed" in page


def test_before_the_stack_there_is_no_section_of_it(configurations):
    page = render_sweep(SweepFacts(run(), configurations))
    assert "Searched, and not yet judged" in page
    assert not re.search(r"<h2>(Stack|Gates|Skill or luck)</h2>", page)


def test_a_search_that_was_stopped_has_not_ended(configurations):
    assert "has not ended" in render_sweep(SweepFacts(run(status="stopped"), configurations))


@pytest.mark.parametrize(("target", "chance"), [("direction_1d", 0.5), ("forward_return_5d", 0.0), ("a_label", 0.5)])
def test_chance_is_half_of_pairs_or_no_correlation(target, chance):
    rows = [configuration(i, value=0.3) for i in range(11)]
    page = render_sweep(SweepFacts(run(target=target), rows))
    chart = page.partition("<h2>Search</h2>")[2].partition("</svg>")[0]
    assert (">0.5<" in chart) == (chance == 0.5)


def test_failed_configurations_are_counted_and_not_drawn(configurations):
    page = render_sweep(SweepFacts(run(), configurations))
    assert page.count('class="dot"') >= 8
    assert re.search(r"<b>1</b><span>failed</span>", page)


def hostile_search() -> str:
    """A page whose every text is hostile."""
    rows = [configuration(i, algorithm=HOSTILE, scope=scope) for i in range(2) for scope in ("_pooled", HOSTILE)]
    stack = {"strategy": HOSTILE, "fold_id": None, "auc": 0.6, "auc_se": None, "diff_vs_mean": None, "picked": True}
    luck = {"algorithm": HOSTILE, "scope": "_pooled", "null_mean": 0.5, "null_q95": 0.52, "observed": 0.55}
    gates = holdout((HOSTILE, 0.5, False))
    best = {HOSTILE: {"best_auc": 0.5, "hyperparameters": {"_pooled": {HOSTILE: HOSTILE}}}}
    studies = [{"algorithm": HOSTILE, "scope": HOSTILE, "status": "failed", "reason": HOSTILE}]
    facts = SweepFacts(run(studies=studies, command=HOSTILE, target=HOSTILE), rows, best, [stack], [luck], gates)
    return render_sweep(facts)


def test_nothing_hostile_gets_through():
    page = hostile_search()
    assert "<script" not in page
    assert "<img" not in page
    assert page.count("</svg>") == page.count("<svg")


def test_a_large_sweep_is_a_small_page():
    scopes = ["_pooled", *(f"S{i:03d}" for i in range(46))]
    algorithms = ("catboost", "lightgbm", "xgboost")
    rows = [configuration(i, algorithm=name, scope=scope) for name in algorithms for scope in scopes for i in range(50)]
    assert len(render_sweep(SweepFacts(run(), rows))) < 300_000
