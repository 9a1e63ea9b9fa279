"""The order-book half of a market: DBN files of ES, files of SPY options, SPY's minutes, and what follows from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from raypipe.calendar import Session
from raypipe.sources.synthetic.bars import CLOSE, Bars, to_e4
from raypipe.sources.synthetic.dbn_writer import MBP10_SCHEMA, TRADES_SCHEMA, DbnWriter
from raypipe.sources.synthetic.es_days import SECOND_NS, EsDay, es_days
from raypipe.sources.synthetic.es_market import Prints, simulate
from raypipe.sources.synthetic.es_spread import spread_symbol
from raypipe.sources.synthetic.es_truth import FLOW_SCHEMA, Ledger, planted_entries, planted_touches, session_entry
from raypipe.sources.synthetic.faults import gzip_bytes
from raypipe.sources.synthetic.opra import Walls, file_text, option_key, option_prints
from raypipe.sources.synthetic.params import SynthParams

__all__ = ["FLOW_KEY", "BookWriter", "SpyMinutes", "spy_minutes"]

#: Contracts added, canceled and filled per minute and side of the leading contract's visible book.
FLOW_KEY = "truth_es_flow.parquet"
_MINUTE_NS = 60 * SECOND_NS
_SHARES_PER_LOT = 500


class BookWriter:
    """Writes sessions of ES one after another.

    Parameters
    ----------
    out
        Folder of the market.
    params
        What to write.
    sessions
        Sessions of the market, oldest first; the first ``es_sessions`` of them have ES.
    """

    def __init__(self, out: Path, params: SynthParams, sessions: Sequence[Session]) -> None:
        self._out, self._params = out, params
        self._days = list(es_days(params.seed, sessions[: params.es_sessions], params.roll_session, params.es_ratio))
        with_book = self._days[max(0, len(self._days) - params.mbp_sessions) :]
        self._with_book = {day.session.date for day in with_book}
        self._trades = DbnWriter(out, TRADES_SCHEMA, params.level)
        self._books = DbnWriter(out, MBP10_SCHEMA, params.level)
        self._flow: pq.ParquetWriter | None = None
        self._sizes: dict[str, int] = {}
        #: Expectations, as they stand in the truth.
        self.entries: list[dict[str, Any]] = []
        #: Prints of options written.
        self.option_prints = 0

    @property
    def sizes(self) -> dict[str, int]:
        """Bytes of every finished file by key."""
        return self._sizes | self._trades.sizes | self._books.sizes

    @property
    def records(self) -> tuple[int, int]:
        """Trades and book records written."""
        return self._trades.records, self._books.records

    def has(self, session: Session) -> bool:
        """Whether the market has ES in a session."""
        return any(day.session.date == session.date for day in self._days)

    def write(self, session: Session) -> SpyMinutes:
        """Write a session's files; returns SPY's minutes."""
        place = next(k for k, day in enumerate(self._days) if day.session.date == session.date)
        day, book = self._days[place], session.date in self._with_book
        self._begin(day, last=place == len(self._days) - 1, book=book)
        found = self._simulated(day, book)
        prints = Prints.joined(found.prints)
        minutes = spy_minutes(day, prints, self._params.es_ratio)
        self.entries.append(session_entry(day, prints, found.other_lots, found.spread_lots))
        if book:
            walls = self._options(day, prints) if "options" in self._params.datasets else None
            self._keep_flow(found.ledger)
            touches = planted_touches(day, prints, (minutes.start_ns, minutes.prices_e4[:, CLOSE] / 10_000))
            self.entries += planted_entries(found.ledger, prints, touches, walls)
        return minutes

    def close(self) -> None:
        """Finish the files that are open."""
        self._trades.close()
        self._books.close()
        if self._flow is not None:
            self._flow.close()

    def _begin(self, day: EsDay, *, last: bool, book: bool) -> None:
        instruments = {each.symbol: each.instrument_id for each in (day.lead, day.other)}
        instruments |= dict([spread_symbol(day)])
        start_ns, end_ns = day.at("17:45:00"), day.end_ns if last else None
        self._trades.begin(start_ns, end_ns, instruments)
        if book:
            self._books.begin(start_ns, end_ns, instruments)

    def _simulated(self, day: EsDay, book: bool) -> _Found:
        found = _Found(Ledger(day))
        for feed in simulate(self._params.seed, day, self._params.es_activity):
            self._trades.write(feed.trades)
            if book:
                self._books.write(feed.rows)
            found.add(day, feed.trades)
            found.ledger.add(feed)
        return found

    def _options(self, day: EsDay, prints: Prints) -> Walls:
        made, walls = option_prints(self._params.seed, day, self._params.es_activity, prints, self._params.es_ratio)
        key = option_key(day.session.date)
        path = self._out / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip_bytes(file_text(day, made), self._params.level))
        self._sizes[key] = path.stat().st_size
        self.option_prints += len(made)
        return walls

    def _keep_flow(self, ledger: Ledger) -> None:
        if self._flow is None:
            self._flow = pq.ParquetWriter(self._out / FLOW_KEY, FLOW_SCHEMA, compression="zstd")
        self._flow.write_table(ledger.table())


@dataclass
class _Found:
    """What a session's feed turned out to hold."""

    ledger: Ledger
    prints: list[Prints] = field(default_factory=list)
    other_lots: int = 0
    spread_lots: int = 0

    def add(self, day: EsDay, trades: NDArray[np.int64]) -> None:
        """Count a piece of the feed."""
        self.prints.append(Prints.of(trades, day.lead))
        instrument, lots = trades[:, 0] >> 32, trades[:, 3] & 0xFFFFFFFF
        hours = (trades[:, 1] >= day.session.open_ns) & (trades[:, 1] < day.session.close_ns)
        self.other_lots += int(lots[hours & (instrument == day.other.instrument_id)].sum())
        self.spread_lots += int(lots[instrument == spread_symbol(day)[1]].sum())


@dataclass(frozen=True, slots=True)
class SpyMinutes:
    """SPY's minute bars of a session, arrays (n,) and (n, 4) as in `raypipe.sources.synthetic.bars.Bars`."""

    start_ns: NDArray[np.int64]
    prices_e4: NDArray[np.int64]
    volume: NDArray[np.int64]
    transactions: NDArray[np.int64]

    def bars(self, place: int) -> Bars:
        """As bars of the symbol at a place of the market's names."""
        symbol = np.full(len(self.start_ns), place, np.int64)
        return Bars(symbol, self.start_ns, self.prices_e4, self.volume, self.transactions)


def spy_minutes(day: EsDay, prints: Prints, ratio: float) -> SpyMinutes:
    """SPY from 04:00 on: ES over the ratio, rounded to cents, in the minutes in which ES trades.

    Parameters
    ----------
    day
        The session.
    prints
        Trades of the leading contract.
    ratio
        ES points of the first leading contract that are one US dollar.
    """
    prints = prints.between(day.at("04:00:00"), day.end_ns)
    price = to_e4(np.asarray((prints.ticks - day.carry_ticks) * 0.25 / ratio, np.float64))
    first = np.flatnonzero(np.diff(prints.ts_ns // _MINUTE_NS, prepend=-1))
    last = np.append(first[1:], len(price)) - 1
    extremes = np.maximum.reduceat(price, first), np.minimum.reduceat(price, first)
    lots = np.add.reduceat(prints.lots, first)
    return SpyMinutes(
        start_ns=prints.ts_ns[first] // _MINUTE_NS * _MINUTE_NS,
        prices_e4=np.column_stack([price[first], price[last], *extremes]),
        volume=lots * _SHARES_PER_LOT,
        transactions=np.diff(first, append=len(price)),
    )
