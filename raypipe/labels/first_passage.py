"""What came after each event: which price barrier was touched first, and how far the price went, in true minutes.

The entry is the open of the first bar after the decision, a price that one could still get. Horizons are measured by
the clock, whatever the timeframe of the event, and end when trading does. Labels stand in a table of their own, because
they read what no feature may know.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from pydantic import Field, field_validator

from raypipe.calendar import NS_PER_MINUTE, NS_PER_SECOND, Session
from raypipe.schema.events import EVENT_COLUMNS, EVENT_KEY, EVENTS, EventBars, EventsParams, bars_of_events
from raypipe.schema.family import Family, Inputs, Params, Read, Result, shared
from raypipe.schema.frames import dictionary_array, nullable
from raypipe.schema.minutes import window_of
from raypipe.schema.spec import Column, Table
from raypipe.schema.tables import MINUTE_AGGS

if TYPE_CHECKING:
    from raypipe.kernels.first_passage import PriceBars

__all__ = ["FAMILY", "Barriers", "LabelsParams"]

_KEYS = ("session", *EVENT_KEY)
_NO_ENTRY = "there is no entry"
#: By the kernel's code of the outcome.
_OUTCOMES = pa.array(["target", "adverse", "timeout", "no_entry"], pa.string())


class Barriers(Params):
    """One pair of barriers and the time that they are watched for.

    Attributes
    ----------
    target_move
        Distance of the target from the entry, as a share of it.
    stop_move
        Distance of the adverse barrier; None takes ``target_move``.
    time_window_minutes
        Length of the horizon by the clock.
    """

    target_move: float = Field(0.008, gt=0, lt=1)
    stop_move: float | None = Field(None, gt=0, lt=1)
    time_window_minutes: int = Field(30, ge=1, le=960)

    @property
    def stop(self) -> float:
        """Distance of the adverse barrier."""
        return self.target_move if self.stop_move is None else self.stop_move

    @property
    def suffix(self) -> str:
        """End of the names of its columns.

        Examples
        --------
        >>> Barriers().suffix, Barriers(target_move=0.00125).suffix, Barriers(stop_move=0.004).suffix
        ('80bp_30m', '12p5bp_30m', '80bp_s40bp_30m')
        """
        stop = "" if self.stop == self.target_move else f"_s{_basis_points(self.stop)}"
        return f"{_basis_points(self.target_move)}{stop}_{self.time_window_minutes}m"


def _basis_points(share: float) -> str:
    """Exact: in floats 1e4 * 0.0029 is 28.999999999999996, and int(100 * x) gives 0.005 and 0.008 one name."""
    text = format((Decimal(repr(share)) * 10_000).normalize(), "f")
    return f"{text.replace('.', 'p')}bp"


class LabelsParams(Params):
    """What is asked of the time after an event.

    Attributes
    ----------
    barriers
        Pairs of barriers; the first gives the primary label.
    max_entry_delay_minutes
        How long after the decision the entry bar may start.
    events
        Which events there are: section ``events``.
    """

    barriers: tuple[Barriers, ...] = Field((Barriers(),), min_length=1)
    max_entry_delay_minutes: int = Field(5, ge=1, le=960)
    events: EventsParams = shared("events", EventsParams)

    @field_validator("barriers")
    @classmethod
    def _told_apart(cls, barriers: tuple[Barriers, ...]) -> tuple[Barriers, ...]:
        names = [one.suffix for one in barriers]
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            msg = f"two sets of barriers would both name their columns {twice[0]}"
            raise ValueError(msg)
        return barriers

    @property
    def windows(self) -> tuple[int, ...]:
        """Lengths of the horizons in minutes, each once."""
        return tuple(sorted({one.time_window_minutes for one in self.barriers}))


# --- the table ---------------------------------------------------------------------------------


def _label(name: str, dtype: str, doc: str, unit: str = "1", null: str = _NO_ENTRY) -> Column:
    return Column(name, dtype, doc, unit, null, role="label")


def _barrier_columns(one: Barriers) -> tuple[Column, ...]:
    s = one.suffix
    until = f"within {one.time_window_minutes} minutes"
    return (
        _label(f"label_{s}", "i8", f"1 if the target in the event's direction is touched first {until}, else 0."),
        _label(f"label_up_{s}", "i8", f"1 if a long position reaches its target first {until}, else 0."),
        _label(f"label_dn_{s}", "i8", f"1 if a short position reaches its target first {until}, else 0."),
        _label(f"outcome_{s}", "dict", "target, adverse, timeout or no_entry, in the event's direction.", "", ""),
        _label(f"ret_{s}", "f32", "Return of the position in the event's direction, before costs."),
        _label(f"exit_price_{s}", "f64", "The level touched, the open if gapped beyond, else the last close.", "usd"),
        _label(f"ambiguous_{s}", "bool", "Whether one bar reached both barriers in unknown order.", ""),
        _label(f"touch_s_{s}", "i32", "From the entry to the end of the deciding bar.", "s", "no barrier is touched"),
    )


def _window_columns(minutes: int) -> tuple[Column, ...]:
    m = f"{minutes}m"
    return (
        _label(f"fwd_up_ret_{m}", "f32", f"fwd_max_high_{m} / entry_price - 1."),
        _label(f"fwd_dn_ret_{m}", "f32", f"fwd_min_low_{m} / entry_price - 1."),
        _label(f"fwd_max_high_{m}", "f64", "Highest price of the whole horizon.", "usd"),
        _label(f"fwd_min_low_{m}", "f64", "Lowest price of the whole horizon.", "usd"),
        _label(f"horizon_end_ns_{m}", "i64", "End of the horizon.", "ns"),
        _label(f"horizon_truncated_{m}", "bool", f"Whether trading ends before {minutes} minutes are over.", ""),
    )


def table(params: LabelsParams) -> Table:
    """The table provided: `gold/event_labels`, with columns for each set of barriers and each horizon."""
    return Table(
        "gold/event_labels",
        key=EVENT_KEY,
        grain="session",
        columns=(
            *EVENT_COLUMNS,
            _label("entry_ns", "i64", "Start of the entry bar, at whose open a position is taken.", "ns"),
            _label("entry_price", "f64", "Open of the entry bar.", "usd"),
            _label("entry_delay_s", "i32", "From the decision to the entry.", "s"),
            *(column for one in params.barriers for column in _barrier_columns(one)),
            *(column for minutes in params.windows for column in _window_columns(minutes)),
            Column(
                "label_known_ns",
                "i64",
                "End of the longest horizon, or of the time for an entry: from then on the row is known.",
                unit="ns",
                role="time",
            ),
        ),
        doc="What followed each event: barriers touched first, extremes of the horizon; never an input of a model.",
        floats="split",
    )


def requires(_: LabelsParams) -> tuple[Read, ...]:
    """The session's events and its minute bars, which reach beyond each decision."""
    return (
        Read(EVENTS, (*_KEYS, "direction")),
        Read(MINUTE_AGGS.name, ("symbol", "window_start_ns", "open", "high", "low", "close")),
    )


# --- rows --------------------------------------------------------------------------------------


def compute(inputs: Inputs, params: LabelsParams) -> Result:
    """One row per event, in their order."""
    spec = table(params)
    parts = [_session(spec, inputs, target, params) for target in inputs.targets]
    return Result(pa.concat_tables(parts) if parts else spec.empty())


def _session(spec: Table, inputs: Inputs, target: Session, params: LabelsParams) -> pa.Table:
    events = inputs.partitions(EVENTS)[target.date]
    if not events.num_rows:
        return spec.empty()
    decision_ns, direction = events["decision_ns"].to_numpy(), events["direction"].to_numpy()
    parts = [
        _followed(piece, decision_ns[piece.events], direction[piece.events], target, params)
        for piece in bars_of_events(inputs.partitions(MINUTE_AGGS.name)[target.date], events)
    ]
    found = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    keys = {name: events[name] for name in _KEYS}
    return spec.build({**keys, **_columns(found, decision_ns, params)})


def _followed(
    piece: EventBars, decision_ns: np.ndarray, direction: np.ndarray, target: Session, params: LabelsParams
) -> dict[str, np.ndarray]:
    """Entry, horizons and barriers of each event as plain arrays; what has no value holds anything."""
    from raypipe.kernels.first_passage import PriceBars, entry_rows, first_passages, horizons

    minutes, end = piece.minutes, piece.end
    bars = PriceBars(*(minutes[name] for name in ("window_start_ns", "open", "high", "low", "close")))
    delay_ns, until_ns = params.max_entry_delay_minutes * NS_PER_MINUTE, window_of(target, params.events.mode)[1]
    row = entry_rows(bars.start_ns, piece.begin, end, decision_ns, delay_ns, until_ns)
    found = _entries(bars, row)
    # Nobody enters later than this: without an entry, that much is known by then.
    found["label_known_ns"] = np.maximum(decision_ns, np.minimum(decision_ns + delay_ns, until_ns))
    last = {}
    for window in params.windows:
        ahead = horizons(bars, row, end, window * NS_PER_MINUTE, (target.close_ns, target.ext_end_ns))
        last[window] = ahead.last
        found |= {f"{name}_{window}m": getattr(ahead, name) for name in ("high", "low", "end_ns", "truncated")}
        found["label_known_ns"] = np.where(row < 0, found["label_known_ns"], ahead.end_ns)  # the last is the longest
    for one in params.barriers:
        passed = first_passages(bars, row, last[one.time_window_minutes], direction, one.target_move, one.stop)
        found |= {f"{name}_{one.suffix}": getattr(passed, name) for name in passed._fields}
        moved = direction * (passed.exit_price / found["entry_price"] - 1.0)
        found |= {f"own_{one.suffix}": np.where(direction > 0, passed.up, passed.down), f"ret_{one.suffix}": moved}
    return found


def _entries(bars: PriceBars, row: np.ndarray) -> dict[str, np.ndarray]:
    entered = row >= 0
    entry_ns, price = np.zeros(len(row), np.int64), np.full(len(row), np.nan)
    entry_ns[entered], price[entered] = bars.start_ns[row[entered]], bars.open[row[entered]]
    return {"entry_ns": entry_ns, "entry_price": price}


def _columns(found: dict[str, np.ndarray], decision_ns: np.ndarray, params: LabelsParams) -> dict[str, pa.Array]:
    price, entry_ns = found["entry_price"], found["entry_ns"]
    none = np.isnan(price)
    columns = {
        "entry_ns": nullable(entry_ns, null=none),
        "entry_price": nullable(price),
        "entry_delay_s": nullable((entry_ns - decision_ns) // NS_PER_SECOND, pa.int32(), null=none),
        "label_known_ns": pa.array(found["label_known_ns"]),
    }
    for one in params.barriers:
        columns |= _barrier_values(found, one.suffix, none)
    for minutes in params.windows:
        high, low = found[f"high_{minutes}m"], found[f"low_{minutes}m"]
        columns |= {
            f"fwd_up_ret_{minutes}m": nullable((high / price - 1.0).astype(np.float32)),
            f"fwd_dn_ret_{minutes}m": nullable((low / price - 1.0).astype(np.float32)),
            f"fwd_max_high_{minutes}m": nullable(high),
            f"fwd_min_low_{minutes}m": nullable(low),
            f"horizon_end_ns_{minutes}m": nullable(found[f"end_ns_{minutes}m"], null=none),
            f"horizon_truncated_{minutes}m": nullable(found[f"truncated_{minutes}m"], null=none),
        }
    return columns


def _barrier_values(found: dict[str, np.ndarray], s: str, none: np.ndarray) -> dict[str, pa.Array]:
    touch_ns = found[f"touch_ns_{s}"]
    seconds = np.where(touch_ns < 0, 0, touch_ns - found["entry_ns"]) // NS_PER_SECOND
    return {
        f"label_{s}": nullable(found[f"own_{s}"], null=none),
        f"label_up_{s}": nullable(found[f"up_{s}"], null=none),
        f"label_dn_{s}": nullable(found[f"down_{s}"], null=none),
        f"outcome_{s}": dictionary_array(found[f"outcome_{s}"], _OUTCOMES),
        f"ret_{s}": nullable(found[f"ret_{s}"].astype(np.float32)),
        f"exit_price_{s}": nullable(found[f"exit_price_{s}"]),
        f"ambiguous_{s}": nullable(found[f"ambiguous_{s}"], null=none),
        f"touch_s_{s}": nullable(seconds, pa.int32(), null=touch_ns < 0),
    }


FAMILY = Family("labels", 1, LabelsParams, table, requires, compute, step="events", cost=0.25, fuse="minute")
