"""``raypipe tables``: what every table and column means, from the declared schemas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from raypipe.cli.app import App
from raypipe.cli.options import command
from raypipe.cli.present import safe, table

if TYPE_CHECKING:
    from raypipe.schema.spec import Table

__all__ = ["tables"]


@command(
    "tables",
    "Explain every table and column: type, unit, null rule, meaning.",
    click.Argument(["names"], nargs=-1, metavar="[TABLE]..."),
)
def tables(app: App, names: tuple[str, ...]) -> int:
    """Print the schema."""
    from raypipe.errors import UsageError
    from raypipe.pipeline.plan import stage_tables

    config = app.config()
    declared = {name: stage.table(config.params[stage.name]) for name, stage in stage_tables(config.params).items()}
    known = {*declared, *(name.partition("/")[2] for name in declared)}
    unknown = [name for name in names if name not in known]
    if unknown:
        msg = f"there is no table {unknown[0]!r}"
        raise UsageError(msg, hint=f"tables are {', '.join(declared)}")
    shown = [each for name, each in declared.items() if not names or {name, name.partition("/")[2]} & {*names}]
    app.show({"tables": [_document(each) for each in shown]}, [line for each in shown for line in _lines(each)])
    return 0


def _document(spec: Table) -> dict[str, Any]:
    columns = [
        {"name": c.name, "dtype": c.dtype, "unit": c.unit, "null": c.null, "role": c.role, "doc": c.doc}
        for c in spec.columns
    ]
    return {
        "name": spec.name,
        "doc": spec.doc,
        "key": list(spec.key),
        "grain": spec.grain,
        "version": spec.version,
        "columns": columns,
    }


def _lines(spec: Table) -> list[str]:
    rows = [(f"  {c.name}", c.dtype, c.unit, c.doc, f"null: {c.null}" if c.null else "") for c in spec.columns]
    body = [
        "  ".join(part for part in (line[: -len(null)].rstrip() if null else line, null) if part)
        for line, (*_, null) in zip(table(("  column", "type", "unit", "meaning", ""), rows)[1:], rows, strict=True)
    ]
    return [f"{spec.name}  (one file per {spec.grain}, key {', '.join(spec.key)})", safe(spec.doc), *body, ""]
