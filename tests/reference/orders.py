"""A book of single orders, built from a market-by-order feed: what ten levels of it should show."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

Levels = list[tuple[int, int]]
CLEAR, ADD, CANCEL, MODIFY = "R", "A", "C", "M"


class OrderBook:
    """Every resting order; trades and fills change nothing, the cancels that follow them do."""

    def __init__(self) -> None:
        self.orders: dict[int, tuple[str, int, int]] = {}
        self.sides: dict[str, dict[int, int]] = {"A": defaultdict(int), "B": defaultdict(int)}

    def apply(self, action: str, side: str, price: int, size: int, order: int) -> None:
        """One event of the feed."""
        if action == CLEAR:
            self.__init__()  # type: ignore[misc]
        elif action == ADD:
            self._put(order, side, price, size)
        elif action == MODIFY:
            if order in self.orders:
                self._take(order, None)
            self._put(order, side, price, size)
        elif action == CANCEL and order in self.orders:
            self._take(order, size)

    def _put(self, order: int, side: str, price: int, size: int) -> None:
        self.orders[order] = (side, price, size)
        self.sides[side][price] += size

    def _take(self, order: int, size: int | None) -> None:
        side, price, there = self.orders.pop(order)
        gone = there if size is None else min(size, there)
        self.sides[side][price] -= gone
        if not self.sides[side][price]:
            del self.sides[side][price]
        if gone < there:
            self.orders[order] = (side, price, there - gone)

    def levels(self, side: str, depth: int = 10) -> Levels:
        """Best prices first."""
        book: dict[int, Any] = self.sides[side]
        return [(price, book[price]) for price in sorted(book, reverse=side == "B")[:depth]]
