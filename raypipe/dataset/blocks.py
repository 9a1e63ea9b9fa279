"""How a run of sessions is cut into parts that test, by number: nothing here knows of rows, times or labels."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from raypipe.schema.modeling import CvParams

__all__ = ["Cut", "cut", "runs"]


@dataclass(frozen=True, slots=True)
class Cut:
    """One fold before anything is purged.

    Attributes
    ----------
    tests
        Half-open ranges of sessions that test, apart from each other.
    train
        Which sessions may train, bool (sessions,).
    """

    tests: tuple[tuple[int, int], ...]
    train: np.ndarray


def cut(count: int, cv: CvParams) -> tuple[list[Cut], tuple[tuple[int, ...], ...] | None]:
    """The folds of ``count`` sessions, and for ``cpcv`` its paths: per group the fold (from 1 on) that tests it.

    Returns
    -------
    No fold at all if the sessions do not suffice.
    """
    if cv.scheme == "walk_forward":
        return _walk_forward(count, cv), None
    parts = cv.n_folds if cv.scheme == "purged_kfold" else cv.n_groups
    if count < parts:
        return [], None
    groups = _blocks(0, count, parts)
    if cv.scheme == "purged_kfold":
        return [_around(count, (group,)) for group in groups], None
    combinations = list(itertools.combinations(range(parts), cv.test_groups))
    folds = [_around(count, _merged([groups[i] for i in chosen])) for chosen in combinations]
    testing = [[i for i, chosen in enumerate(combinations, start=1) if group in chosen] for group in range(parts)]
    return folds, tuple(zip(*testing, strict=True))


def _walk_forward(count: int, cv: CvParams) -> list[Cut]:
    if cv.test_sessions is not None:
        first = cv.min_train_sessions
        starts = range(first, count - cv.test_sessions + 1, cv.test_sessions)
        blocks = [(start, start + cv.test_sessions) for start in starts]
    else:
        first = max(cv.min_train_sessions, -(-count // (cv.n_folds + 1)))
        blocks = _blocks(first, count, cv.n_folds) if count - first >= cv.n_folds else []
    reach = count if cv.window == "expanding" else cv.train_sessions
    place = np.arange(count)
    return [Cut((block,), (place < block[0]) & (place >= block[0] - reach)) for block in blocks]


def _blocks(first: int, end: int, parts: int) -> list[tuple[int, int]]:
    """Contiguous blocks whose sizes differ by at most one, longer ones first."""
    size, longer = divmod(end - first, parts)
    edges = [first, *itertools.accumulate([size + (i < longer) for i in range(parts)], initial=first)][1:]
    return list(itertools.pairwise(edges))


def _merged(groups: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    found: list[tuple[int, int]] = []
    for start, end in groups:
        if found and found[-1][1] == start:
            found[-1] = (found[-1][0], end)
        else:
            found.append((start, end))
    return tuple(found)


def _around(count: int, tests: tuple[tuple[int, int], ...]) -> Cut:
    train = np.ones(count, bool)
    for start, end in tests:
        train[start:end] = False
    return Cut(tests, train)


def runs(hit: np.ndarray) -> list[tuple[int, int]]:
    """First and last place, both included, of each run of true values.

    Examples
    --------
    >>> runs(np.array([True, True, False, True]))
    [(0, 1), (3, 3)]
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[False], hit, [False]]).astype(np.int8)))
    return [(int(start), int(end) - 1) for start, end in edges.reshape(-1, 2)]
