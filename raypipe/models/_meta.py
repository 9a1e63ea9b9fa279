"""The optimisers below the stacker: held weights, a line, and nets of one small layer; full batch, float64."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["HIDDEN", "NET_SEEDS", "Net", "fit_net", "fit_weights", "log_loss_line"]

HIDDEN, NET_SEEDS, NET_L2, NET_ITERATIONS = 8, 5, 0.01, 200
#: Rows per product. OpenBLAS gives products of this size to one thread, so sums do not depend on how many there are.
_BLOCK = 1024
_LEAST_SLOPE = 1e-3


# --- lines ---------------------------------------------------------------------------------------


def fit_weights(x: np.ndarray, y: np.ndarray, *, bases: int, l2: float) -> tuple[np.ndarray, float]:
    """Weights and intercept of least mean log loss + (l2/2) sum (w - centre)^2.

    The first ``bases`` weights are at least 0 and centred at 1/bases, the others are free and centred at 0.
    """
    centre = np.r_[np.full(bases, 1 / bases), np.zeros(x.shape[1] - bases)]
    lowest = [0.0] * bases + [None] * (x.shape[1] - bases)
    held = not np.isfinite(l2)
    bounds = [(c, c) if held else (low, None) for c, low in zip(centre, lowest, strict=True)]

    def loss(theta: np.ndarray) -> tuple[float, np.ndarray]:
        weights, apart = theta[:-1], theta[:-1] - centre
        value, slope = _log_loss(x, y, weights, theta[-1])
        penalty = 0.0 if held else l2
        value += penalty / 2 * float(apart @ apart)
        return value, slope + np.r_[penalty * apart, 0.0]

    theta = _least(loss, np.r_[centre, 0.0], [*bounds, (None, None)])
    return theta[:-1], float(theta[-1])


def log_loss_line(z: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Slope, above 0, and intercept of least mean log loss."""

    def loss(theta: np.ndarray) -> tuple[float, np.ndarray]:
        return _log_loss(z[:, None], y, theta[:-1], theta[-1])

    slope, intercept = _least(loss, np.array([1.0, 0.0]), [(_LEAST_SLOPE, None), (None, None)])
    return float(slope), float(intercept)


def _log_loss(x: np.ndarray, y: np.ndarray, weights: np.ndarray, intercept: float) -> tuple[float, np.ndarray]:
    """Mean log loss and its gradient, the intercept's last."""
    logit = np.full(len(x), intercept)
    for column, weight in zip(x.T, weights, strict=True):
        logit += column * weight
    loss, residual = _losses(logit, y)
    slope = [float((column * residual).sum()) for column in x.T]
    return float(loss.sum()) / len(x), np.array([*slope, float(residual.sum())]) / len(x)


def _losses(logit: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Log loss per row, and its derivative by the logit."""
    small = np.exp(-np.abs(logit))
    loss = np.maximum(logit, 0.0) + np.log1p(small) - y * logit
    return loss, np.where(logit >= 0, 1.0, small) / (1.0 + small) - y


def _least(loss: Any, start: np.ndarray, bounds: Any, *, iterations: int = 500, exact: bool = True) -> np.ndarray:
    from scipy.optimize import minimize

    options = {"maxiter": iterations, "maxfun": 4 * iterations, **({"ftol": 1e-14, "gtol": 1e-9} if exact else {})}
    best: np.ndarray = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options).x
    return best


# --- nets ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Net:
    """One layer of tanh over standardised columns.

    Attributes
    ----------
    mean, sd
        float64 (d,): how columns are standardised.
    inner, inner_bias
        float64 (d, 8) and (8,).
    outer, outer_bias
        float64 (8,) and a number.
    """

    mean: np.ndarray
    sd: np.ndarray
    inner: np.ndarray
    inner_bias: np.ndarray
    outer: np.ndarray
    outer_bias: float

    def logit(self, x: np.ndarray) -> np.ndarray:
        """float64 (n,); each row by itself, to the last bit, whatever rows stand beside it."""
        total = np.full(len(x), self.outer_bias)
        scaled = [(column - mean) / sd for column, mean, sd in zip(x.T, self.mean, self.sd, strict=True)]
        for unit in range(len(self.outer)):
            inside = np.full(len(x), self.inner_bias[unit])
            for column, weight in zip(scaled, self.inner[:, unit], strict=True):
                inside += column * weight
            total += np.tanh(inside) * self.outer[unit]
        return total

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        arrays = {name: getattr(self, name).tolist() for name in ("mean", "sd", "inner", "inner_bias", "outer")}
        return {**arrays, "outer_bias": self.outer_bias}

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Net:
        """The inverse of `to_dict`."""
        arrays = {name: np.array(raw[name], np.float64) for name in ("mean", "sd", "inner", "inner_bias", "outer")}
        return cls(outer_bias=float(raw["outer_bias"]), **arrays)


def fit_net(x: np.ndarray, y: np.ndarray, *, seed: int) -> tuple[Net, ...]:
    """Nets of least mean log loss + (.01/2) sum of squared weights, one for each of five seeds.

    Parameters
    ----------
    x
        float64 (n, d), without NaN.
    y
        float64 (n,), 0 or 1.
    seed
        With the number of the net it draws where the net starts.
    """
    mean, sd = x.mean(axis=0), x.std(axis=0)
    sd = np.where(sd > 0, sd, 1.0)
    scaled = np.ascontiguousarray(((x - mean) / sd).T)
    return tuple(_one_net(scaled, y, mean, sd, np.random.default_rng([seed, one])) for one in range(NET_SEEDS))


def _one_net(x: np.ndarray, y: np.ndarray, mean: np.ndarray, sd: np.ndarray, draw: np.random.Generator) -> Net:
    columns = len(x)
    reach, out_reach = np.sqrt(6 / (columns + HIDDEN)), np.sqrt(6 / (HIDDEN + 1))
    inner, outer = draw.uniform(-reach, reach, (columns, HIDDEN)), draw.uniform(-out_reach, out_reach, HIDDEN)
    start = np.r_[inner.ravel(), np.zeros(HIDDEN), outer, 0.0]
    best = _least(lambda theta: _net_loss(theta, x, y), start, None, iterations=NET_ITERATIONS, exact=False)
    inner, bias, outer, outer_bias = _parts(best, columns)
    return Net(mean, sd, inner, bias, outer, float(outer_bias))


def _parts(theta: np.ndarray, columns: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    cut = columns * HIDDEN
    return theta[:cut].reshape(columns, HIDDEN), theta[cut : cut + HIDDEN], theta[cut + HIDDEN : -1], theta[-1]


def _net_loss(theta: np.ndarray, x: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
    """Loss and its gradient; ``x`` is (d, n). With rows of units, not of samples, all loops are long: half the time."""
    inner, bias, outer, outer_bias = _parts(theta, len(x))
    value, slope = 0.0, np.zeros(len(theta))
    into_inner, into_bias, into_outer, _ = _parts(slope, len(x))
    for start in range(0, len(y), _BLOCK):
        block = x[:, start : start + _BLOCK]
        hidden = inner.T @ block
        hidden += bias[:, None]
        np.tanh(hidden, out=hidden)
        loss, residual = _losses(outer @ hidden + outer_bias, y[start : start + _BLOCK])
        back = outer[:, None] * residual
        back *= 1 - hidden * hidden
        value += float(loss.sum())
        into_inner += block @ back.T
        into_bias += back.sum(axis=1)
        into_outer += hidden @ residual
        slope[-1] += residual.sum()
    flat = theta.copy()
    _, flat_bias, _, _ = _parts(flat, len(x))
    flat_bias[:] = flat[-1] = 0.0
    return value / len(y) + NET_L2 / 2 * float(flat @ flat), slope / len(y) + NET_L2 * flat
