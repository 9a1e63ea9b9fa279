"""Split arithmetic against plain loops."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from raypipe.kernels.splits import basis, first_valid, last_before, last_on_basis, last_valid, ordered_sum

NAN = float("nan")
shapes = arrays.array_shapes(min_dims=2, max_dims=2, max_side=7)
ratios = arrays.arrays(np.float64, shapes, elements=st.sampled_from([1.0, 1.0, 2.0, 0.1, 1 / 3, 7.0]))
numbers = arrays.arrays(
    np.float64, shapes, elements=st.one_of(st.just(NAN), st.integers(1, 10**6).map(lambda i: i / 100))
)


@given(ratios)
def test_basis_is_the_product_of_later_ratios_backward(ratios):
    got = basis(ratios)
    for row in range(ratios.shape[0]):
        for column in range(ratios.shape[1]):
            product = 1.0
            for later in range(ratios.shape[0] - 1, row, -1):
                product *= ratios[later, column]
            assert got[row, column] == product


@given(ratios, st.integers(1, 6))
def test_basis_does_not_depend_on_where_the_window_starts(ratios, start):
    tail = ratios[start:]
    if len(tail):
        np.testing.assert_array_equal(basis(tail), basis(ratios)[start:])


@given(numbers)
def test_last_before_walks_back_from_the_row_before(values):
    ratio = np.where(np.isnan(values), 4.0, 1.0)
    last, age = last_before(values, ratio)
    for column in range(values.shape[1]):
        expected, expected_age = NAN, 0
        product = 1.0
        for lag in range(1, values.shape[0]):
            product *= ratio[-lag, column]
            if not math.isnan(values[-1 - lag, column]):
                expected, expected_age = values[-1 - lag, column] / product, lag
                break
        np.testing.assert_equal([last[column], age[column]], [expected, expected_age])
    assert age.dtype == np.int16


@given(numbers)
def test_first_and_last_row_with_a_value(values):
    for column in range(values.shape[1]):
        rows = [row for row in range(values.shape[0]) if not math.isnan(values[row, column])]
        assert first_valid(values)[column] == (rows[0] if rows else -1)
        assert last_valid(values)[column] == (rows[-1] if rows else -1)
        expected = values[rows[-1], column] / 2.0 if rows else NAN
        np.testing.assert_equal(last_on_basis(values, np.full_like(values, 2.0))[column], expected)


@given(numbers)
def test_sums_go_from_the_first_row_to_the_last_whatever_stands_beside(values):
    got = ordered_sum(values)
    for column in range(values.shape[1]):
        total = 0.0
        for value in values[:, column]:
            total += 0.0 if math.isnan(value) else value
        assert got[column] == total
        assert ordered_sum(np.asfortranarray(values)[:, [column]])[0] == total


def test_a_window_without_rows_has_no_values():
    nothing = np.empty((0, 2))
    assert first_valid(nothing).tolist() == last_valid(nothing).tolist() == [-1, -1]
    assert np.isnan(last_on_basis(nothing, nothing)).all()
    assert ordered_sum(nothing).tolist() == [0.0, 0.0]
