"""``raypipe config``: every value, masked, and where it came from; or every default, as a file to start from."""

from __future__ import annotations

import inspect
import json
import re
from typing import TYPE_CHECKING, Any

import click

from raypipe.cli.app import App
from raypipe.cli.options import command
from raypipe.cli.present import table

if TYPE_CHECKING:
    from pydantic import BaseModel

    from raypipe.config import Config

__all__ = ["config"]


@command(
    "config",
    "Show the configuration (secrets are masked), or print every default as a file to start from.",
    click.Argument(["action"], type=click.Choice(["show", "default"]), default="show", required=False),
    click.Option(["--origin"], is_flag=True, help="Where each value came from."),
    click.Option(["--changed"], is_flag=True, help="Only values that are not defaults."),
)
def config(app: App, action: str, origin: bool, changed: bool) -> int:
    """Print the merged configuration, or the defaults."""
    if action == "default":
        click.echo(default_yaml(), nl=False)
        return 0
    found = app.config()
    wanted = {key: value for key, value in _flat(found) if not changed or found.origin[key] != "default"}
    if app.options.json:
        document: dict[str, Any] = {"values": wanted}
        if origin:
            document["origin"] = {key: found.origin[key] for key in wanted}
        app.show(document, ())
        return 0
    # Values come last: a list of symbols is wider than any screen.
    rows = [(key, *((found.origin[key],) if origin else ()), _text(value)) for key, value in wanted.items()]
    header = ("key", *(("origin",) if origin else ()), "value")
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


#: Text that needs no quotes in YAML, whoever reads it.
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")

# --- the defaults as a file --------------------------------------------------------------------

_HEAD = """\
# Every key of the configuration with its default, as `raypipe config default` prints it.
#
# Copy what you change into raypipe.yaml. Precedence: flag, environment (RAYPIPE_SECTION__KEY), project file
# (./raypipe.yaml, ./raypipe.toml or --config), user file (~/.config/raypipe/config.yaml), default.
# An empty value means none. `raypipe config show --origin` says which value holds, and why.
"""


def default_yaml() -> str:
    """Every section with every default, each key explained."""
    from raypipe.config import section_types

    parts = [_section_yaml(name, kind) for name, kind in section_types().items()]
    return "\n".join([_HEAD, *(part for part in parts if part)])


def _section_yaml(name: str, kind: type[BaseModel], indent: str = "") -> str:
    """A section, or a section in a section, as lines."""
    explained, values, lines = _explained(kind), kind().model_dump(mode="json"), list[str]()
    shared = kind.sections() if hasattr(kind, "sections") else {}
    for key, info in kind.model_fields.items():
        if key in shared:
            continue  # it is set in the section that it names
        if isinstance(info.annotation, type) and hasattr(info.annotation, "model_fields"):
            lines.append(_section_yaml(key, info.annotation, f"{indent}  ").rstrip())
        else:
            lines += [f"{indent}  # {explained.get(key, key)}", f"{indent}  {key}:{_yaml(values[key])}"]
    return "\n".join([f"{indent}{name}:", *lines, ""]) if lines else ""


def _yaml(value: Any) -> str:
    """A value as it stands after the colon; JSON is YAML too."""
    if value is None:
        return ""
    plain = isinstance(value, str) and _PLAIN.fullmatch(value)
    return f" {value}" if plain else f" {json.dumps(value)}"


def _explained(kind: type[BaseModel]) -> dict[str, str]:
    """What each key means: by the field's description, else by the attributes in the class's docstring."""
    found = {name: info.description for name, info in kind.model_fields.items() if info.description}
    names: list[str] = []
    for line in (inspect.getdoc(kind) or "").splitlines():
        words = [word.strip() for word in line.split(",")]
        if line and not line[0].isspace():
            names = [word for word in words if word in kind.model_fields]
        elif line.strip():
            for name in names:
                found[name] = f"{found.get(name, '')} {line.strip()}".strip()
    return found
