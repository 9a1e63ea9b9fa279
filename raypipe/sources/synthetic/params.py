"""What a synthetic market is asked for, and what was written."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

from raypipe.errors import UsageError
from raypipe.sources.synthetic.faults import FAULTS

__all__ = ["DATASETS", "UNIVERSE", "SynthParams", "SynthResult"]

#: Ranks of the simulated universe: about as many names as the vendor's files hold.
UNIVERSE = 11_000
#: ``equities``: day and minute bars. ``es``: order books of ES, and SPY's minutes to match. ``options``: SPY options.
#: ``daily``: years of daily bars of a few symbols, in one file.
DATASETS: tuple[str, ...] = ("equities", "es", "options", "daily")
_LIMITS: dict[str, tuple[float, float]] = {
    "sessions": (1, 5_000),
    "symbols": (1, UNIVERSE),
    "activity": (0.001, 100.0),
    "seed": (0, 2**63 - 1),
    "history": (0, 5_000),
    "level": (1, 9),
    "es_sessions": (1, 5_000),
    "mbp_sessions": (0, 5_000),
    "es_ratio": (9.6, 10.5),
    "es_activity": (0.001, 10.0),
    "daily_symbols": (1, 99),
    "daily_sessions": (1, 5_000),
}


@dataclass(frozen=True, slots=True)
class SynthParams:
    """Arguments of a synthetic market. Equal arguments give equal bytes.

    Parameters
    ----------
    sessions
        Sessions with day and minute bars.
    symbols
        Simulated symbols, spread evenly over the ranks; the planted ones are added to them.
    activity
        Scales how often a symbol trades: about 126 bars per symbol and session at 1.
    seed
        Of all random numbers.
    start_date
        First of the ``sessions``; a date without trading means the next session.
    history
        Earlier sessions, with day bars only.
    level
        Compression level of the files, 1 to 9.
    faults
        Kinds of :data:`~raypipe.sources.synthetic.FAULTS`, each put into one file of its own.
    datasets
        Which data sets to write; ``options`` needs ``es``.
    es_sessions
        How many of the first sessions have ES.
    mbp_sessions
        How many of the last of these have order books and option prints; signals of a session need seven sessions of
        trades before it.
    es_ratio
        ES points of the first contract that are one SPY dollar. Not 10, so that dividing by ten shows.
    es_activity
        About 500 thousand trades, 2 million book records and 600 thousand 0DTE prints per session at 1.
    roll_session
        From it on the next ES contract leads; None rolls eight days before expiry.
    daily_symbols, daily_sessions
        Size of ``daily``, whose last session is that of the market.

    Raises
    ------
    UsageError
        If a value is out of its range or unknown.
    """

    sessions: int = 20
    symbols: int = 200
    activity: float = 1.0
    seed: int = 7
    start_date: dt.date = dt.date(2025, 10, 31)
    history: int = 90
    level: int = 1
    faults: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ("equities",)
    es_sessions: int = 9
    mbp_sessions: int = 2
    es_ratio: float = 10.05
    es_activity: float = 1.0
    roll_session: dt.date | None = None
    daily_symbols: int = 12
    daily_sessions: int = 1_000

    def __post_init__(self) -> None:
        for name, (low, high) in _LIMITS.items():
            _check_range(name, getattr(self, name), low, high)
        _check_members("faults", self.faults, FAULTS)
        _check_members("datasets", self.datasets, DATASETS)
        if "options" in self.datasets and "es" not in self.datasets:
            msg = "options are priced off ES, which is not among the datasets"
            raise UsageError(msg, hint="ask for es and options")
        if len(self.faults) > 2 * self.sessions:
            msg = f"{len(self.faults)} faults do not fit into the {2 * self.sessions} files of {self.sessions} sessions"
            raise UsageError(msg, hint="ask for more sessions or fewer faults")


@dataclass(frozen=True, slots=True)
class SynthResult:
    """What :func:`~raypipe.sources.synthetic.write_market` wrote.

    Attributes
    ----------
    out
        The market's folder.
    keys
        Object keys of the bar files, sorted.
    sessions, history
        Dates with day and minute bars; dates with day bars only.
    day_rows, minute_rows
        Bars written, planted ones included.
    planted
        Expectations in ``truth.json``.
    faults
        Pairs (kind, key) of the damaged files.
    book_keys
        Files of order books, trades and options, sorted.
    trades, book_records, option_prints
        Records in them.
    daily_file
        Daily bars, ``symbols.txt`` beside them; None if they were not asked for.
    """

    out: Path
    keys: tuple[str, ...]
    sessions: tuple[dt.date, ...]
    history: tuple[dt.date, ...]
    day_rows: int
    minute_rows: int
    planted: int
    faults: tuple[tuple[str, str], ...]
    book_keys: tuple[str, ...] = ()
    trades: int = 0
    book_records: int = 0
    option_prints: int = 0
    daily_file: Path | None = None


def _check_range(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        msg = f"{name} = {value}, must be from {low:,} to {high:,}"
        raise UsageError(msg)


def _check_members(name: str, values: tuple[str, ...], known: tuple[str, ...]) -> None:
    unknown = [value for value in values if value not in known]
    if unknown:
        msg = f"{name} = {unknown[0]!r}, must be one of {', '.join(known)}"
        raise UsageError(msg)
