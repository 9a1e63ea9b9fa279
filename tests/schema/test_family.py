"""Parameter sets: what is tracked, and what is another section's."""

from __future__ import annotations

import pytest
from pydantic import Field, ValidationError

from raypipe.schema.family import Params, linked, shared


class Oven(Params):
    degrees: int = 180
    fan: bool = Field(False, json_schema_extra={"track": False})


class Bread(Params):
    minutes: int = 40
    oven: Oven = shared("oven", Oven)


def test_a_shared_field_is_the_section_whole():
    found = linked({"oven": Oven(degrees=220), "bread": Bread(minutes=50)})
    assert found["bread"] == Bread(minutes=50, oven=Oven(degrees=220))
    assert Bread.sections() == {"oven": "oven"}
    assert Oven.sections() == {}


def test_linking_again_changes_nothing_and_the_last_word_counts():
    once = linked({"oven": Oven(degrees=220), "bread": Bread(oven=Oven(degrees=1))})
    assert linked(once) == once


def test_what_is_not_tracked_is_not_tracked_through_another():
    assert Bread(oven=Oven(fan=True)).tracked() == Bread().tracked() == {"minutes": 40, "oven": {"degrees": 180}}
    assert Bread(oven=Oven(degrees=1)).tracked() != Bread().tracked()


def test_parameters_are_frozen_and_strict():
    with pytest.raises(ValidationError):
        Oven(degree=1)  # type: ignore[call-arg]
    with pytest.raises(ValidationError):
        Oven().degrees = 1  # type: ignore[misc]


def test_parameters_survive_json():
    plain = Bread(oven=Oven(degrees=7)).model_dump(mode="json")
    assert Bread(**plain).oven.degrees == 7
