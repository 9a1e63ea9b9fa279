"""Stored bars: the definition, and that features and bars tell one story."""

from __future__ import annotations

from itertools import groupby

from hypothesis import given, settings
from hypothesis import strategies as st

from raypipe.features import macd
from raypipe.features.macd_bars import FAMILY, MacdBarsParams
from raypipe.schema.macd import WIDTH_NS, MacdParams
from raypipe.schema.minutes import window_of
from tests.features.bars import run
from tests.features.minutes import assert_values, samples
from tests.reference.macd import Recipe, lines, resample

params = st.builds(
    MacdParams,
    modes=st.sampled_from([("all",), ("rth", "all")]),
    timeframes=st.sampled_from([("1m", "5m"), ("1m", "15m")]),
    min_bars=st.sampled_from([3, 34]),
    write_bars=st.just(True),
)


def build(made, p):
    return run(FAMILY, made.market(), made.sessions, MacdBarsParams(macd=p)).table


@settings(max_examples=15)
@given(samples(), params)
def test_equals_the_definition(made, p):
    expected = []
    for session in made.sessions:
        for mode in p.modes:
            for tf in sorted(p.timeframes, key=str.encode):
                for symbol in made.symbols(session.date):
                    bars = resample(made.bars[session.date, symbol], WIDTH_NS[tf], window_of(session, mode))
                    rows, _ = lines([bar["close"] for bar in bars], Recipe(min_bars=p.min_bars))
                    keys = {"session": session.date, "mode": mode, "tf": tf, "symbol": symbol}
                    expected += [
                        {
                            **keys,
                            **{name: bar[name] for name in ("open", "high", "low", "close", "volume")},
                            **{name: row[name] for name in ("macd", "signal", "hist", "bar_index", "cross")},
                            "window_start_ns": bar["start_ns"],
                            "end_ns": bar["start_ns"] + WIDTH_NS[tf],
                        }
                        for bar, row in zip(bars, rows, strict=True)
                    ]
    assert_values(build(made, p), expected)


@settings(max_examples=10)
@given(samples(), params)
def test_features_are_what_the_bars_say(made, p):
    features = run(macd.FAMILY, made.market(), made.sessions, p).table.to_pylist()
    bars = build(made, p).to_pylist()
    found = {}
    for key, group in groupby(bars, key=lambda bar: (bar["session"], bar["mode"], bar["symbol"], bar["tf"])):
        found[key] = list(group)
    for row in features:
        for tf in p.timeframes:
            own = found.pop((row["session"], row["mode"], row["symbol"], tf))
            assert row[f"bars_n__{tf}"] == len(own)
            assert row[f"close_last__{tf}"] == own[-1]["close"]
            assert row[f"hist_zero_cross_up_count__{tf}"] == sum(bar["cross"] == 1 for bar in own)
            seasoned = [bar["hist"] for bar in own if bar["bar_index"] >= p.min_bars - 1]
            assert row[f"hist_max__{tf}"] == max(seasoned, default=None)
    assert not found


def test_the_table_exists_only_on_demand():
    assert not FAMILY.enabled(MacdBarsParams())
    assert FAMILY.enabled(MacdBarsParams(macd=MacdParams(write_bars=True)))
