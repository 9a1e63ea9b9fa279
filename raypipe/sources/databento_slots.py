"""Contracts of a session by small numbers: what an instrument id stands for, and what was counted of it."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from raypipe.calendar import NS_PER_MINUTE
from raypipe.errors import SourceError
from raypipe.kernels import dbn
from raypipe.sources.databento_symbols import Meaning, is_outright

__all__ = ["Slots"]

_MOST, _TABLE = 4_096, 16_384
_ALWAYS = (-(2**63), 2**63 - 1)
Key = tuple[int, str]


class Slots:
    """The contracts of one session, numbered as they appear.

    Parameters
    ----------
    minutes
        How many minutes are watched for records.

    Attributes
    ----------
    tally
        Statistics by slot, which the kernel adds to.
    names
        Contract of each slot.
    guesses
        Ids whose contract is told by its price alone.
    """

    def __init__(self, minutes: int) -> None:
        self.tally = dbn.Tally(dbn.new_stats(_MOST), np.zeros((_MOST, minutes), dtype=np.uint8))
        self.names: list[str] = []
        self.guesses = 0
        self._keys: list[Key] = []
        self._slot_of: dict[Key, int] = {}
        self._valid = np.zeros((_MOST, 2), dtype=np.int64)
        self._excluded = np.zeros(_MOST, dtype=np.bool_)
        self._counts = np.zeros((_MOST, 2), dtype=np.int64)
        self._numbers = np.zeros(_MOST, dtype=np.uint32)
        self.begin_file()

    def fresh(self) -> Slots:
        """The same contracts, nothing counted."""
        other = Slots(self.tally.minutes.shape[1])
        for key, excluded in zip(self._keys, self._excluded, strict=False):
            other._slot(key, excluded=bool(excluded))
        return other

    # --- ids ------------------------------------------------------------------------------------

    def begin_file(self) -> None:
        """Forget what ids stand for: another file may use them for other contracts."""
        self._table = np.full((_TABLE, 2), -1, dtype=np.int64)
        stats = self.tally.stats
        self._held = stats[:, dbn.ROWS].copy()
        stats[:, dbn.FIRST_RECV], stats[:, dbn.LAST_RECV] = 2**63 - 1, 0

    def end_of_file(self) -> dict[Key, tuple[int, int]]:
        """First and last time of receipt of every outright contract in the file just read."""
        stats = self.tally.stats
        return {
            key: (int(stats[slot, dbn.FIRST_RECV]), int(stats[slot, dbn.LAST_RECV]))
            for slot, key in enumerate(self._keys)
            if stats[slot, dbn.ROWS] > self._held[slot]
        }

    def add(self, number: int, meaning: Meaning) -> None:
        """Say what an id stands for from now on."""
        slot = self._slot((number, meaning.symbol), excluded=not _is_taken(meaning.symbol))
        self._point(number, slot, (meaning.start_ns, meaning.end_ns))

    def add_guess(self, number: int, outright: bool) -> None:
        """Name an unknown id by itself."""
        key = (number, f"ES_{number}")
        self.guesses += key not in self._slot_of
        self._point(number, self._slot(key, excluded=not outright), _ALWAYS)

    def _slot(self, key: Key, *, excluded: bool) -> int:
        if key not in self._slot_of:
            slot = len(self._keys)
            if slot == _MOST:
                msg = f"more than {_MOST} instruments in one session"
                raise SourceError(msg, hint="request ES.FUT or single contracts")
            self._slot_of[key] = slot
            self._keys.append(key)
            self.names.append(key[1])
            self._numbers[slot], self._excluded[slot] = key[0], excluded
        return self._slot_of[key]

    def _point(self, number: int, slot: int, valid: tuple[int, int]) -> None:
        self._valid[slot] = valid
        k = number & (_TABLE - 1)
        while self._table[k, 0] not in (number, -1):
            k = (k + 1) & (_TABLE - 1)
        self._table[k] = number, slot

    def route(self, words: np.ndarray, at: int, window: tuple[int, int], slot_of: np.ndarray) -> tuple[int, int]:
        """See `raypipe.kernels.dbn.route`."""
        bounds = np.array(window, dtype=np.int64)
        return dbn.route(words, at, bounds, self._table, self._valid, self._excluded, self._counts, slot_of)

    # --- what was counted -----------------------------------------------------------------------

    @property
    def numbers(self) -> np.ndarray:
        """Instrument id of each slot, uint32."""
        return self._numbers

    def key(self, slot: int) -> Key:
        """Id and contract of a slot."""
        return self._keys[slot]

    def order(self, slot: int) -> tuple[int, str]:
        """What slots are sorted by where time does not decide."""
        return self._keys[slot]

    @property
    def rows(self) -> int:
        """Rows taken."""
        return int(self.tally.stats[:, dbn.ROWS].sum())

    @property
    def steps_back(self) -> int:
        """How often time stepped back within a contract."""
        return int(self.tally.stats[:, dbn.STEPS_BACK].sum())

    @property
    def disordered(self) -> list[int]:
        """Slots whose time stepped back."""
        return [int(slot) for slot in np.flatnonzero(self.tally.stats[:, dbn.STEPS_BACK])]

    def is_disordered(self, key: Key) -> bool:
        """Whether time stepped back within a contract."""
        return key in self._slot_of and bool(self.tally.stats[self._slot_of[key], dbn.STEPS_BACK])

    @property
    def excluded_totals(self) -> tuple[int, int]:
        """Rows and lots of instruments that are no outrights."""
        rows, lots = self._counts.sum(axis=0)
        return int(rows), int(lots)

    def facts(self, start_ns: int, rth_minute: int) -> dict[str, str]:
        """Texts for the footer.

        Parameters
        ----------
        start_ns
            Start of the first minute watched.
        rth_minute
            Number of the first minute of regular trading.
        """
        stats, minutes = self.tally.stats, self.tally.minutes
        taken = sorted((s for s in range(len(self._keys)) if stats[s, dbn.ROWS]), key=self.order)
        best = max(taken, key=lambda slot: (stats[slot, dbn.LOTS], stats[slot, dbn.ROWS], -slot), default=None)
        seen = minutes[best] if best is not None else np.zeros_like(minutes[0])
        return {
            "instruments": _json([self._described(slot, rth_minute) for slot in taken]),
            "excluded": _json(
                [self._left_out(slot) for slot in sorted(np.flatnonzero(self._excluded).tolist(), key=self.order)]
            ),
            "rth_minutes": str(len(seen) - rth_minute),
            "rth_minutes_covered": str(int(seen[rth_minute:].sum())),
            "coverage": f"{float(seen.mean()) if len(seen) else 0.0:.6f}",
            "missing_minutes": _json(_gaps(seen, start_ns)),
        }

    def _described(self, slot: int, rth_minute: int) -> dict[str, Any]:
        stats = self.tally.stats[slot]
        number, contract = self._keys[slot]
        return {
            "instrument_id": number,
            "contract": contract,
            "rows": int(stats[dbn.ROWS]),
            "lots": int(stats[dbn.LOTS]),
            "first_ns": int(stats[dbn.FIRST_EVENT]),
            "last_ns": int(stats[dbn.LAST_EVENT]),
            "rth_minutes": int(self.tally.minutes[slot, rth_minute:].sum()),
        }

    def _left_out(self, slot: int) -> dict[str, Any]:
        (number, symbol), (rows, lots) = self._keys[slot], self._counts[slot].tolist()
        return {"instrument_id": number, "symbol": symbol, "rows": rows, "lots": lots}


def _is_taken(symbol: str) -> bool:
    """Whether records of a symbol become rows: of an outright, or of a series that is called ES and nothing more."""
    return is_outright(symbol) or symbol == "ES"


def _gaps(seen: np.ndarray, start_ns: int) -> list[list[int]]:
    """Runs of minutes without a record, as [start, end) in ns UTC."""
    edges = np.flatnonzero(np.diff(np.concatenate(([1], seen, [1])).astype(np.int8)))
    return [[start_ns + int(edge) * NS_PER_MINUTE for edge in pair] for pair in edges.reshape(-1, 2)]


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
