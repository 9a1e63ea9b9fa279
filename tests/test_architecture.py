"""The plan of docs/architecture.md, held against the source: who may import whom, sizes, and what stays light."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

_STAGES = {
    "sources": {"kernels", "schema", "calendar"},
    "lake": {"schema", "calendar"},
    "acquisition": {"sources", "lake", "schema", "calendar"},
    "events": {"kernels", "schema", "calendar"},
    "features": {"kernels", "schema", "calendar"},
    "labels": {"kernels", "schema", "calendar"},
    "dataset": {"schema", "calendar"},
    "models": set(),
    "evaluation": set(),
    "portfolio": {"evaluation"},
    "backtest": {"kernels", "portfolio", "evaluation"},
    "report": {"evaluation", "portfolio", "schema"},
}
_BELOW_PIPELINE = {*_STAGES, "schema", "calendar", "kernels", "config"}
#: Leaves that import nothing of ours, so that every part may use them.
LEAVES = {"errors", "redact"}
#: What each part of raypipe may import besides itself, the root (for its version) and the leaves.
ALLOWED: dict[str, set[str]] = {
    **{leaf: set() for leaf in LEAVES},
    "kernels": set(),
    "calendar": set(),
    "schema": {"calendar"},  # a family is asked about one Session
    **_STAGES,
    "config_text": set(),
    "config_symbols": {"sources", "dataset", "schema"},
    "config": {*_STAGES, "schema", "calendar", "config_text", "config_symbols"},
    "pipeline": _BELOW_PIPELINE,
    "training": {*_BELOW_PIPELINE, "pipeline"},
    "audit": {"pipeline", "schema", "calendar"},
    "cli": {"training", "pipeline", "acquisition", "config", "report", "audit"},
    "__main__": {"cli"},
}
#: Single modules beyond that: the list of all stages, which names every Params of a stage; what the root offers.
ALLOWED_MODULES = {
    "config": {"raypipe.pipeline.stages"},
    "raypipe": {"raypipe.config", "raypipe.pipeline.signals_frame"},
}
EDGES = {"tasks": {"training", "pipeline", "config"}, "tuning": {"training", "pipeline", "config", "models"}}

HEAVY = ("ray", "lightgbm", "xgboost", "catboost", "numba", "pandas")
JIT_NAMES = {"jit", "njit", "vectorize", "guvectorize", "stencil", "cfunc"}
JIT_FLAGS = {"nopython", "nogil", "cache", "fastmath", "parallel", "error_model", "boundscheck", "forceobj"}
KERNEL_LIBRARIES = {
    "__future__",
    "collections",
    "enum",
    "llvmlite",
    "math",
    "numpy",
    "numba",
    "re",
    "typing",
}  # llvmlite is numba's

#: Module names that differ from the package that brings them.
SHIPPED_BY = {
    "botocore": "boto3",
    "llvmlite": "numba",
    "sklearn": "scikit_learn",
    "talib": "ta_lib",
    "threadpoolctl": "scikit_learn",
    "yaml": "pyyaml",
}

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES, MAX_KERNEL_LINES = 60, 80


@dataclass(frozen=True)
class Module:
    """One source file."""

    name: str
    text: str
    where: str = "snippet.py"

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @property
    def part(self) -> str:
        """The part of raypipe it belongs to (``lake``), or the top-level package (``tasks``)."""
        top, _, rest = self.name.partition(".")
        return (rest.partition(".")[0] or "raypipe") if top == "raypipe" else top

    @cached_property
    def imports(self) -> list[tuple[int, str]]:
        """Line and dotted name of every import, wherever it stands; ``from a import b`` gives ``a.b``."""
        return [(node.lineno, name) for node in ast.walk(self.tree) for name in _imported(node)]

    @cached_property
    def eager_imports(self) -> set[str]:
        """Names that are imported when the module is: not those in functions or under ``TYPE_CHECKING``."""
        later = (ast.FunctionDef, ast.AsyncFunctionDef)
        bodies = [n for n in ast.walk(self.tree) if isinstance(n, later) or _is_type_checking(n)]
        lazy = {id(node) for body in bodies for node in ast.walk(body)}
        return {name for node in ast.walk(self.tree) if id(node) not in lazy for name in _imported(node)}


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [f"{node.module}.{alias.name}" for alias in node.names] if isinstance(node, ast.ImportFrom) else []


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


@lru_cache
def modules(*tops: str) -> list[Module]:
    files = [path for top in tops for path in sorted((ROOT / top).rglob("*.py"))]
    return [_load(path) for path in files]


def _load(path: Path) -> Module:
    parts = path.relative_to(ROOT).with_suffix("").parts
    name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    return Module(name, path.read_text(encoding="utf-8"), str(path.relative_to(ROOT)))


def forbidden_imports(module: Module) -> Iterator[str]:
    """Imports that go against the direction."""
    allowed = {*(EDGES | ALLOWED).get(module.part, set()), module.part, *LEAVES}
    single = tuple(ALLOWED_MODULES.get(module.part, ()))
    for line, target in module.imports:
        top, _, rest = target.partition(".")
        if (
            top == "raypipe"
            and (part := rest.partition(".")[0]) in ALLOWED
            and part not in allowed
            and not target.startswith(single)
        ):
            yield f"{module.where}:{line}: {module.part} may not import raypipe.{part}"
        if top in {"ray", "tasks", "tuning"} and top not in _edges_of(module):
            yield f"{module.where}:{line}: {module.part} may not import {top}"
        if top == "tasks" and module.part == "tuning" and not rest.startswith(("runtime", "entry")):
            yield f"{module.where}:{line}: of tasks, tuning may import tasks.runtime and tasks.entry only"


def _edges_of(module: Module) -> set[str]:
    return {"tasks": {"ray", "tasks"}, "tuning": {"ray", "tasks", "tuning"}}.get(module.part, set())


def heavy_kernel_imports(module: Module) -> Iterator[str]:
    """Imports of kernels beyond numpy and numba, and jit decorators outside ``_jit.py``."""
    policy = module.name == "raypipe.kernels._jit"
    for line, target in module.imports:
        top, _, rest = target.partition(".")
        standard = policy and top in sys.stdlib_module_names
        if not (standard or top in KERNEL_LIBRARIES or target.startswith("raypipe.kernels")):
            yield f"{module.where}:{line}: kernels may not import {top}"
        if not policy and top == "numba" and rest in JIT_NAMES:
            yield f"{module.where}:{line}: numba.{rest} belongs to kernels/_jit.py"
    for node in ast.walk(module.tree):
        if policy or not isinstance(node, ast.Call):
            continue
        for keyword in node.keywords:
            if keyword.arg in JIT_FLAGS:
                yield f"{module.where}:{node.lineno}: numba flag {keyword.arg}= belongs to kernels/_jit.py"


def long_functions(module: Module) -> Iterator[str]:
    """Functions over the limit; the docstring does not count."""
    limit = MAX_KERNEL_LINES if module.part == "kernels" else MAX_FUNCTION_LINES
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (lines := _code_lines(node)) > limit:
            yield f"{module.where}:{node.lineno}: {node.name} has {lines} lines, at most {limit}"


def _code_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    lines = (node.end_lineno or node.lineno) - node.lineno + 1
    if ast.get_docstring(node) is not None:
        first = node.body[0]
        lines -= (first.end_lineno or first.lineno) - first.lineno + 1
    return lines


def swallowed_errors(module: Module) -> Iterator[str]:
    """Bare ``except``, and broad ones that do nothing."""
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.ExceptHandler):
            continue
        broad = isinstance(node.type, ast.Name) and node.type.id in {"Exception", "BaseException"}
        silent = all(isinstance(line, ast.Pass | ast.Continue) for line in node.body)
        if node.type is None or (broad and silent):
            yield f"{module.where}:{node.lineno}: name the exceptions, and do something about them"


def prints(module: Module) -> Iterator[str]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
            yield f"{module.where}:{node.lineno}: only cli and report print"


# --- the rules ---------------------------------------------------------------------------------


def report(found: Iterator[str] | list[str]) -> None:
    lines = list(found)
    assert not lines, "\n" + "\n".join(lines)


def test_every_part_has_a_place_in_the_plan():
    known = {*ALLOWED, "raypipe"}
    report([f"{m.where}: no rule for raypipe.{m.part}" for m in modules("raypipe") if m.part not in known])


def test_imports_follow_the_direction():
    report(line for module in modules("raypipe", "tasks", "tuning") for line in forbidden_imports(module))


def test_no_modules_import_each_other():
    sources = {module.name: module for module in modules("raypipe", "tasks", "tuning")}
    graph = {
        name: {
            known
            for target in module.eager_imports
            for known in (target, target.rpartition(".")[0])
            if known in sources
        }
        for name, module in sources.items()
    }
    TopologicalSorter({name: needs - {name} for name, needs in graph.items()}).prepare()  # raises CycleError


def test_kernels_know_arrays_only():
    kernels = [module for module in modules("raypipe") if module.part == "kernels"]
    report(line for module in kernels for line in heavy_kernel_imports(module))


def test_only_kernels_name_numba():
    others = [module for module in modules("raypipe", "tasks", "tuning") if module.part != "kernels"]
    report(
        f"{module.where}:{line}: only kernels import numba"
        for module in others
        for line, target in module.imports
        if target.partition(".")[0] == "numba"
    )


def test_imports_are_declared_dependencies():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = project["dependencies"] + [line for extra in project["optional-dependencies"].values() for line in extra]
    declared = {re.split(r"[\[><=]", line)[0].lower().replace("-", "_") for line in lines}
    known = declared | sys.stdlib_module_names | {"raypipe", "tasks", "tuning"}
    report(
        f"{module.where}:{line}: {top} is not declared in pyproject.toml"
        for module in modules("raypipe", "tasks", "tuning")
        for line, top in ((line, target.partition(".")[0]) for line, target in module.imports)
        if SHIPPED_BY.get(top, top).lower() not in known
    )


def test_references_are_independent_of_kernels():
    report(
        f"{module.where}:{line}: a reference may not use the code it judges"
        for module in modules("tests/reference")
        for line, target in module.imports
        if target.startswith("raypipe.kernels")
    )


def test_only_presenters_print():
    quiet = [m for m in modules("raypipe", "tasks", "tuning") if m.part not in {"cli", "report"}]
    report(line for module in quiet for line in prints(module))


def test_no_error_is_swallowed():
    report(line for module in modules("raypipe", "tasks", "tuning", "tests") for line in swallowed_errors(module))


def test_files_and_functions_are_short():
    sources = modules("raypipe", "tasks", "tuning", "tests")
    report(
        f"{module.where}: {lines} lines, at most {MAX_FILE_LINES}"
        for module in sources
        if (lines := module.text.count("\n")) > MAX_FILE_LINES
    )
    report(line for module in sources for line in long_functions(module))


def test_modules_say_what_they_are_for():
    sources = modules("raypipe", "tasks", "tuning")
    report(f"{m.where}: no module docstring" for m in [*sources, *modules("tests")] if not ast.get_docstring(m.tree))
    report(
        f"{module.where}: from __future__ import annotations"
        for module in sources
        if module.tree.body[1:] and "__future__.annotations" not in {target for _, target in module.imports}
    )


# --- what stays light --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "code",
    [
        pytest.param("import raypipe, raypipe.errors", id="import raypipe"),
        pytest.param("import raypipe.cli", id="import raypipe.cli"),
        pytest.param(
            "sys.argv = ['raypipe', '--help']\nfrom raypipe.cli.main import main\n"
            "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code",
            id="raypipe --help",
        ),
    ],
)
def test_start_loads_nothing_heavy(code):
    heavy = f"\nheavy = sorted(set({HEAVY!r}) & set(sys.modules))\nassert not heavy, heavy"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"import sys\n{code}{heavy}"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr


# --- the rules catch what they are for ---------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "fault"),
    [
        ("raypipe.features.a", "from raypipe.labels.b import c", "features may not import raypipe.labels"),
        ("raypipe.features.a", "def f():\n    import raypipe.pipeline.plan as p", "raypipe.pipeline"),
        ("raypipe.lake.a", "from raypipe import kernels", "lake may not import raypipe.kernels"),
        ("raypipe.lake.a", "def f():\n    import ray.data", "lake may not import ray"),
        ("raypipe.cli.a", "from tasks import runtime", "cli may not import tasks"),
        ("raypipe.kernels.a", "from raypipe.errors import X\nfrom raypipe.schema import Y", "raypipe.schema"),
        ("tuning.a", "from tasks.backfill import main", "tasks.runtime and tasks.entry only"),
    ],
)
def test_a_wrong_import_is_found(name, text, fault):
    assert any(fault in line for line in forbidden_imports(Module(name, text)))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("raypipe.features.a", "import raypipe\nfrom raypipe.errors import X\nfrom raypipe.kernels.b import c"),
        ("raypipe.pipeline.a", "from raypipe.config import RunConfig"),
        ("tuning.a", "import ray.tune\nfrom tasks.runtime import X\nfrom raypipe.models import Y"),
        ("tasks.a", "import ray\nfrom raypipe.pipeline.plan import Plan"),
    ],
)
def test_a_right_import_passes(name, text):
    assert list(forbidden_imports(Module(name, text))) == []


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (heavy_kernel_imports, "import pandas as pd"),
        (heavy_kernel_imports, "from raypipe.errors import X"),
        (heavy_kernel_imports, "from numba import njit"),
        (heavy_kernel_imports, "kernel(cache=True)(f)"),
        (prints, "print('x')"),
        (swallowed_errors, "try:\n    f()\nexcept:\n    raise"),
        (swallowed_errors, "try:\n    f()\nexcept Exception:\n    pass"),
        (long_functions, "def f():\n" + "    x = 1\n" * 81),
    ],
)
def test_a_broken_rule_is_found(rule, text):
    assert list(rule(Module("raypipe.kernels.a", text)))


def test_docstrings_do_not_count_as_code():
    text = 'def f():\n    """Say.\n' + "\n    more\n" * 60 + '    """\n' + "    x = 1\n" * 50
    assert list(long_functions(Module("raypipe.lake.a", text))) == []
