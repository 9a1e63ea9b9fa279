"""One session as a picture: price, levels, touches by outcome, and the depth that stood at each touched level.

Inline SVG without script or address, made of gold and silver tables only. Colours are the page's own, so that it is
light or dark with it; shapes tell directions apart, so that it can be read without colours. A session with very many
touches keeps all marks and loses their tooltips, which are most of the bytes.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from html import escape
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from raypipe.report.charts import apart

__all__ = ["BAR_COLUMNS", "SIGNAL_COLUMNS", "session_picture"]

#: Columns that are read of gold/signals and of silver/es_bars.
SIGNAL_COLUMNS = (
    *("date", "front_contract", "es_spy_ratio", "ts_ns", "level_price", "level_id", "direction_sign"),
    *("outcome_atr1_4min", "outcome_4min", "barrier_state", "depth_in_zone", "vwap"),
    *("pm_high", "pm_low", "or_high", "or_low", "call_wall", "put_wall"),
)
BAR_COLUMNS = ("contract", "start_ns", "high_ticks", "low_ticks", "close_ticks")

_LEVELS = ("pm_high", "pm_low", "or_high", "or_low", "call_wall", "put_wall")
#: Two dollars are out of reach in calm sessions, so marks are coloured by what happened within one ATR.
_OUTCOME = "outcome_atr1_4min"
_OUTCOMES = ("BREAK", "BOUNCE", "CHOP", "UNDEFINED")
_STATES = {"VACUUM": "thin", "WEAK": "thin", "CONSUMED": "thin", "WALL": "thick", "ABSORPTION": "thick"}
_DEPTHS = (("thin", "vacuum, weak or consumed"), ("thick", "wall or absorption"), ("plain", "neutral"))
_WIDTH, _LEFT, _RIGHT = 1060, 56, 96
_TOP, _PRICE, _GAP, _DEPTH, _BOTTOM = 40, 380, 26, 96, 24
_MOST_TOOLTIPS = 700
_POINTS = 0.25
_HOUR_NS, _MINUTE_NS = 3_600_000_000_000, 60_000_000_000
_LABEL_HEIGHT = 12.0
_NEW_YORK = ZoneInfo("America/New_York")

_STYLE = """
.sp text{font:11px system-ui,sans-serif;fill:var(--soft,#626b76)}
.sp .price{fill:none;stroke:var(--ink,#1d2126);stroke-width:1}
.sp .range{fill:none;stroke:var(--missing,#c9ced6);stroke-width:2}
.sp .grid{stroke:var(--line,#e2e5e9);stroke-width:1}
.sp .level{stroke:var(--blocked,#7a5bb0);stroke-width:1;stroke-dasharray:5 4}
.sp .vwap{fill:none;stroke:var(--good,#1a7f5a);stroke-width:1.2}
.sp .BREAK,.sp .thin{fill:var(--accent,#2f6fb2);stroke:var(--accent,#2f6fb2)}
.sp .BOUNCE,.sp .thick{fill:var(--stale,#e0a63a);stroke:var(--stale,#e0a63a)}
.sp .CHOP,.sp .plain{fill:var(--pending,#8d99a6);stroke:var(--pending,#8d99a6)}
.sp .UNDEFINED{fill:none;stroke:var(--pending,#8d99a6)}
""".strip()


@dataclass(frozen=True, slots=True)
class _Axes:
    """From moments, dollars and contracts to places in the picture."""

    start_ns: int
    end_ns: int
    low: float
    high: float
    deepest: float

    def x(self, ts_ns: NDArray[np.int64]) -> NDArray[np.float64]:
        share = (ts_ns - self.start_ns) / (self.end_ns - self.start_ns)
        return np.asarray(_LEFT + share * (_WIDTH - _LEFT - _RIGHT))

    def y(self, usd: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(_TOP + (self.high - usd) / (self.high - self.low) * _PRICE)

    def z(self, lots: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(_FLOOR - lots / self.deepest * _DEPTH)


_FLOOR = _TOP + _PRICE + _GAP + _DEPTH


def session_picture(signals: pa.Table, bars: pa.Table) -> str:
    """Draw a session.

    Parameters
    ----------
    signals
        Rows of gold/signals, with :data:`SIGNAL_COLUMNS`; one row or more.
    bars
        Rows of silver/es_bars of the session, with :data:`BAR_COLUMNS`. Bars of other contracts than the signals' are
        left out.

    Returns
    -------
    An ``svg`` element. Times are New York's, prices US dollars of SPY: ES over the median ratio of the session's
    touches. Values that are null are not drawn.
    """
    rows = _Rows(signals, bars)
    axes = rows.axes()
    body = [*_frame(axes), *_ranges(rows, axes), *_level_lines(rows, axes), *_touches(rows, axes), *_depths(rows, axes)]
    height = _FLOOR + _BOTTOM
    head = (
        f'<svg class="sp" viewBox="0 0 {_WIDTH} {height}" width="100%" role="img" aria-label="{escape(rows.title)}" '
        'xmlns="http://www.w3.org/2000/svg">'
    )
    return "".join([head, f"<style>{_STYLE}</style>", *body, *_legend(rows), "</svg>"])


class _Rows:
    """The columns of a session as numpy."""

    def __init__(self, signals: pa.Table, bars: pa.Table) -> None:
        self._signals = signals
        contract = self.texts("front_contract")[0]
        own = np.array([each == contract for each in bars["contract"].to_pylist()], bool)
        self._bars = bars.filter(pa.array(own))
        self.ratio = float(np.nanmedian(self.values("es_spy_ratio")))
        self.title = f"SPY, session {self.texts('date')[0]}, {contract}"

    def values(self, name: str) -> NDArray[np.float64]:
        """A column of signals, NaN for null."""
        return np.asarray(self._signals[name].cast(pa.float64()).to_numpy(zero_copy_only=False), np.float64)

    def texts(self, name: str) -> list[str]:
        """A column of signals as text."""
        return [str(value) for value in self._signals[name].to_pylist()]

    @property
    def touch_ns(self) -> NDArray[np.int64]:
        return np.asarray(self._signals["ts_ns"].to_numpy(), np.int64)

    @property
    def bar_ns(self) -> NDArray[np.int64]:
        return np.asarray(self._bars["start_ns"].to_numpy(), np.int64)

    def bar_usd(self, name: str) -> NDArray[np.float64]:
        """A price of the bars in dollars."""
        return np.asarray(self._bars[name].to_numpy() * _POINTS / self.ratio, np.float64)

    def axes(self) -> _Axes:
        """Whole hours around the touches, and half an hour before."""
        touched = self.touch_ns
        start_ns = int(touched.min()) // _HOUR_NS * _HOUR_NS - _HOUR_NS // 2
        end_ns = (int(touched.max()) // _HOUR_NS + 1) * _HOUR_NS
        shown = (self.bar_ns >= start_ns) & (self.bar_ns < end_ns)
        traded = (self.bar_usd("low_ticks")[shown], self.bar_usd("high_ticks")[shown])
        prices = np.concatenate([self.values("level_price"), *traded])
        margin = max(0.05 * float(np.ptp(prices)), 0.1)
        deepest = np.nanmax(np.append(self.values("depth_in_zone"), 1.0))
        return _Axes(start_ns, end_ns, float(prices.min()) - margin, float(prices.max()) + margin, float(deepest))


# --- parts -------------------------------------------------------------------------------------


def _frame(axes: _Axes) -> Iterator[str]:
    """Hours, dollars, and the deepest level."""
    first = -(-axes.start_ns // _HOUR_NS) * _HOUR_NS
    for hour in range(first, axes.end_ns, _HOUR_NS):
        x = float(axes.x(np.array([hour]))[0])
        yield f'<path class="grid" d="M{x:.1f} {_TOP}V{_FLOOR}"/>'
        yield f'<text x="{x:.1f}" y="{_FLOOR + 16}" text-anchor="middle">{_clock(hour):%H:%M}</text>'
    step = max(1, round((axes.high - axes.low) / 8))
    for usd in range(-(-int(axes.low) // step) * step, int(axes.high) + 1, step):
        if usd > axes.low:
            y = float(axes.y(np.array([float(usd)]))[0])
            yield f'<path class="grid" d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}"/>'
            yield f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{usd}</text>'
    yield f'<path class="grid" d="M{_LEFT} {_FLOOR}H{_WIDTH - _RIGHT}"/>'
    yield f'<text x="{_LEFT - 6}" y="{_FLOOR - _DEPTH + 8}" text-anchor="end">{axes.deepest:.0f}</text>'
    yield f'<text x="{_LEFT}" y="{_FLOOR - _DEPTH - 6}">contracts within 8 ticks of the touched level, then</text>'


def _ranges(rows: _Rows, axes: _Axes) -> Iterator[str]:
    """Each minute from low to high, and the closes as a line."""
    shown = (rows.bar_ns >= axes.start_ns) & (rows.bar_ns < axes.end_ns)
    x = axes.x(rows.bar_ns[shown] + _MINUTE_NS // 2)
    high, low, close = (axes.y(rows.bar_usd(f"{name}_ticks")[shown]) for name in ("high", "low", "close"))
    spans = "".join(f"M{a:.1f} {b:.1f}V{c:.1f}" for a, b, c in zip(x, low, high, strict=True))
    yield f'<path class="range" d="{spans}"/>'
    yield f'<path class="price" d="{_line(x, close)}"/>'


def _level_lines(rows: _Rows, axes: _Axes) -> Iterator[str]:
    """Levels as they stood at the last touch, and the average price of the session as it moved."""
    found = {name: values[~np.isnan(values)] for name in _LEVELS for values in [rows.values(name)]}
    last = {name: values[-1] for name, values in found.items() if len(values)}
    inside = {name: float(usd) for name, usd in last.items() if axes.low < usd < axes.high}
    heights = [float(y) for y in axes.y(np.array(list(inside.values())))]
    for (name, usd), y, at in zip(inside.items(), heights, apart(heights, _LABEL_HEIGHT), strict=True):
        yield f'<path class="level" d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}"/>'
        yield f'<text x="{_WIDTH - _RIGHT + 6}" y="{at + 4:.1f}">{_plain(name)} {usd:.2f}</text>'
    vwap = rows.values("vwap")
    known = ~np.isnan(vwap)
    if known.any():
        x, y_line = axes.x(rows.touch_ns[known]), axes.y(vwap[known])
        yield f'<path class="vwap" d="{_line(x, y_line)}"/>'


def _touches(rows: _Rows, axes: _Axes) -> Iterator[str]:
    """A triangle for each touch, upward if a break would be upward."""
    x, y, sign = axes.x(rows.touch_ns), axes.y(rows.values("level_price")), rows.values("direction_sign")
    outcomes = rows.texts(_OUTCOME)
    tips = _tips(rows) if len(x) <= _MOST_TOOLTIPS else None
    for outcome in reversed(_OUTCOMES):
        marks = [k for k, each in enumerate(outcomes) if each == outcome and not np.isnan(y[k])]
        shapes = [f"M{x[k] - 4:.1f} {y[k] + 3 * sign[k]:.1f}h8l-4 {-7 * sign[k]:.0f}z" for k in marks]
        if tips is None:
            yield f'<path class="{outcome}" d="{"".join(shapes)}"/>'
        else:
            yield f'<g class="{outcome}">'
            yield from (f'<path d="{d}"><title>{tips[k]}</title></path>' for k, d in zip(marks, shapes, strict=True))
            yield "</g>"


def _tips(rows: _Rows) -> list[str]:
    """What a mark says of its touch."""
    columns = zip(
        rows.touch_ns.tolist(),
        rows.texts("level_id"),
        rows.values("direction_sign").tolist(),
        rows.texts(_OUTCOME),
        rows.texts("outcome_4min"),
        rows.texts("barrier_state"),
        strict=True,
    )
    return [
        escape(f"{_clock(ns):%H:%M:%S} {level} {'up' if up > 0 else 'down'}: {end} of 1 ATR, {far} of $2, {state}")
        for ns, level, up, end, far, state in columns
    ]


def _depths(rows: _Rows, axes: _Axes) -> Iterator[str]:
    """What stood at the level when it was touched; nothing where it was out of sight."""
    depth, states = rows.values("depth_in_zone"), rows.texts("barrier_state")
    x, z = axes.x(rows.touch_ns), axes.z(depth)
    for kind, _ in reversed(_DEPTHS):
        marks = [k for k, state in enumerate(states) if _STATES.get(state, "plain") == kind and not np.isnan(depth[k])]
        spans = "".join(f"M{x[k]:.1f} {_FLOOR}V{z[k]:.1f}" for k in marks)
        yield f'<path class="{kind}" stroke-width="2" d="{spans}"/>'


def _legend(rows: _Rows) -> Iterator[str]:
    """Title, outcomes with their counts, and what the colours of the depth mean."""
    outcomes = rows.texts(_OUTCOME)
    said = escape(f"{rows.title}: {len(outcomes)} touches, outcome of 1 ATR in 4 minutes, New York time")
    yield f'<text x="{_LEFT}" y="16">{said}</text>'
    entries = [(name, f"{name.lower()} {outcomes.count(name)}") for name in _OUTCOMES]
    yield from _keys(entries, 32, _LEFT)
    yield from _keys(_DEPTHS, _FLOOR - _DEPTH - 9, _LEFT + 330)


def _keys(entries: Iterable[tuple[str, str]], y: float, x: float) -> Iterator[str]:
    for kind, text in entries:
        yield f'<path class="{kind}" d="M{x} {y}h8l-4 -7z"/><text x="{x + 13}" y="{y + 1}">{escape(text)}</text>'
        x += 30 + 6.2 * len(text)


# --- small things ------------------------------------------------------------------------------


def _clock(ns: int) -> dt.datetime:
    """New York's time."""
    return dt.datetime.fromtimestamp(ns // 10**9, _NEW_YORK)


def _line(x: NDArray[np.float64], y: NDArray[np.float64]) -> str:
    points = " ".join(f"{a:.1f} {b:.1f}" for a, b in zip(x, y, strict=True))
    return f"M{points}" if points else ""


def _plain(name: str) -> str:
    return escape(name.replace("_", " ").replace("pm", "PM").replace("or ", "OR "))
