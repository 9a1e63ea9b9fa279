"""verify, gc, doctor, demo, completion, submit."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import LAST, files, spawn, tables

# --- verify and gc -----------------------------------------------------------------------------------


def test_a_sound_lake(raypipe, built):
    result = raypipe("verify", "--root", built, "--json")
    assert (result.code, result.json["problems"]) == (0, [])
    assert result.json["checked"] == len(tables(built))


def test_one_flipped_bit_is_found_and_mended(raypipe, own_built, built):
    path = own_built / "silver" / "daily" / f"date={LAST}.parquet"
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 1
    path.write_bytes(data)
    result = raypipe("verify", "--root", own_built, "--tables", "daily", "weekly")
    assert result.code == 1
    assert f"silver/daily  {LAST}" in result.out
    assert "1 with problems" in result.out
    assert "hint: damaged partitions are rebuilt by" in result.err
    assert raypipe("verify", "--root", own_built, "--end", "2025-11-04").code == 0
    path.unlink()
    assert raypipe("run", "--root", own_built, "--executor", "serial").code == 0
    assert tables(own_built) == tables(built)


def test_leftovers_are_shown_and_then_swept(raypipe, own_built):
    folder = own_built / "silver" / "daily"
    leftover = folder / ".date=2025-11-05.parquet.123-0123456789ab.tmp"
    leftover.write_bytes(b"half")
    os.utime(leftover, (1, 1))
    (folder / "notes.txt").write_text("of a person", encoding="utf-8")
    shown = raypipe("gc", "--root", own_built)
    assert "1 leftovers found, 4 B" in shown.out
    assert "hint: remove them: raypipe gc --yes" in shown.err
    assert leftover.exists()
    swept = raypipe("gc", "--root", own_built, "--yes", "--json")
    assert (swept.json["removed"], len(swept.json["leftovers"])) == (True, 1)
    assert not leftover.exists()
    assert (folder / "notes.txt").exists()


def test_young_leftovers_stay(raypipe, own_built):
    leftover = own_built / "silver" / "daily" / ".x.parquet.123-0123456789ab.tmp"
    leftover.write_bytes(b"half")
    assert raypipe("gc", "--root", own_built, "--yes", "--json").json["leftovers"] == []
    assert len(raypipe("gc", "--root", own_built, "--grace-hours", "0", "--json").json["leftovers"]) == 1


# --- doctor ------------------------------------------------------------------------------------------


def test_a_healthy_machine(raypipe, own_built):
    before = files(own_built)
    result = raypipe("doctor", "--root", own_built, "--json")
    checks = {check["name"]: check for check in result.json["checks"]}
    assert result.code == 0
    assert set(checks) == {"python", "packages", "cpus", "memory", "ray", "lake", "disk", "storage"}
    assert checks["storage"]["state"] == "ok"
    assert str(own_built) in checks["lake"]["detail"]
    assert files(own_built) == before


def test_a_lake_that_is_not_there_yet_is_a_warning(raypipe, tmp_path):
    result = raypipe("doctor", "--root", tmp_path / "no")
    assert result.code == 0
    assert "raypipe ingest makes it" in result.err
    assert not (tmp_path / "no").exists()


def test_storage_and_vendor_that_do_not_answer(raypipe, own_built):
    storage = raypipe("doctor", "--root", "s3://bucket/x", "--set", "lake.endpoint_url=http://127.0.0.1:9")
    assert storage.code == 5
    vendor = raypipe("doctor", "--root", own_built, "--remote", "--set", "ingest.endpoint_url=http://127.0.0.1:9")
    assert vendor.code == 5
    assert "vendor" in vendor.out


def test_little_memory_and_disk_are_warnings(raypipe, own_built, monkeypatch):
    monkeypatch.setattr("raypipe.cli.doctor._cgroup_limit", lambda: 1 << 30)
    monkeypatch.setattr("raypipe.cli.doctor.LOW_DISK", 1 << 62)
    result = raypipe("doctor", "--root", own_built, "--json")
    states = {check["name"]: check["state"] for check in result.json["checks"]}
    assert (result.code, states["memory"], states["disk"]) == (0, "warning", "warning")


def test_a_missing_package_is_named(raypipe, own_built, monkeypatch):
    monkeypatch.setattr("raypipe.cli.doctor.PACKAGES", ("numpy", "no-such-package"))
    result = raypipe("doctor", "--root", own_built)
    assert result.code == 2
    assert "missing: no-such-package" in result.out


# --- demo --------------------------------------------------------------------------------------------

TINY = ("--sessions", "1", "--symbols", "1", "--history", "0", "--executor", "serial")
SMALL = ("--sessions", "3", "--symbols", "3", "--history", "5", "--executor", "serial")


def test_the_demo_ends_with_every_planted_answer_right(tmp_path):
    """In a process of its own, in an empty folder, without credentials."""
    names = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "HTTP_PROXY": "http://127.0.0.1:9"}
    done = spawn("demo", *SMALL, cwd=tmp_path, env=names)
    assert done.code == 0, done.out + done.err
    lines = done.out.splitlines()
    verdicts = [line for line in lines if line.split()[2:3] and line.split()[2].isdigit() and "planted" in line]
    assert len(verdicts) > 5
    assert all(line.endswith("as planted") for line in verdicts)
    assert any(line.startswith("names") for line in verdicts)
    assert "● current" in done.out
    report = lines[-1].removeprefix("report: ")
    assert os.path.isfile(report)  # noqa: PTH113 - a path that was printed
    assert {path.name for path in (tmp_path / "demo").iterdir()} == {"vendor", "lake"}
    before = tables(tmp_path / "demo" / "lake")
    again = spawn("demo", *SMALL, "--json", cwd=tmp_path)
    assert again.code == 0
    assert all(verdict["wrong"] == "" for verdict in again.json["planted"])
    assert again.json["report"] == report
    assert tables(tmp_path / "demo" / "lake") == before


@pytest.mark.slow
def test_from_nine_sessions_on_the_demo_has_books_and_a_picture_of_them(raypipe, tmp_path):
    result = raypipe("demo", "--out", tmp_path / "d", "--sessions", 9, *TINY[2:], "--json")
    assert result.code == 0, result.err
    verdicts = {verdict["id"]: verdict for verdict in result.json["planted"]}
    for name, table, answers in (("ES-BREAK", "gold/signals", 2), ("ES-BOUNCE", "gold/signals", 2)):
        found = verdicts[name]
        assert (found["table"], found["answers"], found["wrong"]) == (table, answers, "")
    assert verdicts["ES-FRONT"]["answers"] == 9
    page = Path(result.json["report"]).read_text("utf-8")
    assert "<h2>Signals of 2025-11-12</h2>" in page
    assert 'class="sp"' in page
    assert len(page) < 600_000
    assert (tmp_path / "d/lake/gold/signals/date=2025-11-12.parquet").exists()


@pytest.mark.slow
def test_a_wrong_answer_ends_the_demo_with_1(raypipe, tmp_path, monkeypatch):
    from raypipe.pipeline.planted import Verdict

    monkeypatch.setattr("raypipe.pipeline.market.compare_market", lambda *_: [Verdict("PLTA", "silver/daily", 1, "no")])
    result = raypipe("demo", "--out", tmp_path / "d", *TINY)
    assert result.code == 1
    assert "1 of 1 planted answers are wrong" in result.err


def test_without_a_server_the_demo_says_what_to_install(raypipe, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    result = raypipe("demo", "--out", tmp_path / "d", *SMALL)
    assert result.code == 2
    assert "hint: pip install 'raypipe[demo]'" in result.err


@pytest.mark.slow
def test_a_demo_stays_out_of_the_lake_of_the_user(raypipe, tmp_path, monkeypatch):
    monkeypatch.setenv("RAYPIPE_ROOT", str(tmp_path / "mine"))
    monkeypatch.setattr("raypipe.pipeline.market.compare_market", lambda *_: [])
    assert raypipe("demo", "--out", tmp_path / "d", *TINY, "--root", tmp_path / "mine").code == 0
    assert not (tmp_path / "mine").exists()


# --- completion --------------------------------------------------------------------------------------


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_scripts_name_every_command_and_flag(raypipe, shell):
    import click

    from raypipe.cli.main import cli

    script = raypipe("completion", shell).out
    for name in cli.list_commands(click.Context(cli)):
        assert name in script
        command = cli.get_command(click.Context(cli), name)
        for flag in (flag for param in command.params for flag in param.opts if flag.startswith("--")):
            assert (f"-l {flag[2:]} " if shell == "fish" else flag) in script


def test_bash_completes(raypipe, tmp_path):
    (tmp_path / "c.sh").write_text(raypipe("completion", "bash").out, encoding="utf-8")

    def complete(*words: str) -> list[str]:
        line = " ".join(words)
        code = f"source c.sh; COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; _raypipe; echo ${{COMPREPLY[@]}}"
        done = subprocess.run(["bash", "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
        return done.stdout.split()

    assert complete("raypipe", "stat") == ["status"]
    assert complete("raypipe", "run", "--exe") == ["--executor"]
    assert set(complete("raypipe", "run", "--executor", "''")) == {"auto", "serial", "process", "ray"}
    assert complete("raypipe", "completion", "z") == ["zsh"]
    assert complete("raypipe", "--no-c") == ["--no-color"]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_accept_their_script(raypipe, tmp_path, shell):
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    (tmp_path / "c").write_text(raypipe("completion", shell).out, encoding="utf-8")
    assert subprocess.run([shell, "-n", tmp_path / "c"], capture_output=True, check=False).returncode == 0


# --- submit ------------------------------------------------------------------------------------------


def test_without_a_dashboard(tmp_path):
    done = spawn("submit", "--address", "http://127.0.0.1:9", "--", "python", "-c", "pass", cwd=tmp_path)
    assert done.code == 5
    assert "hint: " in done.err
    assert "Traceback" not in done.err


def test_a_command_is_needed(raypipe):
    result = raypipe("submit")
    assert (result.code, "missing argument" in result.err) == (2, True)


@pytest.mark.parametrize("code", [0, 1, 7, 143])
def test_what_is_submitted_and_how_it_ends(raypipe, monkeypatch, code):
    """The edge itself is tested against a real head node in tests/ray."""
    wishes = []

    def submit(wish, *, say, output) -> int:
        wishes.append(wish)
        say("job a submitted")
        output("out of the job\n")
        return code

    monkeypatch.setattr("tasks.submit.submit", submit)
    args = (
        "--address",
        "http://h:1",
        "--working-dir",
        ".",
        "--submission-id",
        "a",
        "--",
        "python",
        "-m",
        "x",
        "--start",
        "1",
    )
    result = raypipe("submit", *args)
    assert result.code == code
    assert result.out == "out of the job\n"
    assert "job a submitted" in result.err
    (wish,) = wishes
    assert wish.entrypoint == ("python", "-m", "x", "--start", "1")
    assert (wish.address, wish.working_dir, wish.submission_id, wish.wait) == ("http://h:1", ".", "a", True)
    document = raypipe("submit", "--no-wait", "--json", "--", "true")
    assert document.json["exit_code"] == code
    assert wishes[-1].wait is False
