"""Families are found by scanning packages: adding one is adding a file, with no registry to edit.

A module of the scanned package offers a family in the constant ``FAMILY``, or several in a tuple of that
name. A family whose columns are those of other families is a function there: it is given the families found
before, by name. Modules without the constant are helpers and are passed over.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import TypeAlias

from raypipe.errors import DeveloperError
from raypipe.schema.family import Family
from raypipe.schema.spec import unique_columns

__all__ = ["Catalog", "families"]

#: Families by name.
Catalog: TypeAlias = Mapping[str, Family]


def families(package_name: str, before: Catalog = MappingProxyType({})) -> dict[str, Family]:
    """Every family of one package, by name, in order of name.

    Parameters
    ----------
    package_name
        Dotted name of an importable package, such as ``raypipe.features``.
    before
        The families of packages that come before.

    Raises
    ------
    DeveloperError
        If two families share a name, two provide the same column of the same table, or a ``FAMILY`` is
        something else.

    Examples
    --------
    >>> families("raypipe.features")["daily"].table(families("raypipe.features")["daily"].params()).name
    'silver/daily'
    """
    found: dict[str, Family] = {}
    columns: dict[str, str] = {}
    for module, family in _declared(package_name, before):
        if family.name in found:
            msg = f"two families are named {family.name!r}; the second is in {module}"
            raise DeveloperError(msg, hint="a family's name is its section in the configuration: rename one")
        for column in unique_columns([family.table(family.params())]):
            if column in columns:
                msg = f"families {columns[column]} and {family.name} both provide {column}"
                raise DeveloperError(msg, hint="a column belongs to one family")
            columns[column] = family.name
        found[family.name] = family
    return dict(sorted(found.items()))


def _declared(package_name: str, before: Catalog) -> Iterator[tuple[str, Family]]:
    package = importlib.import_module(package_name)
    for info in sorted(pkgutil.iter_modules(package.__path__), key=lambda info: info.name):
        name = f"{package_name}.{info.name}"
        declared: Family | tuple[Family, ...] | Callable[[Catalog], Family]
        declared = getattr(importlib.import_module(name), "FAMILY", ())
        if callable(declared):
            declared = declared(before)
        for family in declared if isinstance(declared, tuple) else (declared,):
            if not isinstance(family, Family):
                msg = f"{name}.FAMILY is of type {type(family).__name__}, not Family"
                raise DeveloperError(msg)
            yield name, family
