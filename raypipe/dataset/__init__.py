"""Training sets: events, what was known of them, and what came after, side by side and apart by role."""

from __future__ import annotations
