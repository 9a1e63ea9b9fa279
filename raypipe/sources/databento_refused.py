"""Records that break a rule: counted, sampled for messages, kept with reason and place."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa

from raypipe.kernels.dbn import REASONS
from raypipe.schema.family import Finding

__all__ = ["Refused"]

_SAMPLES = 10


class Refused:
    """The records of one session that were set aside.

    Attributes
    ----------
    counts
        How many, by reason.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._samples: dict[str, list[str]] = {}
        self._tables: list[pa.Table] = []

    @property
    def total(self) -> int:
        """How many records."""
        return self.counts.total()

    @property
    def first(self) -> str:
        """The first record set aside for the commonest reason."""
        worst, _ = self.counts.most_common(1)[0]
        return self._samples[worst][0]

    def add(self, words: np.ndarray, codes: np.ndarray, file: str, first_row: int) -> None:
        """Set aside the records of a chunk whose code is not 0.

        Parameters
        ----------
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
        self.counts.update(reasons)
        for reason, number, price in zip(reasons, numbers.tolist(), rows[:, 2].tolist(), strict=True):
            samples = self._samples.setdefault(reason, [])
            if len(samples) < _SAMPLES:
                samples.append(f"{file} row {number}: price {price / 1e9:.9g}")
        self._tables.append(_table(rows, reasons, numbers, file))

    @property
    def table(self) -> pa.Table | None:
        """Reason, file, row and values; None if there is none."""
        return pa.concat_tables(self._tables) if self._tables else None

    @property
    def findings(self) -> list[Finding]:
        """A finding for each reason."""
        return [
            Finding(f"quarantined_{reason}", f"{count:,} rows set aside: {reason}", count, tuple(self._samples[reason]))
            for reason, count in sorted(self.counts.items())
        ]


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
