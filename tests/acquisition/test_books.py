"""Books and prints from a folder: what each file is, where it goes, and that only whole files are taken."""

from __future__ import annotations

import datetime as dt
import gzip
import json
from pathlib import Path

import pytest

from raypipe.acquisition.acquire import IngestReport
from raypipe.acquisition.books import BookAdoption, adopt_books, find_books
from raypipe.acquisition.receipts import receipt_of
from raypipe.pipeline.book_probe import probe
from tests.acquisition.vendor import LATER, lake_at, raw_keys
from tests.sources.dbn_files import DAY, ESH4, NAMES, SPREAD, at, books, trades, write

TRADES = "raw/databento/GLBX.MDP3/trades/a.trades.dbn.zst"
BOOKS = "raw/databento/GLBX.MDP3/mbp-10/b.dbn"
PRINTS = "raw/us_options_opra/trades_v1/2024/01/2024-01-08.csv.gz"
TIMES = [at("14:30"), at("15:00")]


@pytest.fixture
def lake(tmp_path):
    return lake_at(tmp_path / "lake")


@pytest.fixture
def folder(tmp_path) -> Path:
    root = tmp_path / "files"
    write(root / "es/job-1/a.trades.dbn.zst", trades(TIMES))
    write(root / "es/job-1/b.dbn", books(TIMES))
    prints(root / "options/prints of monday.csv.gz")
    return root


def prints(path: Path, first: int = TIMES[0], header: str = "ticker,conditions,price,sip_timestamp,size") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(f"{header}\nO:SPY240108C00475000,209,1.25,{first},3\n".encode(), mtime=0))
    return path


def adopt(lake, folder, start=None, end=None, **more) -> IngestReport:
    found = find_books(folder, probe, start, end)
    return IngestReport(adopt_books(found, BookAdoption(lake, LATER, **more)))


def states(report: IngestReport) -> dict[str, str]:
    return {f"raw/{each.key}": each.state for each in report.objects}


def files(lake) -> list[str]:
    return [key for key in raw_keys(lake) if not key.endswith(".receipt.json")]


def test_each_file_goes_where_it_belongs_and_is_then_current(lake, folder, tmp_path):
    seen = []
    report = adopt(lake, folder, progress=seen.append)
    assert states(report) == {BOOKS: "new", TRADES: "new", PRINTS: "new"}
    assert [each.session for each in report.objects] == [DAY] * 3
    assert sorted(map(repr, seen)) == sorted(map(repr, report.objects))
    assert (tmp_path / "lake" / TRADES).samefile(folder / "es/job-1/a.trades.dbn.zst")
    assert receipt_of(lake, PRINTS).fetched_ns == LATER()
    assert files(lake) == sorted([BOOKS, TRADES, PRINTS])
    assert set(states(adopt(lake, folder)).values()) == {"current"}


def test_dry_run_and_ranges(lake, folder, tmp_path):
    assert set(states(adopt(lake, folder, dry_run=True)).values()) == {"new"}
    assert not (tmp_path / "lake").exists()
    assert states(adopt(lake, folder, start=DAY + dt.timedelta(days=1))) == {}
    assert len(states(adopt(lake, folder, start=DAY, end=DAY))) == 3


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("es/job-1/a.trades.dbn.zst", "cut short"),
        ("es/job-1/b.dbn", "ends with part of a record"),
        ("options/prints of monday.csv.gz", "cut short"),
    ],
)
def test_a_cut_file_fails_and_the_others_are_taken(lake, folder, name, reason):
    path = folder / name
    path.write_bytes(path.read_bytes()[:-9])
    report = adopt(lake, folder)
    assert sorted(states(report).values()) == ["failed", "new", "new"]
    (bad,) = (each for each in report.objects if each.state == "failed")
    assert reason in bad.reason
    assert path.name in bad.reason
    assert report.exit_code == 1
    assert len(files(lake)) == 2


def test_what_is_no_dbn_fails(lake, folder):
    (folder / "es/job-1/b.dbn").write_bytes(b"<html></html>")
    (folder / "es/job-1/glbx-mdp3-20240109.trades.dbn").write_bytes(b"<html></html>")
    (folder / "es/job-1/glbx-mdp3-20241399.trades.dbn").write_bytes(b"<html></html>")
    bad = [each for each in adopt(lake, folder).objects if each.state == "failed"]
    assert all("not a DBN file" in each.reason for each in bad)
    assert [each.session.year for each in bad] == [1970, 1970, 2024]


def test_files_of_others_are_passed_over(lake, folder, caplog):
    write(folder / "other/x.trades.dbn", trades(TIMES), dataset="XNAS.ITCH")
    write(folder / "other/bars.dbn", trades(TIMES), schema="ohlcv-1m")
    write(folder / "other/nq.dbn", trades(TIMES, ids=SPREAD), names={SPREAD: "NQH4"})
    prints(folder / "us_stocks_sip/minute.csv.gz", header="ticker,volume,open,close,window_start")
    assert set(files_of(adopt(lake, folder))) == {"a.trades.dbn.zst", "b.dbn", "2024-01-08.csv.gz"}
    told = [record.getMessage() for record in caplog.records]
    assert sum("is passed over" in text for text in told) == 3


def files_of(report: IngestReport) -> list[str]:
    return [each.key.rpartition("/")[2] for each in report.objects]


def test_what_names_the_instruments_comes_along(lake, folder):
    names = {ESH4: NAMES[ESH4]}
    write(folder / "old/job-2/c.trades.dbn", trades(TIMES), names={})
    content = {"result": {n: [{"d0": "2024-01-01", "d1": "2024-02-01", "s": str(i)}] for i, n in names.items()}}
    (folder / "old/job-2/symbology.json").write_text(json.dumps(content))
    (folder / "old/symbology.json").write_text("of others")
    assert {name for name in states(adopt(lake, folder)) if "job-2" in name} == {
        "raw/databento/GLBX.MDP3/job-2/c.trades.dbn",
        "raw/databento/GLBX.MDP3/job-2/symbology.json",
    }


def test_the_same_file_twice_is_one_and_another_of_its_name_is_refused(lake, folder):
    write(folder / "again/a.trades.dbn.zst", trades(TIMES))
    assert states(adopt(lake, folder))[TRADES] == "new"
    write(folder / "again/a.trades.dbn.zst", trades([*TIMES, at("15:01")]))
    report = adopt(lake, folder)
    assert states(report)[TRADES] == "failed"
    assert "differs" in next(each.reason for each in report.objects if each.state == "failed")


def test_other_content_replaces_and_the_older_file_is_kept(lake, folder):
    adopt(lake, folder)
    path = folder / "es/job-1/a.trades.dbn.zst"
    path.unlink()  # a new file: the old one is shared with the lake
    write(path, trades([*TIMES, at("15:01")]))
    assert states(adopt(lake, folder))[TRADES] == "changed"
    assert [key for key in files(lake) if "_superseded" in key]


def test_a_folder_of_nothing(lake, tmp_path):
    assert adopt(lake, tmp_path).objects == ()
