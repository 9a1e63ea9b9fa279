"""Templates to HTML: escaping always on, numbers in one style."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["render_page"]

_UNITS = ("B", "KB", "MB", "GB", "TB")
_STEP = 1000


def render_page(template: str, **values: Any) -> str:
    """Fill a template of this package. Every value is escaped."""
    return _environment().get_template(template).render(**values)


@lru_cache(maxsize=1)
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("raypipe.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(size=size, seconds=seconds)
    return environment


def size(value: float) -> str:
    """Bytes for people.

    Examples
    --------
    >>> size(1_540_000)
    '1.5 MB'
    """
    for unit in _UNITS[:-1]:
        if value < _STEP:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= _STEP
    return f"{value:.1f} {_UNITS[-1]}"


def seconds(value: float) -> str:
    """A duration for people.

    Examples
    --------
    >>> seconds(0.0042), seconds(75.0)
    ('4.2 ms', '1 min 15 s')
    """
    if value < 1:
        return f"{value * 1e3:.1f} ms"
    minutes, rest = divmod(value, 60)
    return f"{minutes:.0f} min {rest:.0f} s" if minutes else f"{rest:.1f} s"
