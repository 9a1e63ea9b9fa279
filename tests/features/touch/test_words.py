"""Words from codes."""

from __future__ import annotations

import numpy as np

from raypipe.features.touch.words import first_match, words


def test_only_words_in_use_in_bytewise_order():
    column = words(("b", "a", "c"), np.array([2, -1, 0, 2]))
    assert column.to_pylist() == ["c", None, "b", "c"]
    assert column.dictionary.to_pylist() == ["b", "c"]
    assert words(("b", "a"), np.array([], np.int64)).to_pylist() == []
    assert words(("b", "a"), np.array([-1, -1])).to_pylist() == [None, None]


def test_the_first_condition_that_holds():
    conditions = [np.array([False, True, False]), np.array([True, True, False])]
    assert first_match(conditions, 9).tolist() == [1, 0, 9]
