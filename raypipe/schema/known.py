"""When rows were known, and when they are decided: the times that as-of joins and proofs of causality go by.

A row is *known* from the moment at which all its values could be known. It is *decided* at the moment up to which its
features may look; for all but labels that is the same. Both come from what a table declares, never from its name.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import numpy as np
import pyarrow as pa

from raypipe.calendar import at_exchange_time, calendar
from raypipe.errors import DeveloperError
from raypipe.schema.spec import Known, Table

__all__ = ["decided_by", "decided_ns", "has_labels", "is_held", "known_by", "known_ns"]

_SESSION_END = Known("session", "session_end")
_NEVER = 2**63 - 1


def known_by(spec: Table) -> Known:
    """What says when a row is known: as declared, else the first of the columns that tables have for it.

    Raises
    ------
    DeveloperError
        If nothing does.

    Examples
    --------
    >>> from raypipe.schema.tables import MINUTE_AGGS
    >>> known_by(MINUTE_AGGS).column
    'window_start_ns'
    """
    return spec.known or _first(spec, "label_known_ns", "available_ns", "decision_ns")


def decided_by(spec: Table) -> Known:
    """What says up to when the features of a row may look.

    Raises
    ------
    DeveloperError
        If nothing does.
    """
    times = [name for name in ("decision_ns", "available_ns") if name in spec]
    if times or spec.known is None:
        return _first(spec, *times)
    return spec.known


def _first(spec: Table, *names: str) -> Known:
    for name in names:
        if name in spec:
            return Known(name)
    if "session" not in spec:
        msg = f"table {spec.name} does not say when its rows are known"
        raise DeveloperError(msg, hint="give it a column available_ns, or declare Table.known")
    return _SESSION_END


def known_ns(spec: Table, rows: pa.Table) -> np.ndarray:
    """When each row could first be known, int64 (rows,), nanoseconds UTC; a row without a time, never.

    Needs only the column of `known_by`.
    """
    return _times(known_by(spec), rows)


def decided_ns(spec: Table, rows: pa.Table) -> np.ndarray:
    """Up to when the features of each row may look, int64 (rows,), nanoseconds UTC."""
    return _times(decided_by(spec), rows)


def has_labels(spec: Table) -> bool:
    """Whether a table holds what came after its rows."""
    return any(column.role == "label" for column in spec.columns)


def is_held(spec: Table) -> bool:
    """Whether a table holds nothing but facts of whole sessions, such as the front contract of a futures session.

    They are a choice of data, made when the session is over, and no feature: proofs hold them while the future changes.
    """
    return all(column.role in ("key", "qa") for column in spec.columns)


def _times(known: Known, rows: pa.Table) -> np.ndarray:
    column = rows[known.column]
    if known.when == "time":
        times: np.ndarray = column.fill_null(_NEVER - known.plus_ns).to_numpy()
        return times + known.plus_ns
    if known.when == "session_close":
        days = column.combine_chunks().view(pa.int32()).to_numpy()
        return calendar().hours(days)[1] + known.plus_ns
    return _by_date(column, _MOMENTS[known.when]) + known.plus_ns


def _midnight(date: dt.date) -> int:
    return at_exchange_time(date, dt.time(0))


def _session_end(date: dt.date) -> int:
    return calendar().session(date).ext_end_ns


_MOMENTS: dict[str, Callable[[dt.date], int]] = {"midnight": _midnight, "session_end": _session_end}


def _by_date(dates: pa.ChunkedArray, moment: Callable[[dt.date], int]) -> np.ndarray:
    encoded = dates.combine_chunks().dictionary_encode()
    moments = np.array([*map(moment, encoded.dictionary.to_pylist()), 0], np.int64)
    times: np.ndarray = moments[encoded.indices.to_numpy()]
    return times
