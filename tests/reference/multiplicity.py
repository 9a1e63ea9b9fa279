"""Naive references for what choosing costs: shifts one row at a time, halvings by itertools, books day by day."""

from __future__ import annotations

import itertools
import math

import numpy as np
from scipy import stats


def shifted_objective(p, y, fold, session, symbol, offset, score):
    """Mean over folds of ``score(outcomes, predictions)`` after outcomes have moved by ``offset`` of all sessions."""
    days = sorted(set(session.tolist()))
    label = {(days.index(s), k): v for s, k, v in zip(session.tolist(), symbol.tolist(), y.tolist(), strict=True)}
    values = []
    for one in sorted(set(fold.tolist())):
        pairs = [
            (label[moved], float(p[i]), session[i])
            for i in np.flatnonzero(fold == one)
            if (moved := ((days.index(session[i]) + offset) % len(days), symbol[i])) in label
        ]
        if pairs and np.isfinite([b for _, b, _ in pairs]).all():
            values.append(score(*(np.array(column) for column in zip(*pairs, strict=True))))
    return np.nanmean(values)


def pbo(scores):
    """Every halving; the average rank of the chosen against the middle one."""
    blocks, candidates = scores.shape
    worse = []
    for chosen in itertools.combinations(range(blocks), blocks // 2):
        rest = [b for b in range(blocks) if b not in chosen]
        best = int(np.argmax(scores[list(chosen)].mean(axis=0).round(12)))
        rank = stats.rankdata(scores[rest].mean(axis=0).round(12))[best]
        worse.append(rank < (candidates + 1) / 2)
    return float(np.mean(worse))


def book(weights, opens, horizon, trade_bps, borrow_bps_year):
    """Gross and net returns, turnover and carried weights, one session and one symbol after the other."""
    sessions, symbols = weights.shape
    held, price = [0.0] * symbols, [math.nan] * symbols
    gross, net, traded, carried = [], [], [], 0
    for t in range(sessions):
        target = weights[max(0, t - horizon + 1) : t + 1].mean(axis=0)
        cost = earned = units = 0.0
        for k in range(symbols):
            if math.isnan(opens[t, k]):
                carried += target[k] != held[k]
            else:
                units += abs(target[k] - held[k])
                held[k], price[k] = target[k], opens[t, k]
            cost += max(-held[k], 0) * borrow_bps_year / 1e4 / 252
            if not math.isnan(opens[t + 1, k]) and not math.isnan(price[k]):
                earned += held[k] * (opens[t + 1, k] / price[k] - 1)
        gross.append(earned)
        net.append(earned - cost - units * trade_bps / 1e4)
        traded.append(units)
    return np.array(gross), np.array(net), float(np.mean(traded)), carried
