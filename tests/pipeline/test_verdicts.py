"""Verdicts of audits in the lake: the newest of each table counts, and a damaged file is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from raypipe.lake.location import Location
from raypipe.lake.store import Lake
from raypipe.pipeline.verdicts import newest_verdicts, store_verdicts

DAY_NS = 86_400 * 10**9
START_NS = 1_760_000_000 * 10**9


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(Location.parse(str(tmp_path)))


def document(**tables: str) -> dict:
    """One column a table, with that verdict."""
    columns = {name: [{"name": "x", "verdict": verdict}] for name, verdict in tables.items()}
    rest = {"problems": [], "partitions": ["2025-01-02"], "rows": 4}
    return {"what": "leakage", "tables": [{"table": name, "columns": c, **rest} for name, c in columns.items()]}


def test_the_newest_verdict_of_each_table(lake: Lake) -> None:
    assert newest_verdicts(lake) == []
    store_verdicts(lake, document(a="clean", b="leaks"), START_NS)
    store_verdicts(lake, document(a="leaks"), START_NS + DAY_NS)
    a, b = newest_verdicts(lake)
    assert (a["table"], a["at_ns"], a["verdicts"], a["bad"]) == ("a", START_NS + DAY_NS, {"leaks": 1}, ["x"])
    assert (b["table"], b["at_ns"], b["bad"]) == ("b", START_NS, ["x"])


@pytest.mark.parametrize("content", [b"", b"[]", b'{"tables": [{}]}', b'{"tables": [3]}', b"\xff"])
def test_a_file_that_is_no_audit_is_named_and_stops_nothing(lake: Lake, content: bytes) -> None:
    key = "audit/leakage/20250101T000000Z-000000.json"
    lake.store.put_bytes(key, content)
    store_verdicts(lake, document(b="clean"), START_NS)
    odd, good = newest_verdicts(lake)
    assert (odd["table"], odd["problems"]) == (key, 1)
    assert good["table"] == "b"
