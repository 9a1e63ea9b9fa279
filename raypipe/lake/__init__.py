"""The lake: one Parquet file per partition, each its own manifest, each committed in one step."""

from __future__ import annotations
