"""Greeks of every option print, at the price that SPY had when it was printed.

Dealers take the other side of each print, of calls and puts alike: a customer who buys gamma leaves them short of it.
Summed up that is a flow, not an exposure: what they held before the open is not known.
"""

from __future__ import annotations

import datetime as dt

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raypipe.calendar import NS_PER_MINUTE, Session, calendar
from raypipe.schema.books import ES_TRADES, POINTS_PER_TICK, SPY_OPTION_TRADES
from raypipe.schema.family import Family, Finding, Inputs, Read, Result
from raypipe.schema.frames import date_array, dictionary_array, nullable
from raypipe.schema.signals import GreekParams, SignalPart
from raypipe.schema.spec import Table
from raypipe.schema.touches import ES_SESSION, ES_SPY_RATIO, OPTION_GREEKS, globex_window

__all__ = ["FAMILY", "OptionGreeksParams"]

#: Shares of one contract.
_SHARES = 100
_IV_SOURCES = pa.array(["fallback", "solved"], pa.string())
#: Prints whose strike lies so near to the price count for the warning of unsolved volatilities, and their share.
_NEAR_USD, _MOST_UNSOLVED = 2.0, 0.25
_COLUMNS = ("ts_event_ns", "strike_e3", "right", "price", "size", "aggressor", "exp_date")


class OptionGreeksParams(SignalPart):
    """Black-Scholes and its inversion."""

    GROUPS = ("greeks",)


def table(_: OptionGreeksParams) -> Table:
    """The table provided: `silver/option_greeks`."""
    return OPTION_GREEKS


def requires(_: OptionGreeksParams) -> tuple[Read, ...]:
    """Prints, and the price of ES and its ratio to SPY at each."""
    return (
        Read(SPY_OPTION_TRADES.name, _COLUMNS),
        Read(ES_TRADES.name, ("ts_event_ns", "instrument_id", "price_ticks")),
        Read(ES_SESSION.name, ("front_instrument_id",)),
        Read(ES_SPY_RATIO.name, ("valid_from_ns", "ratio")),
    )


def compute(inputs: Inputs, params: OptionGreeksParams) -> Result:
    """One row per print, in the order of the prints."""
    parts, findings = [OPTION_GREEKS.empty()], []
    for target in inputs.targets:
        prints = inputs.partitions(SPY_OPTION_TRADES.name)[target.date]
        spot = _spots(prints["ts_event_ns"].to_numpy(), inputs, target)
        rows, found = _session(prints, spot, target, params.signals.greeks)
        parts.append(rows)
        findings += found
    return Result(pa.concat_tables(parts), tuple(findings))


def _spots(ts_ns: np.ndarray, inputs: Inputs, target: Session) -> np.ndarray:
    """What SPY was worth before each print by the last ES trade and the ratio then, usd; NaN before the first trade."""
    from raypipe.kernels.prints import rows_before

    date = target.date
    trades, ratios = inputs.partitions(ES_TRADES.name)[date], inputs.partitions(ES_SPY_RATIO.name)[date]
    front, (start_ns, end_ns) = inputs.partitions(ES_SESSION.name)[date], globex_window(target)
    trade_ns = trades["ts_event_ns"].to_numpy()
    mine = np.isin(trades["instrument_id"].to_numpy(), front["front_instrument_id"].to_numpy())
    mine &= (trade_ns >= start_ns) & (trade_ns < end_ns)
    points = np.append(trades["price_ticks"].to_numpy()[mine] * POINTS_PER_TICK, np.nan)
    ratio = np.append(ratios["ratio"].to_numpy(), np.nan)
    in_force = rows_before(ts_ns + 1, ratios["valid_from_ns"].to_numpy())
    spots: np.ndarray = points[rows_before(ts_ns, trade_ns[mine])] / ratio[in_force]
    return spots


def _session(
    prints: pa.Table, spot: np.ndarray, target: Session, params: GreekParams
) -> tuple[pa.Table, list[Finding]]:
    from raypipe.kernels.greeks import IvRules, IvStatus, Market, print_greeks

    right, ts_ns = prints["right"].combine_chunks(), prints["ts_event_ns"].to_numpy()
    strike_e3, size = prints["strike_e3"].to_numpy(), prints["size"].to_numpy()
    aggressor = prints["aggressor"].to_numpy()
    iv, delta, gamma, status = print_greeks(
        prints["price"].to_numpy(),
        spot,
        strike_e3,
        _expiries_ns(prints["exp_date"], params) - ts_ns,
        pc.equal(right.cast(pa.string()), "C").to_numpy(zero_copy_only=False),
        params.iv_fallback,
        Market(params.rate, params.dividend_yield),
        IvRules(params.iv_min, params.iv_max, params.min_time_value_usd),
    )
    solved, known = status == IvStatus.SOLVED, np.isfinite(spot)
    gross = size * gamma * _SHARES
    columns = {
        "session": date_array(target.date, len(ts_ns)),
        **{name: prints[name] for name in ("ts_event_ns", "strike_e3", "right", "size", "aggressor")},
        "spot": nullable(spot),
        "iv": nullable(iv),
        "iv_source": _iv_source(solved, known),
        "delta": nullable(delta),
        "gamma": nullable(gamma),
        "dealer_gamma": nullable(-aggressor * gross),
        "gross_gamma": nullable(gross),
    }
    near = known & (np.abs(strike_e3 / 1000.0 - spot) <= _NEAR_USD)
    return OPTION_GREEKS.build(columns), _warned(target, int(near.sum()), int((near & ~solved).sum()))


def _expiries_ns(column: pa.ChunkedArray, params: GreekParams) -> np.ndarray:
    """When each print's option expires, int64 (prints,): a while after the close, early closes honoured."""
    encoded = column.combine_chunks().dictionary_encode()
    ends = [_expiry_ns(date, params) for date in encoded.dictionary.to_pylist()]
    expiries: np.ndarray = np.array(ends, np.int64)[encoded.indices.to_numpy()]
    return expiries


def _expiry_ns(date: dt.date, params: GreekParams) -> int:
    return calendar().session(date).close_ns + params.expiry_after_close_min * NS_PER_MINUTE


def _iv_source(solved: np.ndarray, known: np.ndarray) -> pa.DictionaryArray:
    if known.all():
        return dictionary_array(solved.astype(np.int32), _IV_SOURCES)
    used = dictionary_array(solved[known].astype(np.int32), _IV_SOURCES)
    indices = np.zeros(len(known), np.int32)
    indices[known] = used.indices.to_numpy()
    return pa.DictionaryArray.from_arrays(pa.array(indices, mask=~known), used.dictionary)


def _warned(target: Session, near: int, unsolved: int) -> list[Finding]:
    if unsolved <= _MOST_UNSOLVED * near:
        return []
    text = f"{unsolved:,} of {near:,} prints near the price ({unsolved / near:.0%}) have no implied volatility"
    return [Finding("fallback_iv", text, unsolved, partition=target.key)]


FAMILY = Family(
    "option_greeks",
    1,
    OptionGreeksParams,
    table,
    requires,
    compute,
    step="signals",
    cost=0.3,
    memory=400 << 20,
    fuse="signals",
)
