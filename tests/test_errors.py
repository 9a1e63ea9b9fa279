"""The exception tree: codes, messages, and the journey between processes."""

from __future__ import annotations

import pickle
import re

import pytest

from raypipe import errors
from raypipe.errors import MissingExtraError, RaypipeError, SourceError

KINDS = [getattr(errors, name) for name in errors.__all__]


def make(kind: type[RaypipeError]) -> RaypipeError:
    if kind is MissingExtraError:
        return MissingExtraError("hmmlearn is not installed", extra="regime")
    return kind("it is cut short", hint="fetch it again", file="a.csv.gz", row=7)


@pytest.mark.parametrize("kind", KINDS)
def test_errors_survive_pickling_with_all_they_hold(kind: type[RaypipeError]) -> None:
    error = make(kind)
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is kind
    assert (str(copy), copy.values, copy.hint) == (str(error), error.values, error.hint)


@pytest.mark.parametrize("kind", KINDS)
def test_the_tree_in_the_docstring_is_the_tree(kind: type[RaypipeError]) -> None:
    assert re.search(rf"\b{kind.__name__}\b", errors.__doc__ or "")


def test_a_message_says_where_what_and_what_next() -> None:
    error = SourceError("it is cut short", hint="fetch it again", file="a.csv.gz", row=7, column=None)
    assert str(error) == "file a.csv.gz, row 7: it is cut short (fetch it again)"


def test_a_missing_extra_gives_the_command() -> None:
    assert "pip install 'raypipe[regime]'" in str(make(MissingExtraError))


def test_exit_codes() -> None:
    expected = {
        errors.UserDataError: 1,
        errors.UsageError: 2,
        errors.DataQualityError: 3,
        errors.NotYetError: 4,
        errors.UnavailableError: 5,
        errors.DeveloperError: 1,
    }
    assert {kind: kind.exit_code for kind in expected} == expected
