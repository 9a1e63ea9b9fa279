"""Which targets there are: what each is, how far it looks ahead, and where its interval begins."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Literal

from raypipe.errors import UsageError

__all__ = ["TARGETS", "TargetSpec", "target_spec"]

Kind = Literal["class", "regression"]


@dataclass(frozen=True, slots=True)
class TargetSpec:
    """One target.

    Attributes
    ----------
    name
        Its column in `gold/targets`.
    kind
        ``class``: 0 or 1. ``regression``: a number.
    horizon
        Sessions that it looks ahead.
    start
        Where the label's interval begins: at the ``open`` of the next session, or at the session's own ``close``.
    doc
        One sentence.
    """

    name: str
    kind: Kind
    horizon: int
    start: Literal["open", "close"]
    doc: str

    @property
    def end_column(self) -> str:
        """The column that says when the label ends."""
        return f"{self.name}_end_ns"

    @property
    def start_column(self) -> str:
        """The column that says when the label begins."""
        return "entry_ns" if self.start == "open" else "close_ns"


def _all() -> dict[str, TargetSpec]:
    text = "Whether the total return from the next open to the open {h} sessions later is above 0."
    total = "Total return from the next open to the open {h} sessions later."
    close = "Whether the total-return close {h} sessions later is above this one."
    found = [TargetSpec(f"direction_{h}d", "class", h, "open", text.format(h=h)) for h in (1, 5, 20)]
    found += [TargetSpec(f"forward_return_{h}d", "regression", h, "open", total.format(h=h)) for h in (1, 5, 10, 20)]
    found += [TargetSpec(f"close_direction_{h}d", "class", h, "close", close.format(h=h)) for h in (1, 5, 20)]
    regime = "Whether the next 20 daily returns deviate more than the last 60."
    moved = "Whether the next daily return is larger, in absolute value, than the median of the last 60."
    found.append(TargetSpec("vol_regime_20d", "class", 20, "close", regime))
    found.append(TargetSpec("abs_return_1d", "class", 1, "close", moved))
    return {spec.name: spec for spec in found}


#: Every target by name, in the order of the columns of `gold/targets`.
TARGETS = _all()


def target_spec(name: str) -> TargetSpec:
    """The target of that name.

    Raises
    ------
    UsageError
        If there is none.

    Examples
    --------
    >>> target_spec("direction_5d").horizon
    5
    """
    if name not in TARGETS:
        close = difflib.get_close_matches(name, TARGETS, n=1)
        msg = f"there is no target {name!r}"
        raise UsageError(msg, hint=f"did you mean {close[0]}?" if close else f"targets are {', '.join(TARGETS)}")
    return TARGETS[name]
