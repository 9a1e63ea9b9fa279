"""Rows held against each other to the last bit."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.audit.compare import NO_ROW, Paired, differing


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        ([1.0, 0.0, None, None], [np.nextafter(1.0, 2.0), -0.0, None, 0.0], [True, True, False, True]),
        ([1, None, 3], [1, 2, 4], [False, True, True]),
        ([True, False, None], [True, True, False], [False, True, True]),
        (["a", "b", None], ["a", "c", "b"], [False, True, True]),
    ],
)
def test_values_differ(left, right, expected):
    assert differing(pa.chunked_array([left]), pa.chunked_array([right])).tolist() == expected


def test_dictionaries_are_compared_by_their_words():
    left = pa.chunked_array([pa.array(["b", "a", None]).dictionary_encode()])
    right = pa.chunked_array([pa.array(["a"]).dictionary_encode(), pa.array(["a", None]).dictionary_encode()])
    assert differing(left, right).tolist() == [True, False, False]


def test_single_precision_is_compared_to_the_last_bit():
    values = np.array([1.5, 2.5], np.float32)
    other = np.array([1.5, np.nextafter(np.float32(2.5), np.float32(3))], np.float32)
    assert differing(pa.chunked_array([values]), pa.chunked_array([other])).tolist() == [False, True]


def table(keys: list[tuple[str, int]], values: list[float]) -> pa.Table:
    names = pa.array([name for name, _ in keys], pa.string()).dictionary_encode()
    return pa.table({"name": names, "t": pa.array([t for _, t in keys], pa.int64()), "x": values})


def test_rows_are_paired_by_key():
    pairs = Paired(
        ("name", "t"),
        table([("a", 1), ("a", 2), ("b", 1)], [1, 2, 3]),
        table([("a", 2), ("b", 1), ("c", 9)], [2, 4, 5]),
    )
    assert (pairs.missing.tolist(), pairs.extra.tolist()) == ([0], [2])
    assert list(pairs.unequal("x")) == [(1, {"name": "b", "t": 1}, 3, 4)]
    assert list(pairs.unequal("x", np.array([True, False]))) == []
    assert list(pairs.lonely("t", pairs.missing, pairs.extra)) == [
        (1, {"name": "a", "t": 1}, 1, NO_ROW),
        (1, {"name": "c", "t": 9}, NO_ROW, 9),
    ]


@given(
    st.sets(st.tuples(st.sampled_from("abcd"), st.integers(0, 9))),
    st.sets(st.tuples(st.sampled_from("abcd"), st.integers(0, 9))),
)
def test_pairs_are_those_of_sets(left, right):
    ours, theirs = sorted(left), sorted(right)
    pairs = Paired(("name", "t"), table(ours, [0.0] * len(ours)), table(theirs, [0.0] * len(theirs)))
    assert [ours[i] for i in pairs.rows] == [theirs[i] for i in pairs.others] == sorted(left & right)
    assert [ours[i] for i in pairs.missing] == sorted(left - right)
    assert [theirs[i] for i in pairs.extra] == sorted(right - left)
