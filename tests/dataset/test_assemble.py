"""The training set: the definition on a made-up market, roles, and nothing of the future among the features."""

from __future__ import annotations

import datetime as dt
import json

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from pydantic import ValidationError

from raypipe.calendar import calendar
from raypipe.dataset.assemble import family_of
from raypipe.pipeline.fingerprint import params_digest
from raypipe.schema.family import Family, Params, linked
from raypipe.schema.frames import check_table
from tests.contracts.family import assert_same
from tests.contracts.market import Market, all_families, cut, read, with_future
from tests.features.bars import Fixed
from tests.features.minutes import of_session
from tests.reference.dataset import Joined, Rules, training_rows

SESSIONS = calendar().between(dt.date(2025, 1, 2), dt.date(2025, 2, 5))
TARGETS = SESSIONS[6:]
SECTIONS = ("events", "event_state", "labels", "macd", "minute_features", "technical", "daily", "filtered")
SOME = {"daily": ("ret_d", "abs_ret_d", "dollar_volume"), "filtered": ("avg_volume", "days_in_window")}


@pytest.fixture(scope="module")
def family() -> Family:
    return all_families()["dataset"]


@pytest.fixture(scope="module")
def market() -> Market:
    """A market whose daily filter takes every other row, with numbers that tell sessions apart."""
    plain = Market(SESSIONS, 4)
    tables = {spec(name).name: plain.table(spec(name).name) for name in SECTIONS}
    tables["silver/daily_filtered"] = {d: chosen(t) for d, t in plain.table("silver/daily").items()}
    tables["bronze/splits"] = plain.table("bronze/splits")
    return Fixed(SESSIONS, tables=tables)


def spec(name: str, params: Params | None = None):
    one = all_families()[name]
    return one.table(params or one.params())


def chosen(daily: pa.Table) -> pa.Table:
    rows = daily.filter(pa.array(np.arange(daily.num_rows) % 2 == 0))
    days = pa.array(np.arange(rows.num_rows) + 60, pa.int16())
    return rows.append_column("avg_volume", rows["volume"]).append_column("days_in_window", days)


def run(family: Family, market: Market, params: Params, targets=TARGETS):
    return family.compute(read(market, family, params, targets), params)


def joined(name: str) -> Joined:
    columns = [c for c in spec(name).columns if c.role not in ("key", "time") and c.name in SOME.get(name, (c.name,))]
    units = {unit: frozenset(c.name for c in columns if c.unit == unit) for unit in ("usd", "shares")}
    only = {"mode": "all"} if name == "macd" else {}
    return Joined(name, tuple(c.name for c in columns), units["usd"], units["shares"], only)


def expected(market: Market, params: Params) -> tuple[list[dict], dict[str, int]]:
    names = {"events": "events", "event_state": "state"}
    parts = {
        names.get(name, name): {d: t.to_pylist() for d, t in market.table(spec(name).name).items()} for name in SECTIONS
    }
    splits = {(r["symbol"], r["ex_session"]): r["split_ratio"] for r in market.table("bronze/splits")[None].to_pylist()}
    prices = (params.price_min, params.price_max) if params.price_filter else None
    rules = Rules(params.universe, prices, params.drop_unlabeled, "label_80bp_30m")
    tables = [joined(name) for name in SECTIONS[3:]]
    rows, counts = [], dict.fromkeys(("not_in_universe", "outside_price_range", "unlabeled"), 0)
    for target in TARGETS:
        window = calendar().dates(calendar().offset(target.date, -params.max_feature_age_sessions), target.date)
        found, out = training_rows(parts, splits, window, tables, rules)
        rows += found
        counts = {name: counts[name] + out[name] for name in counts}
    return rows, counts


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"price_filter": False},
        {"universe": "all", "price_min": 3.0, "price_max": 8.0},
        {"universe": "all", "price_filter": False, "drop_unlabeled": False},
        {"universe": "all", "price_filter": False, "max_feature_age_sessions": 1},
    ],
    ids=str,
)
def test_equals_the_definition(family, market, settings):
    params = family.params(**settings)
    result = run(family, market, params)
    rows, counts = expected(market, params)
    assert len(rows) > 4
    assert set(rows[0]) == set(result.table.column_names)
    for name in rows[0]:
        assert result.table[name].to_pylist() == [row[name] for row in rows], name
    found = dict.fromkeys(counts, 0)
    for finding in result.findings:
        assert finding.level == "info"
        found[finding.kind] += finding.count
    assert found == counts
    events = sum(market.table("gold/events")[target.date].num_rows for target in TARGETS)
    assert result.table.num_rows == events - sum(counts.values())
    for target in TARGETS:
        check_table(family.table(params), of_session(result.table, target.date), partition=target.key)


def test_prices_before_a_split_are_on_the_basis_of_the_event(family, market):
    """Some events follow a split: their previous close differs from the table's by its ratio, ratios do not."""
    params = family.params(universe="all", price_filter=False, drop_unlabeled=False)
    technical = market.table("silver/technical_features")
    moved = 0
    for row in run(family, market, params).table.to_pylist():
        before = [
            r for r in technical.get(row["prev_session"], pa.table({})).to_pylist() if r["symbol"] == row["symbol"]
        ]
        if before and row["prev_close"] != before[0]["close"]:
            factor = before[0]["close"] / row["prev_close"]
            moved += 1
            assert row["prev_volume"] == pytest.approx(before[0]["volume"] * factor)
            assert row["prev_rsi_14"] == before[0]["rsi_14"]
            assert row["prev_dollar_volume"] is not None
    assert moved


def test_features_of_the_session_itself_are_not_taken(family):
    params = family.params()
    prefixed = {name for name in family.table(params).names if name.startswith("prev_")}
    assert {"prev_day_close", "prev_hist_last__1m", "prev_rsi_14", "prev_ret_d", "prev_hist_range__5m"} <= prefixed
    assert not {"day_close", "rsi_14", "vol_spike", "hist_last__1m"} & set(family.table(params).names)
    whole_sessions = [read for read in family.requires(params) if read.table.startswith("silver/")]
    assert len(whole_sessions) == 5
    assert not any(read.own or read.after for read in whole_sessions)


def test_roles(family):
    columns = family.table(family.params()).columns
    roles = {column.name: column.role for column in columns}
    assert set(roles.values()) == {"key", "time", "feature", "label", "meta"}
    assert roles["event_id"] == roles["entry_close"] == roles["prev_session"] == "meta"
    assert roles["entry_price"] == roles["exit_price_80bp_30m"] == roles["entry_ns"] == "label"
    features = [name for name, role in roles.items() if role == "feature"]
    assert not [n for n in features if n.startswith(("label", "outcome", "fwd", "touch", "exit", "entry", "ret_80bp"))]
    last = [name for name, role in roles.items() if role == "label" or name == "label_known_ns"]
    assert list(roles)[-len(last) :] == last


def test_the_footer_says_what_models_need(family, market):
    params = family.params()
    facts = run(family, market, params, TARGETS[:1]).facts
    assert facts["primary_label"] == "label_80bp_30m"
    assert json.loads(facts["roles"]) == {c.name: c.role for c in family.table(params).columns}


def test_columns_follow_barriers_and_timeframes(family):
    sections = {name: one.params() for name, one in all_families().items()}
    sections["labels"] = all_families()["labels"].params(barriers=[{"target_move": 0.01}, {"target_move": 0.02}])
    sections["macd"] = all_families()["macd"].params(timeframes=["15m"], modes=["rth"])
    params = linked(sections)["dataset"]
    names = set(family.table(params).names)
    assert {"label_100bp_30m", "label_200bp_30m", "hist_bps_asof__15m", "prev_hist_range__15m"} <= names
    assert not [name for name in names if "__1m" in name or "80bp" in name]
    assert params_digest(params) != params_digest(linked({**sections, "labels": family.params().labels})["dataset"])


def test_macd_of_regular_hours_is_taken_where_there_is_no_other(family, market):
    rows = market.table("silver/macd_session_features")
    words = pa.array(["rth"])
    regular = {
        d: t.set_column(1, "mode", pa.DictionaryArray.from_arrays(pa.array([0] * t.num_rows, pa.int32()), words))
        for d, t in rows.items()
    }
    other = Fixed(SESSIONS, tables={**(market.tables or {}), "silver/macd_session_features": regular})
    settings = {"universe": "all", "price_filter": False}
    one = run(family, other, family.params(**settings, macd={"modes": ["rth"]}))
    assert_same(one.table, run(family, market, family.params(**settings)).table, "whatever the mode is called")


def test_wrong_prices_are_refused(family):
    with pytest.raises(ValidationError, match="price_min"):
        family.params(price_min=5, price_max=4)


def test_a_family_that_is_joined_must_be_there():
    with pytest.raises(KeyError, match="labels"):
        family_of({name: one for name, one in all_families().items() if name != "labels"})


# --- the future --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def markets() -> tuple[Market, Market]:
    """A market, and noise."""
    return Market(SESSIONS, 4), Market(SESSIONS, 1004)


@pytest.mark.parametrize("noisy", [False, True], ids=["cut", "noise"])
def test_no_feature_looks_beyond_its_decision(family, markets, noisy):
    """Whatever comes after a moment, in any table, leaves all but labels of the events decided by then as they are.

    Where the future is cut off, the labels of the session stay: that rows have labels is not what is judged here.
    """
    params = family.params(universe="all", price_filter=False, drop_unlabeled=False)
    names = [c.name for c in family.table(params).columns if c.role != "label" and c.name != "label_known_ns"]
    labels = {"gold/event_labels": markets[0].table("gold/event_labels")}
    compared = 0
    for target in TARGETS[:8]:
        whole = run(family, markets[0], params, [target]).table.select(names)
        for now in np.quantile(whole["decision_ns"].to_numpy(), [0.3, 0.8]).astype(np.int64).tolist():
            other = with_future(*markets, now) if noisy else cut(markets[0], now)
            tables = {read.table: other.table(read.table) for read in family.requires(params)}
            known = Fixed(SESSIONS, tables={**tables, **({} if noisy else labels)})
            got = run(family, known, params, [target]).table.select(names)
            expected = whole.filter(pc.less_equal(whole["decision_ns"], now))
            assert_same(got.filter(pc.less_equal(got["decision_ns"], now)), expected, "decided by then")
            compared += expected.num_rows
    assert compared > 20
