"""The page of two runs: whether they made the same, and what differs. Self-contained, as the page of one."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from raypipe.report.page import counted, render_page
from raypipe.report.sections import clipped

__all__ = ["render_comparison", "verdict_of"]

_SHOWN = 100
_PAIR = 2


def render_comparison(found: Mapping[str, Any]) -> str:
    """Make the page of what `raypipe.pipeline.compare` found.

    Returns
    -------
    One HTML document.
    """
    first, second = found["runs"]
    return render_page(
        "compare.html.j2",
        title=f"raypipe runs {first['run_id']} and {second['run_id']}",
        runs=[{**run, "started": _moment(run["started_ns"])} for run in found["runs"]],
        verdict=verdict_of(found),
        partitions=found["partitions"],
        resized=found["partitions"]["resized"][:_SHOWN],
        tables=[row for row in (_padded(row, _COUNTS) for row in found["tables"]) if _counts_differ(row)],
        stages=found["stages"][:_SHOWN],
        settings=[(name, _texts(found[part])) for name, part in _SETTINGS if found[part]],
        columns=found["columns"][:_SHOWN],
        columns_n=len(found["columns"]),
        features=found["features"][:_SHOWN],
        features_n=len(found["features"]),
        new=[clipped(said) for said in found["quality"]["new"][:_SHOWN]],
        gone=[clipped(said) for said in found["quality"]["gone"][:_SHOWN]],
        gates=[_padded(row, ("value", "passed")) for row in found["gates"]],
    )


_COUNTS = ("built", "failed", "rows")
_SETTINGS = (("Configuration", "config"), ("Code", "code"), ("Machine and libraries", "machine"))


def verdict_of(found: Mapping[str, Any]) -> tuple[str, str]:
    """A word for the style sheet and a sentence for people."""
    partitions = found["partitions"]
    changed, only = partitions["changed_n"], partitions["only"]
    parts = [f"{counted(partitions['both'], 'partition')} built by both"]
    parts += [f"{changed:,} of them differ" if changed else "all of them equal to the last bit"] * bool(
        partitions["both"]
    )
    parts += [f"{n:,} by the {who} alone" for n, who in zip(only, ("first", "second"), strict=True) if n]
    lists = (("config", "configuration value"), ("columns", "column"), ("features", "feature"), ("gates", "gate"))
    other = [counted(len(found[name]), what) for name, what in lists if found[name]]
    said = "; ".join([", ".join(parts), *([f"{', '.join(other)} changed"] if other else [])])
    worse = any(_turned(row) for row in found["gates"]) or found["quality"]["new"]
    return ("bad" if worse else "warn" if changed or other else "good"), f"{said}."


def _turned(row: Mapping[str, Any]) -> bool:
    """Whether a gate that passed does no more."""
    before, after = row.get("passed", (None, None))
    return before is True and after is not True


def _counts_differ(row: Mapping[str, Any]) -> bool:
    return any(row[name][0] != row[name][1] for name in _COUNTS)


def _padded(row: Mapping[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    return {**{key: [None] * _PAIR for key in keys}, **row}


def _texts(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[str]]]:
    return [(row["key"], ["-" if v is None else clipped(v, 200) for v in row["values"]]) for row in rows[:_SHOWN]]


def _moment(ns: int | None) -> str:
    return f"{dt.datetime.fromtimestamp(ns // 10**9, dt.UTC):%Y-%m-%d %H:%M:%S} UTC" if ns else "-"
