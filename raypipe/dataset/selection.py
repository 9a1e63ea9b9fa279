"""Which features a model may see, fitted on nothing but the rows that it trains on.

Once inside the training part of every fold, and once on all rows of the cross-validation (fold 0). Features that say
nothing, or what another says, go first; of the rest those stay that beat shadows of real columns in inner fits.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from raypipe.dataset.gains import Part, columns_of, gains_of, keep_apart, last_gain, rank_correlations, seed_of
from raypipe.dataset.matrix import Panel, Target
from raypipe.dataset.splits import cv_rows, fold_rows
from raypipe.dataset.splits_file import Splits
from raypipe.errors import UsageError
from raypipe.schema.modeling import SelectionParams
from raypipe.schema.spec import Column, Table
from raypipe.schema.targets import TARGETS

__all__ = ["POOLED", "SELECTION", "Selection", "select"]

#: The scope of all symbols together.
POOLED = "*"
_SCHEMA = 1
#: Fewer rows than this rank nothing: the symbol takes what all symbols together have.
_MIN_ROWS = 100
_NOT_FITTED = "the feature was dropped before any fit"

SELECTION = Table(
    "gold/selection",
    key=("fold_id", "scope", "feature"),
    grain="once",
    columns=(
        Column("fold_id", "i32", "The fold whose training rows were seen; 0: all rows.", role="key"),
        Column("scope", "str", "A symbol, or * for all of them.", role="key"),
        Column("feature", "str", "The feature.", role="key"),
        Column("kept", "bool", "Whether models see it.", role="meta"),
        Column(
            "reason",
            "str",
            "Why it was dropped; of a feature that is kept, what it would have been dropped for.",
            null="nothing speaks against the feature",
            role="meta",
        ),
        Column("coverage", "f64", "Share of rows with a value.", unit="1", role="meta"),
        Column("gain", "f64", "Mean share of the gain in the inner fits.", "1", _NOT_FITTED, role="meta"),
        Column("stability", "f64", "Share of inner fits in which it beats the shadows.", "1", _NOT_FITTED, role="meta"),
        Column("shadow_q75", "f64", "75th percentile of the shadows' gain.", "1", _NOT_FITTED, role="meta"),
        Column("max_abs_rho", "f64", "Largest rank correlation with another feature.", "1", _NOT_FITTED, role="meta"),
    ),
    doc="Every feature in every fold: whether models see it, and why not.",
)


@dataclass(frozen=True, slots=True)
class Selection:
    """The features of each fold and symbol.

    Attributes
    ----------
    folds
        By fold, 0 for all rows, and scope: the features, by falling gain. A symbol that is missing has those of ``*``.
    dropped
        Of fold 0 and all symbols: why a feature is not among them.
    table
        Rows of `gold/selection`; empty if the selection was read from a file.
    """

    target: str
    splits_sha256: str
    data_sha256: str
    scope: str
    max_features: int
    symbols: tuple[str, ...]
    folds: dict[int, dict[str, tuple[str, ...]]]
    dropped: dict[str, str]
    table: pa.Table = field(default_factory=SELECTION.empty, compare=False, repr=False)

    def features(self, fold_id: int, symbol: str = POOLED) -> tuple[str, ...]:
        """The features of a fold (0: all rows) and a symbol (``*``: all of them).

        Raises
        ------
        UsageError
            If the selection has no such fold or symbol.
        """
        if fold_id not in self.folds or symbol not in (POOLED, *self.symbols):
            msg = f"the selection has no fold {fold_id} of {symbol}"
            raise UsageError(msg, hint="make it anew: raypipe select")
        scopes = self.folds[fold_id]
        return scopes.get(symbol, scopes[POOLED])

    @property
    def sha256(self) -> str:
        """SHA-256 of the file."""
        return hashlib.sha256(self.to_yaml()).hexdigest()

    def to_yaml(self) -> bytes:
        """The file: UTF-8 YAML with sorted keys, the same bytes for equal input."""
        import yaml

        document = {
            "schema": _SCHEMA,
            "max_features": self.max_features,
            "target": self.target,
            "splits_sha256": self.splits_sha256,
            "data_sha256": self.data_sha256,
            "scope": self.scope,
            "symbols": {symbol: list(self.features(0, symbol)) for symbol in self.symbols},
            "folds": {fold: {s: list(names) for s, names in scopes.items()} for fold, scopes in self.folds.items()},
            "dropped": dict(self.dropped),
        }
        text: str = yaml.safe_dump(document, sort_keys=True, default_flow_style=None, width=120, allow_unicode=True)
        return text.encode()

    @classmethod
    def from_yaml(cls, data: bytes) -> Selection:
        """Read a file.

        Raises
        ------
        UsageError
            If it is not such a file.
        """
        import yaml

        try:
            raw = yaml.load(data, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
            if raw.pop("schema") != _SCHEMA:
                msg = f"schema is {_SCHEMA}"
                raise ValueError(msg)
            symbols = {str(name): tuple(map(str, names)) for name, names in raw.pop("symbols").items()}
            folds = {
                int(fold): {str(scope): tuple(map(str, names)) for scope, names in scopes.items()}
                for fold, scopes in raw.pop("folds").items()
            }
            dropped = {str(name): str(reason) for name, reason in raw.pop("dropped").items()}
            found = cls(symbols=tuple(symbols), folds=folds, dropped=dropped, **raw)
            if any(found.features(0, name) != names for name, names in symbols.items()):
                msg = "symbols and fold 0 differ"
                raise ValueError(msg)
            return found
        except (yaml.YAMLError, ValueError, KeyError, TypeError, AttributeError) as error:
            msg = f"not a selection of features: {str(error).splitlines()[0]}"
            raise UsageError(msg, hint="make it with: raypipe select") from None


# --- selecting ---------------------------------------------------------------------------------


def select(
    panel: Panel,
    target: Target,
    splits: Splits,
    params: SelectionParams,
    seed: int,
    *,
    min_feature_share: float = 0.5,
    threads: int = 1,
) -> Selection:
    """Select features inside each fold's training part, and on all rows.

    Parameters
    ----------
    panel, target, splits
        What is trained on; rows beyond a fold's training part change nothing in it.
    params
        Limits.
    seed
        Of fits and shadows.
    min_feature_share
        What counts as a usable row, as the splits were made with.
    threads
        Threads of a fit; the result is the same for any number.
    """
    parts = [(0, cv_rows(splits, panel, target, min_feature_share=min_feature_share))]
    parts += [(f.id, f.train) for f in fold_rows(splits, panel, target, min_feature_share=min_feature_share)]
    folds: dict[int, dict[str, tuple[str, ...]]] = {}
    judged: list[_Judged] = []
    for fold_id, rows in parts:
        found = list(_of_fold(panel, target, rows, _Job(fold_id, params, seed, target.horizon, threads, panel.symbols)))
        folds[fold_id] = {one.scope: one.names for one in found}
        judged += found
    whole = next(one for one in judged if (one.fold_id, one.scope) == (0, POOLED))
    verdicts = zip(panel.features, whole.kept, whole.reason, strict=True)
    return Selection(
        target=target.name,
        splits_sha256=splits.sha256,
        data_sha256=splits.data_sha256,
        scope=params.scope,
        max_features=params.max_features,
        symbols=tuple(sorted(panel.symbols, key=str.encode)),
        folds=dict(sorted(folds.items())),
        dropped=dict(sorted((name, reason) for name, kept, reason in verdicts if not kept)),
        table=_table(panel.features, judged),
    )


@dataclass(frozen=True, slots=True)
class _Job:
    fold_id: int
    params: SelectionParams
    seed: int
    horizon: int
    threads: int
    symbols: tuple[str, ...]


@dataclass(slots=True)
class _Judged:
    """The verdicts on all features in one fold and scope."""

    fold_id: int
    scope: str
    names: tuple[str, ...]
    kept: np.ndarray
    reason: list[str]
    numbers: dict[str, np.ndarray]


def _of_fold(panel: Panel, target: Target, rows: np.ndarray, job: _Job) -> Iterator[_Judged]:
    """The verdicts of all symbols together, then those of each whose features differ."""
    pooled = _judge(panel.features, _part(panel, target, rows), POOLED, job)
    yield pooled
    symbols = panel.symbol_id[rows]
    for i, symbol in enumerate(panel.symbols):
        mine = rows[symbols == i]
        if not len(mine):
            continue
        part = _part(panel, target, mine)
        own = pooled
        if job.params.scope == "symbol" and len(mine) >= _MIN_ROWS and part.learnable:
            own = _judge(panel.features, part, symbol, job)
            yield own
        elif (without := _without_uncovered(panel.features, part, own, job)) is not None:
            yield without


def _without_uncovered(features: tuple[str, ...], part: Part, own: _Judged, job: _Job) -> _Judged | None:
    """The verdicts on all symbols, less the features that one symbol itself hardly has; None if it has all."""
    coverage = 1.0 - np.isnan(part.x).mean(axis=0)
    bare = own.kept & (1.0 - coverage > job.params.max_null_share)
    if not bare.any():
        return None
    reason = ["symbol_coverage" if gone else one for gone, one in zip(bare, own.reason, strict=True)]
    symbol_names = tuple(name for name in own.names if not bare[features.index(name)])
    scope = job.symbols[int(part.symbol[0])]
    return _Judged(job.fold_id, scope, symbol_names, own.kept & ~bare, reason, {**own.numbers, "coverage": coverage})


def _part(panel: Panel, target: Target, rows: np.ndarray) -> Part:
    return Part(
        panel.x[rows],
        target.y[rows],
        panel.symbol_id[rows],
        panel.session_id[rows],
        panel.decision_ns[rows],
        target.end_ns[rows],
        target.kind == "class",
    )


def _judge(features: tuple[str, ...], part: Part, scope: str, job: _Job) -> _Judged:
    """All steps for one training part."""
    params, count = job.params, len(features)
    coverage, commonest, ranks = columns_of(part.x)
    reason = _unfit(features, part.x, coverage, commonest, params)
    numbers = {name: np.full(count, np.nan) for name in ("gain", "stability", "shadow_q75", "max_abs_rho")}
    numbers["coverage"] = coverage
    fit = np.array([not one for one in reason], bool)
    if not fit.any():
        msg = f"every feature is null, constant or a label in fold {job.fold_id}"
        raise UsageError(msg, hint="raise selection.max_null_share, or build other features")
    seed = seed_of(job.seed, job.fold_id, scope)
    places = np.flatnonzero(fit)
    rho = rank_correlations(ranks[:, places])
    numbers["max_abs_rho"][places] = rho.max(axis=1)
    if (rho > params.max_abs_rho).any():
        gain = last_gain(_columns(part, places), seed, job.threads)
        able = keep_apart(gain, [features[i] for i in places], rho, params.max_abs_rho)
        for i in places[~able]:
            reason[i] = "correlated"
        places = places[able]
    gains = gains_of(_columns(part, places), job.horizon, seed, job.threads)
    numbers["gain"][places], numbers["stability"][places] = gains.gain, gains.stability
    numbers["shadow_q75"][places] = gains.shadow_q75
    names, kept = _ranked(features, places, numbers, reason, params)
    return _Judged(job.fold_id, scope, names, kept, reason, numbers)


def _columns(part: Part, places: np.ndarray) -> Part:
    x = np.ascontiguousarray(part.x[:, places])
    return Part(x, part.y, part.symbol, part.session, part.decision_ns, part.end_ns, part.classes)


def _unfit(
    features: tuple[str, ...], x: np.ndarray, coverage: np.ndarray, commonest: np.ndarray, params: SelectionParams
) -> list[str]:
    """Why a feature cannot serve, by itself; empty where it can."""
    reason, seen = [], set[bytes]()
    for i, name in enumerate(features):
        digest = hashlib.sha256(np.ascontiguousarray(x[:, i]).tobytes()).digest()
        if name in TARGETS:
            reason.append("not_feature")
        elif 1.0 - coverage[i] > params.max_null_share:
            reason.append("low_coverage")
        elif commonest[i] > params.max_constant_share:
            reason.append("constant")
        else:
            reason.append("duplicate" if digest in seen else "")
        seen.add(digest)
    return reason


def _ranked(
    features: tuple[str, ...],
    places: np.ndarray,
    numbers: dict[str, np.ndarray],
    reason: list[str],
    params: SelectionParams,
) -> tuple[tuple[str, ...], np.ndarray]:
    """The features that stay, by falling gain, and which they are; reasons are filled in."""
    order = sorted(places.tolist(), key=lambda i: (-numbers["gain"][i], features[i]))
    stay = [i for i in order if numbers["stability"][i] >= params.min_stability]
    for i in set(order) - set(stay):
        reason[i] = "below_shadow"
    if len(stay) < params.min_features:
        stay = [i for i in order if i in set(stay) | set(order[: params.min_features])]
    for i in stay[params.max_features :]:
        reason[i] = "over_cap"
    stay = stay[: params.max_features]
    kept = np.zeros(len(features), bool)
    kept[stay] = True
    return tuple(features[i] for i in stay), kept


def _table(features: tuple[str, ...], judged: list[_Judged]) -> pa.Table:
    order = sorted(range(len(features)), key=lambda i: features[i].encode())
    names = [features[i] for i in order]
    parts = [SELECTION.empty()]
    for one in sorted(judged, key=lambda one: (one.fold_id, one.scope.encode())):
        numbers: dict[str, Any] = {
            name: pa.array(values[order], mask=np.isnan(values[order])) for name, values in one.numbers.items()
        }
        columns = {
            "fold_id": pa.array([one.fold_id] * len(names), pa.int32()),
            "scope": pa.array([one.scope] * len(names), pa.string()),
            "feature": pa.array(names, pa.string()),
            "kept": pa.array(one.kept[order]),
            "reason": pa.array([one.reason[i] or None for i in order], pa.string()),
            **numbers,
        }
        parts.append(SELECTION.build(columns))
    return pa.concat_tables(parts)
