"""Cost of DBN per record, in CPU microseconds of one core, beside what the vendor's library and Parquet cost.

Must: .dbn.zst to bronze MBP-10 at most 0.67, or 1.3 of the library's decoding plus a Parquet write of the same columns;
trades at most 0.40; the stream with a kernel on every record, without bronze, at most 0.20; ingest within 700 MB.
"""

from __future__ import annotations

import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from raypipe.calendar import calendar
from raypipe.kernels.dbn import leading_records
from raypipe.lake.location import Location
from raypipe.lake.manifest import Manifest
from raypipe.lake.store import Lake
from raypipe.schema.books import ES_MBP10, ES_TRADES
from raypipe.schema.spec import Table
from raypipe.sources.databento import stream_chunks
from raypipe.sources.databento_bronze import BookSession, DbnPart
from tests.sources.dbn_files import DAY, ESH4, ESM4, at, books, trades, write

BOOKS, TRADES = 1_000_000, 500_000
ROUNDS = 3
#: How often a level of the book changes, per record: about one of the twenty levels in each.
CHANGES = 0.05


def walk(n: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Times of a session, a price that walks, and two contracts."""
    rng = np.random.default_rng(seed)
    times = np.sort(rng.integers(at("00:10"), at("20:50"), n))
    steps = rng.choice([-0.25, 0, 0.25], n, p=[0.05, 0.9, 0.05])
    return times, 4780 + np.cumsum(steps), np.where(rng.random(n) < 0.03, ESM4, ESH4)


@pytest.fixture(scope="module")
def book_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    times, mid, ids = walk(BOOKS, 1)
    rows, rng = books(times, mid=mid, ids=ids), np.random.default_rng(2)
    for level in range(10):  # a level changes now and then, and has one value until it does
        for side in ("bid", "ask"):
            changes = np.cumsum(rng.random(BOOKS) < CHANGES)
            held = rng.integers(1, 300, changes[-1] + 1)[changes]
            rows[f"{side}_sz_{level:02d}"], rows[f"{side}_ct_{level:02d}"] = held, 1 + held // 4
    return write(tmp_path_factory.mktemp("dbn") / "a.mbp-10.dbn.zst", rows)


@pytest.fixture(scope="module")
def trade_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    times, price, ids = walk(TRADES, 3)
    sizes = np.random.default_rng(4).integers(1, 40, TRADES)
    return write(tmp_path_factory.mktemp("dbn") / "a.trades.dbn.zst", trades(times, prices=price, ids=ids, sizes=sizes))


def ingest(path: Path, table: Table, root: Path) -> int:
    """Bronze of one session, as the pipeline writes it."""
    lake = Lake(Location.parse(str(root)))
    session = BookSession([DbnPart("a", partial(path.open, "rb", 0))], table, calendar().session(DAY))
    manifest = Manifest(table.name, DAY.isoformat(), "f", 1, "p", table.digest)
    with lake.writer(table, DAY.isoformat(), manifest) as writer:
        for block in session.blocks():
            writer.append(block)
        writer.facts.update(session.facts)
    return writer.receipt.rows


def cpu(benchmark: BenchmarkFixture, work: partial[int]) -> float:
    """CPU microseconds per record, the best of some rounds."""
    costs: list[float] = []

    def timed() -> None:
        start = time.process_time()
        records = work()
        costs.append((time.process_time() - start) / records * 1e6)

    benchmark.pedantic(timed, rounds=ROUNDS, warmup_rounds=1)
    return min(costs)


def passed(path: Path) -> int:
    records = 0
    for chunk in stream_chunks(path):
        records += leading_records(chunk.view(np.int64).reshape(len(chunk), -1), int(chunk.view(np.int64)[0]) & 0xFFFF)
    return records


def baseline(path: Path, table: Table, root: Path) -> tuple[float, float]:
    """What the library takes to decode, and Parquet to write the same columns, in microseconds per record."""
    import databento

    data = path.read_bytes()
    start = time.process_time()
    records = len(databento.DBNStore.from_bytes(data).to_ndarray())
    decode = (time.process_time() - start) / records * 1e6
    ingest(path, table, root)
    rows = pq.read_table(next(root.rglob("date=*.parquet")))
    start = time.process_time()
    pq.write_table(rows, root / "plain.parquet", compression="zstd", compression_level=1, row_group_size=131_072)
    return decode, (time.process_time() - start) / rows.num_rows * 1e6


@pytest.mark.bench
def test_stream_without_bronze(benchmark: BenchmarkFixture, book_file: Path) -> None:
    cost = cpu(benchmark, partial(passed, book_file))
    benchmark.extra_info["us per record"] = round(cost, 3)
    benchmark.extra_info["M records/s"] = round(1 / cost, 1)


@pytest.mark.bench
def test_books_to_bronze(benchmark: BenchmarkFixture, book_file: Path, tmp_path: Path) -> None:
    cost = cpu(benchmark, partial(ingest, book_file, ES_MBP10, tmp_path))
    decode, write_ = baseline(book_file, ES_MBP10, tmp_path / "base")
    benchmark.extra_info["us per record"] = round(cost, 3)
    benchmark.extra_info["library decode"] = round(decode, 3)
    benchmark.extra_info["parquet write"] = round(write_, 3)
    benchmark.extra_info["ratio to both"] = round(cost / (decode + write_), 2)


@pytest.mark.bench
def test_trades_to_bronze(benchmark: BenchmarkFixture, trade_file: Path, tmp_path: Path) -> None:
    cost = cpu(benchmark, partial(ingest, trade_file, ES_TRADES, tmp_path))
    benchmark.extra_info["us per record"] = round(cost, 3)


@pytest.mark.bench
def test_memory_of_an_ingest(benchmark: BenchmarkFixture, book_file: Path, tmp_path: Path) -> None:
    """In a process of its own; its own high-water mark, because getrusage counts that of the parent too."""
    if not sys.platform.startswith("linux"):
        pytest.skip("needs /proc")
    code = (
        "import sys; from pathlib import Path; from tests.bench.bench_dbn import ingest;"
        " from raypipe.schema.books import ES_MBP10; ingest(Path(sys.argv[1]), ES_MBP10, Path(sys.argv[2]));"
        " print(*(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"
    )
    root = Path(__file__).parents[2]

    def run() -> str:
        command = [sys.executable, "-c", code, str(book_file), str(tmp_path)]
        return subprocess.run(command, check=True, capture_output=True, text=True, cwd=root).stdout

    peak = int(benchmark.pedantic(run, rounds=1))
    benchmark.extra_info["peak MB"] = peak // 1000
