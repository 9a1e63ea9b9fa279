"""A scene holds the front contract within the electronic session, whole and in order."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from raypipe.calendar import calendar
from raypipe.features.touch.scene import FrontBook, scene_of, warm_up
from raypipe.schema.books import ES_MBP10, ES_TRADES
from raypipe.schema.family import Inputs
from raypipe.schema.streams import WholeTable
from raypipe.schema.touches import ES_BARS, ES_SESSION, ES_SPY_RATIO, OPTION_GREEKS, TOUCHES, globex_window
from tests.features.touch.scenes import MINUTE_NS, SESSION, at, build, params, scene, touches

BEGIN, END = globex_window(SESSION)
FRONT, BACK = 11, 22


def trade_rows():
    base = {"session": SESSION.date, "contract": "x", "sequence": 0, "ts_recv_ns": 0, "side": 1, "size": 2}
    moments = [(BEGIN - 1, FRONT), (BEGIN, FRONT), (at(0), BACK), (at(0), FRONT), (at(0), FRONT), (END, FRONT)]
    return [
        {**base, "ts_event_ns": at_ns, "instrument_id": who, "price_ticks": 24_000 + i}
        for i, (at_ns, who) in enumerate(moments)
    ]


def book_table() -> pa.Table:
    rows = [{**row, "depth": 0, "action": 65, "flags": 128} for row in trade_rows()]
    whole = build(ES_MBP10, rows)
    return pa.concat_tables([whole.slice(0, 3), whole.slice(3)])


def inputs() -> Inputs:
    before = calendar().offset(SESSION.date, -1)
    bar = {"open_ticks": 1, "high_ticks": 3, "low_ticks": 0, "close_ticks": 2, "volume": 5, "contract": "ESH5"}

    def bars(date: dt.date, contract: str = "ESH5") -> pa.Table:
        rows = [
            {**bar, "session": date, "contract": name, "start_ns": calendar().session(date).open_ns}
            for name in sorted({contract, "ESM5"})
        ]
        return build(ES_BARS, rows)

    def front(date: dt.date) -> pa.Table:
        return build(ES_SESSION, [{"session": date, "front_contract": "ESH5", "front_instrument_id": FRONT}])

    tables = {
        TOUCHES.name: {SESSION.date: touches([{}])},
        ES_TRADES.name: {SESSION.date: build(ES_TRADES, trade_rows())},
        ES_MBP10.name: {SESSION.date: book_table()},
        ES_BARS.name: {before: bars(before), SESSION.date: bars(SESSION.date)},
        ES_SESSION.name: {before: front(before), SESSION.date: front(SESSION.date)},
        ES_SPY_RATIO.name: {SESSION.date: build(ES_SPY_RATIO, [{"valid_from_ns": at(0), "ratio": 10.0}])},
    }
    return Inputs((SESSION,), tables)


def test_the_front_contract_within_the_electronic_session():
    found = scene_of(inputs(), SESSION, params())
    assert found.trades.ts_ns.tolist() == [BEGIN, at(0), at(0)]
    assert found.trades.ticks.tolist() == [24_001, 24_003, 24_004]
    assert [column.dtype for column in found.trades] == [np.int64, np.int32, np.int64, np.int8]
    for _ in range(2):
        assert [chunk["price_ticks"].to_pylist() for chunk in found.book] == [[24_001], [24_003, 24_004]]
    assert found.bars.high_ticks.tolist() == [3.0]
    assert [one.session.date for one in found.warm] == [calendar().offset(SESSION.date, -1)]
    assert found.warm[0].adjusted.close_ticks.tolist() == [2.0]
    assert found.greeks.num_rows == 0


def test_a_chunk_of_the_front_contract_alone_is_not_copied():
    rows = [row for row in book_table().to_pylist() if row["instrument_id"] == FRONT][1:-1]
    table = build(ES_MBP10, rows)
    (chunk,) = FrontBook(WholeTable(table), FRONT, (BEGIN, END))
    address = [t["ts_event_ns"].chunk(0).buffers()[1].address for t in (table, chunk)]
    assert address[0] == address[1]


@pytest.mark.parametrize("every", [2, 1000])
def test_rows_of_two_contracts_in_any_pattern(every):
    rows = [
        {**trade_rows()[3], "price_ticks": i, "instrument_id": FRONT if (i // every) % 2 else BACK} for i in range(3000)
    ]
    table = build(ES_MBP10, [{**row, "depth": 0} for row in rows])
    chunks = list(FrontBook(WholeTable(table), FRONT, (BEGIN, END)))
    assert pa.concat_tables(chunks).equals(table.filter(pc.equal(table["instrument_id"], FRONT)))


def test_the_warm_up_is_as_long_as_its_users_need():
    assert warm_up(params()) == 7
    assert warm_up(params(session={"sma_warmup_sessions": 5, "volume_warmup_sessions": 4})) == 5


def test_values_and_texts():
    found = scene(
        [{"pm_high": 601.0}, {"pm_high": None, "direction": "DOWN"}],
        added={"flag": [True, False], "depth": [5, None], "state": ["WALL", None]},
    )
    assert found.values("direction_sign").dtype == np.int8
    assert found.values("flag").tolist() == [True, False]
    np.testing.assert_array_equal(found.values("pm_high"), [601.0, np.nan])
    np.testing.assert_array_equal(found.values("depth"), [5.0, np.nan])
    assert (found.texts("state") == "WALL").tolist() == [True, False]
    assert found.texts("direction").tolist() == ["UP", "DOWN"]
    assert len(found) == 2


def test_dollars_and_ticks():
    found = scene([{"level_price": 600.0, "es_spy_ratio": 10.0}, {"level_price": 600.0, "es_spy_ratio": 10.5}])
    assert found.level_ticks.tolist() == pytest.approx([24_000, 25_200])
    assert found.usd(found.level_ticks).tolist() == pytest.approx([600.0, 600.0])


def test_the_ratio_in_force():
    rows = [{"valid_from_ns": at(m), "ratio": r} for m, r in ((0, 10.0), (1, 10.1))]
    found = scene([{}], ratios=build(ES_SPY_RATIO, rows))
    moments = np.array([at(0) - 1, at(0), at(0) + MINUTE_NS - 1, at(1)])
    np.testing.assert_array_equal(found.ratio_at(moments), [np.nan, 10.0, 10.0, 10.1])


def test_option_columns_are_there_without_prints():
    assert scene([{}]).greeks.schema.equals(OPTION_GREEKS.arrow)
