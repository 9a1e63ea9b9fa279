"""One file per vendor: how its files look and how they are read."""

from __future__ import annotations
