"""Care for a lake: proving it, sweeping it, and asking whether its storage and its vendor answer."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable
from pathlib import Path

from raypipe.acquisition.remote import Remote
from raypipe.config import Config
from raypipe.lake.gc import gc
from raypipe.lake.objects import Leftover
from raypipe.lake.store import Lake
from raypipe.lake.verify import Problem, verify
from raypipe.pipeline.views import chosen_tables, in_range
from raypipe.sources.polygon_keys import DAY

__all__ = ["Leftover", "Problem", "probe_storage", "probe_vendor", "sweep", "verify_tables"]

_PROBE = "runs/.doctor"


def verify_tables(
    config: Config,
    names: tuple[str, ...],
    bounds: tuple[dt.date | None, dt.date | None],
    progress: Callable[[str, int, int], None],
) -> tuple[int, list[Problem]]:
    """Read partitions in full and prove them.

    Parameters
    ----------
    config, names
        The configuration; the tables, all if none is named.
    bounds
        First and last partition; None leaves an end open.
    progress
        Called with (table, partitions, problems) after each table.

    Returns
    -------
    How many partitions were read, and what is wrong.
    """
    lake = Lake(config.lake.location)
    checked, problems = 0, list[Problem]()
    for name, table in chosen_tables(config, names).items():
        partitions = [p for p in lake.partitions(table) if in_range(p, *bounds)]
        found = list(verify(lake, table, partitions))
        checked, problems = checked + len(partitions), problems + found
        if partitions:
            progress(name, len(partitions), len(found))
    return checked, problems


def sweep(config: Config, *, grace_hours: float, remove: bool) -> list[Leftover]:
    """Find what dead processes left that is older than a grace period, and remove it if asked."""
    lake = Lake(config.lake.location)
    return gc(lake, grace_seconds=grace_hours * 3600, dry_run=not remove, now_ns=time.time_ns())


def probe_storage(config: Config) -> bool:
    """Write and remove a small object; False if the lake's folder does not exist yet.

    Raises
    ------
    StorageError
        If the storage refuses.
    """
    location = config.lake.location
    if location.is_local and not Path(location.root).is_dir():
        return False
    store = Lake(location).store
    store.put_bytes(_PROBE, b"raypipe doctor")
    store.delete(_PROBE)
    return True


def probe_vendor(config: Config) -> int:
    """How many day files the vendor lists for this month.

    Raises
    ------
    UsageError
        Without credentials.
    StorageError
        If the endpoint cannot be listed.
    """
    today = dt.datetime.now(dt.UTC).date()
    return len(Remote(config.ingest).month(DAY, (today.year, today.month)))
