"""Declared schemas: every table and column once, with type, unit, null rule and meaning."""

from __future__ import annotations
