"""Daily bars over years: valid, the same every time, with just what was planted to be found in them."""

from __future__ import annotations

import csv
import datetime as dt

import numpy as np
import pytest

from raypipe.calendar import calendar
from raypipe.sources.synthetic import SynthParams, write_market
from raypipe.sources.synthetic.daily import LEAN, daily_csv, daily_symbols

SESSIONS = calendar().between(dt.date(2021, 1, 4), dt.date(2024, 12, 31))


@pytest.fixture(scope="module")
def bars() -> np.ndarray:
    """Open, high, low, close, volume as (sessions, symbols, 5)."""
    rows = list(csv.DictReader(daily_csv(3, SESSIONS, 20).decode().splitlines()))
    values = [[float(row[name]) for name in ("open", "high", "low", "close", "volume")] for row in rows]
    return np.array(values).reshape(len(SESSIONS), 20, 5)


def test_bars_are_possible(bars):
    begin, high, low, end, volume = np.moveaxis(bars, 2, 0)
    assert (low > 0).all()
    assert (high >= np.maximum(begin, end)).all()
    assert (low <= np.minimum(begin, end)).all()
    assert (volume >= 1).all()


def test_a_later_end_changes_no_bar():
    assert daily_csv(3, SESSIONS[:40], 3).startswith(daily_csv(3, SESSIONS[:30], 3))


def _pooled_correlation(x: np.ndarray, y: np.ndarray) -> float:
    return float(np.corrcoef(x.ravel(), y.ravel())[0, 1])


def test_the_next_session_leans_back_and_twenty_sessions_know_nothing(bars):
    begin, close = bars[:, :, 0], bars[:, :, 3]
    known = close[1:] / close[:-1] - 1.0  # of session t, at its close
    rows = len(SESSIONS)
    next_day = begin[3:] / begin[2:-1] - 1.0  # from open(t+1) to open(t+2)
    month = begin[22:] / begin[2 : rows - 20] - 1.0
    assert _pooled_correlation(known[: len(next_day)], next_day) == pytest.approx(-LEAN, abs=0.08)
    assert abs(_pooled_correlation(known[: len(month)], month)) < 0.15


def test_written_with_the_list_of_its_symbols(tmp_path):
    result = write_market(tmp_path, SynthParams(sessions=2, datasets=("daily",), daily_sessions=5, daily_symbols=3))
    assert result.daily_file is not None
    header, *rows = result.daily_file.read_text().splitlines()
    assert header == "session,symbol,open,high,low,close,volume"
    assert len(rows) == 15
    assert rows[-1].startswith(result.sessions[-1].isoformat())
    assert (tmp_path / "daily" / "symbols.txt").read_text().split() == list(daily_symbols(3))
