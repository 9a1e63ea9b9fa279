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
    environment.filters.update(size=size, seconds=seconds, number=number, counted=counted)
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


def counted(n: int, what: str) -> str:
    """A number and what it counts.

    Examples
    --------
    >>> counted(1, "table"), counted(2000, "table")
    ('1 table', '2,000 tables')
    """
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def number(value: float | None) -> str:
    """A number of four digits for people, a hyphen for none.

    Examples
    --------
    >>> number(0.123456), number(12345.0), number(3), number(None)
    ('0.1235', '12,345', '3', '-')
    """
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= _STEP else f"{value:.4g}"


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
