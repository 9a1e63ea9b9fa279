"""The page of one sweep: verdict and gates first, then how the search went, what won, and what luck would have shown.

It reads what the sweep, the stack and the hold-out left in ``runs/{run_id}/``; what is not there yet is left out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from statistics import mean
from typing import Any

from raypipe.report.charts import Interval, Series, interval_chart, scatter_chart
from raypipe.report.page import render_page
from raypipe.schema.targets import TARGETS

__all__ = ["SweepFacts", "render_sweep"]

POOLED = "_pooled"
Row = Mapping[str, Any]
#: What is seen without skill: of an AUC, and of a rank correlation.
_CHANCE, _CHANCE_IC = 0.5, 0.0
_SHOWN_FAILURES = 30
_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class SweepFacts:
    """What a sweep left behind.

    Attributes
    ----------
    run
        ``run.json`` of the sweep.
    configurations
        Rows of ``configurations.parquet``.
    best
        ``best_{algorithm}.json`` by algorithm.
    stack, multiplicity
        Rows of ``stack_scores.parquet`` and ``multiplicity.parquet``; empty before the stack.
    holdout
        ``holdout_metrics.json``; None before the hold-out.
    """

    run: Row
    configurations: Sequence[Row]
    best: Mapping[str, Row] = field(default_factory=dict)
    stack: Sequence[Row] = ()
    multiplicity: Sequence[Row] = ()
    holdout: Row | None = None


def render_sweep(facts: SweepFacts) -> str:
    """Make the page.

    Returns
    -------
    One HTML document: self-contained, every text escaped, no script.
    """
    scored = [row for row in facts.configurations if row["value"] is not None]
    pooled = [row for row in scored if row["scope"] == POOLED]
    studies, chance = list(facts.run.get("studies", ())), _chance(facts.run)
    return render_page(
        "sweep.html.j2",
        title=f"raypipe sweep {facts.run['run_id']}",
        run=facts.run,
        verdict=_verdict(facts),
        tiles=_tiles(facts.configurations, studies),
        holdout=facts.holdout,
        histories=[(name, _history(name, rows, chance)) for name, rows in _by(pooled, "algorithm").items()],
        folds=_folds(pooled, chance),
        luck=_luck(facts.multiplicity, chance),
        stack=_stack(facts.stack),
        strategies=sorted((row for row in facts.stack if row["fold_id"] is None), key=_best_first),
        symbols=_symbols(scored),
        winners=[(name, found, _winner_params(found)) for name, found in sorted(facts.best.items())],
        failures=[row for row in studies if row.get("status") in ("failed", "skipped")][:_SHOWN_FAILURES],
    )


def _verdict(facts: SweepFacts) -> tuple[str, str]:
    """A word for the style sheet and a sentence for people."""
    if facts.holdout is not None:
        failed = [gate["name"] for gate in facts.holdout["gates"] if not gate["passed"]]
        if not failed:
            return "good", "All gates passed on sessions that nothing had seen."
        return "bad", f"Refused: {', '.join(failed)} did not pass on the hold-out."
    if facts.run.get("status") in ("running", "stopped"):
        return "warn", "This sweep has not ended. The same command goes on where it is."
    broken = sum(row.get("status") == "failed" for row in facts.run.get("studies", ()))
    if broken:
        return "bad", f"{broken} studies failed; the others stand."
    return "warn", "Searched, and not yet judged: `raypipe stack`, then `raypipe holdout`."


def _chance(run: Row) -> float:
    """Numbers are scored by rank correlation, classes and labels of events by AUC."""
    target = TARGETS.get(run.get("target", ""))
    return _CHANCE_IC if target is not None and target.kind == "regression" else _CHANCE


def _tiles(configurations: Sequence[Row], studies: Sequence[Row]) -> list[tuple[str, str]]:
    states = [row["state"] for row in configurations]
    seconds = sum(row["cpu_s"] or 0.0 for row in configurations)
    return [
        (f"{len(studies) or len({(r['algorithm'], r['scope']) for r in configurations}):,}", "studies"),
        (f"{len(states):,}", "configurations"),
        (f"{states.count('pruned'):,}", "stopped early"),
        (f"{states.count('failed'):,}", "failed"),
        (f"{seconds:,.{0 if seconds >= _SECONDS else 1}f} s", "CPU in fits"),
    ]


def _by(rows: Iterable[Row], key: str) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        found[row[key]].append(row)
    return dict(sorted(found.items()))


def _history(name: str, rows: Sequence[Row], chance: float) -> str:
    """Every pooled configuration by number, and the best complete one so far."""
    ordered = sorted(rows, key=lambda row: row["i"])
    dots = {state: tuple((r["i"], r["value"]) for r in ordered if r["state"] == state) for state in _DOTS}
    complete = [row for row in ordered if row["state"] == "complete"]
    best = accumulate((row["value"] for row in complete), max)
    line = Series(tuple(zip((row["i"] for row in complete), best, strict=True)), line=True)
    series = [Series(points, _DOTS[state]) for state, points in dots.items()]
    return scatter_chart(f"{name}: search", [line, *series], x="configuration", y="objective", mark=chance)


_DOTS = {"complete": "dot", "pruned": "faint"}


def _folds(pooled: Sequence[Row], chance: float) -> str:
    """Scores of the pooled winners, fold by fold, with their standard error around the mean."""
    rows = []
    for name, group in _by((row for row in pooled if row["state"] == "complete"), "algorithm").items():
        best = max(group, key=lambda row: (row["value"], -row["i"]))
        values = [value for value in best["fold_value"] if value is not None]
        error = best["value_se"] or 0.0
        middle = mean(values)
        rows.append(Interval(name, middle - error, middle + error, tuple(values), "in a fold"))
    return interval_chart("folds of the pooled winners", rows, x=_score(chance), mark=chance) if rows else ""


def _luck(multiplicity: Sequence[Row], chance: float) -> str:
    """The best of N against the best of N without skill: mean to 95 % point of the null, and what was observed."""
    rows = [
        Interval(row["algorithm"], row["null_mean"], row["null_q95"], (row["observed"],), "seen")
        for row in multiplicity
        if row["scope"] == POOLED
    ]
    return interval_chart("best of N", rows, x=_score(chance), mark=chance) if rows else ""


def _stack(stack: Sequence[Row]) -> str:
    whole = [row for row in stack if row["fold_id"] is None and row["auc"] is not None]
    rows = [
        Interval(row["strategy"], row["auc"] - (row["auc_se"] or 0), row["auc"] + (row["auc_se"] or 0), (row["auc"],))
        for row in sorted(whole, key=_best_first)
    ]
    return interval_chart("strategies and bases", rows, x="AUC", mark=_CHANCE) if rows else ""


def _best_first(row: Row) -> tuple[float, str]:
    return (1.0 if row["auc"] is None else -row["auc"], row["strategy"])


def _score(chance: float) -> str:
    """What is measured where chance has this value."""
    return "AUC" if chance == _CHANCE else "rank correlation"


def _symbols(scored: Sequence[Row]) -> list[tuple[str, str, float, int]]:
    """Per symbol its best complete configuration: symbol, algorithm, objective, configurations; the best first."""
    own = [row for row in scored if row["scope"] != POOLED and row["state"] == "complete"]
    found = []
    for symbol, rows in _by(own, "scope").items():
        best = max(rows, key=lambda row: (row["value"], -row["i"]))
        found.append((symbol, best["algorithm"], best["value"], len(rows)))
    return sorted(found, key=lambda row: (-row[2], row[0]))


def _winner_params(best: Row) -> list[tuple[str, str]]:
    """Hyper-parameters of the pooled winner, as text."""
    given = best.get("hyperparameters", {}).get(POOLED, {})
    return [(name, f"{value:.4g}" if isinstance(value, float) else str(value)) for name, value in sorted(given.items())]
