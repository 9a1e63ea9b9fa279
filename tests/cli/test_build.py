"""raypipe build: bronze of books and prints from files that are named."""

from __future__ import annotations

import pytest

from tests.sources.dbn_files import at, trades, write

KEY = "2024-01-08"


@pytest.fixture
def file(tmp_path):
    return write(tmp_path / "files" / "a.dbn.zst", trades([at("14:30") + m * 60 * 10**9 for m in range(390)]))


def build(raypipe, root, *args):
    return raypipe("build", "es_trades", "--root", root, "--executor", "serial", *args)


def test_a_table_from_a_file(raypipe, tmp_path, file):
    root = tmp_path / "lake"
    dry = build(raypipe, root, "--source", file, "--dry-run", "--json")
    assert (dry.code, dry.json["to_build"]) == (0, 2)
    assert not root.exists()
    done = build(raypipe, root, "--source", file, "--dates", KEY)
    assert done.code == 0
    assert (root / f"bronze/es_trades/date={KEY}.parquet").is_file()
    assert "nothing to do" in build(raypipe, root, "--source", file.parent, "--dates", KEY).out
    assert "1 built" in build(raypipe, root, "--source", file.parent, "--dates", KEY, "--force").out


def test_a_range_of_sessions(raypipe, tmp_path, file):
    root = tmp_path / "lake"
    assert build(raypipe, root, "--source", file, "--start-date", "2024-01-09", "--end-date", "2024-01-09").code == 0
    assert [path.name for path in (root / "bronze/es_trades").iterdir()] == ["date=2024-01-09.parquet"]


def test_the_configuration_may_name_the_files(raypipe, tmp_path, file):
    done = build(raypipe, tmp_path / "lake", "--set", f"signals.sources.es_trades={file.parent}")
    assert done.code == 0


@pytest.mark.parametrize(
    ("args", "code", "text"),
    [
        (("--source", "nowhere"), 2, "no file at"),
        ((), 1, "there is no file to build from"),
        (("--dates", "2024-01-07"), 2, "not a session"),
        (("--dates", "2024-02-01"), 4, "no file of 2024-02-01"),
    ],
)
def test_mistakes(raypipe, tmp_path, file, args, code, text):
    source = () if "--source" in args or not args else ("--source", file)
    result = build(raypipe, tmp_path / "lake", *source, *args)
    assert result.code == code
    assert text in result.err


def test_other_tables_are_not_built_so(raypipe, tmp_path):
    result = raypipe("build", "daily", "--root", tmp_path / "lake")
    assert result.code == 2
    assert "es_trades, es_mbp10, spy_option_trades" in result.err


def test_a_cut_file_is_named_with_its_offset(raypipe, tmp_path, file):
    file.write_bytes(file.read_bytes()[:-3])
    result = build(raypipe, tmp_path / "lake", "--source", file)
    assert result.code == 1
    assert f"offset {file.stat().st_size}" in result.out + result.err
