"""The books of the synthetic market, read back with the vendor's library and plain Python."""

from __future__ import annotations

import datetime as dt
import warnings
from pathlib import Path

import numpy as np
import pytest

from raypipe.errors import UsageError
from raypipe.sources.synthetic import SynthParams, write_market
from tests.sources.synthetic_books import files, made, records, store
from tests.sources.synthetic_files import bar_file

FLAG_LAST = 128
UNDEFINED = 2**63 - 1
LEVELS = [f"{level:02d}" for level in range(10)]


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three sessions over the end of daylight saving time, the last two with books."""
    return made(tmp_path_factory.mktemp("books"), sessions=3, es_sessions=3)


# --- files --------------------------------------------------------------------------------------


def test_the_library_reads_the_files_and_their_symbols(market: Path) -> None:
    paths = files(market, "trades")
    assert [path.name[9:18] for path in paths] == ["-20251030", "-20251031", "-20251102", "-20251103", "-20251104"]
    for path in paths:
        head = store(path).metadata
        assert (head.dataset, head.schema, str(head.stype_in), head.symbols) == (
            "GLBX.MDP3",
            "trades",
            "parent",
            ["ES.FUT"],
        )
        assert set(head.mappings) == {"ESZ5", "ESH6", "ESZ5-ESH6"}
    with warnings.catch_warnings():
        # The library itself uses calls that pandas 3 deprecates.
        warnings.simplefilter("ignore")
        frame = store(paths[1]).to_df()
    assert set(frame["symbol"]) == {"ESZ5", "ESH6", "ESZ5-ESH6"}


@pytest.mark.parametrize("schema", ["trades", "mbp-10"])
def test_a_file_holds_one_utc_day_of_receipt(market: Path, schema: str) -> None:
    for path in files(market, schema):
        head, found = store(path).metadata, store(path).to_ndarray()
        day = dt.datetime.strptime(path.name[10:18], "%Y%m%d").replace(tzinfo=dt.UTC)
        start = int(day.timestamp()) * 10**9
        assert start <= head.start < head.end <= start + 86_400 * 10**9
        for column in ("ts_event", "ts_recv"):
            assert head.start <= found[column].min()
            assert found[column].max() < head.end


def test_trades_are_the_t_records_of_the_books(market: Path) -> None:
    trades, books = (records(market, schema, "2025-11-03") for schema in ("trades", "mbp-10"))
    books = books[books["action"] == b"T"]
    shared = [name for name in trades.dtype.names if name not in ("length", "rtype")]
    assert len(trades) == len(books) > 1_000
    for name in shared:
        assert np.array_equal(trades[name], books[name]), name
    assert set(trades["length"]) == {12}
    assert set(books["length"]) == {92}


def test_warm_up_sessions_have_trades_only(market: Path) -> None:
    assert len(records(market, "trades", "2025-10-31")) > 1_000
    assert files(market, "mbp-10")[0].name.startswith("glbx-mdp3-20251102")


def test_same_arguments_give_the_same_bytes_and_more_sessions_change_none(market: Path, tmp_path: Path) -> None:
    again = made(tmp_path / "again", sessions=3, es_sessions=3)
    old = {path.relative_to(market): path.read_bytes() for path in market.rglob("*") if path.is_file()}
    assert {path.relative_to(again): path.read_bytes() for path in again.rglob("*") if path.is_file()} == old
    fewer = made(tmp_path / "fewer", sessions=2, es_sessions=2, mbp_sessions=1)
    for date in ("2025-10-31", "2025-11-03"):
        assert np.array_equal(records(fewer, "trades", date), records(market, "trades", date))
    assert np.array_equal(records(fewer, "mbp-10", "2025-11-03"), records(market, "mbp-10", "2025-11-03"))
    for kept in (bar_file(fewer, "minute", "2025-11-03"), files(fewer, "trades")[0]):
        assert kept.read_bytes() == old[kept.relative_to(fewer)]


def test_another_seed_makes_another_market(market: Path, tmp_path: Path) -> None:
    other = made(tmp_path / "other", sessions=1, es_sessions=1, seed=8)
    assert not np.array_equal(records(other, "trades", "2025-10-31"), records(market, "trades", "2025-10-31"))


def test_force_removes_the_files_of_an_earlier_market(tmp_path: Path) -> None:
    out = made(tmp_path, sessions=2, es_sessions=2)
    params = SynthParams(datasets=("es",), es_activity=0.01, sessions=1, es_sessions=1)
    with pytest.raises(UsageError, match="is not empty"):
        write_market(out, params)
    result = write_market(out, params, force=True)
    assert sorted(path.relative_to(out).as_posix() for path in out.rglob("*.dbn.zst")) == list(result.book_keys)
    assert not list(out.rglob("us_options_opra/**/*.gz"))
