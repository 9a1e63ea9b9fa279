"""Scenes for tests of groups: a touch is what a test says of it, everything else is plausible and dull."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from raypipe.calendar import Session, calendar
from raypipe.features.touch.scene import Scene, Trades
from raypipe.schema.signals import SignalsParams
from raypipe.schema.spec import Table
from raypipe.schema.touches import ES_SPY_RATIO, LEVEL_KINDS, OPTION_GREEKS, TOUCHES
from raypipe.schema.warmup import Bars, WarmSession

#: An ordinary Wednesday.
SESSION = calendar().session(dt.date(2025, 1, 15))
MINUTE_NS = 60 * 10**9
RATIO = 10.0


def at(minutes: float, session: Session = SESSION) -> int:
    """Nanoseconds UTC so many minutes after the open."""
    return session.open_ns + round(minutes * MINUTE_NS)


def params(**groups: Mapping[str, Any]) -> SignalsParams:
    """Parameters with some groups' values changed: ``params(bars={"atr_bars": 3})``."""
    return SignalsParams(**groups)


def touches(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Rows of `silver/touches`; a missing value follows from those given or is a default, in the given order."""
    return build(TOUCHES, [_touch(i, row) for i, row in enumerate(rows)])


def _touch(i: int, given: Mapping[str, Any]) -> dict[str, Any]:
    ratio = given.get("es_spy_ratio", RATIO)
    spot, level = given.get("spot", 600.0), given.get("level_price", 600.0)
    decision_ns = given.get("decision_ns", at(60) + i)
    kind = given.get("level_kind", 0)
    direction = given.get("direction", "UP")
    row = {
        "session": SESSION.date,
        "event_id": f"SPY.{i}",
        "ts_ns": decision_ns,
        "decision_ns": decision_ns,
        "date": SESSION.key,
        "symbol": "SPY",
        "front_contract": "ESH5",
        "cadence": "event",
        "front_dominance": 0.99,
        "es_spy_ratio": ratio,
        "es_spy_ratio_source": "spy",
        "warmup_sma_sessions": 3,
        "warmup_volume_sessions": 7,
        "spot": spot,
        "es_price": spot * ratio,
        "level_price": level,
        "level_price_es": level * ratio,
        "level_kind": kind,
        "level_kind_name": LEVEL_KINDS[kind],
        "level_id": LEVEL_KINDS[kind] + (f"_{level:g}" if kind in {8, 9} else ""),
        "touch_type": "contact",
        "direction": direction,
        "direction_sign": 1 if direction == "UP" else -1,
        "distance": abs(level - spot),
        "distance_signed": level - spot,
    }
    return row | dict(given)


def build(table: Table, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """A declared table from rows of plain values; a missing value is null."""
    return pa.table(
        [pa.array([row.get(field.name) for row in rows], _plain(field.type)).cast(field.type) for field in table.arrow],
        schema=table.arrow,
    )


def _plain(kind: pa.DataType) -> pa.DataType:
    return pa.string() if pa.types.is_dictionary(kind) else kind


def trades(ts_ns: Iterable[int] = (), ticks: Iterable[int] = (), size: Iterable[int] = (), side: Iterable[int] = ()):
    """Trades of the front contract."""
    return Trades(
        np.array([*ts_ns], np.int64),
        np.array([*ticks], np.int32),
        np.array([*size], np.int64),
        np.array([*side], np.int8),
    )


def bars(start_ns: Iterable[int] = (), close: Iterable[float] = (), *, high=None, low=None, volume=None) -> Bars:
    """One-minute bars that open at their close, unless their range is given."""
    start, closes = np.array([*start_ns], np.int64), np.array([*close], np.float64)
    return Bars(
        start,
        closes,
        closes if high is None else np.array(high, np.float64),
        closes if low is None else np.array(low, np.float64),
        closes,
        np.ones(len(start), np.int64) if volume is None else np.array(volume, np.int64),
    )


def scene(rows: Sequence[Mapping[str, Any]], **given: Any) -> Scene:
    """A scene of these touches; ``added`` are columns of groups before, as lists or Arrow arrays."""
    added = given.pop("added", {})
    ratio = given.pop("ratio", RATIO)
    fields: dict[str, Any] = {
        "target": SESSION,
        "params": SignalsParams(),
        "touches": touches(rows),
        "trades": trades(),
        "book": (),
        "bars": bars(),
        "warm": (),
        "greeks": OPTION_GREEKS.empty(),
        "ratios": build(
            ES_SPY_RATIO,
            [{"session": SESSION.date, "valid_from_ns": at(-330), "ratio": ratio, "source": "spy", "obs": 30}],
        ),
    }
    made = Scene(**fields | given)
    made.add({name: column if isinstance(column, pa.Array) else pa.array(column) for name, column in added.items()})
    return made


def warm(session: Session, one: Bars, shift_ticks: float = 0.0) -> WarmSession:
    """A session before."""
    return WarmSession(session, "ESH5", one, shift_ticks)
