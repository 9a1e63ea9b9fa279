"""A table in memory is a stream of one piece."""

from __future__ import annotations

import datetime as dt

import pyarrow as pa

from raypipe.schema.family import Inputs
from raypipe.schema.streams import WholeTable

DAY = dt.date(2025, 1, 2)
TABLE = pa.table({"who": [1, 2], "n": [3, 4]})


def test_one_piece_as_often_as_wanted():
    stream = WholeTable(TABLE).where("who", 2)
    assert [list(stream), list(stream)] == [[TABLE], [TABLE]]


def test_inputs_hand_on_what_they_have():
    whole = Inputs((), {"a": {DAY: TABLE}})
    assert list(whole.stream("a", DAY)) == [TABLE]
    pieces = [TABLE.slice(0, 1), TABLE.slice(1)]

    class Pieces:
        def __iter__(self):
            return iter(pieces)

        def where(self, column, value):
            return self

    assert list(Inputs((), {}, streams={"a": {DAY: Pieces()}}).stream("a", DAY)) == pieces
