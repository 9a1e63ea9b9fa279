"""Spaces of configurations: what a search may draw, with the defaults over all symbols and for one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from raypipe.errors import DeveloperError

__all__ = ["Dim", "Scope", "Space", "SpaceName", "Value", "choice", "distributions", "real", "whole"]

SpaceName: TypeAlias = Literal["safe", "wide"]
Scope: TypeAlias = Literal["pooled", "symbol"]
Value: TypeAlias = int | float | str


@dataclass(frozen=True, slots=True)
class Dim:
    """One dimension of a space.

    Attributes
    ----------
    kind
        ``int`` and ``float`` have ``low`` and ``high``, both inclusive; ``choice`` has ``choices``.
    pooled, symbol
        The default over all symbols, and for one.
    low, high
        The range.
    log
        Whether it is drawn log-uniformly.
    choices
        What is chosen from.
    """

    kind: Literal["int", "float", "choice"]
    pooled: Value
    symbol: Value
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    choices: tuple[Value, ...] = ()

    def __post_init__(self) -> None:
        fits = self.pooled in self and self.symbol in self
        if not fits or (self.log and self.low <= 0):
            msg = f"{self}: a default lies outside, or a logarithm begins at 0"
            raise DeveloperError(msg)

    def __contains__(self, value: object) -> bool:
        if self.kind == "choice":
            return any(value == one and type(value) is type(one) for one in self.choices)
        kinds = (int,) if self.kind == "int" else (int, float)
        return isinstance(value, kinds) and self.low <= value <= self.high


Space: TypeAlias = Mapping[str, Dim]


def whole(low: int, high: int, pooled: int, symbol: int | None = None, *, log: bool = False) -> Dim:
    """A range of integers; the default for one symbol is that for all, unless given."""
    return Dim("int", pooled, pooled if symbol is None else symbol, low, high, log)


def real(low: float, high: float, pooled: float, symbol: float | None = None, *, log: bool = False) -> Dim:
    """A range of numbers; the default for one symbol is that for all, unless given."""
    return Dim("float", float(pooled), float(pooled if symbol is None else symbol), low, high, log)


def choice(*choices: Value) -> Dim:
    """One of several values; the first is the default."""
    return Dim("choice", choices[0], choices[0], choices=choices)


def distributions(space: Space) -> dict[str, Any]:
    """A space as Optuna's distributions, by name, in the order of the space."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    def of(dim: Dim) -> Any:
        if dim.kind == "choice":
            return CategoricalDistribution(dim.choices)
        if dim.kind == "int":
            return IntDistribution(int(dim.low), int(dim.high), log=dim.log)
        return FloatDistribution(dim.low, dim.high, log=dim.log)

    return {name: of(dim) for name, dim in space.items()}
