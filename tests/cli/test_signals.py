"""``raypipe signals``: lists, runs, counts, the export, exit codes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from raypipe.schema.books import ES_MBP10
from tests.cli.conftest import files
from tests.signal_lake import BUILT, WARM, write_bronze

Call = Callable[..., Any]


@pytest.fixture(scope="module")
def bronze(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake of bronze alone; not to be changed."""
    root = tmp_path_factory.mktemp("bronze") / "lake"
    write_bronze(root)
    return root


@pytest.fixture
def own(bronze: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bronze, tmp_path / "lake", copy_function=os.link))


def test_a_dry_run_lists_sessions_and_touches_nothing(raypipe: Call, own: Path):
    before = files(own)
    found = raypipe("signals", "--root", own, "--dry-run", "--json")
    assert found.code == 0
    assert [(one["session"], one["state"]) for one in found.json["sessions"]] == [
        *((key, "ineligible") for key in WARM),
        *((key, "run") for key in BUILT),
    ]
    assert found.json["counts"] == {"ineligible": 7, "run": 3}
    text = raypipe("signals", "--root", own, "--dry-run", "--start-date", BUILT[0])
    assert text.out.splitlines()[-1] == "3 run"
    assert files(own) == before


def test_a_run_says_what_became_of_sessions_and_what_stands_in_them(raypipe: Call, own: Path):
    done = raypipe("signals", "--root", own, "--dates", f"{BUILT[1]},{BUILT[2]}", "--workers", 1, "--json")
    assert done.code == 0, done.err
    assert (done.json["done"], done.json["current"], done.json["failed"]) == ([BUILT[1], BUILT[2]], [], {})
    assert done.json["rows"] == sum(done.json["counts"]["outcome"].values()) > 0
    again = raypipe("signals", "--root", own, "--dates", BUILT[2])
    assert (again.code, again.out.splitlines()[0]) == (0, "sessions: 0 done, 1 current, 0 failed")
    assert "level_kind_name: " in again.out
    forced = raypipe("signals", "--root", own, "--dates", BUILT[2], "--force", "--dry-run")
    assert "stale" in forced.out
    assert "forced" in forced.out
    bars = raypipe("signals", "--root", own, "--dates", BUILT[2], "--cadence", "bar", "--dry-run")
    assert "silver/touches: params changed" in bars.out


def test_the_export_writes_one_file(raypipe: Call, own: Path, tmp_path: Path):
    assert raypipe("signals", "--root", own, "--workers", 1).code == 0
    done = raypipe("signals", "export", "--root", own, "--json")
    assert done.code == 0
    assert done.json["file"]["sessions"] == 3
    assert pq.ParquetFile(own / "gold" / "signals_multi_day.parquet").num_row_groups == 3
    some = raypipe(
        "signals", "export", "--root", own, "--columns", "event_id,outcome", "--output", tmp_path / "x.parquet"
    )
    assert some.code == 0
    assert pq.read_schema(tmp_path / "x.parquet").names == ["event_id", "outcome"]
    wrong = raypipe("signals", "export", "--root", own, "--columns", "outcom")
    assert (wrong.code, "did you mean outcome" in wrong.err) == (2, True)


def test_a_session_that_fails_leaves_the_others(raypipe: Call, tmp_path: Path):
    root = write_bronze(tmp_path / "lake", lacking={(ES_MBP10.name, BUILT[0])}).location.root
    done = raypipe("signals", "--root", root, "--dates", BUILT[0], BUILT[1], "--workers", 1, "--json")
    assert done.code == 1
    assert (done.json["done"], done.json["failed"]) == ([BUILT[1]], {BUILT[0]: "bronze/es_mbp10 is missing"})
    assert f"{BUILT[0]} failed: bronze/es_mbp10 is missing" in done.err


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--dates", "2025-02-01"), "not a session"),
        (("--dates", "2025-02-05", "--start-date", "2025-02-03"), "exclude each other"),
        (("--start-date", "2025-02-05", "--end-date", "2025-02-03"), "before the start"),
        (("--end-date", WARM[2]), "no session"),
        (("--columns", "outcome"), "goes with `raypipe signals export` only"),
        (("export", "--force"), "does not go with an export"),
        (("export",), "no session"),
        (("--cadence", "tick"), "--cadence"),
    ],
)
def test_what_cannot_be_meant_ends_with_two(raypipe: Call, bronze: Path, args: tuple[str, ...], said: str):
    found = raypipe("signals", *args, "--root", bronze)
    assert (found.code, said in found.err) == (2, True), found.err


def test_a_dry_run_without_an_eligible_session_lists_and_ends_with_two(raypipe: Call, bronze: Path):
    found = raypipe("signals", "--root", bronze, "--end-date", WARM[2], "--dry-run")
    assert found.code == 2
    assert found.out.splitlines()[-1] == "3 ineligible"
