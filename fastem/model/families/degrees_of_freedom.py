"""Degrees of freedom of t distributions: their equation in an M-step, and the constant of the density.

Both are differences of nearly equal functions if the degrees of freedom are large, so they are computed from series.
"""

import math

import numpy as np
import scipy  # which imports its parts at their first use

LEAST, MOST = 1e-2, 1e6
"""Range of estimates; at the upper end a component is Gaussian: its log-densities differ by about delta**2 / 4e6."""

_LARGE = 20.0  # half of the degrees of freedom from which the series are accurate to rounding

# Newton's iterations, at most (3 are enough), and the step in log(nu) that is the last one.
_STEPS, _ENOUGH = 8, 1e-8


def _by_size(half, of_small, of_large):
    """One function of small values, another of large ones; each is called only if there are such."""
    is_large = half >= _LARGE
    if is_large.all():
        return of_large(half)
    if not is_large.any():
        return of_small(half)
    return np.where(is_large, of_large(np.maximum(half, _LARGE)), of_small(np.minimum(half, _LARGE)))


def gap(degrees):
    """log(nu / 2) - digamma(nu / 2), which falls from infinity to 0; it lies between 1 / nu and 2 / nu."""
    return _by_size(0.5 * np.asarray(degrees, dtype=np.float64), _gap_of_few, _gap_of_many)


def _gap_of_few(half):
    return np.log(half) - scipy.special.digamma(half)


def _gap_of_many(half):
    z = 1 / half
    square = z * z
    return z * (0.5 + z * (1 / 12 - square * (1 / 120 - square * (1 / 252 - square * (1 / 240 - square / 132)))))


def _steepness(degrees):
    """Minus the derivative of `gap` by log(nu)."""
    return _by_size(0.5 * degrees, _steepness_of_few, _steepness_of_many)


def _steepness_of_few(half):
    return half * scipy.special.zeta(2, half) - 1


def _steepness_of_many(half):
    z = 1 / half
    square = z * z
    return z * (0.5 + z * (1 / 6 - square * (1 / 30 - square * (1 / 42 - square * (1 / 30 - 5 * square / 66)))))


def solved(target):
    """The degrees of freedom at which `gap` has these values, within the range of estimates.

    Newton's method for log(gap) by log(nu), which is nearly linear, from a value within 1.5 % (Minka 2002, 'Estimating
    a Gamma distribution').
    """
    target = np.asarray(target, dtype=np.float64)
    inside = (target > _AT_MOST) & (target < _AT_LEAST)
    value = np.where(inside, target, 1.0)
    degrees = (3 - value + np.sqrt((value - 3) ** 2 + 24 * value)) / (6 * value)
    for _ in range(_STEPS):
        found = gap(degrees)
        step = found * np.log(found / value) / _steepness(degrees)
        degrees = np.clip(degrees * np.exp(step), 1 / value, 2 / value)
        if np.abs(step).max(initial=0.0) < _ENOUGH:  # the error is about its square
            break
    return np.where(inside, np.clip(degrees, LEAST, MOST), np.where(target >= _AT_LEAST, LEAST, MOST))


_AT_LEAST, _AT_MOST = gap(LEAST), gap(MOST)


def log_constant(degrees, n_features):
    """log of the t density's constant over the Gaussian one's, (2 pi)**(-D / 2) |precision|**(1 / 2).

    That is log(Gamma((nu + D) / 2) / Gamma(nu / 2)) - D / 2 log(nu / 2), 0 if nu is infinite.
    """
    more = 0.5 * n_features

    def of_few(half):
        return scipy.special.gammaln(half + more) - scipy.special.gammaln(half) - more * np.log(half)

    def of_many(half):
        z = np.where(np.isfinite(half), half, 1.0)
        series = (z + more - 0.5) * np.log1p(more / z) - more + _stirling(z + more) - _stirling(z)
        return np.where(np.isfinite(half), series, 0.0)

    return _by_size(0.5 * np.asarray(degrees, dtype=np.float64), of_few, of_many)


def _stirling(z):
    """log Gamma(z) - ((z - 1 / 2) log z - z + log(2 pi) / 2)."""
    square = 1 / (z * z)
    return (1 / 12 - square * (1 / 360 - square * (1 / 1260 - square * (1 / 1680 - square / 1188)))) / z


def geometric_mean(degrees, weights):
    """The weighted geometric mean, a float."""
    return math.exp(float(weights @ np.log(np.minimum(degrees, MOST)) / weights.sum()))
