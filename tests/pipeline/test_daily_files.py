"""Daily bars from files through the pipeline: real files end to end, what goes stale, what fails alone."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from raypipe.audit.probes import TableAudit
from raypipe.cli.main import main
from raypipe.config import Config, load_config
from raypipe.errors import UnsafeNameError
from raypipe.lake.store import Lake
from raypipe.pipeline.driver import RunResult, execute
from raypipe.pipeline.executor import Serial
from raypipe.pipeline.intake import keep_daily
from raypipe.pipeline.plan import Plan, Request, make_plan
from raypipe.pipeline.replay import Replay
from raypipe.pipeline.views import declared_tables

ROW = "{date},{symbol},10,11,9,{close},1000000\n"
DATES = ("2025-01-02", "2025-01-03", "2025-01-06")
TABLES = ("bronze/ohlcv_1d", "silver/bars_1d", "gold/panel_technical", "gold/forward_labels")


def config_of(root: Path, *sets: str) -> Config:
    return load_config(env={}, folder=root, sets=[f"lake.root={root / 'lake'}", "run.executor=serial", *sets])


def write(root: Path, name: str, **closes: list[float]) -> None:
    folder = root / "lake" / "raw" / "ohlcv_1d"
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        ROW.format(date=date, symbol=symbol, close=close)
        for symbol, column in closes.items()
        for date, close in zip(DATES, column, strict=True)
    ]
    (folder / name).write_text("date,symbol,open,high,low,close,volume\n" + "".join(rows))


def plan_of(config: Config) -> Plan:
    return make_plan(Lake(config.lake.location), config.params, Request())


def run(config: Config) -> RunResult:
    return execute(plan_of(config), Serial(), stop=threading.Event())


def read(config: Config, table: str) -> pa.Table:
    lake, spec = Lake(config.lake.location), declared_tables(config)[table]
    return pa.concat_tables([lake.read(spec, key) for key in lake.partitions(spec)]).unify_dictionaries()


def test_a_lake_without_such_files_plans_nothing_of_them(tmp_path):
    assert plan_of(config_of(tmp_path)).items == ()


def test_a_second_run_has_nothing_to_do(tmp_path):
    config = config_of(tmp_path)
    write(tmp_path, "bars.csv", AAA=[10, 10.5, 10.2], **{"BRK.B": [10, 10, 10.9]})
    assert run(config).exit_code == 0
    assert (tmp_path / "lake" / "gold" / "panel_technical" / "symbol=BRK.B.parquet").is_file()
    assert plan_of(config).to_build == ()


def test_a_file_of_other_symbols_leaves_bars_current(tmp_path):
    config = config_of(tmp_path)
    write(tmp_path, "a.csv", AAA=[10, 10.5, 10.2])
    run(config)
    write(tmp_path, "b.csv", BBB=[10, 10, 10.9])
    counts = plan_of(config).counts()
    assert counts["silver/bars_1d"] == {"current": 1, "missing": 1}
    assert counts["silver/universe"] == {"stale": 1}


def test_a_changed_file_makes_its_symbols_stale(tmp_path):
    config = config_of(tmp_path)
    write(tmp_path, "a.csv", AAA=[10, 10.5, 10.2])
    run(config)
    write(tmp_path, "a.csv", AAA=[10, 10.5, 10.3])
    states = {item.table: item.reason for item in plan_of(config).to_build}
    assert states["bronze/ohlcv_1d"] == "input changed: raw/ohlcv_1d (content)"
    assert run(config).exit_code == 0
    assert read(config, "silver/bars_1d")["close"].to_pylist() == [10, 10.5, 10.3]


def test_what_prices_are_changes_bars_and_not_bronze(tmp_path):
    write(tmp_path, "a.csv", AAA=[10, 10.5, 10.2])
    run(config_of(tmp_path))
    counts = plan_of(config_of(tmp_path, "ingest.adjustment=raw", "ingest.jobs=9")).counts()
    assert counts["bronze/ohlcv_1d"] == {"current": 1}
    assert counts["silver/bars_1d"] == {"stale": 1}


def test_a_bad_symbol_fails_alone_and_its_rows_are_kept(tmp_path):
    config = config_of(tmp_path)
    write(tmp_path, "a.csv", AAA=[10, 10.5, 10.2], CCC=[10, 99, 10])
    result = run(config)
    failed = {(o.table, o.partition): o for o in result.outcomes if o.status == "failed"}
    assert set(failed) == {("bronze/ohlcv_1d", "CCC")}
    assert failed["bronze/ohlcv_1d", "CCC"].error.kind == "QuarantineError"
    assert (tmp_path / "lake" / "quarantine" / "bronze" / "ohlcv_1d" / "symbol=CCC.parquet").is_file()
    built = {(o.table, o.partition) for o in result.outcomes if o.status == "built"}
    assert {(table, "AAA") for table in TABLES[:3]} <= built


def test_ingest_takes_files_and_builds(tmp_path, capsys):
    write(tmp_path, "a.csv", AAA=[10, 10.5, 10.2])
    folder = tmp_path / "vendor"
    shutil.move(tmp_path / "lake" / "raw" / "ohlcv_1d", folder)
    asked = [
        "ingest",
        "--root",
        str(tmp_path / "lake"),
        "--set",
        "ingest.provider=files",
        "--set",
        "run.executor=serial",
    ]
    assert main([*asked, "--from-dir", str(folder), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["ingest"]["files"][0] | {"bytes": 0} == {
        "key": "raw/ohlcv_1d/a.csv",
        "state": "new",
        "symbols": 1,
        "bytes": 0,
    }
    assert set(document["run"]["tables"]) == {*TABLES, "silver/universe", "gold/targets", "gold/model_panel"}
    assert read(config_of(tmp_path), "bronze/ohlcv_1d")["vintage_ns"].null_count == 0


# --- a vendor's names --------------------------------------------------------------------------

SHIPPED = Path(__file__).resolve().parents[2] / "configs" / "symbol_map.csv"
CHANGE = ("2022-06-07", "2022-06-08", "2022-06-09", "2022-06-10")


def named(root: Path, vendor: str, map_file: Path = SHIPPED) -> Config:
    return config_of(root, f"ingest.vendor={vendor}", f"ingest.symbol_map={map_file}")


def put(folder: Path, name: str, *rows: tuple[str, str, float]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    text = "".join(ROW.format(date=date, symbol=symbol, close=close) for date, symbol, close in rows)
    (folder / name).write_text("date,symbol,open,high,low,close,volume\n" + text)
    return folder / name


def fingerprints(config: Config) -> dict[str, str]:
    lake, spec = Lake(config.lake.location), declared_tables(config)["bronze/ohlcv_1d"]
    return {name: lake.manifest(spec, name).fingerprint for name in lake.partitions(spec)}


def test_a_vendors_names_become_symbols_from_ingest_to_the_panel(tmp_path):
    config = named(tmp_path, "polygon")
    vendor = put(tmp_path / "vendor", "a.csv", *((date, "FB", 10.0) for date in CHANGE[:2]), (CHANGE[2], "V", 10.0))
    put(tmp_path / "vendor", "b.csv", *((date, "META", 10.5) for date in CHANGE[2:]))
    assert [each.symbols for each in keep_daily(config, vendor.parent)] == [2, 1]
    assert run(config).exit_code == 0
    for table in ("bronze/ohlcv_1d", "silver/bars_1d", "gold/panel_technical"):
        rows = read(config, table)
        meta = rows.filter(pc.equal(rows["symbol"].cast(pa.string()), "META"))
        assert [str(day) for day in meta["session"].to_pylist()] == list(CHANGE), table
        assert set(rows["symbol"].to_pylist()) == {"META", "V"}, table
    assert plan_of(config).to_build == ()


def test_a_name_that_no_file_of_a_lake_may_have_comes_in_by_the_map(tmp_path):
    path = put(tmp_path / "vendor", "a.csv", ("2025-01-02", "BRK/B", 10.0))
    with pytest.raises(UnsafeNameError, match=r"a\.csv.*ingest.symbol_map"):
        keep_daily(config_of(tmp_path), path)
    config = named(tmp_path, "slash")
    keep_daily(config, path)
    assert run(config).exit_code == 0
    assert read(config, "silver/universe")["symbol"].to_pylist() == ["BRK.B"]


def test_a_map_counts_for_the_symbols_that_it_is_about(tmp_path):
    write(tmp_path, "a.csv", AAA=[10, 10.5, 10.2], **{"BRK-B": [10, 10, 10.9]})
    run(config_of(tmp_path))
    before = fingerprints(config_of(tmp_path))
    assert set(before) == {"AAA", "BRK-B"}
    run(named(tmp_path, "yahoo"))
    after = fingerprints(named(tmp_path, "yahoo"))
    assert after["AAA"] == before["AAA"]
    assert set(after) == {"AAA", "BRK-B", "BRK.B"}
    mine = tmp_path / "mine.csv"
    mine.write_text(SHIPPED.read_text() + "BF.B,yahoo,BF-B,,\n")
    assert plan_of(named(tmp_path, "yahoo", mine)).to_build == ()
    mine.write_text(SHIPPED.read_text().replace("BRK-B,,", "BRK-B,2025-01-03,"))
    states = {(item.table, item.partition): item.reason for item in plan_of(named(tmp_path, "yahoo", mine)).to_build}
    assert states["bronze/ohlcv_1d", "BRK.B"] == "input changed: raw/ohlcv_1d (content)"
    assert ("bronze/ohlcv_1d", "AAA") not in states


def test_names_that_meet_fail_their_symbol_alone(tmp_path):
    config = named(tmp_path, "polygon")
    folder = tmp_path / "lake" / "raw" / "ohlcv_1d"
    put(folder, "a.csv", (CHANGE[0], "FB", 10.0), (CHANGE[0], "V", 10.0))
    put(folder, "b.csv", (CHANGE[0], "META", 10.5))
    failed = {(o.table, o.partition): o for o in run(config).outcomes if o.status == "failed"}
    assert set(failed) == {("bronze/ohlcv_1d", "META")}
    error = failed["bronze/ohlcv_1d", "META"].error
    assert error.kind == "SourceError"
    assert error.values["file"] == "ohlcv_1d/b.csv"
    assert (error.values["symbol"], error.values["session"]) == ("META", CHANGE[0])
    assert set(fingerprints(config)) == {"V"}


# --- real files --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hundred(shared_data, tmp_path_factory):
    """The lake of 100 symbols over 2,700 sessions."""
    root = tmp_path_factory.mktemp("hundred")
    (root / "lake" / "raw" / "ohlcv_1d").mkdir(parents=True)
    shutil.copy(shared_data / "daily" / "ohlcv_100_2015_2025.parquet", root / "lake" / "raw" / "ohlcv_1d")
    config = config_of(root)
    result = run(config)
    assert result.exit_code == 0
    return config, result


def test_total_returns_are_those_of_the_vendors_adjusted_close(hundred):
    config, _ = hundred
    bars, vendor = read(config, "silver/bars_1d"), read(config, "bronze/ohlcv_1d")
    assert bars["session"].equals(vendor["session"])
    total = bars["close"].to_numpy() * bars["div_factor"].to_numpy()
    adjusted, symbol = vendor["adj_close"].to_numpy(), np.asarray(bars["symbol"].combine_chunks().indices)
    same = symbol[1:] == symbol[:-1]
    apart = np.abs(total[1:] / total[:-1] / (adjusted[1:] / adjusted[:-1]) - 1) > 1e-5
    rows = bars.take(pa.array(np.flatnonzero(apart & same) + 1)).select(["symbol", "session"]).to_pylist()
    assert [(row["symbol"], str(row["session"])) for row in rows] == [("AMCR", "2017-09-01"), ("AMCR", "2017-09-05")]


def test_a_special_dividend_is_no_crash(hundred):
    config, _ = hundred
    lake, tables = Lake(config.lake.location), declared_tables(config)
    bars = lake.read(tables["silver/bars_1d"], "BKR")
    row = pc.index(bars["session"].cast(pa.string()), "2017-07-05").as_py()
    close = bars["close"].to_numpy()
    assert close[row] / close[row - 1] - 1 == pytest.approx(-0.354, abs=1e-3)
    panel = lake.read(tables["gold/panel_technical"], "BKR")
    assert panel["momentum_1d"][row].as_py() == pytest.approx(-0.0729, abs=1e-4)


def test_what_is_odd_is_told(hundred):
    _, result = hundred
    told = {(o.partition, f.kind) for o in result.outcomes for f in o.findings}
    assert told == {("AMCR", "dividends_disagree"), ("BIIB", "suspect_move"), ("BLDR", "suspect_move")}


def test_dead_bars_stay_and_are_outside_the_universe(hundred):
    config, _ = hundred
    universe = read(config, "silver/universe")
    amcr = universe.filter(pc.equal(universe["symbol"].cast(pa.string()), "AMCR"))
    early = amcr.filter(pc.less(amcr["session"], pa.scalar(np.datetime64("2019-06-11").item(), pa.date32())))
    assert early.num_rows > 800
    assert not pc.any(early["in_universe"]).as_py()
    assert pc.any(amcr["in_universe"]).as_py()


def test_the_audit_finds_nothing_though_splits_came_later(hundred):
    config, _ = hundred
    replay = Replay(config)
    for table in TABLES[1:]:
        audit = TableAudit(replay, table, 7)
        audit.prove("AAPL")
        report = audit.report()
        assert report.problems == ()
        assert report.altered > 0
        assert {column.verdict for column in report.columns} <= {"clean", "label", "constant"}, table


def test_fully_adjusted_prices(shared_data, tmp_path):
    (tmp_path / "lake" / "raw" / "ohlcv_1d").mkdir(parents=True)
    shutil.copy(shared_data / "daily" / "ohlcv_46_2018_2023.parquet", tmp_path / "lake" / "raw" / "ohlcv_1d")
    config = config_of(tmp_path, "ingest.adjustment=full", "universe.min_price_usd=0")
    result = run(config)
    assert result.exit_code == 0
    bars = read(config, "silver/bars_1d")
    assert bars.num_rows == 46 * 1509
    assert bars["split_factor"].null_count == bars.num_rows
    assert pc.all(pc.equal(bars["div_factor"], 1.0)).as_py()
    panel = read(config, "gold/panel_technical")
    assert max(panel[name].null_count for name in panel.column_names) == 46 * 257
