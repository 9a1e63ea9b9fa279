"""Signals joined: one row per touch or none at all, every column once and in order, roles that models go by."""

from __future__ import annotations

import datetime as dt
import json

import numpy as np
import pyarrow as pa
import pytest

from raypipe.errors import PartitionError
from raypipe.labels.signal_labels import SIGNAL_LABELS
from raypipe.pipeline.fingerprint import params_digest
from raypipe.schema.family import Inputs
from raypipe.schema.frames import check_table
from raypipe.schema.signals import LabelParams, OutputParams, SignalsParams
from raypipe.schema.touches import TOUCHES
from tests.contracts.market import Market, all_families
from tests.signal_lake import SESSIONS

TARGET = SESSIONS[-1]
LABELS, FEATURES = SIGNAL_LABELS.name, "silver/signal_features"
PLAIN = SignalsParams(output=OutputParams(aliases=False))


@pytest.fixture(scope="module")
def tables() -> dict[str, pa.Table]:
    """Touches, features and labels of one session."""
    market = Market(SESSIONS)
    return {name: market.table(name)[TARGET.date] for name in (TOUCHES.name, FEATURES, LABELS)}


@pytest.fixture
def family():
    return all_families()["signals"]


def joined(family, tables: dict[str, pa.Table], params: SignalsParams | None = None):
    parts: dict[str, dict[dt.date | None, pa.Table]] = {name: {TARGET.date: table} for name, table in tables.items()}
    return family.compute(Inputs((TARGET,), parts, {TARGET.date: TARGET}), params or SignalsParams())


def test_rows_are_those_of_touches_with_all_that_belongs_to_each(family, tables):
    found = joined(family, tables).table
    check_table(family.table(SignalsParams()), found, partition=TARGET.key)
    for table in tables.values():
        for name in table.column_names:
            assert found[name].cast(table[name].type).equals(table[name].unify_dictionaries()), name


def test_the_columns_are_280_and_the_session(family):
    names = family.table(SignalsParams()).names
    assert len(names) == 281
    marks = ("session", "event_id", "barrier_added", "tape_buy_vol", "gamma_exposure", "is_first_15m", "sma_200")
    more = ("confluence_count", "breakout_state", "liquidity_pressure", "approach_velocity", "liquidity_score")
    last = ("runway_direction", "distance_atr", "confirm_ts_ns_2min", "outcome_5min", "outcome", "time_to_bounce_2")
    places = [names.index(name) for name in (*marks, *more, *last)]
    assert places == sorted(places)
    assert places[-1] == 280


def test_aliases_are_real_columns_that_say_so_or_none(family, tables):
    whole, plain = family.table(SignalsParams()), family.table(PLAIN)
    aliases = {column.name: column.alias_of for column in whole.columns if column.alias_of}
    assert aliases["ts_event_ns"] == "ts_ns"
    assert aliases["sweep_detected"] == "tape_sweep_detected"
    assert aliases["outcome"] == "outcome_4min"
    assert set(whole.names) - set(plain.names) == set(aliases)
    found = joined(family, tables).table
    for name, repeated in aliases.items():
        assert found[name].equals(found[repeated])
        assert whole.arrow.field(name).metadata[b"alias_of"] == repeated.encode()
    assert joined(family, tables, PLAIN).table.column_names == list(plain.names)


def test_every_column_has_one_of_four_roles_and_a_group(family, tables):
    spec = family.table(SignalsParams())
    assert {column.role for column in spec.columns} == {"id", "feature", "qa", "label"}
    labels = {column.name for column in spec.columns if column.role == "label"}
    assert labels == {column.name for column in SIGNAL_LABELS.columns if column.role == "label"}
    assert spec["front_dominance"].role == "qa"
    assert not [column.name for column in spec.columns[1:] if not column.group]
    facts = joined(family, tables).facts
    assert json.loads(facts["roles"]) == {column.name: column.role for column in spec.columns}


@pytest.mark.parametrize("name", [FEATURES, LABELS])
@pytest.mark.parametrize("how", ["lost", "twice", "another"])
def test_rows_that_do_not_meet_one_to_one_fail_the_session(family, tables, name, how):
    rows = tables[name]
    if how == "lost":
        rows = rows.slice(1)
    elif how == "twice":
        rows = pa.concat_tables([rows.slice(0, 1), rows])
    else:
        ids = pa.array(["SPY.another", *rows["event_id"].to_pylist()[1:]])
        rows = rows.set_column(rows.schema.get_field_index("event_id"), rows.schema.field("event_id"), ids)
    with pytest.raises(PartitionError, match="touches") as caught:
        joined(family, tables | {name: rows})
    assert caught.value.values["partition"] == TARGET.key
    assert f"raypipe signals --dates {TARGET.key} --force" in str(caught.value)


def test_rows_in_another_order_meet_by_their_id(family, tables):
    turned = {
        name: table if name == TOUCHES.name else table.take(pa.array(np.arange(table.num_rows)[::-1]))
        for name, table in tables.items()
    }
    assert joined(family, turned).table.equals(joined(family, tables).table)


def test_a_session_without_touches_is_empty_and_says_so(family, tables):
    found = joined(family, {name: table.slice(0, 0) for name, table in tables.items()})
    assert found.table.num_rows == 0
    assert [(finding.kind, finding.partition) for finding in found.findings] == [("no_touches", TARGET.key)]


def test_only_the_output_counts_in_its_fingerprint():
    assert params_digest(SignalsParams(labels=LabelParams(anchor="confirmation"))) == params_digest(SignalsParams())
    assert params_digest(PLAIN) != params_digest(SignalsParams())
