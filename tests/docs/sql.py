"""The SQL of a page from standard input, by DuckDB: ``python -m tests.docs.sql``."""

from __future__ import annotations

import sys

if __name__ == "__main__":
    import duckdb

    sys.stdout.write(f"{duckdb.sql(sys.stdin.read())}\n")
