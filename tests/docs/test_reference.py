"""docs/api.md lists the public API as it is."""

from __future__ import annotations

import inspect

import pytest

import raypipe
from tests.docs.reference import PAGE, PUBLIC, find, page

NAMES = [name for _, names in PUBLIC.values() for name in names]


def test_the_page_is_up_to_date():
    assert PAGE.read_text(encoding="utf-8") == page(), "write it anew: make docs"


def test_all_that_the_package_offers_is_listed():
    assert {f"raypipe.{name}" for name in raypipe.__all__} - {"raypipe.__version__"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_public_is_documented_and_exported(name):
    thing = find(name)
    assert inspect.getdoc(thing)
    home = inspect.getmodule(thing)
    assert home is not None
    assert thing.__name__ in home.__all__
