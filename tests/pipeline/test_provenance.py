"""The command that makes a run again, and what its tables were made of."""

from __future__ import annotations

import hashlib
import shlex
from pathlib import Path

from raypipe.config import load_config
from raypipe.pipeline.plan import Request, make_plan
from raypipe.pipeline.provenance import lineage, origins, repeat_command
from raypipe.schema.family import Params


def test_the_whole_command_needs_neither_files_nor_environment(tmp_path: Path) -> None:
    file = tmp_path / "raypipe.yaml"
    file.write_text("daily: {adjust: none}\nrun: {steps: [daily, symbols]}\nuniverse: {min_price_usd: '2.5'}\n")
    env = {"RAYPIPE_ROOT": "/somewhere/else", "HOME": str(tmp_path), "RAYPIPE_RUN__WORKERS": "3"}
    config = load_config(env=env, folder=tmp_path, sets=("run.executor=serial",))
    command = repeat_command("raypipe run --set run.executor=serial", config)
    words = shlex.split(command.replace("\\\n", " "))
    sets = tuple(words[i + 1] for i, word in enumerate(words) if word == "--set")
    again = load_config(env={"HOME": "/nowhere"}, folder=tmp_path / "empty", sets=sets)
    assert again.masked() == config.masked()
    told = origins(config)
    assert told["values"]["daily.adjust"] == f"project file {file}"
    assert told["values"]["run.executor"] == "flag --set run.executor"
    assert told["files"] == {str(file): hashlib.sha256(file.read_bytes()).hexdigest()}


def test_defaults_are_not_spelled_out(tmp_path: Path) -> None:
    config = load_config(env={}, folder=tmp_path)
    assert repeat_command("raypipe run", config) == "raypipe run"
    assert origins(config) == {"values": {}, "files": {}}


def test_lineage_names_what_is_read_and_changes_with_it(make_lake, params: dict[str, Params]) -> None:
    plan = make_plan(make_lake(), params, Request(steps=("daily",)))
    found = lineage(plan)
    daily = found["silver/daily"]["bronze/day_aggs"]
    built = {item.partition for item in plan.to_build if item.table == "bronze/day_aggs"}
    assert daily["partitions"] == len(built)
    assert (daily["first"], daily["last"]) == (min(built), max(built))
    again = lineage(make_plan(make_lake("second"), params, Request(steps=("daily",))))
    assert again == found
