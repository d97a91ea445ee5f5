"""Degrees of freedom of t distributions: their equation in an M-step, and the constant of the density.

Both are differences of nearly equal functions if the degrees of freedom are large, so they are computed from series.
"""

import math

import numpy as np
import scipy  # which imports its parts at their first use

LEAST, MOST = 1e-2, 1e6
"""Range of estimates; at the upper end a component is Gaussian: its log-densities differ by about delta**2 / 4e6."""

_LARGE = 20.0  # half of the degrees of freedom from which the series are accurate to rounding

# Newton's iterations, at most; from the bracket below, 6 at most were needed in tests.
_MOST_STEPS = 60


def gap(degrees):
    """log(nu / 2) - digamma(nu / 2), which falls from infinity to 0; it lies between 1 / nu and 2 / nu."""
    half = 0.5 * np.asarray(degrees, dtype=np.float64)
    low = np.minimum(half, _LARGE)
    z = 1 / np.maximum(half, _LARGE)
    series = z * (0.5 + z * (1 / 12 - z**2 * (1 / 120 - z**2 * (1 / 252 - z**2 * (1 / 240 - z**2 / 132)))))
    return np.where(half < _LARGE, np.log(low) - scipy.special.digamma(low), series)


def _log_slope(degrees, value):
    """The derivative of log(gap) with respect to log(nu)."""
    half = 0.5 * degrees
    low = np.minimum(half, _LARGE)
    z = 1 / np.maximum(half, _LARGE)
    series = -z * (0.5 + z * (1 / 6 - z**2 * (1 / 30 - z**2 * (1 / 42 - z**2 * (1 / 30 - 5 * z**2 / 66)))))
    return np.where(half < _LARGE, 1 - low * scipy.special.polygamma(1, low), series) / value


def solved(target):
    """The degrees of freedom at which `gap` has these values, within the range of estimates.

    Newton's method for log(gap) as a function of log(nu), which is nearly linear, kept within a bracket.
    """
    target = np.asarray(target, dtype=np.float64)
    inside = (target > gap(MOST)) & (target < gap(LEAST))
    value = np.where(inside, target, 1.0)
    low, high = np.log(1 / value), np.log(2 / value)
    x = 0.5 * (low + high)
    for _ in range(_MOST_STEPS):
        degrees = np.exp(x)
        found = gap(degrees)
        excess = np.log(found / value)  # falls as x rises
        low, high = np.where(excess > 0, x, low), np.where(excess < 0, x, high)
        moved = x - excess / _log_slope(degrees, found)
        moved = np.where((moved >= low) & (moved <= high), moved, 0.5 * (low + high))
        done = np.abs(moved - x) <= 4e-16 * np.maximum(1.0, np.abs(x))
        x = moved
        if done.all():
            break
    return np.where(inside, np.clip(np.exp(x), LEAST, MOST), np.where(target >= gap(LEAST), LEAST, MOST))


def log_constant(degrees, n_features):
    """log of the t density's constant over the Gaussian one's, (2 pi)**(-D / 2) |precision|**(1 / 2).

    That is log(Gamma((nu + D) / 2) / Gamma(nu / 2)) - D / 2 log(nu / 2), 0 if nu is infinite.
    """
    half, more = 0.5 * np.asarray(degrees, dtype=np.float64), 0.5 * n_features
    low, z = np.minimum(half, _LARGE), np.maximum(half, _LARGE)
    exact = scipy.special.gammaln(low + more) - scipy.special.gammaln(low) - more * np.log(low)
    is_finite = np.isfinite(z)
    z = np.where(is_finite, z, 1.0)
    series = (z + more - 0.5) * np.log1p(more / z) - more + _stirling(z + more) - _stirling(z)
    return np.where(half < _LARGE, exact, np.where(is_finite, series, 0.0))


def _stirling(z):
    """log Gamma(z) - ((z - 1 / 2) log z - z + log(2 pi) / 2)."""
    square = 1 / (z * z)
    return (1 / 12 - square * (1 / 360 - square * (1 / 1260 - square * (1 / 1680 - square / 1188)))) / z


def geometric_mean(degrees, weights):
    """The weighted geometric mean, a float."""
    return math.exp(float(weights @ np.log(np.minimum(degrees, MOST)) / weights.sum()))
