"""Groups are found, put in order and held to what they declare."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from raypipe.errors import DeveloperError
from raypipe.features.touch.group import Group, add_columns, found_groups, in_order
from raypipe.schema.spec import Column
from tests.features.touch.scenes import scene


def group(name: str, *columns: str, after: tuple[str, ...] = (), compute=None, alias: str = "") -> Group:
    made = [Column(one, "f64", "A number.") for one in columns]
    if alias:
        made.append(Column(f"{alias}_again", "f64", "The same number.", alias_of=alias))
    return Group(name, tuple(made), (), after, compute or (lambda scene: {one: zeros(scene) for one in columns}))


def zeros(scene) -> pa.Array:
    return pa.array(np.zeros(len(scene)))


def test_every_group_is_found_with_sound_declarations():
    groups = found_groups()
    assert {"context", "reversion", "stacked", "hierarchy", "approach", "runway", "transforms"} <= set(groups)
    for one in groups.values():
        assert all(column.doc.endswith(".") for column in one.columns), one.name
        assert len(set(one.own)) == len(one.own)


@pytest.mark.parametrize(
    ("modules", "message"),
    [
        (("GROUP = 5",), "is of type int"),
        (('GROUP = group("a", "x")', 'GROUP = group("a", "y")'), "two groups are named 'a'"),
        (('GROUP = group("a", "x")', 'GROUP = group("b", "x")'), "groups a and b both provide x"),
        (('GROUP = group("a", "x", "x")',), "both provide x"),
        (('GROUP = group("a", "x", alias="y")',), "repeats y"),
    ],
)
def test_a_wrong_group_is_refused(tmp_path: Path, monkeypatch, modules, message):
    name = f"planted_{abs(hash(modules))}"
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").touch()
    for i, text in enumerate(modules):
        (tmp_path / name / f"m{i}.py").write_text(f"from tests.features.touch.test_group import group\n{text}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(DeveloperError, match=message):
        found_groups(name)
    for module in [module for module in sys.modules if module.startswith(name)]:
        monkeypatch.delitem(sys.modules, module)


def test_groups_come_after_those_they_read():
    groups = {one.name: one for one in (group("a", "x", after=("c",)), group("b", "y"), group("c", "z", after=("b",)))}
    assert [one.name for one in in_order(groups)] == ["b", "c", "a"]


def test_a_circle_and_an_unknown_group_are_refused():
    with pytest.raises(DeveloperError, match="circle"):
        in_order({"a": group("a", "x", after=("b",)), "b": group("b", "y", after=("a",))})
    with pytest.raises(DeveloperError, match=r"do not exist.*ghost"):
        in_order({"a": group("a", "x", after=("ghost",))})


def test_columns_are_handed_on_and_aliases_filled_in():
    first = group("a", "x", alias="x", compute=lambda scene: {"x": pa.array([1.0, 2.0])})
    second = group("b", "y", compute=lambda scene: {"y": pa.array(scene.values("x_again") * 2)})
    made = add_columns(scene([{}, {}]), (first, second))
    assert {name: column.to_pylist() for name, column in made.items()} == {
        "x": [1.0, 2.0],
        "x_again": [1.0, 2.0],
        "y": [2.0, 4.0],
    }


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({}, r"missing columns \['x'\]"),
        ({"x": pa.array([0.0]), "w": pa.array([0.0])}, r"undeclared \['w'\]"),
        ({"x": pa.array([0.0, 1.0])}, "not an element per touch"),
    ],
)
def test_a_group_returns_what_it_declares(columns, message):
    with pytest.raises(DeveloperError, match=message):
        add_columns(scene([{}]), (group("a", "x", compute=lambda scene: columns),))
