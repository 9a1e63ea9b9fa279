"""Configuration files as plain text values: YAML without its traps, or TOML.

YAML is read as text only: ``ON``, ``16:00`` and ``1e-3`` stay what was written, and the parameter's own type
decides what they mean. Tags, aliases, anchors, duplicate keys, deep nesting and large files are refused, so a
hostile file can neither run code nor grow.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

from raypipe.errors import ConfigError

__all__ = ["MAX_BYTES", "config_files", "read_config_file", "read_value"]

MAX_BYTES = 1 << 20
MAX_DEPTH = 12
PROJECT_FILES = ("raypipe.yaml", "raypipe.toml")
PROFILES = "configs"
_PROFILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


def config_files(
    named: Path | None, folder: Path, env: Mapping[str, str], profile: str | None = None
) -> list[tuple[str, Path]]:
    """What each file is and where it stands, lowest precedence first: user file, project file, profile.

    Raises
    ------
    ConfigError
        If there are two project files, or no such profile.
    """
    home = Path(env.get("XDG_CONFIG_HOME") or Path(env.get("HOME") or Path.home()) / ".config")
    user = home / "raypipe" / "config.yaml"
    found = [("user file", user)] if user.is_file() else []
    project = [named] if named else [folder / name for name in PROJECT_FILES if (folder / name).is_file()]
    if len(project) > 1:
        msg = f"both {project[0].name} and {project[1].name} are here"
        raise ConfigError(msg, hint="keep one of them, or name one with --config", file=str(folder))
    chosen = [("profile", _profile(profile, folder))] if profile else []
    return found + [("project file", path) for path in project] + chosen


def _profile(name: str, folder: Path) -> Path:
    path = folder / PROFILES / f"{name}.yaml"
    if not _PROFILE.fullmatch(name) or not path.is_file():
        there = ", ".join(sorted(file.stem for file in (folder / PROFILES).glob("*.yaml"))) or "none"
        msg = f"there is no profile {name[:64]!r}"
        raise ConfigError(msg, hint=f"profiles are files of {PROFILES}/ in the current folder: {there}")
    return path


def read_config_file(path: Path) -> dict[str, Any]:
    """Read a configuration file; TOML by its suffix, else YAML.

    Returns
    -------
    Sections by name. Scalars of YAML are text.

    Raises
    ------
    ConfigError
        If the file cannot be read, is too large, or is not what is allowed; with its name and the line.
    """
    text = _read_text(path)
    try:
        raw = tomllib.loads(text) if path.suffix == ".toml" else _read_yaml(text, str(path))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        msg = f"not valid TOML: {error}"
        raise ConfigError(msg, file=str(path)) from None
    if raw is None or raw == "":
        return {}
    if not isinstance(raw, dict):
        msg = "the file does not hold sections"
        raise ConfigError(msg, hint="write `section:` and below it, indented, `key: value`", file=str(path))
    return raw


def read_value(text: str, origin: str) -> Any:
    """Read a value given on the command line or in the environment.

    A text that starts with ``[`` or ``{`` is a YAML list or mapping; anything else stands for itself.

    Examples
    --------
    >>> read_value("[1m, 5m]", "flag")
    ['1m', '5m']
    >>> read_value("s3://bucket/a: b", "flag")
    's3://bucket/a: b'
    """
    return _read_yaml(text, origin) if text.lstrip()[:1] in {"[", "{"} else text


def _read_text(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        msg = f"cannot be read: {error.strerror}"
        raise ConfigError(msg, file=str(path)) from None
    if len(data) > MAX_BYTES:
        msg = f"larger than {MAX_BYTES >> 20} MiB; a configuration is not"
        raise ConfigError(msg, file=str(path))
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        msg = f"not UTF-8 text (byte {error.start})"
        raise ConfigError(msg, file=str(path)) from None


def _read_yaml(text: str, origin: str) -> Any:
    import yaml

    try:
        loader = _loader_class()(text)
        return loader.get_single_data()
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        raise ConfigError(error.problem or "not valid YAML", file=origin, line=line) from None
    except yaml.YAMLError as error:
        msg = f"not valid YAML: {str(error).splitlines()[0]}"
        raise ConfigError(msg, file=origin) from None


def _loader_class() -> type[Any]:
    """The loader, made here because importing yaml costs more than most commands need."""
    import yaml

    class StrictLoader(yaml.BaseLoader):  # type: ignore[misc]
        """Text only, no tags, anchors or aliases, each key once, not deep."""

        depth = 0

        def compose_node(self, parent: Any, index: Any) -> Any:
            event = self.peek_event()
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
                _refuse("anchors and aliases are not allowed", event)
            if getattr(event, "tag", None):
                _refuse(f"the tag {event.tag!r} is not allowed", event)
            if self.depth >= MAX_DEPTH:
                _refuse(f"nested deeper than {MAX_DEPTH} levels", event)
            self.depth += 1
            node = super().compose_node(parent, index)
            self.depth -= 1
            return node

        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
            seen: set[Any] = set()
            for key, _ in node.value:
                if not isinstance(key, yaml.ScalarNode):
                    _refuse("a key must be a word", key)
                if key.value in seen:
                    _refuse(f"the key {key.value!r} stands here twice", key)
                seen.add(key.value)
            mapping: dict[Hashable, Any] = super().construct_mapping(node, deep)
            return mapping

    def _refuse(problem: str, at: Any) -> None:
        raise yaml.MarkedYAMLError(problem=problem, problem_mark=at.start_mark)

    return StrictLoader
