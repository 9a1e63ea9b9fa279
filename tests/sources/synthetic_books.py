"""Reading the order-book half of a synthetic market back with the vendor's library."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from raypipe.sources.synthetic import SynthParams, write_market
from tests.sources.synthetic_files import truth

NEW_YORK = ZoneInfo("America/New_York")
MINUTE_NS = 60 * 10**9


def made(out: Path, **params: Any) -> Path:
    write_market(out, SynthParams(datasets=("es", "options"), es_activity=0.01, **params))
    return out


def ns(date: str, time: str) -> int:
    return int(dt.datetime.fromisoformat(f"{date}T{time}").replace(tzinfo=NEW_YORK).timestamp()) * 10**9


def store(path: Path) -> Any:
    import databento

    # From bytes: the library leaves the files that it opens to the garbage collector.
    return databento.DBNStore.from_bytes(path.read_bytes())


def files(out: Path, schema: str) -> list[Path]:
    return sorted(out.glob(f"databento/GLBX.MDP3/{schema}/*.dbn.zst"))


def records(out: Path, schema: str, date: str, symbol: str | None = None) -> np.ndarray:
    """Records of the session of a date, from 18:00 of the day before."""
    day = dt.date.fromisoformat(date)
    parts = [store(path).to_ndarray() for path in files(out, schema)]
    found = np.concatenate(parts)
    start, end = ns(str(day - dt.timedelta(days=1)), "18:00"), ns(date, "17:00")
    found = found[(found["ts_event"] >= start) & (found["ts_event"] < end)]
    return found if symbol is None else found[found["instrument_id"] == ids(out)[symbol]]


def ids(out: Path) -> dict[str, int]:
    head = store(files(out, "trades")[0]).metadata
    return {name: int(intervals[0]["symbol"]) for name, intervals in head.mappings.items()}


def entry(out: Path, name: str, date: str) -> dict[str, Any]:
    return next(e for e in truth(out)["planted"] if e["id"] == name and e["key"]["session"] == date)
