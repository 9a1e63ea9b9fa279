"""Models as jobs on a head: a backfill that ends with them, and a search, leave what one process leaves."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.ray.head import Head
from tests.training.planted_lake import write_lake

pytestmark = [pytest.mark.ray, pytest.mark.slow]


@pytest.fixture
def roots(tmp_path: Path) -> list[Path]:
    """Two folders with the same bars, the same list of symbols by the same name, and a configuration."""
    found = [tmp_path / name for name in ("serial", "jobs")]
    for root in found:
        write_lake(root)
        text = (root / "raypipe.yaml").read_text().replace("symbols.txt", str(tmp_path / "serial" / "symbols.txt"))
        (root / "raypipe.yaml").write_text(text)
    return found


def bundle(root: Path) -> dict[str, bytes]:
    """The bundle of the only search."""
    (folder,) = root.glob("lake/runs/*/bundle")
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def journals(root: Path, run: str = "????????????") -> dict[str, Any]:
    """What was asked and found, without the clock."""
    found: dict[str, Any] = {}
    for path in sorted(root.glob(f"lake/runs/{run}/studies/*/*/journal.jsonl")):
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        kept = [{k: v for k, v in line.items() if k not in {"seconds", "cpu_s"}} for line in lines]
        found[str(path.relative_to(root))] = (kept, path.with_name("oof.f32").read_bytes())
    return found


def test_models_made_by_jobs_are_those_of_one_process(head: Head, roots: list[Path]):
    serial, jobs = roots
    config = ("--config", str(jobs / "raypipe.yaml"))
    submit = ("ray", "job", "submit", "--working-dir", ".", "--", "python", "-m")
    with ThreadPoolExecutor(1) as pool:
        alone = pool.submit(head.run, "raypipe", "run", "--config", str(serial / "raypipe.yaml"))
        done = head.run(*submit, "tasks.backfill", *config, RAY_API_SERVER_ADDRESS=head.dashboard)
    assert alone.result().returncode == 0, alone.result().stderr
    assert done.returncode == 0, done.stdout + done.stderr
    assert "models of direction_1d: pass" in done.stdout
    assert bundle(jobs) == bundle(serial)
    whole = journals(serial)
    assert journals(jobs) == whole
    (run,) = (path.parent for path in jobs.glob("lake/runs/*/splits.json"))
    # Beside the lake: --fresh moves the folder of the run aside.
    files = [run.joinpath(name).rename(jobs / name) for name in ("splits.json", "feature_config.yaml")]
    named = ("--splits", str(files[0]), "--features", str(files[1]))
    done = head.run(*submit, "tuning.sweep", *config, *named, "--fresh", RAY_API_SERVER_ADDRESS=head.dashboard)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"run {run.name} done: 2 done" in done.stdout
    assert journals(jobs, run.name) == whole
    record = json.loads((run / "run.json").read_text())
    assert (record["executor"], record["status"]) == ("ray", "done")
