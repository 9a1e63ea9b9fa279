"""Numbers about predictions: scores, their errors, what choosing the best of many is worth, books and their returns.

Everything here takes arrays and gives numbers; nothing reads or writes.
"""

from __future__ import annotations
