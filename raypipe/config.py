"""The configuration: one section per stage, and those of the lake, of acquisition, of runs and of modelling.

Precedence, highest first: flag, environment (``RAYPIPE_SECTION__KEY``), profile (``--profile NAME``:
``configs/NAME.yaml``), project file (``raypipe.yaml`` or ``raypipe.toml`` in the current folder, or ``--config``),
user file, default. A key that nothing reads is an error.
Every value knows where it came from.
"""

from __future__ import annotations

import difflib
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, Field, SecretStr, ValidationError

from raypipe.acquisition.acquire import IngestParams
from raypipe.config_symbols import list_symbols, name_symbols
from raypipe.config_text import config_files, read_config_file, read_value
from raypipe.errors import ConfigError
from raypipe.lake.location import Location
from raypipe.pipeline.stages import stages
from raypipe.redact import redact
from raypipe.schema.family import Params, linked
from raypipe.schema.modeling import SECTIONS

__all__ = ["Config", "LakeParams", "RunParams", "load_config", "section_types"]

#: Variables for values that are set most often, and the keys that they stand for.
ALIASES = {
    "RAYPIPE_ROOT": "lake.root",
    "RAYPIPE_ENDPOINT_URL": "lake.endpoint_url",
    "RAYPIPE_PROFILE": "lake.profile",
    "RAY_ADDRESS": "run.address",
}
#: Variables of ours that are not configuration.
OTHER_VARIABLES = frozenset({"RAYPIPE_CONFIG", "RAYPIPE_FAULT", "RAYPIPE_SHARED_DATA"})
#: Characters of a wrong value that are repeated in its error.
SHOWN = 80


class LakeParams(Params):
    """Where the lake is."""

    root: str = Field("lake", description="A local folder, or s3://bucket/prefix.")
    endpoint_url: str | None = Field(None, description="Address of an S3 server other than AWS.")
    profile: str | None = Field(None, description="Named profile of the AWS configuration.")

    @property
    def location(self) -> Location:
        """The checked location."""
        return Location.parse(self.root, endpoint_url=self.endpoint_url, profile=self.profile)


class RunParams(Params):
    """How runs are carried out. None of it changes a result."""

    executor: Literal["auto", "serial", "process", "ray"] = Field("auto", description="Who runs the jobs.")
    workers: int | None = Field(None, ge=1, le=100_000, description="Jobs at a time; empty: one per CPU.")
    address: str | None = Field(None, description="Address of a Ray cluster; auto: the one this process runs in.")
    dq: Literal["warn", "fail", "off"] = Field("warn", description="What data-quality findings do to the exit code.")
    allow_holes: bool = Field(False, description="Whether a warm-up window may miss sessions.")
    steps: tuple[str, ...] = Field((), description="Steps of a run that names none; empty: all tables.")


@dataclass(frozen=True, slots=True)
class Config:
    """All parameters, checked, and where each came from.

    Attributes
    ----------
    lake, run, ingest
        The sections that are no stage's.
    params
        Per stage, and per section of modelling, its parameters.
    origin
        Per ``section.key``, where its value came from, for people.
    warnings
        What looked like configuration and is read by nothing.
    """

    lake: LakeParams
    run: RunParams
    ingest: IngestParams
    params: Mapping[str, Params]
    origin: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def sections(self) -> dict[str, Params]:
        """Every section by name."""
        return {"lake": self.lake, "run": self.run, "ingest": self.ingest, **self.params}

    def masked(self) -> dict[str, dict[str, Any]]:
        """Every value, ready for JSON, secrets masked."""
        return {
            name: _mask(section.model_dump(mode="json", exclude=set(section.sections())))
            for name, section in self.sections.items()
        }


@dataclass(frozen=True, slots=True)
class _Value:
    """A value as it was given, and where."""

    raw: Any
    origin: str
    file: str | None = None
    flag: bool = False

    @property
    def place(self) -> dict[str, str]:
        """Where it stands, for an error."""
        return {"file": self.file} if self.file else {"source": self.origin}


def section_types() -> dict[str, type[Params]]:
    """The class of every section by name."""
    found: dict[str, type[Params]] = {"lake": LakeParams, "run": RunParams, "ingest": IngestParams}
    return {**found, **{stage.name: stage.params for stage in stages()}, **SECTIONS}


def load_config(
    path: Path | None = None,
    *,
    profile: str | None = None,
    env: Mapping[str, str] | None = None,
    sets: Sequence[str] = (),
    flags: Mapping[str, Any] | None = None,
    folder: Path | None = None,
) -> Config:
    """Read, merge and check the configuration.

    Parameters
    ----------
    path
        The project file; None looks for ``raypipe.yaml`` or ``raypipe.toml`` in ``folder``.
    profile
        Name of a file in ``configs/`` of ``folder``; its values go before the project file's.
    env
        Environment; that of the process if None.
    sets
        ``section.key=value`` texts, as ``--set`` takes them.
    flags
        Values of particular flags by ``section.key``; None values count as not given.
    folder
        Where the project file is looked for; the current folder if None.

    Raises
    ------
    ConfigError
        For an unknown key or a value of the wrong kind, naming key, file and the likely meaning.
    """
    env = os.environ if env is None else env
    named = path or (Path(env["RAYPIPE_CONFIG"]) if env.get("RAYPIPE_CONFIG") else None)
    types = section_types()
    merged: dict[tuple[str, ...], _Value] = {}
    for origin, file in config_files(named, folder or Path.cwd(), env, profile):
        merged |= _leaves(types, read_config_file(file), _Value(None, f"{origin} {file}", str(file)))
    warnings = _merge_environment(merged, types, env)
    for text in sets:
        merged |= _from_set(types, text)
    for key, value in (flags or {}).items():
        if value is not None:
            merged |= _leaves(types, _nested(key, value), _Value(None, "flag", flag=True))
    return _checked(types, merged, warnings, folder or Path.cwd())


def _checked(
    types: Mapping[str, type[Params]], merged: Mapping[tuple[str, ...], _Value], warnings: list[str], folder: Path
) -> Config:
    sections = linked({name: _section(types, name, merged) for name in types})
    origin = {
        ".".join(path): merged[path].origin if path in merged else "default"
        for name, kind in types.items()
        for path in _paths(kind, (name,))
    }
    list_symbols(sections, origin, folder)
    name_symbols(sections, origin, folder)
    stage_params = {name: params for name, params in sections.items() if name not in {"lake", "run", "ingest"}}
    lake, run, ingest = sections["lake"], sections["run"], sections["ingest"]
    assert isinstance(lake, LakeParams) and isinstance(run, RunParams) and isinstance(ingest, IngestParams)  # noqa: PT018
    return Config(lake, run, ingest, stage_params, origin, tuple(warnings))


# --- where values come from --------------------------------------------------------------------


def _merge_environment(
    merged: dict[tuple[str, ...], _Value], types: Mapping[str, type[Params]], env: Mapping[str, str]
) -> list[str]:
    warnings = []
    ours = [name for name in sorted(env) if name.startswith("RAYPIPE_") and name not in {*OTHER_VARIABLES, *ALIASES}]
    for name in [*(name for name in ALIASES if name in env), *ours]:
        key = ALIASES.get(name) or name.removeprefix("RAYPIPE_").lower().replace("__", ".")
        origin = f"environment {name}"
        if "." not in key:
            close = difflib.get_close_matches(key, [leaf.rpartition(".")[2] for leaf in _keys(types)], n=1)
            meant = next((leaf for leaf in _keys(types) if close and leaf.endswith(f".{close[0]}")), "")
            advice = f"; did you mean RAYPIPE_{meant.replace('.', '__').upper()}?" if meant else ""
            warnings.append(f"nothing reads the environment variable {name}{advice}")
            continue
        merged |= _leaves(types, _nested(key, read_value(env[name], origin)), _Value(None, origin))
    return warnings


def _from_set(types: Mapping[str, type[Params]], text: str) -> dict[tuple[str, ...], _Value]:
    key, equals, value = text.partition("=")
    if not equals or "." not in key:
        msg = f"--set {key!r} is not section.key=value"
        raise ConfigError(msg, hint="for example --set macd.fast=12")
    origin = f"flag --set {key}"
    return _leaves(types, _nested(key.strip(), read_value(value, origin)), _Value(None, origin, flag=True))


def _nested(key: str, value: Any) -> dict[str, Any]:
    head, _, rest = key.partition(".")
    return {head: _nested(rest, value) if rest else value}


# --- keys --------------------------------------------------------------------------------------


def _leaves(types: Mapping[str, type[Params]], raw: Mapping[str, Any], given: _Value) -> dict[tuple[str, ...], _Value]:
    """Flatten one source of values to leaves; unknown sections and keys are refused."""
    found: dict[tuple[str, ...], _Value] = {}
    for section, values in raw.items():
        if section not in types:
            raise _unknown((section,), types, given)
        if not isinstance(values, dict):
            if values in ("", None):
                continue
            msg = f"{section} is a section, not a value"
            raise ConfigError(msg, hint=f"write {section}: and below it, indented, key: value", **given.place)
        found |= _fields((section,), types[section], values, types, given)
    return found


def _fields(
    path: tuple[str, ...],
    kind: type[BaseModel],
    values: Mapping[str, Any],
    types: Mapping[str, type[Params]],
    given: _Value,
) -> dict[tuple[str, ...], _Value]:
    found: dict[tuple[str, ...], _Value] = {}
    for key, value in values.items():
        here = (*path, key)
        if key not in kind.model_fields or key in _shared_fields(kind):
            raise _unknown(here, types, given)
        annotation = kind.model_fields[key].annotation
        if given.flag and (annotation is SecretStr or SecretStr in get_args(annotation)):
            msg = "a secret is never given as a flag: other users of the machine can read it"
            raise ConfigError(msg, hint="use the environment, a profile or a file", key=".".join(here))
        if isinstance(annotation, type) and issubclass(annotation, BaseModel) and isinstance(value, dict):
            found |= _fields(here, annotation, value, types, given)
        else:
            found[here] = _Value(_with_nulls(annotation, value), given.origin, given.file, given.flag)
    return found


def _paths(kind: type[BaseModel], path: tuple[str, ...]) -> Iterable[tuple[str, ...]]:
    """Every leaf of a section; a field that is another section is set there."""
    for name, info in kind.model_fields.items():
        if name in _shared_fields(kind):
            continue
        annotation = info.annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield from _paths(annotation, (*path, name))
        else:
            yield (*path, name)


def _shared_fields(kind: type[BaseModel]) -> Iterable[str]:
    return kind.sections() if issubclass(kind, Params) else ()


def _keys(types: Mapping[str, type[Params]]) -> list[str]:
    return [".".join(path) for name, kind in types.items() for path in _paths(kind, (name,))]


def _unknown(path: tuple[str, ...], types: Mapping[str, type[Params]], given: _Value) -> ConfigError:
    key, known = ".".join(path), [*types, *_keys(types)]
    close = difflib.get_close_matches(key, known, n=1) or [k for k in known if k.rpartition(".")[2] == path[-1]]
    if not close:
        near = difflib.get_close_matches(path[-1], [k.rpartition(".")[2] for k in known], n=1)
        close = [k for k in known if near and k.rpartition(".")[2] == near[0]]
    hint = f"did you mean {close[0]}?" if close else "`raypipe config show` lists every key"
    msg = f"there is no section {key!r}" if len(path) == 1 else f"there is no key {key!r}"
    return ConfigError(msg, hint=hint, **given.place)


# --- values ------------------------------------------------------------------------------------


def _with_nulls(annotation: Any, value: Any) -> Any:
    """Text for "nothing" becomes None where the parameter may be None; elsewhere it stays text."""
    if get_origin(annotation) in (Union, UnionType):
        kinds = get_args(annotation)
        if NoneType in kinds and value in ("", "null", "~"):
            return None
        rest = [kind for kind in kinds if kind is not NoneType]
        return _with_nulls(rest[0], value) if len(rest) == 1 else value
    if isinstance(value, list) and get_origin(annotation) in (list, tuple, set, frozenset) and get_args(annotation):
        return [_with_nulls(get_args(annotation)[0], item) for item in value]
    if isinstance(value, dict) and isinstance(annotation, type) and issubclass(annotation, BaseModel):
        fields = annotation.model_fields
        return {k: _with_nulls(fields[k].annotation, v) if k in fields else v for k, v in value.items()}
    return value


def _section(types: Mapping[str, type[Params]], name: str, merged: Mapping[tuple[str, ...], _Value]) -> Params:
    values: dict[str, Any] = {}
    for path, value in merged.items():
        if path[0] == name:
            _put(values, path[1:], value.raw)
    try:
        params = types[name].model_validate(values)
    except ValidationError as error:
        raise _invalid(types, name, error, merged) from None
    _check_finite(name, params.model_dump(), merged)
    return params


def _put(values: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    for part in path[:-1]:
        values = values.setdefault(part, {})
    values[path[-1]] = value


def _invalid(
    types: Mapping[str, type[Params]], name: str, error: ValidationError, merged: Mapping[tuple[str, ...], _Value]
) -> ConfigError:
    """The first thing that is wrong, where it was written, and what stands there unless it is a secret."""
    first = error.errors(include_url=False, include_context=False)[0]
    path = (name, *(str(part) for part in first["loc"]))
    given = next((merged[path[:n]] for n in range(len(path), 0, -1) if path[:n] in merged), None)
    text = first["msg"].removeprefix("Value error, ")
    msg = f"{text[:1].lower()}{text[1:]}"
    if given and not _is_secret(types[name], path[1:]):
        msg += f", not {redact(repr(first['input']))[:SHOWN]}"
    return ConfigError(msg, key=".".join(path), **(given.place if given else {}))


def _is_secret(kind: Any, path: tuple[str, ...]) -> bool:
    for part in path:
        info = getattr(kind, "model_fields", {}).get(part)
        kind = info.annotation if info else None
    return kind is SecretStr or SecretStr in get_args(kind)


def _check_finite(name: str, values: Mapping[str, Any], merged: Mapping[tuple[str, ...], _Value]) -> None:
    """NaN and infinity are numbers to pydantic, and no parameter of ours."""
    for key, value in values.items():
        if isinstance(value, float) and not math.isfinite(value):
            given = merged.get((name, key))
            msg = f"must be a finite number, not {value}"
            raise ConfigError(msg, key=f"{name}.{key}", **(given.place if given else {}))


def _mask(value: Any) -> Any:
    """Masked for people: what pydantic hides is hidden already, what looks like a secret is too."""
    if isinstance(value, dict):
        return {key: _mask(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_mask(item) for item in value]
    return redact(value) if isinstance(value, str) else value
