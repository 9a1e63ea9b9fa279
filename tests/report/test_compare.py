"""The page of two runs: verdict first, harmless whatever the runs hold, small whatever they did."""

from __future__ import annotations

from typing import Any

import pytest

from raypipe.report.compare import render_comparison, verdict_of
from tests.report.samples import with_text
from tests.report.test_ops import HOSTILE, check_harmless


def found(**changes: Any) -> dict[str, Any]:
    """Two runs with a difference of every kind."""
    run = {"run_id": "a", "kind": "tables", "status": "done", "exit_code": 0, "executor": "serial", "workers": 1}
    run |= {"started_ns": 1_762_128_000_000_000_000, "seconds": 2.5, "code_version": "1"}
    partitions: dict[str, Any] = {"only": [0, 1], "both": 2, "same_bytes": 1, "changed_n": 1, "resized_n": 1}
    partitions["changed"] = [{"table": "silver/daily", "partitions": 1, "resized": 1, "first": "a", "last": "a"}]
    partitions["resized"] = [{"table": "silver/daily", "partition": "2025-01-02", "rows": [10, 11]}]
    moved = {"median_before": 1.0, "median_after": None, "nulls_before": 0.0, "nulls_after": 1.0}
    stage = {"partitions": [2, 2], "cpu_seconds_each": [1.0, 2.0], "ratio": 2.0, "peak_rss_bytes": [5, 6]}
    plain = {
        "runs": [run, {**run, "run_id": "b", "seconds": None, "started_ns": None}],
        "tables": [{"table": "silver/daily", "built": [2, None], "rows": [20, None]}],
        "partitions": partitions,
        "stages": [{"stage": "daily", **stage}, {"stage": "weekly", **stage, "ratio": None}],
        "config": [{"key": "daily.adjust", "values": ["splits", None]}],
        "code": [{"key": "raypipe", "values": ["1", "2"]}],
        "machine": [{"key": "cpus", "values": [2, 4]}],
        "columns": [{"column": "gold/x.y", "state": ["varies", "null"], "null_share": [0.0, 1.0]}],
        "features": [{"table": "gold/x", "feature": "y", "distance": None, **moved}],
        "quality": {"new": ["failed: few rows"], "gone": ["warning: odd"]},
        "gates": [{"gate": "auc", "value": [0.66, 0.5], "passed": [True, False]}],
    }
    return plain | changes


SAME = {name: [] for name in ("tables", "stages", "config", "code", "machine", "columns", "features", "gates")} | {
    "partitions": {
        "only": [0, 0],
        "both": 3,
        "same_bytes": 3,
        "changed": [],
        "changed_n": 0,
        "resized": [],
        "resized_n": 0,
    },
    "quality": {"new": [], "gone": []},
}


@pytest.mark.parametrize(
    ("changes", "grade", "said"),
    [
        (SAME, "good", "3 partitions built by both, all of them equal to the last bit."),
        (SAME | {"code": [{"key": "raypipe", "values": ["1", "2"]}]}, "good", "equal to the last bit."),
        (SAME | {"config": [{"key": "k", "values": [1, 2]}]}, "warn", "; 1 configuration value changed."),
        (SAME | {"quality": {"new": ["x"], "gone": []}}, "bad", "last bit."),
        ({}, "bad", "2 partitions built by both, 1 of them differ, 1 by the second alone; 1 configuration value, "),
        (
            {
                "gates": [{"gate": "auc", "value": [0.5, 0.7], "passed": [False, True]}],
                "quality": {"new": [], "gone": []},
            },
            "warn",
            "1 gate",
        ),
    ],
)
def test_the_verdict_comes_first(changes: dict[str, Any], grade: str, said: str) -> None:
    assert verdict_of(found(**changes))[0] == grade
    text = render_comparison(found(**changes))
    assert said in text
    assert text.index(said) < text.index("<h2>")


def test_every_difference_is_shown() -> None:
    text = render_comparison(found())
    for said in ("2025-01-02", "silver/daily", "daily.adjust", "cpus", "gold/x.y", "failed: few rows", "0.66", "2.00"):
        assert said in text


def test_hostile_text_in_every_field_stays_text() -> None:
    text = render_comparison(with_text(found(), HOSTILE))
    check_harmless(text)
    assert text.count("&lt;script&gt;") > 15


def test_very_many_differences_are_counted_not_listed() -> None:
    plain = found()
    many = {name: plain[name] * 5_000 for name in ("config", "columns", "features")}
    many["config"] = [{"key": "k", "values": ["x" * 10_000, 1]}] * 500
    text = render_comparison(plain | many | {"quality": {"new": ["y" * 5_000] * 500, "gone": []}})
    assert "4,900 more" in text or "4900 more" in text
    assert len(text) < 300_000
