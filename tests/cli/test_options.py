"""Options of every command, in front of the command and behind it, and options with several words."""

from __future__ import annotations

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.cli.options import spread


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ([], []),
        (["--steps", "a"], ["--steps", "a"]),
        (["--steps", "a", "b", "--force"], ["--steps", "a", "--steps", "b", "--force"]),
        (["--steps=a", "b"], ["--steps=a", "--steps", "b"]),
        (["--force", "x", "--steps", "a"], ["--force", "x", "--steps", "a"]),
        (["--steps", "a", "--steps", "b", "c"], ["--steps", "a", "--steps", "b", "--steps", "c"]),
        (["--steps", "--force"], ["--steps", "--force"]),
        (["--stepsx", "a", "b"], ["--stepsx", "a", "b"]),
    ],
)
def test_words_are_spread(args, expected):
    assert spread(args, {"--steps"}) == expected


@given(st.lists(st.sampled_from(["--steps", "--other", "a", "b"])))
def test_spreading_keeps_every_word_in_order(args):
    spread_args = spread(args, {"--steps"})
    assert [a for a in spread_args if not a.startswith("-")] == [a for a in args if not a.startswith("-")]


@pytest.mark.parametrize("spelling", [["daily", "symbols"], ["daily,symbols"], ["daily,", "symbols"]])
def test_steps_in_every_spelling(raypipe, lake, spelling):
    document = raypipe("plan", "--root", lake, "--steps", *spelling, "--json").json
    steps = {item["step"] for item in document["items"]}
    assert steps == {"daily", "symbols"}


def test_an_unknown_step_is_refused(raypipe, lake):
    result = raypipe("plan", "--root", lake, "--steps", "daly")
    assert result.code == 2
    assert "unknown step 'daly'" in result.err
    assert "steps are bars_1d, daily, " in result.err


def test_options_of_every_command_stand_on_both_sides(raypipe, lake, tmp_path):
    (tmp_path / "c.yaml").write_text("run: {workers: 3}", encoding="utf-8")
    before = raypipe("--root", lake, "--json", "--config", tmp_path / "c.yaml", "config", "show", "--origin")
    after = raypipe("config", "show", "--origin", "--root", lake, "--json", "--config", tmp_path / "c.yaml")
    assert before.json == after.json
    assert before.json["values"]["run.workers"] == 3
    assert before.json["values"]["lake.root"] == str(lake)
    assert before.json["origin"]["lake.root"] == "flag"


def test_sets_add_up_and_the_last_wins(raypipe):
    args = ("--set", "run.workers=1", "--set", "run.dq=off", "config", "--set", "run.workers=2", "--json")
    values = raypipe(*args).json["values"]
    assert (values["run.workers"], values["run.dq"]) == (2, "off")


def test_behind_the_command_wins(raypipe):
    assert raypipe("--root", "a", "config", "--root", "b", "--json").json["values"]["lake.root"] == "b"


@pytest.mark.parametrize("name", ["--start", "--start-date"])
def test_both_spellings_of_a_range(raypipe, lake, name):
    items = raypipe("plan", "--root", lake, name, "2025-11-04", "--steps", "symbols", "--json").json["items"]
    keys = {item["partition"] for item in items if item["table"] == "silver/symbol_types"}
    assert keys == {"2025-11-04", "2025-11-05"}


def test_dates_instead_of_a_range(raypipe, lake):
    args = ("--dates", "2025-11-03,2025-11-05", "--steps", "daily", "--json")
    items = raypipe("plan", "--root", lake, *args).json["items"]
    assert {i["partition"] for i in items if i["table"] == "silver/daily_filtered"} == {"2025-11-03", "2025-11-05"}
    assert {i["partition"] for i in items if i["table"] == "silver/weekly"} == {"2025-11-03"}
    both = raypipe("plan", "--root", lake, "--dates", "2025-11-03", "--start", "2025-11-03")
    assert (both.code, "exclude each other" in both.err) == (2, True)


def test_a_range_that_ends_before_it_starts(raypipe, lake):
    for name in ("plan", "status", "verify", "check-missing", "ingest", "export"):
        out = ("--out", "x") if name == "export" else ()
        result = raypipe(name, "--root", lake, "--start", "2025-11-05", "--end", "2025-11-03", *out)
        assert (result.code, "is before" in result.err) == (2, True), name


def test_no_option_is_abbreviated(raypipe):
    assert raypipe("run", "--work", "2").code == 2
    assert raypipe("ru").code == 2


def test_help_shows_shared_options_apart(raypipe):
    text = raypipe("run", "--help").out
    own, shared = text.split("Options of every command:")
    assert "--steps" in own
    assert "--root" not in own
    assert "--root" in shared


def test_every_shared_option_is_remembered():
    from raypipe.cli.app import App, Options
    from raypipe.cli.options import global_options

    fields = set(Options.__dataclass_fields__)
    assert {param.name for param in global_options()} == fields
    app = App(())
    app.remember("sets", ("a=1",))
    app.remember("sets", ("b=2",))
    assert app.options.sets == ("a=1", "b=2")
    assert isinstance(global_options()[0], click.Option)
