"""One run from request to record, without a command line."""

from __future__ import annotations

import datetime as dt
import itertools
import json
from pathlib import Path

import pytest

from raypipe.config import Config, RunParams, load_config
from raypipe.errors import ClusterError, DeveloperError, NotYetError, UsageError
from raypipe.pipeline.executor import Process, Serial
from raypipe.pipeline.record import last_run, read_record
from raypipe.pipeline.session import (
    Order,
    Wish,
    choose_executor,
    cpus,
    local_executor,
    plan_retry,
    plan_wish,
    require_lake,
    run_plan,
    run_wish,
)
from raypipe.pipeline.views import chosen_tables, declared_tables, lake_states, page_of_run, refresh_page, report_key
from tests.pipeline.conftest import FIRST, LAST

ORDER = Order("raypipe run", local_executor)
SYMBOLS = Wish(steps=("symbols",))


@pytest.fixture
def lake(make_lake):
    return make_lake()


@pytest.fixture
def config(lake, tmp_path) -> Config:
    return load_config(env={}, folder=tmp_path, flags={"lake.root": lake.location.root, "run.executor": "serial"})


@pytest.mark.parametrize(
    ("given", "cost", "name"),
    [
        ({}, 1.9, "serial"),
        ({}, 2.0, "process"),
        ({}, 30.0, "ray"),
        ({"workers": 1}, 1e6, "serial"),
        ({"workers": 8}, 5.0, "process"),
        ({"address": "there:6379"}, 0.0, "ray"),
        ({"address": "there:6379", "workers": 1}, 0.0, "ray"),
        ({"executor": "serial", "address": "there:6379"}, 1e6, "serial"),
        ({"executor": "ray"}, 0.0, "ray"),
    ],
)
def test_the_executor_follows_the_work(given, cost, name):
    assert choose_executor(RunParams(**given), cost) == name


def test_executors_of_this_machine():
    assert isinstance(local_executor("serial", RunParams()), Serial)
    process = local_executor("process", RunParams(workers=3))
    assert isinstance(process, Process)
    assert process.workers == cpus(RunParams(workers=3)) == 3
    assert cpus(RunParams()) >= 1
    with pytest.raises(DeveloperError):
        local_executor("ray", RunParams())


def test_a_lake_must_be_there(config, tmp_path):
    require_lake(config)
    require_lake(load_config(env={"RAYPIPE_ROOT": "s3://bucket/never-asked"}, folder=tmp_path))
    with pytest.raises(UsageError, match="there is no lake"):
        require_lake(load_config(env={"RAYPIPE_ROOT": str(tmp_path / "no")}, folder=tmp_path))


@pytest.mark.parametrize(
    ("wish", "error"),
    [
        (Wish(start=LAST, end=FIRST), UsageError),
        (Wish(start=FIRST, dates=(FIRST,)), UsageError),
        (Wish(dates=(dt.date(2025, 11, 8),)), UsageError),
        (Wish(dates=(FIRST, dt.date(2025, 12, 1))), NotYetError),
        (Wish(start=dt.date(2025, 12, 1)), NotYetError),
        (Wish(end=dt.date(2020, 1, 2)), NotYetError),
        (Wish(steps=("none",)), UsageError),
    ],
)
def test_wishes_that_cannot_be(config, wish, error):
    with pytest.raises(error):
        plan_wish(config, wish)


def test_dates_mean_their_sessions_and_weeks(config):
    items = {(item.table, item.partition) for item in plan_wish(config, Wish(dates=(LAST,), steps=("daily",))).items}
    assert ("silver/weekly", "2025-11-03") in items
    assert ("silver/daily_filtered", "2025-11-07") in items
    assert not {key for key in items if key[0] == "silver/daily_filtered"} - {("silver/daily_filtered", "2025-11-07")}


def test_the_record_of_a_run(config, lake):
    record = run_wish(config, SYMBOLS, Order("raypipe run https://me:hunter22@host", local_executor))
    stored = read_record(lake, record.run_id)
    assert (stored.status, stored.exit_code, stored.executor, stored.workers) == ("done", 0, "serial", 1)
    assert stored.command == "raypipe run https://***@host"
    assert stored.config["lake"]["root"] == lake.location.root
    assert set(stored.planned) == {(o.table, o.partition) for o in stored.outcomes}
    assert last_run(lake) == record.run_id
    assert lake.store.stat(report_key(record.run_id)) is not None
    assert page_of_run(config)[0] == record.run_id


def test_the_page_of_a_run_can_say_what_came_later(config, lake):
    from raypipe.pipeline.verdicts import keep_verdicts

    record = run_wish(config, SYMBOLS, ORDER)
    key = report_key(record.run_id)
    assert b"Never audited" in lake.store.read(key)
    column = {"name": "x", "verdict": "clean"}
    table = {"table": "silver/daily", "partitions": ["a"], "rows": 1, "columns": [column], "problems": []}
    keep_verdicts(config, {"what": "leakage", "tables": [table]})
    assert refresh_page(config) == key
    assert b"Never audited" not in lake.store.read(key)


def test_a_run_with_nothing_to_do_leaves_no_trace(config, lake):
    first = run_wish(config, SYMBOLS, ORDER)
    again = run_wish(config, SYMBOLS, ORDER)
    assert (again.exit_code, again.outcomes) == (0, [])
    assert last_run(lake) == first.run_id


class _Lost(Serial):
    """An executor that loses its cluster after the first job."""

    def run(self, jobs, stop):
        yield from super().run(itertools.islice(jobs, 1), stop)
        msg = "the cluster is gone"
        raise ClusterError(msg)


def test_a_lost_cluster_is_recorded_and_retried(config, lake):
    with pytest.raises(ClusterError):
        run_wish(config, SYMBOLS, Order("raypipe run", lambda *_: _Lost()))
    record = read_record(lake, last_run(lake))
    assert (record.status, record.exit_code) == ("failed", 5)
    assert 0 < len(record.outcomes) < len(record.planned)
    name, plan = plan_retry(config)
    assert name == record.run_id
    built = {(o.table, o.partition) for o in record.outcomes if o.status == "built"}
    assert {(i.table, i.partition) for i in plan.to_build} == set(record.planned) - built
    assert run_plan(config, plan, ORDER).exit_code == 0
    assert plan_wish(config, SYMBOLS).to_build == ()


def test_a_record_stands_before_the_first_job(config, lake):
    class Stopped(Serial):
        def run(self, jobs, stop):
            record = read_record(lake, last_run(lake))
            assert (record.status, record.exit_code, record.outcomes) == ("running", None, [])
            assert record.planned
            yield from super().run(jobs, stop)

    assert run_wish(config, SYMBOLS, Order("raypipe run", lambda *_: Stopped())).exit_code == 0


def test_the_observer_hears_of_everything(config):
    heard = []

    class Observer:
        def planned(self, plan, executor, workers):
            heard.append(("planned", len(plan.to_build), executor, workers))

        def progress(self, progress):
            heard.append(("progress", progress.done, progress.total))

    run_wish(config, SYMBOLS, Order("raypipe run", local_executor, Observer()))
    (_, total, executor, workers), *progress = heard
    assert (executor, workers) == ("serial", 1)
    assert progress[-1] == ("progress", total, total)


def test_the_cluster_is_named(config):
    class OnCluster(Serial):
        cluster = "the Ray cluster at there:6379"

    heard = []

    class Observer:
        def planned(self, plan, executor, workers):
            heard.append(executor)

        def progress(self, progress):
            pass

    run_wish(config, SYMBOLS, Order("raypipe run", lambda *_: OnCluster(), Observer()))
    assert heard == ["serial (the Ray cluster at there:6379)"]


def test_secrets_in_errors_stay_out_of_the_record(config, lake):
    path = Path(lake.location.root) / "raw/us_stocks_sip/day_aggs_v1/2025/11/2025-11-07.csv.gz"
    path.unlink()  # a hard link to the market's own file
    path.write_bytes(b"?apiKey=hunter22hunter")
    record = run_wish(config, SYMBOLS, ORDER)
    assert record.exit_code == 1
    assert "hunter22" not in json.dumps(json.loads(record.to_json()))


# --- what people look at -----------------------------------------------------------------------------


def test_tables_by_name(config):
    declared = declared_tables(config)
    assert list(chosen_tables(config, ())) == list(declared)
    assert list(chosen_tables(config, ("weekly", "silver/daily"))) == ["silver/daily", "silver/weekly"]
    with pytest.raises(UsageError, match="there is no table 'dayly'"):
        chosen_tables(config, ("dayly",))


def test_states_of_a_lake(config):
    before = lake_states(config)
    assert set(before["bronze/day_aggs"].values()) == {"missing"}
    assert set(before["bronze/minute_aggs"].values()) == {"missing", "absent"}
    run_wish(config, Wish(steps=("symbols",), dates=(LAST,)), ORDER)
    after = lake_states(config, start=LAST, end=LAST)
    assert after["silver/symbol_types"] == {"2025-11-07": "current"}


def test_the_record_says_how_a_run_went_and_how_to_repeat_it(config, lake):
    record = read_record(lake, run_wish(config, Wish(steps=("daily",)), ORDER).run_id)
    points = record.memory["points"]
    assert record.memory["columns"][2] == "driver_bytes"
    assert points[-1][1] == len(record.outcomes)
    assert all(point[2] > 0 for point in points)
    assert sum(row["partitions"] for row in record.stages) == len(record.outcomes)
    assert {row["stage"] for row in record.stages} == set(record.versions)
    assert record.machine["cpus"] >= 1
    assert record.machine["libraries"]["pyarrow"]
    assert set(record.lineage["silver/daily"]) >= {"bronze/day_aggs"}
    assert record.repeat == "raypipe run"  # all that is not a default came by flags, which the command has already
    assert record.columns["silver/daily"]["rows"] == sum(o.rows for o in record.outcomes if o.table == "silver/daily")
    assert all(not outcome.columns for outcome in record.outcomes)


def test_records_of_the_first_schema_are_read(config, lake):
    run_id = run_wish(config, SYMBOLS, ORDER).run_id
    key = f"runs/{run_id}/run.json"
    raw = json.loads(lake.store.read(key))
    added = ("origin", "repeat", "versions", "machine", "memory", "stages", "lineage", "columns", "drift", "models")
    old = {name: value for name, value in raw.items() if name not in added} | {"schema": 1}
    for outcome in old["outcomes"]:
        del outcome["rss_bytes"]
    lake.store.put_bytes(key, json.dumps(old).encode())
    assert read_record(lake, run_id).outcomes[0].rows == raw["outcomes"][0]["rows"]
    assert "built" in page_of_run(config, run_id)[1]
    lake.store.put_bytes(key, json.dumps(raw | {"schema": 99}).encode())
    with pytest.raises(UsageError, match="another version"):
        read_record(lake, run_id)


def test_searches_for_models_are_no_runs_of_tables(config, lake):
    run_id = run_wish(config, SYMBOLS, ORDER).run_id
    lake.store.put_bytes("runs/ffffffffffff/run.json", b"{}")
    assert last_run(lake) == run_id
