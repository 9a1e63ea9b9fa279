"""Values over time as inline SVG lines, each named where it ends; colours of the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from raypipe.report.charts import apart, round_step
from raypipe.report.page import seconds, size

__all__ = ["memory_lines", "sparkline"]

_WIDTH, _HEIGHT = 760, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 200, 10, 24
#: Column of the record, name, how it is drawn.
_LINES = (
    ("worker_peak_bytes", "peak of a worker", "stroke:var(--stale);stroke-dasharray:5 4"),
    ("worker_bytes", "a worker after its job", "stroke:var(--accent)"),
    ("driver_bytes", "driver", "stroke:var(--blocked)"),
)
_GRID_LINES = 4
_LABEL = 13.0
_SPARKS = 160


def memory_lines(memory: Mapping[str, Any]) -> str:
    """Memory of driver and workers over a run.

    Parameters
    ----------
    memory
        ``columns`` and ``points`` as in the run's record.

    Returns
    -------
    An ``svg`` element, or nothing if there are fewer than two moments with a worker's report.
    """
    names = list(memory.get("columns", ()))
    points = [dict(zip(names, row, strict=True)) for row in memory.get("points", ())]
    if sum(point["worker_bytes"] > 0 for point in points) < 2:  # noqa: PLR2004
        return ""
    last, top = points[-1]["seconds"] or 1.0, max(max(p[name] for name, _, _ in _LINES) for p in points) or 1
    step = round_step(top / _GRID_LINES)
    body = [_grid_line(step * i, top) for i in range(int(top / step) + 1)]
    body += [
        f'<text x="{_LEFT}" y="{_HEIGHT - 6}">0</text>',
        f'<text x="{_WIDTH - _RIGHT}" y="{_HEIGHT - 6}" text-anchor="end">{escape(seconds(last))}</text>',
    ]
    places = apart([_y(points[-1][name], top) for name, _, _ in _LINES], _LABEL)
    for (name, said, style), place in zip(_LINES, places, strict=True):
        told = [p for p in points if p[name] > 0]
        line = " ".join(f"{_x(p['seconds'], last):.1f},{_y(p[name], top):.1f}" for p in told)
        label = f"{said} {size(points[-1][name])}"
        body.append(f'<polyline style="{style}" points="{line}"/>')
        body.append(f'<text x="{_WIDTH - _RIGHT + 6}" y="{place + 4:.1f}">{escape(label)}</text>')
    return f'<svg class="lines" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="memory">{"".join(body)}</svg>'


def _x(at: float, last: float) -> float:
    return _LEFT + (_WIDTH - _LEFT - _RIGHT) * at / last


def _y(value: float, top: float) -> float:
    return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (1 - value / top)


def _grid_line(value: float, top: float) -> str:
    y = _y(value, top)
    line = f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
    return f'{line}<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{escape(size(value))}</text>'


def sparkline(values: Sequence[int], width: int = 160, height: int = 24) -> str:
    """Counts over sessions as the points of an SVG polyline; of very many, evenly spread ones and the last."""
    step = -(-len(values) // _SPARKS)
    kept = list(values[::-1][:: step or 1])[::-1]
    top, width_each = max(values) or 1, width / max(len(kept) - 1, 1)
    return " ".join(f"{i * width_each:.1f},{height - 2 - (height - 4) * v / top:.1f}" for i, v in enumerate(kept))
