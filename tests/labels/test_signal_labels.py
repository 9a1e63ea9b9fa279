"""Labels of touches: the definition on made-up tapes, cut windows, clocks, and laws."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raypipe.calendar import calendar
from raypipe.labels.signal_labels import HORIZONS, SIGNAL_LABELS, SignalLabelsParams, compute
from raypipe.schema.books import ES_TRADES
from raypipe.schema.family import Inputs
from raypipe.schema.frames import check_table, constant_dictionary, date_array
from raypipe.schema.signals import LabelParams, SignalsParams
from raypipe.schema.touches import ES_BARS, ES_SESSION, TOUCHES
from tests.contracts.books import BACK, FRONT
from tests.reference.signal_labels import ALIASES, MINUTE, SECOND, Rules, atr, labels, uniqueness, window_of

REGULAR = calendar().session(dt.date(2025, 2, 5))
EARLY = calendar().session(dt.date(2024, 11, 29))
CONFIRMATION = SignalLabelsParams(signals=SignalsParams(labels=LabelParams(anchor="confirmation")))
RATIO = 10.0


@dataclass
class Tape:
    """Trades of the front contract in a session: (ts_ns, ticks), in record order."""

    session: object
    trades: list[tuple[int, int]]
    back: bool = False

    @property
    def points(self) -> list[tuple[int, float]]:
        return [(ts, ticks * 0.25) for ts, ticks in self.trades]

    def bars(self) -> list[tuple[int, float, float, float]]:
        """Start, high, low and close of each minute."""
        by_minute: dict[int, list[float]] = {}
        for ts, price in self.points:
            by_minute.setdefault(ts // MINUTE * MINUTE, []).append(price)
        return [(start, max(prices), min(prices), prices[-1]) for start, prices in sorted(by_minute.items())]

    def inputs(self, touches: list[dict]) -> Inputs:
        date = self.session.date
        tables = {
            TOUCHES.name: _touches(date, touches),
            ES_TRADES.name: self._trades(date),
            ES_SESSION.name: _front(date),
            ES_BARS.name: self._bars(date),
        }
        return Inputs((self.session,), {name: {date: table} for name, table in tables.items()}, {date: self.session})

    def _trades(self, date: dt.date) -> pa.Table:
        rows = [(ts, ticks, FRONT) for ts, ticks in self.trades]
        if self.back:  # the next month trades at the same times, far away
            rows = [each for ts, ticks, _ in rows for each in ((ts, ticks, FRONT), (ts, ticks + 220, BACK))]
        made = {
            "ts_event_ns": pa.array([ts for ts, *_ in rows], pa.int64()),
            "price_ticks": pa.array([ticks for _, ticks, _ in rows], pa.int32()),
            "instrument_id": pa.array([one[1] for *_, one in rows], pa.uint32()),
        }
        return pa.table(made)

    def _bars(self, date: dt.date) -> pa.Table:
        bars = self.bars()
        ticks = {
            name: pa.array([int(bar[i] * 4) for bar in bars], pa.int32())
            for name, i in (("open_ticks", 3), ("high_ticks", 1), ("low_ticks", 2), ("close_ticks", 3))
        }
        ones = pa.array(np.ones(len(bars), np.int64))
        return ES_BARS.build(
            {
                "session": date_array(date, len(bars)),
                "contract": constant_dictionary(FRONT[0], len(bars)),
                "start_ns": pa.array([bar[0] for bar in bars], pa.int64()),
                **ticks,
                **dict.fromkeys(("volume", "buy_volume", "sell_volume", "tick_volume"), ones),
                "trades": ones.cast(pa.int32()),
            }
        )


def _front(date: dt.date) -> pa.Table:
    names = {"session": date_array(date, 1), "front_contract": constant_dictionary(FRONT[0], 1)}
    return pa.table({**names, "front_instrument_id": pa.array([FRONT[1]], pa.uint32())})


def _touches(date: dt.date, touches: list[dict]) -> pa.Table:
    count = len(touches)
    return pa.table(
        {
            "session": date_array(date, count),
            "decision_ns": pa.array([t["decision_ns"] for t in touches], pa.int64()),
            "level_kind": pa.array([8] * count, pa.int8()),
            "level_price": pa.array([t["level_price_es"] / t["es_spy_ratio"] for t in touches], pa.float64()),
            "event_id": pa.array([f"e{i}" for i in range(count)], pa.string()),
            "level_price_es": pa.array([t["level_price_es"] for t in touches], pa.float64()),
            "es_spy_ratio": pa.array([t["es_spy_ratio"] for t in touches], pa.float64()),
            "direction_sign": pa.array([t["direction_sign"] for t in touches], pa.int8()),
        }
    )


def touch(decision_ns: int, level: float = 5000.0, sign: int = 1, ratio: float = RATIO) -> dict:
    return {"decision_ns": decision_ns, "level_price_es": level, "direction_sign": sign, "es_spy_ratio": ratio}


def built(tape: Tape, touches: list[dict], params: SignalLabelsParams | None = None) -> list[dict]:
    table = compute(tape.inputs(touches), params or SignalLabelsParams()).table
    check_table(SIGNAL_LABELS, table, partition=str(tape.session.date))
    return table.to_pylist()


def after_open(*moves: tuple[float, int], session=REGULAR) -> Tape:
    """Trades so many seconds after 10:00 and so many ticks from 5000 points; quiet ones before and long after."""
    start = session.open_ns + 30 * MINUTE
    quiet = [(start - 40 * MINUTE + i * 10 * SECOND, 20_000 + i % 2) for i in range(240)]
    later = [(start + 20 * MINUTE, 20_000)]
    return Tape(session, [*quiet, *((start + int(s * SECOND), 20_000 + ticks) for s, ticks in moves), *later])


TEN = REGULAR.open_ns + 30 * MINUTE

# --- the definition ------------------------------------------------------------------------------


@st.composite
def samples(draw):
    """A session near its close, with pauses and jumps, and touches all over it; sometimes the data ends early."""
    session = draw(st.sampled_from([REGULAR, EARLY]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    count = draw(st.sampled_from([40, 400]))
    start = session.close_ns - draw(st.sampled_from([15, 40])) * MINUTE
    ts = start + np.cumsum(rng.choice([0, 1, 3, 20, 90], count, p=[0.2, 0.3, 0.3, 0.17, 0.03])) * SECOND
    ticks = 20_000 + np.cumsum(rng.choice([-40, -7, -1, 0, 1, 7, 40], count, p=[0.02, 0.1, 0.2, 0.36, 0.2, 0.1, 0.02]))
    at = np.sort(rng.choice(np.concatenate([ts, rng.integers(start, session.close_ns, 5)]), 12, replace=False))
    touches = [
        touch(int(t), 5000 + float(rng.normal(0, 3)), int(rng.choice([1, -1])), float(rng.choice([10.0, 10.07])))
        for t in np.unique(at)
    ]
    return Tape(session, list(zip(ts.tolist(), ticks.tolist(), strict=True)), back=draw(st.booleans())), touches


@settings(max_examples=40)
@given(samples(), st.booleans())
def test_equals_the_definition(sample, confirmed):
    tape, touches = sample
    found = built(tape, touches, CONFIRMATION if confirmed else None)
    rules = Rules(tape.session.close_ns, confirmed=confirmed)
    windows = {h: [window_of(tape.points, t["decision_ns"], m, rules) for t in touches] for h, m in HORIZONS.items()}
    alike = {h: uniqueness([(b, max(b, cut)) for b, _, cut in spans]) for h, spans in windows.items()}
    for i, (row, one) in enumerate(zip(found, touches, strict=True)):
        points = atr(tape.bars(), one["decision_ns"])
        expected = labels(tape.points, one, points / one["es_spy_ratio"] if points else None, rules)
        for h in HORIZONS:
            exact = alike[h][i]
            expected[f"uniqueness_{h}"] = None if exact is None else pytest.approx(float(exact), rel=1e-9)
        assert {name: row[name] for name in expected} == expected
        assert set(row) - set(expected) == set(TOUCHES.key) | {"session", "event_id"}


def test_the_next_month_changes_nothing():
    tape = after_open((3, 8), (70, 41), (130, -9))
    assert built(Tape(REGULAR, tape.trades, back=True), [touch(TEN)]) == built(tape, [touch(TEN)])


@settings(max_examples=15)
@given(samples())
def test_mirrored_prices_and_directions_keep_every_outcome(sample):
    tape, touches = sample
    mirrored = Tape(tape.session, [(ts, 40_000 - ticks) for ts, ticks in tape.trades])
    turned = [
        t | {"level_price_es": 10_000 - t["level_price_es"], "direction_sign": -t["direction_sign"]} for t in touches
    ]
    prices = {name for name in SIGNAL_LABELS.names if name.startswith(("anchor_spot", "future_price", "level_price"))}
    for ours, theirs in zip(built(tape, touches), built(mirrored, turned), strict=True):
        assert {k: v for k, v in ours.items() if k not in prices} == pytest.approx(
            {k: v for k, v in theirs.items() if k not in prices}
        )


# --- cases by hand -------------------------------------------------------------------------------


def test_the_first_trade_beyond_two_dollars_decides():
    row = built(after_open((10, 90), (20, -90)), [touch(TEN)])[0]
    assert row["outcome_2min"] == row["outcome_4min"] == row["outcome"] == "BREAK"
    assert (row["time_to_break_2_4min"], row["time_to_bounce_2_4min"]) == (10.0, 20.0)
    assert row["time_to_threshold_2"] == 10.0
    down = built(after_open((10, 90), (20, -90)), [touch(TEN, sign=-1)])[0]
    assert down["outcome"] == "BOUNCE"


def test_of_two_trades_at_one_moment_the_earlier_record_decides():
    assert built(after_open((10, -90), (10, 90)), [touch(TEN)])[0]["outcome"] == "BOUNCE"
    assert built(after_open((10, 90), (10, -90)), [touch(TEN)])[0]["outcome"] == "BREAK"


def test_clocks_start_at_the_touch_unless_outcomes_are_counted_from_the_confirmation():
    tape = after_open((10, 90), (150, 0), (200, 90))
    decided, confirmed = built(tape, [touch(TEN)])[0], built(tape, [touch(TEN)], CONFIRMATION)[0]
    assert decided["time_to_break_2_2min"] == 10.0
    assert confirmed["time_to_break_2_2min"] == 80.0
    assert (decided["confirm_ts_ns_2min"], decided["label_end_ns_2min"]) == (TEN + 2 * MINUTE, TEN + 2 * MINUTE)
    assert (confirmed["confirm_ts_ns_2min"], confirmed["label_end_ns_2min"]) == (TEN + 2 * MINUTE, TEN + 10 * MINUTE)
    assert confirmed["outcome_5min"] == decided["outcome_5min"] == "BREAK"
    assert confirmed["time_to_break_5min"] == 10.0


def test_the_touching_trade_is_outside_and_a_trade_at_the_end_inside():
    row = built(after_open((0, 90), (120, 90)), [touch(TEN)])[0]
    assert row["time_to_break_2_2min"] == 120.0
    assert row["anchor_spot_2min"] is None, "two minutes later is no price that one could get"
    assert row["outcome_entry_atr1_2min"] == "UNDEFINED"


def test_cut_windows_are_undefined_unless_they_show_a_hit():
    late = REGULAR.close_ns - 3 * MINUTE
    trades = [(late + i * SECOND, 20_000) for i in range(-1800, 400)]
    row = built(Tape(REGULAR, trades), [touch(late)])[0]
    assert (row["outcome_2min"], row["outcome_4min"], row["outcome_8min"]) == ("CHOP", "UNDEFINED", "UNDEFINED")
    assert (row["censored_2min"], row["censored_4min"], row["outcome_5min"]) == (False, True, "UNDEFINED")
    assert row["future_price_4min"] is None
    trades = [(ts, 20_090 if ts == late + 170 * SECOND else ticks) for ts, ticks in trades]
    row = built(Tape(REGULAR, trades), [touch(late)])[0]
    assert (row["outcome_4min"], row["tradeable_2_4min"]) == ("BREAK", 1)


def test_where_the_data_ends_windows_are_cut():
    trades = [(TEN + i * SECOND, 20_000) for i in range(-1800, 200)]
    row = built(Tape(REGULAR, trades), [touch(TEN)])[0]
    assert (row["outcome_2min"], row["outcome_4min"]) == ("CHOP", "UNDEFINED")
    assert row["censored_4min"]


def test_a_session_that_closes_early_cuts_there():
    late = EARLY.close_ns - MINUTE
    trades = [(late + i * SECOND, 20_000) for i in range(-1800, 400)]
    row = built(Tape(EARLY, trades), [touch(late)])[0]
    assert row["censored_2min"]
    assert row["outcome_2min"] == "UNDEFINED"


def test_the_fixed_family_must_be_exceeded():
    assert built(after_open((10, 8)), [touch(TEN)])[0]["outcome_5min"] == "CHOP"
    assert built(after_open((10, 9)), [touch(TEN)])[0]["outcome_5min"] == "BREAK"
    assert built(after_open((10, 40)), [touch(TEN)])[0]["time_to_break_1_2min"] == 10.0, "1 dollar need not be"


def test_barriers_around_the_entry_are_another_question():
    row = built(after_open((10, 60), (20, 52)), [touch(TEN)])[0]
    assert row["anchor_spot_2min"] == 501.5
    assert row["outcome_atr1_2min"] == "BREAK", "seen from the level"
    assert row["outcome_entry_atr1_2min"] == "BOUNCE", "seen from the price one got"


def test_without_enough_bars_the_atr_outcomes_are_undefined():
    trades = [(TEN + i * 10 * SECOND, 20_000 + i % 3) for i in range(200)]
    row = built(Tape(REGULAR, trades), [touch(TEN + MINUTE)])[0]
    assert (row["outcome_atr1_4min"], row["outcome_4min"]) == ("UNDEFINED", "CHOP")
    assert row["time_to_break_atr1_4min"] is None


def test_without_touches_there_are_no_labels():
    assert built(after_open((1, 1)), []) == []


def test_aliases_say_so_and_repeat_their_column():
    row = built(after_open((10, 90)), [touch(TEN)])[0]
    for name in ALIASES:
        assert SIGNAL_LABELS[name].alias_of == f"{name}_4min"
        assert row[name] == row[f"{name}_4min"]


def test_every_column_but_the_keys_is_a_label():
    roles = {column.name: column.role for column in SIGNAL_LABELS.columns}
    assert {name for name, role in roles.items() if role != "label"} == {*TOUCHES.key, "session", "event_id"}
