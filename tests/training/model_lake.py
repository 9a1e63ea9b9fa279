"""A small lake of daily bars with targets and a panel, for tests of modelling."""

from __future__ import annotations

import datetime as dt
import threading
from pathlib import Path

import numpy as np

from raypipe.calendar import calendar
from raypipe.config import Config, load_config
from raypipe.lake.store import Lake
from raypipe.pipeline.driver import execute
from raypipe.pipeline.executor import Serial
from raypipe.pipeline.plan import Request, make_plan

SYMBOLS = ("BBB", "AAA", "DDD", "CCC", "FFF", "EEE")
SESSIONS = calendar().between(dt.date(2020, 1, 2), dt.date(2021, 12, 31))
SETS = ("run.executor=serial", "panel.symbols_file=symbols.txt", "cv.min_train_sessions=60", "cv.min_fold_rows=50")


def config_of(root: Path, *sets: str) -> Config:
    """The configuration of such a lake."""
    return load_config(env={}, folder=root, sets=[f"lake.root={root / 'lake'}", *SETS, *sets])


def make_lake(root: Path, sessions: int = 420) -> Config:
    """Bars of six symbols in a file, a list of them and one more, and everything that is made of the bars."""
    rng = np.random.default_rng(5)
    lines = ["date,symbol,open,high,low,close,volume"]
    for symbol in SYMBOLS:
        # Volatility comes in waves, so that there is something to learn.
        sigma = 0.01 * np.exp(np.sin(np.arange(sessions) / 25.0 + rng.uniform(0, 6)))
        close = 40 * np.exp(np.cumsum(rng.normal(0, sigma)))
        first = close * np.exp(rng.normal(0, sigma / 3))
        high, low = np.maximum(first, close) * (1 + sigma / 4), np.minimum(first, close) * (1 - sigma / 4)
        volume = np.round(rng.lognormal(13, 0.5, sessions))
        lines += [
            f"{session.key},{symbol},{a:.6f},{b:.6f},{c:.6f},{d:.6f},{e:.0f}"
            for session, a, b, c, d, e in zip(SESSIONS, first, high, low, close, volume, strict=False)
        ]
    folder = root / "lake" / "raw" / "ohlcv_1d"
    folder.mkdir(parents=True)
    (folder / "bars.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (root / "symbols.txt").write_text("\n".join((*SYMBOLS, "NONE")) + "\n", encoding="utf-8")
    config = config_of(root)
    result = execute(make_plan(Lake(config.lake.location), config.params, Request()), Serial(), stop=threading.Event())
    assert not [outcome for outcome in result.outcomes if outcome.status != "built"]
    return config
