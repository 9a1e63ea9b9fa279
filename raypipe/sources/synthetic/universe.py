"""Who trades in the synthetic market: names, ranks, prices and how active each one is.

The universe is fixed by the seed: 11,000 ranked names, of which a market takes evenly spread ranks, so
that the mean density of bars does not depend on how many are taken. A few well-known names are always
added: they carry the cases that symbol cleaning must tell apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from raypipe.sources.synthetic.draws import Draws
from raypipe.sources.synthetic.params import UNIVERSE

__all__ = ["HIGH_SHARE", "NAMED", "SLOTS", "Named", "Universe", "universe"]

#: Long-run share of sessions in the high-volatility state: .01 / (.01 + .03).
HIGH_SHARE = 0.25
# Zipf law of trading intensity, rate = SCALE * rank**-1.5 active minutes per minute. Chosen so that the mean over
# the universe is 126 bars a session at activity 1 and 218 at activity 3 (2.4 M rows for 11,000 symbols).
_RATE_SCALE = 69_873.5
# Shares per bar: 40,000 at rank 100 and $20; falls with rank**-.875 and with the square root of the price.
_SHARES = 40_000.0 * 56.23413251903491
_ETF_SHARE, _ADR_SHARE = 0.25, 0.06


@dataclass(frozen=True, slots=True)
class Named:
    """A name that is always part of the market.

    Attributes
    ----------
    symbol
        Vendor's spelling.
    kind
        Vendor's type code.
    tradable
        Whether it belongs in silver tables, by its type as by its spelling.
    rank
        Rank of activity; at these a session without a bar in regular hours does not happen.
    price
        Price in US dollars at the eve of the first session.
    """

    symbol: str
    kind: str
    tradable: bool
    rank: int
    price: float


NAMED: tuple[Named, ...] = (
    Named("SPY", "ETF", True, 1, 672.0),
    Named("NA", "CS", True, 2750, 14.2),
    Named("TRUE", "CS", True, 2800, 2.15),
    Named("SNAP", "CS", True, 60, 7.85),
    Named("SHIP", "CS", True, 2850, 8.4),
    Named("TRIP", "CS", True, 2900, 16.1),
    Named("COOP", "CS", True, 2950, 210.0),
    Named("BRK.B", "CS", True, 3000, 477.0),
    Named("AGNC", "CS", True, 3050, 9.9),
    Named("ABCDW", "WARRANT", False, 3100, 0.62),
    Named("ABCDU", "UNIT", False, 3150, 10.3),
    Named("ABCDR", "RIGHT", False, 3200, 0.21),
    Named("XYZ.WS", "WARRANT", False, 3250, 1.34),
    Named("ABC.U", "UNIT", False, 3300, 10.1),
    Named("BACpK", "PFD", False, 3350, 24.6),
    Named("AGNCP", "PFD", False, 3400, 24.1),
    Named("XYZw", "OTHER", False, 3450, 31.0),
    Named("ZVZZT", "OTHER", False, 3500, 12.5),
    Named("NTEST.A", "OTHER", False, 3550, 20.0),
)
# Left out of the random names: test symbols of three letters, roots of the names above, and PL*, the scripted ones.
_RESERVED = (b"ZVV", b"IGZ", b"ZZK", b"ABC", b"ABCD", b"XYZ", b"BAC", b"BRK", *(n.symbol.encode() for n in NAMED))


@dataclass(frozen=True, slots=True)
class Universe:
    """The simulated symbols of one market, sorted bytewise by name; all arrays have their order, (n,).

    Attributes
    ----------
    symbols, kinds
        Names and vendor's type codes.
    slots
        Place of each in the drawn universe, int64: random numbers are drawn for all slots.
    rate
        Trading intensity: expected active minutes per minute of profile 1, float64.
    shares
        Mean shares per bar of profile 1, float64.
    lot
        Mean shares per transaction, int64.
    beta
        Loading on the market factor, float64.
    high
        Volatility state in the first session, bool.
    price_usd
        Close on the eve of the first session, float64 US dollars.
    """

    symbols: tuple[str, ...]
    kinds: tuple[str, ...]
    slots: NDArray[np.int64]
    rate: NDArray[np.float64]
    shares: NDArray[np.float64]
    lot: NDArray[np.int64]
    beta: NDArray[np.float64]
    high: NDArray[np.bool_]
    price_usd: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.symbols)


#: Slots drawn for: the ranks, then the named ones.
SLOTS = UNIVERSE + len(NAMED)


def universe(seed: int, symbols: int, activity: float) -> Universe:
    """Choose ``symbols`` evenly spread ranks, add the named ones, and sort by name."""
    draws = Draws(seed, "equities", 0)
    ranked = _random_names(draws, UNIVERSE)
    names = np.concatenate([ranked, np.array([n.symbol.encode() for n in NAMED])])
    rank = np.concatenate([np.arange(1, UNIVERSE + 1), [n.rank for n in NAMED]]).astype(np.float64)
    price = np.concatenate([_random_prices(draws), [n.price for n in NAMED]])
    kinds = np.concatenate([_random_kinds(draws), [n.kind for n in NAMED]])
    beta, high = 0.3 + draws.uniform(SLOTS), draws.uniform(SLOTS) < HIGH_SHARE
    lot = 60 + (140 * draws.uniform(SLOTS)).astype(np.int64)

    taken = np.concatenate([_spread(symbols), np.arange(UNIVERSE, SLOTS)])
    taken = taken[np.argsort(names[taken], kind="stable")]
    root = np.sqrt(rank[taken])
    return Universe(
        symbols=tuple(name.decode() for name in names[taken].tolist()),
        kinds=tuple(kinds[taken].tolist()),
        slots=taken,
        rate=activity * _RATE_SCALE / (rank[taken] * root),
        shares=_SHARES * np.sqrt(20.0 / price[taken]) / (root * np.sqrt(root) * np.sqrt(np.sqrt(root))),
        lot=lot[taken],
        beta=beta[taken],
        high=high[taken],
        price_usd=price[taken],
    )


def _spread(symbols: int) -> NDArray[np.int64]:
    """Slots of ``symbols`` ranks, evenly spread over the universe."""
    return ((2 * np.arange(symbols) + 1) * UNIVERSE // (2 * symbols)).astype(np.int64)


def _random_prices(draws: Draws) -> NDArray[np.float64]:
    """Log-normal prices, whole cents: a median of $18, a quarter of them from $1 to $10."""
    price = 18.0 * np.exp(1.1 * draws.normal(UNIVERSE))
    return np.clip(np.rint(price * 100) / 100, 0.4, 900.0)


def _random_kinds(draws: Draws) -> NDArray[np.str_]:
    u = draws.uniform(UNIVERSE)
    return np.where(u < _ETF_SHARE, "ETF", np.where(u < _ETF_SHARE + _ADR_SHARE, "ADRC", "CS"))


def _random_names(draws: Draws, n: int) -> NDArray[np.bytes_]:
    """``n`` distinct names of two to four capitals, none of them one that cleaning would remove."""
    shares = {2: n // 50, 3: 2 * n // 5}
    shares[4] = n - sum(shares.values())
    pools = [_letters(draws, width)[:count] for width, count in shares.items()]
    return np.concatenate(pools)[draws.order(n)]


def _letters(draws: Draws, width: int) -> NDArray[np.bytes_]:
    """All allowed names of ``width`` capitals in random order."""
    codes = draws.order(26**width)[:, None] // 26 ** np.arange(width) % 26
    names = (codes + ord("A")).astype(np.uint8).view(f"S{width}").ravel().astype("S8")
    return names[~(np.isin(names, _RESERVED) | np.char.startswith(names, b"PL"))]
