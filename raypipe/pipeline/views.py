"""What people look at: the declared tables, the state of every partition, the page of a run. Reads only."""

from __future__ import annotations

import datetime as dt
import json
import time
from typing import Any

from raypipe.calendar import calendar
from raypipe.config import Config
from raypipe.errors import UsageError
from raypipe.lake.names import check_run_id
from raypipe.lake.store import Lake
from raypipe.pipeline.coverage import rows_before
from raypipe.pipeline.model_results import model_results
from raypipe.pipeline.pictures import session_pictures
from raypipe.pipeline.plan import Plan, Request, make_plan, stage_tables
from raypipe.pipeline.record import RunRecord, chosen_run, last_run, read_record
from raypipe.pipeline.verdicts import newest_verdicts
from raypipe.schema.spec import Table

__all__ = [
    "chosen_tables",
    "declared_tables",
    "describe_tables",
    "in_range",
    "lake_states",
    "page_of_run",
    "refresh_page",
    "report_key",
    "save_comparison",
    "save_page",
    "states",
    "write_report",
]


# --- tables ------------------------------------------------------------------------------------


def declared_tables(config: Config) -> dict[str, Table]:
    """Every table of the pipeline under a configuration, by name, in stage order."""
    return {name: stage.table(config.params[stage.name]) for name, stage in stage_tables(config.params).items()}


def chosen_tables(config: Config, names: tuple[str, ...]) -> dict[str, Table]:
    """The tables that a person named, as ``silver/daily`` or ``daily``; all of them if none is named.

    Raises
    ------
    UsageError
        If there is no such table.
    """
    declared = declared_tables(config)
    short = {name.partition("/")[2]: name for name in declared}
    unknown = [name for name in names if name not in declared and name not in short]
    if unknown:
        msg = f"there is no table {unknown[0]!r}"
        raise UsageError(msg, hint=f"tables are {', '.join(declared)}")
    wanted = {short.get(name, name) for name in names}
    return {name: table for name, table in declared.items() if not names or name in wanted}


def describe_tables(config: Config, names: tuple[str, ...]) -> list[dict[str, Any]]:
    """Tables and columns with unit, null rule and meaning, ready for JSON."""
    return [_describe(table) for table in chosen_tables(config, names).values()]


def _describe(table: Table) -> dict[str, Any]:
    columns = [
        {"name": c.name, "dtype": c.dtype, "unit": c.unit, "null": c.null, "role": c.role, "doc": c.doc}
        for c in table.columns
    ]
    return {
        "name": table.name,
        "doc": table.doc,
        "key": list(table.key),
        "grain": table.grain,
        "version": table.version,
        "columns": columns,
    }


def in_range(partition: str, start: dt.date | None, end: dt.date | None) -> bool:
    """Whether a partition lies in a closed range; one without a date lies in every range.

    Examples
    --------
    >>> in_range("2025-01-02", dt.date(2025, 1, 3), None), in_range("all", dt.date(2025, 1, 3), None)
    (False, True)
    """
    try:
        day = dt.date.fromisoformat(partition)
    except ValueError:
        return True
    return not (start and day < start) and not (end and day > end)


# --- states ------------------------------------------------------------------------------------


def states(plan: Plan, record: RunRecord | None) -> dict[str, dict[str, str]]:
    """Per table the state of every partition of a plan: as in `Node`, or ``built`` or ``failed`` by a run's record."""
    ended = {(o.table, o.partition): o.status for o in record.outcomes} if record else {}
    found: dict[str, dict[str, str]] = {}
    for item in plan.items:
        status = ended.get((item.table, item.partition), "")
        shown = status if status == ("built" if item.state == "current" else "failed") else item.state
        found.setdefault(item.table, {})[item.partition] = shown
    return found


def lake_states(config: Config, start: dt.date | None = None, end: dt.date | None = None) -> dict[str, dict[str, str]]:
    """Per table the state of each partition in a range.

    Returns
    -------
    ``current``, ``stale``, ``missing``, ``blocked``, ``pending``, ``failed`` (by the last run), or ``absent``: a
    session between the first and the last one known that has no input at all.
    """
    lake = Lake(config.lake.location)
    run_id = last_run(lake)
    plan = make_plan(lake, config.params, Request(start, end, allow_holes=config.run.allow_holes))
    found = states(plan, read_record(lake, run_id) if run_id else None)
    tables = declared_tables(config)
    known = {
        name: {key: _lasting(state) for key, state in parts.items() if in_range(key, _first(tables[name], start), end)}
        for name, parts in found.items()
    }
    return _with_absent(tables, {name: parts for name, parts in known.items() if parts})


def _first(table: Table, start: dt.date | None) -> dt.date | None:
    """Where a range starts in a table: the partition of a week is named by its Monday."""
    return start - dt.timedelta(days=start.weekday()) if start and table.grain == "week" else start


def _lasting(state: str) -> str:
    """What a run built is current, whoever built it."""
    return "current" if state == "built" else state


def _with_absent(tables: dict[str, Table], found: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
    by_session = {name for name in found if tables[name].grain == "session"}
    keys = sorted({key for name in by_session for key in found[name]})
    if not keys:
        return found
    sessions = calendar().dates(dt.date.fromisoformat(keys[0]), dt.date.fromisoformat(keys[-1]))
    absent = {session.isoformat(): "absent" for session in sessions}
    whole = {name: {**absent, **parts} if name in by_session else parts for name, parts in found.items()}
    return {name: dict(sorted(parts.items())) for name, parts in whole.items()}


# --- the page of a run -------------------------------------------------------------------------


def report_key(run_id: str) -> str:
    """Where the page of a run stands in the lake."""
    return f"runs/{check_run_id(run_id)}/report.html"


def write_report(lake: Lake, record: RunRecord, config: Config) -> str:
    """Write the page of a run beside its record. Returns its key."""
    key = report_key(record.run_id)
    lake.store.put_bytes(key, _render(lake, record, config).encode())
    return key


def page_of_run(config: Config, run_id: str | None = None) -> tuple[str, str]:
    """Id and page of a run, the last one if None, with the lake as it is now.

    Raises
    ------
    UsageError
        If there is no such run.
    """
    lake = Lake(config.lake.location)
    name = chosen_run(lake, run_id, "report on")
    return name, _render(lake, read_record(lake, name), config)


def save_page(config: Config, run_id: str, page: str) -> str:
    """Put the page of a run beside its record. Returns its key."""
    key = report_key(run_id)
    Lake(config.lake.location).store.put_bytes(key, page.encode())
    return key


def refresh_page(config: Config, run_id: str | None = None) -> str:
    """Make the page of a run anew, the last one if None: what models and audits found since belongs on it too.

    Returns
    -------
    Its key.
    """
    return save_page(config, *page_of_run(config, run_id))


def save_comparison(config: Config, runs: tuple[str, str], page: str) -> str:
    """Put the page of two runs beside the record of the second. Returns its key."""
    first, second = map(check_run_id, runs)
    key = f"runs/{second}/against-{first}.html"
    Lake(config.lake.location).store.put_bytes(key, page.encode())
    return key


def _render(lake: Lake, record: RunRecord, config: Config) -> str:
    from raypipe.report.ops import Surroundings, render_run

    plan = make_plan(lake, config.params, Request(allow_holes=config.run.allow_holes))
    around = Surroundings(
        pictures=session_pictures(lake, record, config),
        rows_before=rows_before(lake, declared_tables(config), record.outcomes),
        verdicts=newest_verdicts(lake),
        models=model_results(lake),
        now_ns=time.time_ns(),
    )
    return render_run(json.loads(record.to_json()), states(plan, record), around)
