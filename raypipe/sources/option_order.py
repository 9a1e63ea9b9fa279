"""The order of option prints: one list by time, from files that come by contract; and files that must not be added."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from raypipe.errors import SourceError
from raypipe.sources.option_prints import Prints, names_of

__all__ = ["coded", "in_order", "refuse_overlap"]

#: Numbers of contracts that a table by number may span.
_MOST_SPAN = 1 << 22


def refuse_overlap(parts: Sequence[tuple[str, Prints]]) -> None:
    """Two files may share a session, but not the same minutes of the same contract: one print would count twice."""
    spans = [(*_spans(prints), index) for index, (_, prints) in enumerate(parts) if len(prints)]
    if len(spans) <= 1:
        return
    contract, first, last = (np.concatenate([span[i] for span in spans]) for i in range(3))
    file = np.concatenate([np.full(len(span[0]), span[3]) for span in spans])
    order = np.lexsort((last, first, contract))
    contract, first, last, file = contract[order], first[order], last[order], file[order]
    same = contract[1:] == contract[:-1]
    clash = np.flatnonzero(same & (file[1:] != file[:-1]) & (first[1:] < last[:-1]))
    if len(clash):
        k = int(clash[0])
        one, other = parts[int(file[k])][0], parts[int(file[k + 1])][0]
        msg = f"{one} and {other} both hold prints of {names_of(contract[k : k + 1])[0]} at the same time"
        raise SourceError(msg, hint="name one of them only", file=other)


def _spans(prints: Prints) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Contracts of a file with their first and last time."""
    distinct, code = coded(prints.contract)
    first, last = np.full(len(distinct), np.iinfo(np.int64).max), np.zeros(len(distinct), np.int64)
    np.minimum.at(first, code, prints.ts_ns)
    np.maximum.at(last, code, prints.ts_ns)
    return distinct, first, last


def in_order(prints: Prints) -> Prints:
    """By time, contract, sequence and place; files come by contract and time, and then one stable sort is enough."""
    contract, ts_ns, sequence = prints.contract, prints.ts_ns, prints.sequence
    if (sequence < 0).any():
        sequence = np.zeros(len(prints), np.int64)  # without a number for each, the place in the file must do
    rising = _ascending(contract, ts_ns, sequence)
    order = np.argsort(ts_ns, kind="stable") if rising else np.lexsort((sequence, contract, ts_ns))
    return prints.take(order)


def _ascending(contract: np.ndarray, ts_ns: np.ndarray, sequence: np.ndarray) -> bool:
    """Whether rows are sorted by contract, time and sequence."""
    same_contract = contract[1:] == contract[:-1]
    same_time = same_contract & (ts_ns[1:] == ts_ns[:-1])
    later = (contract[1:] > contract[:-1]) | (same_contract & (ts_ns[1:] > ts_ns[:-1]))
    return bool((later | (same_time & (sequence[1:] >= sequence[:-1]))).all())


def coded(contract: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct contracts, ascending, and the code of each print, int32."""
    if not len(contract):
        return contract, np.empty(0, np.int32)
    lowest = int(contract.min())
    span = int(contract.max()) - lowest + 1
    if span > _MOST_SPAN:
        distinct, code = np.unique(contract, return_inverse=True)
        return distinct, code.astype(np.int32)
    # One expiry: strikes lie close together, and a table of them is ten times as fast as sorting.
    there = np.zeros(span, dtype=bool)
    there[contract - lowest] = True
    rank = np.cumsum(there, dtype=np.int32) - np.int32(1)
    return np.flatnonzero(there) + lowest, rank[contract - lowest]
