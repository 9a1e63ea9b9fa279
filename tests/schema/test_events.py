"""Events laid beside the bars of their symbols."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from raypipe.schema.events import bars_of_events
from raypipe.schema.minutes import minutes_of

NAMES = ("A", "AA", "B", "BRK.B", "b")


def bars_table(counts: list[int], chunks: int) -> pa.Table:
    """Bars of each of `NAMES`, in some chunks."""
    names = [name for name, count in zip(NAMES, counts, strict=True) for _ in range(count)]
    rows = pa.table(
        {
            "symbol": pa.array(names, pa.string()).dictionary_encode(),
            "window_start_ns": pa.array(range(len(names)), pa.int64()),
        }
    )
    size = -(-max(len(names), 1) // chunks)
    return pa.concat_tables([rows.slice(i, size) for i in range(0, max(len(names), 1), size)])


def events_table(names: list[str]) -> pa.Table:
    ordered = sorted(names, key=str.encode)
    return pa.table({"symbol": pa.array(ordered, pa.string()).dictionary_encode()})


@given(
    st.lists(st.integers(0, 4), min_size=5, max_size=5),
    st.integers(1, 4),
    st.lists(st.sampled_from([*NAMES, "", "AZ", "z"]), max_size=8),
)
def test_every_event_once_beside_the_rows_of_its_symbol(counts, chunks, names):
    bars, events = bars_table(counts, chunks), events_table(names)
    expected = bars["symbol"].to_pylist()
    wanted, seen = events["symbol"].to_pylist(), 0
    for piece in bars_of_events(bars, events):
        assert piece.events.start == seen
        for symbol, place, begin, end in zip(wanted[piece.events], piece.place, piece.begin, piece.end, strict=True):
            rows = piece.minutes["window_start_ns"][begin:end] if begin < end else np.empty(0)
            assert [expected[row] for row in rows] == [symbol] * expected.count(symbol)
            assert place >= 0 or symbol not in expected
            assert place < 0 or piece.minutes.symbols[int(place)].as_py() == symbol
        seen = piece.events.stop
    assert seen == len(wanted)


def test_pieces_do_not_cut_symbols_and_stay_small():
    counts = [50_000, 30_000, 1, 90_000, 20_000]
    pieces = list(minutes_of(bars_table(counts, 1)))
    assert [len(piece.symbols) for piece in pieces] == [1, 2, 1, 1]
    assert np.concatenate([piece.end - piece.begin for piece in pieces]).tolist() == counts
