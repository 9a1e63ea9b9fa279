"""Pictures of sessions for the page of a run, from gold and silver only."""

from __future__ import annotations

from typing import Any

from raypipe.config import Config
from raypipe.lake.store import Lake
from raypipe.pipeline.plan import stage_tables
from raypipe.pipeline.record import RunRecord

__all__ = ["session_pictures"]

_SIGNALS, _BARS = "gold/signals", "silver/es_bars"


def session_pictures(lake: Lake, record: RunRecord, config: Config) -> list[dict[str, Any]]:
    """The last session of signals that a run built, if it has touches; ``session`` and ``svg`` of each.

    Parameters
    ----------
    lake, record, config
        The lake, the run, and the configuration that names its tables.
    """
    built = [o.partition for o in record.outcomes if o.table == _SIGNALS and o.status == "built" and o.rows]
    if not built:
        return []
    session = max(built)
    return [{"session": session, "svg": _drawn(lake, config, session)}]


def _drawn(lake: Lake, config: Config, session: str) -> str:
    from raypipe.report.session_picture import BAR_COLUMNS, SIGNAL_COLUMNS, session_picture

    tables = {name: stage.table(config.params[stage.name]) for name, stage in stage_tables(config.params).items()}
    signals = lake.read(tables[_SIGNALS], session, columns=SIGNAL_COLUMNS)
    return session_picture(signals, lake.read(tables[_BARS], session, columns=BAR_COLUMNS))
