"""What is free goes back to the system, and the peak stays what it was."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from raypipe.pipeline.memory import collect, give_back, peak_rss_bytes, resident_bytes


def test_free_memory_goes_back():
    held = [np.ones(30_000) for _ in range(500)]  # small enough for the heap, where freed memory stays
    arrow = pa.array(np.ones(10_000_000), from_pandas=True).cast(pa.float32())
    full = resident_bytes()
    del held, arrow
    give_back()
    assert full - resident_bytes() > 80_000_000


def test_the_peak_is_no_less_than_what_is_resident():
    collect()
    assert peak_rss_bytes() >= resident_bytes() * 0.99
