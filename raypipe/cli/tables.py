"""``raypipe tables``: what every table and column means, from the declared schemas."""

from __future__ import annotations

from typing import Any

import click

from raypipe.cli.app import App
from raypipe.cli.options import command
from raypipe.cli.present import safe, table

__all__ = ["tables"]


@command(
    "tables",
    "Explain every table and column: type, unit, null rule, meaning.",
    click.Argument(["names"], nargs=-1, metavar="[TABLE]..."),
)
def tables(app: App, names: tuple[str, ...]) -> int:
    """Print the schema."""
    from raypipe.pipeline.views import describe_tables

    found = describe_tables(app.config(), names)
    app.show({"tables": found}, [line for each in found for line in _lines(each)])
    return 0


def _lines(spec: dict[str, Any]) -> list[str]:
    columns = spec["columns"]
    plain = table(("", "", "", ""), [(f"  {c['name']}", c["dtype"], c["unit"], c["doc"]) for c in columns])[1:]
    body = [f"{line}  Null if {c['null']}." if c["null"] else line for line, c in zip(plain, columns, strict=True)]
    head = f"{spec['name']}  (one file per {spec['grain']}, key {', '.join(spec['key'])})"
    return [safe(head), safe(spec["doc"]), *body, ""]
