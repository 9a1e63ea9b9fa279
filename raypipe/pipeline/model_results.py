"""Models and searches that a lake holds, in short, for pages: what hold-outs measured and what searches found.

They are files of other commands, and may be edited or older than this version: what is not a number where a number
belongs is left out, never an error. Whether a gate passes is decided anew from the stored values.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from raypipe.lake.objects import Stat
from raypipe.lake.store import Lake
from raypipe.report.gates import decide_again, finite, verdict_of

__all__ = ["model_results", "read_holdout"]

#: Newest ones that are shown.
_MOST_HOLDOUTS, _MOST_SWEEPS = 12, 12
_MOST_BYTES = 4 << 20
_HOLDOUT = re.compile(r"(?:registry|runs)/.+/holdout_metrics\.json")
_SWEEP = re.compile(r"runs/[0-9a-f]{12}/run\.json")
_TEXTS = ("name", "target", "start", "end", "book", "code_version", "bundle_sha256")
_NUMBERS = (
    *("n_sessions", "n_rows", "n_symbols", "auc", "auc_lower", "auc_upper", "auc_naive", "log_loss", "brier", "ece"),
    *("rank_ic", "sharpe", "sharpe_gross", "turnover", "psr", "dsr", "pbo", "n_trials_effective", "looks"),
)


def model_results(lake: Lake) -> dict[str, list[dict[str, Any]]]:
    """The newest hold-outs (``holdouts``) and searches (``sweeps``), newest first.

    Returns
    -------
    Of a hold-out: ``key``, names and numbers of its document, ``auc_by_strategy``, ``gates`` and ``verdict``. Of a
    search: ``key``, ``run_id``, ``target``, ``status``, ``studies`` by status, and ``best``: algorithm, score and the
    p-value of the best of as many without skill.
    """
    files = [*lake.store.list("registry/"), *lake.store.list("runs/")]
    newest = sorted((stat for stat in files if stat.size <= _MOST_BYTES), key=lambda s: (-s.modified_ns, s.key))
    holdouts = [stat for stat in newest if _HOLDOUT.fullmatch(stat.key)][:_MOST_HOLDOUTS]
    sweeps = [stat for stat in newest if _SWEEP.fullmatch(stat.key)][:_MOST_SWEEPS]
    return {
        "holdouts": [_holdout(stat.key, _document(lake, stat.key)) for stat in holdouts],
        "sweeps": [_sweep(lake, stat, files) for stat in sweeps],
    }


def read_holdout(lake: Lake, key: str) -> list[dict[str, Any]]:
    """The gates of one hold-out, decided anew; none if there is no such file."""
    return [gate.to_dict() for gate in decide_again(_document(lake, key))] if lake.store.stat(key) else []


def _document(lake: Lake, key: str) -> Mapping[str, Any]:
    try:
        found = json.loads(lake.store.read(key), parse_int=float)  # so that no number is too long to be judged
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _holdout(key: str, found: Mapping[str, Any]) -> dict[str, Any]:
    gates = decide_again(found)
    by_strategy = found.get("auc_by_strategy")
    scores = by_strategy.items() if isinstance(by_strategy, Mapping) else ()
    return {
        "key": key,
        **{name: _text(found.get(name)) for name in _TEXTS},
        **{name: finite(found.get(name)) for name in _NUMBERS},
        "auc_by_strategy": {_text(name): value for name, auc in scores if (value := finite(auc)) is not None},
        "gates": [gate.to_dict() for gate in gates],
        "verdict": verdict_of(gates),
    }


def _sweep(lake: Lake, stat: Stat, files: list[Stat]) -> dict[str, Any]:
    folder = stat.key.removesuffix("run.json")
    run = _document(lake, stat.key)
    studies = run.get("studies")
    counts: dict[str, int] = {}
    for study in studies if isinstance(studies, list) else ():
        status = _text(study.get("status")) if isinstance(study, Mapping) else "unknown"
        counts[status] = counts.get(status, 0) + 1
    best = [one.key for one in files if one.key.startswith(f"{folder}best_") and one.key.endswith(".json")]
    return {
        "key": stat.key,
        "run_id": folder.split("/")[1],
        "target": _text(run.get("target")),
        "status": _text(run.get("status")),
        "studies": counts,
        "best": [_best(_document(lake, key)) for key in sorted(best)],
    }


def _best(found: Mapping[str, Any]) -> dict[str, Any]:
    scores = {name: finite(found.get(name)) for name in ("best_auc", "best_of_n_p")}
    return {"algorithm": _text(found.get("algorithm")), "space": _text(found.get("space")), **scores}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
