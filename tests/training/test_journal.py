"""Journals of studies: the chain, what is cut off, what is refused, and who may write."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.errors import DataQualityError, DeveloperError, UsageError
from raypipe.lake.location import Location
from raypipe.training.journal import ConfigResult, Final, Header, Journal, oof_row, read_study, study_key
from raypipe.training.study_lock import locked
from tests.servers import S3Server

KEY = study_key("0123456789ab", "xgboost", "BRK.B")
ROWS = 7
HEADER = Header(
    study="xgboost/BRK.B",
    algorithm="xgboost",
    scope="BRK.B",
    target="direction_5d",
    space="safe",
    seed=42,
    n_configs=5,
    fingerprint="f" * 64,
    splits_sha256="5" * 64,
    data_sha256="d" * 64,
    features_sha256="e" * 64,
    code_version="1.0",
    libraries={"optuna": "5.0.0", "xgboost": "3.2.0"},
)


def result(i: int, seconds: float = 0.5) -> ConfigResult:
    return ConfigResult(
        i=i,
        source="random",
        params={"max_depth": 3, "eta": 0.1 / (i + 1)},
        fold_value=(0.5 + i / 100, None, 1 / 3),
        fold_rounds=(100, None, 30),
        fold_stop=("drawn", None, "tail"),
        value=0.5,
        state="complete",
        seconds=seconds,
        cpu_s=seconds,
    )


def row(i: int) -> np.ndarray:
    found = np.arange(ROWS, dtype=np.float32) + 10 * i
    found[0] = np.nan
    return found


def write(location: Location, count: int = 3, *, final: bool = False, header: Header = HEADER) -> list[str]:
    """Go on with a journal until it has so many configurations; what it warned of."""
    journal = Journal.open(location, KEY, header, ROWS)
    for i in range(len(journal.configs), count):
        journal.append(result(i), row(i))
    if final and journal.final is None:
        journal.finish(Final(0, 0.5, count, 0, 0))
    journal.close()
    return journal.warnings


@pytest.fixture
def here(tmp_path: Path) -> Location:
    return Location.parse(str(tmp_path))


def lines_path(here: Location) -> Path:
    return Path(here.root) / KEY / "journal.jsonl"


def rows_path(here: Location) -> Path:
    return Path(here.root) / KEY / "oof.f32"


def contents(folder: Path) -> tuple[bytes, bytes]:
    return (folder / "journal.jsonl").read_bytes(), (folder / "oof.f32").read_bytes()


def test_what_is_written_is_read(here):
    write(here, 4, final=True)
    study = read_study(here, KEY)
    assert study.header == HEADER
    assert study.configs == tuple(result(i) for i in range(4))
    assert study.winner == result(0)
    for i in range(4):
        np.testing.assert_array_equal(oof_row(study, i), row(i))
    assert not (lines_path(here).parent / "lock").exists()


def test_the_files_are_as_documented(here):
    write(here, 2, final=True)
    lines = [json.loads(line) for line in lines_path(here).read_bytes().splitlines()]
    assert [line["kind"] for line in lines] == ["header", "config", "config", "final"]
    assert lines[0]["schema"] == 1
    assert lines[0]["prev"] == ""
    stored = np.fromfile(rows_path(here), np.float32).reshape(2, ROWS)
    np.testing.assert_array_equal(stored, [row(0), row(1)])


def test_times_do_not_enter_the_chain(here, tmp_path):
    other = Location.parse(str(tmp_path / "other"))
    for where, seconds in ((here, 0.1), (other, 9.0)):
        journal = Journal.open(where, KEY, HEADER, ROWS)
        journal.append(result(0, seconds), row(0))
        journal.append(result(1, seconds), row(1))
        journal.close()
    chains = [
        [json.loads(line)["prev"] for line in lines_path(where).read_bytes().splitlines()] for where in (here, other)
    ]
    assert chains[0] == chains[1]


def test_predictions_of_a_study_that_goes_on_are_refused(here):
    write(here)
    study = read_study(here, KEY)
    assert study.winner is None
    with pytest.raises(UsageError, match="has not ended"):
        study.oof(0)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A lake whose study has 3 configurations; not to be changed."""
    folder = tmp_path_factory.mktemp("whole")
    write(Location.parse(str(folder)))
    return folder


@given(lost=st.integers(0, 3000), torn_row=st.integers(0, 4 * ROWS))
def test_a_journal_cut_anywhere_goes_on_to_the_same_bytes(whole, tmp_path_factory, lost, torn_row):
    """Lines lose any number of bytes at the end; rows are there up to one more than lines, the last one torn."""
    here = Location.parse(str(tmp_path_factory.mktemp("cut")))
    lines, rows = contents(whole / KEY)
    kept = lines[: max(0, len(lines) - lost)]
    configs = max(0, kept.count(b"\n") - 1)
    lines_path(here).parent.mkdir(parents=True)
    lines_path(here).write_bytes(kept)
    rows_path(here).write_bytes(rows[: configs * 4 * ROWS + torn_row])
    torn = not kept.endswith(b"\n") and kept
    warned = write(here)
    assert contents(lines_path(here).parent) == (lines, rows)
    assert bool(warned) == bool(torn or (torn_row and configs * 4 * ROWS < len(rows)))


def test_zeros_that_a_power_cut_left_are_cut_off(here):
    write(here, 2)
    before = contents(lines_path(here).parent)
    with lines_path(here).open("ab") as file:
        file.write(b"\0" * 100 + b"\n")
    (warning,) = write(here, 2)
    assert "line 4" in warning
    assert contents(lines_path(here).parent) == before


@pytest.mark.parametrize("line", [1, 2, 3])
@pytest.mark.parametrize("reader", ["write", "read"])
def test_an_edited_line_is_named(here, line, reader):
    write(here, 4)
    lines = lines_path(here).read_bytes().splitlines(keepends=True)
    lines[line - 1] = lines[line - 1].replace(b'"state":"complete"', b'"state":"pruned"').replace(b"direction_5d", b"x")
    lines_path(here).write_bytes(b"".join(lines))
    with pytest.raises(DataQualityError) as caught:
        write(here) if reader == "write" else read_study(here, KEY)
    assert caught.value.values["line"] == line
    assert caught.value.exit_code == 3


def test_an_edited_hash_is_named(here):
    write(here, 4)
    lines = lines_path(here).read_bytes().splitlines(keepends=True)
    was = json.loads(lines[2])["prev"].encode()
    lines[2] = lines[2].replace(was, b"0" * 64)
    lines_path(here).write_bytes(b"".join(lines))
    with pytest.raises(DataQualityError, match="line 3"):
        write(here)


@pytest.mark.parametrize("edit", [lambda lines: lines[:2] + lines[3:], lambda lines: [lines[0], *lines[2:0:-1]]])
def test_a_line_taken_out_or_moved_is_noticed(here, edit):
    write(here, 4)
    lines = lines_path(here).read_bytes().splitlines(keepends=True)
    lines_path(here).write_bytes(b"".join(edit(lines)))
    with pytest.raises(DataQualityError):
        write(here)


def test_an_edited_time_is_no_edit(here):
    write(here, 3)
    lines_path(here).write_bytes(lines_path(here).read_bytes().replace(b'"seconds":0.5', b'"seconds":0.25'))
    assert not write(here, 4)


def test_rows_that_are_gone_are_refused(here):
    write(here, 3)
    os.truncate(rows_path(here), 4 * ROWS)
    with pytest.raises(DataQualityError, match="3 configurations, but 1 rows"):
        write(here)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"seed": 43}, "seed"),
        ({"n_configs": 6}, "n_configs"),
        ({"data_sha256": "0" * 64}, "data_sha256"),
        ({"libraries": {"optuna": "5.0.0", "xgboost": "3.3.0"}}, "libraries.xgboost"),
        ({"libraries": {"optuna": "5.0.0"}}, "libraries.xgboost"),
    ],
)
def test_a_journal_of_another_study_is_refused(here, change, field):
    write(here)
    before = contents(lines_path(here).parent)
    with pytest.raises(UsageError) as caught:
        write(here, header=replace(HEADER, **change))
    assert caught.value.values["field"] == field
    assert caught.value.exit_code == 2
    assert contents(lines_path(here).parent) == before


def test_only_the_next_configuration_fits(here):
    journal = Journal.open(here, KEY, HEADER, ROWS)
    for wrong in (lambda: journal.append(result(1), row(1)), lambda: journal.append(result(0), row(0)[:3])):
        with pytest.raises(DeveloperError):
            wrong()
    journal.close()


# --- one writer --------------------------------------------------------------------------------


def test_a_second_writer_is_told_who_writes(here):
    journal = Journal.open(here, KEY, HEADER, ROWS)
    with pytest.raises(UsageError) as caught:
        Journal.open(here, KEY, HEADER, ROWS)
    assert caught.value.values["pid"] == os.getpid()
    assert {"host", "start"} <= set(caught.value.values)
    journal.close()
    Journal.open(here, KEY, HEADER, ROWS).close()


def test_a_reader_needs_no_lock(here):
    journal = Journal.open(here, KEY, HEADER, ROWS)
    journal.append(result(0), row(0))
    assert read_study(here, KEY).configs == (result(0),)
    journal.close()


def test_the_lock_of_a_killed_writer_is_taken_over(tmp_path):
    code = (
        "import os, signal, sys; from pathlib import Path; from raypipe.training.study_lock import locked\n"
        "with locked(Path(sys.argv[1])): os.kill(os.getpid(), signal.SIGKILL)"
    )
    path = tmp_path / "lock"
    killed = subprocess.run([sys.executable, "-c", code, str(path)], check=False, timeout=60)
    assert killed.returncode == -9
    assert json.loads(path.read_bytes())["pid"] != os.getpid()
    with locked(path):
        assert json.loads(path.read_bytes())["pid"] == os.getpid()
    assert not path.exists()


def test_who_waits_gets_the_lock(tmp_path):
    code = (
        "import sys; from pathlib import Path; from raypipe.training.study_lock import locked\n"
        "with locked(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    )
    path = tmp_path / "lock"
    command = [sys.executable, "-c", code, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(UsageError, match=f"pid {holder.pid}"), locked(path):
            pass
        holder.stdin.close()
        with locked(path, wait=60):
            assert json.loads(path.read_bytes())["pid"] == os.getpid()


# --- objects -----------------------------------------------------------------------------------


def test_on_s3_each_configuration_is_an_object_of_its_own(s3_server: S3Server):
    bucket = s3_server.bucket()
    here = Location.parse(f"s3://{bucket}/lake", endpoint_url=s3_server.endpoint_url)
    write(here, 2)
    write(here, 4, final=True)
    study = read_study(here, KEY)
    assert study.configs == tuple(result(i) for i in range(4))
    np.testing.assert_array_equal(study.oof(3), row(3))
    keys = [one["Key"] for one in s3_server.client().list_objects_v2(Bucket=bucket)["Contents"]]
    assert keys == [
        *(f"lake/{KEY}/journal/{n:05d}.json" for n in range(6)),
        *(f"lake/{KEY}/oof/{n:05d}.f32" for n in range(4)),
    ]


def test_on_s3_a_row_without_a_line_is_cut_off_and_a_gap_refused(s3_server: S3Server, tmp_path):
    here = Location.parse(f"s3://{s3_server.bucket()}/lake", endpoint_url=s3_server.endpoint_url)
    write(here, 3)
    client, bucket = s3_server.client(), here.bucket
    client.delete_object(Bucket=bucket, Key=f"lake/{KEY}/journal/00003.json")
    (warning,) = write(here, 2)
    assert "row 2" in warning
    client.delete_object(Bucket=bucket, Key=f"lake/{KEY}/journal/00001.json")
    with pytest.raises(DataQualityError, match="line 2"):
        write(here, 3)


def test_both_forms_hold_the_same_lines(s3_server: S3Server, tmp_path):
    there = Location.parse(f"s3://{s3_server.bucket()}", endpoint_url=s3_server.endpoint_url)
    here = Location.parse(str(tmp_path))
    write(here, 3, final=True)
    write(there, 3, final=True)
    assert read_study(here, KEY).configs == read_study(there, KEY).configs
    client = s3_server.client()
    lines = [client.get_object(Bucket=there.bucket, Key=f"{KEY}/journal/{n:05d}.json")["Body"].read() for n in range(5)]
    assert b"".join(lines) == lines_path(here).read_bytes()
    shutil.rmtree(tmp_path)
