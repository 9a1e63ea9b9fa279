"""raypipe: distributed batch processing of market data on Ray.

Importing the package loads nothing heavy: no ray, no numba, no pandas, no booster.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from raypipe.config import Config

__all__ = ["__version__", "signals"]
__version__ = "0.1.0"


def signals(
    date: str | dt.date | None = None,
    *,
    dates: Iterable[str | dt.date] | None = None,
    start_date: str | dt.date | None = None,
    end_date: str | dt.date | None = None,
    columns: Sequence[str] | None = None,
    build: bool = True,
    config: Config | str | Path | None = None,
    root: str | Path | None = None,
) -> pd.DataFrame:
    """Touches of levels of some sessions, with what was known of each and what came after it.

    Parameters
    ----------
    date, dates
        Exactly this session, or these; ``YYYY-MM-DD`` or dates.
    start_date, end_date
        All eligible sessions of a range, both ends included. Without any of the four: all eligible sessions.
    columns
        Only these columns, in this order; aliases count. Nothing else is read.
    build
        Whether sessions that are not current are built first, on this machine. If not, what is stored is returned.
    config
        A loaded configuration, or a file; None looks for ``raypipe.yaml`` in the current folder.
    root
        The lake: a folder or ``s3://bucket/prefix``; None takes the configuration's.

    Returns
    -------
    pandas.DataFrame
        Rows of ``gold/signals`` in order of session, decision and level. Times are int64 nanoseconds UTC, texts are
        plain ``str``, and what is null is missing; NaN never stands for a value.

    Raises
    ------
    UsageError
        If a date is no session, no session is eligible, or there is no such column.
    NotYetError
        If a session that was named lacks an input.
    PartitionError
        If ``build`` is false and a session that was named is not there.
    """
    from raypipe.pipeline.signals_frame import signals_frame, wanted_of

    wanted = wanted_of(date, dates, start_date, end_date)
    return signals_frame(wanted, columns, build=build, config=config, root=root)
