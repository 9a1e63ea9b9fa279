"""Event labels: the definition in every setting, names of barriers, and laws."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from raypipe.calendar import calendar
from raypipe.config import load_config
from raypipe.errors import ConfigError
from raypipe.labels.first_passage import FAMILY, Barriers, LabelsParams, table
from raypipe.pipeline.fingerprint import params_digest
from raypipe.schema.events import EventsParams
from raypipe.schema.family import linked
from raypipe.schema.frames import check_table
from raypipe.schema.macd import MacdParams
from raypipe.schema.minutes import window_of
from tests.events.made import SHORT, all_events, market_of
from tests.events.test_crosses import step
from tests.features.bars import run
from tests.features.minutes import DATES, MINUTE, Minutes, assert_values, of_session, samples
from tests.reference.labels import Barrier, Rules, labels

FRIDAY, MONDAY, WEDNESDAY, EARLY = DATES
KEYS = ("session", "symbol", "tf", "decision_ns", "event_type")
moves = st.sampled_from([0.0015, 0.004, 0.00125, 0.02])
params = st.builds(
    LabelsParams,
    barriers=st.lists(
        st.builds(
            Barriers,
            target_move=moves,
            stop_move=st.one_of(st.none(), moves),
            time_window_minutes=st.sampled_from([1, 5, 30, 200]),
        ),
        min_size=1,
        max_size=3,
        unique_by=lambda one: one.suffix,
    ),
    max_entry_delay_minutes=st.sampled_from([1, 5, 20]),
    events=st.builds(
        EventsParams,
        mode=st.sampled_from(["all", "rth"]),
        macd=st.builds(MacdParams, **{k: st.just(v) for k, v in SHORT.items()}),
    ),
)


def expected(made: Minutes, p: LabelsParams, events: pa.Table) -> list[dict]:
    barriers = [Barrier(b.suffix, b.target_move, b.stop, b.time_window_minutes) for b in p.barriers]
    rows = []
    for event in events.to_pylist():
        session = calendar().session(event["session"])
        window = window_of(session, p.events.mode)
        rules = Rules(window, session.close_ns, session.ext_end_ns, p.max_entry_delay_minutes)
        bars = made.bars[event["session"], event["symbol"]]
        rows.append({name: event[name] for name in KEYS} | labels(bars, event, barriers, rules))
    return rows


def built(made: Minutes, p: LabelsParams | None = None) -> tuple[pa.Table, pa.Table]:
    """Events and labels of all sessions."""
    p = p or LabelsParams()
    market = market_of(made, p.events)
    return all_events(market), run(FAMILY, market, made.sessions, p).table


@settings(max_examples=40)
@given(samples(), params)
def test_equals_the_definition(made, p):
    events, found = built(made, p)
    rows = expected(made, p, events)
    assert_values(found, rows)
    assert not rows or set(found.column_names) == set(rows[0])
    for date in made.dates:
        check_table(table(p), of_session(found, date), partition=str(date))


@settings(max_examples=20)
@given(samples(), params)
def test_laws(made, p):
    events, found = built(made, p)
    for event, row in zip(events.to_pylist(), found.to_pylist(), strict=True):
        assert row["label_known_ns"] >= event["decision_ns"]
        for one in p.barriers:
            s, m = one.suffix, f"{one.time_window_minutes}m"
            assert (row[f"outcome_{s}"] == "target") == (row[f"label_{s}"] == 1)
            assert (row[f"outcome_{s}"] == "no_entry") == (row["entry_ns"] is None) == (row[f"label_{s}"] is None)
            if row["entry_ns"] is None:
                continue
            assert row[f"fwd_max_high_{m}"] >= row["entry_price"] >= row[f"fwd_min_low_{m}"]
            assert row[f"label_{s}"] == row[f"label_{'up' if event['direction'] > 0 else 'dn'}_{s}"]
            if one.stop == one.target_move:
                assert row[f"label_up_{s}"] + row[f"label_dn_{s}"] <= 1
            assert row["entry_ns"] < row[f"horizon_end_ns_{m}"] <= row["label_known_ns"]
            assert row[f"touch_s_{s}"] is None or 60 <= row[f"touch_s_{s}"] <= 60 * one.time_window_minutes


@settings(max_examples=15)
@given(samples((MONDAY,)), params)
def test_only_bars_between_decision_and_horizon_matter(made, p):
    """Bars from the end of the longest horizon on may be anything, and so may those before the decision."""
    events, found = built(made, p)
    for i, (event, row) in enumerate(zip(events.to_pylist(), found.to_pylist(), strict=True)):
        if i % 5:
            continue
        bars = made.bars[MONDAY, event["symbol"]]
        kept = [b for b in bars if event["decision_ns"] <= b["start_ns"] < row["label_known_ns"]]
        other = Minutes({(MONDAY, event["symbol"]): kept})
        market = other.market()
        assert market.tables is not None
        market.tables["gold/events"] = {MONDAY: events.slice(i, 1)}
        assert run(FAMILY, market, other.sessions, p).table.to_pylist() == [row]


def test_the_last_bar_of_all_has_no_entry():
    made = Minutes({(MONDAY, "A"): step(MONDAY, 959, 960)})
    events, found = built(made, LabelsParams(events=EventsParams(macd=MacdParams(timeframes=("1m",)))))
    (event,), (row,) = events.to_pylist(), found.to_pylist()
    assert row["outcome_80bp_30m"] == "no_entry"
    assert event["decision_ns"] == row["label_known_ns"] == calendar().session(MONDAY).ext_end_ns


@pytest.mark.parametrize(("date", "close"), [(FRIDAY, 720), (MONDAY, 720), (EARLY, 540)])
def test_positions_are_flat_at_the_close_of_the_calendar(date, close):
    made = Minutes({(date, "A"): step(date, close - 10, close + 40)})
    p = LabelsParams(events=EventsParams(side="long", macd=MacdParams(timeframes=("1m",))))
    row = built(made, p)[1].to_pylist()[0]
    session = calendar().session(date)
    assert row["horizon_end_ns_30m"] == session.close_ns == session.ext_start_ns + close * MINUTE
    assert row["horizon_truncated_30m"] is True


# --- names and parameters ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("barriers", "suffix"),
    [
        ({}, "80bp_30m"),
        ({"target_move": 0.0029}, "29bp_30m"),
        ({"target_move": 0.00125, "time_window_minutes": 5}, "12p5bp_5m"),
        ({"stop_move": 0.004}, "80bp_s40bp_30m"),
        ({"stop_move": 0.008}, "80bp_30m"),
        ({"target_move": 1e-05}, "0p1bp_30m"),
        ({"target_move": 0.1}, "1000bp_30m"),
    ],
)
def test_suffix(barriers, suffix):
    assert Barriers(**barriers).suffix == suffix


@given(st.lists(st.floats(1e-6, 0.99), min_size=2, max_size=2, unique=True))
def test_different_moves_have_different_suffixes(pair):
    one, other = (Barriers(target_move=move).suffix for move in pair)
    assert one != other
    assert set(one) <= set("0123456789pbm_e-")


def test_columns_depend_on_the_barriers():
    p = LabelsParams(barriers=[Barriers(), Barriers(target_move=0.004, time_window_minutes=5)])
    names = set(table(p).names)
    assert {"label_80bp_30m", "label_40bp_5m", "fwd_up_ret_30m", "fwd_up_ret_5m"} <= names
    assert table(p).digest != table(LabelsParams()).digest


def test_what_came_after_is_a_label_by_role():
    roles = {column.name: column.role for column in table(LabelsParams()).columns}
    rest = {name: role for name, role in roles.items() if name not in KEYS}
    assert rest.pop("label_known_ns") == "time"
    assert set(rest.values()) == {"label"}


def test_two_sets_of_barriers_with_one_name_are_refused(tmp_path):
    same = [{"target_move": 0.008}, {"target_move": 0.008, "stop_move": 0.008}]
    with pytest.raises(ValidationError, match="80bp_30m"):
        LabelsParams(barriers=same)
    with pytest.raises(ConfigError, match=r"labels\.barriers.*80bp_30m"):
        load_config(env={}, folder=tmp_path, flags={"labels.barriers": same})


@pytest.mark.parametrize(
    "wrong", [{"target_move": 0}, {"target_move": 1}, {"stop_move": 0}, {"time_window_minutes": 0}]
)
def test_wrong_barriers_are_refused(wrong):
    with pytest.raises(ValidationError):
        Barriers(**wrong)


def test_labels_follow_the_events():
    """A mode or a MACD that makes other events makes the labels stale."""

    def digest(**sections: object) -> str:
        plain = {"macd": MacdParams(), "events": EventsParams(), "labels": LabelsParams()}
        return params_digest(linked({**plain, **sections})["labels"])

    assert digest() != digest(events=EventsParams(mode="rth"))
    assert digest() != digest(macd=MacdParams(slow=27))
