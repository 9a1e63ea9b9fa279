"""The file of splits: which sessions train and test in each fold, as dates; the same bytes for equal input."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

from raypipe import __version__
from raypipe.errors import SplitsError

__all__ = ["Fold", "Ranges", "Splits"]

SCHEMA = 1
#: First and last session of each range, both included, as ISO dates.
Ranges = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Fold:
    """One fold: which sessions train and test, which were left out, and what that comes to.

    ``id`` counts from 1; 0 stands for all rows of the cross-validation elsewhere. Rates are shares of ``y > 0``.
    """

    id: int
    train: Ranges
    test: Ranges
    purged: Ranges
    embargoed: Ranges
    n_train_rows: int
    n_test_rows: int
    n_train_sessions: int
    n_test_sessions: int
    base_rate_train: float
    base_rate_test: float


@dataclass(frozen=True, slots=True)
class Splits:
    """The content of a file of splits.

    Attributes
    ----------
    cv, holdout
        First and last session, ISO dates; ``holdout`` is None if there is none.
    calendar_sha256
        Of session, open and close of all pinned sessions.
    data_sha256
        Of symbol, session, decision and label end of all rows with a label.
    folds
        In the order of their tests.
    paths
        cpcv: for each path the fold that tests each group.
    """

    target: str
    horizon_sessions: int
    scheme: str
    window: str
    n_folds: int
    embargo_sessions: int
    calendar_sha256: str
    data_sha256: str
    symbols: tuple[str, ...]
    cv: tuple[str, str]
    holdout: tuple[str, str] | None
    folds: tuple[Fold, ...]
    paths: tuple[tuple[int, ...], ...] | None
    code_version: str = __version__

    def to_json(self) -> bytes:
        """The file: UTF-8 JSON with sorted keys, the same bytes for equal input."""
        document = {
            **asdict(self),
            "schema": SCHEMA,
            "calendar": "XNYS",
            "cv": _range(self.cv),
            "holdout": self.holdout and _range(self.holdout),
            "folds": [_fold_document(fold) for fold in self.folds],
        }
        return (json.dumps(document, sort_keys=True, indent=1, ensure_ascii=False) + "\n").encode()

    @classmethod
    def from_json(cls, data: bytes) -> Splits:
        """Read a file of splits; whether it is right is for `verify_splits` to say.

        Raises
        ------
        SplitsError
            If it is not such a file.
        """
        try:
            raw = json.loads(data)
            if raw.pop("schema") != SCHEMA or raw.pop("calendar") != "XNYS":
                msg = "schema is 1 and calendar XNYS"
                raise ValueError(msg)
            raw["folds"] = tuple(_fold_of(one) for one in raw["folds"])
            raw["cv"], raw["holdout"] = _pair(raw["cv"]), raw["holdout"] and _pair(raw["holdout"])
            raw["symbols"] = tuple(raw["symbols"])
            raw["paths"] = raw["paths"] and tuple(map(tuple, raw["paths"]))
            return cls(**raw)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            msg = f"not a file of splits: {error}"
            raise SplitsError(msg, hint="make it with: raypipe splits", rule="V1") from None

    @property
    def sha256(self) -> str:
        """SHA-256 of the file."""
        return hashlib.sha256(self.to_json()).hexdigest()


def _fold_document(fold: Fold) -> dict[str, Any]:
    ranges = {name: [_range(one) for one in getattr(fold, name)] for name in ("train", "test", "purged", "embargoed")}
    return {**asdict(fold), **ranges}


def _fold_of(raw: dict[str, Any]) -> Fold:
    ranges = {name: tuple(_pair(one) for one in raw[name]) for name in ("train", "test", "purged", "embargoed")}
    return Fold(**{**raw, **ranges})


def _range(pair: tuple[str, str]) -> dict[str, str]:
    return {"start": pair[0], "end": pair[1]}


def _pair(raw: dict[str, str]) -> tuple[str, str]:
    if set(raw) != {"start", "end"}:
        msg = f"a range has start and end, not {sorted(raw)}"
        raise ValueError(msg)
    return raw["start"], raw["end"]
