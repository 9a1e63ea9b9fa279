"""Model families by name: found by scanning this package, so that adding one is adding a file."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from raypipe.errors import DeveloperError, UsageError
from raypipe.models.fitted import Fitted, read_fitted
from raypipe.models.model import Model, SpaceName

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["load_fitted", "model", "models"]

_PACKAGE = "raypipe.models"


@lru_cache(maxsize=1)
def models() -> Mapping[str, Model]:
    """Every family by its name, in order of name.

    Raises
    ------
    DeveloperError
        If two families share a name or an alias.
    """
    found = {one.name: one for one in sorted(_declared(), key=lambda one: one.name)}
    _by_any_name(found)
    return MappingProxyType(found)


def model(name: str) -> tuple[Model, SpaceName | None]:
    """A family, and the space that the name asks for.

    Parameters
    ----------
    name
        A name or an alias, with ``-safe`` or ``-wide`` after it or without.

    Raises
    ------
    UsageError
        If there is no such family.

    Examples
    --------
    >>> family, space = model("xgb-safe")
    >>> family.name, space
    ('xgboost', 'safe')
    >>> model("lightgbm")[1] is None
    True
    """
    stem, dash, suffix = name.rpartition("-")
    space: SpaceName | None = None
    if dash and suffix in {"safe", "wide"}:
        name, space = stem, "safe" if suffix == "safe" else "wide"
    known = _by_any_name(models())
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        msg = f"there is no model family {name!r}"
        raise UsageError(msg, hint=f"did you mean {close[0]}?" if close else f"known: {', '.join(models())}")
    return known[name], space


def load_fitted(name: str, folder: Path) -> Fitted:
    """A stored model of a family.

    Parameters
    ----------
    name
        Of the family, or an alias.
    folder
        That `Fitted.save` wrote.

    Raises
    ------
    UsageError
        If there is no such family.
    ModelError
        If a file is missing or altered, or belongs to another family.
    """
    family = model(name)[0]
    return read_fitted(family.name, family.load, folder)


def _declared() -> list[Model]:
    package = importlib.import_module(_PACKAGE)
    names = [f"{_PACKAGE}.{info.name}" for info in pkgutil.iter_modules(package.__path__)]
    found = [getattr(importlib.import_module(name), "MODEL", ()) for name in names]
    flat = [one for some in found for one in (some if isinstance(some, tuple) else (some,))]
    wrong = [one for one in flat if not isinstance(one, Model)]
    if wrong:
        msg = f"a MODEL is of type {type(wrong[0]).__name__}, not Model"
        raise DeveloperError(msg)
    return flat


def _by_any_name(found: Mapping[str, Model]) -> dict[str, Model]:
    names: dict[str, Model] = {}
    for one in found.values():
        for name in (one.name, *one.aliases):
            if name in names:
                msg = f"two model families are called {name!r}: {names[name].name} and {one.name}"
                raise DeveloperError(msg)
            names[name] = one
    return names
