"""Which symbols of a session one could have chosen from, told by what was known at its close.

Every daily bar has a row with a verdict and the first reason that applies. Prices are judged as they traded then, not
on the basis of later splits, or names that split since would have been left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import Field

from raypipe.calendar import calendar
from raypipe.errors import ConfigError
from raypipe.features.bars_1d import BARS_1D
from raypipe.schema.daily_bars import DailyIngest
from raypipe.schema.family import Family, Inputs, Params, Read, Result, shared
from raypipe.schema.frames import codes_of, dictionary_array, floats
from raypipe.schema.spec import Column, Table
from raypipe.schema.tables import AVAILABLE_NS, SESSION, SYMBOL

__all__ = ["FAMILY", "UNIVERSE", "UniverseParams"]

_OK = "ok"
#: Reasons in the order in which they are tried, sorted bytewise in the table's own dictionary.
_REASONS = ("too_short", "stale", "low_price", "low_dollar_volume", "rank_cut")
#: As-traded prices are rounded to this: undoing a split costs the last bits, and must not cross a threshold.
_DECIMALS = 6

UNIVERSE = Table(
    "silver/universe",
    key=("session", "symbol"),
    grain="once",
    columns=(
        SESSION,
        SYMBOL,
        Column("in_universe", "bool", "Whether the symbol could be chosen at the session's close.", role="meta"),
        Column("reason", "dict", f"{_OK}, or the first of {', '.join(_REASONS)} that applies.", role="meta"),
        AVAILABLE_NS,
    ),
    doc="Every daily bar with a verdict: whether the symbol could be chosen at that session's close.",
)


class UniverseParams(Params):
    """What a symbol must have.

    Attributes
    ----------
    min_history_sessions
        Least number of bars so far.
    window_sessions
        Sessions over which presence and dollar volume are judged.
    min_presence
        Least share of those sessions with a bar that is not stale.
    min_price_usd
        Least close, as traded.
    min_dollar_volume_usd
        Least median of close * volume.
    max_members
        Most members, those of the largest median first; empty: no limit.
    """

    ingest: DailyIngest = shared("ingest", DailyIngest)
    min_history_sessions: int = Field(252, ge=1)
    window_sessions: int = Field(63, ge=1, le=2_000)
    min_presence: float = Field(0.95, ge=0, le=1)
    min_price_usd: float = Field(5.0, ge=0)
    min_dollar_volume_usd: float = Field(5e6, ge=0)
    max_members: int | None = Field(None, ge=1)

    def tracked(self) -> dict[str, Any]:
        """Everything of its own; of the files' prices only what the bars say already."""
        return self.model_dump(mode="json", exclude={"ingest"})


def table(_: UniverseParams) -> Table:
    """The table provided: `silver/universe`."""
    return UNIVERSE


def requires(params: UniverseParams) -> tuple[Read, ...]:
    """The daily bars of all symbols.

    Raises
    ------
    ConfigError
        If prices are judged that files do not tell.
    """
    if params.ingest.adjustment == "full" and params.min_price_usd > 0:
        msg = "fully adjusted prices do not say what traded, so no least price can be asked for"
        raise ConfigError(msg, hint="set universe.min_price_usd=0", key="universe.min_price_usd")
    columns = ("session", "symbol", "close", "volume", "split_factor", "is_stale", "available_ns")
    return (Read(BARS_1D.name, columns),)


def compute(inputs: Inputs, params: UniverseParams) -> Result:
    """One row per daily bar, sorted by session and symbol."""
    parts = [rows for rows in inputs.of_symbols(BARS_1D.name).values() if rows.num_rows]
    facts = {"survivorship": "unknown"}
    if not parts:
        return Result(UNIVERSE.empty(), facts=facts)
    names, codes = codes_of([rows["symbol"] for rows in parts])
    judged = [_Judged.of(rows, params) for rows in parts]
    code, day = np.concatenate(codes), np.concatenate([one.days for one in judged])
    reason = np.concatenate([one.reason for one in judged])
    median = np.concatenate([one.median for one in judged])
    order = np.lexsort((code, day))
    code, day, reason, median = code[order], day[order], reason[order], median[order]
    _cut_by_rank(code, day, median, reason, params.max_members)
    columns = {
        "session": pa.array(day).view(pa.date32()),
        "symbol": dictionary_array(code, names),
        "in_universe": pa.array(reason == 0),
        "reason": pa.array((_OK, *_REASONS), pa.string()).take(pa.array(reason)).dictionary_encode(),
        "available_ns": pa.concat_tables([rows.select(["available_ns"]) for rows in parts])["available_ns"].take(order),
    }
    return Result(UNIVERSE.build(columns), facts=facts)


@dataclass(frozen=True)
class _Judged:
    """The bars of one symbol: days since 1970-01-01, the reason (0 is none), and the median of dollars traded."""

    days: np.ndarray
    reason: np.ndarray
    median: np.ndarray

    @classmethod
    def of(cls, rows: pa.Table, params: UniverseParams) -> _Judged:
        from raypipe.kernels._jit import as_input
        from raypipe.kernels.medians import trailing_median

        days = rows["session"].combine_chunks().view(pa.int32()).to_numpy()
        place = calendar().places(days)
        first = np.searchsorted(place, place - params.window_sessions + 1)
        close, stale = floats(rows["close"]), rows["is_stale"].to_numpy()
        median = np.empty(len(days))
        trailing_median(as_input(close * floats(rows["volume"])), as_input(first, np.int64), median)
        alive = np.append(0, np.cumsum(~stale))
        present = (alive[1:] - alive[first]) / params.window_sessions
        traded = np.round(close * floats(rows["split_factor"]), _DECIMALS)
        with np.errstate(invalid="ignore"):
            rules = (
                np.arange(1, len(days) + 1) < params.min_history_sessions,
                stale | (present < params.min_presence),
                traded < params.min_price_usd,
                median < params.min_dollar_volume_usd,
            )
        reason = np.zeros(len(days), np.int64)
        for i, hit in reversed(list(enumerate(rules, start=1))):
            reason[hit] = i
        return cls(days, reason, median)


def _cut_by_rank(code: np.ndarray, day: np.ndarray, median: np.ndarray, reason: np.ndarray, most: int | None) -> None:
    """Give the last reason to all members of a session but the largest; of equals the first by name stays."""
    if most is None:
        return
    members = np.flatnonzero(reason == 0)
    order = members[np.lexsort((code[members], -median[members], day[members]))]
    _, start, count = np.unique(day[order], return_index=True, return_counts=True)
    rank = np.arange(len(order)) - np.repeat(start, count)
    reason[order[rank >= most]] = len(_REASONS)


FAMILY = Family("universe", 1, UniverseParams, table, requires, compute, cost=1.0, memory=1 << 30)
