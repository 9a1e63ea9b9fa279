"""Cluster files: Ray's own checks accept them, versions agree, nothing listens on a public address."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent

# In a process of its own: the rest of the test run stays free of ray.
_VALIDATE = """
import json, sys
from ray.autoscaler._private.util import prepare_config, validate_config
config = prepare_config(json.load(sys.stdin))
validate_config(config)
json.dump(config, sys.stdout)
"""
_SHIPPED = """
import sys
from pathlib import Path
from ray._private.runtime_env.packaging import _dir_travel
root, found = Path(sys.argv[1]), []
_dir_travel(root, [], lambda path: found.append(path), include_gitignore=True)
print(*(path.relative_to(root) for path in found if path.is_file()), sep="\\n")
"""


def run_python(code: str, *args: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code, *args], input=stdin, capture_output=True, text=True, check=False)


def load(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


def locked_version(package: str) -> str:
    found = re.search(rf"^{package}==(\S+)", (ROOT / "requirements.lock").read_text(encoding="utf-8"), re.MULTILINE)
    assert found, f"{package} is not locked"
    return found[1]


@pytest.fixture(scope="module")
def prepared() -> dict[str, Any]:
    """cluster.yaml with Ray's defaults filled in, as `ray up` would use it."""
    done = run_python(_VALIDATE, stdin=json.dumps(load("cluster.yaml")))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_ray_accepts_the_cluster(prepared):
    assert prepared["provider"]["type"] == "aws"
    assert prepared["head_node_type"] in prepared["available_node_types"]


def test_the_head_does_no_work_and_workers_are_spot(prepared):
    types = prepared["available_node_types"]
    head = types.pop(prepared["head_node_type"])
    assert head["resources"]["CPU"] == 0
    assert head["max_workers"] == 0
    for worker in types.values():
        assert worker["node_config"]["InstanceMarketOptions"]["MarketType"] == "spot"
    for node in (head, *types.values()):
        assert node["node_config"]["IamInstanceProfile"]["Name"], "keys have no place on a node"


def test_nothing_listens_on_a_public_address(prepared):
    assert "0.0.0.0" not in json.dumps(prepared), "Ray's default dashboard address came back"
    assert any("--dashboard-host=127.0.0.1" in line for line in prepared["head_start_ray_commands"])
    assert prepared["provider"].get("security_group") is None


def test_nothing_is_installed_over_the_image(prepared):
    commands = [line for name, lines in prepared.items() if name.endswith("setup_commands") for line in lines]
    assert commands == []


@pytest.mark.parametrize(
    ("path", "name"),
    [((), "max_worker"), (("docker",), "imagee"), (("available_node_types", "worker"), "min_worker")],
)
def test_a_mistyped_key_is_rejected(path, name):
    config = load("cluster.yaml")
    place = config
    for step in path:
        place = place[step]
    place[name] = 1
    done = run_python(_VALIDATE, stdin=json.dumps(config))
    assert done.returncode != 0
    assert name in done.stderr


def test_rayjob_holds_the_essentials():
    job = load("docker/rayjob.yaml")
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    spec = job["spec"]
    assert spec["backoffLimit"] == 0
    assert spec["shutdownAfterJobFinishes"] is True
    assert spec["ttlSecondsAfterFinished"] > 0
    assert spec["activeDeadlineSeconds"] > 0
    assert spec["entrypoint"].startswith("python -m tasks.")
    cluster = spec["rayClusterSpec"]
    assert cluster["rayVersion"] == locked_version("ray")
    assert cluster["authOptions"] == {"mode": "token"}
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"


def test_rayjob_pods_use_one_image_and_no_plain_secret():
    cluster = load("docker/rayjob.yaml")["spec"]["rayClusterSpec"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    containers = [c for group in groups for c in group["template"]["spec"]["containers"]]
    assert {c["image"] for c in containers} == {load("cluster.yaml")["docker"]["image"]}
    for variable in (variable for c in containers for variable in c.get("env", [])):
        assert "value" not in variable or not re.search("KEY|SECRET|TOKEN|PASSWORD", variable["name"])


def test_image_has_the_locked_ray_and_installs_by_hash():
    text = (ROOT / "docker" / "Dockerfile").read_text(encoding="utf-8")
    bases = re.findall(r"^FROM (\S+)", text, re.MULTILINE)
    assert set(bases) == {f"rayproject/ray:{locked_version('ray')}-py311-cpu"}
    assert "--require-hashes --requirement requirements.lock" in text
    assert re.findall(r"^USER (\S+)", text, re.MULTILINE) == ["ray"]


def test_every_locked_package_has_hashes():
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    entries = re.split(r"(?m)^(?=[A-Za-z])", text)[1:]
    assert len(entries) > 100
    for entry in entries:
        assert re.match(r"[\w.-]+==\S+ ", entry), entry[:80]
        assert "--hash=sha256:" in entry, entry[:80]


def test_lock_covers_every_declared_dependency():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = project["dependencies"] + project["optional-dependencies"]["dev"]
    names = [re.split(r"[\[><=]", line)[0].lower().replace("_", "-") for line in declared]
    assert [name for name in names if not locked_version(name)] == []


def test_a_submitted_working_dir_holds_the_code_and_no_data(tmp_path):
    (tmp_path / ".rayignore").write_text((ROOT / ".rayignore").read_text())
    (tmp_path / ".gitignore").write_text((ROOT / ".gitignore").read_text())
    code = [
        "raypipe/lake/store.py",
        "raypipe/cli/main.py",
        "tasks/backfill.py",
        "tuning/sweep.py",
        "configs/default.yaml",
    ]
    data = [
        "lake/bronze/x.parquet",
        "raw/a.csv.gz",
        "demo/report.html",
        ".venv/bin/python",
        "tests/test_a.py",
        "b.dbn.zst",
    ]
    for name in [*code, *data]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    done = run_python(_SHIPPED, str(tmp_path))
    assert done.returncode == 0, done.stderr
    shipped = set(done.stdout.split())
    assert shipped >= set(code)
    assert not shipped & set(data)
