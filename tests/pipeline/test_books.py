"""Raw files of books and prints as inputs of a plan, and the bronze partitions that are made of them."""

from __future__ import annotations

import datetime as dt
import gzip
import json
import threading
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from raypipe.errors import SourceError, UsageError
from raypipe.lake.location import Location
from raypipe.lake.store import Lake
from raypipe.pipeline import book_files
from raypipe.pipeline.book_files import BookFiles
from raypipe.pipeline.book_probe import session_of
from raypipe.pipeline.books import check_sources
from raypipe.pipeline.driver import execute
from raypipe.pipeline.executor import Serial
from raypipe.pipeline.plan import Request, make_plan
from raypipe.pipeline.stages import stages
from raypipe.schema.books import ES_MBP10, ES_TRADES, SPY_OPTION_TRADES
from raypipe.schema.family import linked
from raypipe.schema.signals import SignalPart, SignalsParams, SourceParams
from tests.sources.dbn_files import DAY, ESH4, ESM4, at, books, trades, write

KEY = "2024-01-08"
TRADES = "raw/databento/GLBX.MDP3/trades/a.trades.dbn.zst"


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    (tmp_path / "lake").mkdir()
    return Lake(Location.parse(str(tmp_path / "lake")))


@pytest.fixture(autouse=True)
def forgetful():
    """What a process learnt of files is forgotten, as in a new process."""
    book_files._probed.clear()
    book_files._hashed.clear()


def params_of(**sources: str):
    """The parameters of all stages; sources by name."""
    signals = SignalsParams(sources=SourceParams(**sources))
    found = {stage.name: stage.params() for stage in stages()}
    found = {
        name: signals
        if isinstance(one, SignalsParams)
        else one.model_copy(update={"signals": signals})
        if isinstance(one, SignalPart)
        else one
        for name, one in found.items()
    }
    return linked(found)


def plan(lake: Lake, *steps: str, force: bool = False, **sources: str):
    return make_plan(lake, params_of(**sources), Request(steps=steps or ("es_trades",), force=force))


def run(lake: Lake, *steps: str, force: bool = False, **sources: str):
    return execute(plan(lake, *steps, force=force, **sources), Serial(), stop=threading.Event()).outcomes


def states(lake: Lake, *steps: str, **sources: str) -> dict[str, tuple[str, str]]:
    return {item.partition: (item.state, item.reason) for item in plan(lake, *steps, **sources).items}


def day_trades(n: int = 390, **options):
    return trades([at("14:30") + m * 60 * 10**9 for m in range(n)], **options)


def put(lake: Lake, key: str, rows, **options) -> Path:
    return write(Path(lake.location.root) / key, rows, **options)


# --- two ways in ----------------------------------------------------------------------------------


def test_files_in_raw_are_found_and_built(lake):
    put(lake, TRADES, day_trades())
    put(lake, "raw/databento/GLBX.MDP3/mbp-10/b.dbn.zst", books([at("14:30"), at("15:00")]))
    assert set(states(lake)) == {KEY, "2024-01-09"}  # a UTC day holds two sessions
    outcomes = run(lake, "es_trades", "es_mbp10")
    assert {(o.table, o.partition, o.status, o.rows) for o in outcomes} == {
        (ES_TRADES.name, KEY, "built", 390),
        (ES_TRADES.name, "2024-01-09", "built", 0),
        (ES_MBP10.name, KEY, "built", 2),
        (ES_MBP10.name, "2024-01-09", "built", 0),
    }
    assert {state for state, _ in states(lake, "es_trades", "es_mbp10").values()} == {"current"}
    assert lake.manifest(ES_TRADES, KEY).facts["coverage"] == "1.000000"


def test_files_elsewhere_are_read_in_place_and_their_paths_do_not_count(lake, tmp_path):
    first = write(tmp_path / "here" / "x.dbn", day_trades())
    run(lake, es_trades=str(first.parent))
    before = (tmp_path / "lake" / "bronze/es_trades" / f"date={KEY}.parquet").read_bytes()
    write(tmp_path / "there" / "deep" / "other.dbn", day_trades())
    for given in (f"{tmp_path}/there", f"{tmp_path}/th*/**/*.dbn", f"{tmp_path}/there/deep/other.dbn"):
        assert states(lake, es_trades=given)[KEY] == ("current", "")
    run(lake, force=True, es_trades=f"{tmp_path}/there")
    assert (tmp_path / "lake" / "bronze/es_trades" / f"date={KEY}.parquet").read_bytes() == before


def test_a_source_that_is_not_there_is_a_mistake(lake):
    with pytest.raises(UsageError, match=r"no file at .*nowhere"):
        plan(lake, es_trades="nowhere/*.dbn")


def test_bronze_outlives_its_raw_files(lake):
    path = put(lake, TRADES, day_trades())
    run(lake)
    path.unlink()
    assert states(lake)[KEY] == ("current", "raw file gone")


def test_a_lake_without_books_notices_nothing(make_lake, params):
    tables = {item.table for item in make_plan(make_lake(), params, Request()).items}
    assert not tables & {ES_TRADES.name, ES_MBP10.name, SPY_OPTION_TRADES.name}


# --- what is current ------------------------------------------------------------------------------


def test_planning_writes_nothing_and_hashes_once(lake, monkeypatch):
    put(lake, TRADES, day_trades())
    root = Path(lake.location.root)
    before = sorted(root.rglob("*"))
    plan(lake)
    assert sorted(root.rglob("*")) == before
    run(lake)

    def refuse(*_):
        raise AssertionError("hashed again")

    forget = (book_files._probed, book_files._hashed)
    for cache in forget:
        cache.clear()
    monkeypatch.setattr(BookFiles, "_hash", refuse)
    monkeypatch.setattr(BookFiles, "_probe", refuse)
    assert states(lake)[KEY] == ("current", "")


def test_another_content_is_stale_another_name_is_not(lake):
    path = put(lake, TRADES, day_trades())
    run(lake)
    path.rename(path.with_name("renamed.dbn.zst"))
    assert states(lake)[KEY] == ("current", "")
    put(lake, TRADES.replace("a.trades", "renamed"), day_trades(389))
    assert states(lake)[KEY] == ("stale", "input changed: raw/es_trades (content)")


def test_only_sessions_that_a_file_overlaps_depend_on_it(lake):
    put(lake, "raw/databento/a.dbn", day_trades())
    run(lake)
    later = trades([at("15:00", dt.date(2024, 1, 9))])
    put(lake, "raw/databento/b.dbn", later)
    found = states(lake)
    assert found[KEY] == ("current", "")
    assert found["2024-01-09"][0] == "stale"
    assert found["2024-01-10"][0] == "missing"


def test_a_damaged_note_is_no_obstacle(lake):
    put(lake, TRADES, day_trades())
    run(lake)
    (note,) = set(Path(lake.location.root).glob("raw/notes/*.json"))
    note.write_text("{")
    assert states(lake)[KEY] == ("current", "")


def test_a_file_changed_since_the_plan_fails_its_session(lake):
    put(lake, TRADES, day_trades())
    made = plan(lake)
    put(lake, TRADES, day_trades(380))
    outcomes = execute(made, Serial(), stop=threading.Event()).outcomes
    assert {o.status for o in outcomes} == {"failed"}
    assert "not those that the plan saw" in outcomes[0].error.message
    assert lake.partitions(ES_TRADES) == []


# --- hazards --------------------------------------------------------------------------------------


def test_a_file_given_twice_is_read_once_and_told(lake):
    put(lake, "raw/databento/a.dbn", day_trades())
    put(lake, "raw/databento/sub/b.dbn", day_trades())
    outcome = next(o for o in run(lake) if o.partition == KEY)
    assert (outcome.status, outcome.rows) == ("built", 390)
    assert "same_file" in {finding.kind for finding in outcome.findings}


def test_two_files_of_one_interval_fail_and_leave_nothing(lake):
    put(lake, "raw/databento/a.dbn", day_trades())
    put(lake, "raw/databento/b.dbn", day_trades(sizes=2))
    outcome = next(o for o in run(lake) if o.partition == KEY)
    assert outcome.status == "failed"
    assert "a.dbn" in outcome.error.message
    assert "b.dbn" in outcome.error.message
    assert KEY not in lake.partitions(ES_TRADES)


@pytest.mark.parametrize("cut", [-40, -1])
def test_a_cut_file_fails_with_its_offset(lake, cut):
    path = put(lake, TRADES, trades(at("14:30") + 10**9 * np.arange(6000)))
    path.write_bytes(path.read_bytes()[:cut])
    outcomes = run(lake)
    assert {outcome.status for outcome in outcomes} == {"failed"}
    assert f"offset {path.stat().st_size}" in outcomes[0].error.message
    assert lake.partitions(ES_TRADES) == []


def test_a_file_cut_in_its_metadata_is_passed_over_with_a_warning(lake, caplog):
    path = put(lake, TRADES, day_trades())
    path.write_bytes(path.read_bytes()[:60])
    assert plan(lake).items == ()
    assert f"{TRADES} is passed over" in caplog.text
    with pytest.raises(SourceError, match="none of 1 files is of use"):
        check_sources(BookFiles(lake.store), "raw/es_trades")


def test_files_of_others_are_passed_over_and_told(lake):
    put(lake, "raw/databento/a.dbn", day_trades())
    put(lake, "raw/databento/b.dbn", day_trades(), dataset="XNAS.ITCH")
    put(lake, "raw/databento/c.dbn", day_trades(), names={ESH4: "NQH4"})
    put(lake, "raw/databento/d.dbn", day_trades(), schema="mbo")
    put(lake, "raw/databento/e.dbn", books([at("15:00")]))
    outcome = next(o for o in run(lake) if o.partition == KEY)
    assert outcome.rows == 390
    (skipped,) = (finding for finding in outcome.findings if finding.kind == "skipped_files")
    assert [text.partition(": ")[0][-5:] for text in skipped.samples] == ["b.dbn", "c.dbn", "d.dbn"]


def test_refused_rows_stand_in_quarantine(lake):
    rows = trades([at("14:30") + k * 10**9 for k in range(2000)])
    rows["size"][7] = 0
    put(lake, TRADES, rows)
    run(lake)
    kept = pq.read_table(Path(lake.location.root) / f"quarantine/bronze/es_trades/date={KEY}.parquet")
    assert kept.select(["reason", "row"]).to_pylist() == [{"reason": "size", "row": 8}]


def test_books_whose_time_steps_back_are_built_sorted(lake):
    rows = books([at("15:00"), at("14:40"), at("14:50")])
    put(lake, "raw/databento/a.dbn", rows)
    outcome = next(o for o in run(lake, "es_mbp10") if o.partition == KEY)
    assert "steps_back" in {finding.kind for finding in outcome.findings}
    assert lake.read(ES_MBP10, KEY, ["ts_event_ns"])["ts_event_ns"].to_pylist() == [
        at("14:40"),
        at("14:50"),
        at("15:00"),
    ]


def test_each_row_group_of_a_book_holds_one_contract(lake):
    rows = books(at("14:30") + 10**9 * np.arange(100), ids=[ESH4, ESM4] * 50)
    put(lake, "raw/databento/a.dbn", rows)
    run(lake, "es_mbp10")
    file = pq.ParquetFile(Path(lake.location.root) / f"bronze/es_mbp10/date={KEY}.parquet")
    place = file.schema_arrow.get_field_index("instrument_id")
    statistics = [file.metadata.row_group(k).column(place).statistics for k in range(file.num_row_groups)]
    assert [(s.min, s.max) for s in statistics] == [(ESM4, ESM4), (ESH4, ESH4)]


# --- what a file says of itself -------------------------------------------------------------------


def test_an_interval_that_is_not_stated_is_read_from_the_records(lake):
    put(lake, TRADES, day_trades(), bounds=(at("00:00"), None))
    assert set(states(lake)) == {KEY}


def test_symbology_beside_the_file_counts(lake):
    put(lake, "raw/databento/a.dbn", day_trades(), names={})
    run(lake)
    assert set(lake.read(ES_TRADES, KEY)["contract"].to_pylist()) == {f"ES_{ESH4}"}
    span = {"d0": "2024-01-01", "d1": "2024-02-01", "s": str(ESH4)}
    content = {"result": {"ESH4": [span]}, "stype_in": "raw_symbol", "stype_out": "instrument_id"}
    (Path(lake.location.root) / "raw/databento/symbology.json").write_text(json.dumps(content))
    assert states(lake)[KEY][0] == "stale"
    run(lake)
    assert set(lake.read(ES_TRADES, KEY)["contract"].to_pylist()) == {"ESH4"}


def test_sessions_of_times():
    assert session_of(at("21:59:59")) == DAY
    assert session_of(at("22:00")) == dt.date(2024, 1, 9)
    assert session_of(at("23:00", dt.date(2024, 1, 7))) == DAY  # Sunday evening
    assert session_of(at("22:30", dt.date(2024, 7, 3))) == dt.date(2024, 7, 5)  # over a holiday, in summer


# --- option prints --------------------------------------------------------------------------------


def opra(path: Path, date: dt.date, n: int = 60) -> Path:
    lines = ["ticker,conditions,correction,exchange,price,sip_timestamp,size"]
    for k in range(n):
        strike = 470 + k % 5
        lines.append(
            f"O:SPY{date:%y%m%d}C{strike * 1000:08d},209,0,302,{1 + k % 7 / 100},{at('14:30', date) + k * 10**9},1"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(("\n".join(lines) + "\n").encode()))
    return path


def test_option_prints_are_a_source_like_the_others(lake, tmp_path):
    opra(Path(lake.location.root) / "raw/us_options_opra/trades_v1/2024/01/2024-01-08.csv.gz", DAY)
    (outcome,) = run(lake, "spy_option_trades")
    assert (outcome.status, outcome.partition, outcome.rows) == ("built", KEY, 60)
    elsewhere = opra(tmp_path / "named_otherwise.csv.gz", DAY)  # its first print says which session it is
    assert set(states(lake, "spy_option_trades", spy_options=str(elsewhere))) == {KEY}


def test_es_as_parquet_is_a_source_too(lake, tmp_path):
    from tests.sources.test_databento_parquet import as_trades, save

    save(tmp_path / "es" / "symbol=ES" / "date=2001-01-01" / "hour=09" / "part-0.parquet", as_trades(day_trades()))
    (outcome,) = run(lake, es_trades=str(tmp_path / "es"))
    assert (outcome.status, outcome.partition, outcome.rows) == ("built", KEY, 390)
