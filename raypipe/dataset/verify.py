"""Whether a file of splits may be used: nine rules, checked by force, with no code of what makes such files.

==  ==========================================================================================
V1  The file holds the keys that it should, and no other.
V2  It was made for this target, these rows and this calendar.
V3  Parts do not overlap; tests cover the sessions; of combinations each stands once.
V4  No session that trains has an interval that meets one that tests, pair by pair.
V5  Sessions close behind a test do not train, nor those whose labels end close before it.
V6  Walk-forward trains on the past only.
V7  Nothing touches the hold-out.
V8  Each part has enough rows, and both classes.
V9  What is recorded of each fold is so.
==  ==========================================================================================
"""

from __future__ import annotations

import datetime as dt
import hashlib
import itertools
import json
import math
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from raypipe.calendar import Calendar
from raypipe.dataset.matrix import Panel, Target
from raypipe.errors import SplitsError
from raypipe.schema.modeling import CvParams

__all__ = ["verify_splits"]

_KEYS = {
    "schema": int,
    "target": str,
    "horizon_sessions": int,
    "scheme": str,
    "window": str,
    "n_folds": int,
    "embargo_sessions": int,
    "calendar": str,
    "calendar_sha256": str,
    "data_sha256": str,
    "symbols": list,
    "cv": dict,
    "holdout": (dict, type(None)),
    "folds": list,
    "paths": (list, type(None)),
    "code_version": str,
}
_PARTS = ("train", "test", "purged", "embargoed")
_COUNTS = ("n_train_rows", "n_test_rows", "n_train_sessions", "n_test_sessions")
_RATES = ("base_rate_train", "base_rate_test")
_FOLD_KEYS = {"id", *_PARTS, *_COUNTS, *_RATES}
_SCHEMES = ("walk_forward", "purged_kfold", "cpcv")


def verify_splits(data: bytes, panel: Panel, target: Target, cal: Calendar, cv: CvParams | None = None) -> None:
    """Hold a file of splits against the panel, the target and the calendar in use.

    Parameters
    ----------
    data
        The file.
    panel, target
        What is to be trained on.
    cal
        The calendar.
    cv
        Which rows are usable, and how many a part needs; the defaults if None.

    Raises
    ------
    SplitsError
        Naming the rule, and fold, symbol and session where they apply.
    """
    facts = _Facts.of(panel, target, cal, cv or CvParams())
    file = _parsed(data, facts)
    _check_source(file, facts)
    _check_cover(file, facts)
    for fold in file.folds:
        _check_overlap(fold, facts)
        _check_embargo(file, fold, facts)
        if file.raw["scheme"] == "walk_forward":
            _check_past(fold, facts)
        _check_holdout(file, fold, facts)
        _check_enough(fold, facts)
        _check_records(fold, facts)


def _refuse(rule: str, message: str, **where: Any) -> NoReturn:
    raise SplitsError(message, hint="make the file anew: raypipe splits", rule=rule, **where)


# --- what is so --------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Facts:
    """Per session of the panel: its interval and what it holds. Rows are the usable ones, by session."""

    panel: Panel
    target: Target
    cv: CvParams
    opens: np.ndarray
    closes: np.ndarray
    rows: np.ndarray
    begin: np.ndarray
    end: np.ndarray
    count: np.ndarray
    up: np.ndarray

    @classmethod
    def of(cls, panel: Panel, target: Target, cal: Calendar, cv: CvParams) -> _Facts:
        opens, closes = cal.hours(panel.sessions.view(np.int64))
        share = np.mean(~np.isnan(panel.x), axis=1) if len(panel.features) else np.ones(panel.rows)
        usable = np.nonzero(~np.isnan(target.y) & (share >= cv.min_feature_share))[0]
        rows = usable[np.argsort(panel.session_id[usable], kind="stable")]
        count = np.zeros(len(closes), np.int64)
        begin, end = np.full(len(closes), 2**62), np.full(len(closes), -(2**62))
        up = np.zeros(len(closes), np.int64)
        if len(rows):
            held, first, each = np.unique(panel.session_id[rows], return_index=True, return_counts=True)
            count[held] = each
            begin[held] = np.minimum.reduceat(panel.decision_ns[rows], first)
            end[held] = np.maximum.reduceat(target.end_ns[rows], first)
            up[held] = np.add.reduceat((target.y[rows] > 0).astype(np.int64), first)
        return cls(panel, target, cv, opens, closes, rows, begin, end, count, up)

    def date(self, session: int) -> str:
        """A session by its number."""
        return str(self.panel.sessions[session])

    def symbol(self, session: int) -> str:
        """The symbol whose label ends last in a session."""
        mine = self.rows[self.panel.session_id[self.rows] == session]
        if not len(mine):
            return ""
        last = int(mine[np.argmax(self.target.end_ns[mine])])
        return self.panel.symbols[int(self.panel.symbol_id[last])]


# --- V1, V2: the file --------------------------------------------------------------------------


@dataclass(frozen=True)
class _Fold:
    """One fold with its parts as numbers of sessions, ascending."""

    raw: dict[str, Any]
    parts: dict[str, np.ndarray]

    @property
    def id(self) -> int:
        number: int = self.raw["id"]
        return number


@dataclass(frozen=True)
class _File:
    raw: dict[str, Any]
    first: int
    last: int
    held: tuple[int, int] | None
    folds: tuple[_Fold, ...]

    @property
    def embargo(self) -> int:
        sessions: int = self.raw["embargo_sessions"]
        return sessions


def _parsed(data: bytes, facts: _Facts) -> _File:
    try:
        raw = json.loads(data)
    except (ValueError, RecursionError) as error:
        _refuse("V1", f"not JSON: {error}")
    if not isinstance(raw, dict) or set(raw) != set(_KEYS):
        odd = sorted(set(raw) ^ set(_KEYS)) if isinstance(raw, dict) else raw
        _refuse("V1", f"keys that are missing or unknown: {odd}")
    for key, kind in _KEYS.items():
        if not isinstance(raw[key], kind) or isinstance(raw[key], bool):  # type: ignore[arg-type]
            _refuse("V1", f"{key} is {raw[key]!r}")
    if (raw["schema"], raw["calendar"]) != (1, "XNYS") or raw["scheme"] not in _SCHEMES or raw["embargo_sessions"] < 0:
        _refuse("V1", "schema is 1, calendar XNYS, scheme one of " + ", ".join(_SCHEMES))
    first, last = _range(raw["cv"], facts, None)
    held = _range(raw["holdout"], facts, None) if raw["holdout"] else None
    folds = tuple(_fold(one, i, facts) for i, one in enumerate(raw["folds"], start=1))
    if len(folds) != raw["n_folds"] or not folds:
        _refuse("V1", f"{len(folds)} folds, n_folds says {raw['n_folds']}")
    return _File(raw, first, last, held, folds)


def _fold(raw: Any, number: int, facts: _Facts) -> _Fold:
    if not isinstance(raw, dict) or set(raw) != _FOLD_KEYS or raw["id"] != number:
        odd = sorted(set(raw) ^ _FOLD_KEYS) if isinstance(raw, dict) else raw
        _refuse("V1", f"not a fold: {odd or 'its id'}", fold=number)
    return _Fold(raw, {part: _sessions(raw[part], facts, number) for part in _PARTS})


def _sessions(ranges: Any, facts: _Facts, fold: int) -> np.ndarray:
    if not isinstance(ranges, list):
        _refuse("V1", f"{ranges!r} is no list of ranges", fold=fold)
    found = [_range(one, facts, fold) for one in ranges]
    if any(later[0] <= earlier[1] for earlier, later in itertools.pairwise(found)):
        _refuse("V1", "ranges are not in order", fold=fold)
    return np.array([s for a, b in found for s in range(a, b + 1)], np.int64)


def _range(raw: Any, facts: _Facts, fold: int | None) -> tuple[int, int]:
    """First and last session of a range, by number."""
    if not isinstance(raw, dict) or set(raw) != {"start", "end"}:
        _refuse("V1", f"{raw!r} is no range", fold=fold)
    found = []
    for text in (raw["start"], raw["end"]):
        try:
            day = np.datetime64(dt.date.fromisoformat(text), "D")
        except (TypeError, ValueError):
            _refuse("V1", f"{text!r} is no date", fold=fold)
        hit = np.nonzero(facts.panel.sessions == day)[0]
        if not len(hit):
            _refuse("V1", "not a session of the panel", fold=fold, session=text)
        found.append(int(hit[0]))
    if found[1] < found[0]:
        _refuse("V1", "a range ends before it starts", fold=fold, session=raw["start"])
    return found[0], found[1]


def _check_source(file: _File, facts: _Facts) -> None:
    target, raw = facts.target, file.raw
    if (raw["target"], raw["horizon_sessions"]) != (target.name, target.horizon):
        _refuse("V2", f"made for {raw['target']} over {raw['horizon_sessions']} sessions, not {target.name}")
    ours = sorted(facts.panel.symbols, key=lambda name: name.encode())
    if raw["symbols"] != ours:
        odd = sorted(set(map(str, raw["symbols"])) ^ set(ours)) or ["their order"]
        _refuse("V2", "made for other symbols", symbol=odd[0])
    if raw["calendar_sha256"] != _hash_calendar(facts):
        _refuse("V2", "made for another calendar, or for other sessions of the panel")
    if raw["data_sha256"] != _hash_rows(facts, ours):
        _refuse("V2", "made for other rows: sessions, decisions or label ends differ")


def _hash_calendar(facts: _Facts) -> str:
    days = facts.panel.sessions.view(np.int64)
    return hashlib.sha256(
        b"".join(np.asarray(v, "<i8").tobytes() for v in (days, facts.opens, facts.closes))
    ).hexdigest()


def _hash_rows(facts: _Facts, symbols: list[str]) -> str:
    panel, target = facts.panel, facts.target
    labelled = np.nonzero(~np.isnan(target.y))[0]
    pieces = []
    for symbol in symbols:
        mine = labelled[panel.symbol_id[labelled] == panel.symbols.index(symbol)]
        keys = np.stack(
            [panel.sessions.view(np.int64)[panel.session_id[mine]], panel.decision_ns[mine], target.end_ns[mine]]
        )
        if len(mine):
            keys = keys[:, np.lexsort(keys[::-1])]
            pieces.append(symbol.encode() + b"\0" + np.ascontiguousarray(keys, "<i8").tobytes())
    return hashlib.sha256(b"".join(pieces)).hexdigest()


# --- V3: what is covered -----------------------------------------------------------------------


def _check_cover(file: _File, facts: _Facts) -> None:
    for fold in file.folds:
        every = np.concatenate([fold.parts[part] for part in _PARTS])
        values, times = np.unique(every, return_counts=True)
        if (times > 1).any():
            _refuse("V3", "a session is in two parts", fold=fold.id, session=facts.date(values[times > 1][0]))
        outside = values[(values < file.first) | (values > file.last)]
        if len(outside):
            _refuse("V3", "a session outside of the cross-validation", fold=fold.id, session=facts.date(outside[0]))
        if not len(fold.parts["test"]):
            _refuse("V3", "nothing is tested", fold=fold.id)
    if file.raw["scheme"] == "cpcv":
        _check_combinations(file, facts)
    else:
        _check_blocks(file, facts)


def _check_blocks(file: _File, facts: _Facts) -> None:
    """Tests are contiguous and follow each other up to the last session."""
    forward = file.raw["scheme"] == "walk_forward"
    at = int(file.folds[0].parts["test"][0]) if forward else file.first
    for fold in file.folds:
        test = fold.parts["test"]
        if not np.array_equal(test, np.arange(at, at + len(test))):
            _refuse("V3", "tests overlap, or leave sessions out", fold=fold.id, session=facts.date(int(test[0])))
        at += len(test)
    left = file.last + 1 - at
    shortest = min(len(fold.parts["test"]) for fold in file.folds)
    if left and not (forward and left < shortest):
        _refuse("V3", f"{left} sessions after the last test are not tested", session=facts.date(at))


def _check_combinations(file: _File, facts: _Facts) -> None:
    """Groups are runs of sessions that the same folds test; every combination of them stands once."""
    tested = np.zeros((len(file.folds), file.last + 1 - file.first), bool)
    for i, fold in enumerate(file.folds):
        tested[i, fold.parts["test"] - file.first] = True
    edges = np.nonzero((tested[:, 1:] != tested[:, :-1]).any(axis=0))[0] + 1
    groups = tested[:, np.concatenate([[0], edges])]
    sizes = groups.sum(axis=0)
    count, chosen = groups.shape[1], int(groups[0].sum())
    stated = {tuple(np.nonzero(fold)[0]) for fold in groups}
    if not sizes.all():
        bare = file.first + int(np.concatenate([[0], edges])[int(np.argmin(sizes))])
        _refuse("V3", "a session is never tested", session=facts.date(bare))
    if stated != set(itertools.combinations(range(count), chosen)) or len(stated) != len(file.folds):
        _refuse("V3", f"not every combination of {chosen} of {count} groups stands once")
    paths = file.raw["paths"] or []
    if not all(isinstance(path, list) and all(type(fold) is int for fold in path) for path in paths):
        _refuse("V1", "paths are lists of folds")
    used = sorted((group, fold) for path in paths for group, fold in enumerate(path))
    wanted = sorted((int(group), int(fold) + 1) for fold, group in zip(*np.nonzero(groups), strict=True))
    if len(paths) != math.comb(count - 1, chosen - 1) or used != wanted or any(len(path) != count for path in paths):
        _refuse("V3", "paths do not test each group once, by a fold that tests it")


# --- V4 to V7: what must not meet --------------------------------------------------------------


def _check_overlap(fold: _Fold, facts: _Facts) -> None:
    train, test = (part[facts.count[part] > 0] for part in (fold.parts["train"], fold.parts["test"]))
    meets = (facts.begin[train][:, None] <= facts.end[test]) & (facts.end[train][:, None] >= facts.begin[test])
    if meets.any():
        i, j = (int(found[0]) for found in np.nonzero(meets))
        session = int(train[i])
        msg = f"a row that trains meets one that tests on {facts.date(int(test[j]))}"
        _refuse("V4", msg, fold=fold.id, symbol=facts.symbol(session), session=facts.date(session))


def _check_embargo(file: _File, fold: _Fold, facts: _Facts) -> None:
    if not file.embargo:
        return
    train, test = fold.parts["train"], fold.parts["test"]
    for segment in np.split(test, np.nonzero(np.diff(test) > 1)[0] + 1):
        held = segment[facts.count[segment] > 0]
        if not len(held):
            continue
        over = int(np.sum(facts.closes <= facts.end[held].max()))
        near = train[(train > segment[-1]) & (train < over + file.embargo)]
        edge = int(segment[0]) - file.embargo - 1
        if file.raw["scheme"] == "walk_forward" and edge >= 0:
            near = np.concatenate([near, train[(facts.count[train] > 0) & (facts.end[train] > facts.closes[edge])]])
        if len(near):
            session = int(near[0])
            msg = f"a session within {file.embargo} of a test trains"
            _refuse("V5", msg, fold=fold.id, symbol=facts.symbol(session), session=facts.date(session))


def _check_past(fold: _Fold, facts: _Facts) -> None:
    train, test = fold.parts["train"], fold.parts["test"]
    late = train[train >= test[0]]
    if len(late):
        session = int(late[0])
        msg = "a session trains that is not before the test"
        _refuse("V6", msg, fold=fold.id, symbol=facts.symbol(session), session=facts.date(session))


def _check_holdout(file: _File, fold: _Fold, facts: _Facts) -> None:
    if file.held is None:
        return
    used = np.union1d(fold.parts["train"], fold.parts["test"])
    edge = file.held[0] - file.embargo - 1
    limit = facts.closes[edge] if edge >= 0 else -1
    touching = used[(used >= file.held[0]) | ((facts.count[used] > 0) & (facts.end[used] > limit))]
    if len(touching) or file.last >= file.held[0]:
        session = int(touching[0]) if len(touching) else file.last
        msg = f"a label reaches into the hold-out, which begins on {facts.date(file.held[0])}, or its embargo"
        _refuse("V7", msg, fold=fold.id, symbol=facts.symbol(session), session=facts.date(session))


# --- V8, V9: what is there ---------------------------------------------------------------------


def _check_enough(fold: _Fold, facts: _Facts) -> None:
    for part in ("train", "test"):
        rows, up = (int(values[fold.parts[part]].sum()) for values in (facts.count, facts.up))
        if rows < facts.cv.min_fold_rows:
            _refuse("V8", f"the {part} part has {rows} rows, it needs {facts.cv.min_fold_rows}", fold=fold.id)
        if facts.target.kind == "class" and up in (0, rows):
            _refuse("V8", f"the {rows} rows of the {part} part are of one class", fold=fold.id)


def _check_records(fold: _Fold, facts: _Facts) -> None:
    for part in ("train", "test"):
        sessions = fold.parts[part]
        rows, up = (int(values[sessions].sum()) for values in (facts.count, facts.up))
        so = {f"n_{part}_rows": rows, f"n_{part}_sessions": len(sessions), f"base_rate_{part}": up / rows}
        for key, value in so.items():
            if fold.raw[key] != value:
                _refuse("V9", f"{key} is recorded as {fold.raw[key]!r}, it is {value!r}", fold=fold.id)
