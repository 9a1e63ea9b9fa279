"""``raypipe audit leakage``: what is said, and how it ends."""

from __future__ import annotations

import json

import pytest

from raypipe.audit.verdicts import ColumnVerdict, Offence, Problem, Report, TableReport

CUT_NS = 1_735_828_200_000_000_000
LEAK = ColumnVerdict(
    *("peek", "feature", "leaks", 12, 3),
    first=Offence("2025-01-02", {"symbol": "A\x1b[31m"}, 1.5, None, "cut", CUT_NS),
    moved=True,
)
CLEAN = (
    ColumnVerdict("symbol", "key", "clean", 12),
    ColumnVerdict("bars", "feature", "clean", 12),
    ColumnVerdict("flat", "feature", "clean", 12, constant=True),
    ColumnVerdict("label", "label", "label", 12, moved=True),
)


def report(*columns: ColumnVerdict, problems: tuple[Problem, ...] = ()) -> Report:
    return Report(7, (TableReport("silver/x", ("2025-01-02",), 4, 1, 9, columns, problems),))


@pytest.fixture
def found(monkeypatch):
    """Make the audit find something."""

    def find(result: Report) -> None:
        monkeypatch.setattr("raypipe.audit.leakage.audit_leakage", lambda *_, **__: result)

    return find


def test_every_table_of_a_lake_is_clean(raypipe, built):
    document = raypipe("audit", "leakage", "--root", built, "--sessions", 1, "--json").json
    assert document["exit_code"] == 0
    assert {"gold/event_labels", "gold/range_expansion_labels"} < {table["table"] for table in document["tables"]}
    assert not [table["problems"] for table in document["tables"] if table["problems"]]
    assert set(document["verdicts"]) == {"clean", "label", "leaks", "differs", "unproved"}


def test_some_tables_of_a_lake(raypipe, built):
    done = raypipe("audit", "leakage", "--root", built, "--table", "daily", "ml_dataset", "--sessions", 1)
    assert done.code == 0, done.err + done.out
    assert "silver/daily: " in done.out
    assert "gold/ml_dataset: " in done.out
    assert "bronze" not in done.out
    assert "2 tables, columns: " in done.out.splitlines()[-1]
    assert "leaks" not in done.out


def test_json_has_a_verdict_for_every_column(raypipe, built):
    from raypipe.features.daily import DAILY

    document = raypipe("audit", "leakage", "--root", built, "--json", "--table", "silver/daily", "--sessions", 1).json
    assert (document["schema"], document["command"], document["what"]) == (1, "audit", "leakage")
    assert (document["exit_code"], document["seed"]) == (0, 7)
    (table,) = document["tables"]
    assert [column["name"] for column in table["columns"]] == list(DAILY.names)
    assert {column["verdict"] for column in table["columns"]} == {"clean"}
    assert document["verdicts"]["clean"] == len(DAILY.names)
    assert table["altered_input_rows"] > 0


def test_a_leak_ends_with_3_and_shows_the_first_row(raypipe, built, found):
    found(report(*CLEAN, LEAK))
    done = raypipe("audit", "leakage", "--root", built)
    assert done.code == 3
    (line,) = [line for line in done.out.splitlines() if line.startswith("  leaks: ")]
    assert line == (
        "  leaks: peek in 2025-01-02 symbol=A\\x1b[31m: stored 1.5, "
        "with the future cut off at 2025-01-02T09:30:00-05:00 null (3 values)"
    )
    assert "1 columns leak; the first: silver/x.peek" in done.err
    document = raypipe("audit", "leakage", "--root", built, "--json").json
    assert document["exit_code"] == 3
    first = document["tables"][0]["columns"][-1]["first"]
    assert (first["stored"], first["recomputed"], first["cut_ns"]) == (1.5, None, CUT_NS)


def test_notes_beside_the_verdicts(raypipe, built, found):
    found(report(*CLEAN))
    lines = raypipe("audit", "leakage", "--root", built).out.splitlines()
    assert [line.split("12")[-1].strip() for line in lines[1:5]] == [
        "",
        "cut only",
        "constant",
        "moves with the future",
    ]


@pytest.mark.parametrize(
    "result",
    [
        report(*CLEAN, problems=(Problem("2025-01-02", "stale", "stale: params changed"),)),
        report(ColumnVerdict("x", "feature", "differs", 1, 1, Offence("2025-01-02", {}, 1, 2, "rebuild"))),
    ],
)
def test_what_cannot_be_proved_ends_with_1(raypipe, built, found, result):
    found(result)
    done = raypipe("audit", "leakage", "--root", built)
    assert done.code == 1
    assert "raypipe run" in done.err
    assert "stale: params changed" in done.out or "differs: x in 2025-01-02" in done.out


def test_a_table_without_rows_is_unproved_and_no_failure(raypipe, built, found):
    found(report(ColumnVerdict("x", "feature", "unproved")))
    done = raypipe("audit", "leakage", "--root", built)
    assert done.code == 0
    assert "  all 1 columns are unproved: there is no row to look at" in done.out.splitlines()


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["leakage", "--table", "nothing"], 2, "there is no table 'nothing'"),
        (["lake"], 2, "'lake' is not"),
        ([], 2, "missing argument"),
        (["leakage", "--sessions", "0"], 2, "'--sessions'"),
        (["leakage", "--table", "macd_bars"], 4, "holds no partition of"),
    ],
)
def test_wrong_requests(raypipe, built, args, code, message):
    done = raypipe("audit", *args, "--root", built)
    assert done.code == code
    assert message in done.err


def test_an_empty_lake_is_not_there_yet(raypipe, tmp_path):
    (tmp_path / "lake").mkdir()
    done = raypipe("audit", "leakage", "--root", tmp_path / "lake")
    assert done.code == 4
    assert "raypipe run" in done.err


def test_verdicts_are_kept_in_the_lake_unless_refused(raypipe, own_built, found):
    found(report(*CLEAN, LEAK))
    folder = own_built / "audit" / "leakage"
    before = set(folder.glob("*"))
    raypipe("audit", "leakage", "--root", own_built, "--no-store")
    assert set(folder.glob("*")) == before
    raypipe("audit", "leakage", "--root", own_built)
    (path,) = set(folder.glob("*")) - before
    kept = json.loads(path.read_text())
    assert kept["verdicts"]["leaks"] == 1
    assert kept["at_ns"] > 0
