"""Cost of the book's flow per record, and of barrier, tape and score per touch, in CPU time of one core.

Must: bronze to flow 0.35 us per record, of which the pass itself takes 0.10 to 0.15; a stream with the pass on every
record, without bronze, 0.20; a thousand touches with barrier, tape and the score's grid well under 0.3 s.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from pytest_benchmark.fixture import BenchmarkFixture
from zstandard import ZstdDecompressor

from raypipe.calendar import calendar
from raypipe.features.touch import barrier, score, tape
from raypipe.features.touch.book_view import _book_columns
from raypipe.features.touch.scene import Trades
from raypipe.kernels.book import BookScan
from raypipe.schema.books import BOOK_DEPTH
from raypipe.schema.touches import OPTION_GREEKS
from raypipe.sources.databento import stream_chunks
from raypipe.sources.dbn_layout import MBP10_RTYPE, record_dtype
from raypipe.sources.synthetic.es_days import es_days
from raypipe.sources.synthetic.es_market import simulate
from tests.features.touch import scenes
from tests.sources.dbn_files import write

pytestmark = pytest.mark.bench
SESSION = calendar().session(dt.date(2025, 3, 11))
DAY = next(iter(es_days(1, [SESSION])))
FRONT, NANOS = DAY.lead.instrument_id, 250_000_000
TOUCHES, ROUNDS, MINUTES = 1_000, 5, 75
NO_MARKS = np.empty(0, np.int64)


@pytest.fixture(scope="module")
def words() -> np.ndarray:
    """Records of the front month around the open, as busy as the reference session."""
    start, end = SESSION.open_ns - 300 * 10**9, SESSION.open_ns + MINUTES * 60 * 10**9
    pieces = (feed.rows[feed.rows[:, 0] >> 32 == FRONT] for feed in simulate(1, DAY, 1.0))
    return np.concatenate([piece[(piece[:, 1] >= start) & (piece[:, 1] < end)] for piece in pieces])


def table_of(words: np.ndarray) -> pa.Table:
    """The columns of `bronze/es_mbp10` that features read."""
    kinds = {"ts_event_ns": words[:, 1], "price_ticks": (words[:, 2] // NANOS).astype(np.int32)}
    side = (words[:, 3] >> 40) & 255
    kinds |= {
        "size": (words[:, 3] & 0xFFFFFFFF).astype(np.uint32),
        "side": np.where(side == ord("B"), 1, np.where(side == ord("A"), -1, 0)).astype(np.int8),
        "action": ((words[:, 3] >> 32) & 255).astype(np.uint8),
        "flags": ((words[:, 3] >> 48) & 255).astype(np.uint8),
    }
    arrays = {name: pa.array(values) for name, values in kinds.items()}
    for level in range(BOOK_DEPTH):
        sizes = words[:, 8 + 4 * level]
        for s, name in enumerate(("bid", "ask")):
            held = ((sizes >> 32 * s) & 0xFFFFFFFF).astype(np.uint32)
            ticks = (words[:, 6 + 4 * level + s] // NANOS).astype(np.int32)
            arrays[f"{name}_ticks_{level:02d}"] = pa.array(ticks, mask=held == 0)
            arrays[f"{name}_sz_{level:02d}"] = pa.array(held)
    return pa.table(arrays)


def trades_of(book: pa.Table) -> Trades:
    """The trades among the records."""
    rows = book.filter(pc.equal(book["action"], ord("T")))
    columns = (rows[name].to_numpy() for name in ("ts_event_ns", "price_ticks", "size", "side"))
    ts_ns, ticks, size, side = columns
    return Trades(ts_ns, ticks, size.astype(np.int64), side)


def best(benchmark: BenchmarkFixture, work: Callable[[], Any]) -> float:
    """CPU seconds, the best of some rounds."""
    costs: list[float] = []

    def timed() -> None:
        start = time.process_time()
        work()
        costs.append(time.process_time() - start)

    benchmark.pedantic(timed, rounds=ROUNDS, warmup_rounds=1)
    return min(costs)


def inflating(path: Path) -> float:
    """CPU seconds that zstd takes for a file, the best of some rounds: what no stream can be faster than."""
    costs, buffer = [], bytearray(1 << 20)
    for _ in range(ROUNDS):
        start = time.process_time()
        with path.open("rb") as raw, ZstdDecompressor().stream_reader(raw, read_across_frames=True) as stream:
            while stream.readinto(buffer):
                pass
        costs.append(time.process_time() - start)
    return min(costs)


@pytest.mark.parametrize("checksum", [False, True], ids=["as the vendor sends it", "with a checksum"])
def test_stream_with_the_flow(benchmark: BenchmarkFixture, words: np.ndarray, tmp_path: Path, checksum: bool) -> None:
    """Files that the vendor sends have no checksum, those that its library writes do; it costs a fifth of inflating."""
    rows = np.ascontiguousarray(words).view(record_dtype(MBP10_RTYPE)).reshape(-1)
    path = write(tmp_path / "a.mbp-10.dbn.zst", rows, checksum=checksum)

    def work() -> None:
        one = BookScan(NO_MARKS)
        for chunk in stream_chunks(path):
            one.records(chunk.view(np.int64).reshape(len(chunk), -1), FRONT, NANOS)
        one.finish()

    cost = best(benchmark, work) / len(words)
    benchmark.extra_info["us per record"] = round(cost * 1e6, 3)
    benchmark.extra_info["inflating alone"] = round(inflating(path) / len(words) * 1e6, 3)
    benchmark.extra_info["M records/s"] = round(1e-6 / cost, 1)


def test_bronze_to_flow(benchmark: BenchmarkFixture, words: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "book.parquet"
    pq.write_table(table_of(words), path, compression="zstd", compression_level=1, row_group_size=131_072)
    flow: dict[str, float] = {"s": 0.0}

    def work() -> None:
        one, file = BookScan(NO_MARKS), pq.ParquetFile(path)
        flow["s"] = 0.0
        for group in range(file.num_row_groups):
            chunk = file.read_row_group(group, use_threads=False)
            start = time.process_time()
            one.columns(_book_columns(chunk))
            flow["s"] += time.process_time() - start
        one.finish()

    cost = best(benchmark, work)
    benchmark.extra_info["us per record"] = round(cost / len(words) * 1e6, 3)
    benchmark.extra_info["of which flow"] = round(flow["s"] / len(words) * 1e6, 3)


def test_barrier_tape_and_score(benchmark: BenchmarkFixture, words: np.ndarray) -> None:
    chunks = table_of(words)
    trades = trades_of(chunks)
    rng = np.random.default_rng(1)
    at = np.sort(rng.integers(len(trades.ts_ns) // 10, len(trades.ts_ns), TOUCHES))
    rows = [
        {"decision_ns": int(trades.ts_ns[i]), "level_price_es": 0.25 * int(trades.ticks[i]), "es_spy_ratio": 10.0}
        for i in at
    ]
    greek = {"ts_event_ns": SESSION.open_ns + 1, "strike_e3": 600_000, "size": 1, "aggressor": 1, "right": "C"}
    greeks = scenes.build(OPTION_GREEKS, [greek | {"session": SESSION.date}])
    costs: dict[str, list[float]] = {"pass": [], "barrier": [], "tape": [], "score": []}

    def work() -> None:
        scene = scenes.scene(rows, target=SESSION, book=[chunks], trades=trades, greeks=greeks)
        scene.add({"fuel_confidence": pa.array(np.zeros(TOUCHES))})
        for name, step in (
            ("pass", lambda: barrier.session_book(scene)),
            *((group.name, lambda group=group: scene.add(group.compute(scene))) for group in GROUPS),
        ):
            start = time.process_time()
            step()
            costs[name].append(time.process_time() - start)

    benchmark.pedantic(work, rounds=ROUNDS, warmup_rounds=1)
    benchmark.extra_info["flow rows per window"] = round(len(words) / (MINUTES + 5) * 4)
    benchmark.extra_info["pass, us per record"] = round(min(costs.pop("pass")) / len(words) * 1e6, 3)
    for name, spent in costs.items():
        benchmark.extra_info[f"{name}, s per {TOUCHES} touches"] = round(min(spent), 3)


GROUPS = (barrier.GROUP, tape.GROUP, score.GROUP)
