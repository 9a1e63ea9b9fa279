"""Naive references for scores: every pair looked at, one session after the other."""

from __future__ import annotations

import math

import numpy as np


def auc(y, p):
    """Mann-Whitney over all pairs; a tie counts half."""
    above, pairs = 0.0, 0
    for i in range(len(y)):
        for j in range(len(y)):
            if y[i] == 1 and y[j] == 0:
                pairs += 1
                above += 1.0 if p[i] > p[j] else 0.5 if p[i] == p[j] else 0.0
    return above / pairs if pairs else math.nan


def mean_ranks(values):
    return [sum(w < v for w in values) + (sum(w == v for w in values) + 1) / 2 for v in values]


def ece(y, p, bins=10):
    """Ten bins by the mean rank, so that equal predictions stay together."""
    n = len(y)
    place = [min(int((r - 0.5) * bins / n), bins - 1) for r in mean_ranks(list(p))]
    total = 0.0
    for one in range(bins):
        rows = [i for i in range(n) if place[i] == one]
        if rows:
            total += len(rows) / n * abs(np.mean([p[i] for i in rows]) - np.mean([y[i] for i in rows]))
    return total
