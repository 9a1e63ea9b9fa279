"""Small DBN files for tests: metadata by the vendor's encoder, records as arrays, compressed as asked."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace

import databento_dbn
import numpy as np
import zstandard

from raypipe.sources.dbn_layout import (
    F_LAST,
    LEVELS,
    MBP10_RTYPE,
    TRADE_RTYPE,
    UNDEF_PRICE,
    record_dtype,
)

POINT = 1_000_000_000
TICK = 250_000_000
ESH4, ESM4, SPREAD = 17077, 5602, 46995
NAMES = {ESH4: "ESH4", ESM4: "ESM4", SPREAD: "ESH4-ESM4"}
#: Monday 2024-01-08, a plain session: 14:30 to 21:00 UTC.
DAY = dt.date(2024, 1, 8)


def at(clock: str, day: dt.date = DAY) -> int:
    """Nanoseconds UTC of a UTC clock time: ``14:30`` or ``14:30:00.25``."""
    parts = clock.split(":")
    seconds = int(parts[0]) * 3600 + int(parts[1]) * 60 + (float(parts[2]) if len(parts) > 2 else 0)
    midnight = int(dt.datetime(day.year, day.month, day.day, tzinfo=dt.UTC).timestamp())
    return midnight * 10**9 + round(seconds * 10**9)


def trades(times, *, prices=4780.0, sizes=1, ids=ESH4, sides=b"B", ts_out: bool = False) -> np.ndarray:
    """Trade records in the order given; prices in points."""
    n = len(times)
    rows = np.zeros(n, record_dtype(TRADE_RTYPE, ts_out=ts_out))
    rows["length"], rows["rtype"], rows["publisher_id"] = rows.dtype.itemsize // 4, TRADE_RTYPE, 1
    rows["instrument_id"], rows["ts_event"] = ids, times
    rows["price"] = np.rint(np.asarray(prices) * POINT)
    rows["size"], rows["action"], rows["side"], rows["flags"] = sizes, b"T", sides, F_LAST
    rows["ts_recv"] = rows["ts_event"] + 150_000
    rows["sequence"] = np.arange(1, n + 1)
    return rows


def books(times, *, mid=4780.0, ids=ESH4, actions=b"A", ts_out: bool = False) -> np.ndarray:
    """Book records, ten whole levels a tick apart around ``mid``."""
    plain = trades(times, prices=np.asarray(mid) - 0.25, ids=ids, ts_out=ts_out)
    rows = np.zeros(len(plain), record_dtype(MBP10_RTYPE, ts_out=ts_out))
    for name in plain.dtype.names:
        rows[name] = plain[name]
    rows["length"], rows["rtype"], rows["action"] = rows.dtype.itemsize // 4, MBP10_RTYPE, actions
    for level in range(LEVELS):
        rows[f"bid_px_{level:02d}"] = np.rint((np.asarray(mid) - 0.25 * (level + 1)) * POINT)
        rows[f"ask_px_{level:02d}"] = np.rint((np.asarray(mid) + 0.25 * level) * POINT)
        for k, column in enumerate(("bid_sz", "ask_sz", "bid_ct", "ask_ct")):
            rows[f"{column}_{level:02d}"] = 10 * level + k + 1 + np.arange(len(rows)) % 7
    return rows


def undefine(rows: np.ndarray, level: int, side: str) -> None:
    """Take a level out of every book."""
    rows[f"{side}_px_{level:02d}"], rows[f"{side}_sz_{level:02d}"], rows[f"{side}_ct_{level:02d}"] = UNDEF_PRICE, 0, 0


def metadata(
    rows: np.ndarray,
    *,
    schema: str | None = None,
    dataset: str = "GLBX.MDP3",
    version: int = 3,
    names: Mapping[int, str] = NAMES,
    bounds: tuple[int, int | None] | None = None,
    stype_in: str = "raw_symbol",
    ts_out: bool = False,
) -> bytes:
    """The metadata of a file of these records, encoded; the whole UTC days of the records if no bounds are given."""
    start, end = bounds or _days(rows)
    first, last = _date(start), _date(end or start) + dt.timedelta(days=1)
    found = sorted({int(i) for i in np.unique(rows["instrument_id"])}) if len(rows) else []
    mappings = [
        SimpleNamespace(
            raw_symbol=names[i], intervals=[SimpleNamespace(start_date=first, end_date=last, symbol=str(i))]
        )
        for i in found
        if i in names
    ]
    meta = databento_dbn.Metadata(
        dataset,
        start,
        databento_dbn.SType(stype_in),
        databento_dbn.SType("instrument_id"),
        databento_dbn.Schema(schema or {48: "trades", 56: "trades"}.get(rows.dtype.itemsize, "mbp-10")),
        [names[i] for i in found if i in names],
        [],
        [],
        mappings,
        end,
        None,
        ts_out,
        version,
    )
    return bytes(meta.encode())


def _days(rows: np.ndarray) -> tuple[int, int]:
    day = 86_400 * 10**9
    first, last = (
        (int(rows["ts_event"].min()), int(rows["ts_event"].max())) if len(rows) else (at("00:00"), at("00:00"))
    )
    return first // day * day, (last // day + 1) * day


def _date(ns: int) -> dt.date:
    return dt.datetime.fromtimestamp(ns // 10**9, tz=dt.UTC).date()


def write(
    path: Path,
    rows: np.ndarray,
    *,
    frames: Sequence[int] | None = None,
    level: int = 3,
    checksum: bool = True,
    **meta,
) -> Path:
    """Write a file; ``.zst`` in its name compresses it, in frames cut after those bytes."""
    body = metadata(rows, **meta) + rows.tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".zst":
        cuts = [0, *(frames or ()), len(body)]
        pack = zstandard.ZstdCompressor(level=level, write_checksum=checksum).compress
        body = b"".join(pack(body[a:b]) for a, b in itertools.pairwise(cuts))
    path.write_bytes(body)
    return path
