"""Events, labels and the training set through the pipeline: planted answers, staleness, footers, fused or apart."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from raypipe.dataset.columns import DatasetParams
from raypipe.labels.first_passage import LabelsParams
from raypipe.labels.range_expansion import RangeParams
from raypipe.lake.location import Location
from raypipe.lake.store import Lake
from raypipe.pipeline.driver import RunResult, execute
from raypipe.pipeline.executor import Serial
from raypipe.pipeline.plan import Request, make_plan
from raypipe.pipeline.planted import check_planted
from raypipe.pipeline.stages import stages
from raypipe.schema.events import EventsParams
from raypipe.schema.family import Params, linked
from raypipe.schema.macd import MacdParams
from raypipe.sources.synthetic import SynthParams, write_market

EVENTS = ("gold/events", "gold/event_features", "gold/event_labels")
RANGE, DATASET = "gold/range_expansion_labels", "gold/ml_dataset"
#: Enough history for the daily filter.
MARKET = SynthParams(sessions=5, symbols=8, history=64, seed=5)
DATES = ("2025-10-31", "2025-11-03", "2025-11-04", "2025-11-05", "2025-11-06")


def defaults() -> dict[str, Params]:
    return {stage.name: stage.params() for stage in stages()}


def run(lake: Lake, params: Mapping[str, Params], **request: object) -> RunResult:
    result = execute(make_plan(lake, params, Request(**request)), Serial(), stop=threading.Event())
    assert not result.failures, result.failures[0].error
    return result


def stale(lake: Lake, params: Mapping[str, Params]) -> set[str]:
    return {item.table for item in make_plan(lake, params, Request()).to_build}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    write_market(folder, MARKET, force=True)
    return folder


@pytest.fixture(scope="module")
def finished(files: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Lake, RunResult]:
    """A lake that is built to the end, not to be changed, and the run that did it."""
    root = tmp_path_factory.mktemp("finished")
    lake = linked_lake(files, root)
    return lake, run(lake, defaults())


@pytest.fixture
def copy(finished: tuple[Lake, RunResult], tmp_path: Path) -> Callable[[], Lake]:
    """Makes lakes like the finished one, to be changed."""

    def make() -> Lake:
        shutil.copytree(finished[0].location.root, tmp_path / "copy", copy_function=os.link)
        return Lake(Location.parse(str(tmp_path / "copy")))

    return make


def linked_lake(files: Path, root: Path) -> Lake:
    for part in ("us_stocks_sip", "reference"):
        shutil.copytree(files / part, root / "raw" / part, copy_function=os.link)
    return Lake(Location.parse(str(root)))


def content(lake: Lake, tables: tuple[str, ...]) -> dict[str, bytes]:
    root = Path(lake.location.root)
    return {str(path.relative_to(root)): path.read_bytes() for t in tables for path in sorted((root / t).iterdir())}


def test_planted_answers(finished: tuple[Lake, RunResult], files: Path):
    params = linked(defaults())
    tables = {table.name: table for table in (stage.table(params[stage.name]) for stage in stages())}
    verdicts = check_planted(finished[0], tables, files / "truth.json")
    assert not [verdict for verdict in verdicts if verdict.wrong]
    answers = {table: {v.id for v in verdicts if v.table == table} for table in (*EVENTS, RANGE, DATASET)}
    steps = {"PLTA", "PLAD", "PLTO", "PLAM", "PLEX", "PLGP", "PLNE", "PLHZ", "PLTM"}
    assert answers["gold/events"] == answers["gold/event_labels"] == steps
    assert answers[RANGE] == answers[DATASET] == {"PLEX"}


def test_rows_of_the_training_set_are_counted(finished: tuple[Lake, RunResult]):
    lake, result = finished
    params = linked(defaults())
    spec = next(stage.table(params["events"]) for stage in stages() if stage.name == "events")
    built = [outcome for outcome in result.outcomes if outcome.table == DATASET]
    assert len(built) == len(DATES)
    for outcome in built:
        events = lake.read(spec, outcome.partition, ("symbol",)).num_rows
        out = {finding.kind: finding.count for finding in outcome.findings}
        assert set(out) <= {"not_in_universe", "outside_price_range", "unlabeled"}
        assert outcome.rows == events - sum(out.values())
    assert sum(outcome.rows for outcome in built) > 20


def test_a_footer_tells_features_from_labels(finished: tuple[Lake, RunResult]):
    path = Path(finished[0].location.root) / DATASET / f"date={DATES[-1]}.parquet"
    schema, footer = pq.read_schema(path), pq.read_metadata(path).metadata
    roles = json.loads(footer[b"raypipe.roles"])
    assert footer[b"raypipe.primary_label"] == b"label_80bp_30m"
    assert roles == {field.name: field.metadata[b"role"].decode() for field in schema}
    assert roles["label_80bp_30m"] == "label"
    assert roles["entry_close"] == "meta"
    assert schema.field("prev_close").metadata[b"unit"] == b"usd"


def test_the_tables_of_a_session_are_one_job(files: Path, tmp_path: Path):
    plan = make_plan(linked_lake(files, tmp_path), defaults(), Request(steps=("minute", "events")))
    jobs = [job for wave in plan.waves for job in wave if job.targets[0].table == "bronze/minute_aggs"]
    held = [{(target.table, target.partition) for target in job.targets} for job in jobs]
    for session in {partition for tables in held for _, partition in tables}:
        (own,) = [tables for tables in held if (EVENTS[0], session) in tables]
        assert {(table, session) for table in EVENTS} <= own
    assert sum((EVENTS[0], date) in tables for tables in held for date in DATES) == len(DATES)


def test_fused_or_apart_the_same_bytes(finished: tuple[Lake, RunResult], copy: Callable[[], Lake]):
    lake = copy()
    for table in (*EVENTS, RANGE, DATASET):
        for path in (Path(lake.location.root) / table).iterdir():
            path.unlink()
        found = run(lake, defaults()).outcomes
        assert {outcome.table for outcome in found} == {table}
        assert content(lake, (table,)) == content(finished[0], (table,))


@pytest.mark.parametrize(
    ("sections", "expected"),
    [
        (
            {"macd": MacdParams(fast=11)},
            {*EVENTS, DATASET, "silver/macd_session_features", "silver/minute_features_plus_macd"},
        ),
        ({"events": EventsParams(mode="rth")}, {*EVENTS, DATASET}),
        ({"labels": LabelsParams(barriers=[{"target_move": 0.01}])}, {"gold/event_labels", DATASET}),
        ({"labels": LabelsParams(max_entry_delay_minutes=6)}, {"gold/event_labels", DATASET}),
        ({"range_expansion": RangeParams(threshold=0.05)}, {RANGE}),
    ],
    ids=["macd", "mode", "barriers", "delay", "range"],
)
def test_a_changed_parameter_makes_stale_what_it_changes(finished: tuple[Lake, RunResult], sections, expected):
    assert stale(finished[0], {**defaults(), **sections}) == expected


def test_a_changed_selection_rebuilds_the_training_set_alone(finished: tuple[Lake, RunResult]):
    dataset = {stage.name: stage for stage in stages()}["dataset"].params(price_max=20.0)
    assert isinstance(dataset, DatasetParams)
    assert stale(finished[0], {**defaults(), "dataset": dataset}) == {DATASET}
    assert stale(finished[0], defaults()) == set()


def test_range_labels_wait_for_the_next_session(files: Path, finished: tuple[Lake, RunResult], tmp_path: Path):
    items = [item for item in make_plan(finished[0], defaults(), Request()).items if item.table == RANGE]
    assert {item.partition: item.state for item in items if item.state != "current"} == {DATES[-1]: "pending"}
    lake = linked_lake(files, tmp_path)
    last = next((tmp_path / "raw/us_stocks_sip/day_aggs_v1").rglob(f"{DATES[-1]}.csv.gz"))
    data = last.read_bytes()
    last.unlink()
    first = run(lake, defaults(), steps=("range",))
    assert DATES[-2] not in {outcome.partition for outcome in first.outcomes if outcome.table == RANGE}
    last.write_bytes(data)
    built = run(lake, defaults(), steps=("range",)).outcomes
    assert {outcome.partition for outcome in built if outcome.table == RANGE} == {DATES[-2]}


def test_carried_events_grow_session_by_session(copy: Callable[[], Lake]):
    """MACD that goes on over night: more seasoned bars, so more events; the states come first."""
    lake = copy()
    spec = next(stage for stage in stages() if stage.name == "events")
    before = sum(lake.read(spec.table(spec.params()), date, ("symbol",)).num_rows for date in DATES)
    params = {**defaults(), "macd": MacdParams(state="carry")}
    built = run(lake, params).outcomes
    assert {outcome.table for outcome in built} >= {*EVENTS, DATASET, "silver/macd_state"}
    after = sum(outcome.rows for outcome in built if outcome.table == "gold/events")
    assert after > before
    assert stale(lake, params) == set()
