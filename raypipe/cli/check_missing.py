"""``raypipe check-missing``: what should be there against what is."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from raypipe.cli.app import App
from raypipe.cli.options import PATH, check_range, command, range_options
from raypipe.cli.present import span, table

if TYPE_CHECKING:
    from raypipe.acquisition.check_missing import MissingReport, MissingRow

__all__ = ["check_missing"]

#: Rows on the terminal; --json has them all.
SHOWN = 50
_FINE = frozenset({"ok", "not_yet"})


@command(
    "check-missing",
    "Compare sessions, the vendor's listing, raw files and bronze; 1 if anything is missing or differs.",
    *range_options(),
    click.Option(
        ["--data"],
        type=click.Choice(["day", "minute", "all"]),
        default="all",
        show_default=True,
        help="Which data set.",
    ),
    click.Option(["--files-list"], type=PATH, metavar="FILE", help="A listing: `aws s3 ls --recursive`, or bare keys."),
    click.Option(["--remote"], is_flag=True, help="Ask the endpoint for its listing."),
)
def check_missing(
    app: App, start: dt.date | None, end: dt.date | None, data: str, files_list: Path | None, remote: bool
) -> int:
    """Judge every session."""
    check_range(start, end)
    config = app.lake_config()
    from raypipe.pipeline.intake import missing

    datasets = ("day", "minute") if data == "all" else (data,)
    report = missing(config, (start, end), datasets, files_list=files_list, remote=remote)
    app.show(report.to_dict(), _lines(report))
    return report.exit_code


def _lines(report: MissingReport) -> list[str]:
    counts = report.summary
    states = sorted({s for found in counts.values() for s in found}, key=lambda s: (s not in _FINE, s))
    months = [(*place, *(found.get(state, "") for state in states)) for place, found in counts.items()]
    header = ("data", "month", *(state.replace("_", " ") for state in states))
    lines = table(header, months, right=frozenset(range(2, len(header)))) if months else ["no session in this range"]
    rows = [(name, span(keys), state.replace("_", " "), reason) for (name, state, reason), keys in _wrong(report.rows)]
    found = ["", *table(("data", "sessions", "state", "why"), rows[:SHOWN])] if rows else []
    more = [f"and {len(rows) - SHOWN} more; --json has them all"] if len(rows) > SHOWN else []
    return [*lines, *found, *more, "", f"listing: {report.source or 'none known'}"]


def _wrong(rows: Sequence[MissingRow]) -> list[tuple[tuple[str, str, str], list[str]]]:
    """What is not as it should be; neighbouring sessions with the same state and reason together."""
    found: list[tuple[tuple[str, str, str], list[str]]] = []
    for row in rows:
        key = (row.dataset.name, row.state, row.reason if row.session else f"{row.key}: {row.reason}")
        if row.state not in _FINE and found and found[-1][0] == key:
            found[-1][1].append(str(row.session))
        else:
            found.append((key, [str(row.session or "-")]))
    return [group for group in found if group[0][1] not in _FINE]
