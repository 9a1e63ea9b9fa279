"""Real option prints of Apple and Alphabet, rewritten to the vendor's layout: the loader takes them all."""

from __future__ import annotations

import datetime as dt
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from raypipe.calendar import at_exchange_time, calendar
from raypipe.schema.signals import OptionParams
from raypipe.sources.options import OptionTrades, session_bounds
from tests.reference import options as naive
from tests.sources.option_files import flat, text_of

MS = 10**6


def prints(archive: Path, session: dt.date) -> Iterator[dict[str, str]]:
    """Every minute of every contract as a print at its close, under our root; old files have milliseconds."""
    midnight = at_exchange_time(session, dt.time(0))
    with zipfile.ZipFile(archive) as files:
        for name in files.namelist():
            *_, right, strike, expiry = name.removesuffix(".csv").split("_")
            ticker = f"O:SPY{expiry[2:]}{right[0].upper()}{int(strike) // 10:08d}"
            for row in files.read(name).decode().split():
                ms, _, _, _, close, volume = row.split(",")
                yield {
                    "ticker": ticker,
                    "conditions": "209",
                    "correction": "0",
                    "exchange": "302",
                    "price": f"{int(close) / 10_000:g}",
                    "sip_timestamp": str(midnight + int(ms) * MS),
                    "size": str(int(float(volume))),
                }


@pytest.mark.parametrize(
    ("symbol", "day", "contracts"), [("aapl", dt.date(2014, 6, 6), 90), ("goog", dt.date(2015, 12, 24), 41)]
)
def test_real_prints_pass(shared_data, symbol, day, contracts):
    archive = shared_data / "lean" / "option" / "usa" / "minute" / symbol / f"{day:%Y%m%d}_trade_american.zip"
    text, session = text_of(list(prints(archive, day))), calendar().session(day)
    file = OptionTrades([flat(text)], session, OptionParams())
    table = file.table()
    assert file.quarantined is None
    assert int(file.facts["contracts"]) == contracts
    wanted = naive.read(text, naive.Rules(*session_bounds(session), day)).kept
    names = ["ts_event_ns", "option_symbol", "strike_e3", "price", "size", "aggressor"]
    assert table.select(names).to_pylist() == [{name: row[name] for name in names} for row in wanted]
    assert table["aggressor"].to_pylist().count(0) < table.num_rows / 2
