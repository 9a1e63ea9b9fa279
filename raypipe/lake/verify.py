"""Proof that a lake is sound: every page of every partition read against checksum, schema and manifest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from raypipe.errors import PartitionError, SchemaError
from raypipe.lake.rows import RowsCheck
from raypipe.lake.store import Lake
from raypipe.schema.spec import Table

__all__ = ["Problem", "verify"]


@dataclass(frozen=True, slots=True)
class Problem:
    """One partition that is not what it should be.

    ``kind`` is ``damaged`` (rebuild it) or ``rows`` (it was written with rows that break the schema).
    """

    table: str
    partition: str
    kind: str
    message: str


def verify(lake: Lake, table: Table, partitions: Sequence[str] | None = None) -> Iterator[Problem]:
    """Read partitions of a table in full and yield what is wrong, one problem per partition at most.

    Memory is that of one row group.

    Parameters
    ----------
    partitions
        Which ones; None means all that exist. A named one that does not exist is a problem.
    """
    for partition in lake.partitions(table) if partitions is None else partitions:
        problem = _verify_one(lake, table, partition)
        if problem is not None:
            yield problem


def _verify_one(lake: Lake, table: Table, partition: str) -> Problem | None:
    check = RowsCheck(table, partition)
    try:
        for rows in lake.batches(table, partition):
            rows.validate(full=True)
            check.add(rows)
    except PartitionError as error:
        return Problem(table.name, partition, "damaged", str(error))
    except (SchemaError, ValueError) as error:
        return Problem(table.name, partition, "rows", str(error))
    return None
