"""The registry: what is promoted, what is refused, and that a kill at any step leaves a whole version in use."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
from pathlib import Path

import pytest

from raypipe.errors import DataQualityError, ModelError, UsageError
from raypipe.lake import faults
from raypipe.lake.location import Location
from raypipe.lake.objects import open_store
from raypipe.report.gates import GATES
from raypipe.training.bundle_files import METRICS, check_bundle
from raypipe.training.looks import record_look
from raypipe.training.registry import load_registered, promote, rollback
from raypipe.training.registry_state import history, latest_of, versions_of
from tests.training.bundles import NAME, files_of, judged, judged_bundles


@pytest.fixture(scope="module")
def templates(tmp_path_factory):
    return judged_bundles(tmp_path_factory.mktemp("bundles"), 3)


@pytest.fixture
def bundles(templates, tmp_path):
    return shutil.copytree(templates, tmp_path / "bundles")


@pytest.fixture
def lake(tmp_path):
    return Location.parse(str(tmp_path / "lake"))


def state(location: Location) -> dict[str, bytes]:
    return files_of(Path(location.root)) if Path(location.root).exists() else {}


def in_use(location: Location) -> str | None:
    """The bundle in use, after a check of all that a reader would check."""
    latest = latest_of(open_store(location), NAME)
    if latest is None:
        return None
    bundle, version = load_registered(location, NAME)
    assert (version, bundle.sha256) == (latest.version, latest.bundle_sha256)
    return bundle.sha256


# --- promote ---------------------------------------------------------------------------------------


def test_a_promoted_bundle_is_in_use_and_the_one_before_is_known(lake, bundles):
    clock = itertools.count(1_000).__next__
    one = promote(lake, bundles / "0", NAME, approve=True, clock=clock)
    two = promote(lake, bundles / "1", NAME, approve=True, clock=clock)
    assert (one.version, two.version, two.exit_code) == ("v0001", "v0002", 0)
    store = open_store(lake)
    latest = json.loads(store.read(f"registry/{NAME}/latest.json"))
    assert set(latest) == {"schema", "version", "bundle_sha256", "previous", "promoted_ns", "reason"}
    assert (latest["version"], latest["previous"], latest["promoted_ns"]) == ("v0002", "v0001", 1_001)
    assert in_use(lake) == check_bundle(bundles / "1").sha256
    assert [(one["action"], one["version"]) for one in history(store, NAME)] == [
        ("promote", "v0001"),
        ("promote", "v0002"),
    ]
    assert files_of(Path(lake.root) / "registry" / NAME / "v0002") == files_of(bundles / "1")
    assert load_registered(lake, NAME, "v0001")[0].sha256 == check_bundle(bundles / "0").sha256


def test_without_approval_nothing_changes(lake, bundles):
    assert promote(lake, bundles / "0", NAME).exit_code == 0
    assert state(lake) == {}
    promote(lake, bundles / "0", NAME, approve=True)
    before = state(lake)
    decision = promote(lake, bundles / "1", NAME)
    assert (decision.version, decision.before.version) == (None, "v0001")
    with pytest.raises(UsageError, match="nothing was before"):
        rollback(lake, NAME)
    assert state(lake) == before


def test_promoting_what_is_in_use_changes_nothing(lake, bundles):
    promote(lake, bundles / "0", NAME, approve=True)
    before = state(lake)
    assert promote(lake, bundles / "0", NAME, approve=True).version == "v0001"
    assert state(lake) == before


@pytest.mark.parametrize("name", GATES)
@pytest.mark.parametrize("harm", ["null", "gone", "bad", "text"])
def test_a_gate_that_fails_or_is_missing_is_never_promoted_whatever_the_file_says(lake, bundles, name, harm):
    worse = {"p_values": {"logistic": 0.9}, "winners": 1} if name == "best_of_n" else {"pbo": 1.0}.get(name, -9.0)
    value = {"null": None, "gone": ..., "bad": worse, "text": "0.99"}[harm]
    judged(bundles / "0", **{name: value})
    decision = promote(lake, bundles / "0", NAME, approve=True)
    assert (decision.verdict, decision.exit_code, decision.version) == ("fail", 3, None)
    assert [gate.name for gate in decision.gates if not gate.passed] == [name]
    assert state(lake) == {}


def test_metrics_without_thresholds_fail(lake, bundles):
    judged(bundles / "0", gates=[])
    assert promote(lake, bundles / "0", NAME, approve=True).exit_code == 3


def test_what_was_not_judged_or_is_another_bundle_is_refused(lake, bundles):
    shutil.copy(bundles / "1" / METRICS, bundles / "0" / METRICS)
    with pytest.raises(DataQualityError, match="metrics are of bundle") as caught:
        promote(lake, bundles / "0", NAME, approve=True)
    assert check_bundle(bundles / "0").sha256 in str(caught.value)
    for text in ("", "[]", "{", '{"bundle_sha256": 1}'):
        (bundles / "0" / METRICS).write_text(text or "{}")
        with pytest.raises((DataQualityError, ModelError)):
            promote(lake, bundles / "0", NAME, approve=True)
    (bundles / "0" / METRICS).unlink()
    with pytest.raises(DataQualityError, match="not judged"):
        promote(lake, bundles / "0", NAME, approve=True)
    assert state(lake) == {}


def test_an_altered_file_is_refused(lake, bundles):
    (bundles / "0" / "meta.json").write_text("{}")
    with pytest.raises(ModelError, match=r"meta\.json"):
        promote(lake, bundles / "0", NAME, approve=True)
    assert state(lake) == {}


def test_looks_under_this_name_must_have_been_counted(lake, bundles):
    judged(bundles / "0", name="elsewhere")
    assert promote(lake, bundles / "0", NAME).exit_code == 0
    record_look(open_store(lake), NAME, {"bundle_sha256": "x" * 64, "start": "2020-06-01", "end": "2021-06-01"})
    with pytest.raises(DataQualityError, match="were not counted"):
        promote(lake, bundles / "0", NAME, approve=True)
    judged(bundles / "0", name="elsewhere", looks=1)
    assert promote(lake, bundles / "0", NAME, approve=True).version == "v0001"
    assert len(list(open_store(lake).list(f"registry/{NAME}/looks/"))) == 2


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "x" * 65])
def test_a_name_that_leads_elsewhere_is_refused(lake, bundles, name):
    with pytest.raises(UsageError):
        promote(lake, bundles / "0", name, approve=True)


# --- rollback --------------------------------------------------------------------------------------


def test_rolled_back_twice_is_back(lake, bundles):
    for i in range(2):
        promote(lake, bundles / str(i), NAME, approve=True)
    assert not rollback(lake, NAME).done
    assert in_use(lake) == check_bundle(bundles / "1").sha256
    assert rollback(lake, NAME, approve=True).to == "v0001"
    assert in_use(lake) == check_bundle(bundles / "0").sha256
    assert rollback(lake, NAME, approve=True).to == "v0002"
    assert in_use(lake) == check_bundle(bundles / "1").sha256
    assert [one["action"] for one in history(open_store(lake), NAME)] == ["promote", "promote", "rollback", "rollback"]
    assert all(versions_of(open_store(lake), NAME).values())


def test_a_rollback_goes_to_any_whole_version_and_to_no_other(lake, bundles):
    for i in range(3):
        promote(lake, bundles / str(i), NAME, approve=True)
    assert rollback(lake, NAME, to="v0001", approve=True).before.version == "v0003"
    assert latest_of(open_store(lake), NAME).previous == "v0003"
    for wrong in ("v0009", "v0001", "latest", "../x"):
        with pytest.raises(UsageError):
            rollback(lake, NAME, to=wrong, approve=True)
    (Path(lake.root) / f"registry/{NAME}/v0002/meta.json").write_text("{}")
    with pytest.raises(ModelError, match=r"meta\.json"):
        rollback(lake, NAME, to="v0002", approve=True)
    assert in_use(lake) == check_bundle(bundles / "0").sha256


def test_a_version_that_was_exchanged_is_not_loaded(lake, bundles):
    promote(lake, bundles / "0", NAME, approve=True)
    version = Path(lake.root) / f"registry/{NAME}/v0001"
    shutil.rmtree(version)
    shutil.copytree(bundles / "1", version)
    with pytest.raises(ModelError, match="promoted was bundle"):
        load_registered(lake, NAME)


@pytest.mark.parametrize("text", ["", "[]", '{"schema": 1}', '{"schema": 2, "version": "v0001"}'])
def test_a_pointer_that_says_nothing_is_an_error(lake, bundles, text):
    promote(lake, bundles / "0", NAME, approve=True)
    (Path(lake.root) / f"registry/{NAME}/latest.json").write_text(text)
    with pytest.raises(ModelError, match=r"latest\.json"):
        load_registered(lake, NAME)


# --- kills -----------------------------------------------------------------------------------------


def killed(call, text: str) -> bool:
    """Run a call in a child with a fault armed; whether it was killed."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            faults.arm(text)
            call()
            code = 0
        finally:
            os._exit(code)
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.WEXITSTATUS(status) == 0
    return False


POINTS = ("before_tmp", "mid_tmp", "after_fsync", "before_rename", "after_rename", "before_receipt")


@pytest.mark.parametrize("point", POINTS)
def test_a_promotion_killed_at_any_step_leaves_a_whole_version_in_use_and_can_be_done_again(lake, bundles, point):
    old, new = (check_bundle(bundles / str(i)).sha256 for i in (0, 1))
    promote(lake, bundles / "0", NAME, approve=True)
    template = Path(lake.root).with_name("template")
    shutil.copytree(lake.root, template)
    kills = 0
    for nth in itertools.count(1):
        if not killed(lambda: promote(lake, bundles / "1", NAME, approve=True), f"{point}:kill,n={nth}"):
            break
        kills += 1
        assert in_use(lake) in {old, new}
        promote(lake, bundles / "1", NAME, approve=True)
        assert in_use(lake) == new
        assert versions_of(open_store(lake), NAME) == {"v0001": True, "v0002": True}
        rollback(lake, NAME, approve=True)
        assert in_use(lake) == old
        assert [one["action"] for one in history(open_store(lake), NAME)] == ["promote", "promote", "rollback"]
        shutil.rmtree(lake.root)
        shutil.copytree(template, lake.root)
    assert kills


@pytest.mark.parametrize("point", ["after_fsync", "before_rename", "after_rename", "before_receipt"])
def test_a_rollback_killed_at_any_step_leaves_a_whole_version_in_use(lake, bundles, point):
    for i in range(2):
        promote(lake, bundles / str(i), NAME, approve=True)
    assert killed(lambda: rollback(lake, NAME, approve=True), f"{point}:kill,n=1")
    assert in_use(lake) in {check_bundle(bundles / str(i)).sha256 for i in (0, 1)}
    rollback(lake, NAME, to="v0001", approve=True) if latest_of(open_store(lake), NAME).version == "v0002" else promote(
        lake, bundles / "1", NAME, approve=True
    )
    actions = [one["action"] for one in history(open_store(lake), NAME)]
    assert actions[:2] == ["promote", "promote"]
    assert "rollback" in actions
