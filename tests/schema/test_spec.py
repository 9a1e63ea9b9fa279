"""Declared tables: what a declaration may say, and what a stored schema is held against."""

from __future__ import annotations

import pyarrow as pa
import pytest

from raypipe.errors import DeveloperError, SchemaError
from raypipe.schema.spec import DTYPES, Column, Table
from raypipe.schema.tables import DAY_AGGS, TABLES


def table(*columns: Column, key: tuple[str, ...] = ("a",), version: int = 1) -> Table:
    return Table("silver/t", key, "session", columns, "A table.", version)


A, B = Column("a", "i64", "A.", role="key"), Column("b", "f64", "B.", unit="usd", null="sometimes")


def test_a_column_says_everything_in_its_field() -> None:
    field = B.arrow
    assert (field.type, field.nullable, field.metadata) == (pa.float64(), True, {b"unit": b"usd", b"role": b"feature"})
    assert not A.arrow.nullable


@pytest.mark.parametrize("columns", [(A, A), (B,)], ids=["twice", "key missing"])
def test_contradictory_declarations_are_refused(columns: tuple[Column, ...]) -> None:
    with pytest.raises(DeveloperError):
        table(*columns)


def test_an_unknown_dtype_is_refused() -> None:
    with pytest.raises(DeveloperError, match="f16"):
        Column("x", "f16", "X.")


def test_the_digest_moves_with_meaning_and_not_with_prose() -> None:
    base = table(A, B)
    prose = table(A, Column("b", "f64", "Another sentence.", unit="usd", null="in other words"))
    assert base.digest == prose.digest
    others = [table(A, B, version=2), table(B, A), table(A, Column("b", "f32", "B.", unit="usd", null="sometimes"))]
    others += [
        table(A, Column("b", "f64", "B.", unit="shares", null="sometimes")),
        table(A, Column("b", "f64", "B.", unit="usd")),
    ]
    assert len({base.digest, *(other.digest for other in others)}) == len(others) + 1


@pytest.mark.parametrize(
    ("stored", "difference"),
    [
        (pa.schema([("a", pa.int64())]), r"missing \['b'\]"),
        (pa.schema([("a", pa.int64()), ("b", pa.float64()), ("c", pa.int8())]), r"extra \['c'\]"),
        (pa.schema([("a", pa.int32()), ("b", pa.float64())]), "a is int32, expected int64"),
        (pa.schema([("b", pa.float64()), ("a", pa.int64())]), "column order"),
    ],
)
def test_a_stored_schema_is_refused_with_the_difference(stored: pa.Schema, difference: str) -> None:
    with pytest.raises(SchemaError, match=difference):
        table(A, B).check_schema(stored)


def test_build_wants_exactly_the_declared_columns() -> None:
    with pytest.raises(DeveloperError, match=r"missing columns \['b'\]"):
        table(A, B).build({"a": pa.array([1])})


@pytest.mark.parametrize("spec", TABLES, ids=lambda spec: spec.name)
def test_every_declared_column_is_explained(spec: Table) -> None:
    for column in spec.columns:
        assert column.doc.endswith(".")
        assert column.dtype in DTYPES
        assert column.unit or column.dtype in ("dict", "str", "bool", "date32", "i8"), column.name


def test_an_empty_table_has_the_schema() -> None:
    assert DAY_AGGS.empty().schema.equals(DAY_AGGS.arrow, check_metadata=True)
