"""Records of Databento files that break a rule, as rows of the quarantine."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from raypipe.kernels.dbn import REASONS
from raypipe.sources.refused import Refused

__all__ = ["set_aside"]


def set_aside(refused: Refused, words: np.ndarray, codes: np.ndarray, file: str, first_row: int) -> None:
    """Set aside the records of a chunk whose code is not 0.

    Parameters
    ----------
    refused
        Takes them.
    words
        int64 (records, words).
    codes
        uint8 (records,): place in `raypipe.kernels.dbn.REASONS`.
    file, first_row
        Where the chunk stands: its file, and the number of its first record there.
    """
    bad = np.flatnonzero(codes)
    reasons = [REASONS[code] for code in codes[bad]]
    rows, numbers = words[bad], bad + first_row
    table = _table(rows, reasons, numbers, file)
    refused.add(table, reasons, lambda at: f"{file} row {numbers[at]}: price {int(rows[at, 2]) / 1e9:.9g}")


def _table(rows: np.ndarray, reasons: list[str], numbers: np.ndarray, file: str) -> pa.Table:
    pack = rows[:, 3]
    return pa.table(
        {
            "reason": pa.array(reasons, pa.string()),
            "file": pa.array([file] * len(reasons), pa.string()),
            "row": pa.array(numbers),
            "ts_event_ns": pa.array(rows[:, 1].copy()),
            "ts_recv_ns": pa.array(rows[:, 4].copy()),
            "instrument_id": pa.array((rows[:, 0] >> 32 & 0xFFFFFFFF).astype(np.uint32)),
            "price_e9": pa.array(rows[:, 2].copy()),
            "size": pa.array((pack & 0xFFFFFFFF).astype(np.uint32)),
            "action": pa.array((pack >> 32 & 0xFF).astype(np.uint8)),
            "side": pa.array((pack >> 40 & 0xFF).astype(np.uint8)),
            "flags": pa.array((pack >> 48 & 0xFF).astype(np.uint8)),
        }
    )
