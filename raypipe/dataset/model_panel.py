"""The panel that models are given: features of the symbols of a list, one row per symbol and session, no labels.

Tables are joined as of the session; of each all numeric features are taken but prices and shares, because a level tells
a model over many symbols which of them it sees. A row is decided when the last of its tables is known, which must be
before the next open: otherwise no one could have traded on it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, create_model

from raypipe.calendar import calendar
from raypipe.errors import ConfigError, SchemaError
from raypipe.schema.discovery import Catalog
from raypipe.schema.family import Family, Finding, Inputs, Params, Read, Result, shared
from raypipe.schema.frames import dictionary_array, floats, nullable
from raypipe.schema.modeling import PanelParams
from raypipe.schema.spec import DTYPES, Column, Table
from raypipe.schema.tables import SESSION, SYMBOL

__all__ = ["FAMILY", "ModelPanelParams", "family_of"]

#: How old a row of another table than the first may be, in sessions.
_MAX_AGE = 5
#: Fewest symbols that a mean over the market needs, beside half of them.
_MIN_SYMBOLS = 5
_LEVELS = ("usd", "shares")
_NUMBERS = ("f64", "f32", "i8", "i16", "i32", "i64", "u8", "u32", "bool")
_KEYS = (
    Column("symbol_id", "i16", "Place of the symbol in the list of symbols.", role="key"),
    SESSION,
    SYMBOL,
    Column("session_id", "i32", "Sessions since the panel's first one.", unit="sessions", role="id"),
    Column("decision_ns", "i64", "When all features of the row are known.", unit="ns", role="time"),
)


class ModelPanelParams(Params):
    """What is joined, for which symbols.

    Attributes
    ----------
    listed
        The symbols in their order; empty: those of panel.symbols_file.
    """

    panel: PanelParams = shared("panel", PanelParams)
    listed: tuple[str, ...] = Field(())

    def tracked(self) -> dict[str, Any]:
        """What is joined; what the joined tables are made with is in their own fingerprints."""
        return {"panel": self.panel.model_dump(mode="json", exclude={"symbols_file"}), "symbols": list(self.listed)}


def family_of(catalog: Catalog) -> Family:
    """The family, whose columns are those of the tables that it joins.

    Parameters
    ----------
    catalog
        All other families by name.
    """
    able = {name: family for name, family in catalog.items() if _is_keyed(family.table(family.params()))}
    sections: dict[str, Any] = {name: (family.params, shared(name, family.params)) for name, family in able.items()}
    params = create_model("ModelPanelParams", __base__=ModelPanelParams, __module__=__name__, **sections)
    return Family(
        name="model_panel",
        version=1,
        params=params,
        table=lambda one: Plan(able, one).table,
        requires=lambda one: tuple(Read(spec.name) for spec in Plan(able, one).specs),
        compute=lambda inputs, one: _compute(inputs, Plan(able, one)),
        cost=2.0,
        memory=1 << 30,
        enabled=lambda one: bool(one.listed),
    )


def _is_keyed(spec: Table) -> bool:
    """Whether rows are told by symbol and session, and say when they were known."""
    one_a_session = spec.key == ("symbol", "session") or (spec.grain == "session" and spec.key == ("symbol",))
    return one_a_session and "available_ns" in spec and "session" in spec


@dataclass(frozen=True)
class Plan:
    """Which tables are joined under some parameters, and the table that comes of it."""

    catalog: Catalog
    params: Any

    @cached_property
    def specs(self) -> tuple[Table, ...]:
        """The tables, the first of which says which rows there are."""
        known = {
            spec.name: spec
            for name, family in self.catalog.items()
            for spec in (family.table(getattr(self.params, name)),)
        }
        wanted = self.params.panel.tables
        wrong = [name for name in wanted if name not in known]
        if wrong or not wanted or len(set(wanted)) < len(wanted):
            what = f"{wrong[0]} has no row per symbol and session" if wrong else "name tables, each once"
            raise ConfigError(what, hint=f"tables with such rows: {', '.join(sorted(known))}", key="panel.tables")
        return tuple(known[name] for name in wanted)

    @cached_property
    def features(self) -> tuple[tuple[Table, Column], ...]:
        """Columns taken, and the table of each."""
        keep = self.params.panel.keep_levels
        found = [(spec, column) for spec in self.specs for column in spec.columns if _is_feature(column, keep=keep)]
        names = [column.name for _, column in found]
        twice = next((name for name in names if names.count(name) > 1), "")
        if twice:
            msg = f"two of the tables have a column {twice}"
            raise ConfigError(msg, hint="leave out one of them", key="panel.tables")
        return tuple(found)

    @cached_property
    def means(self) -> tuple[str, ...]:
        """Columns whose mean over the symbols is a feature too."""
        names = {column.name for _, column in self.features}
        lacking = [name for name in self.params.panel.market_means if name not in names]
        if lacking:
            msg = f"none of {', '.join(self.params.panel.tables)} has a feature {lacking[0]}"
            raise ConfigError(msg, hint="set panel.market_means to columns of theirs, or []", key="panel.market_means")
        means: tuple[str, ...] = self.params.panel.market_means
        return means

    @property
    def table(self) -> Table:
        """The table provided: `gold/model_panel`."""
        return Table(
            "gold/model_panel",
            key=("symbol_id", "session"),
            grain="once",
            columns=(*_KEYS, *self._columns()),
            doc="Features of the listed symbols as models see them, one row per symbol and session; no labels.",
            floats="split",
        )

    def _columns(self) -> Iterator[Column]:
        for spec, column in self.features:
            null = column.null or f"{spec.name} has no row of the symbol in the last {_MAX_AGE} sessions"
            yield Column(column.name, "f32", column.doc, column.unit, null, group=spec.name.rpartition("/")[2])
        units = {column.name: column.unit for _, column in self.features}
        null = f"fewer than {_MIN_SYMBOLS} symbols, or than half of them, have it"
        for name in self.means:
            doc = f"Mean of {name} over the symbols of the session."
            yield Column(f"mkt_{name}", "f32", doc, units[name], null, group="market")


def _is_feature(column: Column, *, keep: bool) -> bool:
    level = column.unit.partition(" ")[0] in _LEVELS
    return column.role == "feature" and column.dtype in _NUMBERS and (keep or not level) and not column.alias_of


# --- rows --------------------------------------------------------------------------------------


def _compute(inputs: Inputs, plan: Plan) -> Result:
    """One row per symbol and session of the first table, sorted by symbol and session."""
    symbols, spec = plan.params.listed, plan.table
    facts = {"symbols": " ".join(symbols), "survivorship": "biased"}
    first, *others = (_Rows.of(inputs, table, symbols) for table in plan.specs)
    if not len(first.code):
        return Result(spec.empty(), facts=facts)
    keys = {"symbol_id": first.code.astype(np.int16), "days": first.days}
    parts = {first.spec.name: (first, np.arange(len(first.code)))}
    parts |= {other.spec.name: (other, other.as_of(first)) for other in others}
    decision = np.max([rows.known_ns(at, first) for rows, at in parts.values()], axis=0)
    _refuse_late(plan, first, decision)
    values = {
        column.name: np.append(parts[table.name][0].values(column.name), np.float32(np.nan))[parts[table.name][1]]
        for table, column in plan.features
    }
    session_id = calendar().places(keys["days"]) - int(calendar().places(keys["days"]).min())
    means = {f"mkt_{name}": _market_mean(values[name], session_id, len(symbols)) for name in plan.means}
    columns = {
        "symbol_id": pa.array(keys["symbol_id"]),
        "session": pa.array(keys["days"]).view(pa.date32()),
        "symbol": _named(first.code, symbols),
        "session_id": pa.array(session_id.astype(np.int32)),
        "decision_ns": pa.array(decision),
        **{name: nullable(column) for name, column in (values | means).items()},
    }
    return Result(spec.build(columns), tuple(_empty_means(means, len(symbols))), facts=facts)


def _empty_means(means: dict[str, np.ndarray], symbols: int) -> Iterator[Finding]:
    """That too few symbols are listed for any mean over the market."""
    empty = [name for name, values in means.items() if np.isnan(values).all()]
    if empty:
        need = f"{max(_MIN_SYMBOLS, -(-symbols // 2))} symbols with a value in a session, and {symbols} are listed"
        message = f"means over the market are null throughout: they need {need}"
        hint = "list more symbols in panel.symbols_file, or leave the means out: panel.market_means=[]"
        yield Finding("no_market_means", f"{message}; {hint}", len(empty), tuple(empty[:_MIN_SYMBOLS]), partition="all")


def _named(code: np.ndarray, symbols: tuple[str, ...]) -> pa.DictionaryArray:
    """Symbols by their codes in the list, the dictionary sorted bytewise."""
    order = sorted(range(len(symbols)), key=lambda i: symbols[i].encode())
    rank = np.empty(len(symbols), np.int64)
    rank[order] = np.arange(len(symbols))
    return dictionary_array(rank[code], pa.array([symbols[i] for i in order], pa.string()))


def _market_mean(values: np.ndarray, session: np.ndarray, symbols: int) -> np.ndarray:
    """Mean over the rows of each session, float32 (rows,), NaN where too few have a value."""
    known = ~np.isnan(values)
    count = np.bincount(session[known], minlength=int(session.max()) + 1)
    total = np.bincount(session[known], values[known].astype(np.float64), minlength=len(count))
    enough = count >= max(_MIN_SYMBOLS, symbols / 2)
    mean = np.divide(total, count, out=np.full(len(count), np.nan), where=enough)
    found: np.ndarray = mean.astype(np.float32)[session]
    return found


def _refuse_late(plan: Plan, rows: _Rows, decision: np.ndarray) -> None:
    """Nobody could trade on a row that is known after the next open."""
    following = calendar().hours_at(calendar().places(rows.days) + 1)[0]
    late = decision >= following
    if late.any():
        row = int(late.argmax())
        msg = f"features are known {int(decision[row] - following[row]) // 10**9} s after the next open"
        values = {
            "symbol": plan.params.listed[rows.code[row]],
            "session": str(np.datetime64(int(rows.days[row]), "D")),
        }
        raise SchemaError(msg, hint="leave the late table out of panel.tables", table="gold/model_panel", **values)


@dataclass(frozen=True)
class _Rows:
    """The rows of one table, sorted by symbol (its place in the list) and session."""

    spec: Table
    table: pa.Table
    code: np.ndarray
    days: np.ndarray

    @classmethod
    def of(cls, inputs: Inputs, spec: Table, symbols: tuple[str, ...]) -> _Rows:
        parts = [*inputs.of_symbols(spec.name).values(), *inputs.partitions(spec.name).values()]
        names = pa.array(symbols, pa.string())
        whole = pa.concat_tables([_wanted(part, names) for part in (spec.empty(), *parts)]).unify_dictionaries()
        code = pc.index_in(whole["symbol"].cast(pa.string()), value_set=names).to_numpy().astype(np.int64)
        days = whole["session"].combine_chunks().view(pa.int32()).to_numpy()
        order = np.lexsort((days, code))
        return cls(spec, whole.take(order), code[order], days[order])

    def known_ns(self, at: np.ndarray, first: _Rows) -> np.ndarray:
        """When what is joined to each row was known: that a session has no row is known when it is over."""
        times: np.ndarray = np.append(self.table["available_ns"].to_numpy(), 0)[at]
        older = np.append(self.days, -1)[at] != first.days
        days, place = np.unique(first.days[older], return_inverse=True)
        ends = np.array([calendar().session(day.item()).ext_end_ns for day in days.astype("datetime64[D]")], np.int64)
        times[older] = ends[place]
        return times

    def values(self, name: str) -> np.ndarray:
        """A column as float32, NaN where null."""
        column = self.table[name]
        found = floats(column.cast(pa.float64()) if column.type == DTYPES["bool"] else column)
        return found.astype(np.float32)

    def as_of(self, first: _Rows) -> np.ndarray:
        """The latest row of the symbol up to each session, one beyond the last where that is too old."""
        if not len(self.code):
            return np.zeros(len(first.code), np.int64)
        ours, theirs = (rows.code * (1 << 20) + calendar().places(rows.days) for rows in (first, self))
        at = np.searchsorted(theirs, ours, side="right") - 1
        young = (at >= 0) & (ours - theirs[np.maximum(at, 0)] <= _MAX_AGE)
        return np.where(young, at, len(theirs))


def _wanted(part: pa.Table, names: pa.Array) -> pa.Table:
    return part.filter(pc.is_in(part["symbol"].cast(pa.string()), value_set=names))


FAMILY = family_of
