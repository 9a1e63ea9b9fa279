"""The one jit policy: every numba flag, the place of the machine-code cache, and the shape of kernel inputs.

Nothing else in raypipe names a numba option. A kernel is written as::

    @kernel
    def turnover(prices, volumes):
        ...

* Compiled at its first call, not at import: a process pays only for the kernels that it uses. Declared signatures were
  tried and lost, because they compile (or load) every kernel of a module at import.
* ``nogil`` for threads that read files meanwhile, ``error_model="numpy"`` (division by zero gives inf or NaN), no
  ``fastmath`` (NaN has meaning) and no ``parallel`` (sessions and symbols are the parallel axis).
* numba compiles once per combination of input types, and a read-only, a writable and a strided array are three types.
  :func:`as_input` makes them one: the read-only, C-contiguous array that Ray hands out in any case.
* ``NUMBA_DISABLE_JIT=1`` leaves plain Python functions, for bounds checks and coverage.

Machine code is kept per user, machine, numba and Python version, unless ``NUMBA_CACHE_DIR`` names another folder; it is
safe to delete at any time. numba renews an entry when the kernel's own file changes, but is blind to changes in other
files whose functions were compiled into it; so each entry also depends on the contents of the kernel files that are
imported there.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import sys
from collections.abc import Callable, Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

__all__ = ["as_input", "default_cache_dir", "inlined", "kernel", "plain_twin_of"]

Function = TypeVar("Function", bound=Callable[..., Any])

_FLAGS: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
_IMPORTS = re.compile(
    r"^(?:from|import)\s+raypipe\.kernels\.(\w+)|^from\s+raypipe\.kernels\s+import\s+(\([^)]*\)|.+)", re.MULTILINE
)


def default_cache_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """Name the folder of compiled kernels: per user, machine, numba and Python version.

    Parameters
    ----------
    environ
        Environment variables. ``XDG_CACHE_HOME`` replaces ``~/.cache``.

    Returns
    -------
    Path
        ``<cache home>/raypipe/numba/<machine>-<numba version>-py<major>.<minor>``; nothing is created. The machine
        is part of the name because home folders are shared by unlike CPUs, and local disks have no races.
    """
    home = environ.get("XDG_CACHE_HOME", "")
    # The XDG rule: a relative path is ignored.
    base = Path(home) if Path(home).is_absolute() else Path(environ.get("HOME") or Path.home()) / ".cache"
    machine = re.sub(r"[^\w.-]", "_", platform.node()) or "localhost"
    python = f"py{sys.version_info.major}.{sys.version_info.minor}"
    return base / "raypipe" / "numba" / f"{machine}-{version('numba')}-{python}"


def _settle_environment() -> None:
    """State the defaults that numba reads while it is imported: the cache folder, and one thread.

    They reach child processes too. Does nothing if numba is there already, as it refuses a new thread count once its
    threads run.
    """
    if "numba" not in sys.modules:
        os.environ.setdefault("NUMBA_CACHE_DIR", str(default_cache_dir()))
        os.environ.setdefault("NUMBA_NUM_THREADS", "1")


_settle_environment()

import numba  # noqa: E402
from numba.core.caching import UserProvidedCacheLocator  # noqa: E402

_CONFIG: Any = numba.config


def _is_usable(folder: Path) -> bool:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK | os.X_OK)


_CACHE_DIR = Path(_CONFIG.CACHE_DIR or default_cache_dir())
# A container may have no writable home: kernels then compile in each process.
_CAN_CACHE = not _CONFIG.DISABLE_JIT and _is_usable(_CACHE_DIR)


def _imported_kernels(file: Path) -> set[Path]:
    names: set[str] = set()
    for module, members in _IMPORTS.findall(file.read_text(encoding="utf-8")):
        names.update([module] if module else re.findall(r"\w+", members))
    return {path for name in names if (path := file.with_name(f"{name}.py")).is_file()}


@cache
def _digest(file: Path) -> str:
    """Digest of a kernel file and of all kernel files that it imports, directly or through others."""
    found: set[Path] = set()
    new = {file}
    while new:
        found |= new
        new = {path for known in new for path in _imported_kernels(known)} - found
    contents = b"\0".join(path.name.encode() + b"\0" + path.read_bytes() for path in sorted(found))
    return hashlib.sha256(contents).hexdigest()[:12]


class FolderOfContents(UserProvidedCacheLocator):
    """Keeps machine code by the contents of the source alone.

    numba adds the path of the source. A Ray job runs from a new copy of the code each time, at a new path, so every
    worker of every job compiled everything anew: 18 CPU-s for the minute pipeline.
    """

    def __init__(self, py_func: Any, py_file: str) -> None:
        super().__init__(py_func, py_file)  # type: ignore[no-untyped-call]
        self._cache_path = _CONFIG.CACHE_DIR


def _compiled(function: Function, **flags: Any) -> Function:
    file = Path(function.__code__.co_filename)
    cached = _CAN_CACHE and file.is_file()
    before = _CONFIG.CACHE_DIR, _CONFIG.CACHE_LOCATOR_CLASSES
    try:
        if cached:
            # numba reads these once per function, here; the variables themselves belong to all its users.
            _CONFIG.CACHE_DIR = str(_CACHE_DIR / _digest(file))
            _CONFIG.CACHE_LOCATOR_CLASSES = f"{__name__}.{FolderOfContents.__name__}"
        jitted: Any = numba.njit(function, cache=cached, **_FLAGS, **flags)
    finally:
        _CONFIG.CACHE_DIR, _CONFIG.CACHE_LOCATOR_CLASSES = before
    return cast("Function", jitted)


def kernel(function: Function) -> Function:
    """Compile a function at its first call and keep the machine code on disk.

    Parameters
    ----------
    function
        A module-level function of numpy arrays and numbers. Only such functions travel to workers by reference and
        find the cache there; a closure would compile anew in each of them.

    Returns
    -------
    Callable
        The compiled function, of the same signature; the function itself under ``NUMBA_DISABLE_JIT=1``.

    Examples
    --------
    >>> @kernel
    ... def total(values):
    ...     s = 0.0
    ...     for value in values:
    ...         s += value
    ...     return s
    >>> float(total(as_input([1.0, 2.0, 3.5])))
    6.5
    """
    return _compiled(function)


def inlined(function: Function) -> Function:
    """Compile a small helper into every kernel that calls it; it borrows its arrays and must not allocate any.

    LLVM's own choice leaves calls in the inner loop, and each passes arrays as seven words on the stack: the CSV
    kernel took 1.4 times as long. numba's reference counts, one atomic pair per array and call, made it 6 times.
    Not for slow paths, which would only bloat the loop.

    Parameters
    ----------
    function
        A module-level function that kernels call.

    Returns
    -------
    Callable
        As of :func:`kernel`.
    """
    return _compiled(function, forceinline=True, _nrt=False)


def plain_twin_of(intrinsic: Any) -> Callable[[Function], Function]:
    """Give a numba intrinsic, which only kernels can call, a Python twin for ``NUMBA_DISABLE_JIT=1``.

    Parameters
    ----------
    intrinsic
        What kernels call.

    Returns
    -------
    Callable
        A decorator of the twin; it leaves the intrinsic in its place unless the jit is off.
    """

    def choose(twin: Function) -> Function:
        return twin if _CONFIG.DISABLE_JIT else cast("Function", intrinsic)

    return choose


def as_input(values: ArrayLike, dtype: DTypeLike | None = None) -> NDArray[Any]:
    """Give an array the one form that kernels are compiled for: read-only, C-contiguous, aligned.

    Parameters
    ----------
    values
        An array of any shape, or what numpy makes one of. Copied only if its memory is not contiguous and aligned
        or its dtype differs; the caller's array stays writable.
    dtype
        The dtype that the kernel takes; ``None`` keeps the array's.

    Returns
    -------
    numpy.ndarray
        A read-only view or copy. NaN handling: values are passed on untouched.

    Examples
    --------
    >>> prices = np.arange(6.0).reshape(2, 3)[:, 1]
    >>> column = as_input(prices)
    >>> column.flags.c_contiguous, column.flags.writeable, prices.flags.writeable
    (True, False, True)
    """
    array = np.require(values, dtype, ["C", "A"])
    if array.flags.writeable:
        array = array.view()
        array.flags.writeable = False
    return array
