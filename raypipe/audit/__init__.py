"""Proofs on the user's own lake of what raypipe promises."""

from __future__ import annotations
