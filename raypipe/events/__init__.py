"""Event families: which rows exist. One file each; found by scanning."""

from __future__ import annotations
