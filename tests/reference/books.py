"""Bronze rows of ES records, one record at a time: the definition that the kernels are held against."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

UNDEFINED = 2**63 - 1
ACTIONS = (65, 67, 70, 77, 82, 84)
NEW_YORK = ZoneInfo("America/New_York")


def session_of(ns: int, sessions: list[dt.date]) -> dt.date:
    """The first session whose 17:00 New York end lies after a time."""
    for date in sessions:
        end = dt.datetime.combine(date, dt.time(17), tzinfo=NEW_YORK)
        if ns < int(end.timestamp()) * 10**9:
            return date
    raise AssertionError


def bronze(records, names, session, sessions) -> list[dict]:
    """Rows of one session, in the order of the records; outright contracts only, nothing refused."""
    return [
        row_of(record, names[int(record["instrument_id"])], session)
        for record in records
        if session_of(int(record["ts_event"]), sessions) == session and "-" not in names[int(record["instrument_id"])]
    ]


def ticks(price: int) -> int | None:
    return None if price == UNDEFINED else price // 250_000_000


def row_of(record, contract: str, session: dt.date) -> dict:
    action = record["action"][0]
    row = {
        "session": session,
        "ts_event_ns": int(record["ts_event"]),
        "ts_recv_ns": int(record["ts_recv"]),
        "instrument_id": int(record["instrument_id"]),
        "contract": contract,
        "sequence": int(record["sequence"]),
        "price_ticks": ticks(int(record["price"])),
        "size": int(record["size"]),
        "side": {b"B": 1, b"A": -1}.get(bytes(record["side"]), 0),
        "action": action if action in ACTIONS else None,
        "flags": int(record["flags"]),
    }
    if "bid_px_00" in record.dtype.names:
        row["depth"] = int(record["depth"])
        for level in range(10):
            for side in ("bid", "ask"):
                price = int(record[f"{side}_px_{level:02d}"])
                row[f"{side}_ticks_{level:02d}"] = ticks(price)
                for kind in ("sz", "ct"):
                    there = price != UNDEFINED
                    row[f"{side}_{kind}_{level:02d}"] = int(record[f"{side}_{kind}_{level:02d}"]) if there else 0
    return row
