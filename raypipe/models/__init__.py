"""Model families: one file each with the constant ``MODEL``, found by scanning. They know arrays and nothing else."""

from __future__ import annotations
