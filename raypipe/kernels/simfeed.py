"""Two streams of book records as one feed, by time, with receipt times and sequence numbers, and its trades apart."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from raypipe.kernels._jit import kernel

__all__ = ["TRADE_WORDS", "merge_feed"]

#: Words of a trade record: the first of a book record.
TRADE_WORDS = 6
_TRADE = 84
_RECEIPT_NS, _JITTER_NS = 90_000, 240_000
_DELTA_NS, _DELTA_MASK = 12_000, 8_191


@kernel
def merge_feed(
    lead: NDArray[np.int64],
    others: NDArray[np.int64],
    dice: NDArray[np.int64],
    last: NDArray[np.int64],
    rows: NDArray[np.int64],
    trades: NDArray[np.int64],
) -> int:
    """Merge records by time; at one time those of ``lead`` come first.

    Parameters
    ----------
    lead, others
        Book records as words, int64 (n, 46) and (m, 46), each in order of time.
    dice
        Random numbers below 2**32, int64 (n + m,): how late a record is received.
    last
        Receipt time, sequence, time and instrument of the last record before, int64 (4,); changed in place. Receipt
        times never fall, and each event, which is what one instrument shows at one time, has a sequence number.
    rows
        Receives the records, int64 (n + m, 46).
    trades
        Receives the first words of those that are trades, int64 (n + m, 6).

    Returns
    -------
    How many are trades.
    """
    i = j = found = 0
    for k in range(len(rows)):
        from_lead = j == len(others) or (i < len(lead) and lead[i, 1] <= others[j, 1])
        row = lead[i] if from_lead else others[j]
        if from_lead:
            i += 1
        else:
            j += 1
        rows[k] = row
        if row[1] != last[2] or row[0] != last[3]:
            last[1] += 1
        last[0] = max(last[0], row[1] + _RECEIPT_NS + (dice[k] * _JITTER_NS >> 32))
        last[2] = row[1]
        last[3] = row[0]
        rows[k, 4] = last[0]
        rows[k, 5] = (_DELTA_NS + (dice[k] & _DELTA_MASK)) | (last[1] << 32)
        if (row[3] >> 32) & 255 == _TRADE:
            trades[found] = rows[k, :TRADE_WORDS]
            found += 1
    return found
