"""``raypipe synth``: a synthetic market on disk."""

from __future__ import annotations

import datetime as dt
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from raypipe.cli.app import App
from raypipe.cli.options import DATE, PATH, Words, command
from raypipe.report.page import counted

if TYPE_CHECKING:
    from raypipe.pipeline.market import SynthResult

__all__ = ["synth"]


@command(
    "synth",
    "Write a synthetic market in the vendor's formats, with planted answers. Same arguments, same bytes.",
    click.Option(["--out"], type=PATH, metavar="DIR", required=True, help="Folder to write; must be empty."),
    click.Option(
        ["--sessions"], type=int, metavar="N", default=20, show_default=True, help="Sessions with day and minute bars."
    ),
    click.Option(
        ["--symbols"],
        type=int,
        metavar="N",
        default=200,
        show_default=True,
        help="Simulated symbols, besides the planted.",
    ),
    click.Option(
        ["--activity"], type=float, metavar="X", default=1.0, show_default=True, help="How often symbols trade."
    ),
    click.Option(["--seed"], type=int, metavar="N", default=7, show_default=True, help="Of all random numbers."),
    click.Option(
        ["--start-date", "--start", "start_date"],
        type=DATE,
        default="2025-10-31",
        show_default=True,
        help="First session.",
    ),
    click.Option(
        ["--history"], type=int, metavar="N", default=90, show_default=True, help="Earlier sessions with day bars only."
    ),
    Words(
        ["--datasets"],
        metavar="NAME..",
        default=["equities"],
        show_default=True,
        help="Of equities, es, options and daily.",
    ),
    click.Option(
        ["--es-sessions"],
        type=int,
        metavar="N",
        default=9,
        show_default=True,
        help="How many of the first sessions have ES.",
    ),
    click.Option(
        ["--mbp-sessions"],
        type=int,
        metavar="N",
        default=2,
        show_default=True,
        help="How many of the last of these have order books and options.",
    ),
    click.Option(
        ["--es-ratio"], type=float, metavar="X", default=10.05, show_default=True, help="ES points of one SPY dollar."
    ),
    click.Option(
        ["--es-activity"],
        type=float,
        metavar="X",
        default=1.0,
        show_default=True,
        help="2 million book records a session at 1.",
    ),
    click.Option(["--daily-symbols"], type=int, metavar="N", default=12, show_default=True, help="Symbols of daily."),
    click.Option(
        ["--daily-sessions"], type=int, metavar="N", default=1_000, show_default=True, help="Sessions of daily."
    ),
    click.Option(["--roll-session"], type=DATE, help="From it on the next ES contract leads."),
    click.Option(
        ["--level"], type=int, metavar="N", default=1, show_default=True, help="Compression level of the files, 1 to 9."
    ),
    Words(["--faults"], metavar="KIND..", help="Damage one file per kind, or none."),
    click.Option(["--force"], is_flag=True, help="Write into a folder that is not empty."),
)
def synth(app: App, out: Path, force: bool, start_date: dt.date, **numbers: Any) -> int:
    """Write the market."""
    from raypipe.pipeline.market import synthesise

    faults = tuple(kind for kind in numbers.pop("faults") if kind != "none")
    datasets = tuple(numbers.pop("datasets"))
    result = synthesise(out, force=force, start_date=start_date, faults=faults, datasets=datasets, **numbers)
    document = {
        "out": str(result.out),
        "files": len(result.keys),
        "sessions": [day.isoformat() for day in result.sessions],
        "day_rows": result.day_rows,
        "minute_rows": result.minute_rows,
        "planted": result.planted,
        "faults": [{"kind": kind, "key": key} for kind, key in result.faults],
        "book_files": len(result.book_keys),
        "trades": result.trades,
        "book_records": result.book_records,
        "option_prints": result.option_prints,
        "daily_file": str(result.daily_file) if result.daily_file else None,
    }
    lines = [
        *_bar_lines(result),
        *_book_lines(result),
        *([f"daily bars in {result.daily_file}"] if result.daily_file else []),
        *([f"{result.planted} planted answers in truth.json"] if result.planted else []),
        *(f"damaged on purpose: {key} ({kind})" for kind, key in result.faults),
    ]
    app.show(document, lines)
    app.notes.hint(f"next: {_ingest_of(result)}")
    return 0


def _ingest_of(result: SynthResult) -> str:
    """The command that takes a market into a lake."""
    if result.daily_file and not (result.keys or result.book_keys):
        sets = {"ingest.provider": "files", "panel.symbols_file": result.daily_file.parent / "symbols.txt"}
        return shlex.join(
            ["raypipe", "ingest", "--from-dir", str(result.daily_file.parent)]
            + [word for name, value in sets.items() for word in ("--set", f"{name}={value}")]
        )
    command, reference = ["raypipe", "ingest", "--from-dir", str(result.out)], result.out / "reference"
    named = (("--reference", reference / "tickers.csv"), ("--splits", reference / "splits.csv"))
    return shlex.join([*command, *(word for flag, file in named if file.exists() for word in (flag, str(file)))])


def _bar_lines(result: SynthResult) -> list[str]:
    if not result.keys:
        return []
    span = f"{counted(len(result.sessions), 'session')} and {len(result.history)} before"
    return [
        f"{counted(len(result.keys), 'file')} of {span} in {result.out}",
        f"{result.day_rows:,} day bars, {result.minute_rows:,} minute bars",
    ]


def _book_lines(result: SynthResult) -> list[str]:
    if not result.book_keys:
        return []
    records = f"{result.trades:,} trades, {result.book_records:,} book records, {result.option_prints:,} option prints"
    return [f"{records} in {len(result.book_keys)} files"]
