"""Text for people: safe strings, aligned tables, sizes, the session grid."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence

__all__ = ["GLYPHS", "bytes_text", "duration", "grid", "legend", "safe", "span", "table"]

#: State -> (glyph, plain glyph, colour, meaning). Shapes differ, so nothing depends on colour.
GLYPHS = {
    "current": ("●", "#", "32", "current"),
    "stale": ("◐", "~", "33", "stale"),
    "missing": ("○", "o", "36", "not built"),
    "pending": ("…", "?", "36", "pending"),
    "blocked": ("■", "!", "35", "blocked"),
    "failed": ("✕", "x", "31", "failed"),
    "absent": ("·", ".", "2", "no input"),
}
_KIB = 1024
_MINUTE = 60


def safe(text: str) -> str:
    r"""A text that cannot move the cursor, colour the terminal or start a new line.

    Examples
    --------
    >>> safe("A\x1b[31mB\n")
    'A\\x1b[31mB\\n'
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in text)


def table(header: Sequence[str], rows: Sequence[Sequence[object]], *, right: frozenset[int] = frozenset()) -> list[str]:
    """Aligned columns.

    Parameters
    ----------
    header, rows
        Cells; made safe here.
    right
        Columns that are aligned to the right.
    """
    cells = [[safe(str(cell)) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    lines = []
    for row in cells:
        parts = [
            cell.rjust(w) if i in right else cell.ljust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(parts).rstrip())
    return lines


def bytes_text(count: int) -> str:
    """A size.

    Examples
    --------
    >>> bytes_text(1536)
    '1.5 KiB'
    """
    size, unit = float(count), "B"
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if size < _KIB or unit == "TiB":
            break
        size /= _KIB
    return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"


def duration(seconds: float) -> str:
    """A time span.

    Examples
    --------
    >>> duration(75)
    '1 min 15 s'
    """
    if seconds < _MINUTE:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), _MINUTE)
    return f"{minutes} min {rest} s" if minutes < _MINUTE else f"{minutes // _MINUTE} h {minutes % _MINUTE} min"


def span(partitions: Sequence[str]) -> str:
    """Partitions in short: one, or first..last and how many."""
    if len(partitions) == 1:
        return partitions[0]
    return f"{partitions[0]}..{partitions[-1]} ({len(partitions)})"


def grid(states: Mapping[str, Mapping[dt.date, str]], *, color: bool, plain: bool) -> list[str]:
    """Months as blocks: a ruler of days, then one line per table with one mark per day.

    Parameters
    ----------
    states
        Per table, the state of each date; dates without an entry stay blank.
    color, plain
        Whether to colour, and whether to keep to ASCII.
    """
    months = sorted({(day.year, day.month) for dates in states.values() for day in dates})
    width = max(len(name) for name in states) if states else 0
    lines = []
    for year, month in months:
        lines.append(f"{year:04d}-{month:02d}".ljust(width + 2) + "".join(str(day % 10) for day in range(1, 32)))
        for name, dates in states.items():
            marks = [_state(dates, year, month, day) for day in range(1, 32)]
            if not any(marks):
                continue
            drawn = "".join(_mark(mark, color=color, plain=plain) if mark else " " for mark in marks)
            lines.append(f"{safe(name).ljust(width)}  {drawn}".rstrip())
        lines.append("")
    return lines


def legend(states: set[str], *, color: bool, plain: bool) -> str:
    """What the marks in use mean."""
    return "  ".join(f"{_mark(s, color=color, plain=plain)} {GLYPHS[s][3]}" for s in GLYPHS if s in states)


def _state(states: Mapping[dt.date, str], year: int, month: int, number: int) -> str | None:
    try:
        return states.get(dt.date(year, month, number))
    except ValueError:
        return None


def _mark(state: str, *, color: bool, plain: bool) -> str:
    glyph, ascii_glyph, code, _ = GLYPHS[state]
    text = ascii_glyph if plain else glyph
    return f"\x1b[{code}m{text}\x1b[0m" if color else text
