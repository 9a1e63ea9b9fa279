"""Allow-lists for every name that comes from outside and could end in a path or an S3 key."""

from __future__ import annotations

import datetime as dt
import re
from functools import lru_cache
from pathlib import Path
from urllib.parse import unquote

from raypipe.errors import UnsafeNameError, UsageError
from raypipe.schema.spec import Table

__all__ = [
    "check_key",
    "check_partition",
    "check_run_id",
    "check_symbol",
    "file_to_symbol",
    "inside",
    "partition_name",
    "partition_of",
    "symbol_to_file",
]

#: Vendors write BRK.B, ABRpD, O:SPY251216C00600000, ESZ5-ESH6, ^GSPC. No slash, backslash, tilde, percent or blank.
_SYMBOL = re.compile(r"[A-Za-z0-9^$][A-Za-z0-9.:_+^$=#*!&@-]{0,63}")
_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_SEGMENT = re.compile(r"[A-Za-z0-9._=%+@:,^$#&!()-][A-Za-z0-9._=%+@:,^$#&!()~ -]{0,254}")
_DATE_FILE = re.compile(r"date=(\d{4}-\d{2}-\d{2})\.parquet")
_SYMBOL_FILE = re.compile(r"symbol=([A-Z0-9._%-]+)\.parquet")
_KEY_LENGTH = 1024
#: Device names that Windows reserves whatever their extension and case.
_DEVICES = frozenset(
    {"CON", "PRN", "AUX", "NUL"} | {f"{port}{i}" for port in ("COM", "LPT") for i in range(1, 10)},
)


def check_symbol(text: str) -> str:
    """Return a symbol unchanged if it is on the allow-list.

    Raises
    ------
    UnsafeNameError
        For anything but 1 to 64 of the characters that vendors use in symbols.

    Examples
    --------
    >>> check_symbol("BRK.B")
    'BRK.B'
    """
    return _allow(_SYMBOL, text, "symbol", "letters, digits and . : _ + - ^ $ = # * ! & @, at most 64")


def check_run_id(text: str) -> str:
    """Return a run id unchanged if it is on the allow-list: letters, digits, dot, underscore, dash."""
    return _allow(_RUN_ID, text, "run id", "letters, digits and . _ -, at most 128")


def check_key(key: str) -> str:
    """Return a key (a relative path with slashes) unchanged if no segment of it can leave its root.

    Raises
    ------
    UnsafeNameError
        For absolute paths, ``.`` and ``..``, empty segments, backslashes, NUL, a leading ``~``,
        characters outside ASCII.
    """
    segments = key.split("/")
    if len(key) > _KEY_LENGTH or any(s in {".", ".."} or not _SEGMENT.fullmatch(s) for s in segments):
        _refuse(key, "key", "relative segments of letters, digits and . _ = % + @ : , ^ $ # & ! ( ) -")
    return key


def check_partition(table: Table, partition: str) -> str:
    """Return a partition of ``table`` unchanged if it is one: a date, a Monday, a symbol, or ``all``.

    Raises
    ------
    UnsafeNameError
        If it is not what the table's grain calls for.
    """
    if table.grain == "symbol":
        return check_symbol(partition)
    if table.grain == "once":
        if partition != "all":
            _refuse(partition, f"partition of {table.name}", "all")
        return partition
    date = _date(partition)
    if date is None or (table.grain == "week" and date.weekday() != 0):
        _refuse(partition, f"partition of {table.name}", "YYYY-MM-DD" + " of a Monday" * (table.grain == "week"))
    return partition


def symbol_to_file(symbol: str) -> str:
    """A file name for a symbol that is unique even where case is folded, and legal on every system.

    Small letters and unusual characters are percent-encoded, so ``ABRPD`` and ``ABRpD`` stay apart;
    reserved device names get an encoded first letter.

    Examples
    --------
    >>> symbol_to_file("ABRpD"), symbol_to_file("BRK.B"), symbol_to_file("CON")
    ('ABR%70D', 'BRK.B', '%43ON')
    """
    check_symbol(symbol)
    device = symbol.partition(".")[0] in _DEVICES
    plain = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"
    coded = [c if c in plain and not (device and i == 0) else f"%{ord(c):02X}" for i, c in enumerate(symbol)]
    return "".join(coded)


def file_to_symbol(name: str) -> str:
    """The symbol of a file name; the inverse of `symbol_to_file`."""
    return check_symbol(unquote(name, errors="strict"))


def partition_of(table: Table, file_name: str) -> str | None:
    """Which partition of ``table`` a file name stands for; None if the file is none of ours."""
    if table.grain == "once":
        return "all" if file_name == "all.parquet" else None
    try:
        if table.grain == "symbol":
            coded = _SYMBOL_FILE.fullmatch(file_name)
            symbol = file_to_symbol(coded.group(1)) if coded else None
            return symbol if coded and symbol and symbol_to_file(symbol) == coded.group(1) else None
        dated = _DATE_FILE.fullmatch(file_name)
        return check_partition(table, dated.group(1)) if dated else None
    except (UsageError, UnicodeDecodeError):
        return None


def partition_name(partition: str) -> str:
    """The file name of a partition of unknown grain, without its suffix.

    Examples
    --------
    >>> partition_name("2025-01-02"), partition_name("BRK.B"), partition_name("all")
    ('date=2025-01-02', 'symbol=BRK.B', 'all')
    """
    if partition == "all":
        return partition
    return f"date={partition}" if _date(partition) else f"symbol={symbol_to_file(partition)}"


def inside(root: Path, key: str) -> Path:
    """The path of ``key`` under ``root``, resolved; it must lie inside, symbolic links included.

    Raises
    ------
    UnsafeNameError
        If the key is not on the allow-list or the resolved path leaves the resolved root.
    """
    base = _resolved(root)
    folder, _, name = check_key(key).rpartition("/")
    path = _resolved(base / folder) / name
    if path.is_symlink():
        path = path.resolve()
    if not path.is_relative_to(base):
        msg = "the path leaves its root, by a symbolic link"
        raise UnsafeNameError(msg, hint="remove the link", name=repr(key), root=str(root))
    return path


@lru_cache(maxsize=4096)
def _resolved(folder: Path) -> Path:
    """A folder with its links followed, once per process: half of a plan's time went into doing it again."""
    return folder.resolve()


def _date(text: str) -> dt.date | None:
    try:
        return dt.date.fromisoformat(text) if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text, re.ASCII) else None
    except ValueError:
        return None


def _allow(pattern: re.Pattern[str], text: str, what: str, allowed: str) -> str:
    if not pattern.fullmatch(text) or ".." in text:
        _refuse(text, what, allowed)
    return text


def _refuse(text: str, what: str, allowed: str) -> None:
    shown = repr(text if len(text) <= 80 else text[:77] + "...")  # noqa: PLR2004
    msg = f"not allowed as a {what}"
    raise UnsafeNameError(msg, hint=f"allowed: {allowed}", name=shown)
