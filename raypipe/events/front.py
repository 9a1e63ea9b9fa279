"""The front contract of a session and its one-minute bars, both from the trades of all outrights.

One choice holds for trades, book and bars: the outright in which most contracts changed hands in regular hours. It is a
fact of the finished session, as which data to look at; prices of two contracts never meet in one series.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from raypipe.calendar import NS_PER_MINUTE, Session, calendar
from raypipe.errors import PartitionError
from raypipe.schema.books import ES_TRADES
from raypipe.schema.family import Family, Finding, Inputs, Read, Result
from raypipe.schema.frames import codes_of, constant_dictionary, date_array, dictionary_array
from raypipe.schema.signals import SignalPart
from raypipe.schema.touches import ES_BARS, ES_SESSION, globex_window

__all__ = ["FAMILY", "EsBarsParams", "EsSessionParams", "expiry_rank"]

_QUARTERS = {"H": 3, "M": 6, "U": 9, "Z": 12}
_NEVER = 10**6
#: Fact of the footer of `bronze/es_trades` that lists the instruments left out, with their lots, as JSON.
_EXCLUDED = b"excluded"
#: Regular hours decide if they hold this share of a session's contracts. In whole sessions it is most of them; files
#: that lack regular hours may still hold a few prints of a far contract there.
_REGULAR_SHARE = 0.01
#: Outrights of which bars are kept: the front contract and the one that it rolls to or from.
_CONTRACTS = 2


class EsSessionParams(SignalPart):
    """How the front contract is chosen."""

    GROUPS = ("front",)


class EsBarsParams(SignalPart):
    """Nothing of its own: bars hold whatever contract may be chosen."""


class _Lots(NamedTuple):
    """Contracts traded by contract, within one window."""

    contracts: pa.Array
    codes: np.ndarray
    session: np.ndarray
    rth: np.ndarray

    @property
    def basis(self) -> str:
        return "rth" if _regular_decide(self.rth, self.session) else "session"

    @property
    def lots(self) -> np.ndarray:
        """On the basis that decides."""
        return self.rth if self.basis == "rth" else self.session

    def largest(self, session: Session) -> str:
        """The contract with most lots; of equals, the one that expires first."""
        return _largest(dict(zip(self.contracts.to_pylist(), self.lots.tolist(), strict=True)), session)

    def of(self, contract: str) -> int:
        """Lots of one contract on the basis that decides."""
        return int(self.lots[self.contracts.index(contract).as_py()])

    def listed(self) -> tuple[str, ...]:
        """Contracts with their lots, largest first."""
        order = np.argsort(-self.lots, kind="stable")
        return tuple(f"{self.contracts[int(i)].as_py()} {self.lots[i]:,}" for i in order)


def expiry_rank(contract: str, date: dt.date) -> int:
    """Months until a contract expires, as seen in a session; a million if its name does not say.

    One digit names the first such year that has not passed.

    Examples
    --------
    >>> [expiry_rank(name, dt.date(2024, 9, 3)) for name in ("ESU4", "ESZ4", "ESH25", "ESM4", "ES_118")]
    [0, 3, 6, 117, 1000000]
    """
    found = re.fullmatch(r"ES([HMUZ])(\d{1,2})", contract)
    if not found:
        return _NEVER
    month, digits, now = _QUARTERS[found[1]], found[2], 12 * date.year + date.month
    rank = 12 * (int(digits) + (2000 if len(digits) > 1 else 10 * (date.year // 10))) + month - now
    return rank + 120 if rank < 0 and len(digits) == 1 else rank


def _regular_decide(rth: np.ndarray, session: np.ndarray) -> bool:
    """Whether there is enough of regular hours to choose by them."""
    return bool(rth.any() and rth.sum() >= _REGULAR_SHARE * session.sum())


def _largest(lots: Mapping[str, int], session: Session) -> str:
    return min(lots, key=lambda name: (-lots[name], expiry_rank(name, session.date), name))


def _lots(trades: pa.Table, session: Session) -> _Lots | None:
    """Lots within the electronic session; None if nothing traded in it."""
    from raypipe.kernels.trade_bars import contract_lots

    contracts, (codes,) = codes_of([trades["contract"].unify_dictionaries()])
    columns = trades["ts_event_ns"].to_numpy(), trades["size"].to_numpy(), codes, len(contracts)
    whole = contract_lots(*columns, globex_window(session))
    regular = contract_lots(*columns, (session.open_ns, session.close_ns))
    return _Lots(contracts, codes, whole, regular) if whole.any() else None


# --- silver/es_session -------------------------------------------------------------------------


def _session_requires(_: EsSessionParams) -> tuple[Read, ...]:
    return (
        Read(ES_TRADES.name, ("ts_event_ns", "instrument_id", "contract", "size")),
        Read(ES_BARS.name, ("contract", "start_ns", "volume"), before=1, own=False, optional=True),
    )


def _session_compute(inputs: Inputs, params: EsSessionParams) -> Result:
    rows, findings = [ES_SESSION.empty()], []
    for target in inputs.targets:
        trades = inputs.partitions(ES_TRADES.name)[target.date]
        lots = _lots(trades, target)
        if lots is None:
            findings.append(_finding("no_trades", "no outright traded in the electronic session", target))
            continue
        before = inputs.partitions(ES_BARS.name).get(calendar().offset(target.date, -1))
        row, found = _session_row(trades, lots, before, target, params)
        rows.append(row)
        findings += found
    return Result(pa.concat_tables(rows), tuple(findings))


def _session_row(
    trades: pa.Table, lots: _Lots, before: pa.Table | None, target: Session, params: EsSessionParams
) -> tuple[pa.Table, list[Finding]]:
    rule, findings = params.signals.front, []
    same, prior = lots.largest(target), _front_before(before, target)
    front = same if rule.rule == "same_session" else prior
    if front is None or front not in lots.contracts.to_pylist():
        what = "there are no bars of the session before" if prior is None else f"{prior} did not trade"
        findings.append(
            _finding("front_rule", f"{what}: the front contract is chosen by this session's volume", target)
        )
        front = same
    dominance = lots.of(front) / int(lots.lots.sum())
    if dominance < rule.fail_dominance:
        msg = (
            f"{front} has {dominance:.1%} of the volume, expected {rule.fail_dominance:.0%}: {', '.join(lots.listed())}"
        )
        hint = "is a contract missing from the source? else lower signals.front.fail_dominance"
        raise PartitionError(msg, hint=hint, table=ES_TRADES.name, partition=target.key)
    if dominance < rule.warn_dominance:
        text = f"{front} has {dominance:.1%} of the volume, expected {rule.warn_dominance:.0%}"
        findings.append(_finding("front_dominance", text, target, lots.listed()))
    facts = {"front_dominance": dominance, "front_rule_agrees": prior is None or prior == same}
    return _row(trades, lots, front, facts, target), findings


def _finding(kind: str, message: str, target: Session, samples: tuple[str, ...] = ()) -> Finding:
    return Finding(kind, message, samples=samples, partition=target.key)


def _front_before(bars: pa.Table | None, target: Session) -> str | None:
    """What the session before would have chosen, from its bars."""
    if bars is None or not bars.num_rows:
        return None
    session = calendar().session(calendar().offset(target.date, -1))
    names, (codes,) = codes_of([bars["contract"].unify_dictionaries()])
    start_ns, volume = bars["start_ns"].to_numpy(), bars["volume"].to_numpy()
    regular = np.where((start_ns >= session.open_ns) & (start_ns < session.close_ns), volume, 0)
    counts = np.bincount(codes, regular if _regular_decide(regular, volume) else volume, len(names))
    return _largest(dict(zip(names.to_pylist(), counts.tolist(), strict=True)), session)


def _row(trades: pa.Table, lots: _Lots, front: str, facts: Mapping[str, float | bool], target: Session) -> pa.Table:
    code = lots.contracts.index(front).as_py()
    mine = lots.codes == code
    values = {
        "front_instrument_id": trades["instrument_id"].to_numpy()[np.argmax(mine)],
        "front_volume_rth": int(lots.rth[code]),
        "outright_volume_rth": int(lots.rth.sum()),
        "early_close": target.early_close,
        "rth_open_ns": target.open_ns,
        "rth_close_ns": target.close_ns,
        "trade_coverage": _coverage(trades["ts_event_ns"].to_numpy()[mine], target),
        "dropped_spread_lots": _spread_lots(trades),
        **facts,
    }
    columns = {name: pa.array([value], ES_SESSION[name].arrow.type) for name, value in values.items()}
    return ES_SESSION.build(
        {
            **columns,
            "session": date_array(target.date, 1),
            "date": pa.array([target.key]),
            "front_contract": constant_dictionary(front, 1),
            "front_basis": constant_dictionary(lots.basis, 1),
        }
    )


def _spread_lots(trades: pa.Table) -> int:
    """Contracts of spreads that bronze left out, as its footer tells; files in other formats have none."""
    listed = json.loads((trades.schema.metadata or {}).get(_EXCLUDED, b"[]"))
    return sum(int(instrument["lots"]) for instrument in listed)


def _coverage(ts_ns: np.ndarray, target: Session) -> float:
    """Share of regular minutes in which there was a trade."""
    minutes = (target.close_ns - target.open_ns) // NS_PER_MINUTE
    regular = ts_ns[(ts_ns >= target.open_ns) & (ts_ns < target.close_ns)]
    return float(np.count_nonzero(np.bincount((regular - target.open_ns) // NS_PER_MINUTE)) / minutes)


# --- silver/es_bars ----------------------------------------------------------------------------


def _bars_requires(_: EsBarsParams) -> tuple[Read, ...]:
    return (Read(ES_TRADES.name, ("ts_event_ns", "contract", "price_ticks", "size", "side")),)


def _bars_compute(inputs: Inputs, _: EsBarsParams) -> Result:
    trades = inputs.partitions(ES_TRADES.name)
    return Result(pa.concat_tables([ES_BARS.empty(), *(_bars(trades[t.date], t) for t in inputs.targets)]))


def _bars(trades: pa.Table, target: Session) -> pa.Table:
    from raypipe.kernels.trade_bars import FutureTrades, minute_bars

    lots = _lots(trades, target)
    if lots is None:
        return ES_BARS.empty()
    names = lots.contracts.to_pylist()
    order = sorted(range(len(names)), key=lambda i: (-lots.session[i], expiry_rank(names[i], target.date), names[i]))
    chosen = sorted(i for i in order[:_CONTRACTS] if lots.session[i])
    columns = FutureTrades(*(trades[name].to_numpy() for name in ("ts_event_ns", "price_ticks", "size", "side")))
    made = [minute_bars(columns, lots.codes, code, globex_window(target)) for code in chosen]
    codes = np.repeat(np.array(chosen, np.int32), [len(bars.start_ns) for bars in made])
    stored = [name for name in ES_BARS.names if name not in ("session", "contract")]
    values = (np.concatenate(column) for column in zip(*made, strict=True))
    return ES_BARS.build(
        {
            "session": date_array(target.date, len(codes)),
            "contract": dictionary_array(codes, lots.contracts),
            **{name: pa.array(column) for name, column in zip(stored, values, strict=True)},
        }
    )


FAMILY = (
    Family(
        "es_session",
        1,
        EsSessionParams,
        lambda _: ES_SESSION,
        _session_requires,
        _session_compute,
        step="signals",
        cost=0.05,
        fuse="front",
        stands=True,
    ),
    Family(
        "es_bars",
        1,
        EsBarsParams,
        lambda _: ES_BARS,
        _bars_requires,
        _bars_compute,
        step="signals",
        cost=0.05,
        fuse="front",
        stands=True,
    ),
)
