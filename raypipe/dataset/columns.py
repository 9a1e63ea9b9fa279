"""Which tables the training set joins, and the columns that come of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

from pydantic import Field, model_validator

from raypipe.schema.discovery import Catalog
from raypipe.schema.events import EVENT_COLUMNS, EVENT_KEY
from raypipe.schema.family import Params, Read
from raypipe.schema.spec import Column, Role, Table
from raypipe.schema.splits import due_splits
from raypipe.schema.tables import SPLITS

__all__ = ["EVENTS", "JOINED", "LABELS", "ORDER", "STATE", "DatasetParams", "Plan", "timeframes"]

#: Families of the same session: the rows, what was known of them, what came after.
EVENTS, STATE, LABELS = "events", "event_state", "labels"
#: Families of sessions before: those whose columns are taken whole, and of which just some are.
_WHOLE = ("macd", "minute_features", "technical")
_SOME = {"daily": ("ret_d", "abs_ret_d", "dollar_volume"), "filtered": ("avg_volume", "days_in_window")}
JOINED = (*_WHOLE, *_SOME)
#: Rows are in the order of these columns.
ORDER = ("decision_ns", "symbol", "tf", "event_type")
_KEYS = ("session", *EVENT_KEY)
#: Read beside the columns that are taken: which rows count, and the previous close.
_BESIDE = {"macd": ("mode",), "daily": ("close",)}
_ROLES: dict[Role, Role] = {"id": "meta", "qa": "meta"}
_NO_PREVIOUS = "the symbol has no such row in its last session before, or that is too old"
_DIFFERENCES = (
    Column("hist_momentum", "f64", "hist - hist_prev.", "usd"),
    Column("hist_abs", "f64", "Absolute value of hist.", "usd"),
    Column("macd_abs", "f64", "Absolute value of macd.", "usd"),
    Column("signal_abs", "f64", "Absolute value of signal.", "usd"),
)
_PREVIOUS = (
    Column("prev_session", "date32", "The symbol's last session before.", "", _NO_PREVIOUS, role="meta"),
    Column("prev_age_sessions", "i16", "How many sessions ago that was.", "sessions", _NO_PREVIOUS),
)


class DatasetParams(Params):
    """Which events are kept.

    Attributes
    ----------
    universe
        ``daily_filtered``: symbols that passed the daily filter in their last session before; ``all``.
    price_min, price_max
        Lowest and highest previous close on the session's share basis, both included.
    price_filter
        Whether that range counts.
    max_feature_age_sessions
        How old the last session before may be.
    drop_unlabeled
        Whether events without an entry, and so without labels, are left out.
    """

    universe: Literal["daily_filtered", "all"] = "daily_filtered"
    price_min: float = Field(1.0, ge=0)
    price_max: float = Field(9.99, ge=0)
    price_filter: bool = True
    max_feature_age_sessions: int = Field(5, ge=1, le=250)
    drop_unlabeled: bool = True

    @model_validator(mode="after")
    def _ordered(self) -> DatasetParams:
        if self.price_min > self.price_max:
            msg = f"price_min is {self.price_min} and price_max {self.price_max}"
            raise ValueError(msg)
        return self


@dataclass(frozen=True, slots=True)
class Plan:
    """The families joined, under one set of parameters."""

    catalog: Catalog
    params: Any  # DatasetParams and a field per section

    def spec(self, name: str) -> Table:
        """The table of a family."""
        return self.catalog[name].table(getattr(self.params, name))

    def beside(self, name: str) -> tuple[Column, ...]:
        """The columns of a table of events, keys apart."""
        return tuple(column for column in self.spec(name).columns if column.name not in _KEYS)

    def previous(self, name: str) -> tuple[Column, ...]:
        """The columns that are taken from the last session before, under their own names."""
        some = _SOME.get(name)
        wanted = (c for c in self.spec(name).columns if c.role not in ("key", "time"))
        return tuple(column for column in wanted if some is None or column.name in some)

    @property
    def macd_mode(self) -> str:
        """The mode whose rows are taken: all, where it is computed."""
        modes: tuple[str, ...] = self.params.macd.modes
        return "all" if "all" in modes else modes[0]

    @property
    def primary_label(self) -> str:
        """The label that models learn unless told otherwise: that of the first barriers, in the event's direction."""
        return f"label_{self.params.labels.barriers[0].suffix}"

    @property
    def facts(self) -> dict[str, str]:
        """What the footer says of roles."""
        roles = {column.name: column.role for column in self.table.columns}
        return {"roles": json.dumps(roles, separators=(",", ":")), "primary_label": self.primary_label}

    @property
    def table(self) -> Table:
        """The table provided: `gold/ml_dataset`."""
        return Table(
            "gold/ml_dataset",
            key=ORDER,
            grain="session",
            columns=(
                *EVENT_COLUMNS,
                *(replace(c, role=_ROLES.get(c.role, c.role)) for c in self.beside(EVENTS)),
                *_DIFFERENCES,
                *self.beside(STATE),
                *_PREVIOUS,
                *(column for name in JOINED for column in self._prefixed(name)),
                # Labels come last.
                *(replace(c, null=c.null or "the event has no labels") for c in self.beside(LABELS)),
            ),
            doc="Events of the universe with what was known of each, and labels; read columns by role.",
            floats="split",
        )

    def _prefixed(self, name: str) -> Iterator[Column]:
        columns = self.previous(name)
        for c in columns:
            role, doc = _ROLES.get(c.role, c.role), f"In prev_session: {c.doc[0].lower()}{c.doc[1:]}"
            yield Column(f"prev_{c.name}", c.dtype, doc, c.unit, c.null or _NO_PREVIOUS, role)
        for tf in timeframes(columns):
            doc = f"prev_hist_max__{tf} - prev_hist_min__{tf}."
            yield Column(f"prev_hist_range__{tf}", "f64", doc, "usd", _NO_PREVIOUS)

    @property
    def reads(self) -> tuple[Read, ...]:
        """The session's events with state and labels; sessions before; the splits in between."""
        reads = [Read(self.spec(name).name) for name in (EVENTS, STATE, LABELS)]
        for name in JOINED:
            columns = ("symbol", *_BESIDE.get(name, ()), *(c.name for c in self.previous(name)))
            reads.append(Read(self.spec(name).name, columns, before=self.params.max_feature_age_sessions, own=False))
        if self.params.daily.adjust == "splits":
            reads.append(Read(SPLITS.name, optional=True, rows=due_splits))
        return tuple(reads)


def timeframes(columns: tuple[Column, ...]) -> list[str]:
    """Timeframes of MACD, by the names of its columns."""
    return [c.name.removeprefix("hist_max__") for c in columns if c.name.startswith("hist_max__")]
