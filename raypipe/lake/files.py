"""Plain files beside a lake, for other tools: there as a whole, or as they were before."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from raypipe.errors import StorageError

__all__ = ["whole_file"]


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary name beside a path, its folder made; what is written there gets the path's name at the end.

    Raises
    ------
    StorageError
        If the folder cannot be written; what was there stays.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> with whole_file(folder / "new" / "a.txt") as temporary:
    ...     _ = temporary.write_text("all of it")
    >>> [path.name for path in (folder / "new").iterdir()]
    ['a.txt']
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(path)
    except OSError as error:
        msg = f"cannot be written: {error.strerror or error}"
        raise StorageError(msg, hint="check the folder, its free space and permissions", store=str(path)) from error
    finally:
        with suppress(OSError):  # the folder itself may be what is wrong
            temporary.unlink()
