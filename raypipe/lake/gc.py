"""Sweep away what dead processes left: temporaries, unfinished uploads, files that never went up."""

from __future__ import annotations

from raypipe.lake.objects import Leftover
from raypipe.lake.store import Lake

__all__ = ["gc"]


def gc(lake: Lake, *, grace_seconds: float, dry_run: bool, now_ns: int) -> list[Leftover]:
    """Find leftovers older than a grace period, and remove them.

    Partitions are never touched. A process that is still writing keeps its temporary young; the grace
    period must be longer than the longest upload.

    Parameters
    ----------
    grace_seconds
        Leftovers whose last change is more recent stay.
    dry_run
        Only find them.
    now_ns
        The time, nanoseconds UTC.

    Returns
    -------
    list of Leftover
        What was found (and removed, unless ``dry_run``), sorted by key.
    """
    found = lake.store.leftovers(now_ns - round(grace_seconds * 1e9))
    if not dry_run:
        for leftover in found:
            lake.store.remove_leftover(leftover)
    return found
