"""First passage: the definition on made-up bars, single cases by hand, and laws of mirrors and scales."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.kernels.first_passage import (
    ADVERSE,
    NO_ENTRY,
    TARGET,
    TIMEOUT,
    Passages,
    PriceBars,
    entry_rows,
    first_passages,
    horizons,
)
from tests.kernels.minute_bars import MINUTE, RTH, START, WHOLE, Tape, equal_bits, tapes
from tests.reference.labels import Barrier, Rules, labels

WORDS = {TARGET: "target", ADVERSE: "adverse", TIMEOUT: "timeout", NO_ENTRY: "no_entry"}
moments = st.lists(st.integers(0, 960), min_size=1, max_size=12)
barriers = st.builds(
    Barrier,
    st.just("s"),
    st.sampled_from([0.001, 0.004, 0.02]),
    st.sampled_from([0.001, 0.004, 0.02]),
    st.sampled_from([1, 5, 30, 400]),
)


class Sample:
    """The same moments in every symbol of a tape, with both directions."""

    def __init__(self, tape: Tape, minutes: list[int]) -> None:
        count, signs = len(minutes), np.array([1, -1] * len(minutes))[: len(minutes)]
        self.tape = tape
        self.begin, self.end = np.repeat(tape.begin, count), np.repeat(tape.end, count)
        self.decision_ns = np.tile(START + np.array(minutes, np.int64) * MINUTE, len(tape.symbols))
        self.direction = np.tile(signs, len(tape.symbols)).astype(np.int8)
        prices = tape.bars
        self.bars = PriceBars(tape.start_ns, prices.open, prices.high, prices.low, prices.close)

    def entries(self, delay: int = 5) -> np.ndarray:
        return entry_rows(self.bars.start_ns, self.begin, self.end, self.decision_ns, delay * MINUTE, WHOLE[1])

    def passages(self, barrier: Barrier, bars: PriceBars | None = None, sign: int = 1) -> Passages:
        """``sign`` -1 turns all directions round."""
        bars = bars or self.bars
        row = self.entries()
        ahead = horizons(bars, row, self.end, barrier.minutes * MINUTE, (RTH[1], WHOLE[1]))
        return first_passages(bars, row, ahead.last, sign * self.direction, barrier.target, barrier.stop)

    def expected(self, barrier: Barrier) -> list[dict[str, Any]]:
        rules = Rules(WHOLE, RTH[1], WHOLE[1])
        symbols = np.repeat(np.arange(len(self.tape.symbols)), len(self.begin) // max(len(self.tape.symbols), 1))
        events = zip(symbols, self.decision_ns.tolist(), self.direction.tolist(), strict=True)
        return [
            labels(self.tape.symbols[k], {"decision_ns": ns, "direction": sign}, [barrier], rules)
            for k, ns, sign in events
        ]


samples = st.builds(Sample, tapes, moments)


@given(samples, barriers)
def test_equals_the_definition(sample, barrier):
    expected = sample.expected(barrier)
    row = sample.entries()
    ahead = horizons(sample.bars, row, sample.end, barrier.minutes * MINUTE, (RTH[1], WHOLE[1]))
    found = sample.passages(barrier)
    entered = row >= 0
    assert [sample.bars.start_ns[i] if i >= 0 else None for i in row] == [want["entry_ns"] for want in expected]
    name = f"{barrier.minutes}m"
    equal_bits(ahead.high, [want[f"fwd_max_high_{name}"] for want in expected])
    equal_bits(ahead.low, [want[f"fwd_min_low_{name}"] for want in expected])
    assert ahead.end_ns[entered].tolist() == [want[f"horizon_end_ns_{name}"] for want in expected if want["entry_ns"]]
    assert ahead.truncated.tolist() == [bool(want[f"horizon_truncated_{name}"]) for want in expected]
    assert [WORDS[code] for code in found.outcome] == [want["outcome_s"] for want in expected]
    assert found.up.tolist() == [-1 if want["label_up_s"] is None else want["label_up_s"] for want in expected]
    assert found.down.tolist() == [-1 if want["label_dn_s"] is None else want["label_dn_s"] for want in expected]
    equal_bits(found.exit_price, [want["exit_price_s"] for want in expected])
    assert found.ambiguous.tolist() == [bool(want["ambiguous_s"]) for want in expected]
    entry_ns = np.append(sample.bars.start_ns, 0)[row]
    seconds = [
        int(ns - entry) // 10**9 if ns >= 0 else None for ns, entry in zip(found.touch_ns, entry_ns, strict=True)
    ]
    assert seconds == [want["touch_s_s"] for want in expected]


@given(samples, barriers)
def test_both_targets_are_never_first(sample, barrier):
    found = sample.passages(Barrier("s", barrier.target, barrier.target, barrier.minutes))
    entered = found.up >= 0
    assert (found.up[entered] + found.down[entered] <= 1).all()
    own = np.where(sample.direction > 0, found.up, found.down)
    assert ((found.outcome == TARGET) == (own == 1)).all()


@given(samples, barriers)
def test_the_direction_chooses_the_view_and_changes_none(sample, barrier):
    one, other = sample.passages(barrier), sample.passages(barrier, sign=-1)
    assert one.up.tolist() == other.up.tolist()
    assert one.down.tolist() == other.down.tolist()
    swapped = np.where(sample.direction < 0, one.up, one.down)
    assert (other.outcome == TARGET).tolist() == (swapped == 1).tolist()


@given(samples, barriers)
def test_reflected_about_the_entry_the_labels_swap(sample, barrier):
    """Each event alone, because each has an entry of its own to reflect about."""
    for e in np.flatnonzero(sample.entries() >= 0)[:4]:
        row = sample.entries()[[e]]
        entry = sample.bars.open[row[0]]
        bars = sample.bars
        mirror = PriceBars(
            bars.start_ns, 2 * entry - bars.open, 2 * entry - bars.low, 2 * entry - bars.high, 2 * entry - bars.close
        )
        ahead = horizons(bars, row, sample.end[[e]], barrier.minutes * MINUTE, (RTH[1], WHOLE[1]))
        sides = np.array([1], np.int8), np.array([-1], np.int8)
        plain = first_passages(bars, row, ahead.last, sides[0], barrier.target, barrier.stop)
        turned = first_passages(mirror, row, ahead.last, sides[1], barrier.target, barrier.stop)
        assert (plain.up[0], plain.down[0]) == (turned.down[0], turned.up[0])
        assert plain.outcome[0] == turned.outcome[0]
        assert plain.touch_ns[0] == turned.touch_ns[0]
        assert plain.ambiguous[0] == turned.ambiguous[0]
        np.testing.assert_allclose(plain.exit_price + turned.exit_price, 2 * entry)


@given(samples, barriers, st.sampled_from([0.25, 8.0]))
def test_prices_times_a_power_of_two_change_no_label(sample, barrier, factor):
    start_ns, *prices = sample.bars
    scaled = sample.passages(barrier, PriceBars(start_ns, *(values * factor for values in prices)))
    plain = sample.passages(barrier)
    assert scaled.outcome.tolist() == plain.outcome.tolist()
    assert scaled.touch_ns.tolist() == plain.touch_ns.tolist()
    np.testing.assert_array_equal(scaled.exit_price, plain.exit_price * factor)


# --- single cases ------------------------------------------------------------------------------


def passage(
    *bars: tuple[float, float, float, float], side: int = 1, target: float = 0.008, stop: float = 0.008
) -> tuple:
    """Outcome, exit price, ambiguity and deciding bar of an entry at the first of some (open, high, low, close)."""
    start_ns = np.arange(len(bars), dtype=np.int64) * MINUTE
    tape = PriceBars(start_ns, *np.array(bars, np.float64).T)
    row, last = np.array([0]), np.array([len(bars)])
    found = first_passages(tape, row, last, np.array([side], np.int8), target, stop)
    bar = int(found.touch_ns[0] // MINUTE) - 1 if found.touch_ns[0] >= 0 else None
    return WORDS[int(found.outcome[0])], round(float(found.exit_price[0]), 9), bool(found.ambiguous[0]), bar


QUIET = (10.0, 10.0, 10.0, 10.0)


@pytest.mark.parametrize(
    ("bars", "expected"),
    [
        pytest.param([QUIET, (10, 10.08, 10, 10)], ("target", 10.08, False, 1), id="the level is where one sells"),
        pytest.param([QUIET, (10.2, 10.3, 10.1, 10.1)], ("target", 10.2, False, 1), id="gapped beyond: the open"),
        pytest.param([QUIET, (9.8, 9.9, 9.7, 9.9)], ("adverse", 9.8, False, 1), id="gapped beyond the stop"),
        pytest.param([QUIET, (10, 10.1, 9.9, 10)], ("adverse", 9.92, True, 1), id="both in one bar: the worse"),
        pytest.param([QUIET, (10.1, 10.2, 9.9, 10)], ("target", 10.1, False, 1), id="its open had passed the target"),
        pytest.param([QUIET, (9.9, 10.2, 9.8, 10)], ("adverse", 9.9, False, 1), id="its open had passed the stop"),
        pytest.param([(10, 10.1, 9.9, 10)], ("adverse", 9.92, True, 0), id="both in the entry bar"),
        pytest.param([(10, 10.1, 10, 10)], ("target", 10.08, False, 0), id="in the entry bar"),
        pytest.param([QUIET, (10, 10.05, 9.95, 10.03)], ("timeout", 10.03, False, None), id="neither: the last close"),
    ],
)
def test_a_long_position(bars, expected):
    assert passage(*bars) == expected


def test_an_exact_touch_counts_although_floats_say_otherwise():
    assert 7.5 * 1.008 > 7.56
    assert passage((7.5, 7.5, 7.5, 7.5), (7.5, 7.56, 7.5, 7.5))[0] == "target"
    assert passage((7.5, 7.5, 7.5, 7.5), (7.5, 7.5599, 7.5, 7.5))[0] == "timeout"


def test_barriers_of_different_distance():
    assert passage(QUIET, (10, 10.08, 9.97, 10), stop=0.002)[:3] == ("adverse", 9.98, True)
    assert passage(QUIET, (10, 10.02, 9.93, 10), side=-1, target=0.007, stop=0.05)[:2] == ("target", 9.93)


@pytest.mark.parametrize(
    ("decision", "delay", "until", "row"),
    [(0, 5, 99, 0), (1, 5, 99, 1), (2, 5, 99, -1), (2, 9, 99, 2), (6, 5, 99, 2), (6, 5, 10, -1), (11, 5, 99, -1)],
)
def test_the_entry_is_the_first_bar_in_time(decision, delay, until, row):
    start_ns = np.array([0, 1, 10]) * MINUTE
    found = entry_rows(
        start_ns, np.array([0]), np.array([3]), np.array([decision * MINUTE]), delay * MINUTE, until * MINUTE
    )
    assert found.tolist() == [row]


def test_an_entry_before_the_close_is_flat_at_the_close():
    bars = PriceBars(np.arange(10) * MINUTE, *np.full((4, 10), 10.0))
    row, end = np.array([2, 4]), np.array([10, 10])
    found = horizons(bars, row, end, 30 * MINUTE, (4 * MINUTE, 8 * MINUTE))
    assert (found.end_ns // MINUTE).tolist() == [4, 8]
    assert found.last.tolist() == [4, 8]
    assert found.truncated.tolist() == [True, True]
    assert not horizons(bars, row, end, 2 * MINUTE, (4 * MINUTE, 8 * MINUTE)).truncated.any()
