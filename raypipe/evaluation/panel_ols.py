"""Standard errors of least squares on a panel: rows of one session move together, and sessions near each other too.

Driscoll and Kraay (1998): the moments are summed within each session, and the sums are given the variance of Newey and
West over sessions. Ordinary errors take 46 symbols of a session for 46 observations, and overlapping labels for
independent ones; theirs are too small by a factor of several.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from raypipe.errors import DeveloperError

__all__ = ["Errors", "driscoll_kraay"]


@dataclass(frozen=True, slots=True, eq=False)
class Errors:
    """Uncertainty of coefficients, float64 (features,) each; NaN where a column is no combination of its own.

    Attributes
    ----------
    se
        Standard error.
    t
        Coefficient over standard error.
    p
        Two-sided, against Student's t with one degree of freedom less than there are sessions.
    """

    se: np.ndarray
    t: np.ndarray
    p: np.ndarray


def driscoll_kraay(
    x: np.ndarray, residual: np.ndarray, coef: np.ndarray, session_id: np.ndarray, *, lag: int
) -> Errors:
    """Errors of a fit that has been made.

    Parameters
    ----------
    x
        float64 (n, features), finite: what the fit was made on, with a column of ones if it has an intercept.
    residual
        float64 (n,): what the fit leaves.
    coef
        float64 (features,).
    session_id
        int (n,): the session of each row; sessions without rows between the first and the last count as such.
    lag
        Sessions over which sums are related; weights fall linearly to 0 beyond it.

    Raises
    ------
    DeveloperError
        If lengths differ or the lag is negative.
    """
    if not len(x) == len(residual) == len(session_id) or x.shape[1] != len(coef) or lag < 0:
        msg = f"x {x.shape}, residual {residual.shape}, coef {coef.shape}, lag {lag} do not fit together"
        raise DeveloperError(msg)
    bread, alone = _bread(x)
    sums = _session_sums(x * residual[:, None], session_id)
    variance = np.diag(bread @ _newey_west(sums, lag) @ bread)
    se = np.sqrt(np.where(alone & (variance > 0), variance, np.nan))
    t = coef / se
    return Errors(se, t, _two_sided(t, len(np.unique(session_id)) - 1))


def _bread(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(x'x)^-1, and which columns are no combination of others."""
    square = x.T @ x
    inverse = np.linalg.pinv(square, hermitian=True)
    alone: np.ndarray = np.abs(np.diag(inverse @ square) - 1.0) < 1e-6  # noqa: PLR2004 - of one part in a million
    return inverse, alone


def _session_sums(moments: np.ndarray, session_id: np.ndarray) -> np.ndarray:
    """Sum of the rows of each session, from the first session to the last: (sessions, features)."""
    place = session_id - session_id.min()
    count = int(place.max()) + 1
    return np.stack([np.bincount(place, column, minlength=count) for column in moments.T], axis=1)


def _newey_west(sums: np.ndarray, lag: int) -> np.ndarray:
    """Long-run variance of sums of sessions, with the weights of Bartlett."""
    total: np.ndarray = sums.T @ sums
    for back in range(1, min(lag, len(sums) - 1) + 1):
        across = sums[back:].T @ sums[:-back]
        total += (1.0 - back / (lag + 1.0)) * (across + across.T)
    return total


def _two_sided(t: np.ndarray, freedom: int) -> np.ndarray:
    from scipy.special import stdtr

    p: np.ndarray = 2.0 * stdtr(max(freedom, 1), -np.abs(t))
    return p
