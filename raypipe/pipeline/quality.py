"""Data-quality checks over a run: whether each new session covers what recent sessions covered.

They read footers only. Checks inside one file are the readers' (quarantine), checks between day and minute bars are a
family of their own (``features.bar_checks``).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from raypipe.calendar import NS_PER_MINUTE, calendar
from raypipe.lake.manifest import Manifest
from raypipe.lake.store import Lake
from raypipe.pipeline.job import Outcome
from raypipe.schema.spec import Table
from raypipe.schema.tables import DAY_AGGS, MINUTE_AGGS

__all__ = ["QualityFinding", "check_coverage"]

_WINDOW_SESSIONS = 20
#: Fewer sessions than this make no median worth comparing with.
_ENOUGH_SESSIONS = 5
_WARN_BELOW, _FAIL_BELOW = 0.95, 0.80
_LAST_MINUTES = 15
_FULL_SESSION_NS = 390 * NS_PER_MINUTE


@dataclass(frozen=True, slots=True)
class QualityFinding:
    """One session that falls short. ``level`` is ``warning`` or ``failed``."""

    table: str
    partition: str
    kind: str
    level: str
    message: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for the run record."""
        return asdict(self)


def check_coverage(lake: Lake, outcomes: Iterable[Outcome]) -> list[QualityFinding]:
    """Compare every bronze session that a run built with the sessions before it.

    Parameters
    ----------
    lake
        The lake, after the run.
    outcomes
        What the run did.

    Returns
    -------
    Findings in order of table and session: row or symbol counts under 95 % (warning) or 80 % (failed) of the median
    of the 20 sessions before, and minute files without a bar in the last 15 minutes of regular trading (failed).
    """
    built = [(o.table, o.partition) for o in outcomes if o.status == "built"]
    found: list[QualityFinding] = []
    for table in (DAY_AGGS, MINUTE_AGGS):
        sessions = sorted(partition for name, partition in built if name == table.name)
        if sessions:
            stored = {key: m for key, m in lake.manifests(table).items() if isinstance(m, Manifest)}
            found += [f for session in sessions for f in _check_session(table, session, stored)]
    return found


def _check_session(table: Table, session: str, stored: dict[str, Manifest]) -> list[QualityFinding]:
    manifest = stored.get(session)
    if manifest is None:
        return []
    before = {key: stored[key] for key in sorted(key for key in stored if key < session)[-_WINDOW_SESSIONS:]}
    rows = [m.rows * _full_length(table, key) for key, m in before.items()]
    found = _short_of(table, session, "rows", manifest.rows * _full_length(table, session), rows)
    symbols = [_fact(m, "symbols") for m in before.values()]
    found += _short_of(table, session, "symbols", _fact(manifest, "symbols"), symbols)
    return found + (_quiet_end(table, session, manifest) if table is MINUTE_AGGS else [])


def _full_length(table: Table, session: str) -> float:
    """What makes the bars of an early close comparable with those of a whole session."""
    if table is not MINUTE_AGGS:
        return 1.0
    facts = calendar().session(dt.date.fromisoformat(session))
    return _FULL_SESSION_NS / (facts.close_ns - facts.open_ns)


def _short_of(table: Table, session: str, what: str, value: float, before: Sequence[float]) -> list[QualityFinding]:
    if len(before) < _ENOUGH_SESSIONS:
        return []
    usual = median(before)
    if value >= _WARN_BELOW * usual:
        return []
    level = "failed" if value < _FAIL_BELOW * usual else "warning"
    message = (
        f"{value:,.0f} {what}, {value / usual:.0%} of the median of the {len(before)} sessions before ({usual:,.0f})"
    )
    return [QualityFinding(table.name, session, f"few_{what}", level, message)]


def _quiet_end(table: Table, session: str, manifest: Manifest) -> list[QualityFinding]:
    close_ns, last_ns = _fact(manifest, "rth_close_ns"), _fact(manifest, "last_ns")
    if last_ns >= close_ns - _LAST_MINUTES * NS_PER_MINUTE:
        return []
    minutes = (close_ns - last_ns) // NS_PER_MINUTE
    message = f"the last bar starts {minutes} minutes before the close: the file may be cut short"
    return [QualityFinding(table.name, session, "quiet_end", "failed", message)]


def _fact(manifest: Manifest, name: str) -> int:
    return int(manifest.facts.get(name, "0"))
