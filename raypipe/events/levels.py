"""What every level is worth at any moment, from records before it: 14 kinds, and the level vector of each touch.

Levels of ES (extremes, means of ES prices) are known in ES points, levels of SPY (round prices, strikes, walls, the
flip) in dollars. Distances are formed in ES points; the ratio in force turns one into the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa

from raypipe.calendar import NS_PER_MINUTE, Session
from raypipe.schema.books import POINTS_PER_TICK
from raypipe.schema.frames import codes_of
from raypipe.schema.signals import LevelParams, SignalsParams
from raypipe.schema.touches import LEVEL_KINDS
from raypipe.schema.warmup import Bars, trailing_mean, two_minute_closes

if TYPE_CHECKING:
    from raypipe.kernels.levels import Running, StrikeLevels

__all__ = ["KIND", "SPY_KINDS", "Levels", "OptionFlow", "Ratios", "Standing", "Trades"]

#: Codes of kinds by name.
KIND = {name: code for code, name in enumerate(LEVEL_KINDS)}
#: Kinds that are known in dollars.
SPY_KINDS = frozenset(KIND[name] for name in ("ROUND", "STRIKE", "CALL_WALL", "PUT_WALL", "GAMMA_FLIP"))
_OR_KINDS = (KIND["OR_HIGH"], KIND["OR_LOW"])
_WALLS = {"CALL_WALL": "call_wall", "PUT_WALL": "put_wall"}
_SMA = {"SMA_200": 200, "SMA_400": 400}


class Trades(NamedTuple):
    """Trades of the front contract in the electronic session, ascending in time; (trades,) each."""

    ts_ns: np.ndarray
    ticks: np.ndarray
    size: np.ndarray

    def between(self, start_ns: int, end_ns: int) -> slice:
        """Places of the trades in [start, end)."""
        first, last = np.searchsorted(self.ts_ns, [start_ns, end_ns])
        return slice(int(first), int(last))

    def last(self, count: np.ndarray) -> np.ndarray:
        """ES points of the last of so many trades, NaN of none; float64."""
        return _so_far(self.ticks, count) * POINTS_PER_TICK

    def last_before(self, at_ns: np.ndarray) -> np.ndarray:
        """ES points of the last trade before each moment, NaN if there is none; float64."""
        return self.last(np.searchsorted(self.ts_ns, at_ns))


class Ratios(NamedTuple):
    """ES points per dollar and their source, from when each holds."""

    from_ns: np.ndarray
    ratio: np.ndarray
    source: pa.Array

    @classmethod
    def of(cls, table: pa.Table) -> Ratios:
        """From a partition of `silver/es_spy_ratio`."""
        source = table["source"].cast(pa.string()).combine_chunks()
        return cls(table["valid_from_ns"].to_numpy(), table["ratio"].to_numpy(), source)

    def at(self, at_ns: np.ndarray) -> np.ndarray:
        """The ratio in force at each moment, NaN before the first; float64."""
        found: np.ndarray = np.concatenate([[np.nan], self.ratio])[np.searchsorted(self.from_ns, at_ns, side="right")]
        return found

    def source_at(self, at_ns: np.ndarray) -> pa.Array:
        """Where it is from, dictionary; null before the first."""
        row = np.searchsorted(self.from_ns, at_ns, side="right") - 1
        return self.source.take(pa.array(row, mask=row < 0)).dictionary_encode()


class OptionFlow(NamedTuple):
    """What option prints make of the strikes, by minute."""

    strikes: np.ndarray
    """Distinct strikes, ascending; float64 (strikes,), usd."""
    levels: StrikeLevels
    """By minute of `Levels.minutes_ns`."""


class Standing(NamedTuple):
    """Levels that change at minute borders only; a column each."""

    kinds: np.ndarray
    """int8 (levels,)."""
    native: np.ndarray
    """Values by row: ES points, or dollars for kinds of SPY; float64 (rows, levels)."""

    def points(self, ratio: np.ndarray) -> np.ndarray:
        """ES points, given the ratio of each row."""
        known = np.where(np.isnan(ratio), np.nan, 1.0)
        return self.native * np.where(self.of_spy, ratio[:, None], known[:, None])

    @property
    def of_spy(self) -> np.ndarray:
        """Which levels are known in dollars; bool (levels,)."""
        return np.isin(self.kinds, list(SPY_KINDS))

    def usd(self, row: np.ndarray, level: np.ndarray, converted: np.ndarray) -> np.ndarray:
        """Dollars of single values: as they are known, else converted from points."""
        return np.where(self.of_spy[level], self.native[row, level], converted)

    def joined(self, kinds: Sequence[int]) -> Standing:
        """With columns behind for levels of ES that move with every trade, values unknown."""
        unknown = np.full((len(self.native), len(kinds)), np.nan)
        return Standing(np.append(self.kinds, np.array(kinds, np.int8)), np.concatenate([self.native, unknown], axis=1))


@dataclass(frozen=True)
class Levels:
    """All levels of one session.

    Attributes
    ----------
    target, params
        The session, and all parameters.
    trades
        Of the front contract.
    ratios
        ES points per dollar.
    greeks
        Rows of `silver/option_greeks`; None if there are none.
    warm, bars
        Bars of the sessions before on this one's price basis, older first, and its own.
    """

    target: Session
    params: SignalsParams
    trades: Trades
    ratios: Ratios
    greeks: pa.Table | None
    warm: Sequence[Bars]
    bars: Bars

    @property
    def rules(self) -> LevelParams:
        """Which levels there are."""
        return self.params.levels

    @property
    def range_end_ns(self) -> int:
        """End of the opening range."""
        return self.target.open_ns + self.rules.or_minutes * NS_PER_MINUTE

    @cached_property
    def minutes_ns(self) -> np.ndarray:
        """Starts of the minutes in which levels are watched, and the close; int64."""
        start_ns = self.target.open_ns - max(self.params.touch.warm_start_min, 1) * NS_PER_MINUTE
        return np.arange(start_ns, self.target.close_ns + 1, NS_PER_MINUTE)

    @cached_property
    def regular(self) -> slice:
        """Places of trades in regular hours."""
        return self.trades.between(self.target.open_ns, self.target.close_ns)

    @cached_property
    def running(self) -> Running:
        """Extremes and sums over regular trades so far."""
        from raypipe.kernels.levels import running

        return running(self.trades.ticks[self.regular], self.trades.size[self.regular])

    def regular_before(self, at_ns: np.ndarray | int) -> np.ndarray:
        """How many regular trades are before each moment; int64."""
        count: np.ndarray = np.searchsorted(self.trades.ts_ns[self.regular], at_ns)
        return count

    # --- single levels at any moment, in ES points or, for kinds of SPY, dollars ---------------

    def at(self, kind: int, at_ns: np.ndarray) -> np.ndarray:
        """A kind's one level at each moment, NaN where it does not exist; float64. Not for ROUND and STRIKE."""
        name = LEVEL_KINDS[kind]
        if name.startswith("PM_"):
            return self._premarket(name, at_ns)
        if name.startswith(("OR_", "SESSION_")):
            return self._extreme(name, at_ns)
        if name == "VWAP":
            return self._vwap(at_ns)
        if name in _SMA:
            return self._sma(_SMA[name], at_ns)
        if name in _WALLS:
            suffix = "_decayed" if self.rules.wall_basis == "decayed" else ""
            return self.of_options(_WALLS[name] + suffix, at_ns)
        return self.of_options("gamma_flip", at_ns)

    def _premarket(self, name: str, at_ns: np.ndarray) -> np.ndarray:
        ticks = self.trades.ticks[self.trades.between(self.target.ext_start_ns, self.target.open_ns)]
        if not len(ticks):
            return np.full(len(at_ns), np.nan)
        value = ticks.max() if name == "PM_HIGH" else ticks.min()
        return np.where(at_ns >= self.target.open_ns, value * POINTS_PER_TICK, np.nan)

    def _extreme(self, name: str, at_ns: np.ndarray) -> np.ndarray:
        until_ns = at_ns
        if name.startswith("OR_"):
            until_ns = np.minimum(at_ns, self.range_end_ns)
            if not self.rules.or_forming:
                until_ns = np.where(at_ns >= self.range_end_ns, until_ns, 0)
        so_far = self.running.high if name.endswith("_HIGH") else self.running.low
        return _so_far(so_far, self.regular_before(until_ns)) * POINTS_PER_TICK

    def _vwap(self, at_ns: np.ndarray) -> np.ndarray:
        if self.rules.vwap_price == "trade":
            count = self.regular_before(at_ns)
            mean: np.ndarray = _so_far(self.running.worth, count) / _so_far(self.running.lots, count)
            return mean * POINTS_PER_TICK
        bars, start_ns = self.bars, self.bars.start_ns
        regular = (start_ns >= self.target.open_ns) & (start_ns < self.target.close_ns)
        price = bars.close_ticks
        if self.rules.vwap_price == "typical":
            price = (bars.high_ticks + bars.low_ticks + bars.close_ticks) / 3
        worth, lots = np.cumsum((price * bars.volume)[regular]), np.cumsum(bars.volume[regular])
        complete = np.searchsorted(bars.end_ns[regular], at_ns, side="right")
        return _so_far(worth / lots * POINTS_PER_TICK, complete)

    def _sma(self, window: int, at_ns: np.ndarray) -> np.ndarray:
        end_ns, close = self._closes
        return _so_far(trailing_mean(close, window) * POINTS_PER_TICK, np.searchsorted(end_ns, at_ns, side="right"))

    @cached_property
    def _closes(self) -> tuple[np.ndarray, np.ndarray]:
        return two_minute_closes([*self.warm, self.bars])

    # --- options -------------------------------------------------------------------------------

    def of_options(self, name: str, at_ns: np.ndarray) -> np.ndarray:
        """One of the levels made of option prints (`StrikeLevels`) at each moment, as of the minute's start; usd."""
        if self.options is None:
            return np.full(len(at_ns), np.nan)
        by_minute: np.ndarray = getattr(self.options.levels, name)
        minute = (at_ns - self.minutes_ns[0]) // NS_PER_MINUTE
        return np.where(minute >= 0, by_minute[np.clip(minute, 0, len(by_minute) - 1)], np.nan)

    @cached_property
    def options(self) -> OptionFlow | None:
        """Walls, flip and births of strikes by minute; None without option prints."""
        from raypipe.kernels.levels import Prints, StrikeRules, strike_levels

        if self.greeks is None or not self.greeks.num_rows:
            return None
        rules, made = self.rules, self.greeks
        strikes, places = _distinct(made["strike_e3"].to_numpy())
        ts_ns = made["ts_event_ns"].to_numpy()
        rights, (codes,) = codes_of([made["right"].unify_dictionaries()])
        columns = (
            ts_ns,
            places,
            codes == rights.index("C").as_py(),
            made["size"].to_numpy(),
            made["gross_gamma"].fill_null(0.0).to_numpy(),
            made["dealer_gamma"].fill_null(0.0).to_numpy(),
        )
        if (ts_ns[1:] < ts_ns[:-1]).any():
            order = np.argsort(ts_ns, kind="stable")
            columns = tuple(values[order] for values in columns)  # type: ignore[assignment]
        limits = StrikeRules(
            self.target.open_ns,
            self.params.options.option_latency_ms * 1_000_000,
            rules.wall_halflife_min * NS_PER_MINUTE,
            rules.strike_min_contracts,
            rules.wall_min_contracts,
            rules.flip_range_usd,
        )
        spots = self.trades.last_before(self.minutes_ns) / self.ratios.at(self.minutes_ns)
        dollars = strikes / 1000
        return OptionFlow(dollars, strike_levels(Prints(*columns), dollars, self.minutes_ns, spots, limits))

    # --- all of them ---------------------------------------------------------------------------

    def standing(self, kinds: Sequence[int], at_ns: np.ndarray) -> Standing:
        """Levels of some kinds at moments that begin minutes, a column each."""
        single = [kind for kind in kinds if LEVEL_KINDS[kind] not in ("ROUND", "STRIKE")]
        codes = [np.array(single, np.int8)]
        native = [self.at(kind, at_ns)[:, None] for kind in single] or [np.empty((len(at_ns), 0))]
        if KIND["ROUND"] in kinds:
            rounds = self._rounds()
            codes.append(np.full(len(rounds), KIND["ROUND"], np.int8))
            native.append(np.broadcast_to(rounds, (len(at_ns), len(rounds))))
        if KIND["STRIKE"] in kinds and self.options is not None:
            strikes, born = self.options.strikes, self.options.levels.born
            minute = (at_ns - self.minutes_ns[0]) // NS_PER_MINUTE
            codes.append(np.full(len(strikes), KIND["STRIKE"], np.int8))
            native.append(np.where(minute[:, None] >= born, strikes, np.nan))
        return Standing(np.concatenate(codes), np.concatenate(native, axis=1))

    def _rounds(self) -> np.ndarray:
        """Multiples of the spacing that the price could touch in this session; others would never be looked at."""
        spacing, ratio = self.rules.round_spacing_usd, self.ratios.ratio
        ticks = self.trades.ticks[self.trades.between(int(self.minutes_ns[0]), self.target.close_ns)]
        if not len(ticks) or not len(ratio):
            return np.empty(0)
        reach = self.params.touch.touch_usd + self.params.touch.monitor_usd
        low = ticks.min() * POINTS_PER_TICK / ratio.max() - reach
        high = ticks.max() * POINTS_PER_TICK / ratio.min() + reach
        return np.round(np.arange(np.floor(low / spacing), np.ceil(high / spacing) + 1) * spacing, 9)

    def vector(self, at_ns: np.ndarray, ratio: np.ndarray) -> Mapping[str, np.ndarray]:
        """The level vector at each moment, in dollars at its ratio; NaN where a level does not exist."""
        found = {}
        for name in ("PM_HIGH", "PM_LOW", "OR_HIGH", "OR_LOW", "SESSION_HIGH", "SESSION_LOW", "VWAP"):
            found[name.lower()] = self.at(KIND[name], at_ns) / ratio
        for name in ("call_wall", "put_wall", "gamma_flip", "call_wall_decayed", "put_wall_decayed"):
            found[name] = self.of_options(name, at_ns)
        return found


def _distinct(strikes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distinct strikes, ascending, and each one's place among them, int32; sorting took 8 times as long."""
    low = strikes.min()
    there = np.zeros(int(strikes.max()) - int(low) + 1, dtype=bool)
    there[strikes - low] = True
    place = np.cumsum(there, dtype=np.int32) - np.int32(1)
    return np.flatnonzero(there) + low, place[strikes - low]


def _so_far(values: np.ndarray, count: np.ndarray) -> np.ndarray:
    """The value after each count of items, NaN after none; float64."""
    if not len(values):
        return np.full(len(count), np.nan)
    return np.where(count > 0, values[np.maximum(count - 1, 0)], np.nan)
