"""Small charts as inline SVG: no script, no address, colours of the page, every text escaped.

Values that are not finite are not drawn. A chart without a value says so instead of being empty.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape

__all__ = ["Interval", "Series", "apart", "interval_chart", "round_step", "scatter_chart"]

_WIDTH, _HEIGHT = 520, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 14, 14, 34
_ROW = 22
#: Pixels of a letter, and the most letters of a name that are drawn.
_LETTER, _LONGEST = 6.1, 30
_TICKS = 5
_STYLE = """
.ch text{font:11px system-ui,sans-serif;fill:var(--soft,#626b76)}
.ch .grid{stroke:var(--line,#e2e5e9);stroke-width:1}
.ch .mark{stroke:var(--ink,#1d2126);stroke-width:1;stroke-dasharray:4 3}
.ch .best{fill:none;stroke:var(--accent,#2f6fb2);stroke-width:1.5}
.ch .dot{fill:var(--accent,#2f6fb2)}
.ch .faint{fill:var(--pending,#8d99a6)}
.ch .bad{fill:var(--bad,#b3261e)}
.ch .span{stroke:var(--current,#9dbfdf);stroke-width:6;stroke-linecap:round}
""".strip()


@dataclass(frozen=True, slots=True)
class Series:
    """Points of one kind: ``style`` is ``dot``, ``faint`` or ``bad``; ``line`` joins them instead."""

    points: tuple[tuple[float, float], ...]
    style: str = "dot"
    line: bool = False


@dataclass(frozen=True, slots=True)
class Interval:
    """A row of an interval chart: a span, and dots on it; None is not drawn."""

    name: str
    low: float | None
    high: float | None
    dots: tuple[float | None, ...] = ()
    note: str = ""


def scatter_chart(title: str, series: Sequence[Series], *, x: str, y: str, mark: float | None = None) -> str:
    """Points and lines over a number line, with a dashed line at ``mark``.

    Examples
    --------
    >>> chart = scatter_chart("<AUC>", [Series(((0, 0.5), (1, 0.6)))], x="configuration", y="AUC", mark=0.5)
    >>> "&lt;AUC&gt;" in chart, chart.count("<circle")
    (True, 2)
    """
    kept = [Series(tuple(p for p in one.points if _finite(*p)), one.style, one.line) for one in series]
    points = [point for one in kept for point in one.points]
    if not points:
        return _empty(title)
    across = _Scale.over([p[0] for p in points], _LEFT, _WIDTH - _RIGHT, least=_whole(p[0] for p in points))
    marks = [mark] if mark is not None else []
    up = _Scale.over([*(p[1] for p in points), *marks], _HEIGHT - _BOTTOM, _TOP)
    body = [*_across(up, _WIDTH - _RIGHT), *_below(across, _HEIGHT)]
    body += [_text(_LEFT + (_WIDTH - _LEFT - _RIGHT) / 2, _HEIGHT - 4, x, "middle"), _text(4, _TOP - 3, y, "start")]
    if mark is not None:
        body.append(_line(_LEFT, up(mark), _WIDTH - _RIGHT, up(mark), "mark"))
    for one in kept:
        body += [_path(one, across, up)] if one.line else [_dot(across(a), up(b), one.style) for a, b in one.points]
    return _svg(title, _HEIGHT, body)


def interval_chart(title: str, rows: Sequence[Interval], *, x: str = "", mark: float | None = None) -> str:
    """A row per name: a span from low to high, dots on it, and a dashed line at ``mark`` through all rows.

    Examples
    --------
    >>> interval_chart("scores", [Interval("mean", 0.49, 0.61, (0.55,))], mark=0.5).count("<line")
    5
    """
    values = [v for row in rows for v in (row.low, row.high, *row.dots) if v is not None and math.isfinite(v)]
    if not values:
        return _empty(title)
    height = _TOP + _ROW * len(rows) + _BOTTOM
    names = 16 + _LETTER * max(len(_short(row.name)) for row in rows)
    across = _Scale.over([*values, *([mark] if mark is not None else [])], names, _WIDTH - _RIGHT)
    body = list(_below(across, height, grid_from=_TOP))
    body.append(_text(names + (_WIDTH - names - _RIGHT) / 2, height - 4, x, "middle"))
    if mark is not None:
        body.append(_line(across(mark), _TOP, across(mark), height - _BOTTOM, "mark"))
    for number, row in enumerate(rows):
        body += _interval(row, _TOP + _ROW * (number + 0.5), across, names)
    return _svg(title, height, body)


def _short(name: str) -> str:
    """As much of a name as there is room for."""
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"


def _interval(row: Interval, y: float, across: Callable[[float], float], names: float) -> Iterator[str]:
    yield _text(names - 10, y + 4, _short(row.name), "end")
    if row.low is not None and row.high is not None and _finite(row.low, row.high):
        yield _line(across(row.low), y, across(row.high), y, "span")
    for value in row.dots:
        if value is not None and math.isfinite(value):
            yield _dot(across(value), y, "dot", f"{row.name}: {value:.4g} {row.note}".strip())


@dataclass(frozen=True, slots=True)
class _Scale:
    """From values to places; ``ticks`` are round."""

    low: float
    high: float
    first: float
    last: float
    ticks: tuple[float, ...]

    @classmethod
    def over(cls, values: Iterable[float], first: float, last: float, *, least: float = 0.0) -> _Scale:
        found = list(values)
        low, high = min(found), max(found)
        if high - low < 1e-12 * max(1.0, abs(low)):
            low, high = low - 0.5 * (abs(low) or 1.0), high + 0.5 * (abs(high) or 1.0)
        step = max(round_step((high - low) / _TICKS), least)
        ticks = tuple(step * n for n in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1))
        pad = 0.04 * (high - low)
        return cls(low - pad, high + pad, first, last, ticks)

    def __call__(self, value: float) -> float:
        return self.first + (value - self.low) / (self.high - self.low) * (self.last - self.first)


def _whole(values: Iterable[float]) -> float:
    """The least distance of ticks: between whole numbers there is nothing."""
    return float(all(float(value).is_integer() for value in values))


def round_step(rough: float) -> float:
    """The smallest of 1, 2, 5 times a power of ten that is not below.

    Examples
    --------
    >>> round_step(0.013), round_step(99.0)
    (0.02, 100.0)
    """
    power = 10.0 ** math.floor(math.log10(rough))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * (1 - 1e-9))


def apart(places: Sequence[float], least: float) -> list[float]:
    """The same places in the same order, moved down as little as needed for labels not to overlap.

    Examples
    --------
    >>> apart([50.0, 20.0, 22.0], 12.0)
    [50.0, 20.0, 32.0]
    """
    found, last = [0.0] * len(places), -math.inf
    for i in sorted(range(len(places)), key=lambda i: places[i]):
        last = found[i] = max(places[i], last + least)
    return found


def _across(up: _Scale, right: float) -> Iterator[str]:
    for tick in up.ticks:
        yield _line(_LEFT, up(tick), right, up(tick), "grid")
        yield _text(_LEFT - 6, up(tick) + 4, f"{tick:.4g}", "end")


def _below(across: _Scale, height: float, grid_from: float | None = None) -> Iterator[str]:
    for tick in across.ticks:
        if grid_from is not None:
            yield _line(across(tick), grid_from, across(tick), height - _BOTTOM, "grid")
        yield _text(across(tick), height - _BOTTOM + 15, f"{tick:.4g}", "middle")


def _path(one: Series, across: _Scale, up: _Scale) -> str:
    points = " ".join(f"{across(a):.1f},{up(b):.1f}" for a, b in one.points)
    return f'<polyline class="best" points="{points}"/>'


def _dot(x: float, y: float, style: str, tip: str = "") -> str:
    title = f"<title>{escape(tip)}</title>" if tip else ""
    return f'<circle class="{style}" cx="{x:.1f}" cy="{y:.1f}" r="2.6">{title}</circle>'


def _line(x1: float, y1: float, x2: float, y2: float, style: str) -> str:
    return f'<line class="{style}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _svg(title: str, height: float, body: Iterable[str]) -> str:
    head = (
        f'<svg class="ch" viewBox="0 0 {_WIDTH} {height:.0f}" width="{_WIDTH}" role="img" '
        f'aria-label="{escape(title)}" xmlns="http://www.w3.org/2000/svg"><style>{_STYLE}</style>'
    )
    return "".join([head, *body, "</svg>"])


def _empty(title: str) -> str:
    return _svg(title, 40, [_text(10, 24, f"{title}: no value to draw", "start")])


def _finite(*values: float) -> bool:
    return all(math.isfinite(value) for value in values)
