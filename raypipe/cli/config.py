"""``raypipe config show``: every value, masked, and where it came from."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from raypipe.cli.app import App
from raypipe.cli.options import command
from raypipe.cli.present import table

if TYPE_CHECKING:
    from raypipe.config import Config

__all__ = ["config"]


@command(
    "config",
    "Show the configuration; secrets are masked.",
    click.Argument(["action"], type=click.Choice(["show"]), default="show", required=False),
    click.Option(["--origin"], is_flag=True, help="Where each value came from."),
    click.Option(["--changed"], is_flag=True, help="Only values that are not defaults."),
)
def config(app: App, action: str, origin: bool, changed: bool) -> int:  # noqa: ARG001 - show is the only action
    """Print the merged configuration."""
    found = app.config()
    wanted = {key: value for key, value in _flat(found) if not changed or found.origin[key] != "default"}
    if app.options.json:
        document: dict[str, Any] = {"values": wanted}
        if origin:
            document["origin"] = {key: found.origin[key] for key in wanted}
        app.show(document, ())
        return 0
    rows = [(key, _text(value), *((found.origin[key],) if origin else ())) for key, value in wanted.items()]
    header = ("key", "value", *(("origin",) if origin else ()))
    app.show({}, table(header, rows) if rows else ["every value is a default"])
    return 0


def _flat(found: Config) -> list[tuple[str, Any]]:
    """Every leaf by its dotted key, in order."""
    masked = found.masked()
    return [(key, _at(masked, key.split("."))) for key in found.origin]


def _at(values: Any, path: list[str]) -> Any:
    for part in path:
        values = values[part]
    return values


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
