"""What was known of a symbol's session at the moment of each event: prices, moves, volume and MACD so far.

Only bars that have ended by the decision count, and of the day level only sessions before. Columns whose names end in
``_so_far`` are the running twins of session features: at the end of the session both say the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raypipe.calendar import NS_PER_MINUTE, Session, calendar
from raypipe.features.daily import DAILY, DailyParams
from raypipe.features.macd import smoothing_of
from raypipe.features.panel import Panel, known_splits
from raypipe.features.volume_means import VOLUME_MEANS
from raypipe.kernels.splits import last_before
from raypipe.schema.events import EVENT_COLUMNS, EVENT_KEY, EVENTS, EventBars, EventsParams, bars_of_events
from raypipe.schema.family import Family, Inputs, Params, Read, Result, shared
from raypipe.schema.frames import codes_of, floats, nullable
from raypipe.schema.macd import WIDTH_NS, carried, carried_reads, matched
from raypipe.schema.minutes import MinuteParams, window_of
from raypipe.schema.spec import Column, Table
from raypipe.schema.splits import split_ratios
from raypipe.schema.tables import MINUTE_AGGS, SPLITS

if TYPE_CHECKING:
    from raypipe.kernels.event_state import HistState, PriceState

__all__ = ["FAMILY", "EventStateParams"]

_KEYS = ("session", *EVENT_KEY)
_BARS = ("open", "high", "low", "close", "volume")
_NO_BAR = "the symbol has no bar yet"
_NO_RTH = "no regular bar has ended"
_NO_PREVIOUS = f"{_NO_BAR}, or no daily row in the last daily.max_gap_sessions sessions"
_NO_GAP = f"{_NO_RTH}, or no daily row in the last daily.max_gap_sessions sessions"
_NO_VOLUMES = "fewer daily rows before the session than minute_features.vol_spike_lookback, or no volume in them"
_NO_WINDOW = "no bar of the window has ended"
_ONE_BAR = "fewer than two bars of the window have ended"
_NO_REFERENCE = "no bar of the window is 5 minutes older than another"


class EventStateParams(Params):
    """Nothing of its own: what it runs along with is set in the sections of those.

    Attributes
    ----------
    events
        Which events there are, and the MACD of their bars.
    daily
        How old the previous close may be, and whether it looks through splits.
    minute_features
        The window of the running twins, and which volume is usual.
    """

    events: EventsParams = shared("events", EventsParams)
    daily: DailyParams = shared("daily", DailyParams)
    minute_features: MinuteParams = shared("minute_features", MinuteParams)


# --- the table ---------------------------------------------------------------------------------


def _share(name: str, doc: str, null: str) -> Column:
    return Column(name, "f32", doc, "1", null)


def _opening(minutes: int) -> tuple[Column, ...]:
    first = f"the first {minutes} regular minutes"
    null = f"{first} are not over or have no bar"
    return (
        _share(f"range_{minutes}m_pct", f"(high - low) of {first} / regular open.", null),
        Column(f"breakout_{minutes}m_up_so_far", "bool", f"Last regular close above the high of {first}.", null=null),
        Column(f"breakout_{minutes}m_down_so_far", "bool", f"Last regular close below the low of {first}.", null=null),
    )


def _timeframe(tf: str) -> tuple[Column, ...]:
    young = f"fewer than macd.min_bars {tf} bars have ended"
    return (
        Column(f"hist_bps_asof__{tf}", "f32", f"1e4 * hist / close at the last {tf} bar.", "bps", young),
        Column(f"hist_min_bps_so_far__{tf}", "f32", f"Lowest of these over the session's {tf} bars.", "bps", young),
        Column(f"hist_max_bps_so_far__{tf}", "f32", f"Highest of these over the session's {tf} bars.", "bps", young),
        Column(f"bars_so_far__{tf}", "i16", f"{tf} bars of the session that have ended.", "1", _NO_BAR),
        Column(f"cross_up_count_so_far__{tf}", "i16", f"Crossings up of {tf} bars, this event apart.", "1", _NO_BAR),
        Column(
            f"cross_down_count_so_far__{tf}", "i16", f"Crossings down of {tf} bars, this event apart.", "1", _NO_BAR
        ),
        Column(
            f"bars_since_last_cross__{tf}",
            "i16",
            f"{tf} bars since the last crossing in the session, this event apart.",
            "1",
            "there was none",
        ),
    )


def table(params: EventStateParams) -> Table:
    """The table provided: `gold/event_features`, with seven columns per timeframe of MACD."""
    return Table(
        "gold/event_features",
        key=EVENT_KEY,
        grain="session",
        columns=(
            *EVENT_COLUMNS,
            Column("minutes_since_open", "i16", "From the regular open to the decision; negative before.", "min"),
            Column("minutes_to_close", "i16", "From the decision to the regular close; negative after.", "min"),
            _share("ret_from_prev_close", "Last close / previous daily close on this basis - 1.", _NO_PREVIOUS),
            _share("gap_pct", "Regular open / previous daily close on this basis - 1.", _NO_GAP),
            _share("ret_from_open", "Last regular close / regular open - 1.", _NO_RTH),
            _share("range_so_far_pct", "(high - low) of regular bars / regular open.", _NO_RTH),
            _share("pos_in_range_so_far", "Last regular close in that range: 0 low, 1 high, 0.5 if flat.", _NO_RTH),
            _share("ret_5m_back", "Last close / last close 5 minutes before - 1.", "no bar is as old"),
            _share("ret_30m_back", "Last close / last close 30 minutes before - 1.", "no bar is as old"),
            _share("max_1m_ret_so_far", "Largest close / close of the bar before - 1.", _ONE_BAR),
            _share("max_5m_ret_so_far", "Largest close / last close 5 minutes before - 1.", _NO_REFERENCE),
            _share("max_drawdown_5m_so_far", "Largest fall below the highest close of 5 minutes.", _NO_WINDOW),
            Column("volume_so_far", "f32", "Shares traded since 04:00.", "shares", _NO_BAR),
            _share("rel_volume_so_far", "volume_so_far / usual daily volume on the session's basis.", _NO_VOLUMES),
            *_opening(5),
            *_opening(15),
            *(column for tf in params.events.macd.timeframes for column in _timeframe(tf)),
        ),
        doc="The state of each event's symbol from bars that had ended at decision_ns.",
        floats="split",
    )


def requires(params: EventStateParams) -> tuple[Read, ...]:
    """The session's events and minute bars; day bars and splits up to it; MACD of the session before, if carried."""
    reads = [
        Read(EVENTS, _KEYS),
        Read(MINUTE_AGGS.name, ("symbol", "window_start_ns", *_BARS)),
        Read(DAILY.name, ("symbol", "close"), before=params.daily.max_gap_sessions, own=False),
        Read(VOLUME_MEANS.name, ("symbol", "mean_volume"), before=1, own=False),
        *carried_reads(params.events.macd),
    ]
    if "splits" in (params.daily.adjust, params.minute_features.adjust):
        # The window holds the splits that a carried MACD wants: they stand in for its own.
        reads = [read for read in reads if read.table != SPLITS.name]
        reads.append(Read(SPLITS.name, optional=True, rows=known_splits))
    return tuple(reads)


# --- rows --------------------------------------------------------------------------------------


def compute(inputs: Inputs, params: EventStateParams) -> Result:
    """One row per event, in their order."""
    spec = table(params)
    parts = [_session(spec, inputs, target, params) for target in inputs.targets]
    return Result(pa.concat_tables([spec.empty(), *parts]))


def _previous_close(inputs: Inputs, target: Session, names: pa.Array, params: DailyParams) -> np.ndarray:
    """Last daily close before the session on its share basis; NaN where there is none. float64 (names,)."""
    panel = Panel(DAILY.name, inputs.partitions(DAILY.name), [target], params.max_gap_sessions)
    ratios = panel.split_ratios(inputs.once(SPLITS.name))
    closes, _ = last_before(panel.grid("close"), ratios if params.adjust == "splits" else np.ones_like(ratios))
    place = pc.index_in(names, value_set=panel.names).fill_null(-1).to_numpy()
    found: np.ndarray = np.append(closes, np.nan)[place]
    return found


def _usual_volume(inputs: Inputs, target: Session, names: pa.Array, params: MinuteParams) -> np.ndarray:
    """Mean daily volume before the session on its share basis; NaN where there is none. float64 (names,)."""
    means = inputs.partitions(VOLUME_MEANS.name).get(calendar().offset(target.date, -1))
    if means is None:
        return np.full(len(names), np.nan)
    place = pc.index_in(names, value_set=means["symbol"].cast(pa.string()).combine_chunks()).fill_null(-1).to_numpy()
    found: np.ndarray = np.append(floats(means["mean_volume"]), np.nan)[place]
    return found * split_ratios(inputs, target, names) if params.adjust == "splits" else found


@dataclass(frozen=True, slots=True)
class _Piece:
    """Some events of a session and the bars of their symbols; ``order`` is that of symbol and time."""

    place: EventBars
    decision_ns: np.ndarray
    order: np.ndarray


def _pieces(bars: pa.Table, events: pa.Table) -> Iterator[_Piece]:
    from raypipe.kernels.event_state import in_time_order

    decision_ns = events["decision_ns"].to_numpy()
    for place in bars_of_events(bars, events):
        moments = decision_ns[place.events]
        yield _Piece(place, moments, in_time_order(place.place, moments))


def _session(spec: Table, inputs: Inputs, target: Session, params: EventStateParams) -> pa.Table:
    events = inputs.partitions(EVENTS)[target.date]
    if not events.num_rows:
        return spec.empty()
    pieces = list(_pieces(inputs.partitions(MINUTE_AGGS.name)[target.date], events))
    names, (codes,) = codes_of([events["symbol"]])
    closes = _previous_close(inputs, target, names, params.daily)
    volumes = _usual_volume(inputs, target, names, params.minute_features)
    prices = _joined([_prices(piece, target, params) for piece in pieces])
    columns = {name: events[name] for name in _KEYS}
    columns |= _clock(events["decision_ns"].to_numpy(), target)
    columns |= _price_columns(prices, closes[codes], volumes[codes])
    for minutes in (5, 15):
        columns |= _opening_columns(prices, minutes, events["decision_ns"].to_numpy() - target.open_ns)
    timeframes, (tf_codes,) = codes_of([events["tf"]])
    for tf in params.events.macd.timeframes:
        own = tf_codes == pc.index(timeframes, tf).as_py()
        before = carried(inputs, target, params.events.mode, tf) if params.events.macd.state == "carry" else None
        hist = _joined([_hist(one, target, params.events, tf, before, own[one.place.events]) for one in pieces])
        columns |= _hist_columns(hist, tf)
    return spec.build(columns)


def _joined(parts: Sequence[NamedTuple]) -> dict[str, np.ndarray]:
    """The fields of several pieces, each in one array."""
    return {name: np.concatenate([getattr(part, name) for part in parts]) for name in parts[0]._fields}


def _prices(piece: _Piece, target: Session, params: EventStateParams) -> PriceState:
    from raypipe.kernels.event_state import price_state
    from raypipe.kernels.resample import Ohlcv

    minutes = piece.place.minutes
    return price_state(
        minutes["window_start_ns"],
        Ohlcv(*(minutes[name] for name in _BARS)),
        (piece.place.begin, piece.place.end),
        piece.decision_ns,
        piece.order,
        window_of(target, params.minute_features.mode),
        window_of(target, "rth"),
    )


def _hist(
    piece: _Piece, target: Session, params: EventsParams, tf: str, before: pa.Table | None, own: np.ndarray
) -> HistState:
    from raypipe.kernels.event_state import hist_state
    from raypipe.kernels.macd import MacdState, macd_of_minutes

    minutes = piece.place.minutes
    bars, series = macd_of_minutes(
        minutes["window_start_ns"],
        minutes["close"],
        minutes.begin,
        minutes.end,
        window_of(target, params.mode),
        WIDTH_NS[tf],
        smoothing_of(params.macd),
        None if before is None else MacdState(*matched(before, minutes.symbols)),
    )
    return hist_state(
        bars.start_ns + WIDTH_NS[tf],
        series.hist,
        minutes["close"][bars.tail - 1],
        series.bar_index,
        series.cross,
        bars.offsets,
        params.macd.min_bars,
        piece.place.place,
        piece.decision_ns,
        piece.order,
        own,
    )


# --- columns -----------------------------------------------------------------------------------


def _f32(values: np.ndarray) -> pa.Array:
    return nullable(values.astype(np.float32))


def _over(values: np.ndarray, by: np.ndarray) -> np.ndarray:
    """Ratio where the divisor is positive, else NaN."""
    ratio: np.ndarray = np.divide(values, by, out=np.full(len(by), np.nan), where=by > 0.0)
    return ratio


def _clock(decision_ns: np.ndarray, target: Session) -> dict[str, pa.Array]:
    return {
        "minutes_since_open": pa.array(((decision_ns - target.open_ns) // NS_PER_MINUTE).astype(np.int16)),
        "minutes_to_close": pa.array(((target.close_ns - decision_ns) // NS_PER_MINUTE).astype(np.int16)),
    }


def _price_columns(now: dict[str, np.ndarray], previous: np.ndarray, usual: np.ndarray) -> dict[str, pa.Array]:
    close, spread = now["close"], now["rth_high"] - now["rth_low"]
    position = np.where(spread == 0.0, 0.5, _over(now["rth_close"] - now["rth_low"], spread))
    return {
        "ret_from_prev_close": _f32(close / previous - 1.0),
        "gap_pct": _f32(now["rth_open"] / previous - 1.0),
        "ret_from_open": _f32(now["rth_close"] / now["rth_open"] - 1.0),
        "range_so_far_pct": _f32(spread / now["rth_open"]),
        "pos_in_range_so_far": _f32(position),
        "ret_5m_back": _f32(close / now["close_5m_back"] - 1.0),
        "ret_30m_back": _f32(close / now["close_30m_back"] - 1.0),
        "max_1m_ret_so_far": _f32(now["max_1m_ret"]),
        "max_5m_ret_so_far": _f32(now["max_5m_ret"]),
        "max_drawdown_5m_so_far": _f32(now["max_drawdown_5m"]),
        "volume_so_far": _f32(now["volume"]),
        "rel_volume_so_far": _f32(_over(now["volume"], usual)),
    }


def _opening_columns(now: dict[str, np.ndarray], minutes: int, since_open_ns: np.ndarray) -> dict[str, pa.Array]:
    over = since_open_ns >= minutes * NS_PER_MINUTE
    high, low = (np.where(over, now[f"first_{minutes}m_{side}"], np.nan) for side in ("high", "low"))
    none = np.isnan(high)
    return {
        f"range_{minutes}m_pct": _f32((high - low) / now["rth_open"]),
        f"breakout_{minutes}m_up_so_far": nullable(now["rth_close"] > high, null=none),
        f"breakout_{minutes}m_down_so_far": nullable(now["rth_close"] < low, null=none),
    }


def _hist_columns(now: dict[str, np.ndarray], tf: str) -> dict[str, pa.Array]:
    return {
        f"hist_bps_asof__{tf}": _f32(now["bps"]),
        f"hist_min_bps_so_far__{tf}": _f32(now["lowest"]),
        f"hist_max_bps_so_far__{tf}": _f32(now["highest"]),
        f"bars_so_far__{tf}": nullable(now["bars"], pa.int16()),
        f"cross_up_count_so_far__{tf}": nullable(now["ups"], pa.int16()),
        f"cross_down_count_so_far__{tf}": nullable(now["downs"], pa.int16()),
        f"bars_since_last_cross__{tf}": nullable(now["since"], pa.int16()),
    }


FAMILY = Family("event_state", 1, EventStateParams, table, requires, compute, step="events", cost=0.4, fuse="minute")
