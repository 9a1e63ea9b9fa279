"""Signals from vendors' files in one go: bronze first; a broken file fails its sessions, and is named."""

from __future__ import annotations

import datetime as dt
import threading
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from raypipe.config import Config
from raypipe.pipeline.intake import Intake, acquire
from raypipe.pipeline.signals import SIGNALS, SignalSessions, Wanted
from raypipe.sources.synthetic import SynthParams, write_market
from tests.pipeline.test_signals import build, config_of, named, states

LAST = "2025-11-11"


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight sessions of ES trades, and book and options of the last; not to be changed."""
    folder = tmp_path_factory.mktemp("market")
    made = SynthParams(
        sessions=8,
        symbols=2,
        history=2,
        seed=5,
        datasets=("es", "options"),
        es_sessions=8,
        mbp_sessions=1,
        es_activity=0.02,
    )
    write_market(folder, made, force=True)
    return folder


def configured(root: Path, market: Path) -> Config:
    root.mkdir(exist_ok=True)
    paths = {"es_trades": "databento", "es_mbp10": "databento", "spy_options": "us_options_opra"}
    return config_of(root, *(f"signals.sources.{name}={market / path}" for name, path in paths.items()))


def test_missing_bronze_is_made_of_the_sources_that_are_named(market, tmp_path):
    config = configured(tmp_path / "lake", market)
    assert states(config)[LAST] == ("run", "")
    bronze = SignalSessions(config, named(LAST)).bronze_plan()
    assert bronze is not None
    assert {item.table for item in bronze.to_build} == {
        "bronze/es_trades",
        "bronze/es_mbp10",
        "bronze/spy_option_trades",
    }
    summary = build(config)
    assert (summary.exit_code, summary.done) == (0, (LAST,))
    rows = pq.read_table(tmp_path / "lake" / SIGNALS / f"date={LAST}.parquet")
    assert rows.num_rows == summary.rows > 0
    assert set(rows["date"].to_pylist()) == {LAST}
    assert SignalSessions(config, Wanted()).bronze_plan() is None
    assert build(config).current == (LAST,)


def test_a_folder_is_taken_into_the_lake_and_built_from_there(market, tmp_path):
    root = tmp_path / "lake"
    config = config_of(root)
    report = acquire(config, Intake(from_dir=market), progress=lambda _: None, stop=threading.Event())
    counts = Counter((each.dataset.name, each.state) for each in report.objects)
    assert counts["es_mbp10", "new"] == counts["spy_options", "new"] + 1, "the evening before is in a file of its own"
    assert {state for _, state in counts} == {"new"}
    assert {name for name, _ in counts} == {"day", "minute", "es_trades", "es_mbp10", "spy_options"}
    assert build(config, named(LAST)).done == (LAST,)
    assert (root / SIGNALS / f"date={LAST}.parquet").is_file()
    again = acquire(config, Intake(from_dir=market), progress=lambda _: None, stop=threading.Event())
    assert set(again.counts) == {"current"}


def test_a_cut_file_fails_its_session_and_is_named(market, tmp_path):
    files = tmp_path / "market"
    for path in sorted(market.rglob("*")):
        if path.is_file():
            target = files / path.relative_to(market)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.hardlink_to(path)
    (book,) = files.glob("databento/**/*20251111.mbp-10.dbn.zst")
    whole = book.read_bytes()
    book.unlink()
    book.write_bytes(whole[: len(whole) // 2])
    summary = build(configured(tmp_path / "lake", files), named(LAST))
    assert (summary.exit_code, summary.done) == (1, ())
    assert "bronze/es_mbp10" in summary.failed[LAST]
    assert dt.date.fromisoformat(LAST).strftime("%Y%m%d") in summary.failed[LAST]
