"""Laws of whole sessions of signals, from bronze to gold: other contracts, holidays, early closes, another scale."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from raypipe.calendar import NS_PER_MINUTE, Session, calendar
from raypipe.config import load_config
from raypipe.lake.location import Location
from raypipe.lake.store import Lake
from raypipe.pipeline.driver import execute
from raypipe.pipeline.executor import Serial
from raypipe.pipeline.signals import SignalSessions, Wanted
from raypipe.schema.books import ES_MBP10, ES_TRADES
from raypipe.schema.spec import Table
from tests.contracts.books import FRONT, GENERATORS
from tests.contracts.market import Market
from tests.signal_lake import write

#: The Tuesday after a holiday on which futures trade until noon, and a day that closes at 13:00.
AFTER_HOLIDAY, EARLY = dt.date(2025, 2, 18), dt.date(2024, 12, 24)
WARM_UP = 7
HOUR_NS = 60 * NS_PER_MINUTE

#: (table, session, rows) -> the rows to store.
Change = Callable[[Table, Session, pa.Table], pa.Table]


def as_it_is(_table: Table, _session: Session, rows: pa.Table) -> pa.Table:
    return rows


def gold(root: Path, date: dt.date, change: Change = as_it_is, sets: Sequence[str] = ()) -> pa.Table:
    """Gold of one session of the made-up market, each bronze partition changed first."""
    sessions = calendar().between(calendar().offset(date, -WARM_UP), date)
    lake, market = Lake(Location.parse(str(root))), Market(sessions)
    root.mkdir()
    for table, _ in GENERATORS:
        for day, rows in market.table(table.name).items():
            assert day is not None
            if table is ES_TRADES or day == date:
                write(lake, table, day.isoformat(), change(table, calendar().session(day), rows), {})
    config = load_config(None, env={}, folder=root.parent, sets=sets, flags={"lake.root": str(root)})
    found = SignalSessions(config, Wanted())
    result = execute(found.plan(), Serial(), stop=threading.Event())
    assert not result.failures, result.failures[0].error
    return lake.read(found.table, date.isoformat())


def differing(one: pa.Table, other: pa.Table) -> set[str]:
    assert one.num_rows == other.num_rows > 0
    assert one.column_names == other.column_names
    return {name for name in one.column_names if not one[name].equals(other[name])}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> pa.Table:
    return gold(tmp_path_factory.mktemp("plain") / "lake", AFTER_HOLIDAY)


# --- other contracts ---------------------------------------------------------------------------------


def front_alone(table: Table, _session: Session, rows: pa.Table) -> pa.Table:
    if "instrument_id" not in table:
        return rows
    kept = rows.filter(pc.equal(rows["instrument_id"], FRONT[1]))
    assert rows.num_rows * 0.96 < kept.num_rows < rows.num_rows * 0.99, "three percent are of another contract"
    return kept


def test_records_of_another_contract_change_nothing(plain, tmp_path):
    alone = gold(tmp_path / "lake", AFTER_HOLIDAY, front_alone)
    assert differing(plain, alone) == {"front_dominance"}
    assert set(alone["front_dominance"].to_pylist()) == {1.0}


# --- holidays ------------------------------------------------------------------------------------------


def with_holiday(table: Table, session: Session, rows: pa.Table) -> pa.Table:
    """Trades and books of the holiday before, far from the market; they are stored with the session after it."""
    if table not in (ES_TRADES, ES_MBP10) or session.date != AFTER_HOLIDAY:
        return rows
    times = session.open_ns - 24 * HOUR_NS + np.arange(200) * NS_PER_MINUTE
    early = rows.filter(pc.equal(rows["instrument_id"], FRONT[1])).slice(0, len(times))
    for name in (name for name in table.names if "ticks" in name):
        moved = pc.add(early[name], 400).cast(table[name].arrow.type)
        early = early.set_column(early.schema.get_field_index(name), table.arrow.field(name), moved)
    for name in ("ts_event_ns", "ts_recv_ns"):
        early = early.set_column(early.schema.get_field_index(name), table.arrow.field(name), pa.array(times))
    return pa.concat_tables([early, rows]).unify_dictionaries()


def test_hours_of_a_holiday_are_stored_and_never_looked_at(plain, tmp_path):
    assert not differing(plain, gold(tmp_path / "lake", AFTER_HOLIDAY, with_holiday))


# --- early closes --------------------------------------------------------------------------------------


def test_an_early_close_ends_the_session(tmp_path):
    session = calendar().session(EARLY)
    assert session.early_close
    rows = gold(tmp_path / "lake", EARLY, sets=["signals.levels.kinds=[2,3,4,5,6,7,8,12]"]).to_pandas()
    decided = rows["decision_ns"].to_numpy()
    assert (session.open_ns <= decided).all()
    assert (decided < session.close_ns).all()
    left = session.close_ns - decided
    for minutes in (2, 4, 8):
        label_end = rows[f"label_end_ns_{minutes}min"].to_numpy()
        assert (label_end == decided + minutes * NS_PER_MINUTE).all()
        assert (rows[f"censored_{minutes}min"].to_numpy() == (left < minutes * NS_PER_MINUTE)).all()
        assert rows.loc[left < minutes * NS_PER_MINUTE, f"future_price_{minutes}min"].isna().all()
    assert rows["censored_8min"].any()
    assert rows["bars_since_open"].max() < 210
    assert rows.loc[decided >= session.open_ns + HOUR_NS, "time_period"].eq("REST_OF_DAY").all()
    assert rows["rel_vol_ratio"].notna().mean() > 0.9
    assert rows["fuel_volume"].max() > 0


def test_the_session_after_an_early_close_counts_it_as_a_session_of_its_warm_up(tmp_path):
    after = calendar().offset(EARLY, 1)
    rows = gold(tmp_path / "lake", after).to_pandas()
    assert set(rows["warmup_volume_sessions"]) == {WARM_UP}
    afternoon = rows["decision_ns"] > calendar().session(after).open_ns + 5 * HOUR_NS
    assert afternoon.any()
    # The half session has no volume after its close: with it in the mean, ratios of the afternoon were larger.
    assert rows.loc[afternoon, "rel_vol_ratio"].between(0.5, 1.5).all()


# --- scale ---------------------------------------------------------------------------------------------

#: Dollars to points doubled, and with them whatever is counted in points, in ticks, or in dollars of futures.
DOUBLED = (
    "signals.ratio.low=19",
    "signals.ratio.high=21.2",
    "signals.ratio.fixed=20",
    "signals.barrier.zone_ticks=16",
    "signals.tape.sweep_min_notional_usd=1000000",
    "signals.pressure.slope=1.0",
)
#: Points, or the ratio itself.
IN_POINTS = {"es_price", "level_price_es", "es_spy_ratio", "tape_slope_3s", "tape_slope_60s", "tape_sweep_notional"}


def doubled(table: Table, _session: Session, rows: pa.Table) -> pa.Table:
    for name in (name for name in table.names if "ticks" in name):
        twice = pc.multiply(rows[name], 2).cast(table[name].arrow.type)
        rows = rows.set_column(rows.schema.get_field_index(name), table.arrow.field(name), twice)
    return rows


#: What stands on how many ticks of the zone are in sight: of a grid twice as wide, ten levels show other shares.
OF_SIGHT = {
    *("zone_visible", "zone_visible_frac", "zone_visible_time_frac", "wall_ratio", "wall_ratio_log"),
    *("wall_ratio_nonzero", "liquidity_pressure", "net_break_pressure"),
}
#: What is unknown out of sight, and what is made of it; in sight it stays.
UNLESS_SEEN = {
    *("barrier_delta_liq", "barrier_delta_liq_log", "barrier_delta_liq_nonzero", "barrier_refill_ratio"),
    *("barrier_replenishment_ratio", "depth_in_zone", "barrier_state", "barrier_confidence", "liquidity_score"),
}
#: What looks at other moments too: the start of the window, the first touch of a cluster, the seconds before.
OF_THE_PAST = {
    *("depth_in_zone_start", "barrier_delta_liq_trend", "barrier_replenishment_trend"),
    *("break_score_raw", "break_score_smooth", "signal", "confidence", "runway_direction"),
}


def test_futures_and_ratio_doubled_leave_every_dollar_as_it_is(plain, tmp_path):
    twice = gold(tmp_path / "lake", AFTER_HOLIDAY, doubled, DOUBLED)
    assert differing(plain, twice) <= IN_POINTS | OF_SIGHT | UNLESS_SEEN | OF_THE_PAST
    for name in IN_POINTS:
        assert np.allclose(twice[name].to_numpy(), 2 * plain[name].to_numpy(), rtol=1e-12, atol=0), name
    seen = pc.and_(plain["zone_visible"], twice["zone_visible"])
    assert pc.sum(seen).as_py() > plain.num_rows / 2
    assert not differing(*(rows.filter(seen).select(sorted(UNLESS_SEEN)) for rows in (plain, twice)))
