"""gold/predictions: every row of a session, by the model in use, once."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from raypipe.errors import ModelError, UsageError
from raypipe.lake.location import Location
from raypipe.lake.store import Lake
from raypipe.schema.predictions import PREDICTIONS
from raypipe.training.bundle import load_bundle, write_bundle
from raypipe.training.predict import Predicted, Source, predict_sessions, sessions_of
from tests.training.bundles import FEATURES, draft, panel


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("b") / "b"
    write_bundle(folder, draft(panel(), algorithms=("logistic",)))
    return load_bundle(folder)


@pytest.fixture
def lake(tmp_path):
    return Lake(Location.parse(str(tmp_path)))


def source(bundle, **changed) -> Source:
    return dataclasses.replace(Source("vol", "v0001", bundle, "f" * 32), **changed)


def test_every_row_of_a_session_is_predicted(lake, bundle):
    of = panel(symbols=("BRK.B", "AAA", "NEW"))
    sessions = sessions_of(of, start=of.sessions[5].item(), end=of.sessions[7].item())
    assert len(sessions) == 3
    found = predict_sessions(lake, source(bundle), of, sessions)
    assert found == [Predicted(day, "built", 3, 0) for day in sessions]
    whole = bundle.predict(of)
    for day in sessions:
        table = lake.read(PREDICTIONS, day.isoformat())
        assert table["symbol"].to_pylist() == ["AAA", "BRK.B", "NEW"]
        place = np.flatnonzero(of.sessions[of.session_id] == np.datetime64(day))
        order = [of.symbols[of.symbol_id[row]] for row in place]
        rows = place[np.argsort(order)]
        np.testing.assert_array_equal(table["p"].to_numpy(), whole.p[rows])
        np.testing.assert_array_equal(table["z"].to_numpy(), whole.z[rows].astype(np.float32))
        np.testing.assert_array_equal(table["decision_ns"].to_numpy(), of.decision_ns[rows])
        assert set(table["version"].to_pylist()) == {"v0001"}
        assert lake.manifest(PREDICTIONS, day.isoformat()).facts["bundle_sha256"] == bundle.sha256


def test_what_is_current_stays_and_another_version_or_panel_is_predicted_again(lake, bundle):
    of = panel()
    last = sessions_of(of)
    assert last == (of.sessions[-1].item(),)
    assert [one.status for one in predict_sessions(lake, source(bundle), of, last)] == ["built"]
    assert [one.status for one in predict_sessions(lake, source(bundle), of, last)] == ["current"]
    for changed in ({"version": "v0002"}, {"panel_fingerprint": "a" * 32}):
        assert predict_sessions(lake, source(bundle, **changed), of, last)[0].status == "built"
    assert predict_sessions(lake, source(bundle, **changed), of, last, force=True)[0].status == "built"


def test_predictions_of_another_model_are_not_replaced_unasked(lake, bundle):
    of = panel()
    predict_sessions(lake, source(bundle), of, sessions_of(of))
    with pytest.raises(UsageError, match="of the model vol, not of trend"):
        predict_sessions(lake, source(bundle, name="trend"), of, sessions_of(of))
    assert predict_sessions(lake, source(bundle, name="trend"), of, sessions_of(of), force=True)[0].status == "built"


def test_a_row_on_which_too_few_bases_speak_is_null(lake, bundle):
    pooled = {key: one for key, one in bundle.fitted.items() if key[1] != "AAA"}
    meta = {**bundle.meta, "bases": [one for one in bundle.meta["bases"] if one["scope"] == "symbol"]}
    strategies = {"mean": bundle.strategies["mean"]}
    deaf = dataclasses.replace(bundle, fitted=pooled, meta=meta, strategies=strategies)
    of = panel()
    assert predict_sessions(lake, source(deaf), of, sessions_of(of))[0].silent == 1
    table = lake.read(PREDICTIONS, sessions_of(of)[0].isoformat())
    assert table["p"].to_pylist()[0] is None
    assert table["p"].null_count == table["z"].null_count == 1


def test_missing_columns_and_missing_sessions_are_refused(lake, bundle):
    of = panel(features=FEATURES[1:])
    with pytest.raises(ModelError, match="f0"):
        predict_sessions(lake, source(bundle), of, sessions_of(of))
    with pytest.raises(UsageError, match="no row"):
        sessions_of(of, start=of.sessions[-1].item().replace(year=2030))
    assert lake.partitions(PREDICTIONS) == []
