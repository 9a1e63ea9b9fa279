"""A lake of the demo's daily bars: three symbols with a signal planted, and a configuration that makes models of it."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from raypipe.calendar import calendar
from raypipe.sources.synthetic.daily import SIGNAL_TARGET, daily_csv, daily_symbols

SYMBOLS = daily_symbols(3)
SESSIONS = calendar().between(dt.date(2020, 1, 2), dt.date(2021, 12, 31))[:320]
#: The last hundred sessions are the hold-out; gates that any model passes but the one that asks for more than chance.
PROFILE = f"""
run: {{executor: serial, steps: [models]}}
panel: {{symbols_file: symbols.txt, market_means: []}}
cv: {{n_folds: 3, min_train_sessions: 60, min_fold_rows: 50}}
tune: {{target: {SIGNAL_TARGET}, algorithms: [logistic, lightgbm], n_configs: 2, per_symbol: false}}
holdout:
  start: {SESSIONS[-100].key}
  threshold_auc: 0
  threshold_sharpe: -99
  threshold_dsr: 0
  threshold_pbo: 1
  max_best_of_n: 1
"""


def write_lake(root: Path) -> Path:
    """A folder to work in: `raypipe.yaml`, a list of symbols, and a lake with their bars; returns the lake."""
    raw = root / "lake" / "raw" / "ohlcv_1d"
    raw.mkdir(parents=True)
    (raw / "bars.csv").write_bytes(daily_csv(7, SESSIONS, len(SYMBOLS)))
    (root / "symbols.txt").write_text("\n".join(SYMBOLS) + "\n", encoding="utf-8")
    (root / "raypipe.yaml").write_text(f"lake: {{root: {root / 'lake'}}}\n{PROFILE}", encoding="utf-8")
    return root / "lake"
