"""``raypipe status``: every table over its sessions."""

from __future__ import annotations

import datetime as dt
import re
import shlex
import sys
from collections import Counter

import click

from raypipe.cli.app import App
from raypipe.cli.options import Words, check_range, command, range_options
from raypipe.cli.present import GLYPHS, grid, legend, table

__all__ = ["grid_lines", "status"]

#: Months drawn unless a range says otherwise; the counts always cover everything.
MONTHS = 3
#: Partitions that have a place on the grid; symbols have none.
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


@command(
    "status",
    "Draw every table over its sessions, with counts per state; builds nothing.",
    *range_options(),
    Words(["--tables"], metavar="TABLE..", help="Only these tables, such as silver/daily or daily."),
    click.Option(["--ascii"], is_flag=True, help="Draw with plain characters."),
)
def status(app: App, start: dt.date | None, end: dt.date | None, tables: tuple[str, ...], ascii: bool) -> int:
    """Show the state of the lake."""
    check_range(start, end)
    config = app.lake_config()
    from raypipe.pipeline.views import chosen_tables, lake_states

    wanted = chosen_tables(config, tables)
    states = {name: parts for name, parts in lake_states(config, start, end).items() if name in wanted}
    document = {name: {"counts": Counter(parts.values()), "partitions": parts} for name, parts in states.items()}
    drawn = grid_lines(app, states, whole=bool(start or end), plain=ascii)
    app.show({"lake": config.lake.location.root, "tables": document}, [*_summary(states), "", *drawn])
    return 0


def _summary(states: dict[str, dict[str, str]]) -> list[str]:
    used = [state for state in GLYPHS if any(state in parts.values() for parts in states.values())]
    rows = []
    for name, parts in states.items():
        there = [key for key, state in parts.items() if state != "absent"]
        counts = Counter(parts.values())
        rows.append(
            (name, there[0] if there else "", there[-1] if there else "", *(counts[state] or "" for state in used))
        )
    header = ("table", "first", "last", *(GLYPHS[state][3] for state in used))
    return table(header, rows, right=frozenset(range(3, len(header)))) if rows else ["the lake is empty"]


def grid_lines(app: App, states: dict[str, dict[str, str]], *, whole: bool, plain: bool = False) -> list[str]:
    """The grid and its legend, for standard output; the last months only, unless ``whole``."""
    plain = plain or not _can_draw()
    color = app.color(sys.stdout)
    dated = {
        name: {dt.date.fromisoformat(key): state for key, state in parts.items() if _DATE.fullmatch(key)}
        for name, parts in states.items()
    }
    dated = {name: parts for name, parts in dated.items() if parts}
    if not dated:
        return []
    months = sorted({day.replace(day=1) for parts in dated.values() for day in parts})
    first = months[0] if whole else months[-MONTHS:][0]
    shown = {name: {day: state for day, state in parts.items() if day >= first} for name, parts in dated.items()}
    used = {state for parts in shown.values() for state in parts.values()}
    root = f" --root {shlex.quote(app.options.root)}" if app.options.root else ""
    earlier = [f"earlier months: raypipe status --start {months[0]}{root}"] if first > months[0] else []
    return [*grid(shown, color=color, plain=plain), legend(used, color=color, plain=plain), *earlier]


def _can_draw() -> bool:
    """Whether standard output can take the marks."""
    try:
        "".join(glyph for glyph, *_ in GLYPHS.values()).encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
