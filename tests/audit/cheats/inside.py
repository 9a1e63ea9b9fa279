"""A table with rows inside the session: honest columns, and columns that peek."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa

from raypipe.calendar import NS_PER_MINUTE, Session
from raypipe.schema.family import Family, Inputs, Params, Read, Result
from raypipe.schema.spec import Column, Table
from raypipe.schema.tables import DAY_AGGS, MINUTE_AGGS, SESSION, SYMBOL

DECISION_NS = Column("decision_ns", "i64", "End of the bar.", "ns", role="time")
FORWARD = Column("fwd_ret", "f64", "Return to the last bar within ten minutes.", "1", role="label")
KNOWN_NS = Column("label_known_ns", "i64", "Ten minutes on.", "ns", role="time")
KEY = (SESSION, SYMBOL, DECISION_NS)


def column(name: str) -> Column:
    return Column(name, "f64", "Whatever it says.", "usd", "there is nothing")


PEEKS = Table(
    "gold/cheat_inside",
    ("symbol", "decision_ns"),
    "session",
    (*KEY, *map(column, ("so_far", "bars_so_far", "next_close", "last_close", "day_volume", "ten_ahead"))),
    "A row for every third bar.",
)
LABELS = Table("gold/cheat_fwd", PEEKS.key, "session", (*KEY, FORWARD, KNOWN_NS), "What follows.")
DATASET = Table(
    "gold/cheat_dataset",
    PEEKS.key,
    "session",
    (*KEY, column("so_far"), column("borrowed"), Column("fwd_dn", "f64", "As it is.", "1"), FORWARD, KNOWN_NS),
    "Both, and a feature that is a label under another name.",
)
BARS = Read(MINUTE_AGGS.name, ("symbol", "window_start_ns", "close"))
FOLLOWS = Read(LABELS.name, ("symbol", "decision_ns", "fwd_ret", "label_known_ns"))
EVERY = 3


def _built(spec: Table, target: Session, symbols: list[str], columns: dict[str, np.ndarray]) -> pa.Table:
    arrays = {name: pa.array(values, spec[name].arrow.type, from_pandas=True) for name, values in columns.items()}
    arrays["session"] = pa.array([target.date] * len(symbols), pa.date32())
    arrays["symbol"] = pa.array(symbols, pa.string()).dictionary_encode()
    return spec.build(arrays)


def _by_symbol(inputs: Inputs, target: Session, spec: Table, rule: Callable[..., dict[str, np.ndarray]]) -> Result:
    """Rows of each symbol: ``rule`` is given ends and closes of its bars, and which of them are decided on."""
    bars = inputs.partitions(MINUTE_AGGS.name)[target.date]
    names = bars["symbol"].combine_chunks()
    codes = names.indices.to_numpy()
    ends, closes = bars["window_start_ns"].to_numpy() + NS_PER_MINUTE, bars["close"].to_numpy()
    parts = [spec.empty()]
    for code, name in enumerate(names.dictionary.to_pylist()):  # sorted, as everywhere in the lake
        own = codes == code
        at = np.arange(own.sum())[EVERY - 1 :: EVERY]
        if len(at):
            found = {"decision_ns": ends[own][at], **rule(name, ends[own], closes[own], at)}
            parts.append(_built(spec, target, [name] * len(at), found))
    return Result(pa.concat_tables(parts))


def peeks(inputs: Inputs, _: Params) -> Result:
    target = inputs.targets[0]
    day = inputs.partitions(DAY_AGGS.name)[target.date]
    volumes = dict(zip(day["symbol"].to_pylist(), day["volume"].to_pylist(), strict=True))

    def rule(name: str, ends: np.ndarray, closes: np.ndarray, at: np.ndarray) -> dict[str, np.ndarray]:
        ten = np.searchsorted(ends, ends[at] + 10 * NS_PER_MINUTE, side="right") - 1
        return {
            "so_far": np.maximum.accumulate(closes)[at],
            "bars_so_far": at + 1.0,
            "next_close": np.append(closes, np.nan)[at + 1],
            "last_close": np.full(len(at), closes[-1]),
            "day_volume": np.full(len(at), volumes.get(name, np.nan)),
            "ten_ahead": closes[ten],
        }

    return _by_symbol(inputs, target, PEEKS, rule)


def labels(inputs: Inputs, _: Params) -> Result:
    target = inputs.targets[0]

    def rule(name: str, ends: np.ndarray, closes: np.ndarray, at: np.ndarray) -> dict[str, np.ndarray]:
        until = ends[at] + 10 * NS_PER_MINUTE
        return {
            "fwd_ret": closes[np.searchsorted(ends, until, side="right") - 1] / closes[at],
            "label_known_ns": until,
        }

    return _by_symbol(inputs, target, LABELS, rule)


def dataset(inputs: Inputs, _: Params) -> Result:
    """Rows of both tables with labels; only those that go up or down are kept."""
    target = inputs.targets[0]
    read = (inputs.partitions(name)[target.date] for name in (PEEKS.name, LABELS.name))
    rows, after = (table.set_column(0, "symbol", table["symbol"].cast(pa.string())) for table in read)
    joined = rows.join(after, ["symbol", "decision_ns"])
    joined = joined.sort_by([("symbol", "ascending"), ("decision_ns", "ascending")])
    columns = {name: joined[name].to_numpy() for name in ("decision_ns", "so_far", "label_known_ns")}
    forward = joined["fwd_ret"].to_numpy()
    columns |= {"fwd_ret": forward, "borrowed": forward * 2.0, "fwd_dn": np.zeros(len(forward))}
    return Result(_built(DATASET, target, joined["symbol"].to_pylist(), columns))


def one(name: str, spec: Table, compute: Callable[[Inputs, Params], Result], *reads: Read) -> Family:
    def each(inputs: Inputs, params: Params) -> Result:
        made = [compute(Inputs((t,), inputs.tables, inputs.sessions), params).table for t in inputs.targets]
        return Result(pa.concat_tables([spec.empty(), *made]))

    return Family(name, 1, Params, lambda _: spec, lambda _: reads, each, step="cheat")


FAMILY = (
    one("cheat_inside", PEEKS, peeks, BARS, Read(DAY_AGGS.name, ("symbol", "volume"))),
    one("cheat_fwd", LABELS, labels, BARS),
    one("cheat_dataset", DATASET, dataset, Read(PEEKS.name, ("symbol", "decision_ns", "so_far")), FOLLOWS),
)
