"""What a group is: some columns of `silver/signal_features` that have one meaning, and how to compute them.

A module of this package offers one in the constant ``GROUP`` and is found by scanning: a new group is a new file.
Modules without the constant are helpers.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

import pyarrow as pa

from raypipe.errors import DeveloperError
from raypipe.features.touch.scene import Scene
from raypipe.schema.spec import Column

__all__ = ["Group", "add_columns", "found_groups", "in_order"]


@dataclass(frozen=True, slots=True)
class Group:
    """Columns of one meaning.

    Attributes
    ----------
    name
        One word.
    columns
        What it provides, in stored order. Columns with `Column.alias_of` repeat another column of the group and are
        filled in by the caller.
    params
        Groups of parameters that it uses (``bars``, ``score``): they count in fingerprints, others do not.
    after
        Names of the groups whose columns it reads.
    compute
        Scene -> every column that is no alias, an array with an element per touch.
    """

    name: str
    columns: tuple[Column, ...]
    params: tuple[str, ...]
    after: tuple[str, ...]
    compute: Callable[[Scene], Mapping[str, pa.Array]]

    @property
    def own(self) -> tuple[str, ...]:
        """Names of the columns that are no aliases."""
        return tuple(column.name for column in self.columns if not column.alias_of)


def found_groups(package_name: str = "raypipe.features.touch") -> dict[str, Group]:
    """Every group of a package by name, in order of module.

    Raises
    ------
    DeveloperError
        If two groups share a name or a column, or an alias repeats a column that its group does not provide.
    """
    package = importlib.import_module(package_name)
    found: dict[str, Group] = {}
    owners: dict[str, str] = {}
    for info in sorted(pkgutil.iter_modules(package.__path__), key=lambda info: info.name):
        group = getattr(importlib.import_module(f"{package_name}.{info.name}"), "GROUP", None)
        if group is not None:
            _check(group, found, owners)
            found[group.name] = group
    return found


def _check(group: object, found: Mapping[str, Group], owners: dict[str, str]) -> None:
    if not isinstance(group, Group):
        msg = f"a GROUP is of type {type(group).__name__}, not Group"
        raise DeveloperError(msg)
    if group.name in found:
        msg = f"two groups are named {group.name!r}"
        raise DeveloperError(msg, hint="rename one")
    for column in group.columns:
        other = owners.setdefault(column.name, group.name)
        if other != group.name or sum(one.name == column.name for one in group.columns) > 1:
            msg = f"groups {other} and {group.name} both provide {column.name}"
            raise DeveloperError(msg, hint="a column belongs to one group")
        if column.alias_of and column.alias_of not in group.own:
            msg = f"{column.name} repeats {column.alias_of}, which group {group.name} does not provide"
            raise DeveloperError(msg)


def in_order(groups: Mapping[str, Group]) -> tuple[Group, ...]:
    """The groups, each after those whose columns it reads.

    Raises
    ------
    DeveloperError
        If one comes after a group that does not exist, or they come after each other in a circle.
    """
    graph = {name: set(group.after) for name, group in groups.items()}
    unknown = {name: sorted(after - set(groups)) for name, after in graph.items() if after - set(groups)}
    if unknown:
        msg = f"groups come after groups that do not exist: {unknown}"
        raise DeveloperError(msg)
    try:
        return tuple(groups[name] for name in TopologicalSorter(graph).static_order())
    except CycleError as error:
        msg = f"groups come after each other in a circle: {error.args[1]}"
        raise DeveloperError(msg) from error


def add_columns(scene: Scene, groups: Iterable[Group]) -> dict[str, pa.Array]:
    """Compute groups one after the other, each seeing the columns of those before; aliases filled in.

    Raises
    ------
    DeveloperError
        If a group returns other columns than it declares, or an array of another length.
    """
    made: dict[str, pa.Array] = {}
    for group in groups:
        columns = group.compute(scene)
        if set(columns) != set(group.own):
            missing, extra = set(group.own) - set(columns), set(columns) - set(group.own)
            msg = f"group {group.name}: missing columns {sorted(missing)}, undeclared {sorted(extra)}"
            raise DeveloperError(msg)
        wrong = [name for name, column in columns.items() if len(column) != scene.touches.num_rows]
        if wrong:
            msg = f"group {group.name}: {wrong} have not an element per touch"
            raise DeveloperError(msg)
        whole = {one.name: columns[one.alias_of or one.name] for one in group.columns}
        scene.add(whole)
        made |= whole
    return made
