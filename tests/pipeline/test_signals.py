"""Signals through the pipeline: who is eligible, what is stale and why, frames, and the multi-day file."""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

import raypipe
from raypipe.calendar import NS_PER_MINUTE
from raypipe.config import Config, load_config
from raypipe.errors import NotYetError, PartitionError, UsageError
from raypipe.lake.store import Lake
from raypipe.pipeline.executor import Serial
from raypipe.pipeline.plan import Plan
from raypipe.pipeline.record import RunRecord
from raypipe.pipeline.session import Order, run_plan
from raypipe.pipeline.signals import SIGNALS, SignalSessions, Wanted
from raypipe.pipeline.signals_export import MULTI_DAY, export_signals
from raypipe.pipeline.signals_run import Summary, run_signals
from raypipe.schema.books import ES_MBP10, ES_TRADES, SPY_OPTION_TRADES
from tests.signal_lake import BUILT, SESSIONS, WARM, partitions, write_bronze

LAST = BUILT[-1]


def config_of(root: Path, *sets: str) -> Config:
    return load_config(None, env={}, folder=root.parent, sets=sets, flags={"lake.root": str(root)})


def carry_out(config: Config) -> Callable[[Plan], RunRecord]:
    order = Order("test", lambda _name, _run: Serial(), stop=threading.Event())
    return lambda plan: run_plan(config, plan, order)


def build(config: Config, wanted: Wanted | None = None, *, force: bool = False) -> Summary:
    return run_signals(SignalSessions(config, wanted or Wanted()), carry_out(config), force=force)[1]


def states(config: Config, wanted: Wanted | None = None) -> dict[str, tuple[str, str]]:
    return {one.session: (one.state, one.why) for one in SignalSessions(config, wanted or Wanted()).listed}


def named(*keys: str) -> Wanted:
    return Wanted(dates=tuple(map(dt.date.fromisoformat, keys)))


@pytest.fixture(scope="module")
def bronze(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake of bronze alone; not to be changed."""
    root = tmp_path_factory.mktemp("bronze") / "lake"
    write_bronze(root)
    return root


@pytest.fixture(scope="module")
def finished(bronze: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake that is built to the end; not to be changed."""
    root = tmp_path_factory.mktemp("finished") / "lake"
    shutil.copytree(bronze, root)
    summary = build(config_of(root))
    assert summary.exit_code == 0, summary.failed
    return root


@pytest.fixture
def own_bronze(bronze: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bronze, tmp_path / "lake", copy_function=os.link))


@pytest.fixture
def own(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "lake", copy_function=os.link))


# --- who is eligible -------------------------------------------------------------------------------


def test_sessions_with_bronze_and_warm_up_are_eligible_and_the_others_say_what_they_lack(bronze):
    found = states(config_of(bronze))
    assert [key for key, (state, _) in found.items() if state == "run"] == list(BUILT)
    assert all(found[key][0] == "ineligible" for key in WARM)
    assert "bronze/es_mbp10 is missing; bronze/spy_option_trades is missing" in found[WARM[-1]][1]
    assert f"bronze/es_trades of {dt.date(2025, 1, 22)} (warm-up)" in found[WARM[-1]][1]


def test_a_session_covered_in_part_is_ineligible_and_the_minutes_are_named(tmp_path):
    start = SESSIONS[-1].open_ns
    gap = json.dumps([[start + 60 * NS_PER_MINUTE, start + 90 * NS_PER_MINUTE]])
    config = config_of(
        Path(write_bronze(tmp_path / "lake", facts={"coverage": "0.92", "missing_minutes": gap}).location.root)
    )
    state, why = states(config)[LAST]
    assert state == "ineligible"
    assert "bronze/es_trades covers 92.0% of its minutes, 95% wanted; none in 10:30-11:00" in why
    assert "spy_option_trades" not in why, "90 % are enough there"
    with pytest.raises(UsageError, match="eligible"):
        _ = SignalSessions(config, Wanted()).states
    low = config_of(
        Path(config.lake.root), "signals.session.min_trade_coverage=0.9", "signals.session.min_book_coverage=0.9"
    )
    assert states(low)[LAST] == ("run", "")


def test_without_options_only_if_they_are_not_required(tmp_path):
    root = Path(write_bronze(tmp_path / "lake", lacking={(SPY_OPTION_TRADES.name, LAST)}).location.root)
    assert states(config_of(root))[LAST] == ("ineligible", "bronze/spy_option_trades is missing")
    config = config_of(root, "signals.session.require_options=false")
    assert states(config)[LAST] == ("run", "")
    summary = build(config, named(LAST))
    assert (summary.exit_code, summary.done) == (0, (LAST,))


def test_a_named_session_without_bronze_fails_alone(tmp_path):
    root = Path(write_bronze(tmp_path / "lake", lacking={(ES_MBP10.name, LAST)}).location.root)
    summary = build(config_of(root), named(BUILT[0], LAST))
    assert (summary.exit_code, summary.done) == (1, (BUILT[0],))
    assert summary.failed == {LAST: "bronze/es_mbp10 is missing"}


def test_a_named_session_is_built_with_the_warm_up_there_is(tmp_path):
    root = Path(write_bronze(tmp_path / "lake", lacking={(ES_TRADES.name, WARM[3])}).location.root)
    config = config_of(root)
    assert states(config)[LAST] == ("ineligible", f"bronze/es_trades of {WARM[3]} (warm-up)")
    (one,) = SignalSessions(config, named(LAST)).states
    assert (one.state, one.warnings) == ("run", (f"{LAST} is built without bronze/es_trades of {WARM[3]} (warm-up)",))
    assert build(config, named(LAST)).exit_code == 0
    rows = raypipe.signals(LAST, root=root, build=False, columns=["warmup_sma_sessions", "warmup_volume_sessions"])
    assert set(rows["warmup_sma_sessions"]) == {3}
    assert set(rows["warmup_volume_sessions"]) == {6}


@pytest.mark.parametrize(
    "wanted",
    [
        Wanted(start=dt.date(2025, 2, 5), end=dt.date(2025, 2, 3)),
        Wanted(start=dt.date(2025, 2, 5), dates=(dt.date(2025, 2, 5),)),
        named("2025-02-01"),
    ],
)
def test_what_cannot_be_meant_is_refused(bronze, wanted):
    with pytest.raises(UsageError):
        SignalSessions(config_of(bronze), wanted)


def test_bars_of_the_warm_up_stand_for_trades_that_are_gone(own):
    for key in WARM:
        (own / ES_TRADES.name / f"date={key}.parquet").unlink()
    config = config_of(own)
    assert states(config)[LAST] == ("current", "")
    assert states(config_of(own, "signals.labels.anchor=confirmation"))[LAST][0] == "stale"
    (own / "silver" / "es_bars" / f"date={WARM[6]}.parquet").unlink()
    assert states(config)[LAST] == ("ineligible", f"bronze/es_trades of {WARM[6]} (warm-up)")


# --- runs ------------------------------------------------------------------------------------------


def test_a_run_builds_silver_and_gold_of_the_eligible_sessions_and_of_the_warm_up_only_bars(finished):
    lake = Lake(config_of(finished).lake.location)
    found = partitions(lake, [SIGNALS, "silver/touches", "silver/es_bars", "silver/option_greeks"])
    assert found == {
        SIGNALS: list(BUILT),
        "silver/touches": list(BUILT),
        "silver/es_bars": [*WARM, *BUILT],
        "silver/option_greeks": list(BUILT),
    }
    summary = build(config_of(finished))
    assert (summary.exit_code, summary.done, summary.current) == (0, (), BUILT)
    assert summary.rows == sum(summary.counts["level_kind_name"].values()) > 0
    assert set(summary.counts) == {"level_kind_name", "outcome", "confluence_level"}


def test_a_changed_label_parameter_rebuilds_labels_and_the_join_only(own):
    changed = config_of(own, "signals.labels.anchor=confirmation")
    assert states(changed)[LAST] == ("stale", "silver/signal_labels: params changed")
    plan = SignalSessions(changed, Wanted()).plan()
    assert {item.table for item in plan.to_build} == {"silver/signal_labels", SIGNALS}


def test_force_builds_silver_and_gold_again_and_never_bronze(own):
    plan = SignalSessions(config_of(own), named(LAST)).plan(force=True)
    tables = {item.table for item in plan.to_build}
    assert {"silver/es_session", "silver/touches", "silver/signal_features", SIGNALS} <= tables
    assert not [name for name in tables if name.startswith("bronze/")]
    assert {item.partition for item in plan.to_build} == {LAST}


def test_all_stages_of_a_session_after_its_bars_are_one_job(bronze):
    *front, signals = SignalSessions(config_of(bronze), Wanted()).plan().waves
    tables = {target.table for wave in front for job in wave for target in job.targets}
    assert tables == {"silver/es_session", "silver/es_bars"}
    assert sorted(job.targets[0].partition for job in signals) == list(BUILT)
    assert all(len({target.partition for target in job.targets}) == 1 for job in signals)
    assert all(len(job.targets) == 6 for job in signals)


def test_equal_bytes_whether_the_warm_up_was_there_or_made_along(own_bronze, finished):
    assert build(config_of(own_bronze), named(BUILT[1])).exit_code == 0
    assert build(config_of(own_bronze)).exit_code == 0
    for key in BUILT:
        name = f"{SIGNALS}/date={key}.parquet"
        assert (own_bronze / name).read_bytes() == (finished / name).read_bytes()


# --- frames ----------------------------------------------------------------------------------------


def test_a_frame_is_gold_as_it_is(finished):
    frame = raypipe.signals(LAST, root=finished, build=False)
    stored = pq.read_table(finished / SIGNALS / f"date={LAST}.parquet")
    assert list(frame.columns) == stored.column_names
    assert frame["decision_ns"].dtype == np.int64
    assert frame["decision_ns"].tolist() == stored["decision_ns"].to_pylist()
    assert isinstance(frame["outcome"].dtype, pd.StringDtype)
    assert frame["level_id"].tolist() == stored["level_id"].to_pylist()
    for name in ("depth_in_zone", "wall_ratio", "time_to_break_2_8min"):
        assert frame[name].isna().sum() == stored[name].null_count
    assert raypipe.signals(dates=[dt.date.fromisoformat(LAST)], root=finished, build=False).equals(frame)


def test_only_the_columns_asked_for_and_aliases_count(finished):
    names = ["outcome", "sweep_detected", "decision_ns"]
    assert list(raypipe.signals(start_date=BUILT[0], root=finished, columns=names).columns) == names
    with pytest.raises(UsageError, match="did you mean outcome"):
        raypipe.signals(LAST, root=finished, columns=["outcom"])


def test_aliases_are_read_from_what_they_repeat_where_they_are_not_stored(own_bronze):
    config = config_of(own_bronze, "signals.output.aliases=false")
    frame = raypipe.signals(LAST, config=config, columns=["outcome", "outcome_4min"])
    assert frame["outcome"].tolist() == frame["outcome_4min"].tolist()
    assert "outcome" not in pq.read_schema(own_bronze / SIGNALS / f"date={LAST}.parquet").names


def test_what_is_not_there_is_built_or_refused(own_bronze):
    with pytest.raises(PartitionError, match="raypipe signals"):
        raypipe.signals(LAST, root=own_bronze, build=False)
    assert len(raypipe.signals(LAST, root=own_bronze)) > 0
    assert len(raypipe.signals(LAST, root=own_bronze, build=False)) > 0
    with pytest.raises(NotYetError, match="es_mbp10 is missing"):
        raypipe.signals(WARM[0], root=own_bronze)
    with pytest.raises(UsageError, match="not a session"):
        raypipe.signals("2025-02-01", root=own_bronze)
    with pytest.raises(UsageError):
        raypipe.signals(LAST, dates=[LAST], root=own_bronze)


# --- one file --------------------------------------------------------------------------------------


def test_the_multi_day_file_has_a_row_group_per_session_in_order(own):
    done = export_signals(config_of(own))
    assert done.path == f"{own}/{MULTI_DAY}"
    file = pq.ParquetFile(own / MULTI_DAY)
    assert file.num_row_groups == done.sessions == len(BUILT)
    for i, key in enumerate(BUILT):
        part, whole = file.read_row_group(i), pq.read_table(own / SIGNALS / f"date={key}.parquet")
        assert part.to_pylist() == whole.to_pylist()
    field = file.schema_arrow.field("outcome")
    assert field.metadata[b"role"] == b"label"
    assert field.metadata[b"alias_of"] == b"outcome_4min"


def test_some_sessions_and_columns_into_a_file_of_ones_own(own, tmp_path):
    output = tmp_path / "new" / "some.parquet"
    done = export_signals(
        config_of(own), start=dt.date.fromisoformat(LAST), columns=["event_id", "outcome"], output=output
    )
    assert (done.path, done.sessions) == (str(output), 1)
    assert pq.read_schema(output).names == ["event_id", "outcome"]
    assert [path.name for path in output.parent.iterdir()] == ["some.parquet"]


def test_sessions_of_another_schema_are_refused_by_name(own):
    other = config_of(own, "signals.output.aliases=false")
    assert build(other, named(BUILT[1])).exit_code == 0
    with pytest.raises(PartitionError, match=BUILT[1]):
        export_signals(config_of(own))
    assert not (own / MULTI_DAY).exists()


def test_nothing_to_export_is_a_mistake(bronze):
    with pytest.raises(UsageError, match="no session"):
        export_signals(config_of(bronze))
