"""Targets of the flat files' daily bars, and rows of events, in a lake of a synthetic market."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from raypipe.calendar import calendar
from raypipe.config import load_config
from raypipe.errors import PartitionError, SchemaError, UsageError
from raypipe.lake.manifest import Manifest
from raypipe.lake.store import Lake
from raypipe.pipeline.views import declared_tables
from raypipe.schema.frames import split_table
from raypipe.training.inputs import Asked
from raypipe.training.targets import stored_targets
from raypipe.training.workspace import Workspace
from tests.contracts.market import Market, all_families, buildable, read
from tests.features.daily_bars import SESSIONS

SHOWN = ("TT", "GGG")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A lake with the daily bars and events of a made-up market."""
    root = tmp_path_factory.mktemp("market")
    (root / "symbols.txt").write_text("\n".join(SHOWN), encoding="utf-8")
    config = config_of(root)
    lake = Lake(config.lake.location)
    market = Market(calendar().between(SESSIONS[0].date, SESSIONS[23].date))
    dataset = all_families()["dataset"]
    params = dataset.params(universe="all", price_filter=False)
    sessions = buildable(market, dataset, params, market.sessions[6:])
    events = dataset.compute(read(market, dataset, params, sessions), params).table
    by_session = dict(
        zip([s.date for s in sessions], split_table(events, "session", [s.date for s in sessions]), strict=True)
    )
    for name, parts in (("silver/daily", market.table("silver/daily")), ("gold/ml_dataset", by_session)):
        spec = declared_tables(config)[name]
        for date, rows in parts.items():
            part = date.isoformat()
            lake.write(spec, part, rows, Manifest(name, part, "0" * 32, 1, "", spec.digest, {}, rows.num_rows, "0"))
    return root


def config_of(root, *sets: str):
    sets = ("target.bars=silver/daily", "panel.symbols_file=symbols.txt", *sets)
    return load_config(env={}, folder=root, sets=[f"lake.root={root / 'lake'}", *sets])


def test_targets_of_daily_bars_look_through_splits(root):
    config = config_of(root)
    spec = declared_tables(config)["silver/daily"]
    lake = Lake(config.lake.location)
    bars = pa.concat_tables([lake.read(spec, one) for one in lake.partitions(spec)]).unify_dictionaries()
    keys = list(zip(bars["symbol"].cast(pa.string()).to_pylist(), bars["session"].to_pylist(), strict=True))
    opens = dict(zip(keys, bars["open"].to_pylist(), strict=True))
    ratios = dict(zip(keys, bars["split_ratio"].to_pylist(), strict=True))
    found = stored_targets(config, "forward_return_1d", SHOWN).to_pylist()
    checked = 0
    for row in (row for row in found if row["forward_return_1d"] is not None):
        entry, leave = ((row["symbol"], calendar().offset(row["session"], n)) for n in (1, 2))
        if entry in opens and leave in opens:
            want = opens[leave] * ratios[leave] / opens[entry] - 1
            assert row["forward_return_1d"] == pytest.approx(want, rel=1e-4, abs=1e-6)
            checked += 1
    assert checked > 20
    assert {row["symbol"] for row in found} <= set(SHOWN)


def test_a_panel_of_sessions_goes_with_them(root):
    config = config_of(root, "panel.market_means=[]")
    workspace = Workspace.open(config, "direction_1d", Asked("silver/daily", features="ret_d,abs_ret_d"))
    assert workspace.panel.symbols == SHOWN
    assert workspace.target.known.sum() > 15
    with pytest.raises(UsageError, match="begins 14400 s before the features"):
        Workspace.open(config, "close_direction_1d", Asked("silver/daily", features="ret_d"))
    with pytest.raises(PartitionError, match="no symbol of the panel has daily bars"):
        stored_targets(config, "direction_1d", ("NONE",))


def test_events_are_panels_too(root):
    config = config_of(
        root,
        "cv.scheme=purged_kfold",
        "cv.min_fold_rows=1",
        "cv.n_folds=2",
        "cv.min_symbol_share=0.2",
        "cv.embargo_sessions=1",
    )
    asked = Asked("gold/ml_dataset", "re:.*_abs|hist.*", label="label_80bp_30m", label_end="horizon_end_ns_30m")
    workspace = Workspace.open(config, "", asked)
    panel, target = workspace.panel, workspace.target
    assert (target.kind, target.horizon) == ("class", 1)
    assert panel.rows > len(np.unique(panel.session_id * 1000 + panel.symbol_id))  # several in a session
    assert not [name for name in panel.features if name.startswith(("label", "horizon", "outcome"))]
    assert "hist_abs" in panel.features
    assert (target.end_ns > panel.decision_ns)[target.known].all()
    coin = np.argsort(np.argsort(panel.decision_ns, kind="stable")) % 2
    y = np.where(target.known, coin, np.nan).astype(np.float32)  # so few events are all of one class
    workspace = replace(workspace, target=replace(target, y=y))
    splits = workspace.make_splits()
    rows = workspace.fold_rows(splits)
    for fold in rows:
        first, last = panel.decision_ns[fold.test].min(), target.end_ns[fold.test].max()
        assert ((target.end_ns[fold.train] < first) | (panel.decision_ns[fold.train] > last)).all()
    with pytest.raises(UsageError, match=r"has no column nothing \(its labels: .*label_80bp_30m"):
        Workspace.open(config, "", Asked("gold/ml_dataset", label="nothing", label_end="horizon_end_ns_30m"))
    with pytest.raises(SchemaError, match=r"column rel_volume_so_far, row 0: no row has a value"):
        Workspace.open(config, "", replace(asked, features=""))
    with pytest.raises(UsageError, match="there is no feature 'label_80bp_30m'"):
        Workspace.open(config, "", Asked("gold/ml_dataset", "label_80bp_30m", asked.label, asked.label_end))
