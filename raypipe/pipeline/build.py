"""Bronze of books and prints from files that a person names."""

from __future__ import annotations

from dataclasses import replace

from raypipe.config import Config
from raypipe.errors import UsageError
from raypipe.lake.store import Lake
from raypipe.pipeline.book_files import BOOK_RAW, BookFiles
from raypipe.pipeline.books import BOOK_SOURCES, check_sources
from raypipe.pipeline.plan import Plan
from raypipe.pipeline.raw import sources_of
from raypipe.pipeline.session import Wish, plan_wish

__all__ = ["BUILT_TABLES", "plan_build", "source_key"]

_RAW = {stage.name: stage.reads(stage.params())[0].table for stage in BOOK_SOURCES}
#: Tables that are built so.
BUILT_TABLES = tuple(_RAW)


def source_key(table: str) -> str:
    """The configuration key of a table's files.

    Raises
    ------
    UsageError
        If the table is not built so.

    Examples
    --------
    >>> source_key("spy_option_trades")
    'signals.sources.spy_options'
    """
    if table not in _RAW:
        msg = f"{table!r} is not built from files that are named"
        raise UsageError(msg, hint=f"name one of {', '.join(BUILT_TABLES)}")
    return f"signals.sources.{BOOK_RAW[_RAW[table]].source}"


def plan_build(config: Config, table: str, wish: Wish) -> Plan:
    """Plan one bronze table, and nothing else.

    Raises
    ------
    SourceError
        If no file is of use.
    UsageError
        As `plan_wish`.
    """
    lake = Lake(config.lake.location)
    check_sources(BookFiles(lake.store, sources_of(config.params.values())), _RAW[table])
    return plan_wish(config, replace(wish, steps=(table,)))
