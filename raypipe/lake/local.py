"""A lake in a local folder, or on a file system that is mounted everywhere: commit by rename."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from raypipe.errors import UnsafeNameError
from raypipe.lake.faults import fault
from raypipe.lake.location import Location
from raypipe.lake.names import check_key, inside
from raypipe.lake.objects import Leftover, Leftovers, Stat, disk_errors, is_temporary, temporary_name

__all__ = ["LocalStore", "make_folder", "sync_folder"]


class LocalStore:
    """A folder. Commits by rename inside one directory, flushed before and after.

    Parameters
    ----------
    location
        A local one. The folder appears with the first write.
    """

    def __init__(self, location: Location) -> None:
        self.uri = location.root
        self._root = Path(location.root)

    def stat(self, key: str) -> Stat | None:
        """See `ObjectStore.stat`."""
        path = inside(self._root, key)
        try:
            facts = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return _stat(key, facts) if path.is_file() else None

    def list(self, prefix: str) -> Iterator[Stat]:
        """See `ObjectStore.list`. Links to folders are not followed; a link out of the root is an error."""
        found = (_stat(key, facts) for key, facts in self._walk(prefix) if not is_temporary(key.rpartition("/")[2]))
        yield from sorted(found, key=lambda stat: stat.key)

    def read(self, key: str) -> bytes:
        """See `ObjectStore.read`."""
        path = inside(self._root, key)
        with disk_errors(self.uri, key, path):
            return path.read_bytes()

    def open(self, key: str, *, whole: bool = False) -> pa.NativeFile:  # noqa: ARG002 -- one path for both
        """See `ObjectStore.open`.

        Not memory-mapped: a mapped file that somebody truncates kills the process with SIGBUS, and
        decoding measured the same either way.
        """
        path = inside(self._root, key)
        with disk_errors(self.uri, key, path):
            return pa.OSFile(str(path), "rb")

    def put_file(self, key: str, path: Path) -> None:
        """See `ObjectStore.put_file`."""
        target = inside(self._root, key)
        with disk_errors(self.uri, key, target):
            if path.parent.resolve() == target.parent and is_temporary(path.name):
                _publish(path, target)
                return
            temporary = self.staging(key)
            with _removed_on_error(temporary):
                shutil.copyfile(path, temporary)
                _publish(temporary, target)

    def put_bytes(self, key: str, data: bytes) -> None:
        """See `ObjectStore.put_bytes`."""
        target, temporary = inside(self._root, key), self.staging(key)
        with disk_errors(self.uri, key, target), _removed_on_error(temporary):
            temporary.write_bytes(data)
            _publish(temporary, target)

    def delete(self, key: str) -> None:
        """See `ObjectStore.delete`."""
        path = inside(self._root, key)
        with disk_errors(self.uri, key, path), contextlib.suppress(FileNotFoundError, NotADirectoryError):
            path.unlink()
            sync_folder(path.parent)

    def staging(self, key: str) -> Path:
        """See `ObjectStore.staging`: in the folder of the key, which is made."""
        target = inside(self._root, key)
        with disk_errors(self.uri, key, target):
            make_folder(target.parent)
        return target.parent / temporary_name(target.name)

    def leftovers(self, older_than_ns: int) -> Leftovers:
        """See `ObjectStore.leftovers`."""
        hidden = (item for item in self._walk("") if is_temporary(item[0].rpartition("/")[2]))
        found = [Leftover(key, facts.st_size, facts.st_mtime_ns, "temporary") for key, facts in hidden]
        return sorted((one for one in found if one.modified_ns < older_than_ns), key=lambda one: one.key)

    def remove_leftover(self, leftover: Leftover) -> None:
        """See `ObjectStore.remove_leftover`."""
        self.delete(leftover.key)

    def _walk(self, prefix: str) -> Iterator[tuple[str, os.stat_result]]:
        folder = prefix.rpartition("/")[0]
        base = inside(self._root, folder) if folder else self._root.resolve()
        pending = [(base, f"{folder}/" if folder else "")]
        while pending:
            path, start = pending.pop()
            for entry in _entries(path):
                key = start + entry.name
                if entry.is_symlink():
                    inside(self._root, key)
                if entry.is_dir(follow_symlinks=False):
                    if key.startswith(prefix[: len(key)]) and _allowed(key):
                        pending.append((Path(entry.path), f"{key}/"))
                elif key.startswith(prefix) and _allowed(key) and entry.is_file():
                    with contextlib.suppress(FileNotFoundError):  # replaced or collected meanwhile
                        yield key, entry.stat()


def _entries(path: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(path) as entries:
            return list(entries)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _allowed(key: str) -> bool:
    try:
        return bool(check_key(key))
    except UnsafeNameError:
        return False


def _stat(key: str, facts: os.stat_result) -> Stat:
    return Stat(key, facts.st_size, str(facts.st_mtime_ns), facts.st_mtime_ns)


def _publish(temporary: Path, target: Path) -> None:
    """Flush a file, rename it, flush the folder: after this the file survives a power cut."""
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    fault("after_fsync")
    fault("before_rename")
    temporary.replace(target)
    fault("after_rename")
    sync_folder(target.parent)


@contextlib.contextmanager
def _removed_on_error(temporary: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, so that they survive a power cut too."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Flush the names in a folder: those that were made, renamed or removed stay so after a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
