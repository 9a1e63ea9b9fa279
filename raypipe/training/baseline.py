"""How features were distributed where models were fitted: what live features are held against."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa

from raypipe.dataset.matrix import Panel
from raypipe.evaluation.baseline import Windows, baseline_of
from raypipe.features.ta_windows import WINDOWS_OF, TaColumns
from raypipe.training.indicators import DEFAULT, NAMES
from raypipe.training.journal import POOLED

__all__ = ["ALL", "BASELINE", "Further", "baseline_table", "indicator_columns"]

#: Name of the rows of all symbols together.
ALL = "*"
BASELINE = pa.schema(
    [
        ("feature", pa.string()),
        ("symbol", pa.string()),
        ("interval_min", pa.int16()),
        ("edges", pa.list_(pa.float64())),
        ("counts", pa.list_(pa.int64())),
        ("n", pa.int64()),
        ("n_null", pa.int64()),
        *[(name, pa.float64()) for name in ("mean", "sd", "psi_null95", "ks_null95")],
    ]
)


#: A column beside those of the panel: its name, its values of all rows, and the symbols of whose rows it is told.
Further: TypeAlias = tuple[str, np.ndarray, Collection[str]]


def baseline_table(panel: Panel, rows: np.ndarray, columns: Sequence[str], further: Iterable[Further] = ()) -> pa.Table:
    """`baseline.parquet`: each feature over the rows of a fit, of all symbols (``*``) and of each.

    Parameters
    ----------
    panel
        All rows.
    rows
        int64: those of the fit.
    columns
        Features of the panel.
    further
        Columns that the panel does not have.
    """
    symbol_id, session = panel.symbol_id[rows], panel.session_id[rows]
    bounds = np.searchsorted(symbol_id, np.arange(len(panel.symbols) + 1))
    parts = {ALL: slice(0, len(rows))}
    parts |= {name: slice(int(bounds[i]), int(bounds[i + 1])) for i, name in enumerate(panel.symbols)}
    windows = {symbol: Windows.of(session[part]) for symbol, part in parts.items() if part.stop > part.start}
    found = []
    for name, values, symbols in (*((name, panel.column(name), parts) for name in columns), *further):
        mine = values[rows]
        for symbol, own in windows.items():
            if symbol in symbols:
                found.append(_baseline_row(name, symbol, mine[parts[symbol]], own))
    return pa.Table.from_pylist(found, BASELINE)


def indicator_columns(
    windows: Mapping[tuple[str, str], Mapping[str, int]], made: TaColumns, symbols: Sequence[str]
) -> Iterator[Further]:
    """Columns of indicators that models read, each named with its windows, such as ``ta_rsi_14``.

    Parameters
    ----------
    windows
        Those of each model, by (algorithm, scope): one over all symbols reads its columns of all, another of its own.
    made
        The columns of the panel's rows.
    symbols
        Those of the panel.
    """
    readers: dict[tuple[str, tuple[int, ...]], set[str]] = {}
    for (_, scope), own in sorted(windows.items()):
        for column in NAMES:
            key = column, tuple(own[one] for one in WINDOWS_OF[column])
            readers.setdefault(key, set()).update((ALL, *symbols) if scope == POOLED else (scope,))
    for (column, lengths), read in readers.items():
        values = made.of({**DEFAULT, **dict(zip(WINDOWS_OF[column], lengths, strict=True))})
        yield "_".join([column, *map(str, lengths)]), values[:, NAMES.index(column)], read


def _baseline_row(feature: str, symbol: str, values: np.ndarray, windows: Windows) -> dict[str, Any]:
    one = baseline_of(values, windows)
    numbers = {name: getattr(one, name) for name in ("mean", "sd", "psi_null95", "ks_null95")}
    return {
        "feature": feature,
        "symbol": symbol,
        "interval_min": 0,
        "edges": one.edges,
        "counts": one.counts,
        "n": one.n,
        "n_null": one.n_null,
        **{name: None if math.isnan(value) else value for name, value in numbers.items()},
    }
