"""Groups of columns about touches: a file each with the constant ``GROUP``, found by scanning."""

from __future__ import annotations
