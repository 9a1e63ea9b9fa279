"""Panels and targets for tests, made of random numbers on real sessions."""

from __future__ import annotations

import datetime as dt

import numpy as np

from raypipe.calendar import calendar
from raypipe.dataset.matrix import Panel, Target

#: 2018-11-01 .. 2021-02-26: two Thanksgivings, a day of mourning, early closes, three changes of the clock.
SESSIONS = calendar().between(dt.date(2018, 11, 1), dt.date(2021, 2, 26))


def panel_and_target(
    seed: int = 0,
    *,
    symbols: int = 4,
    sessions: int = 160,
    features: int = 3,
    horizon: int = 3,
    start: str = "open",
    ragged: bool = False,
    gaps: float = 0.0,
    late: float = 0.0,
    nulls: float = 0.0,
    kind: str = "class",
) -> tuple[Panel, Target]:
    """A panel without signal, and a target whose labels end where the sessions do.

    ``ragged``: symbols list late and end early. ``gaps``: share of rows that are missing. ``late``: share of labels
    that end up to five sessions late. ``nulls``: share of missing values and labels.
    """
    rng = np.random.default_rng(seed)
    days = SESSIONS[:sessions]
    opens, closes = (np.array([getattr(s, name) for s in days]) for name in ("open_ns", "close_ns"))
    there = rng.random((symbols, sessions)) >= gaps
    if ragged:
        first, last = rng.integers(0, sessions // 4, symbols), rng.integers(3 * sessions // 4, sessions, symbols)
        place = np.arange(sessions)
        there &= (place >= first[:, None]) & (place <= last[:, None])
    symbol, session = np.nonzero(there)
    rows = len(session)
    x = rng.normal(size=(rows, features)).astype(np.float32)
    x[rng.random(x.shape) < nulls] = np.nan
    began, ended = opens[np.minimum(session + 1, sessions - 1)], session + 1 + horizon
    if start == "close":
        began, ended = closes[session], session + horizon
    ended = ended + np.where(rng.random(rows) < late, rng.integers(1, 6, rows), 0)
    known = (ended < sessions) & (rng.random(rows) >= nulls)
    y = rng.integers(0, 2, rows).astype(np.float32) if kind == "class" else rng.normal(size=rows).astype(np.float32)
    ends = opens if start == "open" else closes
    panel = Panel(
        tuple(f"S{i:02d}" for i in range(symbols)),
        np.array([s.date for s in days], "datetime64[D]"),
        symbol.astype(np.int16),
        session.astype(np.int32),
        closes[session],
        tuple(f"f{i}" for i in range(features)),
        x,
    )
    target = Target(
        "direction_5d" if kind == "class" else "forward_return_5d",
        kind,  # type: ignore[arg-type]
        horizon,
        np.where(known, y, np.nan).astype(np.float32),
        np.where(known, began, 0),
        np.where(known, ends[np.minimum(ended, sessions - 1)], 0),
    )
    return panel, target


def taken(panel: Panel, target: Target, rows: np.ndarray) -> tuple[Panel, Target]:
    """Some rows of a panel, in their order, on the same sessions."""
    part = Panel(
        panel.symbols,
        panel.sessions,
        panel.symbol_id[rows],
        panel.session_id[rows],
        panel.decision_ns[rows],
        panel.features,
        panel.x[rows],
    )
    mine = Target(target.name, target.kind, target.horizon, target.y[rows], target.start_ns[rows], target.end_ns[rows])
    return part, mine
