"""The proof of causality on a lake: no value that was known at a moment changes with what came after it.

For sampled partitions of every table, rows are made again by the code that made them, from the inputs that they were
made of, three times over: unaltered, with all that became known after a moment cut off, and with all of that replaced
by noise. What was decided by the moment must come out the same to the last bit.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence

import pyarrow.compute as pc

from raypipe.audit.probes import TableAudit
from raypipe.audit.sampling import sample
from raypipe.audit.verdicts import Report
from raypipe.errors import NotYetError
from raypipe.pipeline.replay import Replay
from raypipe.schema.known import known_by

__all__ = ["audit_leakage"]


def audit_leakage(
    replay: Replay,
    names: Sequence[str],
    *,
    sessions: int = 5,
    seed: int = 7,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Report:
    """Prove tables of a lake; nothing is written.

    Parameters
    ----------
    replay
        The lake.
    names
        Tables; those without a partition are passed over.
    sessions
        Partitions of each table, spread over its range. On top come an early close, a session after a change of the
        clocks and sessions around a split, where these have none.
    seed
        Of the sample, the moments and the noise: the same seed, the same report.
    progress
        Called with partitions done and in all.

    Raises
    ------
    NotYetError
        If the lake holds none of the tables.
    UnavailableError
        If the storage cannot be used.
    """
    news = _news(replay)
    chosen = {
        name: sample(spec, partitions, sessions, seed, news)
        for name, spec in replay.tables.items()
        if name in names and (partitions := replay.partitions(name))
    }
    if not chosen:
        msg = f"the lake holds no partition of {', '.join(names)}"
        raise NotYetError(msg, hint="build it first: raypipe run")
    done, total = 0, sum(map(len, chosen.values()))
    reports = []
    for name, partitions in chosen.items():
        audit = TableAudit(replay, name, seed)
        for partition in partitions:
            audit.prove(partition)
            done += 1
            progress(done, total)
        reports.append(audit.report())
    return Report(seed, tuple(reports))


def _news(replay: Replay) -> dict[str, frozenset[dt.date]]:
    """On which dates tables that are read as a whole change."""
    found: dict[str, frozenset[dt.date]] = {}
    for name, spec in replay.tables.items():
        if spec.grain != "once" or spec[known_by(spec).column].dtype != "date32":
            continue
        for partition in replay.partitions(name):
            rows = replay.stored(name, partition)
            found[name] = frozenset(pc.unique(rows[known_by(spec).column]).to_pylist())
    return found
