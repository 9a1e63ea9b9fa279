"""CSV files of bars, sound and damaged, and the rows that the kernel reads from them; for the tests of that kernel."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.csv
from hypothesis import strategies as st

from raypipe.kernels.csv import Block, Columns, Field, Status, parse_blocks

HEADER = b"ticker,volume,open,close,high,low,window_start,transactions\n"
CODES = {
    "ticker": Field.SYMBOL,
    "volume": Field.VOLUME,
    "open": Field.OPEN,
    "close": Field.CLOSE,
    "high": Field.HIGH,
    "low": Field.LOW,
    "window_start": Field.WINDOW_START,
    "transactions": Field.TRANSACTIONS,
}
LAYOUT = list(CODES.values())
VALUE_NAMES = ("open", "high", "low", "close", "volume")
#: Symbols that a careless reader takes for something else.
TRAPS = (
    *["NA", "NULL", "NaN", "TRUE", "INF", "1", "1.0", "BRK.B", "BRK", "ABRpD", "-", "O:SPY251216C00600000"],
    "A B",
    " A",
)
NS = 1_762_160_400_000_000_000


# --- reading ----------------------------------------------------------------------------------


@dataclass
class Result:
    """All blocks of a file, joined."""

    rows: list[dict[str, str | int | float]]
    status: Status
    error_offset: int
    symbols_ascend: bool
    times_ascend: bool
    block_rows: list[int]


def as_array(text: bytes) -> np.ndarray:
    return np.frombuffer(text, np.uint8)


def read(text: bytes, block_rows: int = 65_536) -> Result:
    """Parse a file by the names in its header."""
    header = text[: text.index(b"\n")].decode().split(",")
    layout = [CODES.get(name, Field.IGNORED) for name in header]
    result = Result([], Status.OK, -1, symbols_ascend=True, times_ascend=True, block_rows=[])
    for columns, block in parse_blocks(as_array(text), text.index(b"\n") + 1, layout, block_rows):
        result.rows += rows_of(text, columns, block, header)
        result.status, result.error_offset = Status(block.status), block.error_offset
        result.symbols_ascend &= bool(block.symbols_ascend)
        result.times_ascend &= bool(block.times_ascend)
        result.block_rows.append(block.rows)
    return result


def rows_of(text: bytes, columns: Columns, block: Block, header: list[str]) -> list[dict[str, str | int | float]]:
    lengths = np.diff(columns.first_row, append=block.rows)
    places = zip(columns.symbol_start.tolist(), columns.symbol_end.tolist(), strict=True)
    symbols = np.repeat([text[begin:end].decode() for begin, end in places], lengths).tolist() if block.runs else []
    found = {"ticker": symbols, "window_start": columns.window_start_ns.tolist()}
    found |= {name: columns.values[k].tolist() for k, name in enumerate(VALUE_NAMES)}
    found["transactions"] = columns.transactions.tolist()
    names = [name for name in header if name in CODES]
    return [dict(zip(names, row, strict=True)) for row in zip(*(found[name] for name in names), strict=True)]


def line(symbol: str = "A", start: object = NS, **other: object) -> bytes:
    values = {"volume": 10, "open": 1.5, "close": 2, "high": 2.25, "low": 1, "window_start": start, "transactions": 3}
    return ",".join([symbol, *(str(value) for value in (values | other).values())]).encode() + b"\n"


#: A file of two sound lines of 40 bytes.
SOUND = HEADER + line("A") + line("B")


def arrow(text: bytes) -> pa.Table:
    """What the general parser makes of it, with a type per column."""
    types = {name: pa.float64() for name in VALUE_NAMES}
    types |= {"ticker": pa.string(), "window_start": pa.int64(), "transactions": pa.int32()}
    convert = pyarrow.csv.ConvertOptions(column_types=types, null_values=[], strings_can_be_null=False)
    return pyarrow.csv.read_csv(io.BytesIO(text), convert_options=convert)


# --- strategies -------------------------------------------------------------------------------

symbols = st.sampled_from(TRAPS) | st.text("ABC.pw", min_size=1, max_size=12)
counts = st.integers(0, 2**31 - 1).map(str)
starts = st.integers(0, 2**63 - 1).map(str) | st.integers(NS, NS + 10**13).map(str)


@st.composite
def decimals(draw: st.DrawFn) -> str:
    """A plain number of up to 18 characters, most of them exact in a float64 mantissa."""
    digits = draw(st.text("0123456789", min_size=1, max_size=8) | st.text("0123456789", min_size=1, max_size=17))
    point = draw(st.integers(0, len(digits) - 1))
    return f"{digits[:point]}.{digits[point:]}" if point else digits


@st.composite
def files(draw: st.DrawFn) -> bytes:
    """A file of sound lines: columns in any order, some not ours, either kind of line end, symbols that repeat."""
    names = draw(st.permutations([*CODES, "vwap", "otc"]))
    if draw(st.booleans()):
        names.remove("transactions")
    kinds = {"ticker": symbols, "window_start": starts, "transactions": counts, "vwap": st.text("x +-.", max_size=3)}
    kinds["otc"] = st.just("") | st.text("x", min_size=60, max_size=140)
    rows = []
    for _ in range(draw(st.integers(0, 12))):
        row = {name: draw(kinds.get(name, decimals())) for name in names}
        repeat = draw(st.integers(1, 4))
        rows += [dict(row, window_start=str(min(int(row["window_start"]) + k, 2**63 - 1))) for k in range(repeat)]
    end = draw(st.sampled_from(["\n", "\r\n"]))
    return (",".join(names) + "\n" + "".join(",".join(row.values()) + end for row in rows)).encode()


@st.composite
def damaged_files(draw: st.DrawFn) -> bytes:
    """A file with some bytes behind the header replaced, inserted, removed, or all cut off."""
    text = bytearray(draw(files()))
    start = text.index(b"\n") + 1
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(start, len(text)))
        how = draw(st.sampled_from(["replace", "insert", "remove", "cut"]))
        new = draw(st.sampled_from(b'",.\r\n-+eE 09aN\x00\xc3\x7f'))
        text[at : at + (how in ("replace", "remove"))] = bytes([new]) if how in ("replace", "insert") else b""
        if how == "cut":
            del text[at:]
    return bytes(text)
