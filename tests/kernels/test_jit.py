"""The jit policy: where machine code is kept, when it is renewed, what kernels are compiled for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest

from raypipe.kernels import _jit
from raypipe.kernels._jit import as_input, default_cache_dir, inlined, kernel

ROOT = Path(__file__).resolve().parent.parent.parent
compiled_only = pytest.mark.skipif(bool(os.environ.get("NUMBA_DISABLE_JIT")), reason="needs compiled kernels")


@inlined
def _half(values: np.ndarray, k: int) -> float:
    return values[k] / 2.0


@kernel
def _half_sum(values: np.ndarray) -> float:
    total = 0.0
    for k in range(values.size):
        total += _half(values, k)
    return total


@kernel
def _ratio(a: float, b: float) -> float:
    return a / b


def _fresh(code: str, **environ: str) -> list[str]:
    """Run code in a new process whose environment holds no numba settings; give its lines."""
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(
        command, env=kept | environ, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


# --- the cache folder -------------------------------------------------------------------------


def test_cache_dir_is_per_user_machine_and_version() -> None:
    folder = default_cache_dir({"HOME": "/home/you"})
    assert folder.parent == Path("/home/you/.cache/raypipe/numba")
    assert f"-{numba.__version__}-py3." in folder.name
    assert default_cache_dir({"HOME": "/home/me"}) != folder


@pytest.mark.parametrize(
    ("given", "base"), [("/var/cache/x", "/var/cache/x"), ("relative", "/h/.cache"), ("", "/h/.cache")]
)
def test_cache_dir_follows_xdg(given: str, base: str) -> None:
    assert default_cache_dir({"HOME": "/h", "XDG_CACHE_HOME": given}).is_relative_to(base)


def test_cache_dir_has_no_odd_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_jit.platform, "node", lambda: "a/b c")
    assert default_cache_dir({"HOME": "/h"}).name.startswith("a_b_c-")
    monkeypatch.setattr(_jit.platform, "node", str)
    assert default_cache_dir({"HOME": "/h"}).name.startswith("localhost-")


USE = """
import os
from raypipe.kernels.csv import ohlc_rules
print(ohlc_rules([1.0], [1.0], [1.0], [1.0], [1.0])[0])
print(os.environ.get("NUMBA_CACHE_DIR"), os.environ.get("NUMBA_NUM_THREADS"))
"""


def test_defaults_are_set_before_numba_is_imported(tmp_path: Path) -> None:
    assert _fresh("import raypipe, sys; print('numba' in sys.modules)", HOME=str(tmp_path)) == ["False"]
    folder = default_cache_dir({"HOME": str(tmp_path)})
    assert _fresh(USE, HOME=str(tmp_path)) == ["0", f"{folder} 1"]
    assert len(list(folder.rglob("*.nbc"))) >= 1
    assert folder.stat().st_mode & 0o077 == 0


def test_given_settings_stay(tmp_path: Path) -> None:
    given = {"NUMBA_CACHE_DIR": str(tmp_path / "given"), "NUMBA_NUM_THREADS": "2", "HOME": str(tmp_path)}
    assert _fresh(USE, **given) == ["0", f"{tmp_path / 'given'} 2"]
    assert list((tmp_path / "given").rglob("*.nbc"))
    assert not (tmp_path / ".cache").exists()


def test_numba_imported_first(tmp_path: Path) -> None:
    """The environment then stays as it is, but our kernels still go to our folder, and only they."""
    code = "import numba\n" + USE + "print(numba.config.CACHE_DIR == '')"
    assert _fresh(code, HOME=str(tmp_path)) == ["0", "None None", "True"]
    assert list(default_cache_dir({"HOME": str(tmp_path)}).rglob("*.nbc"))


def test_without_a_home_kernels_compile_in_memory() -> None:
    assert _fresh(USE, HOME=os.devnull)[0] == "0"


# --- when machine code is renewed -------------------------------------------------------------


def test_an_imported_kernel_file_is_part_of_the_key(tmp_path: Path) -> None:
    files = {
        "a": "from raypipe.kernels.b import f\n",
        "b": "import raypipe.kernels.c\n",
        "c": "from raypipe.kernels import (\n    d,\n)\n",
        "d": "from raypipe.kernels.a import x\n",  # a circle ends
        "e": "",
    }
    for name, text in files.items():
        (tmp_path / f"{name}.py").write_text(text)

    def digest() -> str:
        _jit._digest.cache_clear()
        return _jit._digest(tmp_path / "a.py")

    before = digest()
    for name, text in files.items():
        (tmp_path / f"{name}.py").write_text(text + "# changed\n")
        assert (digest() != before) is (name != "e"), name
        (tmp_path / f"{name}.py").write_text(text)
        assert digest() == before


@compiled_only
def test_entries_lie_under_the_digest() -> None:
    assert _half_sum(as_input([1.0])) == 0.5
    assert _jit._digest(Path(__file__)) in Path(_half_sum.stats.cache_path).parts


@compiled_only
def test_a_copy_of_the_code_at_another_path_finds_the_machine_code(tmp_path: Path) -> None:
    """As workers of a Ray job do, which runs from a new copy of the code each time."""
    tiny = "from raypipe.kernels._jit import kernel\n\n\n@kernel\ndef double(x):\n    return 2 * x\n"
    hits = []
    for place in ("one", "two"):
        kernels = tmp_path / place / "raypipe" / "kernels"
        kernels.mkdir(parents=True)
        for file in (kernels / "_jit.py", kernels / "__init__.py", kernels.parent / "__init__.py"):
            original = ROOT / file.relative_to(tmp_path / place)
            file.write_text(original.read_text() if original.is_file() else "")
        (kernels / "tiny.py").write_text(tiny)
        code = f"import sys; sys.path.insert(0, {str(tmp_path / place)!r})\nfrom raypipe.kernels.tiny import double\n"
        code += "print(double(21), len(double.stats.cache_hits), double.py_func.__code__.co_filename)"
        hits.append(_fresh(code, HOME=str(tmp_path))[0])
    assert hits == [f"42 {n} {tmp_path}/{place}/raypipe/kernels/tiny.py" for n, place in enumerate(("one", "two"))]


# --- what is compiled -------------------------------------------------------------------------


def test_an_inlined_helper() -> None:
    assert _half_sum(as_input([1.0, 2.0, 4.0])) == 3.5


@compiled_only
def test_flags() -> None:
    options = _half_sum.targetoptions
    assert (options["nogil"], options["error_model"]) == (True, "numpy")
    assert not options.get("fastmath")
    assert not options.get("parallel")


@compiled_only
def test_division_by_zero_is_not_an_error() -> None:
    assert _ratio(1.0, 0.0) == np.inf
    assert np.isnan(_ratio(0.0, 0.0))


@compiled_only
def test_an_inlined_helper_cannot_allocate() -> None:
    @inlined
    def fresh(n: int) -> np.ndarray:
        return np.zeros(n)

    @kernel
    def use(n: int) -> float:
        return fresh(n).sum()

    with pytest.raises(numba.core.errors.TypingError, match="zeros"):
        use(3)


@compiled_only
def test_nothing_is_compiled_before_the_first_call() -> None:
    @kernel
    def identity(x: float) -> float:
        return x

    assert identity.signatures == []


def test_nojit_leaves_plain_functions() -> None:
    code = "from raypipe.kernels._csv import parse; print(type(parse).__name__)"
    assert _fresh(code, NUMBA_DISABLE_JIT="1", HOME=os.devnull) == ["function"]


# --- inputs -----------------------------------------------------------------------------------


@compiled_only
def test_all_inputs_are_one_specialisation() -> None:
    @kernel
    def first(values: np.ndarray) -> float:
        return values[0]

    matrix = np.arange(12.0).reshape(3, 4)
    frozen = np.arange(4.0)
    frozen.flags.writeable = False
    unaligned = np.frombuffer(b"x" + matrix.tobytes(), np.uint8)[1:].view(np.float64)
    for values in (matrix[0], matrix[:, 1], frozen, frozen[::-1], unaligned, [1.5, 2.0], matrix[0].astype(np.float32)):
        assert first(as_input(values, np.float64)) == np.asarray(values)[0]
    assert len(first.signatures) == 1


def test_as_input_copies_only_what_it_must() -> None:
    values = np.arange(6.0)
    view = as_input(values)
    assert np.shares_memory(view, values)
    assert values.flags.writeable
    assert not view.flags.writeable
    assert as_input(view) is view
    assert not np.shares_memory(as_input(values[::2]), values)
    assert as_input(values[::2]).tolist() == [0.0, 2.0, 4.0]
    assert as_input([1, 2], np.int32).dtype == np.int32
