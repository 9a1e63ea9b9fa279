"""Label families: what came after. The only tables that may read later than their rows; one file each."""

from __future__ import annotations
