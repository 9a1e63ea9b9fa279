"""Sessions of made-up books and trades around touches, as scenes and as plain rows for the references."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from raypipe.features.touch.scene import Scene
from raypipe.schema.books import ES_MBP10
from tests.features.touch import scenes
from tests.kernels.books import CODES, START, random_records
from tests.reference.book import Change, Record, State, Trade, replay

RATIO = 10.0
OPEN = scenes.SESSION.open_ns


def book_table(records: Sequence[Record]) -> pa.Table:
    """Records as rows of `bronze/es_mbp10`."""
    rows = []
    for record in records:
        row: dict[str, Any] = dict.fromkeys(ES_MBP10.names, 0)
        row |= {"session": scenes.SESSION.date, "contract": "ESH5", "instrument_id": 7, "size": record.size}
        row |= {"ts_event_ns": record.ts, "ts_recv_ns": record.ts, "side": record.side, "flags": record.flags}
        row |= {"action": CODES[record.action] or None, "price_ticks": record.tick if record.action != "R" else None}
        for side, levels in (("bid", record.bids), ("ask", record.asks)):
            for k in range(10):
                tick, size = levels[k] if k < len(levels) else (None, 0)
                row |= {f"{side}_ticks_{k:02d}": tick, f"{side}_sz_{k:02d}": size}
        rows.append(row)
    return scenes.build(ES_MBP10, rows)


def pieces(table: pa.Table, length: int) -> list[pa.Table]:
    """A table in chunks, as a stream hands them out."""
    return [table.slice(start, length) for start in range(0, table.num_rows, length)]


@dataclass(frozen=True)
class Made:
    """A session of records and touches."""

    records: list[Record]
    trades: list[Trade]
    rows: list[dict[str, Any]]

    @cached_property
    def truth(self) -> tuple[list[Change], list[State]]:
        return replay(self.records, self.trades)

    def scene(self, length: int = 10**6, **given: Any) -> Scene:
        """The same as a scene, the book in chunks of a length."""
        tape = scenes.trades(*zip(*self.trades, strict=True)) if self.trades else scenes.trades()
        return scenes.scene(self.rows, book=pieces(book_table(self.records), length), trades=tape, **given)

    def replaced(self, **changes: Any) -> Made:
        return Made(**{name: changes.get(name, getattr(self, name)) for name in ("records", "trades", "rows")})


def touch(t: int, level_ticks: float, up: bool = True, **given: Any) -> dict[str, Any]:
    """A touch of a level given in ES ticks."""
    es = level_ticks * 0.25
    row = {"decision_ns": t, "direction": "UP" if up else "DOWN", "level_price": es / RATIO, "spot": es / RATIO}
    return row | {"level_price_es": es, "es_price": es} | given


def random_session(seed: int, count: int = 800, touches: int = 12, odd: float = 0.1, step_s: float = 1.0) -> Made:
    """Random records from some minutes before the open on, their trades, and touches at any moments."""
    rng = np.random.default_rng(seed)
    shift = OPEN - 200 * 10**9 - START
    records = [r._replace(ts=r.ts + shift) for r in random_records(seed, count, round(step_s * 10**9), odd)]
    trades = [Trade(r.ts, r.tick, r.size, r.side) for r in records if r.action == "T"]
    times = rng.choice([r.ts for r in records], touches) + rng.integers(-1, 2, touches)
    levels = np.round((24_000 + rng.normal(0, 6, touches)) * 4) / 4
    ways = rng.random(touches) < 0.5
    rows = zip(np.sort(times).tolist(), levels.tolist(), ways.tolist(), strict=True)
    return Made(records, trades, [touch(*row) for row in rows])


def without_actions(made: Made) -> Made:
    """The same of a vendor who tells neither actions nor flags."""
    return made.replaced(records=[r._replace(action="", flags=None) for r in made.records])


def assert_same(found: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Equal values; floats but for their last digits."""
    assert set(found) == set(wanted)
    for name, value in wanted.items():
        right = pytest.approx(value, rel=1e-9, abs=1e-9) if isinstance(value, float) else value
        assert found[name] == right, name
