"""How many ES points one SPY dollar is, minute by minute, from minutes that had ended.

Ten is wrong by five dollars: dividends, interest and fees move the two apart over the quarter. The median over the last
half hour of ES close / SPY close is good to a cent or two; where SPY itself is missing, calls and puts of one strike
imply its price.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raypipe.calendar import NS_PER_MINUTE, NS_PER_SECOND, Session
from raypipe.events.reference import reference_digest, reference_prices
from raypipe.schema.books import POINTS_PER_TICK, SPY_OPTION_TRADES
from raypipe.schema.family import Family, Finding, Inputs, Read, Result
from raypipe.schema.frames import date_array, dictionary_array
from raypipe.schema.signals import RatioParams, SignalPart, SignalsParams
from raypipe.schema.spec import Table
from raypipe.schema.tables import MINUTE_AGGS
from raypipe.schema.touches import ES_BARS, ES_SESSION, ES_SPY_RATIO, globex_window
from raypipe.schema.warmup import front_bars, front_contract

__all__ = ["FAMILY", "EsSpyRatioParams", "expiry_ns"]

_SPY = "SPY"
_SOURCES = pa.array(["fixed", "parity", "spy"], pa.string())
_FIXED, _PARITY, _OF_SPY = range(3)
_PARITY_OBS = 1


class EsSpyRatioParams(SignalPart):
    """How the ratio is estimated; a reference file counts by its content."""

    GROUPS = ("ratio", "greeks", "options")

    def tracked(self) -> dict[str, object]:
        """The values of its groups, and the digest of the reference file."""
        path = self.signals.sources.spy_reference
        return super().tracked() | ({"spy_reference": reference_digest(path)} if path else {})


def expiry_ns(session: Session, params: SignalsParams) -> int:
    """When options that expire in a session stop trading, in nanoseconds UTC."""
    return session.close_ns + params.greeks.expiry_after_close_min * NS_PER_MINUTE


def table(_: EsSpyRatioParams) -> Table:
    """The table provided: `silver/es_spy_ratio`."""
    return ES_SPY_RATIO


def requires(params: EsSpyRatioParams) -> tuple[Read, ...]:
    """Bars of ES, and whatever tells the price of SPY."""
    ratio = params.signals.ratio
    reads = [
        Read(ES_SESSION.name, ("front_contract",)),
        Read(ES_BARS.name),
    ]
    if ratio.source in {"auto", "spy"} and not params.signals.sources.spy_reference:
        reads.append(Read(MINUTE_AGGS.name, ("symbol", "window_start_ns", "close"), optional=True))
    if ratio.source in {"auto", "parity"}:
        columns = ("ts_event_ns", "strike_e3", "right", "price", "conditions", "exp_date")
        reads.append(Read(SPY_OPTION_TRADES.name, columns, optional=True))
    return tuple(reads)


def compute(inputs: Inputs, params: EsSpyRatioParams) -> Result:
    """One row per minute from 04:00 to 17:00 New York time."""
    parts, findings = [ES_SPY_RATIO.empty()], []
    for target in inputs.targets:
        if not inputs.partitions(ES_SESSION.name)[target.date].num_rows:
            continue  # nothing traded, so there is nothing to convert
        rows, found = _session(inputs, target, params.signals)
        parts.append(rows)
        findings += found
    return Result(pa.concat_tables(parts), tuple(findings))


class _Minutes(NamedTuple):
    """The minutes of a session, from 04:00 to 17:00, and closes of ES in them."""

    session: Session
    start_ns: np.ndarray
    es_points: np.ndarray

    @classmethod
    def of(cls, session: Session, contract: str, es_bars: pa.Table) -> _Minutes:
        end_ns = globex_window(session)[1]
        start_ns = np.arange(session.ext_start_ns, end_ns, NS_PER_MINUTE)
        bars = front_bars(es_bars, contract)
        made = cls(session, start_ns, np.empty(0))
        return made._replace(es_points=made.placed(bars.start_ns, bars.close_ticks * POINTS_PER_TICK))

    def placed(self, ts_ns: np.ndarray, values: np.ndarray) -> np.ndarray:
        """The last value of each minute, times ascending; NaN where there is none. float64 (minutes,)."""
        minute = (ts_ns - self.start_ns[0]) // NS_PER_MINUTE
        inside = (minute >= 0) & (minute < len(self.start_ns))
        placed = np.full(len(self.start_ns), np.nan)
        placed[minute[inside]] = values[inside]
        return placed


def _session(inputs: Inputs, target: Session, params: SignalsParams) -> tuple[pa.Table, list[Finding]]:
    ratio, date = params.ratio, target.date
    contract = front_contract(inputs.partitions(ES_SESSION.name)[date])
    minutes = _Minutes.of(target, contract, inputs.partitions(ES_BARS.name)[date])
    value = np.full(len(minutes.start_ns), ratio.fixed)
    source, obs = np.full(len(value), _FIXED, np.int32), np.zeros(len(value), np.int32)
    for code, spots, least in _estimates(inputs, minutes, params):
        median, count = _trailing_median(minutes.es_points / spots, ratio.window_min)
        use = (source == _FIXED) & (count >= least) & (median >= ratio.low) & (median <= ratio.high)
        value[use], source[use], obs[use] = median[use], code, count[use]
    return _rows(target, minutes, value, source, obs), _warned(target, minutes, source, ratio)


def _estimates(inputs: Inputs, minutes: _Minutes, params: SignalsParams) -> list[tuple[int, np.ndarray, int]]:
    """Prices of SPY by minute, best source first, and how many minutes each must have."""
    ratio, date = params.ratio, minutes.session.date
    found = []
    if ratio.source in {"auto", "spy"}:
        found.append((_OF_SPY, _spy_closes(inputs, minutes, params), ratio.min_obs))
    prints = inputs.partitions(SPY_OPTION_TRADES.name).get(date)
    if ratio.source in {"auto", "parity"} and prints is not None:
        found.append((_PARITY, _parity_closes(prints, minutes, params), _PARITY_OBS))
    return found


def _spy_closes(inputs: Inputs, minutes: _Minutes, params: SignalsParams) -> np.ndarray:
    path = params.sources.spy_reference
    if path:
        return minutes.placed(*reference_prices(path, (int(minutes.start_ns[0]), globex_window(minutes.session)[1])))
    bars = inputs.partitions(MINUTE_AGGS.name).get(minutes.session.date)
    if bars is None:
        return np.full(len(minutes.start_ns), np.nan)
    mine = bars.filter(pc.equal(bars["symbol"], _SPY))
    return minutes.placed(mine["window_start_ns"].to_numpy(), mine["close"].to_numpy())


def _parity_closes(prints: pa.Table, minutes: _Minutes, params: SignalsParams) -> np.ndarray:
    from raypipe.kernels.greeks import years_left
    from raypipe.kernels.prints import ParityRules, parity_spots

    ratio, session = params.ratio, minutes.session
    mine = _single_prints(prints, session, params.options.unsigned_conditions)
    strikes_e3, strike = np.unique(mine["strike_e3"].to_numpy(), return_inverse=True)
    rules = ParityRules(
        gap_ns=round(ratio.parity_gap_s * NS_PER_SECOND),
        range_usd=ratio.parity_range_usd,
        strikes=ratio.parity_min_strikes,
        rate=params.greeks.rate,
    )
    return parity_spots(
        mine["ts_event_ns"].to_numpy(),
        strike.astype(np.int32),
        strikes_e3 / 1000.0,
        pc.equal(mine["right"].cast(pa.string()), "P").to_numpy(),
        mine["price"].to_numpy(),
        years_left(expiry_ns(session, params) - minutes.start_ns - NS_PER_MINUTE),
        int(minutes.start_ns[0]),
        rules,
    )


def _single_prints(prints: pa.Table, session: Session, packages: tuple[int, ...]) -> pa.Table:
    """Prints that expire in the session and are not part of a package, whose price is not the option's own."""
    keep = pc.equal(prints["exp_date"], pa.scalar(session.date, pa.date32()))
    conditions = prints["conditions"].combine_chunks()
    unsigned = {str(code) for code in packages}
    texts = conditions.dictionary.to_pylist()
    of_package = [text for text in texts if not unsigned.isdisjoint(re.findall(r"\d+", text))]
    if of_package:
        named = pc.is_in(conditions, value_set=pa.array(of_package, pa.string()))
        keep = pc.and_(keep, pc.invert(named))
    return prints.filter(keep)


def _trailing_median(values: np.ndarray, window: int) -> tuple[np.ndarray, np.ndarray]:
    """Median of what there is in the ``window`` minutes before each minute, and how many there are.

    Shape (minutes,) each; NaN without any.
    """
    padded = np.concatenate([np.full(window, np.nan), values[:-1]])
    ranked = np.sort(np.lib.stride_tricks.sliding_window_view(padded, window), axis=1)
    count = window - np.count_nonzero(np.isnan(ranked), axis=1)
    row = np.arange(len(ranked))
    middle = ranked[row, np.maximum(count - 1, 0) // 2], ranked[row, np.minimum(count // 2, window - 1)]
    return (middle[0] + middle[1]) / 2.0, count.astype(np.int32)


def _rows(target: Session, minutes: _Minutes, value: np.ndarray, source: np.ndarray, obs: np.ndarray) -> pa.Table:
    return ES_SPY_RATIO.build(
        {
            "session": date_array(target.date, len(value)),
            "valid_from_ns": pa.array(minutes.start_ns),
            "ratio": pa.array(value),
            "source": dictionary_array(source, _SOURCES),
            "obs": pa.array(obs),
        }
    )


def _warned(target: Session, minutes: _Minutes, source: np.ndarray, ratio: RatioParams) -> list[Finding]:
    if ratio.source == "fixed":
        return []
    regular = (minutes.start_ns >= target.open_ns) & (minutes.start_ns < target.close_ns)
    fixed = int(np.count_nonzero(source[regular] == _FIXED))
    if not fixed:
        return []
    text = f"{fixed} of {np.count_nonzero(regular)} regular minutes have no estimate of ES / SPY and take {ratio.fixed}"
    return [Finding("ratio_fixed", text, fixed, partition=target.key)]


FAMILY = Family(
    "es_spy_ratio", 1, EsSpyRatioParams, table, requires, compute, step="signals", cost=0.05, fuse="signals"
)
