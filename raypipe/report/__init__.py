"""What people look at: pages made of run records. Nothing here computes data."""

from __future__ import annotations
