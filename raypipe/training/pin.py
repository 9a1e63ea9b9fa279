"""Pins: a data set named by the hashes of its files, so that a run can say what it was made of, and refuse the rest.

What data a command takes is told by, in this order: its flag, `PINNED_DATA_S3`, `LAST_DATA_S3`, the file
`last_dataset_uri.txt`, the configuration. Each may be a pin, a path or a URI.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pcsv
import pyarrow.parquet as pq

from raypipe.config import Config
from raypipe.errors import DataQualityError, StorageError, UsageError
from raypipe.lake.location import Location
from raypipe.lake.names import file_to_symbol
from raypipe.lake.objects import ObjectStore, is_missing, open_store

__all__ = [
    "Input",
    "Pin",
    "PinnedFile",
    "find_input",
    "input_config",
    "make_pin",
    "open_input",
    "read_pin",
    "verify_pin",
]

SCHEMA = 1
_ENVIRONMENT = ("PINNED_DATA_S3", "LAST_DATA_S3")
_LAST_FILE = "last_dataset_uri.txt"
_SYMBOL, _SESSION = ("symbol", "ticker"), ("session", "date")
_MAX_PIN = 64 << 20


@dataclass(frozen=True, slots=True)
class PinnedFile:
    """One file: its path below the URI, size, hash, and rows where they can be told."""

    path: str
    bytes: int
    sha256: str
    rows: int | None


@dataclass(frozen=True, slots=True)
class Pin:
    """A data set.

    Attributes
    ----------
    uri
        Where it is: a folder, a file, or ``s3://bucket/prefix``. It is no part of the hash: the same files elsewhere
        have the same pin.
    files
        All of them, sorted by path.
    start, end
        First and last session, ISO dates; None if no file says so.
    n_symbols
        Distinct symbols; None if no file says so.
    """

    uri: str
    files: tuple[PinnedFile, ...]
    start: str | None
    end: str | None
    n_symbols: int | None

    @property
    def sha256(self) -> str:
        """Hash of all but the URI."""
        content = {name: value for name, value in self._document().items() if name != "uri"}
        return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()

    def _document(self) -> dict[str, Any]:
        return {"schema": SCHEMA, **asdict(self), "files": [asdict(one) for one in self.files]}

    def to_json(self) -> bytes:
        """The file: sorted keys, the same bytes for the same data at the same place."""
        return (json.dumps({**self._document(), "pin_sha256": self.sha256}, sort_keys=True, indent=1) + "\n").encode()

    @classmethod
    def from_json(cls, data: bytes, *, name: str = "pin") -> Pin:
        """Read a pin.

        Raises
        ------
        DataQualityError
            If it is none, or was edited.
        """
        try:
            raw = json.loads(data)
            stated = raw.pop("pin_sha256")
            known = raw.pop("schema") == SCHEMA
            pin = cls(**{**raw, "files": tuple(PinnedFile(**one) for one in raw["files"])})
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            msg = f"not a pin: {type(error).__name__} {error}"
            raise DataQualityError(msg, hint="make one: raypipe pin --input URI --output FILE", file=name) from error
        if not known or pin.sha256 != stated:
            msg = f"the pin was edited: it says {stated}, its content has {pin.sha256}"
            raise DataQualityError(msg, hint="make it again: raypipe pin", file=name)
        return pin


# --- making ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Seen:
    """What one file says of its rows."""

    rows: int | None = None
    start: str | None = None
    end: str | None = None
    symbols: frozenset[str] | None = None


def make_pin(uri: str, *, endpoint_url: str | None = None, profile: str | None = None) -> Pin:
    """Hash every file of a data set.

    Parameters
    ----------
    uri
        A file, a folder, or ``s3://bucket/prefix``.
    endpoint_url, profile
        How S3 is reached; None: as the environment says.

    Raises
    ------
    UsageError
        If there is no file.
    StorageError
        If the store cannot be used.
    """
    store, root, keys = _opened(uri, endpoint_url, profile)
    if not keys:
        msg = "there is no file to pin"
        raise UsageError(msg, hint="name a file, a folder, or s3://bucket/prefix", uri=root)
    files, seen = [], []
    for key, size in keys:
        data = store.read(key)
        if len(data) != size:
            msg = f"the file has {len(data):,} bytes, the listing said {size:,}: it is being written"
            raise DataQualityError(msg, hint="pin it again when it is done", file=key)
        told = _look(key, data)
        files.append(PinnedFile(key, size, hashlib.sha256(data).hexdigest(), told.rows))
        seen.append(told)
    starts, ends = [one.start for one in seen if one.start], [one.end for one in seen if one.end]
    named = [one.symbols for one in seen if one.symbols is not None]
    symbols = len(frozenset().union(*named)) if named else None
    return Pin(root, tuple(files), min(starts, default=None), max(ends, default=None), symbols)


def _opened(uri: str, endpoint_url: str | None, profile: str | None) -> tuple[ObjectStore, str, list[tuple[str, int]]]:
    """The store of a URI, the URI in one form, and keys with sizes below it, sorted."""
    location = Location.parse(uri, endpoint_url=endpoint_url, profile=profile)
    whole = location.root
    if location.is_local and Path(whole).is_file():
        location, only = replace(location, root=str(Path(whole).parent)), Path(whole).name
        store = open_store(location)
        stat = store.stat(only)
        return store, whole, [(only, stat.size)] if stat else []
    store = open_store(location)
    found = [(one.key, one.size) for one in store.list("")]
    if not found and not location.is_local and "/" in whole.removeprefix("s3://"):
        parent, _, only = whole.rpartition("/")
        store = open_store(replace(location, root=parent))
        stat = store.stat(only)
        found = [(only, stat.size)] if stat else []
    return store, whole, found


def _look(key: str, data: bytes) -> _Seen:
    """Rows, sessions and symbols of a Parquet or CSV file; of others nothing is told."""
    try:
        if key.endswith(".parquet"):
            file = pq.ParquetFile(io.BytesIO(data))
            names = [name for name in file.schema_arrow.names if name.lower() in (*_SYMBOL, *_SESSION)]
            return _told(key, file.read(columns=names), file.metadata.num_rows)
        if key.endswith((".csv", ".csv.gz")):
            source = pa.input_stream(io.BytesIO(data), compression="gzip" if key.endswith(".gz") else None)
            table = pcsv.read_csv(source)
            return _told(key, table, table.num_rows)
    except (pa.ArrowException, OSError) as error:
        msg = f"the file cannot be read: {error}"
        raise DataQualityError(msg, hint="restore it, or pin a folder without it", file=key) from error
    return _Seen()


def _told(key: str, table: pa.Table, rows: int) -> _Seen:
    by_name = {name.lower(): name for name in table.column_names}
    session = next((table[by_name[name]] for name in _SESSION if name in by_name), None)
    symbol = next((table[by_name[name]] for name in _SYMBOL if name in by_name), None)
    start = end = None
    if session is not None and rows:
        bounds = pc.min_max(session.cast(pa.string())).as_py()
        start, end = (bounds[name] and bounds[name][:10] for name in ("min", "max"))
    symbols = frozenset(pc.unique(symbol.cast(pa.string()).drop_null()).to_pylist()) if symbol is not None else None
    stem = key.rpartition("/")[2].removesuffix(".parquet")
    if symbols is None and stem.startswith("symbol="):
        symbols = frozenset([file_to_symbol(stem.removeprefix("symbol="))])
    return _Seen(rows, start, end, symbols)


# --- checking ----------------------------------------------------------------------------------


def read_pin(path: str, *, endpoint_url: str | None = None, profile: str | None = None) -> Pin:
    """Read a pin from a file or an S3 object.

    Raises
    ------
    UsageError
        If there is none.
    DataQualityError
        If it is no pin, or was edited.
    """
    store, _, keys = _opened(path, endpoint_url, profile)
    if len(keys) != 1 or keys[0][1] > _MAX_PIN:
        msg = "there is no pin"
        raise UsageError(msg, hint="make one: raypipe pin --input URI --output FILE", file=path)
    return Pin.from_json(store.read(keys[0][0]), name=path)


def verify_pin(pin: Pin, *, endpoint_url: str | None = None, profile: str | None = None) -> None:
    """Hold every file against its pin.

    Raises
    ------
    DataQualityError
        For the first file that is missing, not listed, or not as pinned, with both hashes.
    StorageError
        If the store cannot be used.
    """
    store, _, keys = _opened(pin.uri, endpoint_url, profile)
    there = dict(keys)
    pinned = {one.path: one for one in pin.files}
    extra = [key for key in there if key not in pinned]
    if extra:
        found = hashlib.sha256(store.read(extra[0])).hexdigest()
        _refuse(pin, extra[0], "none: the file is not listed", found)
    for path, one in pinned.items():
        found = _hash(store, path) if path in there else "none: the file is gone"
        if found != one.sha256:
            _refuse(pin, path, one.sha256, found)


def _hash(store: ObjectStore, key: str) -> str:
    try:
        return hashlib.sha256(store.read(key)).hexdigest()
    except StorageError as error:
        if is_missing(error) or error.values.get("code") in {"EACCES", "EIO", "EISDIR"}:
            return f"none: {error.message}"
        raise


def _refuse(pin: Pin, path: str, wanted: str, found: str) -> None:
    msg = f"pinned is sha256 {wanted}; here is {found}"
    raise DataQualityError(msg, hint="restore the file, or pin the data again: raypipe pin", file=f"{pin.uri}: {path}")


# --- what to take ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Input:
    """The data that a command takes.

    Attributes
    ----------
    uri
        A folder, a file or a URI.
    origin
        What said so, for people.
    pin_sha256
        Of the verified pin; None without one.
    """

    uri: str
    origin: str
    pin_sha256: str | None = None


def find_input(flag: str | None, env: Mapping[str, str], folder: Path, configured: str = "") -> Input | None:
    """What is asked for, and by what; None if by nothing. Nothing is read but `last_dataset_uri.txt`.

    Parameters
    ----------
    flag
        Value of the command's flag.
    env
        The environment.
    folder
        Where `last_dataset_uri.txt` may be.
    configured
        Value of the configuration.

    Examples
    --------
    >>> find_input(None, {"LAST_DATA_S3": "s3://a/b", "PINNED_DATA_S3": "pin.json"}, Path("nowhere")).origin
    'environment PINNED_DATA_S3'
    """
    said: Sequence[tuple[str, str]] = [
        (flag or "", "flag"),
        *((env.get(name, "").strip(), f"environment {name}") for name in _ENVIRONMENT),
        (_last(folder), f"file {_LAST_FILE}"),
        (configured, "configuration"),
    ]
    return next((Input(uri, origin) for uri, origin in said if uri), None)


def _last(folder: Path) -> str:
    path = folder / _LAST_FILE
    return path.read_text(encoding="utf-8").strip() if path.is_file() else ""


def open_input(given: Input, *, endpoint_url: str | None = None, profile: str | None = None) -> Input:
    """The data themselves: a pin is read and verified, and gives way to what it pins.

    Raises
    ------
    UsageError, DataQualityError, StorageError
        As of `read_pin` and `verify_pin`.
    """
    if not given.uri.endswith(".json"):
        return given
    pin = read_pin(given.uri, endpoint_url=endpoint_url, profile=profile)
    verify_pin(pin, endpoint_url=endpoint_url, profile=profile)
    return Input(pin.uri, f"{given.origin}, pin {given.uri}", pin.sha256)


def input_config(config: Config, flag: str | None, say: Callable[[str], None]) -> tuple[Config, Input | None]:
    """The configuration whose lake has the data that are asked for: the same one, unless something says otherwise.

    Parameters
    ----------
    config
        The configuration.
    flag
        Value of the command's flag; the environment and the working folder are asked too, see `find_input`.
    say
        Told where the data are, and what said so, if something did.

    Returns
    -------
    The configuration with that lake, and what said so; None if nothing did.

    Raises
    ------
    UsageError, DataQualityError, StorageError
        As of `open_input`.
    """
    given = find_input(flag, os.environ, Path.cwd())
    if given is None:
        return config, None
    lake = config.lake
    found = open_input(given, endpoint_url=lake.endpoint_url, profile=lake.profile)
    say(f"panel from {found.uri} ({found.origin})")
    return replace(config, lake=lake.model_copy(update={"root": found.uri})), found
