"""The training set by its definition: one event at a time, tables as lists of rows by session."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Row = Mapping[str, Any]
Tables = Mapping[str, Mapping[dt.date, Sequence[Row]]]
KEYS = ("symbol", "tf", "decision_ns", "event_type")


@dataclass(frozen=True)
class Joined:
    """A table of whole sessions: its columns, the columns in usd and in shares, and which rows count."""

    name: str
    columns: tuple[str, ...]
    usd: frozenset[str]
    shares: frozenset[str]
    only: Mapping[str, str]


@dataclass(frozen=True)
class Rules:
    """Which events are kept."""

    universe: str
    prices: tuple[float, float] | None
    drop_unlabeled: bool
    label: str


def training_rows(
    tables: Tables,
    splits: Mapping[tuple[str, dt.date], float],
    sessions: Sequence[dt.date],
    joined: Sequence[Joined],
    rules: Rules,
) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """Rows of the last of ``sessions``, joined to the others from the newest back, and how many were left out why."""
    own, before = sessions[-1], list(reversed(sessions[:-1]))
    rows, out = [], {"not_in_universe": 0, "outside_price_range": 0, "unlabeled": 0}
    for event in tables["events"][own]:
        symbol = event["symbol"]
        last = next((day for day in before if any(_row(tables[t.name], day, symbol, t.only) for t in joined)), None)
        ratio = 1.0
        for day in reversed(sessions):
            if last is not None and day > last:
                ratio *= splits.get((symbol, day), 1.0)
        reason = _reason(tables, symbol, last, ratio, rules)
        labels = _same(tables["labels"][own], event)
        if reason is None and rules.drop_unlabeled and labels[rules.label] is None:
            reason = "unlabeled"
        if reason is not None:
            out[reason] += 1
            continue
        row = {**event, **_differences(event), **_same(tables["state"][own], event)}
        row["prev_session"] = last
        row["prev_age_sessions"] = None if last is None else before.index(last) + 1
        for table in joined:
            row |= _previous(tables[table.name], table, symbol, last, ratio)
        rows.append({**row, **labels})
    rows.sort(key=lambda r: (r["decision_ns"], r["symbol"].encode(), r["tf"].encode(), r["event_type"]))
    return rows, out


def _row(parts: Mapping[dt.date, Sequence[Row]], day: dt.date, symbol: str, only: Row | None = None) -> Row | None:
    for row in parts.get(day, ()):
        if row["symbol"] == symbol and all(row[name] == value for name, value in (only or {}).items()):
            return row
    return None


def _same(rows: Sequence[Row], event: Row) -> Row:
    """The row of an event in another table."""
    return next(row for row in rows if all(row[name] == event[name] for name in KEYS))


def _reason(tables: Tables, symbol: str, last: dt.date | None, ratio: float, rules: Rules) -> str | None:
    if rules.universe == "daily_filtered" and (last is None or not _row(tables["filtered"], last, symbol)):
        return "not_in_universe"
    if rules.prices is None:
        return None
    daily = None if last is None else _row(tables["daily"], last, symbol)
    low, high = rules.prices
    return None if daily and low <= daily["close"] / ratio <= high else "outside_price_range"


def _differences(event: Row) -> dict[str, float]:
    absolute = {f"{name}_abs": abs(event[name]) for name in ("hist", "macd", "signal")}
    return {"hist_momentum": event["hist"] - event["hist_prev"], **absolute}


def _previous(
    parts: Mapping[dt.date, Sequence[Row]], table: Joined, symbol: str, last: dt.date | None, ratio: float
) -> dict[str, Any]:
    row = None if last is None else _row(parts, last, symbol, table.only)
    found: dict[str, Any] = {}
    for name in table.columns:
        value = None if row is None else row[name]
        if value is not None and name in table.usd:
            value /= ratio
        if value is not None and name in table.shares:
            value *= ratio
        found[f"prev_{name}"] = value
    for tf in [name.removeprefix("hist_max__") for name in table.columns if name.startswith("hist_max__")]:
        high, low = found[f"prev_hist_max__{tf}"], found[f"prev_hist_min__{tf}"]
        found[f"prev_hist_range__{tf}"] = None if high is None else high - low
    return found
