"""Bars and volumes from trades, against the words and against the vendor's own bars of the same trades."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.kernels.trade_bars import FutureTrades, contract_lots, minute_bars
from tests.reference import trade_bars as reference

SECOND = 10**9
WINDOW = (600 * SECOND, 1800 * SECOND)
NAMES = ["ESH5", "ESM5", "ESU5"]

rows = st.lists(
    st.tuples(
        st.integers(0, 2400).map(lambda s: s * SECOND) | st.sampled_from([600 * SECOND, 1800 * SECOND - 1]),
        st.integers(-50, 50),
        st.integers(1, 2**32 - 1),
        st.sampled_from([-1, 0, 1]),
        st.sampled_from(NAMES),
    ),
    max_size=60,
)


def columns(trades):
    ts_ns, ticks, size, side, names = zip(*trades, strict=True) if trades else ([], [], [], [], [])
    codes = np.array([NAMES.index(name) for name in names], np.int32)
    return FutureTrades(*(np.array(column, np.int64) for column in (ts_ns, ticks, size, side))), codes


@given(rows.map(lambda made: sorted(made, key=lambda row: row[0])))
def test_bars_and_lots_are_as_the_words_say(trades):
    made, codes = columns(trades)
    for code, name in enumerate(NAMES):
        bars = minute_bars(made, codes, code, WINDOW)
        assert list(zip(*(column.tolist() for column in bars), strict=True)) == reference.minute_bars(
            trades, name, WINDOW
        )
    lots = contract_lots(made.ts_ns, made.size, codes, len(NAMES), WINDOW)
    expected = reference.lots(trades, WINDOW)
    assert lots.tolist() == [expected.get(name, 0) for name in NAMES]


def test_dtypes():
    made, codes = columns([(600 * SECOND, 5, 1, 1, "ESH5")])
    kinds = [column.dtype for column in minute_bars(made, codes, 0, WINDOW)]
    assert kinds == [np.dtype(kind) for kind in ("i8", *["i4"] * 4, "i8", "i4", *["i8"] * 3)]


@given(rows, st.randoms(use_true_random=False))
def test_sides_add_up_to_the_volume(trades, random):
    trades = sorted(trades, key=lambda row: row[0])
    made, codes = columns(trades)
    bars = minute_bars(made, codes, 0, WINDOW)
    unsided = [(*row[:3], 1, row[4]) if row[3] == 0 else (*row[:3], 0, row[4]) for row in trades]
    other, _ = columns(unsided)
    rest = minute_bars(other, codes, 0, WINDOW).buy_volume
    assert (bars.buy_volume + bars.sell_volume + rest == bars.volume).all()


def records(file):
    """A DBN file as the vendor's library reads it."""
    databento = pytest.importorskip("databento")
    return databento.DBNStore.from_bytes(file.read_bytes()).to_ndarray()


def test_vendor_bars_of_the_same_trades(shared_data):
    folder = shared_data / "dbn_glbx"
    trades = records(folder / "futures_trades_2024-07-01T23-58_2024-07-02T00-02.dbn.zst")
    vendor = records(folder / "futures_ohlcv-1m_2024-07-01T23-40_2024-07-02T00-10.dbn.zst")
    chosen = int(np.bincount(trades["instrument_id"]).argmax())
    ts_ns = trades["ts_event"].astype(np.int64)
    side = np.where(trades["side"] == b"B", 1, -1)
    made = FutureTrades(ts_ns, trades["price"] // 250_000_000, trades["size"], side)
    first = int(ts_ns[0]) // (60 * SECOND) * 60 * SECOND
    bars = minute_bars(made, trades["instrument_id"] != chosen, 0, (first, int(ts_ns[-1]) + 1))
    theirs = {int(bar["ts_event"]): bar for bar in vendor if int(bar["instrument_id"]) == chosen}
    assert len(bars.start_ns) >= 4
    for i, start in enumerate(bars.start_ns.tolist()):
        bar = theirs[start]
        prices = [int(bar[name]) // 250_000_000 for name in ("open", "high", "low", "close")]
        assert [int(column[i]) for column in bars[1:6]] == [*prices, int(bar["volume"])]
