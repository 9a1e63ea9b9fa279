"""The family that is put together from groups: its columns, what it reads, and what it leaves alone."""

from __future__ import annotations

import pytest

from raypipe.features import signal_features
from raypipe.features.signal_features import SIGNAL_FEATURES, SignalFeaturesParams
from raypipe.schema.signals import SignalsParams
from raypipe.schema.touches import TOUCHES

#: Every column in stored order, aliases included.
COLUMNS = {
    "context": """
        is_first_15m is_opening_range bars_since_open atr session_position dist_to_pm_high dist_to_pm_low
        dist_to_sma_200 dist_to_sma_400 dist_to_vwap spot_to_sma_200 spot_to_sma_400 spot_to_vwap""",
    "reversion": """
        sma_200 sma_400 sma_spread sma_200_slope sma_400_slope sma_200_slope_5bar sma_400_slope_5bar
        mean_reversion_pressure_200 mean_reversion_pressure_400 mean_reversion_velocity_200
        mean_reversion_velocity_400""",
    "barrier": """
        barrier_added barrier_canceled barrier_filled barrier_view_in barrier_view_out barrier_delta_liq
        churn depth_in_zone depth_in_zone_start barrier_replenishment_ratio barrier_refill_ratio wall_ratio
        zone_visible_frac zone_visible_time_frac zone_visible book_age_ms barrier_fill_method barrier_state
        barrier_confidence wall_ratio_nonzero barrier_delta_liq_nonzero wall_ratio_log barrier_delta_liq_log""",
    "tape": """
        tape_buy_vol tape_sell_vol tape_unsided_vol tape_imbalance tape_velocity tape_slope_3s
        tape_slope_60s tape_sweep_detected sweep_detected tape_sweep_direction tape_sweep_notional
        tape_sweep_contracts tape_sweep_prints tape_sweep_window_ms tape_confidence""",
    "fuel": """
        gamma_exposure fuel_net_dealer_gamma fuel_call_gamma fuel_put_gamma fuel_gross_gamma fuel_volume
        fuel_effect gamma_bucket fuel_call_wall fuel_put_wall fuel_hvl fuel_confidence""",
    "dealer_flow": """
        gamma_flow_velocity dealer_flow_velocity gamma_flow_impulse dealer_flow_impulse gamma_flow_accel_1m
        gamma_flow_accel_3m dealer_flow_accel_1m dealer_flow_accel_3m dealer_pressure dealer_pressure_accel""",
    "stacked": """
        confluence_count confluence_weighted_score confluence_pressure confluence_min_distance
        confluence_alignment""",
    "hierarchy": """
        breakout_state sma_proximity time_period gex_alignment rel_vol_ratio rel_vol_state confluence_level""",
    "pressure": """
        liquidity_pressure tape_pressure gamma_pressure gamma_pressure_accel reversion_pressure
        net_break_pressure""",
    "approach": """
        approach_velocity approach_bars prior_touches approach_distance attempt_index attempt_cluster_id
        barrier_replenishment_trend barrier_delta_liq_trend tape_velocity_trend tape_imbalance_trend""",
    "score": """
        liquidity_score hedge_score tape_score break_score_raw break_score_smooth signal confidence""",
    "runway": """
        runway_direction runway_next_level_price runway_distance runway_quality""",
    "transforms": """
        distance_atr distance_pct distance_signed_atr distance_signed_pct dist_to_pm_high_atr
        dist_to_pm_high_pct dist_to_pm_low_atr dist_to_pm_low_pct dist_to_sma_200_atr dist_to_sma_200_pct
        dist_to_sma_400_atr dist_to_sma_400_pct confluence_min_distance_atr confluence_min_distance_pct
        approach_distance_atr approach_distance_pct level_price_pct""",
}
ALIASES = {
    "sweep_detected": "tape_sweep_detected",
    "fuel_net_dealer_gamma": "gamma_exposure",
    "dealer_flow_velocity": "gamma_flow_velocity",
    "dealer_flow_impulse": "gamma_flow_impulse",
    "dealer_flow_accel_1m": "gamma_flow_accel_1m",
    "dealer_flow_accel_3m": "gamma_flow_accel_3m",
    "level_price_pct": "distance_signed_pct",
}
KEYS = ["session", "event_id", "decision_ns", "level_kind", "level_price"]


@pytest.mark.parametrize("group", COLUMNS)
def test_columns_of_each_group_in_order(group):
    found = [column.name for column in SIGNAL_FEATURES.columns if column.group == group]
    assert found == COLUMNS[group].split()


def test_columns_of_the_table_in_order():
    assert list(SIGNAL_FEATURES.names) == [*KEYS, *(name for names in COLUMNS.values() for name in names.split())]


def test_no_column_is_one_of_touches():
    assert set(SIGNAL_FEATURES.names) & set(TOUCHES.names) == set(KEYS)


def test_aliases():
    assert {column.name: column.alias_of for column in SIGNAL_FEATURES.columns if column.alias_of} == ALIASES


def test_metadata_tells_groups_units_and_roles():
    field = SIGNAL_FEATURES.arrow.field("atr")
    assert field.metadata == {b"unit": b"usd", b"role": b"feature", b"group": b"context"}
    assert all(column.group for column in SIGNAL_FEATURES.columns[len(KEYS) :])
    assert not {column.role for column in SIGNAL_FEATURES.columns} & {"label"}


@pytest.mark.parametrize(
    ("groups", "counts"),
    [
        ({"labels": {"anchor": "confirmation"}}, False),
        ({"output": {"aliases": False}}, False),
        ({"ratio": {"fixed": 10.5}}, False),
        ({"bars": {"atr_bars": 10}}, True),
        ({"session": {"require_options": False}}, True),
        ({"score": {"tau_s": 3.0}}, True),
        ({"barrier": {"zone_ticks": 4}}, True),
    ],
)
def test_only_parameters_that_matter_count(groups, counts):
    changed = SignalFeaturesParams(signals=SignalsParams(**groups))
    assert (changed.tracked() != SignalFeaturesParams().tracked()) is counts


def test_what_it_reads():
    reads = {read.table: read for read in signal_features.requires(SignalFeaturesParams())}
    assert {name: read.before for name, read in reads.items() if read.before} == {
        "silver/es_bars": 7,
        "silver/es_session": 7,
    }
    assert not any(read.after or read.optional for read in reads.values())
    assert len(reads["bronze/es_mbp10"].columns) == 47
    assert [name for name, read in reads.items() if read.stream] == ["bronze/es_mbp10"]
    short = SignalFeaturesParams(
        signals=SignalsParams(session={"sma_warmup_sessions": 2, "volume_warmup_sessions": 1, "require_options": False})
    )
    reads = {read.table: read for read in signal_features.requires(short)}
    assert (reads["silver/es_bars"].before, reads["silver/option_greeks"].optional) == (2, True)
