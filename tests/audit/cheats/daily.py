"""Cheats with a row per symbol and session."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping

import numpy as np
import pyarrow as pa

from raypipe.calendar import Session, calendar
from raypipe.schema.family import Family, Inputs, Params, Read, Result
from raypipe.schema.spec import Column, Table
from raypipe.schema.tables import AVAILABLE_NS, DAY_AGGS, MINUTE_AGGS, SESSION, SPLITS, SYMBOL

VALUE = Column("value", "f64", "Whatever the family says.", "1", "it says nothing")
OTHER = Column("other", "f64", "The session's own close.", "usd")
CLOSES = Read(DAY_AGGS.name, ("symbol", "close"))
Closes = Mapping[dt.date | None, Mapping[str, float]]
#: (session, closes by session and symbol, inputs) -> value by symbol.
Rule = Callable[[Session, Closes, Inputs], Mapping[str, float | None]]


def daily(
    name: str,
    rule: Rule,
    *reads: Read,
    available: Callable[[Session], int] = lambda session: session.ext_end_ns,
    value: Column = VALUE,
    chunk: int = 1,
) -> Family:
    """A family of one value per symbol beside its close."""
    times = (
        (Column("label_known_ns", "i64", "When it is settled.", "ns", role="time"),)
        if value.role == "label"
        else (AVAILABLE_NS,)
    )
    spec = Table(f"silver/{name}", ("symbol",), "session", (SESSION, SYMBOL, value, OTHER, *times), "A cheat.")

    def compute(inputs: Inputs, _: Params) -> Result:
        return Result(pa.concat_tables([spec.empty(), *(_rows(inputs, target) for target in inputs.targets)]))

    def _rows(inputs: Inputs, target: Session) -> pa.Table:
        closes = {date: _closes(rows) for date, rows in inputs.partitions(DAY_AGGS.name).items()}
        own = closes.get(target.date, {})
        values = {symbol: v for symbol, v in rule(target, closes, inputs).items() if symbol in own}
        names = sorted(values, key=str.encode)
        columns = {
            "session": pa.array([target.date] * len(names), pa.date32()),
            "symbol": pa.array(names, pa.string()).dictionary_encode(),
            value.name: pa.array([values[symbol] for symbol in names], value.arrow.type),
            "other": pa.array([own[symbol] for symbol in names], pa.float64()),
            times[0].name: pa.array([available(target)] * len(names), pa.int64()),
        }
        return spec.build(columns)

    wanted = (CLOSES, *reads)
    return Family(name, 1, Params, lambda _: spec, lambda _: wanted, compute, step="cheat", chunk=chunk)


def _closes(rows: pa.Table) -> dict[str, float]:
    return dict(zip(rows["symbol"].to_pylist(), rows["close"].to_pylist(), strict=True))


def following(target: Session, steps: int = 1) -> dt.date:
    return calendar().offset(target.date, steps)


def honest(target: Session, closes: Closes, _: Inputs) -> Mapping[str, float | None]:
    """The change since the session before."""
    past = closes.get(following(target, -1), {})
    return {symbol: close / past[symbol] if symbol in past else None for symbol, close in closes[target.date].items()}


def next_close(target: Session, closes: Closes, _: Inputs) -> Mapping[str, float | None]:
    ahead = closes.get(following(target), {})
    return {symbol: ahead.get(symbol) for symbol in closes[target.date]}


def whole_sample(target: Session, closes: Closes, _: Inputs) -> Mapping[str, float | None]:
    """The close against the mean of everything that happens to be built at once."""
    own = closes[target.date]
    return {s: close / np.mean([c[s] for c in closes.values() if s in c]) for s, close in own.items()}


def later_splits(target: Session, closes: Closes, inputs: Inputs) -> Mapping[str, float | None]:
    """The close on the basis of the last split of the file, whenever that is."""
    splits = inputs.once(SPLITS.name)
    rows = splits.to_pylist() if splits else []
    ratio = {row["symbol"]: row["split_ratio"] for row in rows if row["ex_session"] > target.date}
    return {symbol: close / ratio.get(symbol, 1.0) for symbol, close in closes[target.date].items()}


def survivors(target: Session, closes: Closes, _: Inputs) -> Mapping[str, float | None]:
    """Only symbols that close higher in the next session."""
    ahead = closes.get(following(target), {})
    return {symbol: close for symbol, close in closes[target.date].items() if ahead.get(symbol, 0.0) > close}


def last_print(target: Session, closes: Closes, inputs: Inputs) -> Mapping[str, float | None]:
    """The last close of the extended session."""
    bars = inputs.partitions(MINUTE_AGGS.name)[target.date]
    last = _closes(bars)  # rows are in order of time: the last one of a symbol stays
    return {symbol: last.get(symbol) for symbol in closes[target.date]}


_chance = np.random.default_rng(1)


def chance(target: Session, closes: Closes, _: Inputs) -> Mapping[str, float | None]:
    return {symbol: float(_chance.random()) for symbol in closes[target.date]}


def fragile(target: Session, closes: Closes, _: Inputs) -> Mapping[str, float | None]:
    """Cannot do without the next session."""
    if not closes[following(target)]:
        msg = "nobody trades in the next session"
        raise ArithmeticError(msg)
    return closes[target.date]


def range_of(target: Session, closes: Closes, inputs: Inputs) -> Mapping[str, float | None]:
    """Whether a symbol closes higher two sessions on."""
    ahead, own = closes.get(following(target, 2), {}), closes[target.date]
    return {symbol: int(ahead[symbol] > close) if symbol in ahead else None for symbol, close in own.items()}


LABEL = Column("label_higher", "i8", "1 if the close is higher two sessions on.", "1", "no such row", role="label")
AHEAD, TWO_AHEAD = Read(DAY_AGGS.name, ("symbol", "close"), own=False, after=1), Read(DAY_AGGS.name, after=2)
BEFORE = Read(DAY_AGGS.name, ("symbol", "close"), before=3, own=False)


def _end_of(steps: int) -> Callable[[Session], int]:
    return lambda target: calendar().session(following(target, steps)).ext_end_ns


FAMILY = (
    daily("cheat_honest", honest, BEFORE, chunk=63),
    daily("cheat_next_close", next_close, AHEAD),
    daily("cheat_whole_sample", whole_sample, chunk=63),
    daily("cheat_later_splits", later_splits, Read(SPLITS.name, optional=True)),
    daily("cheat_survivors", survivors, AHEAD),
    daily("cheat_too_early", last_print, Read(MINUTE_AGGS.name, ("symbol", "close")), available=lambda s: s.close_ns),
    daily("cheat_in_time", last_print, Read(MINUTE_AGGS.name, ("symbol", "close"))),
    daily("cheat_chance", chance),
    daily("cheat_fragile", fragile, AHEAD),
    daily("cheat_labels", range_of, TWO_AHEAD, value=LABEL, available=_end_of(2)),
    daily("cheat_labels_late", range_of, TWO_AHEAD, value=LABEL, available=_end_of(1)),
)
