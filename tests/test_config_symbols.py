"""Lists and names of symbols that the configuration names the files of."""

from __future__ import annotations

from pathlib import Path

import pytest

from raypipe.config import load_config
from raypipe.errors import ConfigError, UsageError

ROOT = Path(__file__).resolve().parents[1]


def test_the_list_of_symbols_is_read_from_its_file(tmp_path):
    (tmp_path / "mine.txt").write_text("B\nA  # first\n", encoding="utf-8")
    config = load_config(env={}, folder=tmp_path, sets=["panel.symbols_file=mine.txt"])
    assert config.params["model_panel"].listed == ("B", "A")
    assert config.origin["model_panel.listed"] == f"file {tmp_path / 'mine.txt'}"
    assert load_config(env={}, folder=ROOT).params["model_panel"].listed[:2] == ("AAPL", "MSFT")
    assert load_config(env={}, folder=tmp_path).params["model_panel"].listed == ()
    with pytest.raises(ConfigError, match=r"other.txt: cannot be read"):
        load_config(env={}, folder=tmp_path, sets=["panel.symbols_file=other.txt"])
    (tmp_path / "twice.txt").write_text("B\nA\nB\n", encoding="utf-8")
    with pytest.raises(UsageError, match=r"twice.txt, line 3: 'B' stands in line 1 already"):
        load_config(env={}, folder=tmp_path, sets=["panel.symbols_file=twice.txt"])


def test_the_names_of_a_vendor_are_read_from_the_map(tmp_path):
    shipped = ["ingest.vendor=yahoo", "ingest.symbol_map=configs/symbol_map.csv"]
    config = load_config(env={}, folder=ROOT, sets=shipped)
    assert [(one.symbol, one.vendor_symbol) for one in config.params["ohlcv_1d"].names] == [("BRK.B", "BRK-B")]
    assert config.origin["ohlcv_1d.names"] == f"file {ROOT / 'configs' / 'symbol_map.csv'}"
    assert load_config(env={}, folder=ROOT).params["ohlcv_1d"].names == ()
    for one in shipped:
        with pytest.raises(ConfigError, match=r"ingest\.vendor and ingest\.symbol_map go together"):
            load_config(env={}, folder=ROOT, sets=[one])
    with pytest.raises(ConfigError, match="no name of 'stooq'") as caught:
        load_config(env={}, folder=ROOT, sets=["ingest.vendor=stooq", shipped[1]])
    assert caught.value.hint == "its vendors: polygon, slash, yahoo"
    with pytest.raises(ConfigError, match=r"other.csv: cannot be read"):
        load_config(env={}, folder=tmp_path, sets=[shipped[0], "ingest.symbol_map=other.csv"])
    (tmp_path / "twice.csv").write_text("symbol,vendor,vendor_symbol,from_session,to_session\nA,x,B,,\nC,x,B,,\n")
    with pytest.raises(UsageError, match=r"twice.csv, line 3: .* at one time"):
        load_config(env={}, folder=tmp_path, sets=["ingest.vendor=x", "ingest.symbol_map=twice.csv"])
