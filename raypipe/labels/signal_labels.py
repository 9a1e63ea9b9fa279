"""What came after each touch: break or bounce, how soon, how far, and how much of its time a touch shares with others.

All labels of a touch are measured in the distance x = s (price - level) / r with s, the level in ES points and the
ratio r frozen at the decision: positive means broken. Windows are half-open, (begin, end], and cut at the close and
where the data ends; what a cut window did not show is UNDEFINED, never CHOP.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from raypipe.calendar import NS_PER_MINUTE, NS_PER_SECOND, Session
from raypipe.schema.books import ES_TRADES, POINTS_PER_TICK
from raypipe.schema.family import Family, Inputs, Read, Result
from raypipe.schema.frames import dictionary_array, floats, nullable
from raypipe.schema.signals import SignalPart
from raypipe.schema.spec import Column, Known, Table
from raypipe.schema.tables import SESSION
from raypipe.schema.touches import ES_BARS, ES_SESSION, TOUCHES, globex_window
from raypipe.schema.warmup import Bars, front_bars, front_contract, trailing_mean

if TYPE_CHECKING:
    from raypipe.kernels.signal_labels import Passed, Windows

__all__ = ["FAMILY", "HORIZONS", "SIGNAL_LABELS", "SignalLabelsParams", "compute"]

#: Minutes of each horizon by its suffix.
HORIZONS = {"2min": 2, "4min": 4, "8min": 8}
#: The horizon that unsuffixed names stand for.
_MAIN = "4min"
#: Length of the window that follows a confirmation.
_AFTER_CONFIRMATION = 8
#: The family of the 5 minutes after each touch: its length, and its distance in dollars, to be exceeded.
_FIXED_MINUTES, _FIXED_USD = 5, 0.20
_OUTCOMES = pa.array(["BOUNCE", "BREAK", "CHOP", "UNDEFINED"], pa.string())
_BOUNCE, _BREAK, _CHOP, _UNDEFINED = range(4)
_KEYS = ("session", "decision_ns", "level_kind", "level_price", "event_id")


class SignalLabelsParams(SignalPart):
    """What labels depend on: where windows begin, how old prices may be, and the bars of the true range."""

    GROUPS = ("labels", "bars")


# --- the table ---------------------------------------------------------------------------------

_NO_TRADE = "no trade lies in the window"
_NOT_HIT = "it is not reached in the window"


def _label(name: str, dtype: str, doc: str, unit: str = "", null: str = "") -> Column:
    return Column(name, dtype, doc, unit, null, role="label")


def _times(k: str, what: str, h: str) -> tuple[Column, ...]:
    null = _NOT_HIT if k in ("1", "2") else f"{_NOT_HIT}, or the atr is null"
    return tuple(
        _label(f"time_to_{side}_{k}_{h}", "f64", f"From the window's begin to the first {text} {what}.", "s", null)
        for side, text in (("break", "x at or above"), ("bounce", "-x at or above"))
    )


def _horizon_columns(h: str, minutes: int) -> tuple[Column, ...]:
    words = "BREAK, BOUNCE, CHOP or UNDEFINED: the first to be passed, in record order, of"
    return (
        _label(f"confirm_ts_ns_{h}", "i64", f"decision_ns + {minutes} minutes.", "ns"),
        _label(f"label_end_ns_{h}", "i64", "End of the uncut window; purge with it.", "ns"),
        _label(f"anchor_spot_{h}", "f64", "First trade of the window.", "usd", "no trade comes soon enough"),
        _label(
            f"future_price_{h}",
            "f64",
            f"Last trade at or before decision_ns + {minutes} minutes.",
            "usd",
            "that is past the close, or the trade is too old",
        ),
        *_times("1", "1 dollar", h),
        *_times("2", "2 dollars", h),
        *(
            _label(f"time_to_threshold_{k}_{h}", "f64", f"Smaller of the two times to {k} dollar(s).", "s", _NOT_HIT)
            for k in (1, 2)
        ),
        *(_label(f"tradeable_{k}_{h}", "i8", f"1 if x reached {k} dollar(s) on either side.") for k in (1, 2)),
        _label(f"outcome_{h}", "dict", f"{words} 2 dollars around the level."),
        *(_label(f"outcome_atr{k}_{h}", "dict", f"{words} {k} x atr around the level.") for k in (1, 2)),
        *_times("atr1", "1 x atr", h),
        *_times("atr2", "2 x atr", h),
        *(_label(f"outcome_entry_atr{k}_{h}", "dict", f"{words} {k} x atr around anchor_spot.") for k in (1, 2)),
        _label(f"excursion_max_{h}", "f64", "Largest x, at least 0.", "usd", _NO_TRADE),
        _label(f"excursion_min_{h}", "f64", "Largest -x, at least 0.", "usd", _NO_TRADE),
        _label(f"strength_signed_{h}", "f64", "excursion_max - excursion_min.", "usd", _NO_TRADE),
        _label(f"strength_abs_{h}", "f64", "The larger of the two excursions.", "usd", _NO_TRADE),
        _label(f"censored_{h}", "bool", "Whether the window was cut."),
        _label(
            f"uniqueness_{h}",
            "f64",
            "Mean over the cut window of 1 / (windows of the session that cover the instant).",
            "1",
            "the window begins where it is cut",
        ),
    )


def _fixed_columns() -> tuple[Column, ...]:
    h, usd = f"{_FIXED_MINUTES}min", f"{_FIXED_USD:.2f} dollars"
    price = _horizon_columns(h, _FIXED_MINUTES)[3]
    return (
        price,
        _label(f"outcome_{h}", "dict", f"Of the 5 minutes after the touch: which side of {usd} is exceeded first."),
        _label(f"time_to_break_{h}", "f64", f"From the touch to the first x above {usd}.", "s", _NOT_HIT),
        _label(f"time_to_bounce_{h}", "f64", f"From the touch to the first -x above {usd}.", "s", _NOT_HIT),
        _label(f"excursion_max_{h}", "f64", "Largest x, at least 0.", "usd", _NO_TRADE),
        _label(f"excursion_min_{h}", "f64", "Largest -x, at least 0.", "usd", _NO_TRADE),
        _label(f"censored_{h}", "bool", "Whether the 5 minutes were cut."),
    )


_ALIASED = (
    *("outcome", "confirm_ts_ns", "anchor_spot", "tradeable_1", "tradeable_2", "excursion_max", "excursion_min"),
    *("strength_signed", "strength_abs", "time_to_threshold_1", "time_to_threshold_2"),
    *("time_to_break_1", "time_to_bounce_1", "time_to_break_2", "time_to_bounce_2"),
)


def _table() -> Table:
    own = [c for h, minutes in HORIZONS.items() for c in _horizon_columns(h, minutes)]
    main = {column.name: column for column in own}
    aliases = [
        replace(main[f"{name}_{_MAIN}"], name=name, alias_of=f"{name}_{_MAIN}", doc=f"{name}_{_MAIN}.")
        for name in _ALIASED
    ]
    return Table(
        "silver/signal_labels",
        key=TOUCHES.key,
        grain="session",
        columns=(SESSION, *(TOUCHES[name] for name in _KEYS[1:]), *own, *_fixed_columns(), *aliases),
        doc="What came after each touch; it reads what no feature may know.",
        floats="split",
        # Whether data goes on behind a window is known with the next trade: a minute without one is a halt.
        known=Known("label_end_ns_8min", plus_ns=NS_PER_MINUTE),
    )


SIGNAL_LABELS = _table()


def _requires(_: SignalLabelsParams) -> tuple[Read, ...]:
    levels = ("level_price_es", "es_spy_ratio", "direction_sign")
    return (
        Read(TOUCHES.name, (*_KEYS, *levels)),
        Read(ES_TRADES.name, ("ts_event_ns", "instrument_id", "price_ticks")),
        Read(ES_SESSION.name, ("front_contract", "front_instrument_id")),
        Read(ES_BARS.name),
    )


# --- rows --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Tape:
    """Trades of the front contract: ascending times, int64 (trades,), and prices in ticks, int32 (trades,)."""

    ts_ns: np.ndarray
    ticks: np.ndarray
    close_ns: int

    @property
    def until_ns(self) -> int:
        """Where windows are cut: at the close, or with the last trade."""
        return min(self.close_ns, int(self.ts_ns[-1])) if len(self.ts_ns) else 0

    def seconds(self, row: np.ndarray, begin_ns: np.ndarray) -> np.ndarray:
        """From the begin of each window to a trade, float64; NaN for row -1."""
        return np.where(row < 0, np.nan, (self.ts_ns[np.maximum(row, 0)] - begin_ns) / NS_PER_SECOND)


@dataclass(frozen=True, slots=True)
class _Touched:
    """The touches of a session: when, and what distances are measured by; (touches,) each."""

    decision_ns: np.ndarray
    level: np.ndarray
    """Level, ES points."""
    ratio: np.ndarray
    sign: np.ndarray
    atr: np.ndarray
    """Dollars, NaN where there is none."""

    @property
    def scale(self) -> np.ndarray:
        """Points per dollar in the direction of a break."""
        scale: np.ndarray = self.sign * self.ratio
        return scale


@dataclass(frozen=True, slots=True)
class _Span:
    """One window per touch, int64 (touches,), cut and uncut."""

    begin_ns: np.ndarray
    uncut_ns: np.ndarray
    end_ns: np.ndarray
    inside: Windows

    @classmethod
    def of(cls, tape: _Tape, begin_ns: np.ndarray, minutes: int) -> _Span:
        from raypipe.kernels.signal_labels import windows

        uncut = begin_ns + minutes * NS_PER_MINUTE
        end = np.maximum(np.minimum(uncut, tape.until_ns), begin_ns)
        return cls(begin_ns, uncut, end, windows(tape.ts_ns, begin_ns, end))

    @property
    def censored(self) -> np.ndarray:
        cut: np.ndarray = self.end_ns < self.uncut_ns
        return cut

    @property
    def complete(self) -> np.ndarray:
        """Whether a window without a hit tells anything."""
        complete: np.ndarray = ~self.censored & ~self.inside.empty
        return complete


def compute(inputs: Inputs, params: SignalLabelsParams) -> Result:
    """The labels of every touch of the targets, in the order of the touches."""
    built = [_session(inputs, target, params) for target in inputs.targets]
    return Result(pa.concat_tables([SIGNAL_LABELS.empty(), *built]).unify_dictionaries())


def _session(inputs: Inputs, target: Session, params: SignalLabelsParams) -> pa.Table:
    rows = inputs.partitions(TOUCHES.name)[target.date]
    if not rows.num_rows:
        return SIGNAL_LABELS.empty()
    front = inputs.partitions(ES_SESSION.name)[target.date]
    tape = _tape(inputs.partitions(ES_TRADES.name)[target.date], front, target)
    bars = front_bars(inputs.partitions(ES_BARS.name)[target.date], front_contract(front))
    touched = _touched(rows, _atr_points(bars, rows["decision_ns"].to_numpy(), params.signals.bars.atr_bars))
    columns: dict[str, pa.Array | pa.ChunkedArray] = {name: rows[name] for name in _KEYS}
    for h, minutes in HORIZONS.items():
        columns |= _horizon(tape, touched, h, minutes, params)
    columns |= _fixed(tape, touched, params)
    columns |= {name: columns[f"{name}_{_MAIN}"] for name in _ALIASED}
    return SIGNAL_LABELS.build(columns)


def _tape(trades: pa.Table, front: pa.Table, target: Session) -> _Tape:
    start, end = globex_window(target)
    ts_ns = trades["ts_event_ns"].to_numpy()
    mine = trades["instrument_id"].to_numpy() == front["front_instrument_id"][0].as_py()
    mine &= (ts_ns >= start) & (ts_ns < end)
    return _Tape(ts_ns[mine], trades["price_ticks"].to_numpy()[mine], target.close_ns)


def _touched(rows: pa.Table, atr_points: np.ndarray) -> _Touched:
    ratio = floats(rows["es_spy_ratio"])
    atr = np.where(atr_points > 0, atr_points, np.nan) / ratio
    return _Touched(
        rows["decision_ns"].to_numpy(),
        floats(rows["level_price_es"]),
        ratio,
        floats(rows["direction_sign"]),
        atr,
    )


def _atr_points(bars: Bars, at_ns: np.ndarray, count: int) -> np.ndarray:
    """Mean true range of the last bars completed by each moment, ES points; NaN while there are fewer."""
    from raypipe.kernels.signal_labels import true_ranges

    means = trailing_mean(true_ranges(bars.high_ticks, bars.low_ticks, bars.close_ticks), count)
    done = np.searchsorted(bars.end_ns, at_ns, side="right") - 1
    points: np.ndarray = np.append(means, np.nan)[done] * POINTS_PER_TICK  # row -1, no bar at all, is the NaN
    return points


def _horizon(
    tape: _Tape, touched: _Touched, h: str, minutes: int, params: SignalLabelsParams
) -> dict[str, pa.Array | pa.ChunkedArray]:
    from raypipe.kernels.signal_labels import passages, uniqueness

    labels = params.signals.labels
    stale_ns, confirm_ns = labels.max_stale_s * NS_PER_SECOND, touched.decision_ns + minutes * NS_PER_MINUTE
    if labels.anchor == "decision":
        span = _Span.of(tape, touched.decision_ns, minutes)
    else:
        span = _Span.of(tape, confirm_ns, _AFTER_CONFIRMATION)
    limits = np.column_stack([np.full_like(touched.atr, 1.0), np.full_like(touched.atr, 2.0), _atrs(touched)])
    found = passages(tape.ticks, span.inside, touched.level, touched.scale, limits)
    anchor = _anchor_points(tape, span, int(stale_ns))
    entered = passages(tape.ticks, span.inside, anchor, touched.scale, _atrs(touched))
    known = span.complete & ~np.isnan(touched.atr)
    columns = {
        "confirm_ts_ns": pa.array(confirm_ns),
        "label_end_ns": pa.array(span.uncut_ns),
        "anchor_spot": nullable(anchor / touched.ratio),
        "future_price": _future_price(tape, touched, minutes, int(stale_ns)),
        "outcome": _outcomes(found, 1, span.complete),
        **{f"outcome_atr{k}": _outcomes(found, k + 1, known) for k in (1, 2)},
        **{f"outcome_entry_atr{k}": _outcomes(entered, k - 1, known & ~np.isnan(anchor)) for k in (1, 2)},
        **_thresholds(tape, span, found),
        **_excursions(found),
        "censored": pa.array(span.censored),
        "uniqueness": nullable(uniqueness(span.begin_ns, span.end_ns)),
    }
    return {f"{name}_{h}": values for name, values in columns.items()}


def _atrs(touched: _Touched) -> np.ndarray:
    return np.column_stack([touched.atr, 2.0 * touched.atr])


def _anchor_points(tape: _Tape, span: _Span, stale_ns: int) -> np.ndarray:
    """First trade of each window, ES points; NaN where none comes soon enough."""
    row = np.where(span.inside.empty, 0, span.inside.first)
    points = np.full(len(row), np.nan)
    soon = ~span.inside.empty
    soon[soon] = tape.ts_ns[row[soon]] - span.begin_ns[soon] <= stale_ns
    points[soon] = tape.ticks[row[soon]] * POINTS_PER_TICK
    return points


def _future_price(tape: _Tape, touched: _Touched, minutes: int, stale_ns: int) -> pa.Array:
    from raypipe.kernels.signal_labels import last_rows

    at_ns = touched.decision_ns + minutes * NS_PER_MINUTE
    row, fresh = last_rows(tape.ts_ns, at_ns, stale_ns)
    if not len(tape.ticks):
        return pa.nulls(len(at_ns), pa.float64())
    return nullable(tape.ticks[row] * POINTS_PER_TICK / touched.ratio, null=~fresh | (at_ns > tape.close_ns))


def _thresholds(tape: _Tape, span: _Span, found: Passed) -> dict[str, pa.Array]:
    columns: dict[str, pa.Array] = {}
    for column, k in enumerate(("1", "2", "atr1", "atr2")):
        up, down = (tape.seconds(rows[:, column], span.begin_ns) for rows in (found.up, found.down))
        columns |= {f"time_to_break_{k}": nullable(up), f"time_to_bounce_{k}": nullable(down)}
        if k in ("1", "2"):
            first = np.fmin(up, down)
            columns[f"time_to_threshold_{k}"] = nullable(first)
            columns[f"tradeable_{k}"] = pa.array((~np.isnan(first)).astype(np.int8))
    return columns


def _excursions(found: Passed) -> dict[str, pa.Array]:
    # np.maximum keeps NaN, and adding 0.0 turns a -0.0 into 0.0.
    above, below = np.maximum(found.highest, 0.0) + 0.0, np.maximum(-found.lowest, 0.0) + 0.0
    return {
        "excursion_max": nullable(above),
        "excursion_min": nullable(below),
        "strength_signed": nullable(above - below),
        "strength_abs": nullable(np.maximum(above, below)),
    }


def _outcomes(found: Passed, column: int, complete: np.ndarray) -> pa.DictionaryArray:
    """The side that is passed first in record order; CHOP if neither is, and the window could have shown it."""
    up, down = found.up[:, column], found.down[:, column]
    broke = (up >= 0) & ((down < 0) | (up < down))
    codes = np.select([broke, down >= 0, complete], [_BREAK, _BOUNCE, _CHOP], _UNDEFINED)
    return dictionary_array(codes.astype(np.int32), _OUTCOMES)


def _fixed(tape: _Tape, touched: _Touched, params: SignalLabelsParams) -> dict[str, pa.Array | pa.ChunkedArray]:
    from raypipe.kernels.signal_labels import passages

    span = _Span.of(tape, touched.decision_ns, _FIXED_MINUTES)
    limits = np.full((len(touched.atr), 1), _FIXED_USD)
    found = passages(tape.ticks, span.inside, touched.level, touched.scale, limits, strict=True)
    excursions = _excursions(found)
    stale_ns = params.signals.labels.max_stale_s * NS_PER_SECOND
    columns = {
        "future_price": _future_price(tape, touched, _FIXED_MINUTES, int(stale_ns)),
        "outcome": _outcomes(found, 0, span.complete),
        "time_to_break": nullable(tape.seconds(found.up[:, 0], span.begin_ns)),
        "time_to_bounce": nullable(tape.seconds(found.down[:, 0], span.begin_ns)),
        "excursion_max": excursions["excursion_max"],
        "excursion_min": excursions["excursion_min"],
        "censored": pa.array(span.censored),
    }
    return {f"{name}_{_FIXED_MINUTES}min": values for name, values in columns.items()}


FAMILY = Family(
    "signal_labels",
    1,
    SignalLabelsParams,
    lambda _: SIGNAL_LABELS,
    _requires,
    compute,
    step="signals",
    cost=0.05,
    fuse="signals",
)
