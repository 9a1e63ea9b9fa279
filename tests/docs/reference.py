"""docs/api.md, made of docstrings: ``python -m tests.docs.reference`` writes it anew.

What is listed here is the public API. Everything else may change between versions without a word.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator
from typing import Any

from tests.docs.blocks import ROOT

PAGE = ROOT / "docs" / "api.md"
HEAD = """# Python API

Made of the docstrings by `make docs`; their examples are tests. What is listed here is the public API, and the command
line is the rest of it. Nothing is imported before it is used: `import raypipe` loads neither numba nor pandas nor Ray.
"""
#: Sections of the page: a sentence, and the names with their modules.
PUBLIC: dict[str, tuple[str, tuple[str, ...]]] = {
    "Signals": ("What `raypipe signals` builds, as a data frame.", ("raypipe.signals",)),
    "Reading a lake": (
        "Every read is held against checksums, schema and manifest. Tables are those of the catalog of families and of "
        "`raypipe.schema.tables`; any Parquet reader reads the files too ([data.md](data.md#reading-it)).",
        (
            "raypipe.lake.location.Location",
            "raypipe.lake.store.Lake",
            "raypipe.lake.manifest.Manifest",
            "raypipe.pipeline.stages.family_catalog",
        ),
    ),
    "Configuration": (
        "The same values as on the command line.",
        ("raypipe.config.load_config", "raypipe.config.Config"),
    ),
    "Sessions": (
        "Exchange dates and their windows; never weekday arithmetic.",
        ("raypipe.calendar.calendar", "raypipe.calendar.Calendar", "raypipe.calendar.Session"),
    ),
    "Tables": (
        "What a column is stands in one place.",
        ("raypipe.schema.spec.Table", "raypipe.schema.spec.Column", "raypipe.schema.spec.Known"),
    ),
    "Families": (
        "One file in `raypipe/features`, `labels` or `events` with a `Family` in the constant `FAMILY`.",
        tuple(f"raypipe.schema.family.{name}" for name in ("Family", "Params", "Read", "Inputs", "Result", "Finding")),
    ),
    "Models": (
        "One file in `raypipe/models` with a `Model` in the constant `MODEL`. They know arrays and nothing else.",
        (
            *(f"raypipe.models.catalog.{name}" for name in ("models", "model", "load_fitted")),
            *("raypipe.models.model.Model", "raypipe.models.fitted.Fitted"),
        ),
    ),
    "Errors": ("One tree, in `raypipe.errors`; each has `message`, `hint`, `values` and an `exit_code`.", ()),
}
_LISTS = ("Parameters", "Attributes", "Raises", "Returns")


def page() -> str:
    """The page as it should be."""
    lines = [HEAD]
    for title, (sentence, names) in PUBLIC.items():
        lines += [f"## {title}", "", sentence, ""]
        for name in names:
            lines += entry(name)
    tree = inspect.cleandoc(importlib.import_module("raypipe.errors").__doc__ or "").split("::\n\n")[1]
    shown = tree.split("\n\n")[0].splitlines()
    lines += ["```", *(line.removeprefix("    ") for line in shown), "```", ""]
    return "\n".join(lines)


def find(name: str) -> Any:
    """The object of a dotted name."""
    module, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(module), attribute)


def entry(name: str) -> list[str]:
    """A function, or a class with its public methods."""
    thing, short = find(name), name.rpartition(".")[2]
    lines = [f"### `{name}`", "", f"`{short}{_signature(thing)}`", "", *_text(thing)]
    if inspect.isclass(thing):
        for member, method in _members(thing):
            call = [] if isinstance(method, property) else [f"`{member}{_signature(method)}`", ""]
            lines += [f"#### `{short}.{member}`", "", *call, *_text(method)]
    return lines


def _members(kind: type) -> Iterator[tuple[str, Any]]:
    """Public methods and properties of a class's own, in the order of the source."""
    for name, value in vars(kind).items():
        plain = value.__func__ if isinstance(value, classmethod | staticmethod) else value
        if not name.startswith("_") and (inspect.isfunction(plain) or isinstance(plain, property)):
            yield name, plain


def _signature(thing: Any) -> str:
    """Names and defaults; of a class only names, its attributes are explained below."""
    found = inspect.signature(thing)
    kept = [p for p in found.parameters.values() if p.name not in {"self", "cls"}]
    if inspect.isclass(thing):
        return f"({', '.join(p.name if p.kind is not p.VAR_KEYWORD else f'**{p.name}' for p in kept)})"
    result = "" if found.return_annotation is found.empty else found.return_annotation
    return str(found.replace(parameters=kept, return_annotation=inspect.Signature.empty)).replace("'", "") + (
        f" -> {result}" if result else ""
    )


def _text(thing: Any) -> list[str]:
    """A docstring as Markdown."""
    text = re.sub(r"``(.+?)``", r"`\1`", inspect.getdoc(thing) or "")
    head, *sections = re.split(r"^(\w+)\n-{3,}\n", text, flags=re.MULTILINE)
    lines = [head.strip(), ""]
    for title, body in zip(sections[::2], sections[1::2], strict=True):
        if title == "Examples":
            lines += ["```pycon", body.strip(), "```", ""]
        elif title in _LISTS:
            lines += [f"**{title}**", "", *_items(body.strip()), ""]
        else:
            lines += [f"**{title}**", "", body.strip(), ""]
    return lines


def _items(body: str) -> list[str]:
    """A list of names and what they mean; text without names stays text."""
    if not re.search(r"^ +\S", body, re.MULTILINE):
        return body.splitlines()
    found = re.findall(r"^(\S.*)\n((?:(?: +.*)?(?:\n|\Z))*)", body, re.MULTILINE)
    return [f"* `{name}`: {' '.join(meaning.split())}" for name, meaning in found]


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
