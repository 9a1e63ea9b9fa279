"""Families are found by scanning; two of one name, or of one column, are refused."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

import pytest

from raypipe.errors import DeveloperError
from raypipe.schema.discovery import families

MODULE = """
    from raypipe.schema.family import Family, Params
    from raypipe.schema.spec import Table
    from raypipe.schema.tables import AVAILABLE_NS, SESSION, SYMBOL

    TABLE = Table("{table}", ("symbol",), "session", (SESSION, SYMBOL, AVAILABLE_NS), "A table.")
    FAMILY = {wrap}Family("{name}", 1, Params, lambda _: TABLE, lambda _: (), lambda inputs, _: None){end}
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Writes modules of a package that can be imported."""
    monkeypatch.syspath_prepend(tmp_path)
    name = f"found_{abs(hash(tmp_path))}"
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").write_text('"""Made by a test."""\n')

    def write(module: str, text: str = MODULE, **values: str) -> str:
        values = {"table": "silver/t", "name": "t", "wrap": "", "end": ""} | values
        (tmp_path / name / f"{module}.py").write_text(textwrap.dedent(text).format(**values))
        return name

    yield write
    for module in [module for module in sys.modules if module.split(".")[0] == name]:
        del sys.modules[module]


def test_every_module_with_a_family_is_found_in_order_of_name(package):
    package("one", name="zz", table="silver/z")
    package("two", name="aa", table="silver/a", wrap="(", end=",)")
    found = families(package("helper", "X = 1\n"))
    assert list(found) == ["aa", "zz"]


def test_two_families_of_one_name_are_refused(package):
    package("one", table="silver/a")
    with pytest.raises(DeveloperError, match=r"two families are named 't'; the second is in .*\.two"):
        families(package("two", table="silver/b"))


def test_two_families_of_one_column_are_refused(package):
    package("one", name="a")
    with pytest.raises(DeveloperError, match=r"families a and b both provide silver/t\.session"):
        families(package("two", name="b"))


def test_a_family_that_is_none_is_refused(package):
    with pytest.raises(DeveloperError, match="FAMILY is of type int"):
        families(package("one", "FAMILY = 3\n"))


def test_the_library_s_own():
    assert {"daily", "filtered", "symbols", "weekly"} <= set(families("raypipe.features"))
