"""Array code: numpy in, numpy out, compiled by numba; no dates, no files, no configuration.

A module with a leading underscore serves the other modules of this package and nobody else.
"""

from __future__ import annotations

# First of all, whichever module is wanted: it states what numba reads from the environment while it is imported.
from raypipe.kernels import _jit as _jit
