"""Rows handed on piece by piece: what a family takes where a table is too large to stand in memory whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

__all__ = ["Stream", "WholeTable"]


class Stream(Protocol):
    """Rows of one partition in stored order, in pieces of any length; may be walked again."""

    def __iter__(self) -> Iterator[pa.Table]:
        """The pieces."""

    def where(self, column: str, value: int) -> Stream:
        """The same, without pieces that are known to hold no row of that value; the others come whole."""


@dataclass(frozen=True, slots=True)
class WholeTable:
    """A table in memory as a stream: one piece.

    Attributes
    ----------
    table
        The rows.
    """

    table: pa.Table

    def __iter__(self) -> Iterator[pa.Table]:
        yield self.table

    def where(self, column: str, value: int) -> WholeTable:  # noqa: ARG002 - nothing is known of its rows
        """The table itself: looking would cost as much as the caller's own look."""
        return self
