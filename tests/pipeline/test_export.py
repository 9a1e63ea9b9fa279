"""Tables as the files that users know: every row, users' names, events with their labels beside them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from raypipe.config import Config, load_config
from raypipe.lake.store import Lake
from raypipe.pipeline.export import Order, export
from raypipe.pipeline.plan import Request, make_plan


@pytest.fixture
def config(built: Callable[..., Lake]) -> Config:
    """A lake of every table, and the configuration that names it."""
    return load_config(flags={"lake.root": built().location.root}, env={}, sets=())


def test_the_classic_files(config: Config, tmp_path: Path) -> None:
    found = {one.path.relative_to(tmp_path).as_posix(): one for one in export(config, (), Order(tmp_path))}
    once = {"weekly", "daily_2025", "technical_features", "minute_features", "minute_features_plus_macd"}
    once |= {"daily_filtered_1_9.99", "macd_day_features", "range_expansion_labels", "training/ml_dataset"}
    assert {f"{name}.parquet" for name in once} <= set(found)
    assert {"training/events_2025-10-31.parquet", "macd_day_features_inc/mode=all/date=2025-10-31.parquet"} <= set(
        found
    )
    assert not [name for name in found if "mode=rth" in name]
    daily = pq.read_table(tmp_path / "daily_2025.parquet")
    assert {"ticker", "date", "year", "month", "close"} <= set(daily.column_names)
    assert daily.num_rows == found["daily_2025.parquet"].rows > 0


def test_events_stand_beside_their_labels(config: Config, tmp_path: Path) -> None:
    list(export(config, ("gold/events",), Order(tmp_path)))
    table = pq.read_table(tmp_path / "training/events_2025-11-03.parquet")
    lake = Lake(config.lake.location)
    planned = {item.table: item for item in make_plan(lake, config.params, Request()).items}
    assert {"gold/events", "gold/event_labels"} <= set(planned)
    assert {"event_id", "hist", "entry_price", "outcome_80bp_30m", "label_80bp_30m"} <= set(table.column_names)
    planted = {row["ticker"]: row for row in table.to_pylist() if row["ticker"] == "PLTA" and row["tf"] == "1m"}
    assert planted["PLTA"]["direction"] in (1, -1)


def test_a_cell_that_a_spreadsheet_would_run_is_quoted(config: Config, tmp_path: Path) -> None:
    (one, *_) = export(config, ("silver/symbol_types",), Order(tmp_path, layout="flat", kind="csv"))
    symbols = pyarrow.csv.read_csv(one.path)["ticker"].to_pylist()
    assert len(symbols) == one.rows
    assert not [symbol for symbol in symbols if symbol[:1] in "=+-@"]
