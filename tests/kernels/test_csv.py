"""The CSV kernel against a naive parser, pyarrow and polars: equal to the last bit, or refused with the reason."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from raypipe.kernels.csv import Columns, Field, OhlcRule, Status, line_number, ohlc_rules, parse_block, parse_blocks
from tests.kernels.csv_files import (
    HEADER,
    LAYOUT,
    NS,
    SOUND,
    TRAPS,
    VALUE_NAMES,
    arrow,
    as_array,
    damaged_files,
    decimals,
    files,
    line,
    read,
)
from tests.reference import csv as reference

# --- equal to the definition ------------------------------------------------------------------


def check(text: bytes, block_rows: int) -> None:
    found, expected = read(text, block_rows), reference.parse(text)
    assert found.rows == expected.rows
    refused = None
    if found.status != Status.OK:
        refused = line_number(as_array(text), found.error_offset), found.status.name
    assert refused == expected.refused
    if not refused:
        assert (found.symbols_ascend, found.times_ascend) == (expected.symbols_ascend, expected.times_ascend)


@given(files(), st.integers(1, 20))
@example(HEADER, 1)
@example(HEADER + line("A", 1) + line("A", 2) + line("B", 1), 2)
def test_sound_files(text: bytes, block_rows: int) -> None:
    check(text, block_rows)


@given(damaged_files(), st.integers(1, 20))
def test_damaged_files(text: bytes, block_rows: int) -> None:
    check(text, block_rows)


@given(decimals())
@example("9007199254740992")  # 2**53: the last mantissa
@example("9007199254740993")
@example("900719925474099.2")
@example("0.000000000000001")
@example("00000000000000.25")
@example("123456789012.12345")
@example("8.41")
def test_a_decimal_is_the_nearest_float_or_refused(text: str) -> None:
    result = read(HEADER + line(open=text))
    exact = len(text) <= 18 and int(text.replace(".", "")) <= 2**53
    assert result.status == (Status.OK if exact else Status.TOO_PRECISE)
    if exact:
        assert result.rows[0]["open"] == float(text)


@given(files())
def test_the_block_size_does_not_matter(text: bytes) -> None:
    whole = read(text)
    for block_rows in (1, 2, 3, 7):
        result = read(text, block_rows)
        result.block_rows = whole.block_rows
        assert result == whole


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_other_parsers_agree(end: bytes) -> None:
    polars = pytest.importorskip("polars")
    text = many_lines(400).replace(b"\n", end)
    table = arrow(text).to_pylist()
    assert read(text.replace(end, b"\n", 1)).rows == table
    types = dict.fromkeys(VALUE_NAMES, polars.Float64)
    types |= {"ticker": polars.String, "window_start": polars.Int64, "transactions": polars.Int32}
    assert polars.read_csv(text, schema_overrides=types).to_dicts() == table


def many_lines(rows: int) -> bytes:
    rng = np.random.default_rng(7)
    names = np.sort(rng.choice([*TRAPS[:10], "AAPL", "GOOGL"], rows))
    price = np.exp(rng.normal(3, 2, (4, rows)))
    places = rng.integers(0, 7, (4, rows))
    cells = [
        [f"{p:.{d}f}" for p, d in zip(prices, decimals, strict=True)]
        for prices, decimals in zip(price, places, strict=True)
    ]
    volume = np.floor(10 ** rng.uniform(0, 12, rows)).astype(np.int64)
    count = np.floor(10 ** rng.uniform(0, 9, rows)).astype(np.int64)
    lines = zip(names, volume, *cells, NS + 60_000_000_000 * np.arange(rows), count, strict=True)
    return HEADER + "".join(",".join(map(str, row)) + "\n" for row in lines).encode()


def test_real_day_files(shared_data: Path) -> None:
    folder = shared_data / "polygon" / "us_stocks_sip"
    for path in sorted(folder.rglob("*.csv.gz"))[::10]:
        text = gzip.decompress(path.read_bytes())
        assert read(text).rows == arrow(text).to_pylist(), path.name


# --- symbols, order, blocks -------------------------------------------------------------------


def test_symbols_stay_text() -> None:
    text = HEADER + b"".join(line(symbol) for symbol in TRAPS)
    assert [row["ticker"] for row in read(text).rows] == list(TRAPS)
    assert arrow(text)["ticker"].to_pylist() == list(TRAPS)


@pytest.mark.parametrize(
    ("names", "ascend"),
    [
        ("A AA AB B", True),
        ("A B A", False),
        ("AA A", False),
        ("B a", True),
        ("a B", False),
        ("BRK BRK-A BRK.B BRKA", True),
        ("BRK! BRK", False),
        ("BRK BRK!", True),
        ("ABCDEFGHI ABCDEFGHJ", True),
        ("XABCDEFGHI YABCDEFGHI", True),
        ("YABCDEFGHI XABCDEFGHI", False),
        ("ABCDEFGH ABCDEFGHI", True),
    ],
)
@pytest.mark.parametrize("block_rows", [2, 3, 100])
def test_symbol_order(names: str, ascend: bool, block_rows: int) -> None:
    text = HEADER + b"".join(line(name, 1) + line(name, 2) for name in names.split())
    result = read(text, block_rows)
    assert result.symbols_ascend is ascend
    assert result.times_ascend
    assert [row["ticker"] for row in result.rows] == [name for name in names.split() for _ in range(2)]


@pytest.mark.parametrize(
    ("times", "ascend"), [((1, 2, 3), True), ((1, 1, 2), False), ((2, 1, 3), False), ((1, 3, 3), False)]
)
def test_time_order(times: tuple[int, ...], ascend: bool) -> None:
    text = HEADER + b"".join(line("A", time) for time in times) + line("B", 0)
    for block_rows in (1, 2, 3, 4, 5):
        assert read(text, block_rows).times_ascend is ascend


def test_blocks_are_cut_at_symbol_borders() -> None:
    sizes = [3, 1, 4, 9, 2, 1]
    text = HEADER + b"".join(line(name, k) for name, size in zip("ABCDEF", sizes, strict=True) for k in range(size))
    result = read(text, 5)
    assert len(result.rows) == sum(sizes)
    borders = set(np.cumsum(sizes).tolist())
    assert set(np.cumsum(result.block_rows).tolist()) <= borders
    assert max(result.block_rows) == 9  # the only symbol that is longer than a block gets a larger one


def test_one_block() -> None:
    text = HEADER + line("A", 1) + line("A", 2) + line("B", 1) + line("B", 2)
    out = Columns.empty(3)
    block = parse_block(as_array(text), len(HEADER), LAYOUT, out, 3)
    assert (block.rows, block.runs, block.status) == (2, 1, Status.OK)
    assert block.next_offset == len(HEADER) + len(line("A", 1)) * 2
    assert parse_block(as_array(text), len(HEADER), LAYOUT, out, 2).status == Status.NEED_ROWS
    assert parse_block(as_array(text), block.next_offset, LAYOUT, out, 3).next_offset == len(text)
    assert parse_block(as_array(text), len(text), LAYOUT, out, 3).rows == 0


def test_text_may_be_writable() -> None:
    text = np.array(as_array(SOUND))
    [(columns, block)] = parse_blocks(text, len(HEADER), LAYOUT)
    assert block.rows == 2
    assert columns.window_start_ns.tolist() == [NS, NS]
    assert text.flags.writeable


@pytest.mark.parametrize(
    ("start", "layout", "max_rows"),
    [
        (7, LAYOUT, 4),
        (len(HEADER), LAYOUT, 0),
        (len(HEADER), LAYOUT, 5),
        (len(HEADER), LAYOUT[1:], 4),
        (len(HEADER), [*LAYOUT, Field.OPEN], 4),
        (len(HEADER), LAYOUT[:6], 4),
        (len(HEADER), [*LAYOUT, 8], 4),
        (len(HEADER), [], 4),
    ],
)
def test_wrong_requests(start: int, layout: list[int], max_rows: int) -> None:
    with pytest.raises(ValueError, match=re.compile("expected|layout|Field")):
        parse_block(as_array(SOUND), start, layout, Columns.empty(4), max_rows)


# --- rules of bars ----------------------------------------------------------------------------

odd = st.sampled_from([0.0, -0.0, -1.0, 1.0, 2.0, 3.0, 1e-308, np.inf, -np.inf, np.nan])


def judge(o: float, h: float, lo: float, c: float, v: float) -> OhlcRule:
    if not all(np.isfinite(price) and price > 0 for price in (o, h, lo, c)):
        return OhlcRule.PRICE
    if not lo <= min(o, c) <= max(o, c) <= h:
        return OhlcRule.ORDER
    return OhlcRule.OK if np.isfinite(v) and v >= 0 else OhlcRule.VOLUME


@given(st.lists(st.tuples(odd, odd, odd, odd, odd), max_size=40))
@example([(2.0, 3.0, 1.0, 2.0, 0.0), (2.0, 1.0, 3.0, 2.0, 1.0), (1.0, 1.0, 1.0, 1.0, -1.0)])
def test_ohlc_rules(bars: list[tuple[float, ...]]) -> None:
    columns = np.array(bars, dtype=np.float64).reshape(-1, 5)  # strided
    assert ohlc_rules(*columns.T).tolist() == [judge(*bar) for bar in bars]
