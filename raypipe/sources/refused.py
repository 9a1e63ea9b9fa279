"""Rows that break a rule: counted, sampled for messages, kept with reason and place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import pyarrow as pa

from raypipe.schema.family import Finding

__all__ = ["Refused"]

_SAMPLES = 10


class Refused:
    """The rows of one session that were set aside.

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
        """How many rows."""
        return self.counts.total()

    @property
    def first(self) -> str:
        """The first row set aside for the commonest reason."""
        worst, _ = self.counts.most_common(1)[0]
        return self._samples[worst][0]

    def add(self, rows: pa.Table, reasons: Sequence[str], sample: Callable[[int], str]) -> None:
        """Set rows aside.

        Parameters
        ----------
        rows
            As they stand in quarantine, with their reasons.
        reasons
            One per row.
        sample
            Place of a row -> what is said of it; asked of the first few of each reason.
        """
        self.counts.update(reasons)
        for place, reason in enumerate(reasons):
            samples = self._samples.setdefault(reason, [])
            if len(samples) < _SAMPLES:
                samples.append(sample(place))
        self._tables.append(rows)

    @property
    def table(self) -> pa.Table | None:
        """Reason, place and values as read; None if there is none."""
        return pa.concat_tables(self._tables) if self._tables else None

    @property
    def findings(self) -> list[Finding]:
        """A finding for each reason."""
        return [
            Finding(f"quarantined_{reason}", f"{count:,} rows set aside: {reason}", count, tuple(self._samples[reason]))
            for reason, count in sorted(self.counts.items())
        ]
