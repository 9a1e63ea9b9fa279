"""Which sessions have what signals need, what of them is current, and the plan that builds the rest.

A session is eligible with bronze books and prints that cover it and with the sessions before that averages look back
on. Sessions that a person names are built with the warm-up that there is.
"""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import pyarrow.compute as pc

from raypipe.calendar import EXCHANGE_TZ, NS_PER_SECOND, calendar
from raypipe.config import Config
from raypipe.errors import UsageError
from raypipe.lake.store import Lake
from raypipe.pipeline.nodes import Node, Nodes
from raypipe.pipeline.plan import Plan, Request, make_plan
from raypipe.pipeline.session import cpus
from raypipe.pipeline.stages import enabled_stages
from raypipe.schema.books import ES_MBP10, ES_TRADES, SPY_OPTION_TRADES
from raypipe.schema.family import linked
from raypipe.schema.signals import SignalsParams
from raypipe.schema.spec import Table
from raypipe.schema.touches import ES_BARS

__all__ = ["SIGNALS", "SessionState", "SignalSessions", "Wanted", "counts_of", "signals_params"]

#: The table that everything leads to.
SIGNALS = "gold/signals"
#: Gaps of a partition that are named; its footer has all of them.
_SHOWN_GAPS = 3
#: Columns whose values are counted after a run.
COUNTED = ("level_kind_name", "outcome", "confluence_level")

State = Literal["run", "current", "stale", "ineligible", "failed"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Sessions that a person asks for: named ones, or all eligible ones of a range."""

    start: dt.date | None = None
    end: dt.date | None = None
    dates: tuple[dt.date, ...] = ()

    def check(self) -> None:
        """Refuse what cannot be meant.

        Raises
        ------
        UsageError
            If dates and a range are mixed, a range is empty, or a date is no session.
        """
        if self.dates and (self.start or self.end):
            msg = "dates and a range exclude each other"
            raise UsageError(msg, hint="use --dates, or --start-date and --end-date")
        if self.start and self.end and self.end < self.start:
            msg = f"the end {self.end} is before the start {self.start}"
            raise UsageError(msg)
        for date in self.dates:
            calendar().session(date)


@dataclass(frozen=True, slots=True)
class SessionState:
    """One session: ``run`` (nothing is there yet), ``current``, ``stale``, ``ineligible``, or ``failed``.

    A session that was named and cannot be built is ``failed``; ``why`` says what is missing or stale. ``warnings``
    tell what it is built without.
    """

    session: str
    state: State
    why: str = ""
    warnings: tuple[str, ...] = ()

    @property
    def buildable(self) -> bool:
        """Whether a run would make it, or make it again."""
        return self.state in ("run", "current", "stale")


def signals_params(config: Config) -> SignalsParams:
    """The section ``signals`` of a configuration."""
    params = config.params["signals"]
    assert isinstance(params, SignalsParams)
    return params


@dataclass
class SignalSessions:
    """The sessions of a request over one lake and one configuration; reads footers and listings only.

    Attributes
    ----------
    config
        The configuration; it names the lake.
    wanted
        What is asked for.
    broken
        Sessions of which an input could not be made, and why.
    """

    config: Config
    wanted: Wanted
    broken: Mapping[str, str] = field(default_factory=dict)
    _have: dict[str, frozenset[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.wanted.check()
        self._lake = Lake(self.config.lake.location)
        self._params = signals_params(self.config)

    @cached_property
    def nodes(self) -> Nodes:
        """Every partition's state. Sessions of the warm-up may be missing: eligibility is judged here."""
        params = linked(self.config.params)
        return Nodes(self._lake, params, enabled_stages(params), allow_holes=True)

    @property
    def table(self) -> Table:
        """The joined table under this configuration."""
        return self.nodes.view(SIGNALS).table

    # --- states ---------------------------------------------------------------------------------

    @cached_property
    def states(self) -> tuple[SessionState, ...]:
        """Every session of the request, in order: those named, or those of the range with anything of theirs there.

        Raises
        ------
        UsageError
            If no session of the range is eligible.
        """
        if self.wanted.dates:
            return tuple(self._named(key) for key in sorted({date.isoformat() for date in self.wanted.dates}))
        found = tuple(self._found(key) for key in self._sessions_there())
        if not any(one.buildable or one.state == "failed" for one in found):
            lacking = f": {found[0].session} {found[0].why}" if found else ""
            msg = f"no session from {self.wanted.start or 'the beginning'} to {self.wanted.end or 'today'} is eligible"
            raise UsageError(msg + lacking, hint="raypipe signals --dry-run lists what is missing")
        return found

    @property
    def listed(self) -> tuple[SessionState, ...]:
        """As `states`, of a request that may have no eligible session."""
        try:
            return self.states
        except UsageError:
            return tuple(self._found(key) for key in self._sessions_there())

    def _sessions_there(self) -> list[str]:
        keys = {key for spec in (ES_TRADES, ES_MBP10, SPY_OPTION_TRADES) for key in self._available(spec)}
        dates = {key: dt.date.fromisoformat(key) for key in keys}
        start, end = self.wanted.start or dt.date.min, self.wanted.end or dt.date.max
        return sorted(key for key, date in dates.items() if start <= date <= end)

    def _named(self, key: str) -> SessionState:
        if key in self.broken:
            return SessionState(key, "failed", self.broken[key])
        lacking = self._lacking_bronze(key)
        if lacking:
            return SessionState(key, "failed", "; ".join(lacking))
        state = self._state(key)
        warnings = tuple(f"{key} is built without {text}" for text in self._lacking_warm_up(key))
        failed: State = "failed" if state.state == "ineligible" else state.state
        return SessionState(key, failed, state.why, warnings)

    def _found(self, key: str) -> SessionState:
        if key in self.broken:
            return SessionState(key, "failed", self.broken[key])
        lacking = [*self._lacking_bronze(key), *self._lacking_warm_up(key)]
        return SessionState(key, "ineligible", "; ".join(lacking)) if lacking else self._state(key)

    def _state(self, key: str) -> SessionState:
        node = self.nodes.node(SIGNALS, key)
        if node.state == "current":
            return SessionState(key, "current")
        if node.state == "missing":
            return SessionState(key, "run", self._first_reason(key, node) if node.reason != "missing" else "")
        if node.state == "stale":
            return SessionState(key, "stale", self._first_reason(key, node))
        return SessionState(key, "ineligible", node.reason)

    def _first_reason(self, key: str, node: Node) -> str:
        """Why a session is stale: what the first of its tables says that is not merely stale by its inputs."""
        for table in self._made:
            one = self.nodes.node(table, key)
            if one.state == "stale" and not one.reason.startswith("input changed: silver/"):
                return f"{table}: {one.reason}"
        return node.reason

    # --- what is lacking --------------------------------------------------------------------------

    def _lacking_bronze(self, key: str) -> list[str]:
        session = self._params.session
        needs = [(ES_TRADES, session.min_trade_coverage), (ES_MBP10, session.min_book_coverage)]
        if session.require_options:
            needs.append((SPY_OPTION_TRADES, session.min_option_coverage))
        found = [self._lack_of(spec, key, least) for spec, least in needs]
        return [text for text in found if text]

    def _lack_of(self, spec: Table, key: str, least: float) -> str:
        if key not in self._available(spec):
            return f"{spec.name} is missing"
        node = self.nodes.node(spec.name, key)
        if node.buildable:
            return ""  # what it covers is known once it is built
        if node.state != "current":
            return f"{spec.name} is {node.state}: {node.reason}"
        manifest = self._lake.manifest(spec, key)
        assert manifest is not None
        if spec is SPY_OPTION_TRADES and not manifest.rows:
            return f"{spec.name} has no print: no SPY option expires in the session"
        covered = float(manifest.facts.get("coverage", "1"))
        if covered >= least:
            return ""
        gaps = _gaps_text(manifest.facts.get("missing_minutes", "[]"))
        return f"{spec.name} covers {covered:.1%} of its minutes, {least:.0%} wanted{gaps}"

    def _lacking_warm_up(self, key: str) -> list[str]:
        there = self._available(ES_TRADES) | self._available(ES_BARS)
        missing = [one for one in self._warm_up(key) if one not in there]
        if not missing:
            return []
        text = missing[0] if len(missing) == 1 else f"{len(missing)} sessions of {missing[0]}..{missing[-1]}"
        return [f"{ES_TRADES.name} of {text} (warm-up)"]

    def _warm_up(self, key: str) -> list[str]:
        session, date = self._params.session, dt.date.fromisoformat(key)
        before = max(session.sma_warmup_sessions, session.volume_warmup_sessions)
        return [calendar().offset(date, -back).isoformat() for back in range(before, 0, -1)]

    def _available(self, spec: Table) -> frozenset[str]:
        """Partitions that are there, or that the same run would make of raw files."""
        if spec.name not in self._have:
            self._have[spec.name] = frozenset(self.nodes.available(spec.name))
        return self._have[spec.name]

    # --- plans ------------------------------------------------------------------------------------

    @cached_property
    def _made(self) -> tuple[str, ...]:
        """Tables of silver and gold that signals come of, in stage order."""
        return tuple(name for name in self.nodes.tables() if name in set(self._upstream(SIGNALS)))

    def _upstream(self, name: str) -> Iterator[str]:
        if name in self.nodes.tables() and not name.startswith(("raw/", "bronze/")):
            yield name
            for read in self.nodes.view(name).reads:
                if read.table != name:
                    yield from self._upstream(read.table)

    def bronze_plan(self) -> Plan | None:
        """What makes bronze of raw files that the sessions need; None if nothing is to be made.

        It comes first, because only bronze tells what it covers.
        """
        wanted = sorted({date.isoformat() for date in self.wanted.dates}) or self._sessions_there()
        keys = {(spec, key) for key in wanted for spec in (ES_TRADES, ES_MBP10, SPY_OPTION_TRADES)}
        keys |= {(ES_TRADES, before) for key in wanted for before in self._warm_up(key)}
        items = {(s.name, k) for s, k in keys if k in self._available(s) and self.nodes.node(s.name, k).buildable}
        return self._plan(Request(items=frozenset(items), allow_holes=True)) if items else None

    def plan(self, *, force: bool = False) -> Plan:
        """What builds the sessions that can be built; with ``force`` what is current too, but never bronze."""
        keys = [one.session for one in self.states if one.buildable]
        items = frozenset((table, key) for table in self._made for key in keys)
        request = Request(items=items, force=force, allow_holes=True)
        return self._plan(request)

    def _plan(self, request: Request) -> Plan:
        return make_plan(self._lake, self.config.params, request, workers=cpus(self.config.run))


def _gaps_text(text: str) -> str:
    """The first runs of minutes without a record, exchange time; empty if the footer has none."""
    gaps: Sequence[Sequence[int]] = json.loads(text)
    if not gaps:
        return ""
    shown = ", ".join(f"{_clock(start)}-{_clock(end)}" for start, end in gaps[:_SHOWN_GAPS])
    return f"; none in {shown}" + (f" and {len(gaps) - _SHOWN_GAPS} more gaps" if len(gaps) > _SHOWN_GAPS else "")


def _clock(ns: int) -> str:
    return dt.datetime.fromtimestamp(ns // NS_PER_SECOND, EXCHANGE_TZ).strftime("%H:%M")


def _by_number(one: tuple[str, int]) -> tuple[int, str]:
    """Levels of confluence by size, words by letter.

    Examples
    --------
    >>> sorted({"10": 4, "VWAP": 2, "7": 1, "PM_LOW": 3}.items(), key=_by_number)
    [('PM_LOW', 3), ('VWAP', 2), ('7', 1), ('10', 4)]
    """
    return (int(one[0]) if one[0].isdecimal() else -1, one[0])


def counts_of(config: Config, keys: Sequence[str]) -> dict[str, Any]:
    """Rows of some sessions, and how often each kind of level, outcome and confluence level stands in them."""
    lake, table = Lake(config.lake.location), SignalSessions(config, Wanted()).table
    columns = {name: name if name in table else f"{name}_4min" for name in COUNTED}
    counts: dict[str, Counter[str]] = {name: Counter() for name in COUNTED}
    total = 0
    for key in keys:
        rows = lake.read(table, key, tuple(columns.values()))
        total += rows.num_rows
        for name, column in columns.items():
            found = pc.value_counts(rows[column]).to_pylist()
            counts[name].update({str(one["values"]): one["counts"] for one in found})
    return {"rows": total, **{name: dict(sorted(found.items(), key=_by_number)) for name, found in counts.items()}}
