"""Writes a synthetic market in the vendor's layout, with its truth beside it."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raypipe.calendar import Session, calendar
from raypipe.errors import UsageError
from raypipe.sources.polygon_keys import DAY, MINUTE, find_key, key_of, published_ns
from raypipe.sources.synthetic.bars import Bars, concat, day_bars
from raypipe.sources.synthetic.daily import daily_csv, daily_symbols
from raypipe.sources.synthetic.es_books import BookWriter
from raypipe.sources.synthetic.faults import TRANSFER_FAULTS, corrupt, gzip_bytes
from raypipe.sources.synthetic.market import HistoryMaker, backward, forward
from raypipe.sources.synthetic.minutes import Day, MinuteMaker
from raypipe.sources.synthetic.params import SynthParams, SynthResult
from raypipe.sources.synthetic.planted import PLANTED, SPLIT_NUMBER, SPLIT_RATIO, planted_bars
from raypipe.sources.synthetic.regime import Regime
from raypipe.sources.synthetic.truth import Entry, expectations
from raypipe.sources.synthetic.universe import Universe, universe

__all__ = ["write_market"]

HEADER = b"ticker,volume,open,close,high,low,window_start,transactions\n"
_LISTING, _TRUTH = "files_list.txt", "truth.json"
_SPY = "SPY"
_DAILY, _DAILY_SYMBOLS = "daily/bars.csv", "daily/symbols.txt"
_SPLITS, _TICKERS = "reference/splits.csv", "reference/tickers.csv"


def write_market(
    out: Path,
    params: SynthParams,
    *,
    force: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> SynthResult:
    """Write a market's files under a folder.

    Parameters
    ----------
    out
        Folder; made if it does not exist.
    params
        What to write.
    force
        Allow a folder that is not empty. Bar files of an earlier market in it are removed, other files stay.
    progress
        Called with (sessions done, sessions in all).

    Returns
    -------
    SynthResult
        What was written.

    Raises
    ------
    UsageError
        If the folder is not empty, or the calendar does not hold the sessions.
    """
    history, sessions = _sessions(params)
    _clear(out, force)
    writer = _Writer(out, params, history, sessions, progress or _silent)
    return writer.write()


def _sessions(params: SynthParams) -> tuple[list[Session], list[Session]]:
    """History and sessions, oldest first."""
    days = calendar()
    later = days.between(params.start_date, params.start_date + dt.timedelta(days=2 * params.sessions + 30))
    earlier = days.between(params.start_date - dt.timedelta(days=2 * params.history + 30), params.start_date)
    earlier = [session for session in earlier if session.date < params.start_date]
    if len(later) < params.sessions or len(earlier) < params.history:
        msg = f"the calendar does not hold {params.history} + {params.sessions} sessions around {params.start_date}"
        raise UsageError(msg, hint="choose another start_date or fewer sessions")
    return earlier[len(earlier) - params.history :], later[: params.sessions]


def _clear(out: Path, force: bool) -> None:
    """Make the folder; take away what an earlier market wrote there, if that is allowed."""
    if out.exists() and not out.is_dir():
        msg = f"{out} is not a folder"
        raise UsageError(msg)
    if out.is_dir() and any(out.iterdir()):
        if not force:
            msg = f"{out} is not empty"
            raise UsageError(msg, hint="choose another folder, or use force to write into it")
        listing = out / _LISTING
        lines = listing.read_text().splitlines() if (out / _TRUTH).exists() and listing.exists() else []
        for key in filter(None, map(find_key, lines)):
            (out / key).unlink(missing_ok=True)
        for old in (*out.glob("databento/*/*/*.dbn.zst"), *out.glob("us_options_opra/*/*/*/*.csv.gz")):
            old.unlink()
    out.mkdir(parents=True, exist_ok=True)


def _silent(_done: int, _total: int) -> None:
    """Report no progress."""


class _Writer:
    """One market being written."""

    def __init__(
        self,
        out: Path,
        params: SynthParams,
        history: list[Session],
        sessions: list[Session],
        progress: Callable[[int, int], None],
    ) -> None:
        self._out, self._params, self._progress = out, params, progress
        self._history, self._sessions = history, sessions
        self._books = BookWriter(out, params, sessions) if "es" in params.datasets else None
        names = sorted([*self._market.symbols, *PLANTED]) if "equities" in params.datasets else [_SPY]
        self._index = {name: place for place, name in enumerate(names)}
        self._text = CsvText(names)
        self._sizes: dict[str, int] = {}
        self._rows = {DAY.name: 0, MINUTE.name: 0}
        self._done = 0

    @cached_property
    def _market(self) -> Universe:
        return universe(self._params.seed, self._params.symbols, self._params.activity)

    @cached_property
    def _places(self) -> NDArray[np.int64]:
        return np.array([self._index[name] for name in self._market.symbols], np.int64)

    @cached_property
    def _regime(self) -> Regime:
        return Regime(self._places)

    def write(self) -> SynthResult:
        """Everything, bar files first: the truth stands for a whole market."""
        (self._out / _TRUTH).unlink(missing_ok=True)
        if "equities" in self._params.datasets:
            self._write_equities()
        elif self._books:
            self._write_books_alone()
        if "daily" in self._params.datasets:
            self._write_daily()
        faults = self._damage()
        _write(self._out / _LISTING, _listing(self._sizes))
        planted = self._planted()
        _write(self._out / _TRUTH, _truth(self._params, planted, faults))
        return dataclasses.replace(self._result(planted, faults), **self._book_figures())

    def _write_equities(self) -> None:
        for number, day in enumerate(backward(self._params.seed, self._history, self._market), start=1):
            self._write_history(day, -number)
        for number, day in enumerate(forward(self._params.seed, self._sessions, self._market)):
            self._write_session(day, number)
        _write(self._out / _TICKERS, _tickers(self._market))
        _write(self._out / _SPLITS, self._splits())

    def _write_books_alone(self) -> None:
        """ES, options and SPY's minutes, and no other symbol."""
        self._history = []
        for number, session in enumerate(self._sessions, start=1):
            spy = self._spy(session)
            if len(spy):
                self._put(key_of(MINUTE, session.date), HEADER + self._text.rows(spy))
                days = day_bars(spy, session)
                self._put(key_of(DAY, session.date), HEADER + self._text.rows(days))
                self._rows[MINUTE.name] += len(spy)
                self._rows[DAY.name] += len(days)
            self._progress(number, len(self._sessions))
        _write(self._out / _TICKERS, b"ticker,type\nSPY,ETF\n")
        _write(self._out / _SPLITS, b"ticker,execution_date,split_from,split_to\n")

    def _write_daily(self) -> None:
        """Bars in one file, and the list of their symbols."""
        last, count = self._sessions[-1].date, self._params.daily_sessions
        sessions = calendar().between(last - dt.timedelta(days=2 * count + 30), last)[-count:]
        if len(sessions) < count:
            msg = f"the calendar does not hold {count} sessions up to {last}"
            raise UsageError(msg, hint="ask for fewer daily_sessions")
        _write(self._out / _DAILY, daily_csv(self._params.seed, sessions, self._params.daily_symbols))
        names = daily_symbols(self._params.daily_symbols)
        _write(self._out / _DAILY_SYMBOLS, "".join(f"{name}\n" for name in names).encode())

    def _planted(self) -> list[Entry]:
        """Expectations of all data sets; the files of books are whole from here on."""
        planted: list[Entry] = []
        if "equities" in self._params.datasets:
            planted += [*expectations(self._sessions, self._history), *self._regime.entries()]
        if self._books:
            self._books.close()
            planted += self._books.entries
        return planted

    def _book_figures(self) -> dict[str, Any]:
        if not self._books:
            return {}
        trades, records = self._books.records
        keys = tuple(sorted(self._books.sizes))
        return {
            "book_keys": keys,
            "trades": trades,
            "book_records": records,
            "option_prints": self._books.option_prints,
        }

    def _result(self, planted: list[Entry], faults: tuple[tuple[str, str], ...]) -> SynthResult:
        return SynthResult(
            out=self._out,
            keys=tuple(sorted(self._sizes)),
            sessions=tuple(session.date for session in self._sessions),
            history=tuple(session.date for session in self._history),
            day_rows=self._rows[DAY.name],
            minute_rows=self._rows[MINUTE.name],
            planted=len(planted),
            faults=faults,
            daily_file=self._out / _DAILY if "daily" in self._params.datasets else None,
        )

    def _write_history(self, day: Day, number: int) -> None:
        if number == -1:
            self._history_maker = HistoryMaker(self._params.seed, self._market, self._places)
        planted = day_bars(planted_bars(day.session, number, self._index), day.session)
        self._write_day(day, number, concat([self._history_maker.bars(day), planted]).sorted())

    def _write_session(self, day: Day, number: int) -> None:
        text, days, rows = bytearray(HEADER), [], 0
        spy = self._spy(day.session)
        scripted = concat([planted_bars(day.session, number, self._index), spy]).sorted()
        for bars in self._merged(day, scripted, self._index[_SPY] if len(spy) else -1):
            text += self._text.rows(bars)
            days.append(day_bars(bars, day.session))
            rows += len(bars)
        self._put(key_of(MINUTE, day.session.date), text)
        self._rows[MINUTE.name] += rows
        self._write_day(day, number, concat(days))

    def _spy(self, session: Session) -> Bars:
        """SPY's bars as ES makes them; none in a session without ES."""
        if self._books and self._books.has(session):
            return self._books.write(session).bars(self._index[_SPY])
        none = np.empty(0, np.int64)
        return Bars(none, none, np.empty((0, 4), np.int64), none, none)

    def _merged(self, day: Day, planted: Bars, replaced: int) -> Iterator[Bars]:
        """Blocks of simulated bars with the scripted ones in their places; no symbol is in two blocks.

        The simulated bars of the symbol ``replaced`` are left out.
        """
        begin = 0
        for last, bars in MinuteMaker(self._params.seed, day, self._market, self._places).blocks():
            end = int(np.searchsorted(planted.symbol, last, side="right"))
            kept = bars.take(np.flatnonzero(bars.symbol != replaced))
            yield concat([kept, planted.take(np.arange(begin, end))]).sorted()
            begin = end
        yield planted.take(np.arange(begin, len(planted)))

    def _write_day(self, day: Day, number: int, bars: Bars) -> None:
        self._put(key_of(DAY, day.session.date), HEADER + self._text.rows(bars))
        self._rows[DAY.name] += len(bars)
        self._regime.add(number, bars, day.high)
        self._done += 1
        self._progress(self._done, len(self._history) + len(self._sessions))

    def _put(self, key: str, text: bytes | bytearray) -> None:
        data = gzip_bytes(text, self._params.level)
        _write(self._out / key, data)
        self._sizes[key] = len(data)

    def _damage(self) -> tuple[tuple[str, str], ...]:
        """Put each fault into a file of its own: minute files from the last session backward, then day files."""
        files = [key_of(data, session.date) for data in (MINUTE, DAY) for session in reversed(self._sessions)]
        faults = tuple(zip(self._params.faults, files, strict=False))
        for kind, key in faults:
            corrupt(self._out / key, kind)
            if kind not in TRANSFER_FAULTS:
                self._sizes[key] = (self._out / key).stat().st_size
        return faults

    def _splits(self) -> bytes:
        days = calendar()
        ex_session = days.offset(self._sessions[0].date, SPLIT_NUMBER)
        return f"ticker,execution_date,split_from,split_to\nPLSP,{ex_session},1,{SPLIT_RATIO}\n".encode()


class CsvText:
    """Writes bars as the vendor's text; names are given once."""

    def __init__(self, names: Sequence[str]) -> None:
        encoded = [name.encode() for name in names]
        self._lengths = np.array([len(name) for name in encoded], np.int64)
        self._starts = np.concatenate([[0], np.cumsum(self._lengths)])
        self._names: NDArray[np.uint8] = np.frombuffer(b"".join(encoded), np.uint8)

    def rows(self, bars: Bars) -> bytes:
        """The rows of ``bars``, without a header."""
        from raypipe.kernels._jit import as_input
        from raypipe.kernels.csvout import ROW_BYTES, format_bars

        out = np.empty(int(self._lengths[bars.symbol].sum()) + ROW_BYTES * len(bars), np.uint8)
        size = format_bars(
            as_input(self._names),
            as_input(self._starts),
            as_input(bars.symbol),
            as_input(bars.prices_e4),
            as_input(bars.start_ns),
            as_input(bars.volume),
            as_input(bars.transactions),
            out,
        )
        return out[:size].tobytes()


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _tickers(market: Universe) -> bytes:
    rows = sorted([*zip(market.symbols, market.kinds, strict=True), *((name, "CS") for name in PLANTED)])
    return "".join(["ticker,type\n", *(f"{symbol},{kind}\n" for symbol, kind in rows)]).encode()


def _listing(sizes: dict[str, int]) -> bytes:
    """The bucket's listing as ``aws s3 ls --recursive`` prints it, modified when due for publication."""
    return "".join(f"{_published(key)} {size:>10} {key}\n" for key, size in sorted(sizes.items())).encode()


def _published(key: str) -> str:
    date = dt.date.fromisoformat(key[-len("YYYY-MM-DD.csv.gz") :][:10])
    return dt.datetime.fromtimestamp(published_ns(date) // 10**9, tz=dt.UTC).strftime("%Y-%m-%d %H:%M:%S")


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, dt.date) else value


def _truth(params: SynthParams, planted: list[Entry], faults: Sequence[tuple[str, str]]) -> bytes:
    """JSON with one expectation per line."""
    head: dict[str, Any] = {
        "seed": params.seed,
        "params": {name: _plain(value) for name, value in dataclasses.asdict(params).items()},
        "faults": [{"kind": kind, "key": key} for kind, key in faults],
    }
    lines = ",\n".join(json.dumps(entry, allow_nan=False) for entry in planted)
    return f'{json.dumps(head)[:-1]}, "planted": [\n{lines}\n]}}\n'.encode()
