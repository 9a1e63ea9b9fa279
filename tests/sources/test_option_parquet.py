"""Option prints from Parquet: the columns of other programs in their variants, and what names no contract."""

from __future__ import annotations

import datetime as dt
import io
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from raypipe.errors import SourceError
from raypipe.sources.option_parquet import parquet_range_ns
from tests.sources.option_files import OPEN, SECOND, SESSION, flat, line, parquet, text_of, trades

N = 6
DAY = SESSION.date


def columns(**changed: Any) -> dict[str, Any]:
    """Six prints of one contract, with some columns changed (None leaves one out)."""
    made: dict[str, Any] = {
        "ts_event_ns": pa.array([OPEN + k for k in range(N)]),
        "ts_recv_ns": pa.array([OPEN + k + 5 for k in range(N)]),
        "source": ["x"] * N,
        "underlying": ["SPY"] * N,
        "option_symbol": ["O:SPY251216C00690000"] * N,
        "exp_date": pa.array([DAY] * N, pa.date32()),
        "strike": [690.0] * N,
        "right": ["C"] * N,
        "price": [1.0, 1.1, 1.1, 1.05, 1.05, 1.2],
        "size": pa.array([1, 2, 3, 4, 5, 6], pa.int32()),
        "opt_bid": pa.nulls(N, pa.float64()),
        "opt_ask": pa.nulls(N, pa.float64()),
        "seq": pa.array(range(N), pa.int64()),
        "aggressor": pa.array([1, -1, 0, 1, -1, 0], pa.int8()),
    }
    return {name: values for name, values in {**made, **changed}.items() if values is not None}


def of(**changed: Any) -> pa.Table:
    return trades(parquet(columns(**changed))).table()


def test_columns_are_taken_as_they_stand():
    table = of()
    assert table["ts_event_ns"].to_pylist() == [OPEN + k for k in range(N)]
    assert table["sequence"].to_pylist() == list(range(N))
    assert set(table["option_symbol"].to_pylist()) == {"O:SPY251216C00690000"}
    assert set(table["strike_e3"].to_pylist()) == {690_000}
    assert table["size"].to_pylist() == [1, 2, 3, 4, 5, 6]
    assert table["aggressor"].to_pylist() == [1, -1, 0, 1, -1, 0]
    assert set(table["aggressor_source"].to_pylist()) == {"vendor"}
    assert table["conditions"].null_count == table["exchange"].null_count == N


@pytest.mark.parametrize(
    "changed",
    [
        {"exp_date": [DAY.isoformat()] * N},
        {"exp_date": pa.array([DAY.isoformat()] * N).dictionary_encode()},
        {"size": pa.array([1, 2, 3, 4, 5, 6], pa.int64())},
        {"right": pa.array(["C"] * N).dictionary_encode()},
        {"option_symbol": ["SPY251216C00690000"] * N},
        {"option_symbol": ["SPY   251216C00690000"] * N},
        {"option_symbol": None},
        {"underlying": None},
        {"aggressor": ["BUY", "SELL", "MID", "buy", "sell", "Mid"]},
        {"ts_event_ns": pa.array([OPEN + k for k in range(N)], pa.timestamp("ns", "UTC"))},
        {"ts_recv_ns": None, "source": None, "opt_bid": None, "opt_ask": None},
    ],
    ids="_".join,
)
def test_variants_give_the_same(changed):
    assert of(**changed).equals(of())


def test_unknown_sides_take_the_tick_test():
    file = trades(parquet(columns(aggressor=["BUY", "<NA>", None, "SELL", "?", "MID"])))
    table = file.table()
    assert table["aggressor"].to_pylist() == [1, 1, 1, -1, -1, 0]
    assert table["aggressor_source"].to_pylist() == ["vendor", "tick", "tick", "vendor", "tick", "vendor"]
    (finding,) = file.findings
    assert (finding.kind, finding.count) == ("unknown_aggressor", 3)
    assert "50.0%" in finding.message


def test_without_sides_all_take_the_tick_test():
    file = trades(parquet(columns(aggressor=None)))
    assert file.table()["aggressor"].to_pylist() == [0, 1, 1, -1, -1, 1]
    assert not file.findings


def test_packages_have_no_side_of_the_vendor_either():
    assert of(conditions=["232"] + ["209"] * 5)["aggressor"].to_pylist() == [0, -1, 0, 1, -1, 0]


def test_other_sessions_underlyings_and_expiries_are_others():
    day = 24 * 3600 * SECOND
    changed = {
        "ts_event_ns": pa.array([OPEN, OPEN + day, OPEN, OPEN, OPEN - day, OPEN]),
        "underlying": ["SPY", "SPY", "QQQ", "SPY", "SPY", "SPY"],
        "exp_date": [*[DAY.isoformat()] * 3, "2025-12-17", *[DAY.isoformat()] * 2],
        "option_symbol": None,
    }
    file = trades(parquet(columns(**changed)))
    assert file.table()["size"].to_pylist() == [1, 6]
    assert file.quarantined is None


def test_rows_that_name_no_contract_or_two_are_set_aside():
    changed = {
        "right": ["C", "X", "C", "C", "C", "C"],
        "strike": [690.0, 690.0, 690.00005, float("nan"), -1.0, 690.0],
        "option_symbol": [*["O:SPY251216C00690000"] * 5, "O:SPY251216P00690000"],
    }
    file = trades(parquet(columns(**changed)))
    assert file.table()["size"].to_pylist() == [1]
    assert file.quarantined["row"].to_pylist() == [1, 2, 3, 4, 5]
    assert set(file.quarantined["reason"].to_pylist()) == {"symbol"}


def test_bad_values_are_set_aside():
    changed = {"price": [1.0, 0.0, -1.0, float("nan"), None, 1.2], "size": pa.array([1, 2, 3, 4, 5, 0])}
    file = trades(parquet(columns(**changed)))
    assert file.table().num_rows == 1
    assert sorted(file.quarantined["reason"].to_pylist()) == ["price"] * 4 + ["size"]


def test_a_row_without_a_time_is_set_aside():
    file = trades(parquet(columns(ts_event_ns=pa.array([None, *(OPEN + k for k in range(5))], pa.int64()))))
    assert file.table().num_rows == 5
    assert file.quarantined["reason"].to_pylist() == ["time"]


def test_times_in_another_unit_are_refused():
    with pytest.raises(SourceError, match="milliseconds"):
        of(ts_event_ns=pa.array([(OPEN + k) // 10**6 for k in range(N)]))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"strike": None}, r"missing \['strike'\]"),
        ({"price": pa.array([[1.0]] * N)}, "of a wrong type"),
        ({"exp_date": pa.array([20251216] * N)}, "which is no date"),
        ({"seq": pa.array([0.5] * N)}, "column of integers"),
    ],
)
def test_other_columns_are_refused(changed, message):
    with pytest.raises(SourceError, match=message):
        of(**changed)


def test_damaged_files_are_refused():
    good = parquet(columns())
    data = good.open().read()
    for body in (data[:-10], b"<Error/>", b""):
        broken = type(good)("x.parquet", lambda body=body: io.BytesIO(body))
        with pytest.raises(SourceError, match="not a readable Parquet file"):
            trades(broken).table()


def test_row_groups_of_other_sessions_are_not_read():
    """Rows keep their numbers in the file."""
    day = 24 * 3600 * SECOND
    table = pa.table(columns(option_symbol=None))
    before = table.set_column(0, "ts_event_ns", pa.array([OPEN - day + k for k in range(N)]))
    bad = table.set_column(table.column_names.index("size"), "size", pa.array([0, 2, 3, 4, 5, 6], pa.int32()))
    file = parquet(pa.concat_tables([before, bad]), row_group_size=N)
    assert parquet_range_ns(file) == (OPEN - day, OPEN + N - 1)
    read = trades(file)
    assert read.table().num_rows == N - 1
    assert read.quarantined["row"].to_pylist() == [N]


def test_a_file_without_statistics_has_no_known_range():
    assert parquet_range_ns(parquet(columns(), write_statistics=False)) is None


def test_parquet_and_flat_files_of_the_same_prints_agree():
    rng = np.random.default_rng(4)
    n = 400
    strike, call = rng.integers(685, 695, n), rng.random(n) < 0.5
    price, size = np.round(rng.uniform(0.1, 5, n), 2), rng.integers(1, 50, n)
    right = np.where(call, "C", "P")
    ts = OPEN + np.sort(rng.integers(0, 100, n))
    table = trades(
        parquet(
            {
                "ts_event_ns": ts,
                "exp_date": [DAY.isoformat()] * n,
                "strike": strike.astype(float),
                "right": right,
                "price": price,
                "size": size,
                "conditions": ["209"] * n,
                "exchange": pa.array([302] * n),
            }
        )
    ).table()
    made = [
        line(ticker=f"O:SPY251216{right[k]}{strike[k] * 1000:08d}", price=price[k], size=size[k], sip_timestamp=ts[k])
        for k in range(n)
    ]
    assert trades(flat(text_of(made))).table().equals(table)


def test_parts_of_a_folder_in_any_order():
    whole = pa.table(columns(seq=None))
    parts = [parquet(whole.slice(k, 2), f"part-{k}.parquet") for k in (0, 2, 4)]
    wanted = trades(parquet(whole)).table()
    assert trades(*parts).table().equals(wanted)
    assert trades(*reversed(parts)).table().equals(wanted)
    assert wanted["exp_date"].to_pylist() == [dt.date(2025, 12, 16)] * N
