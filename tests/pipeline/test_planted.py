"""The checker of planted answers finds what is wrong, and knows what it cannot judge."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest

from raypipe.errors import SourceError
from raypipe.lake.location import Location
from raypipe.lake.manifest import Manifest
from raypipe.lake.store import Lake
from raypipe.pipeline.planted import check_planted
from raypipe.schema.spec import Column, Table

TABLE = Table(
    "silver/prices",
    key=("symbol", "at_ns"),
    grain="session",
    columns=(
        Column("session", "date32", "Session.", role="key"),
        Column("symbol", "dict", "Symbol.", role="key"),
        Column("at_ns", "i64", "Time.", unit="ns", role="key"),
        Column("close", "f64", "Price.", unit="usd", null="none"),
        Column("seen", "date32", "Date."),
        Column("up", "bool", "Flag."),
    ),
    doc="Prices.",
)
KEY = {"session": "2025-01-02", "symbol": "A", "at_ns": 5}
RIGHT = {"close": 1.5, "seen": "2025-01-03", "up": True}


@pytest.fixture
def lake(tmp_path) -> Lake:
    """Two rows of one session."""
    import datetime as dt

    rows = TABLE.build(
        {
            "session": pa.array([dt.date(2025, 1, 2)] * 2, pa.date32()),
            "symbol": pa.array(["A", "B"]).dictionary_encode(),
            "at_ns": pa.array([5, 6]),
            "close": pa.array([1.5, None]),
            "seen": pa.array([dt.date(2025, 1, 3)] * 2, pa.date32()),
            "up": pa.array([True, False]),
        }
    )
    found = Lake(Location.parse(str(tmp_path / "lake")))
    manifest = Manifest("silver/prices", "2025-01-02", "f" * 32, 1, "p" * 16, TABLE.digest, {}, 2, "0", {})
    found.write(TABLE, "2025-01-02", rows, manifest)
    return found


@pytest.fixture
def check(lake, tmp_path):
    def check_(*entries, tables=None):
        path = tmp_path / "truth.json"
        path.write_text(json.dumps({"planted": entries}), encoding="utf-8")
        return check_planted(lake, {TABLE.name: TABLE} if tables is None else tables, path)

    return check_


def entry(key=KEY, expect=RIGHT, tol=0.0, id_="X", table=TABLE.name):
    return {"id": id_, "table": table, "key": key, "expect": expect, "tol": tol}


def test_right_answers(check):
    (verdict,) = check(entry(), entry(tol=1e-9))
    assert (verdict.id, verdict.table, verdict.answers, verdict.wrong) == ("X", TABLE.name, 2, "")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (entry(expect={"close": 1.6}), "2025-01-02 A 5: close is 1.5, expected 1.6"),
        (entry(expect={"close": 1.5001}, tol=1e-9), "close is 1.5, expected 1.5001"),
        (entry(expect={"up": False}), "up is True, expected False"),
        (entry(expect={"seen": "2025-01-02"}), "seen is 2025-01-03, expected 2025-01-02"),
        (entry(expect={"close": None}), "close is 1.5, expected None"),
        (entry(key={**KEY, "symbol": "B", "at_ns": 6}, expect={"close": 1.5}), "close is None, expected 1.5"),
        (entry(key={**KEY, "symbol": "C"}), "no such row"),
        (entry(key={**KEY, "session": "2025-01-03"}), "2025-01-03 A 5: "),
    ],
)
def test_wrong_answers(check, wrong, message):
    (verdict,) = check(entry(), wrong, entry())
    assert verdict.answers == 3
    assert message in verdict.wrong


def test_tolerance_is_relative_and_absolute(check):
    assert check(entry(expect={"close": 1.5 + 1e-10}, tol=1e-9))[0].wrong == ""
    assert check(entry(expect={"close": 1.53}, tol=0.03))[0].wrong == ""


def test_what_cannot_be_judged_is_passed_over(check):
    statistical = entry(key={"score": "silver/x.y", "label": "z"})
    assert check(statistical, entry(table="gold/none")) == []
    assert check(entry(), tables={}) == []


def test_verdicts_are_sorted(check):
    found = check(entry(id_="B"), entry(id_="A"), entry(id_="B"))
    assert [(verdict.id, verdict.answers) for verdict in found] == [("A", 1), ("B", 2)]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"planted'])
def test_a_truth_that_cannot_be_read(lake, tmp_path, text):
    (tmp_path / "t.json").write_text(text, encoding="utf-8")
    with pytest.raises(SourceError, match="cannot be read"):
        check_planted(lake, {}, tmp_path / "t.json")
