"""The Ray edge: the executor on Ray, and the entry points of ``ray job submit``.

Only this package and ``tuning`` import ray, and only inside the functions that need it.
"""

from __future__ import annotations
