"""Standard errors on panels: against statsmodels, a naive double sum, and what they are for."""

from __future__ import annotations

import numpy as np
import pytest

from raypipe.errors import DeveloperError
from raypipe.evaluation.panel_ols import driscoll_kraay


def panel(sessions: int = 120, symbols: int = 8, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A ragged panel whose noise is shared by the rows of a session and lasts for some sessions."""
    rng = np.random.default_rng(seed)
    session = np.tile(np.arange(sessions), symbols)
    shared = np.convolve(rng.normal(size=sessions + 4), np.ones(5) / 5, "valid")[session]
    factor = np.convolve(rng.normal(size=sessions + 4), np.ones(5) / 5, "valid")[session]
    x = np.column_stack([np.ones(len(session)), factor, rng.normal(size=(len(session), 2))])
    y = 0.5 * x[:, 2] + shared + 0.3 * rng.normal(size=len(session))
    keep = (rng.random(len(session)) < 0.9) & (session != 30)
    return x[keep], y[keep], session[keep]


def fitted(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    coef = np.linalg.lstsq(x, y, rcond=None)[0]
    return coef, y - x @ coef


@pytest.mark.parametrize("lag", [0, 4, 23])
def test_statsmodels_agrees(lag):
    linear_model = pytest.importorskip("statsmodels.regression.linear_model")
    x, y, session = panel()
    coef, residual = fitted(x, y)
    ours = driscoll_kraay(x, residual, coef, session, lag=lag)
    theirs = linear_model.OLS(y, x).fit(
        cov_type="hac-groupsum", cov_kwds={"time": session, "maxlags": lag, "use_correction": False}, use_t=False
    )
    assert np.allclose(ours.se, theirs.bse, rtol=1e-9)
    assert np.allclose(ours.t, theirs.tvalues, rtol=1e-6)


def test_pairs_of_rows_agree():
    """The same sum, written over every pair of rows."""
    x, y, session = panel(25, 4)
    coef, residual = fitted(x, y)
    lag = 3
    weight = np.clip(1 - np.abs(session[:, None] - session[None, :]) / (lag + 1), 0, None)
    moments = x * residual[:, None]
    bread = np.linalg.inv(x.T @ x)
    wanted = np.sqrt(np.diag(bread @ moments.T @ weight @ moments @ bread))
    assert np.allclose(driscoll_kraay(x, residual, coef, session, lag=lag).se, wanted, rtol=1e-9)


def test_the_order_of_rows_does_not_matter():
    x, y, session = panel()
    coef, residual = fitted(x, y)
    order = np.random.default_rng(1).permutation(len(y))
    first = driscoll_kraay(x, residual, coef, session, lag=5)
    second = driscoll_kraay(x[order], residual[order], coef, session[order] + 1000, lag=5)
    assert np.allclose(first.se, second.se, rtol=1e-10)


def test_a_shared_factor_is_not_taken_for_many_observations():
    """Of 200 panels in which the factor does nothing, ordinary errors reject far more than 5 %, these about that."""
    rejected, ordinary = 0, 0
    for seed in range(200):
        x, y, session = panel(250, 6, seed=seed)
        coef, residual = fitted(x, y)
        rejected += int(driscoll_kraay(x, residual, coef, session, lag=8).p[1] < 0.05)
        plain = np.sqrt(np.linalg.inv(x.T @ x)[1, 1] * residual.var())
        ordinary += int(abs(coef[1] / plain) > 1.96)
    assert rejected <= 30
    assert ordinary >= 100


def test_a_column_that_others_make_has_no_error():
    x, y, session = panel()
    x = np.column_stack([x, x[:, 3], np.zeros(len(x))])
    coef, residual = fitted(x, y)
    found = driscoll_kraay(x, residual, coef, session, lag=2)
    assert np.isnan(found.se).tolist() == [False, False, False, True, True, True]
    assert np.isnan(found.p[3:]).all()


def test_arrays_that_do_not_fit_are_a_bug():
    x, y, session = panel()
    with pytest.raises(DeveloperError):
        driscoll_kraay(x, y[1:], np.zeros(4), session, lag=1)
    with pytest.raises(DeveloperError):
        driscoll_kraay(x, y, np.zeros(4), session, lag=-1)
