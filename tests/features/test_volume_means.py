"""Mean volumes: the definition, on the session's share basis, whether or not the symbol traded."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given

from raypipe.calendar import calendar
from raypipe.features.volume_means import FAMILY, VolumeMeansParams
from raypipe.schema.minutes import MinuteParams
from tests.features.bars import FEWER, Sample, bar, run, samples
from tests.reference.daily import basis
from tests.reference.minute import mean_of_last

MON, TUE, WED, THU, FRI = calendar().dates(dt.date(2025, 1, 13), dt.date(2025, 1, 17))


def params(rows: int, sessions: int, **more) -> VolumeMeansParams:
    return VolumeMeansParams(minute=MinuteParams(vol_spike_lookback=rows, vol_spike_window_sessions=sessions, **more))


def expected(made: Sample, rows: int, sessions: int) -> list[tuple[dt.date, str, float]]:
    by_key = {(row["session"], row["symbol"]): row["volume"] for row in made.bars}
    found = []
    for target in made.targets:
        last = made.dates.index(target.date)
        window = made.dates[max(0, last - sessions + 1) : last + 1]
        for symbol in sorted({symbol for _, symbol in by_key}, key=str.encode):
            volumes = [
                by_key[date, symbol] * basis(symbol, date, target.date, made.dates, made.splits)
                if (date, symbol) in by_key
                else None
                for date in window
            ]
            mean = mean_of_last(volumes, rows)
            found += [] if mean is None else [(target.date, symbol, mean)]
    return found


@pytest.mark.parametrize(("rows", "sessions"), [(1, 1), (2, 3), (3, 9)])
@FEWER
@given(made=samples())
def test_equals_the_definition(made, rows, sessions):
    table = run(FAMILY, made.with_daily(), made.targets, params(rows, sessions)).table
    got = [(row["session"], row["symbol"], row["mean_volume"]) for row in table.to_pylist()]
    assert got == expected(made, rows, sessions)


def test_a_symbol_that_did_not_trade_has_a_row():
    bars = [bar(MON, "A", 10.0, volume=100.0), bar(TUE, "A", 10.0, volume=300.0), bar(WED, "B", 1.0)]
    made = Sample(tuple(calendar().between(MON, THU)), tuple(bars), {("A", WED): 2.0}, frozenset((MON, TUE, WED)))
    rows = run(FAMILY, made.with_daily(), made.targets, params(2, 3)).table.to_pylist()
    assert [(row["session"], row["symbol"], row["mean_volume"]) for row in rows] == [
        (TUE, "A", 200.0),
        (WED, "A", 400.0),
    ]
    rows = run(FAMILY, made.with_daily(), made.targets, params(2, 3, adjust="none")).table.to_pylist()
    assert [row["mean_volume"] for row in rows] == [200.0, 200.0]


def test_only_what_matters_here_is_tracked():
    assert params(2, 3).tracked() == params(2, 3, mode="all", clean_symbols=False).tracked()
    assert params(2, 3).tracked() != params(2, 4).tracked()
