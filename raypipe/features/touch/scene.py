"""What the groups of one session are computed from: its touches, and what was traded, quoted and printed around them.

A scene hands out whole columns. Whatever a group takes from it, a row may use only what is before its touch; the
touching trade itself shows in ``spot`` alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from raypipe.calendar import NS_PER_MINUTE, Session
from raypipe.schema.books import ES_MBP10, ES_TRADES, POINTS_PER_TICK
from raypipe.schema.family import Inputs
from raypipe.schema.frames import floats
from raypipe.schema.signals import SignalsParams
from raypipe.schema.streams import Stream
from raypipe.schema.touches import (
    ES_BARS,
    ES_SESSION,
    ES_SPY_RATIO,
    OPTION_GREEKS,
    TOUCHES,
    globex_window,
)
from raypipe.schema.warmup import Bars, WarmSession, front_bars, front_contract, warm_sessions

__all__ = ["FrontBook", "Scene", "Strikes", "Trades", "scene_of", "warm_up"]


#: Rows of a chunk of the book: what its readers turn into arrays at once.
_CHUNK_ROWS = 131_072
#: Rows of the front contract stand together in the lake; where they do not, one copy beats many slices.
_MOST_SLICES = 16


class Trades(NamedTuple):
    """Trades of the front contract within the electronic session, in the vendor's order. Shape (trades,) each.

    Times are int64 ns, ascending; prices int32 ticks; sizes int64 contracts; sides int8, the aggressor's.
    """

    ts_ns: np.ndarray
    ticks: np.ndarray
    size: np.ndarray
    side: np.ndarray


class Strikes(NamedTuple):
    """Prices of strikes, ascending, float64 usd, and from when on each is a level, int64 ns. Shape (strikes,) each."""

    price: np.ndarray
    born_ns: np.ndarray


@dataclass(frozen=True, slots=True)
class FrontBook:
    """Book events of one contract within a window, chunk by chunk as they are stored; may be walked again.

    Rows of one contract stand together in the lake, and are then handed on without a copy. No more than a row group is
    held at a time: a whole session was a gigabyte.
    """

    events: Stream
    instrument_id: int
    window_ns: tuple[int, int]

    def __iter__(self) -> Iterator[pa.Table]:
        for piece in self.events.where("instrument_id", self.instrument_id):
            for batch in piece.to_batches(max_chunksize=_CHUNK_ROWS):
                yield from map(pa.Table.from_batches, self._kept(batch))

    def _kept(self, batch: pa.RecordBatch) -> Iterator[list[pa.RecordBatch]]:
        instrument, ts_ns = batch.column("instrument_id").to_numpy(), batch.column("ts_event_ns").to_numpy()
        start_ns, end_ns = self.window_ns
        keep = (instrument == self.instrument_id) & (ts_ns >= start_ns) & (ts_ns < end_ns)
        edges = np.flatnonzero(np.diff(keep, prepend=False, append=False)).reshape(-1, 2)
        if len(edges) > _MOST_SLICES:
            yield [batch.filter(pa.array(keep))]
        elif len(edges):
            yield [batch.slice(int(first), int(last - first)) for first, last in edges]


@dataclass
class Scene:
    """What the groups of one session are computed from.

    Attributes
    ----------
    target, params
        The session, and all parameters; a group reads those that it names.
    touches
        Rows of `silver/touches`, whole.
    trades
        The front contract's trades.
    book
        The front contract's rows of `bronze/es_mbp10`, chunk by chunk, in the vendor's order, columns as stored.
    bars
        The front contract's one-minute bars of the session, overnight included.
    warm
        The sessions before, older first, as many as `warm_up` says.
    greeks
        Rows of `silver/option_greeks`; none if the session has none.
    ratios
        Rows of `silver/es_spy_ratio`.
    """

    target: Session
    params: SignalsParams
    touches: pa.Table
    trades: Trades
    book: Iterable[pa.Table]
    bars: Bars
    warm: tuple[WarmSession, ...]
    greeks: pa.Table
    ratios: pa.Table
    _added: dict[str, pa.Array] = field(default_factory=dict)
    _shared: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        rows: int = self.touches.num_rows
        return rows

    def column(self, name: str) -> pa.Array:
        """A column of the touches or of a group before, as Arrow."""
        if name in self._added:
            return self._added[name]
        return _whole(self.touches[name])

    def values(self, name: str) -> np.ndarray:
        """Such a column as numpy: floats with NaN for null, whole numbers and flags as they are. Shape (touches,).

        Whole numbers with nulls among them become float64 with NaN.
        """
        column = self.column(name)
        if pa.types.is_boolean(column.type) and not column.null_count:
            flags: np.ndarray = column.to_numpy(zero_copy_only=False)
            return flags
        if pa.types.is_floating(column.type) or column.null_count:
            return floats(column)
        whole: np.ndarray = column.to_numpy()
        return whole

    def texts(self, name: str) -> np.ndarray:
        """Such a column of texts as an object array, None for null; compares elementwise with a word."""
        texts: np.ndarray = self.column(name).cast(pa.string()).to_numpy(zero_copy_only=False)
        return texts

    def add(self, columns: Mapping[str, pa.Array]) -> None:
        """Make the columns of a group known to those after it."""
        self._added.update({name: _whole(column) for name, column in columns.items()})

    def once(self, name: str, make: Callable[[Scene], Any]) -> Any:
        """What several groups need: made by the first that asks for it, handed to all."""
        if name not in self._shared:
            self._shared[name] = make(self)
        return self._shared[name]

    def usd(self, ticks: np.ndarray) -> np.ndarray:
        """ES ticks as dollars of SPY, at each row's own ratio."""
        dollars: np.ndarray = ticks * POINTS_PER_TICK / self.values("es_spy_ratio")
        return dollars

    @cached_property
    def decision_ns(self) -> np.ndarray:
        """When each row may be used: what is before is known. int64 (touches,)."""
        return self.values("decision_ns")

    @cached_property
    def level_ticks(self) -> np.ndarray:
        """The touched level in ES ticks, float64 (touches,): levels of SPY lie between ticks."""
        ticks: np.ndarray = self.values("level_price_es") / POINTS_PER_TICK
        return ticks

    @cached_property
    def strikes(self) -> Strikes:
        """Strikes that become levels in the course of the session."""
        from raypipe.kernels.strikes import strikes_with

        strike_e3, prints = strikes_with(
            self.greeks["strike_e3"].to_numpy(),
            self.greeks["size"].to_numpy(),
            self.params.levels.strike_min_contracts,
        )
        # A print is known after its latency, and strikes are looked at when a minute begins.
        known_ns = self.greeks["ts_event_ns"].to_numpy()[prints] + self.params.options.option_latency_ms * 1_000_000
        return Strikes(strike_e3 / 1000.0, (known_ns // NS_PER_MINUTE + 1) * NS_PER_MINUTE)

    def ratio_at(self, ts_ns: np.ndarray) -> np.ndarray:
        """ES / SPY in force at each moment, float64; NaN before the first."""
        from_ns = self.ratios["valid_from_ns"].to_numpy()
        known = np.concatenate([[np.nan], self.ratios["ratio"].to_numpy()])
        ratio: np.ndarray = known[np.searchsorted(from_ns, ts_ns, side="right")]
        return ratio


def _whole(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    return column.unify_dictionaries().combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def warm_up(params: SignalsParams) -> int:
    """How many sessions before the target its groups look back on."""
    return max(params.session.sma_warmup_sessions, params.session.volume_warmup_sessions)


def scene_of(inputs: Inputs, target: Session, params: SignalsParams) -> Scene:
    """The scene of one target."""
    date = target.date
    sessions, bars = inputs.partitions(ES_SESSION.name), inputs.partitions(ES_BARS.name)
    own = sessions[date]
    window_ns, instrument_id = globex_window(target), own["front_instrument_id"][0].as_py()
    return Scene(
        target=target,
        params=params,
        touches=inputs.partitions(TOUCHES.name)[date],
        trades=_trades(inputs.partitions(ES_TRADES.name)[date], instrument_id, window_ns),
        book=FrontBook(inputs.stream(ES_MBP10.name, date), instrument_id, window_ns),
        bars=front_bars(bars[date], front_contract(own)),
        warm=warm_sessions(target, sessions, bars, warm_up(params)),
        greeks=inputs.partitions(OPTION_GREEKS.name).get(date, OPTION_GREEKS.empty()),
        ratios=inputs.partitions(ES_SPY_RATIO.name)[date],
    )


def _trades(trades: pa.Table, instrument_id: int, window_ns: tuple[int, int]) -> Trades:
    ts_ns, instrument = trades["ts_event_ns"].to_numpy(), trades["instrument_id"].to_numpy()
    keep = (instrument == instrument_id) & (ts_ns >= window_ns[0]) & (ts_ns < window_ns[1])
    return Trades(
        ts_ns=ts_ns[keep],
        ticks=trades["price_ticks"].to_numpy()[keep],
        size=trades["size"].to_numpy()[keep].astype(np.int64),
        side=trades["side"].to_numpy()[keep],
    )
