"""What a flat file means, row by row: the definition that the reader is held against."""

from __future__ import annotations

import csv
import datetime as dt
import io
import math
from collections import defaultdict
from typing import Any
from zoneinfo import ZoneInfo

NEW_YORK = ZoneInfo("America/New_York")


def read_minutes(text: str, date: dt.date, close: dt.time) -> tuple[list[dict[str, Any]], list[tuple[int, str]]]:
    """Rows that a minute file of ``date`` contributes, sorted, and (line, reason) of those that are set aside."""
    good: dict[tuple[bytes, int], list[tuple[int, dict[str, Any]]]] = defaultdict(list)
    refused: list[tuple[int, str]] = []
    for line, raw in enumerate(csv.DictReader(io.StringIO(text)), start=2):
        row = {name: float(raw[name]) for name in ("open", "high", "low", "close", "volume")}
        row |= {"symbol": raw["ticker"], "window_start_ns": int(raw["window_start"]), "line": line}
        row["transactions"] = int(raw["transactions"])
        reason = _reason(row, date)
        if reason:
            refused.append((line, reason))
        else:
            good[raw["ticker"].encode(), row["window_start_ns"]].append((line, row))
    rows = []
    for key in sorted(good):
        same = good[key]
        values = {tuple(v for k, v in row.items() if k != "line") for _, row in same}
        if len(values) > 1:
            refused += [(line, "duplicate_conflict") for line, _ in same]
        else:
            rows.append(same[0][1] | {"segment": _segment(same[0][1]["window_start_ns"], close)})
    return [{k: v for k, v in row.items() if k != "line"} for row in rows], sorted(refused)


def _reason(row: dict[str, Any], date: dt.date) -> str:
    prices = [row[name] for name in ("open", "high", "low", "close")]
    if not all(math.isfinite(p) and p > 0 for p in prices):
        return "price"
    if not row["low"] <= min(row["open"], row["close"]) <= max(row["open"], row["close"]) <= row["high"]:
        return "ohlc_order"
    if not (math.isfinite(row["volume"]) and row["volume"] >= 0):
        return "volume"
    moment = dt.datetime.fromtimestamp(row["window_start_ns"] / 1e9, NEW_YORK)
    whole = row["window_start_ns"] % 60_000_000_000 == 0
    if moment.date() != date or not dt.time(4) <= moment.time() < dt.time(20) or not whole:
        return "time"
    return "symbol" if "/" in row["symbol"] or not row["symbol"] else ""


def _segment(window_start_ns: int, close: dt.time) -> str:
    time = dt.datetime.fromtimestamp(window_start_ns / 1e9, NEW_YORK).time()
    return "pre" if time < dt.time(9, 30) else "rth" if time < close else "post"
