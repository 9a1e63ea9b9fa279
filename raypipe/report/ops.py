"""The page of one run: the verdict first, then what stands behind it, last how to do it again.

Self-contained HTML: no script, no address, every text escaped, light and dark, printable, under 1 MB for a year.
"""

from __future__ import annotations

import calendar as months
import datetime as dt
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from raypipe.report.lines import memory_lines, sparkline
from raypipe.report.page import render_page, size
from raypipe.report.sections import (
    clipped,
    columns_section,
    drift_section,
    leakage_section,
    lineage_section,
    models_section,
)

__all__ = ["Surroundings", "render_run"]

_STATES = ("built", "current", "stale", "missing", "failed", "blocked", "pending")
_GLYPHS = {"built": "●", "current": "·", "stale": "◐", "missing": "○", "failed": "✕", "blocked": "■", "pending": "…"}
#: What a partition of a session or a week is called.
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
#: Numbers that stand alone: no part of a date, a time, a name or a path.
_NUMBER = re.compile(r"(?<![\w/:.-])\d[\d,]*(?:\.\d+)?(?![\w/:-])")
_SHOWN_FAILURES = 50
_SHOWN_FINDINGS = 100
_SHOWN_SAMPLES = 5
_COVERAGE_SESSIONS = 20
_WORST_FIRST = {"failed": 0, "warning": 1}
#: Partitions of symbols that are drawn one by one; of more, only those that are not current.
_SHOWN_SYMBOLS = 400


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a page shows beside the run: the lake as it is now.

    Attributes
    ----------
    pictures
        Sessions to show: ``session``, and ``svg`` as `raypipe.report.session_picture` makes it, escaped already.
    rows_before
        Per table, rows of sessions before those built.
    verdicts
        The newest verdict of an audit on each table.
    models
        ``holdouts`` and ``sweeps``.
    now_ns
        The time, nanoseconds UTC, for ages.
    """

    pictures: Sequence[Mapping[str, str]] = ()
    rows_before: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    verdicts: Sequence[Mapping[str, Any]] = ()
    models: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    now_ns: int = 0


def render_run(
    run: Mapping[str, Any], grid: Mapping[str, Mapping[str, str]], around: Surroundings | None = None
) -> str:
    """Make the page of one run.

    Parameters
    ----------
    run
        The run record as stored in ``run.json``.
    grid
        Per table, the state of every partition after the run, by ISO date or ``all``.
    around
        What else the lake holds.

    Returns
    -------
    One HTML document.
    """
    outcomes, around = run["outcomes"], around or Surroundings()
    return render_page(
        "run.html.j2",
        title=f"raypipe run {run['run_id']}",
        run=run,
        pictures=[(each["session"], each["svg"]) for each in around.pictures],
        verdict=_verdict(run),
        started=_moment(run["started_ns"]),
        seconds=_elapsed(run),
        totals=_totals(outcomes),
        grids=sorted((_grid(table, states) for table, states in grid.items()), key=_once_last),
        glyphs=[(state, _GLYPHS[state]) for state in _STATES],
        failures=_failures(run)[:_SHOWN_FAILURES],
        failures_n=len(_failures(run)),
        findings=_findings(run)[:_SHOWN_FINDINGS],
        findings_n=len(_findings(run)),
        coverage=_coverage(outcomes, around.rows_before),
        stages=_stages(outcomes),
        memory=memory_lines(run.get("memory", {})),
        columns=columns_section(run.get("columns", {})),
        drift=drift_section(run.get("drift", {})),
        leakage=leakage_section(around.verdicts, around.now_ns, run["code_version"]),
        models=models_section(around.models),
        lineage=lineage_section(run.get("lineage", {})),
        repeat=run.get("repeat", "") if run.get("repeat", "") != run["command"] else "",
        facts=_facts(run),
        config=_config(run),
    )


def _failures(run: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    """Table, partition, status and message of all that failed or could not be tried."""
    ended = [o for o in run["outcomes"] if o["status"] in ("failed", "blocked")]
    told = [(o["table"], o["partition"], o["status"], clipped(o["error"]["message"])) for o in ended]
    return told + [(table, partition, "blocked", clipped(reason)) for table, partition, reason in run["blocked"]]


def _facts(run: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The machine and versions, by name."""
    machine = dict(run.get("machine", {}))
    libraries = ", ".join(f"{name} {version}" for name, version in sorted(machine.pop("libraries", {}).items()))
    memory = machine.pop("memory_bytes", None)
    facts = [(name, clipped(value)) for name, value in machine.items()]
    facts += [("memory", size(memory))] if memory else []
    files = [
        ("file", f"{name} (SHA-256 {digest[:12]})") for name, digest in run.get("origin", {}).get("files", {}).items()
    ]
    return [*facts, ("libraries", libraries), *files] if machine else files


def _config(run: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Key, value and origin of every value, those that are not defaults first."""
    given = run.get("origin", {}).get("values", {})
    flat = [(f"{name}.{key}", value) for name, values in run["config"].items() for key, value in values.items()]
    rows = [(key, clipped(value), _origin(given, key)) for key, value in flat]
    return sorted(rows, key=lambda row: (not row[2], row[0]))


def _origin(given: Mapping[str, str], key: str) -> str:
    """Where a value, or one inside it, comes from; empty for a default."""
    found = [origin for name, origin in given.items() if name == key or name.startswith(f"{key}.")]
    return ", ".join(dict.fromkeys(found))


def _verdict(run: Mapping[str, Any]) -> tuple[str, str]:
    """A word for the style sheet and a sentence for people."""
    counts: dict[str, int] = defaultdict(int)
    for outcome in run["outcomes"]:
        counts[outcome["status"]] += 1
    blocked = counts["blocked"] + len(run["blocked"])
    failed_checks = sum(finding["level"] == "failed" for finding in run["quality"])
    if run["status"] == "running":
        return "bad", "This run has not ended, or its driver died. `raypipe retry` finishes it."
    if counts["failed"] or blocked:
        return "bad", f"{counts['built']:,} built, {counts['failed']:,} failed, {blocked:,} blocked."
    if counts["cancelled"]:
        return "warn", f"Stopped: {counts['built']:,} built, {counts['cancelled']:,} not started."
    if failed_checks:
        return "warn", f"{counts['built']:,} built; {failed_checks:,} data-quality checks failed."
    if not run["outcomes"]:
        return "good", "Nothing to do: everything was current."
    return "good", f"All {counts['built']:,} partitions were built."


def _moment(ns: int) -> str:
    return f"{dt.datetime.fromtimestamp(ns // 10**9, dt.UTC):%Y-%m-%d %H:%M:%S} UTC"


def _elapsed(run: Mapping[str, Any]) -> float | None:
    return (run["finished_ns"] - run["started_ns"]) / 1e9 if run["finished_ns"] else None


def _totals(outcomes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    built = [o for o in outcomes if o["status"] == "built"]
    return {
        "partitions": len(built),
        "rows": sum(o["rows"] for o in built),
        "bytes": sum(o["bytes"] for o in built),
        "cpu_seconds": sum(o["cpu_seconds"] for o in built),
        "peak_rss_bytes": max((o["peak_rss_bytes"] for o in outcomes), default=0),
    }


def _grid(table: str, states: Mapping[str, str]) -> dict[str, Any]:
    """One table as rows of months with a cell for each day of the month; None where there is no session."""
    rows: dict[str, list[tuple[str, str, str] | None]] = {}
    for partition, state in sorted(states.items()):
        if not _DATE.fullmatch(partition):
            name = "all" if partition == "all" else "symbols"
            whole = [(key, state, _GLYPHS[state]) for key, state in sorted(states.items())]
            if len(whole) > _SHOWN_SYMBOLS:
                name, whole = "not current", [cell for cell in whole if cell[1] != "current"][:_SHOWN_SYMBOLS]
            return {"table": table, "months": [(name, whole)], "counts": _counts(states)}
        day = dt.date.fromisoformat(partition)
        cells = rows.setdefault(f"{day:%Y-%m}", [None] * months.monthrange(day.year, day.month)[1])
        cells[day.day - 1] = (partition, state, _GLYPHS[state])
    return {"table": table, "months": list(rows.items()), "counts": _counts(states)}


def _once_last(grid: Mapping[str, Any]) -> bool:
    return bool(grid["months"]) and grid["months"][0][0] in ("all", "symbols", "not current")


def _counts(states: Mapping[str, str]) -> list[tuple[str, int]]:
    found = list(states.values())
    return [(state, found.count(state)) for state in _STATES if state in found]


def _findings(run: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What readers and checks noticed, the worst first; the same words about many partitions are one line."""
    rows = [dict(finding, samples=()) for finding in run["quality"]]
    for outcome in run["outcomes"]:
        where = {"table": outcome["table"], "partition": outcome["partition"]}
        rows += [{**where, **{k: f[k] for k in ("kind", "level", "message", "samples")}} for f in outcome["findings"]]
    alike: dict[tuple[str, ...], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        alike[row["level"], row["kind"], row["table"], _NUMBER.sub("\0", row["message"])].append(row)
    lines = [{**same[0], **_sessions(same)} for same in alike.values()]
    return sorted(lines, key=lambda f: (_WORST_FIRST.get(f["level"], 2), f["kind"], f["table"], f["partition"]))


def _sessions(same: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Where a finding occurs, and a few samples from all places."""
    partitions = sorted(row["partition"] for row in same)
    what = "sessions" if all(map(_DATE.fullmatch, partitions)) else "partitions"
    where = partitions[0] if len(same) == 1 else f"{len(same)} {what}, {partitions[0]} to {partitions[-1]}"
    samples = dict.fromkeys(sample for row in same for sample in row["samples"])
    shown = [clipped(sample, 120) for sample in list(samples)[:_SHOWN_SAMPLES]]
    return {"partition": where, "samples": shown, "message": clipped(_in_one([row["message"] for row in same]))}


def _in_one(messages: Sequence[str]) -> str:
    """One sentence for messages of the same words: a number that varies as lowest to highest.

    Examples
    --------
    >>> _in_one(["86 rows of 3 left out (569 lots)", "1,120 rows of 3 left out (58 lots)"])
    '86 to 1,120 rows of 3 left out (58 to 569 lots)'
    """
    columns = zip(*(_NUMBER.findall(message) for message in messages), strict=True)
    ranges = (sorted(set(column), key=lambda text: float(text.replace(",", ""))) for column in columns)
    said = iter([each[0] if len(each) == 1 else f"{each[0]} to {each[-1]}" for each in ranges])
    return _NUMBER.sub(lambda _: next(said), messages[0])


def _coverage(outcomes: Iterable[Mapping[str, Any]], before: Mapping[str, Mapping[str, int]]) -> list[dict[str, Any]]:
    """Per table the newest session built, against the median of the sessions before it, built now or earlier."""
    rows: dict[str, dict[str, int]] = defaultdict(dict)
    for outcome in outcomes:
        if outcome["status"] == "built" and _DATE.fullmatch(outcome["partition"]):
            rows[outcome["table"]][outcome["partition"]] = outcome["rows"]
    found = []
    for table, by_session in rows.items():
        sessions = sorted(by_session)
        known = {**before.get(table, {}), **by_session}
        values = [known[s] for s in sorted(known)]
        usual = median(values[-_COVERAGE_SESSIONS - 1 : -1]) if len(values) > 1 else None
        share = values[-1] / usual if usual else None
        found.append(
            {
                "table": table,
                "sessions": len(sessions),
                "first": sessions[0],
                "last": sessions[-1],
                "rows": values[-1],
                "share": share,
                "points": sparkline(values),
            }
        )
    return found


def _stages(outcomes: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Time and memory per stage, slowest first."""
    found: dict[str, dict[str, Any]] = {}
    for outcome in outcomes:
        if outcome["status"] != "built":
            continue
        row = found.setdefault(
            outcome["stage"], {"stage": outcome["stage"], "n": 0, "cpu": 0.0, "rows": 0, "bytes": 0, "rss": 0}
        )
        row["n"] += 1
        row["cpu"] += outcome["cpu_seconds"]
        row["rows"] += outcome["rows"]
        row["bytes"] += outcome["bytes"]
        row["rss"] = max(row["rss"], outcome["peak_rss_bytes"])
    most = max((row["cpu"] for row in found.values()), default=0.0) or 1.0
    return sorted(({**row, "share": row["cpu"] / most} for row in found.values()), key=lambda row: -row["cpu"])
