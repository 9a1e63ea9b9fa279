"""A synthetic market, made, acquired over S3, and held against its planted answers: the parts of the demo."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from raypipe.acquisition.acquire import ingest
from raypipe.config import Config
from raypipe.errors import StorageError
from raypipe.lake.objects import ObjectStore
from raypipe.lake.store import Lake
from raypipe.pipeline.intake import keep_corporate, keep_daily
from raypipe.pipeline.local_s3 import environment, serve_folder
from raypipe.pipeline.planted import Verdict, check_planted
from raypipe.pipeline.views import declared_tables
from raypipe.sources.synthetic import DATASETS, SynthParams, SynthResult, write_market
from raypipe.sources.synthetic.daily import NOISE_TARGET, SIGNAL_TARGET

__all__ = [
    "NOISE_TARGET",
    "SIGNAL_TARGET",
    "SynthResult",
    "Verdict",
    "acquire_market",
    "compare_market",
    "demo_datasets",
    "synthesise",
]

#: Sessions of ES in a market: seven of trades to look back on, and two with books.
_ES_SESSIONS = 9


def demo_datasets(sessions: int) -> tuple[str, ...]:
    """What a market of so many sessions shows: all of it, or without ES if that had nothing to look back on.

    Examples
    --------
    >>> demo_datasets(20), demo_datasets(3)
    (('equities', 'es', 'options', 'daily'), ('equities', 'daily'))
    """
    return DATASETS if sessions >= _ES_SESSIONS else ("equities", "daily")


def synthesise(out: Path, *, force: bool = False, **params: Any) -> SynthResult:
    """Write a market; ``params`` as in `raypipe.sources.synthetic.SynthParams`.

    Raises
    ------
    UsageError
        If a parameter is out of its range, or the folder is not empty.
    """
    return write_market(out, SynthParams(**params), force=force)


def acquire_market(config: Config, market: SynthResult) -> str:
    """Acquire a market over the real protocol, from a server on the loopback. Returns where the server was.

    Raises
    ------
    MissingExtraError
        If there is no server to start.
    StorageError
        If a file cannot be acquired.
    """
    days = (*market.history, *market.sessions)
    with serve_folder(market.out.parent) as server, environment(server):
        params = config.ingest.model_copy(update={"endpoint_url": server.endpoint_url, "bucket": market.out.name})
        store = Lake(config.lake.location).store
        report = ingest(store, params, start=days[0], end=days[-1], now_ns=time.time_ns)
    bad = [each for each in report.objects if each.state in {"failed", "forbidden"}]
    if bad or report.unavailable:
        msg = f"{len(bad)} files could not be acquired: {bad[0].reason if bad else 'no answer'}"
        raise StorageError(msg, hint="is something else using the folder?", store=params.endpoint_url)
    keep_corporate(config, "reference", market.out / "reference" / "tickers.csv")
    keep_corporate(config, "splits", market.out / "reference" / "splits.csv")
    _keep_books(store, market)
    if market.daily_file is not None:
        keep_daily(config, market.daily_file)
    return server.endpoint_url


def _keep_books(store: ObjectStore, market: SynthResult) -> None:
    """Files of books and prints, under ``raw/`` as the vendors name them; those that are there already stay."""
    for key in market.book_keys:
        data = (market.out / key).read_bytes()
        if store.stat(f"raw/{key}") is None or store.read(f"raw/{key}") != data:
            store.put_bytes(f"raw/{key}", data)


def compare_market(config: Config, market: SynthResult) -> list[Verdict]:
    """Hold the lake against the planted answers."""
    return check_planted(Lake(config.lake.location), declared_tables(config), market.out / "truth.json")
