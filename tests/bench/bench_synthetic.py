"""Cost of the synthetic market per minute row, beside writing the same rows with pyarrow and zlib."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path

import pytest
from pyarrow import BufferOutputStream, csv
from pytest_benchmark.fixture import BenchmarkFixture

from raypipe.sources.synthetic import SynthParams, SynthResult, write_market

PARAMS = SynthParams(sessions=2, symbols=2_000, history=0)


@pytest.mark.bench
def test_synth(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    """Two sessions of 2,000 symbols, made, formatted and compressed at level 1."""

    def fresh() -> tuple[tuple[Path, SynthParams], dict[str, object]]:
        shutil.rmtree(tmp_path / "market", ignore_errors=True)
        return (tmp_path / "market", PARAMS), {}

    result: SynthResult = benchmark.pedantic(write_market, setup=fresh, rounds=3, warmup_rounds=1)
    benchmark.extra_info["rows_per_second"] = round(result.minute_rows / benchmark.stats.stats.min)
    assert result.minute_rows > 500_000


@pytest.mark.bench
def test_pyarrow_and_zlib(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    """Only formatting and compressing the rows of one such session."""
    result = write_market(tmp_path / "market", PARAMS)
    path = tmp_path / "market" / next(key for key in result.keys if "minute" in key)
    table = csv.read_csv(path)

    def write() -> bytes:
        sink = BufferOutputStream()
        csv.write_csv(table, sink, csv.WriteOptions(quoting_style="none"))
        return gzip.compress(sink.getvalue(), 1, mtime=0)

    assert benchmark.pedantic(write, rounds=3, warmup_rounds=1)
    benchmark.extra_info["rows_per_second"] = round(len(table) / benchmark.stats.stats.min)


@pytest.mark.bench
def test_books(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    """A session of ES of the usual size: simulated, stamped, and written as DBN trades and MBP-10 with zstd."""
    params = SynthParams(datasets=("es",), sessions=1, es_sessions=1, mbp_sessions=1)

    def fresh() -> tuple[tuple[Path, SynthParams], dict[str, object]]:
        shutil.rmtree(tmp_path / "market", ignore_errors=True)
        return (tmp_path / "market", params), {}

    result: SynthResult = benchmark.pedantic(write_market, setup=fresh, rounds=3, warmup_rounds=1)
    benchmark.extra_info["records_per_second"] = round(result.book_records / benchmark.stats.stats.min)
    assert result.book_records > 1_900_000
