"""The entry point: what starts, what is loaded, and how every failure ends."""

from __future__ import annotations

import os
import subprocess
import sys

import click
import pytest

from raypipe import errors
from raypipe.cli.main import COMMANDS, cli
from tests.cli.conftest import spawn

NAMES = [name for section in COMMANDS.values() for name in section]
HEAVY = {"ray", "numba", "pandas", "pyarrow", "pydantic", "numpy", "rich", "yaml", "boto3", "lightgbm", "xgboost"}


def test_help_lists_every_command_with_its_own_first_line(raypipe):
    text = raypipe("--help")
    assert text.code == 0
    assert text.err == ""
    for section in COMMANDS.values():
        for name, (_, line) in section.items():
            assert f"  {name} " in text.out
            assert line.endswith(".")
    for code in ("0 done", "1 some", "2 usage", "3 data-quality", "4 input", "5 storage", "130", "143"):
        assert code in text.out


@pytest.mark.parametrize("name", NAMES)
def test_every_command_has_help_with_the_shared_options(raypipe, name):
    text = raypipe(name, "-h")
    assert text.code == 0
    for word in (
        "--root",
        "--config",
        "--set",
        "--json",
        "--quiet",
        "--verbose",
        "--no-color",
        "--log-format",
        "--help",
    ):
        assert word in text.out


@pytest.mark.parametrize("name", NAMES)
def test_every_option_is_explained(name):
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    for param in command.params:
        assert not isinstance(param, click.Option) or (param.help and param.help.endswith((".", ")"))), param.name


def test_help_loads_nothing_heavy():
    """One process says all of it, so that a start of Python is paid once: what it loads stays loaded."""
    calls = [["--help"], ["--version"], *([name, "--help"] for name in NAMES)]
    code = (
        "import sys; from raypipe.cli.main import main\n"
        f"for args in {calls!r}:\n"
        "    code = main(args)\n"
        f"    heavy = {HEAVY!r} & set(sys.modules)\n"
        "    assert not heavy, (args, heavy)\n    assert code == 0, args"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_version(raypipe):
    import raypipe as package

    assert raypipe("--version").out == f"raypipe {package.__version__}\n"


def test_both_ways_to_start_agree():
    script = os.path.join(os.path.dirname(sys.executable), "raypipe")  # noqa: PTH118,PTH120 - a plain path
    if not os.path.exists(script):  # noqa: PTH110
        pytest.skip("the package is not installed")
    done = subprocess.run([script, "--version"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, spawn("--version").out)


def test_no_arguments_is_help_and_a_usage_error(raypipe):
    result = raypipe()
    assert result.code == 2
    assert result.out == ""
    assert "Usage: raypipe" in result.err


# --- how failures end ------------------------------------------------------------------------------


def _fails_with(monkeypatch, error: BaseException) -> None:
    """Make `raypipe tables` fail."""

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("raypipe.pipeline.views.describe_tables", fail)


CASES = [
    (errors.SourceError("bad file", hint="fetch it again", file="f.csv.gz", row=7), 1),
    (errors.SchemaError("bad schema", table="silver/daily"), 1),
    (errors.QuarantineError("too many rows"), 1),
    (errors.PartitionError("damaged"), 1),
    (errors.BlockedError("blocked"), 1),
    (errors.DeveloperError("a contract is broken"), 1),
    (errors.UsageError("wrong request", hint="do this instead"), 2),
    (errors.ConfigError("wrong key"), 2),
    (errors.UnsafeNameError("wrong name"), 2),
    (errors.MissingExtraError("not installed", extra="regime"), 2),
    (errors.DataQualityError("the gate said no"), 3),
    (errors.NotYetError("not there yet"), 4),
    (errors.StorageError("the store refused", store="s3://b"), 5),
    (errors.ClusterError("no cluster"), 5),
    (PermissionError(13, "Permission denied", "/lake"), 5),
    (ZeroDivisionError("a bug"), 1),
    (KeyboardInterrupt(), 130),
]


@pytest.mark.parametrize(("error", "code"), CASES, ids=lambda case: type(case).__name__)
def test_every_kind_of_failure_has_its_code_and_one_line(raypipe, monkeypatch, error, code):
    _fails_with(monkeypatch, error)
    result = raypipe("tables")
    assert result.code == code
    assert result.out == ""
    assert "Traceback" not in result.err
    if isinstance(error, errors.RaypipeError):
        first, *rest = result.err.splitlines()
        assert first.startswith("error: ")
        assert error.message in first
        assert all(str(value) in first for value in error.values.values())
        assert not error.hint or rest[0] == f"hint: {error.hint}"


@pytest.mark.parametrize(("error", "code"), CASES[:-1], ids=lambda case: type(case).__name__)
def test_failures_as_json(raypipe, monkeypatch, error, code):
    _fails_with(monkeypatch, error)
    result = raypipe("tables", "--json")
    document = result.json
    assert (document["schema"], document["command"], document["exit_code"]) == (1, "tables", code)
    assert document["error"]["kind"] == type(error).__name__
    assert document["error"]["message"]


def test_a_traceback_goes_to_a_file_that_is_named_last(raypipe, monkeypatch, tmp_path):
    _fails_with(monkeypatch, ZeroDivisionError("a bug"))
    result = raypipe("tables")
    last = result.err.splitlines()[-1]
    assert last.startswith("log: ")
    path = tmp_path / "state-home" / "raypipe" / "log" / last.rpartition("/")[2]
    text = path.read_text(encoding="utf-8")
    assert "Traceback" in text
    assert "ZeroDivisionError: a bug" in text
    assert text.startswith("raypipe tables\n")
    assert path.stat().st_mode & 0o777 == 0o600


def test_mistakes_of_the_user_leave_no_log(raypipe, tmp_path):
    assert "log:" not in raypipe("run", "--root", tmp_path / "nowhere").err
    assert not (tmp_path / "state-home").exists()


def test_old_logs_are_removed(raypipe, monkeypatch, tmp_path):
    folder = tmp_path / "state-home" / "raypipe" / "log"
    folder.mkdir(parents=True)
    for number in range(30):
        (folder / f"raypipe-20000101T0000{number:02d}-1.log").touch()
    _fails_with(monkeypatch, ZeroDivisionError("a bug"))
    raypipe("tables")
    left = sorted(path.name for path in folder.iterdir())
    assert len(left) == 20
    assert left[-1] > "raypipe-2001"


def test_a_log_folder_that_cannot_be_made_is_replaced(raypipe, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    _fails_with(monkeypatch, ZeroDivisionError("a bug"))
    assert f"log: {tmp_path}/raypipe-" in raypipe("tables").err


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["rum"], "error: no such command 'rum'. Did you mean 'run'?"),
        (["stat"], "error: no such command 'stat'"),
        (["run", "--forc"], "error: no such option '--forc'"),
        (["run", "--workers", "0"], "error: invalid value for '--workers'"),
        (["run", "--executor", "dask"], "error: invalid value for '--executor'"),
        (["run", "--start", "2025-1-2"], "'2025-1-2' is not a date; write it as YYYY-MM-DD"),
        (["run", "--start", "20250102"], "is not a date"),
        (["run", "--start", "2025-02-30"], "is not a date"),
        (["run", "--start", "../../etc"], "is not a date"),
        (["run", "daily"], "error: got unexpected extra argument"),
        (["synth"], "error: missing option '--out'"),
        (["completion", "tcsh"], "error: invalid value"),
    ],
)
def test_wrong_arguments(raypipe, args, message):
    result = raypipe(*args)
    assert result.code == 2
    assert message in result.err
    assert result.out == ""
    assert "hint: see: raypipe" in result.err


def test_wrong_arguments_as_json(raypipe):
    assert raypipe("run", "--forc", "--json").json["exit_code"] == 2


def test_a_reader_that_leaves_is_no_error():
    command = f"{sys.executable} -m raypipe tables | head -1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False)
    assert done.stdout.count("\n") == 1
    assert done.stderr == ""


def test_the_working_folder_and_the_timezone_do_not_matter(built, tmp_path):
    here = spawn("status", "--root", built, "--json", cwd=tmp_path)
    there = spawn("status", "--root", built, "--json", cwd="/", env={"TZ": "Asia/Tokyo", "LC_ALL": "C"})
    assert here.code == there.code == 0
    assert here.out == there.out
