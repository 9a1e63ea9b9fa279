"""Daily bars of a panel's symbols, from the lake: what windows of indicators are made of."""

from __future__ import annotations

import hashlib

import numpy as np

from raypipe.config import Config
from raypipe.dataset.matrix import Panel
from raypipe.errors import PartitionError, UsageError
from raypipe.features.ta_windows import BAR_COLUMNS, TaBars
from raypipe.lake.manifest import InputSummary
from raypipe.lake.store import Lake
from raypipe.pipeline.views import declared_tables

__all__ = ["BARS", "bars_summary", "load_bars"]

BARS = "silver/bars_1d"
_DIGITS = 32


def load_bars(config: Config, panel: Panel) -> TaBars:
    """Daily bars of a panel's symbols; a symbol without rows has none.

    Raises
    ------
    UsageError
        If a symbol with rows has no bars in the lake.
    """
    lake, spec = Lake(config.lake.location), declared_tables(config)[BARS]
    there = set(np.unique(panel.symbol_id).tolist())
    none = spec.empty().select(list(BAR_COLUMNS))
    tables = []
    for i, symbol in enumerate(panel.symbols):
        try:
            tables.append(lake.read(spec, symbol, BAR_COLUMNS) if i in there else none)
        except PartitionError as error:
            msg = f"windows of indicators need daily bars, and {BARS} has none of {symbol}: {error.message}"
            raise UsageError(msg, hint="build them: raypipe run; or search without tune.windows") from None
    return TaBars.of(tables)


def bars_summary(config: Config, panel: Panel) -> InputSummary:
    """Which bars `load_bars` reads, and a hash of their fingerprints."""
    lake, spec = Lake(config.lake.location), declared_tables(config)[BARS]
    symbols = sorted(panel.symbols[i] for i in np.unique(panel.symbol_id))
    manifests = [lake.manifest(spec, symbol) for symbol in symbols]
    found = "\n".join(one.fingerprint if one else "" for one in manifests)
    digest = hashlib.sha256(found.encode()).hexdigest()[:_DIGITS]
    return InputSummary(symbols[0], symbols[-1], len(symbols), digest)
