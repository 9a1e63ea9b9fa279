"""Windows of indicators as part of a search: their space, and rows with the columns that they mean.

A configuration of such a search carries its windows beside the parameters of its family. Its models see the selected
features of the panel, and behind them the columns of `raypipe.features.ta_windows`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from raypipe.dataset.matrix import Panel
from raypipe.features.ta_windows import TA_COLUMNS, TA_WINDOWS, TaBars, TaColumns, TaRows
from raypipe.models.model import Dim, whole

__all__ = ["DEFAULT", "MIN_SESSIONS", "NAMES", "SPACE", "bars_known", "check_windows", "split_windows", "with_columns"]

#: Fewest sessions of a panel on which windows are searched.
MIN_SESSIONS = 720
#: Dimensions beside those of a family; their defaults are the same over all symbols and for one.
SPACE: Mapping[str, Dim] = {name: whole(least, most, usual) for name, (least, most, usual) in TA_WINDOWS.items()}
#: The usual windows.
DEFAULT: Mapping[str, int] = {name: usual for name, (_, _, usual) in TA_WINDOWS.items()}
#: The columns in the order in which they stand behind the features.
NAMES: tuple[str, ...] = tuple(column.name for column in TA_COLUMNS)


def split_windows(config: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, int]]:
    """A configuration as what its family knows, and its windows; these are empty where none were searched.

    Examples
    --------
    >>> split_windows({"l2": 0.5}), split_windows({"l2": 0.5, **DEFAULT})[1]["rsi_n"]
    (({'l2': 0.5}, {}), 14)
    """
    own = {name: value for name, value in config.items() if name not in TA_WINDOWS}
    return own, {name: int(config[name]) for name in TA_WINDOWS} if len(own) < len(config) else {}


def check_windows(windows: Mapping[str, Any]) -> dict[str, int]:
    """Windows as a file states them.

    Raises
    ------
    ValueError
        If one is missing, unknown or out of its range.
    """
    wrong = sorted(name for name in {*windows, *SPACE} if name not in SPACE or windows.get(name) not in SPACE[name])
    if wrong:
        msg = f"windows of indicators {', '.join(wrong)} are missing, unknown or out of range"
        raise ValueError(msg)
    return dict(windows)


def bars_known(bars: TaBars, panel: Panel) -> TaRows:
    """The bars as each row of a panel knows them."""
    days = panel.sessions.astype("datetime64[D]").astype(np.int64)[panel.session_id]
    return bars.rows(panel.symbol_id, days, panel.decision_ns)


def with_columns(panel: Panel, bars: TaBars, windows: Mapping[str, int]) -> Panel:
    """A panel with the columns under some windows behind its own."""
    x = np.hstack([panel.x, TaColumns(bars_known(bars, panel)).of(windows)])
    x.flags.writeable = False
    return replace(panel, features=(*panel.features, *NAMES), x=x)
