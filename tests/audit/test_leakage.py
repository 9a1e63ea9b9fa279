"""Every planted cheat is caught and named by column; what is honest is clean; what cannot be proved is said."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from raypipe.calendar import calendar
from raypipe.errors import NotYetError
from raypipe.lake.store import Lake
from tests.audit.conftest import audit, config_of


def leaking(columns) -> set[str]:
    return {name for name, column in columns.items() if column.verdict == "leaks"}


# --- cheats ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "columns"),
    [
        ("cheat_honest", set()),
        ("cheat_in_time", set()),
        ("cheat_next_close", {"value"}),
        ("cheat_whole_sample", {"value"}),
        ("cheat_later_splits", {"value"}),
        ("cheat_survivors", {"symbol"}),
        ("cheat_too_early", {"symbol", "value", "other"}),
        ("cheat_labels", set()),
        ("cheat_labels_late", {"label_higher"}),
    ],
)
def test_session_tables(audited, table, columns):
    assert leaking(audited(f"silver/{table}")) == columns


def test_the_first_offending_row_is_named(audited, built):
    first = audited("silver/cheat_next_close")["value"].first
    stored = _read(built, "silver/cheat_next_close", first.partition)
    row = stored.filter(pa.compute.equal(stored["symbol"].cast(pa.string()), first.key["symbol"]))
    assert first.key == {"symbol": stored["symbol"][0].as_py()}
    assert first.stored == row["value"][0].as_py()
    assert first.recomputed is None
    assert first.probe == "cut"
    assert first.cut_ns == calendar().session(dt.date.fromisoformat(first.partition)).ext_end_ns


def test_whole_samples_are_caught_by_company(audited):
    column = audited("silver/cheat_whole_sample")["value"]
    assert column.first.probe == "noise"
    assert column.first.stored != column.first.recomputed


def test_rows_that_survive_are_charged_to_the_key(audited):
    column = audited("silver/cheat_survivors")["symbol"]
    assert column.first.recomputed == "(no row)"


def test_inside_the_session(audited):
    columns = audited("gold/cheat_inside")
    assert leaking(columns) == {"next_close", "last_close", "day_volume", "ten_ahead"}
    assert columns["so_far"].verdict == columns["bars_so_far"].verdict == "clean"
    assert columns["so_far"].moved
    assert columns["bars_so_far"].moved, "missing bars were not noticed"
    first = columns["last_close"].first
    session = calendar().session(dt.date.fromisoformat(first.partition))
    assert session.ext_start_ns < first.key["decision_ns"] <= first.cut_ns < session.ext_end_ns


def test_labels_look_ahead_and_are_settled_in_time(audited):
    columns = audited("gold/cheat_fwd")
    assert columns["fwd_ret"].verdict == "label"
    assert columns["fwd_ret"].moved
    assert leaking(columns) == set()
    daily = audited("silver/cheat_labels")["label_higher"]
    assert (daily.verdict, daily.moved) == ("label", True)
    assert audited("silver/cheat_labels_late")["label_higher"].first.cut_ns


def test_a_label_among_features_is_found_by_value_and_by_role(audited):
    columns = audited("gold/cheat_dataset")
    assert leaking(columns) == {"borrowed"}
    assert columns["fwd_ret"].verdict == "label"
    assert columns["so_far"].verdict == "clean"
    assert columns["fwd_dn"].constant


def test_a_label_under_its_own_name_is_no_feature(built, monkeypatch):
    from raypipe.pipeline.replay import Replay

    declared = Replay(config_of(built)).tables
    claims = {**declared, "gold/elsewhere": _with_label("so_far", declared["gold/cheat_fwd"])}
    monkeypatch.setattr(Replay, "tables", claims)
    report = audit(built, "gold/cheat_inside", sessions=1)
    (column,) = [c for _, c in report.leaks if c.name == "so_far"]
    assert column.first.probe == "declared"
    assert column.first.stored == "a label of gold/elsewhere"


def _with_label(name, table):
    from dataclasses import replace

    columns = tuple(replace(c, name=name) if c.role == "label" else c for c in table.columns)
    return replace(table, name="gold/elsewhere", columns=columns)


def test_chance_is_no_leak(audited):
    column = audited("silver/cheat_chance")["value"]
    assert column.verdict == "differs"
    assert column.first.probe == "rebuild"


def test_what_cannot_be_made_without_the_future_is_no_proof(built):
    report = audit(built, "silver/cheat_fragile")
    (table,) = report.tables
    assert report.exit_code == 1
    assert {problem.kind for problem in table.problems} == {"failed"}
    assert "with the future cut off" in table.problems[0].message
    assert "nobody trades in the next session" in table.problems[0].message


# --- what is honest --------------------------------------------------------------------------------


def test_the_other_tables_of_the_lake_are_clean(built):
    names = ["bronze/splits", "bronze/reference", "bronze/day_aggs", "bronze/minute_aggs", "silver/symbol_types"]
    report = audit(built, *names)
    assert report.exit_code == 0
    assert {column.verdict for table in report.tables for column in table.columns} == {"clean"}
    assert [table.name for table in report.tables if table.moments] == ["silver/symbol_types"]


def test_nothing_is_written(built):
    before = {path: path.stat().st_mtime_ns for path in built.rglob("*")}
    audit(built, "bronze/minute_aggs", "gold/cheat_inside", sessions=1)
    assert {path: path.stat().st_mtime_ns for path in built.rglob("*")} == before


def test_the_same_seed_gives_the_same_report(built):
    reports = [audit(built, "gold/cheat_inside", sessions=2, seed=seed).to_dict() for seed in (3, 3, 4)]
    assert reports[0] == reports[1]
    assert reports[0] != reports[2]
    json.dumps(reports[0])


def test_progress_is_told(built):
    from raypipe.audit.leakage import audit_leakage
    from raypipe.pipeline.replay import Replay

    told = []
    replay = Replay(config_of(built))
    audit_leakage(replay, ["bronze/day_aggs", "bronze/splits"], sessions=2, progress=lambda *each: told.append(each))
    assert told == [(i, len(told)) for i in range(1, len(told) + 1)]
    assert len(told) > 3


# --- lakes that cannot be proved -------------------------------------------------------------------


def _read(root: Path, name: str, partition: str) -> pa.Table:
    from raypipe.pipeline.replay import Replay

    return Replay(config_of(root)).stored(name, partition)


def _tamper(root: Path, name: str, partition: str) -> None:
    """Change one value of a stored partition, and nothing that it says of itself."""
    from raypipe.pipeline.replay import Replay

    config = config_of(root)
    spec, lake = Replay(config).tables[name], Lake(config.lake.location)
    rows = lake.read(spec, partition)
    values = rows["other"].to_numpy().copy()
    values[-1] = np.nextafter(values[-1], 0.0)
    changed = rows.set_column(rows.schema.get_field_index("other"), spec.arrow.field("other"), pa.array(values))
    lake.write(spec, partition, changed, lake.manifest(spec, partition))


def test_a_changed_file_differs_in_the_changed_column(own):
    name = "silver/cheat_honest"
    for path in (own / name).glob("*"):
        _tamper(own, name, path.stem.removeprefix("date="))
    report = audit(own, name)
    (table,) = report.tables
    assert report.exit_code == 1
    assert [column.name for column in table.columns if column.verdict == "differs"] == ["other"]
    assert table.columns[3].first.key == {"symbol": _read(own, name, table.partitions[0])["symbol"][-1].as_py()}


def test_a_stale_partition_is_no_proof(own):
    path = next((own / "raw").rglob("*day_aggs*/**/2025-11-04.csv.gz"))
    path.write_bytes(next((own / "raw").rglob("*day_aggs*/**/2025-11-03.csv.gz")).read_bytes())
    report = audit(own, "silver/cheat_in_time", sessions=20)
    (table,) = report.tables
    assert report.exit_code == 1
    assert [(p.partition, p.kind) for p in table.problems] == [("2025-11-04", "stale")]
    assert "input changed: bronze/day_aggs" in table.problems[0].message
    assert {column.verdict for column in table.columns} == {"clean"}


def test_bronze_without_its_raw_file_is_no_proof(own):
    next((own / "raw").rglob("*day_aggs*/**/2025-11-04.csv.gz")).unlink()
    (table,) = audit(own, "bronze/day_aggs", sessions=20).tables
    assert [(p.partition, p.message) for p in table.problems] == [("2025-11-04", "its raw file is gone")]


def test_a_damaged_partition_is_no_proof(own):
    path = own / "silver/cheat_honest/date=2025-11-04.parquet"
    data = bytearray(path.read_bytes())
    data[20] ^= 0xFF
    path.write_bytes(bytes(data))
    (table,) = audit(own, "silver/cheat_honest", sessions=20).tables
    assert [p.partition for p in table.problems] == ["2025-11-04"]


def test_an_empty_lake_is_not_there_yet(tmp_path):
    (tmp_path / "lake").mkdir()
    with pytest.raises(NotYetError, match="holds no partition of"):
        audit(tmp_path / "lake")


def test_a_split_that_the_lake_does_not_have_yet_is_invented(built):
    from raypipe.audit.probes import TableAudit
    from raypipe.pipeline.replay import Replay

    replay = Replay(config_of(built))
    name = "silver/cheat_later_splits"
    proof = TableAudit(replay, name, seed=7)
    proof.prove(replay.partitions(name)[-1])
    (column,) = [c for c in proof.report().columns if c.verdict == "leaks"]
    assert (column.name, column.first.probe) == ("value", "noise")
