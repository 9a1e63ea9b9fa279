"""Lakes that hold the bronze of the made-up market of books: what `raypipe signals` starts from."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from raypipe.calendar import Session, calendar
from raypipe.lake.location import Location
from raypipe.lake.manifest import Manifest
from raypipe.lake.store import Lake
from raypipe.schema.books import ES_TRADES
from raypipe.schema.spec import Table
from tests.contracts.books import GENERATORS
from tests.contracts.market import Market

#: Ten sessions: seven to look back on, and three that may be built.
LAST = dt.date(2025, 2, 5)
SESSIONS: tuple[Session, ...] = tuple(calendar().between(calendar().offset(LAST, -9), LAST))
KEYS = tuple(session.key for session in SESSIONS)
WARM, BUILT = KEYS[:7], KEYS[7:]


def write_bronze(
    root: Path, *, seed: int = 0, lacking: Collection[tuple[str, str]] = (), facts: Mapping[str, str] | None = None
) -> Lake:
    """Write trades of all ten sessions, books and option prints of the last three, without some (table, session)."""
    root.mkdir(parents=True, exist_ok=True)
    lake, market = Lake(Location.parse(str(root))), Market(SESSIONS, seed)
    for table, _ in GENERATORS:
        for date, rows in market.table(table.name).items():
            assert date is not None
            key = date.isoformat()
            if (table is ES_TRADES or key in BUILT) and (table.name, key) not in lacking:
                write(lake, table, key, rows, facts or {})
    return lake


def write(lake: Lake, table: Table, key: str, rows: pa.Table, facts: Mapping[str, str]) -> None:
    """One bronze partition, as a source stage leaves it."""
    fingerprint = hashlib.sha256(f"{table.name} {key} {rows.num_rows}".encode()).hexdigest()[:32]
    whole = {"coverage": "1.000000", "missing_minutes": "[]", **facts}
    lake.write(table, key, rows, Manifest(table.name, key, fingerprint, 1, "", table.digest, facts=whole))


def partitions(lake: Lake, names: Sequence[str]) -> dict[str, list[str]]:
    """Which partitions of some tables there are."""
    folder = Path(lake.location.root)
    return {name: sorted(p.stem.removeprefix("date=") for p in (folder / name).glob("*.parquet")) for name in names}
