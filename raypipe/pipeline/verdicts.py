"""What audits found, kept in the lake: ``audit/leakage/{id}.json``, one document an audit, ids that sort by time.

An audit of one table says nothing about the others, so pages show the newest verdict of each.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

import raypipe
from raypipe.config import Config
from raypipe.lake.store import Lake
from raypipe.pipeline.record import new_run_id

__all__ = ["keep_verdicts", "newest_verdicts", "store_verdicts"]

_FOLDER = "audit/leakage/"
_SCHEMA = 1
_UNREADABLE: dict[str, Any] = {
    "at_ns": 0,
    "code_version": "",
    "verdicts": {"no stored audit": 1},
    "bad": [],
    "problems": 1,
    "partitions": 0,
    "rows": 0,
}
#: How many audits are looked through for a table's newest verdict.
_MOST_AUDITS = 100


def store_verdicts(lake: Lake, document: Mapping[str, Any], now_ns: int) -> str:
    """Keep what an audit said; the document is that of ``--json``. Returns its key."""
    key = f"{_FOLDER}{new_run_id(now_ns)}.json"
    whole = {**document, "schema": _SCHEMA, "at_ns": now_ns, "code_version": raypipe.__version__}
    lake.store.put_bytes(key, json.dumps(whole, default=str, indent=1).encode())
    return key


def keep_verdicts(config: Config, document: Mapping[str, Any]) -> str:
    """`store_verdicts` in the lake of a configuration, now."""
    return store_verdicts(Lake(config.lake.location), document, time.time_ns())


def newest_verdicts(lake: Lake) -> list[dict[str, Any]]:
    """The newest verdict on each table, by table.

    Returns
    -------
    ``table``, ``at_ns``, ``code_version``, ``verdicts`` (how many columns of each), ``bad`` (names of columns that leak
    or differ), ``problems`` (partitions that could not be proved), ``partitions`` and ``rows`` looked at. A document
    that cannot be understood is a line of its own under its key, with a problem: it must not stop a run's page.
    """
    keys = [stat.key for stat in lake.store.list(_FOLDER) if stat.key.endswith(".json")]
    found: dict[str, dict[str, Any]] = {}
    for key in sorted(keys, reverse=True)[:_MOST_AUDITS]:
        try:
            document = json.loads(lake.store.read(key))
            for table in document["tables"]:
                found.setdefault(str(table["table"]), _of_table(document, table))
        except (ValueError, KeyError, TypeError, AttributeError):
            found[key] = {**_UNREADABLE, "table": key}
    return [found[name] for name in sorted(found)]


def _of_table(document: Mapping[str, Any], table: Mapping[str, Any]) -> dict[str, Any]:
    counts: dict[str, int] = {}
    for column in table["columns"]:
        counts[column["verdict"]] = counts.get(column["verdict"], 0) + 1
    return {
        "table": str(table["table"]),
        "at_ns": int(document["at_ns"]),
        "code_version": str(document["code_version"]),
        "verdicts": counts,
        "bad": [column["name"] for column in table["columns"] if column["verdict"] in ("leaks", "differs")],
        "problems": len(table["problems"]),
        "partitions": len(table["partitions"]),
        "rows": int(table["rows"]),
    }
