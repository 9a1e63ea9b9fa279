"""Feature families: columns for sessions, weeks and events. One file each; found by scanning."""

from __future__ import annotations
