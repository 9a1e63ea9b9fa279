"""Prints of SPY options in the vendor's flat-file layout: Black-Scholes at a known smile, a half spread, and noise.

The session's own expiry has most of the volume; the next expiry, another root whose name begins alike, cancelled and
multi-leg prints are what a reader must tell apart. From 11:00 on calls at one strike and puts at another are bought so
heavily that they are the walls of gamma.
"""

from __future__ import annotations

import datetime as dt
import io
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import csv

from raypipe.calendar import calendar
from raypipe.sources.synthetic.draws import Draws
from raypipe.sources.synthetic.es_days import SECOND_NS, EsDay
from raypipe.sources.synthetic.es_market import Prints

__all__ = ["RATE", "OptionPrints", "Walls", "file_text", "option_key", "option_prints", "smile"]

#: Interest per year, half a spread in US dollars, and when 0DTE options expire after the close.
RATE, HALF_SPREAD_USD, AFTER_CLOSE_NS = 0.045, 0.01, 15 * 60 * SECOND_NS
_PER_SESSION, _FLOOR = 900_000, 8_000
_OWN, _NEXT, _OTHER_ROOT = 0, 1, 2
_SHARES = (0.70, 0.93)
_CANCELLED, _MULTI_LEG, _PLAIN = 201, 232, 209
_CANCELLED_SHARE, _MULTI_LEG_SHARE, _CORRECTED_SHARE = 0.004, 0.12, 0.001
_SPREAD_OF_STRIKES = 3.2
_SESSION_NS = 23_400 * SECOND_NS
_WALL_PRINTS, _WALL_START = 240, "11:00:00"
_EXCHANGES = np.array([300, 301, 302, 303, 308, 309, 312, 313, 315, 316, 319, 322], np.int64)


@dataclass(frozen=True, slots=True)
class Walls:
    """Strikes with the largest gamma bought from 11:00 on, US dollars."""

    call: int
    put: int


@dataclass(frozen=True, slots=True)
class OptionPrints:
    """Prints of one session, arrays (n,) in order of time.

    Attributes
    ----------
    ts_ns, strike, lots
        int64; strikes in whole US dollars.
    is_call
        bool.
    family
        0 the session's own expiry, 1 the next session's, 2 another root, int64.
    spot, sigma
        What the price was made of, float64.
    buys
        Whether the print is half a spread above value rather than below, bool.
    price
        US dollars on a grid of 0.01, float64.
    condition, correction
        The vendor's codes, int64.
    """

    ts_ns: NDArray[np.int64]
    strike: NDArray[np.int64]
    lots: NDArray[np.int64]
    is_call: NDArray[np.bool_]
    family: NDArray[np.int64]
    spot: NDArray[np.float64]
    sigma: NDArray[np.float64]
    buys: NDArray[np.bool_]
    price: NDArray[np.float64]
    condition: NDArray[np.int64]
    correction: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.ts_ns)


def option_key(date: dt.date) -> str:
    """Where a session's prints lie.

    Examples
    --------
    >>> option_key(dt.date(2025, 11, 3))
    'us_options_opra/trades_v1/2025/11/2025-11-03.csv.gz'
    """
    return f"us_options_opra/trades_v1/{date:%Y/%m}/{date}.csv.gz"


def smile(strike: NDArray[np.float64], spot: NDArray[np.float64]) -> NDArray[np.float64]:
    """Volatility by log-moneyness: 16 % at the money, more for puts, and more in both wings.

    Examples
    --------
    >>> smile(np.array([670.0, 640.0]), np.array([670.0, 670.0])).round(4).tolist()
    [0.16, 0.2642]
    """
    x = np.log(strike / spot)
    return np.asarray(0.16 - 0.9 * x + 30.0 * x * x)


def option_prints(seed: int, day: EsDay, activity: float, prints: Prints, ratio: float) -> tuple[OptionPrints, Walls]:
    """Make a session's prints.

    Parameters
    ----------
    seed
        The market's seed.
    day
        The session.
    activity
        About 600 thousand prints of its own expiry at 1.
    prints
        Trades of the leading contract: what SPY is worth.
    ratio
        ES points of the first leading contract that are one US dollar.
    """
    draws = Draws(seed, "options", day.session.date.toordinal())
    spots = _Spots(day, prints, ratio)
    ts_ns = _times(day, draws, max(_FLOOR, int(_PER_SESSION * activity)))
    n, spot = len(ts_ns), spots.at(ts_ns)
    strike = np.rint(spot + _SPREAD_OF_STRIKES * draws.normal(n)).astype(np.int64)
    u = draws.uniform(n)
    family = np.where(u < _SHARES[_OWN], _OWN, np.where(u < _SHARES[_NEXT], _NEXT, _OTHER_ROOT))
    bits = draws.words(n)
    ordinary = _priced(
        day,
        ts_ns=ts_ns,
        strike=strike,
        lots=_sizes(draws.uniform(n)),
        # Mostly out of the money, as people trade them.
        is_call=(strike > spot) ^ (bits & np.uint64(7) == 0),
        family=family,
        spot=spot,
        buys=bits & np.uint64(8) > 0,
        condition=_conditions(draws.uniform(n)),
        correction=np.where(draws.uniform(n) < _CORRECTED_SHARE, 1, 0),
    )
    walls = Walls(*spots.walls())
    return _joined([ordinary, *_wall_prints(day, draws, spots, ordinary, walls)]), walls


class _Spots:
    """What SPY is worth at a moment: the last trade of ES."""

    def __init__(self, day: EsDay, prints: Prints, ratio: float) -> None:
        self._day, self._ts = day, prints.ts_ns
        self._usd = (prints.ticks - day.carry_ticks) * 0.25 / ratio

    def at(self, ts_ns: NDArray[np.int64]) -> NDArray[np.float64]:
        """US dollars, float64, from trades before the moment."""
        return np.asarray(self._usd[np.maximum(np.searchsorted(self._ts, ts_ns) - 1, 0)])

    def walls(self) -> tuple[int, int]:
        """Strikes of the walls: 2 dollars above and below where the price is when they begin."""
        spot = float(self.at(np.array([self._day.at(_WALL_START)]))[0])
        return round(spot) + 2, round(spot) - 2


def _times(day: EsDay, draws: Draws, n: int) -> NDArray[np.int64]:
    """Moments from the open to 15 minutes after the close, some of them alike, as milliseconds make them."""
    end_ns = day.session.close_ns + AFTER_CLOSE_NS
    u = draws.uniform(n)
    ts = day.session.open_ns + ((0.35 * u * u + 0.65 * u) * (end_ns - day.session.open_ns)).astype(np.int64)
    return np.sort(np.where(draws.uniform(n) < 0.05, ts - ts % 1_000_000, ts))  # noqa: PLR2004 - one in twenty


def _sizes(u: NDArray[np.float64]) -> NDArray[np.int64]:
    """Mostly few contracts, with a long tail."""
    return np.minimum(1 + (0.7 / (1.0 - u)).astype(np.int64), 500)


def _conditions(u: NDArray[np.float64]) -> NDArray[np.int64]:
    multi = _CANCELLED_SHARE + _MULTI_LEG_SHARE
    return np.where(u < _CANCELLED_SHARE, _CANCELLED, np.where(u < multi, _MULTI_LEG, _PLAIN)).astype(np.int64)


def _years(day: EsDay, ts_ns: NDArray[np.int64], family: NDArray[np.int64]) -> NDArray[np.float64]:
    """Trading years to expiry; a later expiry has a session of 6.5 hours more."""
    from raypipe.kernels.greeks import years_left

    expiry = day.session.close_ns + AFTER_CLOSE_NS + np.where(family == _OWN, 0, _SESSION_NS)
    return years_left(expiry - ts_ns)


def _priced(day: EsDay, **columns: NDArray[np.generic]) -> OptionPrints:
    """Prints with their volatility and price."""
    from raypipe.kernels.greeks import Market, black_scholes

    strike, spot = np.asarray(columns["strike"], np.float64), np.asarray(columns["spot"], np.float64)
    sigma = smile(strike, spot)
    years = _years(day, np.asarray(columns["ts_ns"], np.int64), np.asarray(columns["family"], np.int64))
    value = black_scholes(spot, strike, years, sigma, columns["is_call"], Market(RATE)).price
    off = np.where(columns["buys"], HALF_SPREAD_USD, -HALF_SPREAD_USD)
    price = np.maximum(np.rint((value + off) * 100), 1) / 100
    return OptionPrints(**columns, sigma=sigma, price=price)  # type: ignore[arg-type]


def _wall_prints(day: EsDay, draws: Draws, spots: _Spots, ordinary: OptionPrints, walls: Walls) -> list[OptionPrints]:
    """Heavy buying at two strikes within half an hour: three times the gamma that any strike gathers all session."""
    n, parts = _WALL_PRINTS, []
    most = _most_gamma(day, ordinary)
    for is_call, strike in ((True, walls.call), (False, walls.put)):
        ts_ns = np.sort(day.at(_WALL_START) + (draws.uniform(n) * 1_800 * SECOND_NS).astype(np.int64))
        spot, ones = spots.at(ts_ns), np.ones(n, np.int64)
        columns = {"ts_ns": ts_ns, "strike": ones * strike, "is_call": ones == is_call, "spot": spot}
        columns |= {"family": ones * _OWN, "buys": ones == 1, "condition": ones * _PLAIN, "correction": ones * 0}
        unit = _priced(day, **columns, lots=ones)
        lots = 1 + int(3.0 * most / max(_gamma(day, unit).sum(), 1e-9))
        parts.append(_priced(day, **columns, lots=ones * lots))
    return parts


def _gamma(day: EsDay, prints: OptionPrints) -> NDArray[np.float64]:
    """Contracts times gamma of each print."""
    from raypipe.kernels.greeks import Market, black_scholes

    years = _years(day, prints.ts_ns, prints.family)
    greeks = black_scholes(prints.spot, prints.strike, years, prints.sigma, prints.is_call, Market(RATE))
    return np.asarray(prints.lots * greeks.gamma)


def _most_gamma(day: EsDay, prints: OptionPrints) -> float:
    """Largest sum of contracts times gamma of a strike and right."""
    own = prints.family == _OWN
    place = 2 * (prints.strike - prints.strike.min()) + prints.is_call
    return float(np.bincount(place[own], weights=_gamma(day, prints)[own]).max())


def _joined(parts: list[OptionPrints]) -> OptionPrints:
    names = OptionPrints.__slots__
    columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    order = np.argsort(columns["ts_ns"], kind="stable")
    return OptionPrints(**{name: values[order] for name, values in columns.items()})


def file_text(day: EsDay, prints: OptionPrints) -> bytes:
    """The prints as the vendor's CSV: by name of the contract, then time."""
    names, place = _tickers(day, prints)
    order = np.lexsort((prints.ts_ns, place))
    dice = (prints.ts_ns // 7 + prints.strike) % len(_EXCHANGES)
    table = pa.table(
        {
            "ticker": names.take(pa.array(place[order])),
            "conditions": prints.condition[order],
            "correction": prints.correction[order],
            "exchange": _EXCHANGES[dice][order],
            "price": prints.price[order],
            "sip_timestamp": prints.ts_ns[order],
            "size": prints.lots[order],
        }
    )
    out = io.BytesIO()
    head = ",".join(table.column_names).encode() + b"\n"
    csv.write_csv(table, out, csv.WriteOptions(include_header=False, quoting_style="none"))
    return head + out.getvalue()


def _tickers(day: EsDay, prints: OptionPrints) -> tuple[pa.Array, NDArray[np.int64]]:
    """Names of contracts in order, and the place of each print's."""
    following = calendar().offset(day.session.date, 1)
    roots = (f"O:SPY{day.session.date:%y%m%d}", f"O:SPY{following:%y%m%d}", f"O:SPYG{day.session.date:%y%m%d}")
    code = (prints.family * 2 + prints.is_call) * 1_000_000 + prints.strike
    unique, place = np.unique(code, return_inverse=True)
    names = [
        f"{roots[each // 2_000_000]}{'PC'[each // 1_000_000 % 2]}{each % 1_000_000 * 1000:08d}"
        for each in unique.tolist()
    ]
    order = np.argsort(np.array(names), kind="stable")
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    return pa.array([names[k] for k in order.tolist()]), rank[place]
