"""Every family of the library against the family suite, and planted cheats that the suite must catch."""

from __future__ import annotations

import pytest

from tests.contracts.family import CHECKS, TARGETS, Case
from tests.contracts.market import all_families
from tests.contracts.sources import SYMBOLS

#: Sessions built of a family of signals.
BOOK_SESSIONS = 5
#: A MACD that sees crossings in few bars.
SHORT = {"fast": 2, "slow": 4, "signal": 2, "min_bars": 4}
#: Parameters beside the defaults under which a family is judged too: small windows see more on a small market.
SETTINGS: dict[str, tuple[dict[str, object], ...]] = {
    "daily": ({"max_gap_sessions": 2, "prefilter_price_range": [2.0, 6.0], "adjust": "none", "clean_symbols": False},),
    "weekly": ({"max_gap_weeks": 1},),
    "filtered": (
        {"prefilter_window_sessions": 1, "prefilter_min_days": 0, "prefilter_min_avg_volume": 0},
        {"prefilter_price_range": [3.0, 20.0]},
    ),
    "technical": ({"adjust": "none", "memory_sessions": 240},),
    "volume_means": (
        {"minute": {"vol_spike_lookback": 2, "vol_spike_window_sessions": 3}},
        {"minute": {"vol_spike_lookback": 3, "vol_spike_window_sessions": 5, "adjust": "none"}},
    ),
    "minute_features": ({"mode": "all", "adjust": "none", "clean_symbols": False},),
    "macd": (
        {**SHORT, "modes": ["rth", "all"], "timeframes": ["15m", "1m"]},
        {"state": "carry", "modes": ["all", "rth"], "clean_symbols": False},
    ),
    "macd_state": ({"macd": {"state": "carry", "modes": ["all", "rth"], "state_max_age_sessions": 1}},),
    "macd_bars": ({"macd": {"write_bars": True, "min_bars": 5, "modes": ["all", "rth"]}},),
    "events": (
        {"mode": "rth", "side": "long", "macd": {**SHORT, "timeframes": ["15m", "1m", "5m"], "clean_symbols": False}},
        {"macd": {"state": "carry", "min_bars": 5}},
    ),
    "event_state": (
        {"events": {"macd": {**SHORT, "state": "carry", "timeframes": ["1m"]}}, "daily": {"max_gap_sessions": 1}},
        {"minute_features": {"mode": "all", "adjust": "none"}, "daily": {"adjust": "none"}},
    ),
    "labels": (
        {
            "barriers": [
                {"target_move": 0.02},
                {"target_move": 0.03, "stop_move": 0.01, "time_window_minutes": 90},
                {"target_move": 0.00125, "time_window_minutes": 90},
            ],
            "max_entry_delay_minutes": 20,
        },
    ),
    "touches": (
        {"signals": {"touch": {"cadence": "bar"}, "levels": {"kinds": list(range(14)), "wall_basis": "decayed"}}},
        {"signals": {"levels": {"kinds": list(range(14)), "or_forming": True, "vwap_price": "typical"}}},
    ),
    "signal_features": (
        {
            "signals": {
                "levels": {"kinds": list(range(14)), "wall_basis": "decayed"},
                "options": {"option_latency_ms": 700},
                "bars": {"atr_bars": 5, "vol_min": 5},
                "barrier": {"window_s": 60, "zone_ticks": 4, "state_ratio": "gross"},
            }
        },
        {
            "signals": {
                "session": {"require_options": False, "sma_warmup_sessions": 1, "volume_warmup_sessions": 4},
                "fuel": {"wall_gamma": 5_000},
            }
        },
    ),
    "signal_labels": ({"signals": {"labels": {"anchor": "confirmation", "max_stale_s": 20}, "bars": {"atr_bars": 5}}},),
    "bars_1d": ({"ingest": {"adjustment": "raw"}}, {"ingest": {"adjustment": "full"}}),
    "universe": (
        {"min_history_sessions": 20, "window_sessions": 10, "min_price_usd": 15, "max_members": 6},
        {"min_history_sessions": 5, "min_presence": 1.0, "window_sessions": 5, "min_dollar_volume_usd": 3e7},
    ),
    "forward_labels": ({"horizons": [2, 7], "delist_return": -1.0},),
    "targets": ({"forward_labels": {"horizons": [1, 20]}},),
    "range_expansion": ({"lookback_rows": 2, "window_sessions": 3, "rel_threshold": 1.0},),
    "model_panel": ({"panel": {"market_means": ["ret_d"], "tables": ["silver/bars_1d", "silver/daily"]}},),
    "dataset": ({"price_filter": True, "price_max": 100.0, "price_min": 3.0, "max_feature_age_sessions": 2},),
}
#: What a family is judged with instead of its defaults, where these select nothing on a small market.
INSTEAD: dict[str, dict[str, object]] = {
    "macd_state": {"macd": {"state": "carry"}},
    "macd_bars": {"macd": {"write_bars": True, "state": "carry"}},
    "filtered": {"prefilter_window_sessions": 12, "prefilter_min_days": 7, "prefilter_min_avg_volume": 500_000},
    "dataset": {"universe": "all", "price_filter": False},
    # Another order than that of the names, one symbol that has no bars.
    "model_panel": {"listed": [*reversed(SYMBOLS[2:]), "NONE"]},
}
#: Columns that stay null on a market that is shorter than the warm-up of other families.
UNFILLED: dict[str, tuple[str, ...]] = {
    "bars_1d": ("split_factor",),  # of fully adjusted prices
    "dataset": (
        *("prev_adx_14", "prev_strong_trend", "prev_sma_50", "prev_sma_200", "prev_sma_cross_20_50"),
        *("prev_sma_cross_50_200", "prev_avg_volume", "prev_days_in_window"),
    ),
}


def cases() -> list[Case]:
    made = []
    for name, family in all_families().items():
        usual = INSTEAD.get(name, {})
        variants = [{}, *SETTINGS.get(name, ())]
        unfilled = frozenset(UNFILLED.get(name, ()))
        for seed, extra in enumerate(variants):
            # Sessions of books are large, and what their rows look back on lies mostly within them.
            count = BOOK_SESSIONS if family.fuse in ("front", "signals") else TARGETS
            made.append(Case(family, family.params(**{**usual, **extra}), seed, count=count, unfilled=unfilled))
    return made


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("case", cases(), ids=lambda case: f"{case}-{case.seed}")
def test_family(case, check):
    check(case)
