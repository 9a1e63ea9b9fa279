"""Splits by definition: loops over sessions, one pair at a time."""

from __future__ import annotations

from collections.abc import Sequence

Interval = tuple[int, int]


def meets(a: Interval, b: Interval) -> bool:
    """Whether two closed intervals share a moment."""
    return a[0] <= b[1] and b[0] <= a[1]


def walk_forward_blocks(count: int, folds: int, least: int) -> list[list[int]]:
    """The sessions of each block that tests."""
    first = max(least, -(-count // (folds + 1)))
    left, blocks, at = count - first, [], first
    for i in range(folds):
        size = left // folds + (1 if i < left % folds else 0)
        blocks.append(list(range(at, at + size)))
        at += size
    return blocks


def segments(tests: Sequence[int]) -> list[list[int]]:
    """Sessions that test, cut where they are not neighbours."""
    found: list[list[int]] = []
    for session in sorted(tests):
        if found and found[-1][-1] == session - 1:
            found[-1].append(session)
        else:
            found.append([session])
    return found


def left_out(
    rows: Sequence[Sequence[Interval]],
    closes: Sequence[int],
    tests: Sequence[int],
    candidates: Sequence[int],
    embargo: int,
    *,
    forward: bool,
) -> tuple[set[int], set[int]]:
    """Sessions that are purged, and those embargoed; ``rows`` are the intervals of each session's rows."""
    purged, embargoed = set(), set()
    for segment in segments(tests):
        mine = [row for session in segment for row in rows[session]]
        if not mine:
            continue
        hull = min(row[0] for row in mine), max(row[1] for row in mine)
        after = [s for s in range(len(closes)) if closes[s] > hull[1]][:embargo]
        for session in candidates:
            if rows[session]:
                own = min(row[0] for row in rows[session]), max(row[1] for row in rows[session])
                if meets(own, hull):
                    purged.add(session)
                last = [s for s in range(segment[0] - embargo, segment[0]) if s >= 0]
                if forward and embargo and last and last[0] > 0 and own[1] > closes[last[0] - 1]:
                    embargoed.add(session)
            between = closes[session] <= hull[1] and session > segment[-1] and embargo
            if (session in after and session > segment[-1]) or between:
                embargoed.add(session)
    return purged, embargoed - purged
