"""Sections of a run's page that are about values: columns, drift, verdicts of audits, models, lineage."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from raypipe.report.charts import Interval, interval_chart

__all__ = ["age", "clipped", "columns_section", "drift_section", "leakage_section", "lineage_section", "models_section"]

_SHOWN_COLUMNS, _SHOWN_MOVED = 150, 60
_LONGEST = 600
#: Roles whose columns are expected to be the same throughout a partition.
_PLAIN_ROLES = ("key", "time", "id", "meta", "qa", "vintage")
_HOUR_NS, _DAY_NS = 3_600 * 10**9, 86_400 * 10**9
_NO_SKILL = 0.5
#: The worst first.
_GRADES = ("bad", "warn", "soft", "good")


def clipped(value: Any, most: int = _LONGEST) -> str:
    """A value as text of bounded length: one message must not fill a page."""
    text = value if isinstance(value, str) else str(value)
    return text if len(text) <= most else f"{text[:most]} … ({len(text):,} characters)"


def age(at_ns: int, now_ns: int) -> str:
    """How long ago something was.

    Examples
    --------
    >>> age(0, 3 * 86_400 * 10**9), age(0, 7_300 * 10**9), age(0, 10**9)
    ('3 days ago', '2 hours ago', 'within the hour')
    """
    days, hours = (now_ns - at_ns) // _DAY_NS, (now_ns - at_ns) // _HOUR_NS
    if days >= 1:
        return f"{days} day{'' if days == 1 else 's'} ago"
    return f"{hours} hour{'' if hours == 1 else 's'} ago" if hours >= 1 else "within the hour"


def columns_section(columns: Mapping[str, Any]) -> dict[str, Any] | None:
    """Columns that are null or constant throughout, then those with most nulls; None if nothing was noted."""
    if not columns:
        return None
    rows = [
        {"table": table, "column": name, **column, "rule": clipped(column["rule"]), "odd": _is_odd(column)}
        for table, noted in columns.items()
        for name, column in noted["columns"].items()
        if column["state"] in ("null", "some null") or column["role"] not in _PLAIN_ROLES
    ]
    rows.sort(key=lambda row: (not row["odd"], -row["share"], row["table"], row["column"]))
    scope = [(table, noted["partitions"], noted["rows"]) for table, noted in columns.items()]
    odd = [row for row in rows if row["odd"]]
    return {
        "odd": odd[:_SHOWN_COLUMNS],
        "odd_n": len(odd),
        "rest": [row for row in rows if not row["odd"]][:_SHOWN_COLUMNS],
        "rest_n": len(rows) - len(odd),
        "tables": len(scope),
        "rows": sum(n for _, _, n in scope),
    }


def _is_odd(column: Mapping[str, Any]) -> bool:
    return column["state"] != "some null" and column["role"] not in _PLAIN_ROLES


def drift_section(drift: Mapping[str, Any]) -> dict[str, Any] | None:
    """Features that moved, the farthest first; None if no gold table was written."""
    if not drift:
        return None
    rows = [{"table": table, **row} for table, found in drift.items() for row in found["moved"]]
    rows.sort(key=lambda row: -1e300 if row["distance"] is None else -row["distance"])
    tables = [
        {"table": table, **found, "error": clipped(found.get("error", "")), "n": len(found["features"])}
        for table, found in drift.items()
    ]
    return {"tables": tables, "moved": rows[:_SHOWN_MOVED], "moved_n": len(rows)}


def leakage_section(verdicts: Sequence[Mapping[str, Any]], now_ns: int, code_version: str) -> list[dict[str, Any]]:
    """The newest verdict on each table, those that say no first."""
    rows = [
        {
            **found,
            "age": age(found["at_ns"], now_ns),
            "same_code": found["code_version"] == code_version,
            "said": ", ".join(f"{n:,} {verdict}" for verdict, n in sorted(found["verdicts"].items())),
            "grade": _grade(found),
            "bad": [clipped(name, 80) for name in found["bad"][:20]],
        }
        for found in verdicts
    ]
    return sorted(rows, key=lambda row: (_GRADES.index(row["grade"]), row["table"]))


def _grade(found: Mapping[str, Any]) -> str:
    """A word of the style sheet; ``soft`` where there was no row to look at."""
    if found["bad"]:
        return "bad"
    if found["problems"]:
        return "warn"
    return "soft" if set(found["verdicts"]) <= {"unproved"} else "good"


def models_section(models: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    """Hold-outs with their gates and a chart of AUCs, and searches with their best scores."""
    holdouts = list(models.get("holdouts", ()))
    return {
        "holdouts": [{**one, "passed_n": sum(gate["passed"] for gate in one["gates"])} for one in holdouts],
        "chart": _aucs(holdouts),
        "sweeps": [{**one, "said": _counts(one["studies"])} for one in models.get("sweeps", ())],
    }


def _aucs(holdouts: Iterable[Mapping[str, Any]]) -> str:
    rows = [
        Interval(clipped(_name(one), 28), one["auc_lower"], one["auc_upper"], (one["auc"],), "AUC of the hold-out")
        for one in holdouts
        if one["auc"] is not None
    ]
    return interval_chart("AUC of hold-outs, with bounds", rows, x="AUC", mark=_NO_SKILL) if rows else ""


def _name(one: Mapping[str, Any]) -> str:
    """What a hold-out is called: its name and version, or the folder of its run."""
    parts = one["key"].split("/")
    return f"{one['name'] or parts[1]} {parts[-2] if parts[0] == 'registry' else ''}".strip()


def _counts(studies: Mapping[str, int]) -> str:
    return ", ".join(f"{n:,} {clipped(status, 40)}" for status, n in sorted(studies.items()))


def lineage_section(lineage: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, list[tuple[str, Mapping[str, Any]]]]]:
    """Tables, and what each was made of."""
    return [(table, sorted(sources.items())) for table, sources in sorted(lineage.items())]
