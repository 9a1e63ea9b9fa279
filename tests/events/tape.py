"""Tables of ES trades, ratios and option greeks for tests of events, from what a test says of each row."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from raypipe.calendar import Session, calendar
from raypipe.events.front import FAMILY as FRONT
from raypipe.schema.books import ES_TRADES
from raypipe.schema.family import Family, Inputs, Result
from raypipe.schema.signals import SignalsParams
from raypipe.schema.spec import Table
from raypipe.schema.touches import ES_BARS, ES_SESSION, ES_SPY_RATIO, OPTION_GREEKS, globex_window

MINUTE_NS = 60 * 10**9
#: An ordinary Wednesday.
SESSION = calendar().session(dt.date(2025, 1, 15))
#: Instrument ids of contracts, in no order of expiry.
IDS = {"ESH5": 5602, "ESM5": 118, "ESU5": 7, "ESH25": 5602}
ES_SESSION_FAMILY, ES_BARS_FAMILY = FRONT

Partitions = Mapping[dt.date | None, pa.Table]


def build(table: Table, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """A declared table from rows of plain values; a missing value is null."""
    plain = [pa.string() if pa.types.is_dictionary(field.type) else field.type for field in table.arrow]
    columns = [
        pa.array([row.get(field.name) for row in rows], kind).cast(field.type)
        for field, kind in zip(table.arrow, plain, strict=True)
    ]
    return pa.table(columns, schema=table.arrow)


def at(minutes: float, session: Session = SESSION) -> int:
    """Nanoseconds UTC so many minutes after the open."""
    return session.open_ns + round(minutes * MINUTE_NS)


def trades(rows: Iterable[Sequence[Any]], session: Session = SESSION) -> pa.Table:
    """``bronze/es_trades`` from (ts_ns, ticks, size, side, contract); what is left out is 1, 0, ESH5."""
    made = []
    for i, row in enumerate(rows):
        ts_ns, ticks, size, side, contract = (*row, *(None, None, 1, 0, "ESH5")[len(row) :])
        made.append(
            {
                "session": session.date,
                "ts_event_ns": int(ts_ns),
                "ts_recv_ns": int(ts_ns) + 1000,
                "instrument_id": IDS.get(contract, 1),
                "contract": contract,
                "sequence": i,
                "price_ticks": int(ticks),
                "size": int(size),
                "side": int(side),
                "action": 84,
                "flags": 0,
            }
        )
    return build(ES_TRADES, made)


def ratios(rows: Iterable[tuple[int, float]], session: Session = SESSION, source: str = "spy") -> pa.Table:
    """``silver/es_spy_ratio`` from (valid_from_ns, ratio)."""
    return build(
        ES_SPY_RATIO,
        [
            {"session": session.date, "valid_from_ns": ts_ns, "ratio": ratio, "source": source, "obs": 30}
            for ts_ns, ratio in rows
        ],
    )


def greeks(rows: Iterable[Mapping[str, Any]], session: Session = SESSION) -> pa.Table:
    """``silver/option_greeks`` from ts_event_ns, strike, right, size and the gammas."""
    usual = {"session": session.date, "size": 1, "aggressor": 0, "right": "C"}
    return build(OPTION_GREEKS, [{**usual, **row, "strike_e3": round(row["strike"] * 1000)} for row in rows])


def params(**groups: Mapping[str, Any]) -> SignalsParams:
    """Parameters with some groups' values changed: ``params(touch={"cadence": "bar"})``."""
    return SignalsParams.model_validate(groups)


def run(family: Family, tables: Mapping[str, Partitions], session: Session = SESSION, /, **groups: Any) -> Result:
    """What a family makes of one session."""
    chosen = family.params(signals=params(**groups))
    wanted = {item.table for item in family.requires(chosen)}
    inputs = Inputs((session,), {name: parts for name, parts in tables.items() if name in wanted}, {})
    return family.compute(inputs, chosen)


def fronts(
    tables: dict[str, dict[dt.date | None, pa.Table]], **groups: Any
) -> dict[str, dict[dt.date | None, pa.Table]]:
    """The same tables with ``es_bars`` and ``es_session`` of every session that has trades."""
    made = {**tables, ES_BARS.name: {}, ES_SESSION.name: {}}
    for date in sorted(tables[ES_TRADES.name]):
        session = calendar().session(date)
        made[ES_BARS.name][date] = run(ES_BARS_FAMILY, made, session, **groups).table
        made[ES_SESSION.name][date] = run(ES_SESSION_FAMILY, made, session, **groups).table
    return made


def walk(rng: Any, count: int, session: Session = SESSION, contract: str = "ESH5", middle: int = 24_000) -> list[tuple]:
    """A random walk of trades over the whole electronic session; several at one nanosecond are normal."""
    start_ns, end_ns = globex_window(session)
    times = sorted(int(t) for t in rng.integers(start_ns, end_ns, count))
    steps = rng.integers(-2, 3, count)
    rows, ticks = [], middle
    for i, ts_ns in enumerate(times):
        ticks += int(steps[i])
        ts_ns = rows[-1][0] if rows and rng.random() < 0.2 else ts_ns
        rows.append((ts_ns, ticks, int(rng.integers(1, 9)), int(rng.integers(-1, 2)), contract))
    return rows
