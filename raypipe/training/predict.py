"""Predictions of the model in use, session by session, into `gold/predictions`."""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa

import raypipe
from raypipe.config import Config
from raypipe.dataset.load import panel_of
from raypipe.dataset.matrix import Panel
from raypipe.errors import PartitionError, UsageError
from raypipe.features.ta_windows import TaBars
from raypipe.lake.manifest import InputSummary, Manifest
from raypipe.lake.store import Lake
from raypipe.pipeline.views import declared_tables
from raypipe.schema.frames import dictionary_array, nullable, ranks
from raypipe.schema.predictions import PREDICTIONS
from raypipe.training.bars import BARS, bars_summary, load_bars
from raypipe.training.bundle import Bundle, Predictions
from raypipe.training.registry import load_registered

__all__ = ["Predicted", "Source", "predict_sessions", "predict_stored", "sessions_of"]

_PANEL, _ALL = "gold/model_panel", "all"
_DIGITS = 32


@dataclass(frozen=True, slots=True)
class Source:
    """Who predicts, and from what.

    Attributes
    ----------
    name, version
        Of the model in the registry.
    bundle
        The model.
    panel_fingerprint
        Of the partition that the rows are of.
    bars, bars_read
        Daily bars of the panel's symbols and what they were read from, for a bundle whose models see indicators.
    """

    name: str
    version: str
    bundle: Bundle
    panel_fingerprint: str
    bars: TaBars | None = None
    bars_read: InputSummary | None = None


@dataclass(frozen=True, slots=True)
class Predicted:
    """One session: how many rows, and how many of them have no prediction."""

    session: dt.date
    status: Literal["built", "current"]
    rows: int
    silent: int


def sessions_of(panel: Panel, *, start: dt.date | None = None, end: dt.date | None = None) -> tuple[dt.date, ...]:
    """Sessions of a panel within limits; without limits the newest one.

    Raises
    ------
    UsageError
        If there is none.
    """
    there = panel.sessions[np.unique(panel.session_id)]
    if start is None and end is None:
        there = there[-1:]
    if start is not None:
        there = there[there >= np.datetime64(start)]
    if end is not None:
        there = there[there <= np.datetime64(end)]
    if not len(there):
        span = f"{panel.sessions[0]} .. {panel.sessions[-1]}" if panel.rows else "nothing"
        msg = f"the panel has no row from {start or 'the beginning'} to {end or 'the end'}"
        raise UsageError(msg, hint=f"it has {span}; build later sessions with raypipe run")
    return tuple(there.astype("datetime64[D]").tolist())


def predict_sessions(
    lake: Lake, source: Source, panel: Panel, sessions: Sequence[dt.date], *, force: bool = False
) -> list[Predicted]:
    """Predict every row of some sessions, and store each session.

    A session that this version predicted from this panel before is left as it is.

    Parameters
    ----------
    lake
        Where `gold/predictions` is.
    source
        The model.
    panel
        The rows.
    sessions
        Which of its sessions.
    force
        Whether sessions are predicted again, and those of another model replaced.

    Raises
    ------
    UsageError
        If a session holds predictions of another model.
    ModelError
        If the panel lacks a column.
    """
    found = []
    for session in sessions:
        manifest = _manifest(source, session)
        before = _before(lake, session)
        if before is not None and not force:
            _refuse_other(before, source, session)
            if before.fingerprint == manifest.fingerprint:
                found.append(Predicted(session, "current", before.rows, int(before.facts.get("silent", "0"))))
                continue
        found.append(_store(lake, source, panel, session, manifest))
    return found


def _manifest(source: Source, session: dt.date) -> Manifest:
    known = [PREDICTIONS.digest, source.name, source.version, source.bundle.sha256, source.panel_fingerprint]
    inputs = {_PANEL: InputSummary(_ALL, _ALL, 1, source.panel_fingerprint[:16])}
    if source.bars_read is not None:
        inputs[BARS] = source.bars_read
        known.append(source.bars_read.digest)
    text = json.dumps([*known, session.isoformat()])
    digest = hashlib.sha256(text.encode()).hexdigest()
    return Manifest(
        table=PREDICTIONS.name,
        partition=session.isoformat(),
        fingerprint=digest[:_DIGITS],
        version=PREDICTIONS.version,
        params=source.bundle.sha256[:16],
        schema=PREDICTIONS.digest,
        inputs=inputs,
        code_version=raypipe.__version__,
        facts={"model": source.name, "model_version": source.version, "bundle_sha256": source.bundle.sha256},
    )


def _before(lake: Lake, session: dt.date) -> Manifest | None:
    try:
        return lake.manifest(PREDICTIONS, session.isoformat())
    except PartitionError:
        return None  # damaged: it is written again


def _refuse_other(before: Manifest, source: Source, session: dt.date) -> None:
    other = before.facts.get("model", "")
    if other != source.name:
        msg = f"{session} holds predictions of the model {other or 'of another version'}, not of {source.name}"
        raise UsageError(msg, hint="replace them with --force, or keep models in lakes of their own")


def _store(lake: Lake, source: Source, panel: Panel, session: dt.date, manifest: Manifest) -> Predicted:
    part = _rows_of(panel, session)
    told = source.bundle.predict(part, source.bars)
    table = _table(part, told, source.version)
    silent = int(np.isnan(told.z).sum())
    facts = {**manifest.facts, "silent": str(silent)}
    lake.write(PREDICTIONS, session.isoformat(), table, dataclasses.replace(manifest, facts=facts, rows=part.rows))
    return Predicted(session, "built", part.rows, silent)


def _rows_of(panel: Panel, session: dt.date) -> Panel:
    """One session of a panel."""
    place = int(np.searchsorted(panel.sessions, np.datetime64(session)))
    rows = np.flatnonzero(panel.session_id == place)
    names = ("symbol_id", "session_id", "decision_ns", "x")
    return dataclasses.replace(panel, **{name: getattr(panel, name)[rows] for name in names})


def _table(part: Panel, told: Predictions, version: str) -> pa.Table:
    names = pa.array(part.symbols, pa.string())
    rank = ranks(names)
    order = np.lexsort((part.decision_ns, rank[part.symbol_id]))
    codes = rank[part.symbol_id][order].astype(np.int32)
    ordered = names.take(pa.array(np.argsort(rank)))
    days = part.sessions[part.session_id[order]].astype("datetime64[D]").astype(np.int32)
    return PREDICTIONS.build(
        {
            "session": pa.array(days).view(pa.date32()),
            "symbol": dictionary_array(codes, ordered),
            "p": nullable(told.p[order]),
            "z": nullable(told.z[order].astype(np.float32)),
            "version": pa.array([version] * part.rows, pa.string()),
            "decision_ns": pa.array(part.decision_ns[order]),
        }
    )


# --- the panel of the lake -----------------------------------------------------------------------


def predict_stored(
    config: Config, name: str, *, start: dt.date | None = None, end: dt.date | None = None, force: bool = False
) -> tuple[Source, list[Predicted]]:
    """Predict sessions of `gold/model_panel` by the model that is in use under a name.

    Parameters
    ----------
    config
        Says where the lake is.
    name
        ``NAME``, or ``NAME@v0002`` for a version that is not in use.
    start, end
        First and last session; without both the newest one.
    force
        As for `predict_sessions`.

    Raises
    ------
    UsageError
        If there is no such model or session.
    PartitionError
        If the panel is not built.
    ModelError
        If a column of the panel is missing or of another type; nothing is filled in.
    """
    model, _, version = name.partition("@")
    bundle, found = load_registered(config.lake.location, model, version or "latest")
    lake, spec = Lake(config.lake.location), declared_tables(config)[_PANEL]
    manifest = lake.manifest(spec, _ALL)
    if manifest is None:
        msg = "the panel is not built"
        raise PartitionError(msg, hint="raypipe run", table=_PANEL, partition=_ALL)
    bundle.check_schema(spec.arrow, name=_PANEL)
    panel = panel_of(lake.read(spec, _ALL), name=_PANEL)
    source = Source(model, found, bundle, manifest.fingerprint)
    if bundle.windows:
        bars, read = load_bars(config, panel), bars_summary(config, panel)
        source = dataclasses.replace(source, bars=bars, bars_read=read)
    return source, predict_sessions(lake, source, panel, sessions_of(panel, start=start, end=end), force=force)
