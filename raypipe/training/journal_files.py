"""Where the bytes of a journal are: two files of a folder, or two objects per configuration on S3.

A line is never written before its row is safe, so whatever is killed and whenever, a journal lacks at most what was
in flight.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

from raypipe.errors import DataQualityError
from raypipe.lake.faults import fault
from raypipe.lake.local import make_folder, sync_folder
from raypipe.lake.location import Location
from raypipe.lake.names import check_key, inside
from raypipe.lake.objects import disk_errors, open_store
from raypipe.training.study_lock import locked

__all__ = ["JournalFiles", "journal_files", "journal_parts"]

LINES, ROWS, LOCK = "journal.jsonl", "oof.f32", "lock"
_READERS = 16


class JournalFiles(Protocol):
    """Lines and rows of one study."""

    uri: str

    def lines(self) -> tuple[list[bytes], bool]:
        """Complete lines without their ends, and whether a torn one follows."""

    def row_count(self, row_bytes: int) -> float:
        """How many rows there are; a fraction if the last one is torn."""

    def cut(self, lines: int, rows: int, row_bytes: int) -> None:
        """Keep the first lines and rows, drop the rest."""

    def put_row(self, i: int, data: bytes) -> None:
        """Store row i; it is safe when this returns."""

    def put_line(self, n: int, line: bytes) -> None:
        """Store line n; it is safe when this returns."""

    def row(self, i: int, rows: int) -> bytes:
        """Row i of a journal that has so many rows."""

    def close(self) -> None:
        """Let go of files and lock."""


def journal_files(location: Location, key: str, *, write: bool = False, wait: float = 0.0) -> JournalFiles:
    """The files of the study at ``key``.

    Parameters
    ----------
    location, key
        The lake and the study's folder in it.
    write
        Whether to write: then a local folder is made and locked.
    wait
        Seconds to wait for another local writer.

    Raises
    ------
    UsageError
        If another process writes there.
    """
    if not location.is_local:
        return _Objects(location, key)
    return _Folder(inside(Path(location.root), key), write=write, wait=wait)


def journal_parts(location: Location, key: str) -> bool:
    """Whether there is a journal at ``key``."""
    store = open_store(location)
    return store.stat(f"{key}/{LINES}") is not None or store.stat(f"{key}/{_line_name(0)}") is not None


# --- a folder ----------------------------------------------------------------------------------


class _Folder:
    """`journal.jsonl` and `oof.f32`, both appended to and flushed."""

    def __init__(self, folder: Path, *, write: bool, wait: float) -> None:
        self.uri = str(folder)
        self._lines, self._rows = folder / LINES, folder / ROWS
        self._open = contextlib.ExitStack()
        if write:
            with disk_errors(self.uri, "", folder):
                make_folder(folder)
                self._open.enter_context(locked(folder / LOCK, wait=wait))
                self._line_handle, self._row_handle = self._handle(self._lines), self._handle(self._rows)
                sync_folder(folder)

    def _handle(self, path: Path) -> int:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        self._open.callback(os.close, handle)
        return handle

    def lines(self) -> tuple[list[bytes], bool]:
        """See `JournalFiles.lines`."""
        with disk_errors(self.uri, LINES, self._lines):
            *whole, rest = self._lines.read_bytes().split(b"\n")
        return whole, bool(rest)

    def row_count(self, row_bytes: int) -> float:
        """See `JournalFiles.row_count`."""
        with disk_errors(self.uri, ROWS, self._rows):
            return self._rows.stat().st_size / row_bytes

    def cut(self, lines: int, rows: int, row_bytes: int) -> None:
        """See `JournalFiles.cut`. Lines first: a row without a line is what a crash leaves too."""
        whole, _ = self.lines()
        kept = sum(len(line) + 1 for line in whole[:lines])
        with disk_errors(self.uri, "", self._lines):
            for handle, size in ((self._line_handle, kept), (self._row_handle, rows * row_bytes)):
                os.ftruncate(handle, size)
                os.fsync(handle)

    def put_row(self, i: int, data: bytes) -> None:
        """See `JournalFiles.put_row`."""
        with disk_errors(self.uri, ROWS, self._rows):
            _append(self._row_handle, i * len(data), data, "mid_row")
        fault("after_row")

    def put_line(self, n: int, line: bytes) -> None:  # noqa: ARG002 -- the end of the file is where it goes
        """See `JournalFiles.put_line`."""
        with disk_errors(self.uri, LINES, self._lines):
            _append(self._line_handle, os.fstat(self._line_handle).st_size, line + b"\n", "mid_line")
        fault("after_line")

    def row(self, i: int, rows: int) -> bytes:
        """See `JournalFiles.row`."""
        with disk_errors(self.uri, ROWS, self._rows), self._rows.open("rb") as file:
            size = os.fstat(file.fileno()).st_size // rows
            file.seek(i * size)
            return file.read(size)

    def close(self) -> None:
        """See `JournalFiles.close`."""
        self._open.close()


def _append(handle: int, at: int, data: bytes, point: str) -> None:
    """Write in two halves, with a fault point between them, and flush."""
    half = len(data) // 2
    _write(handle, at, data[:half])
    fault(point)
    _write(handle, at + half, data[half:])
    os.fsync(handle)


def _write(handle: int, at: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        done = os.pwrite(handle, view, at)
        view, at = view[done:], at + done


# --- objects -----------------------------------------------------------------------------------


class _Objects:
    """`journal/00000.json` and `oof/00000.f32`: one object per line and one per row. S3 shows whole objects only."""

    def __init__(self, location: Location, key: str) -> None:
        self.uri = f"{location.root}/{key}"
        self._store, self._key = open_store(location), check_key(key)

    def lines(self) -> tuple[list[bytes], bool]:
        """See `JournalFiles.lines`."""
        keys = self._keys("journal/")
        for n, key in enumerate(keys):
            if key != f"{self._key}/{_line_name(n)}":
                msg = f"line {n + 1} of the journal is gone"
                raise DataQualityError(
                    msg, hint="put the object back, or start anew with --fresh", file=self.uri, line=n + 1
                )
        with ThreadPoolExecutor(_READERS) as pool:
            return [data.rstrip(b"\n") for data in pool.map(self._store.read, keys)], False

    def row_count(self, row_bytes: int) -> float:  # noqa: ARG002 -- an object is whole or not there
        """See `JournalFiles.row_count`."""
        return len(self._keys("oof/"))

    def cut(self, lines: int, rows: int, row_bytes: int) -> None:  # noqa: ARG002 -- as above
        """See `JournalFiles.cut`."""
        for name, kept in (("journal/", lines), ("oof/", rows)):
            for key in sorted(self._keys(name))[kept:]:
                self._store.delete(key)

    def put_row(self, i: int, data: bytes) -> None:
        """See `JournalFiles.put_row`."""
        self._store.put_bytes(f"{self._key}/{_row_name(i)}", data)
        fault("after_row")

    def put_line(self, n: int, line: bytes) -> None:
        """See `JournalFiles.put_line`."""
        self._store.put_bytes(f"{self._key}/{_line_name(n)}", line + b"\n")
        fault("after_line")

    def row(self, i: int, rows: int) -> bytes:  # noqa: ARG002 -- each row knows its own size
        """See `JournalFiles.row`."""
        return self._store.read(f"{self._key}/{_row_name(i)}")

    def close(self) -> None:
        """See `JournalFiles.close`."""

    def _keys(self, name: str) -> Sequence[str]:
        return [stat.key for stat in self._store.list(f"{self._key}/{name}")]


def _line_name(n: int) -> str:
    return f"journal/{n:05d}.json"


def _row_name(i: int) -> str:
    return f"oof/{i:05d}.f32"
