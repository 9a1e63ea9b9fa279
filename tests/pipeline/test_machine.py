"""How many threads of this process a product of matrices takes."""

from __future__ import annotations

import numpy as np
from threadpoolctl import threadpool_info

from raypipe.pipeline.machine import one_thread


def threads() -> list[int]:
    """Of each library of matrices that is loaded."""
    return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]


def test_products_of_matrices_take_one_thread_and_then_as_many_as_before():
    np.ones((2, 2)) @ np.ones((2, 2))
    before = threads()
    with one_thread():
        inside = threads()
    assert inside == [1] * len(before)
    assert inside
    assert threads() == before


def test_a_function_may_be_held_to_one_thread():
    assert one_thread()(threads)() == [1] * len(threads())
