"""The decision table of a hold-out: each gate with its value, its threshold, whether it passes, and why.

It is made of stored metrics alone, so whoever promotes a model can make it again. A value that is missing, null or no
number fails its gate, with the reason.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from raypipe.schema.modeling import HoldoutParams

__all__ = ["GATES", "Gate", "best_of_n_value", "decide", "decide_again", "finite", "thresholds_of", "verdict_of"]


@dataclass(frozen=True, slots=True)
class Gate:
    """One line of the table.

    Attributes
    ----------
    name
        Which gate.
    value
        What is judged; None if there is none.
    threshold
        What it is held against.
    passed
        The decision.
    reason
        Why, in words.
    """

    name: str
    value: float | None
    threshold: float | None
    passed: bool
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class _Rule:
    """How a gate compares its value with its threshold."""

    sign: str
    passes: Callable[[float, float], bool]
    what: str


#: The gates in their order.
GATES: dict[str, _Rule] = {
    "auc": _Rule(">=", operator.ge, "AUC of the hold-out"),
    "auc_lower": _Rule(">", operator.gt, "lower bound of that AUC"),
    "sharpe": _Rule(">", operator.gt, "net Sharpe ratio of the book"),
    "dsr": _Rule(">=", operator.ge, "deflated Sharpe ratio"),
    "pbo": _Rule("<", operator.lt, "probability of overfitting"),
    "best_of_n": _Rule("<=", operator.le, "p-value of the best of N configurations, times the winners"),
}
#: An AUC without skill.
_NO_SKILL = 0.5


def thresholds_of(params: HoldoutParams) -> dict[str, float]:
    """The threshold of each gate by the configuration."""
    return {
        "auc": params.threshold_auc,
        "auc_lower": _NO_SKILL,
        "sharpe": params.threshold_sharpe,
        "dsr": params.threshold_dsr,
        "pbo": params.threshold_pbo,
        "best_of_n": params.max_best_of_n,
    }


def decide(
    metrics: Mapping[str, Any], thresholds: Mapping[str, Any], why_null: Mapping[str, str] | None = None
) -> tuple[Gate, ...]:
    """Make the table; every gate is in it, whatever the others say.

    Parameters
    ----------
    metrics
        As in `holdout_metrics.json`. ``best_of_n`` is a mapping, see `best_of_n_value`.
    thresholds
        By name of the gate.
    why_null
        By name of the gate, why its value is null.
    """
    known = why_null or {}
    return tuple(
        _gate(name, rule, _value(name, metrics), finite(thresholds.get(name)), known.get(name, ""))
        for name, rule in GATES.items()
    )


def decide_again(document: Mapping[str, Any]) -> tuple[Gate, ...]:
    """The table of a stored `holdout_metrics.json`, from its values and the thresholds on record.

    What the document says of ``passed`` and ``verdict`` is not looked at.
    """
    stored = document.get("gates")
    rows = [row for row in stored if isinstance(row, Mapping)] if isinstance(stored, Sequence) else []
    thresholds = {str(row.get("name")): row.get("threshold") for row in rows}
    reasons = {str(row.get("name")): str(row.get("reason", "")) for row in rows if row.get("value") is None}
    return decide(document, thresholds, reasons)


def verdict_of(gates: Sequence[Gate]) -> Literal["pass", "fail"]:
    """``pass`` if every gate is there and passes."""
    passed = {gate.name for gate in gates if gate.passed}
    return "pass" if passed >= set(GATES) else "fail"


def best_of_n_value(best_of_n: Any) -> float | None:
    """The smallest p-value of the pooled winners times their number, at most 1.

    Parameters
    ----------
    best_of_n
        ``winners``: how many there are; ``p_values``: each algorithm's, all of them.

    Returns
    -------
    None if one is missing: without it the number of tries is not told.
    """
    if not isinstance(best_of_n, Mapping) or not isinstance(best_of_n.get("p_values"), Mapping):
        return None
    values = [finite(p) for p in best_of_n["p_values"].values()]
    known = [p for p in values if p is not None]
    winners = best_of_n.get("winners")
    if not known or len(known) < len(values) or winners != len(known):
        return None
    return min(1.0, min(known) * len(known))


def _value(name: str, metrics: Mapping[str, Any]) -> float | None:
    return best_of_n_value(metrics.get(name)) if name == "best_of_n" else finite(metrics.get(name))


def finite(value: Any) -> float | None:
    """A finite number as a float, None for all else; JSON has integers that no float holds, and they are none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def _gate(name: str, rule: _Rule, value: float | None, threshold: float | None, why: str) -> Gate:
    if value is None:
        return Gate(name, None, threshold, False, why or f"there is no {rule.what}")
    if threshold is None:
        return Gate(name, value, None, False, "there is no threshold on record")
    passed = rule.passes(value, threshold)
    said = f"{rule.what} {value:.4g} is {'' if passed else 'not '}{rule.sign} {threshold:g}"
    return Gate(name, value, threshold, passed, said)
