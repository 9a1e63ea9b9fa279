"""status, tables, config, export, report, clean-symbols and synth: what they show and write."""

from __future__ import annotations

import csv
import re
import shlex
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.cli.conftest import DAY_STEPS, FIRST, LAST, files
from tests.cli.test_run import raw_day, run

# --- status ------------------------------------------------------------------------------------------


def test_status_counts_and_draws(raypipe, built):
    out = raypipe("status", "--root", built, "--ascii").out
    lines = out.splitlines()
    assert lines[0].split()[:4] == ["table", "first", "last", "current"]
    assert lines[0].endswith("no input")
    assert any(line.split() == ["silver/daily", "2025-10-21", LAST, "12"] for line in lines)
    assert lines[-1].startswith("# current")
    assert lines[-1].endswith(". no input")


def test_status_draws_each_session_in_its_place(raypipe, built):
    out = raypipe("status", "--root", built, "--ascii", "--start", FIRST, "--tables", "minute_aggs").out
    november = out[out.index("2025-11 ") :].splitlines()
    assert november[0] == "2025-11             1234567890123456789012345678901"
    assert november[1] == "bronze/minute_aggs    ###"


def test_status_as_json(raypipe, built):
    document = raypipe("status", "--root", built, "--json").json
    daily = document["tables"]["silver/daily"]
    assert daily["counts"] == {"current": 12}
    assert set(daily["partitions"].values()) == {"current"}
    assert document["tables"]["bronze/minute_aggs"]["counts"] == {"current": 4, "absent": 8}


def test_status_knows_what_failed_is_stale_blocked_or_gone(raypipe, own_built):
    raw_day(own_built, "2025-11-04").write_bytes(b"no gzip")
    assert run(raypipe, own_built, *DAY_STEPS).code == 1
    (own_built / "silver" / "daily_filtered" / "date=2025-11-03.parquet").unlink()
    counts = {
        name: table["counts"] for name, table in raypipe("status", "--root", own_built, "--json").json["tables"].items()
    }
    assert counts["bronze/day_aggs"] == {"current": 11, "failed": 1}
    assert counts["silver/daily_filtered"]["missing"] == 1
    assert counts["silver/daily"]["stale"] >= 1
    out = raypipe("status", "--root", own_built, "--ascii").out
    assert "x failed" in out
    assert "~ stale" in out


def test_status_of_an_empty_lake(raypipe, tmp_path):
    (tmp_path / "lake").mkdir()
    assert raypipe("status", "--root", tmp_path / "lake").out.startswith("the lake is empty")
    assert raypipe("status", "--root", tmp_path / "lake", "--json").json["tables"] == {}


@pytest.mark.parametrize("name", ["status", "verify", "tables", "export"])
def test_an_unknown_table_is_refused(raypipe, built, name):
    args = {"tables": ["daly"], "export": ["--out", "x", "--tables", "daly"]}.get(name, ["--tables", "daly"])
    result = raypipe(name, "--root", built, *args)
    assert (result.code, "there is no table 'daly'" in result.err) == (2, True)


# --- tables ------------------------------------------------------------------------------------------


def test_every_table_and_column_is_explained(raypipe):
    document = raypipe("tables", "--json").json
    text = raypipe("tables").out
    assert {"bronze/day_aggs", "bronze/minute_aggs", "silver/daily", "silver/weekly"} <= {
        table["name"] for table in document["tables"]
    }
    for table in document["tables"]:
        assert table["doc"]
        assert table["name"] in text
        assert set(table["key"]) <= {column["name"] for column in table["columns"]}
        for column in table["columns"]:
            assert {"name", "dtype", "unit", "null", "role", "doc"} == set(column)
            assert column["doc"].endswith("."), column["name"]
            assert column["doc"] in text
            assert column["null"] in text


def test_tables_by_name(raypipe):
    short, full = raypipe("tables", "daily"), raypipe("tables", "silver/daily")
    assert short.out == full.out
    assert short.out.splitlines()[0] == "silver/daily  (one file per session, key symbol)"


# --- columns -----------------------------------------------------------------------------------------


def test_what_stands_in_columns(raypipe, built):
    document = raypipe("columns", "--root", built, "daily", "silver/symbol_types", "--json").json
    types, daily = document["tables"]
    assert (daily["name"], types["name"], len(daily["partitions"])) == ("silver/daily", "silver/symbol_types", 12)
    symbol = next(column for column in daily["columns"] if column["name"] == "symbol")
    assert (symbol["verdict"], symbol["nulls"], symbol["rows"]) == ("varies", 0, daily["rows"])
    lines = raypipe("columns", "--root", built, "daily", "--start", FIRST, "--end", FIRST).out.splitlines()
    assert lines[0] == f"silver/daily  {FIRST}, {len(set_of_symbols(built))} rows"
    assert lines[2].split() == ["column", "group", "unit", "role", "null", "distinct", "verdict", "value"]
    assert lines[3].split() == ["session", "key", "1", "constant", FIRST]
    dull = raypipe("columns", "--root", built, "daily", "--start", FIRST, "--end", FIRST, "--constant").out
    assert "session" in dull
    assert "varies  " not in dull


def set_of_symbols(root: Path) -> set[str]:
    return set(pq.read_table(root / "silver" / "daily" / f"date={FIRST}.parquet")["symbol"].to_pylist())


def test_columns_of_what_is_not_there(raypipe, built):
    assert raypipe("columns", "--root", built, "signals").code == 4
    assert raypipe("columns", "--root", built, "nothing").code == 2
    assert raypipe("columns", "--root", built).code == 2


# --- config ------------------------------------------------------------------------------------------


def test_values_and_where_they_come_from(raypipe, tmp_path, monkeypatch):
    (tmp_path / "raypipe.yaml").write_text("daily: {adjust: none}", encoding="utf-8")
    monkeypatch.setenv("RAYPIPE_RUN__DQ", "off")
    document = raypipe("config", "show", "--origin", "--changed", "--json").json
    assert document["values"] == {"run.dq": "off", "daily.adjust": "none"}
    assert document["origin"]["run.dq"] == "environment RAYPIPE_RUN__DQ"
    assert document["origin"]["daily.adjust"] == f"project file {tmp_path}/raypipe.yaml"
    lines = raypipe("config", "--origin").out.splitlines()
    assert lines[0].split() == ["key", "origin", "value"]
    assert any(line.split()[:2] == ["daily.adjust", "project"] and line.endswith(" none") for line in lines)
    assert raypipe("config", "--changed", "--set", "run.dq=warn").out.count("\n") == 3


def test_the_defaults_as_a_file(raypipe, tmp_path):
    text = raypipe("config", "default").out
    shipped = Path(__file__).resolve().parents[2] / "configs" / "default.yaml"
    assert text == shipped.read_text(encoding="utf-8"), "write it anew: raypipe config default > configs/default.yaml"
    lines = text.splitlines()
    indent = [len(line) - len(line.lstrip()) for line in lines]
    leaves = [
        i
        for i, line in enumerate(lines)
        if re.match(r" +\w+:", line) and (i + 1 == len(lines) or not lines[i + 1].strip() or indent[i + 1] <= indent[i])
    ]
    assert leaves
    assert [lines[i] for i in leaves if not lines[i - 1].startswith(" " * indent[i] + "# ")] == []


def test_a_variable_that_nothing_reads_is_told(raypipe, monkeypatch):
    monkeypatch.setenv("RAYPIPE_WORKERS", "2")
    assert "warning: nothing reads the environment variable RAYPIPE_WORKERS" in raypipe("config").err


# --- export ------------------------------------------------------------------------------------------


def test_classic_files(raypipe, built, tmp_path):
    out = tmp_path / "out"
    result = raypipe("export", "--root", built, "--out", out, "--json")
    assert result.code == 0
    names = {"daily_2025.parquet", "weekly.parquet", "daily_filtered_1_9.99.parquet"}
    assert names <= set(files(out)) == {str(Path(file["path"]).relative_to(out)) for file in result.json["files"]}
    daily = pq.read_table(out / "daily_2025.parquet")
    stored = [pq.read_table(path, partitioning=None) for path in sorted((built / "silver" / "daily").glob("*.parquet"))]
    assert daily.num_rows == sum(table.num_rows for table in stored)
    assert daily.column_names[:2] == ["date", "ticker"]
    assert daily.column_names[-2:] == ["year", "month"]
    assert daily.schema.field("ticker").type == pa.string()
    closes = pa.concat_tables([table.select(["close"]) for table in stored])["close"].to_pylist()
    assert daily["close"].to_pylist() == closes


def test_flat_files_and_ranges(raypipe, built, tmp_path):
    args = ("--layout", "flat", "--start", "2025-11-03", "--end", "2025-11-04")
    result = raypipe("export", "--root", built, "--out", tmp_path / "out", *args)
    assert result.code == 0
    assert "day_aggs.parquet" not in files(tmp_path / "out")
    daily = pq.read_table(tmp_path / "out" / "daily.parquet")
    assert {str(day) for day in daily["date"].to_pylist()} == {"2025-11-03", "2025-11-04"}
    bronze = raypipe("export", "--root", built, "--out", tmp_path / "out", "--layout", "flat", "--tables", "day_aggs")
    assert bronze.code == 0
    assert (tmp_path / "out" / "day_aggs.parquet").is_file()


def test_cells_cannot_run_in_a_spreadsheet(tmp_path):
    from raypipe.pipeline.export import Order, _shaped
    from raypipe.schema.tables import SYMBOL_TYPES

    names = ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", "BRK.B", "a=b", ""]
    rows = SYMBOL_TYPES.empty().schema.empty_table()
    columns = {field.name: pa.nulls(len(names), field.type) for field in rows.schema}
    columns["symbol"] = pa.array(names).dictionary_encode()
    shaped = _shaped(pa.table(columns), Order(Path("x"), kind="csv"))
    assert shaped["ticker"].to_pylist() == ["'=1+1", "'+1", "'-1", "'@SUM(A1)", "'\tx", "'\rx", "BRK.B", "a=b", ""]


def test_csv_files(raypipe, built, tmp_path):
    assert raypipe("export", "--root", built, "--out", tmp_path / "o", "--format", "csv", "--tables", "daily").code == 0
    with (tmp_path / "o" / "daily_2025.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    stored = pq.read_table(built / "silver" / "daily" / f"date={LAST}.parquet", partitioning=None).to_pylist()
    last = [row for row in rows if row["date"] == LAST]
    assert [row["ticker"] for row in last] == [row["symbol"] for row in stored]
    assert [float(row["close"]) for row in last] == [row["close"] for row in stored]


def test_a_damaged_partition_leaves_no_file(raypipe, own_built, tmp_path):
    path = own_built / "silver" / "weekly" / "date=2025-11-03.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    result = raypipe("export", "--root", own_built, "--out", tmp_path / "out", "--tables", "weekly")
    assert result.code == 1
    assert files(tmp_path / "out") == {}


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["--start", "2030-01-02"], 2, "nothing to export"),
        (["--tables", "day_aggs"], 2, "the classic layout has no file for bronze/day_aggs"),
        (["--format", "xlsx"], 2, "invalid value for '--format'"),
    ],
)
def test_exports_that_cannot_be(raypipe, built, tmp_path, args, code, message):
    result = raypipe("export", "--root", built, "--out", tmp_path / "out", *args)
    assert (result.code, message in result.err) == (code, True), result.err


def test_a_folder_that_cannot_be_written(raypipe, built, tmp_path):
    (tmp_path / "file").touch()
    result = raypipe("export", "--root", built, "--out", tmp_path / "file" / "out")
    assert result.code == 5
    assert "cannot be written" in result.err


# --- report, clean-symbols, synth --------------------------------------------------------------------


def test_the_report_of_a_run(raypipe, own_built, tmp_path):
    (page,) = own_built.glob("runs/*/report.html")
    page.unlink()
    result = raypipe("report", "--root", own_built)
    assert result.out == f"report: {page}\n"
    text = page.read_text(encoding="utf-8")
    assert page.parent.name in text
    assert raypipe("report", "--root", own_built, "--out", tmp_path / "r.html").code == 0
    assert (tmp_path / "r.html").read_text(encoding="utf-8") == text
    assert raypipe("report", "--root", own_built, "--run-id", "../x").code == 2
    (tmp_path / "empty").mkdir()
    assert "there is no run to report on" in raypipe("report", "--root", tmp_path / "empty").err


def test_symbols_are_decided_and_counted(raypipe, lake, market):
    assert raypipe("clean-symbols", "--root", lake, "--dry-run").code == 1  # no bronze yet
    built = raypipe("clean-symbols", "--root", lake, "--session", FIRST, "--json")
    assert built.code == 0
    document = built.json
    assert document["session"] == FIRST
    assert document["symbols"] == sum(reason["symbols"] for reason in document["reasons"])
    assert document["reasons"][0]["reason"] == "tradable"
    assert set(files(lake, "silver")) == {f"silver/symbol_types/date={FIRST}.parquet"}
    reference = ("--reference", market / "reference" / "tickers.csv")
    listed = raypipe("clean-symbols", "--root", lake, "--session", FIRST, "--dry-run", "--json", *reference).json
    assert {reason["reason"] for reason in listed["reasons"]} != {reason["reason"] for reason in document["reasons"]}
    assert all(len(reason["samples"]) <= 20 for reason in document["reasons"])


def test_the_latest_session_is_meant(raypipe, built):
    assert raypipe("clean-symbols", "--root", built, "--dry-run", "--json").json["session"] == LAST
    dry = raypipe("clean-symbols", "--root", built, "--dry-run").out
    assert dry.splitlines()[0].startswith(f"{LAST}: ")


@pytest.mark.parametrize(("session", "code"), [("2025-11-08", 2), ("2025-12-01", 4)])
def test_symbols_of_sessions_that_are_not_there(raypipe, lake, session, code):
    assert raypipe("clean-symbols", "--root", lake, "--session", session).code == code


def test_a_market_is_written_once(raypipe, tmp_path):
    args = ("--sessions", "1", "--symbols", "2", "--history", "0", "--seed", "5", "--start-date", FIRST)
    first = raypipe("synth", "--out", tmp_path / "a", *args, "--json")
    assert first.code == 0
    assert first.json["sessions"] == [FIRST]
    assert raypipe("synth", "--out", tmp_path / "b", *args).code == 0
    assert files(tmp_path / "a") == files(tmp_path / "b")
    again = raypipe("synth", "--out", tmp_path / "a", *args)
    assert (again.code, "is not empty" in again.err) == (2, True)
    assert raypipe("synth", "--out", tmp_path / "a", *args, "--force").code == 0


def test_a_market_names_the_command_that_takes_it_in(raypipe, tmp_path):
    small = ("--sessions", "1", "--symbols", "2", "--history", "0")
    told = raypipe("synth", "--out", tmp_path / "bars", *small)
    assert told.out.startswith(f"2 files of 1 session and 0 before in {tmp_path / 'bars'}\n")
    daily = ("--datasets", "daily", "--daily-symbols", "2", "--daily-sessions", "30")
    other = raypipe("synth", "--out", tmp_path / "daily", *daily)
    assert other.out == f"daily bars in {tmp_path / 'daily' / 'daily' / 'bars.csv'}\n"
    for result, steps in ((told, ("symbols",)), (other, ("bars_1d",))):
        _, _, command = result.err.partition("hint: next: raypipe ")
        lake = ("--root", tmp_path / steps[0], "--no-process")
        assert raypipe(*shlex.split(command), *lake).code == 0
        assert raypipe("run", "--root", tmp_path / steps[0], *sets_of(command), "--steps", *steps).code == 0


def sets_of(command: str) -> list[str]:
    words = shlex.split(command)
    return [word for i, word in enumerate(words) if "--set" in (word, words[i - 1])]


def test_faults_on_request(raypipe, tmp_path):
    args = ("--sessions", "2", "--symbols", "2", "--history", "0", "--faults", "cut_half", "bad_crc")
    document = raypipe("synth", "--out", tmp_path / "m", *args, "--json").json
    assert [fault["kind"] for fault in document["faults"]] == ["cut_half", "bad_crc"]
    assert raypipe("synth", "--out", tmp_path / "n", "--faults", "none", *args[:6], "--json").json["faults"] == []
    assert raypipe("synth", "--out", tmp_path / "o", "--faults", "fire").code == 2


def test_two_runs_are_compared(raypipe, own_built, tmp_path):
    first = next(own_built.glob("runs/*/run.json")).parent.name
    assert raypipe("run", "--root", own_built, "--force", *DAY_STEPS, "--set", "daily.adjust=none").code == 0
    second = max(path.parent.name for path in own_built.glob("runs/*/run.json"))
    result = raypipe("report", "--root", own_built, "--compare", first, second)
    assert result.code == 0
    assert "partitions built by both" in result.out
    page = own_built / "runs" / second / f"against-{first}.html"
    assert result.out.splitlines()[-1] == f"report: {page}"
    assert "daily.adjust" in page.read_text("utf-8")
    out = tmp_path / "two.html"
    document = raypipe("report", "--root", own_built, "--compare", first, second, "--out", out, "--json").json
    assert {row["key"] for row in document["config"]} >= {"daily.adjust"}
    assert document["partitions"]["both"] > 0
    assert out.is_file()
    assert raypipe("report", "--root", own_built, "--compare", first, "20000101T000000Z-000000").code == 2
    assert raypipe("report", "--root", own_built, "--compare", first, second, "--run-id", first).code == 2
    assert raypipe("report", "--root", own_built, "--compare", "../x", second).code == 2
