"""Acquisition: vendors' files into the lake's ``raw/``, exactly as they are, checked, with receipts."""

from __future__ import annotations
