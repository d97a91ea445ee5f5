"""Covariance families with a conjugate prior: `maximize` and `lower_bound` are their own, all else is as in the family.

The prior counts as so many points (`shrinkage`) at its mean, and adds its `scale` to the scatter of the components'
points (Gelman et al. 2013, 'Bayesian Data Analysis', section 3.6).
"""

import math
from dataclasses import replace

import numpy as np
from scipy.special import gammaln

from ..covariance import Parameters

# Points of a component below which it has none.
_NO_POINTS = 1e-10


class RegularizedFamily:
    """A covariance family whose `maximize` and `lower_bound` a subclass makes its own.

    Parameters
    ----------
    plain : CovarianceFamily
    """

    def __init__(self, plain):
        self.plain = plain

    def with_precisions(self, weights, means, precisions):
        """Parameters with these precisions (symmetric positive definite)."""
        return replace(self.plain.with_precisions(weights, means, precisions), family=self)

    def __getattr__(self, name):
        if name == "plain":  # not there yet, while it is being unpickled or copied
            raise AttributeError(name)
        return getattr(self.plain, name)

    def at_points(self, points, variance):
        """As if each component had one of the points, (K, D), reg_covar being the variance."""
        plain = self.plain.at_points(points, variance)
        return self.maximize(self.plain.statistics_of(plain, len(points), variance), variance)


def with_prior(family, mass, means, covariances, *, shrinkage, mean, scale, counts):
    """(means, covariances) of components after their points and the prior, from those of the points alone.

    Parameters
    ----------
    family : CovarianceFamily
    mass : ndarray of shape (K,)
        Points of each component.
    means, covariances : ndarray
        Of these points.
    shrinkage : float
    mean : ndarray of shape (D,)
        The prior's.
    scale : ndarray
        The prior's scatter, in the shape of one component's covariance.
    counts : ndarray of shape (K,), or float for tied
        What the sum of scatters is divided by.
    """
    scatter = _times(mass, covariances, family, means.shape[1]) + _between(family, mass, means - mean, shrinkage)
    covariances = (scale + scatter) / of_each(counts, covariances)
    return (shrinkage * mean + mass[:, None] * means) / (shrinkage + mass)[:, None], covariances


def without_prior(family, mass, means, covariances, *, shrinkage, mean, scale, counts):
    """The reverse of `with_prior`: the mixture of the points alone, as `Parameters` without factors."""
    has_points = mass[:, None] > _NO_POINTS
    means = np.where(has_points, means + shrinkage / np.maximum(mass, _NO_POINTS)[:, None] * (means - mean), means)
    scatter = of_each(counts, covariances) * covariances - scale
    scatter = scatter - _between(family, mass, means - mean, shrinkage)
    covariances = scatter / _times(np.maximum(mass, _NO_POINTS), np.ones(covariances.shape), family, means.shape[1])
    return Parameters(family, mass / mass.sum(), means, covariances, covariances)


def _times(mass, covariances, family, n_features):
    """Scatter of so many points with these covariances; spherical components' is that of all features."""
    if family.name == "tied":
        return mass.sum() * covariances
    if family.name == "spherical":
        return n_features * mass * covariances
    return of_each(mass, covariances) * covariances


def of_each(values, covariances):
    """One value for each component, or one for all, against covariances."""
    return np.reshape(values, (-1, *[1] * (covariances.ndim - 1))) if np.ndim(values) else values


def _between(family, mass, offsets, shrinkage):
    """What the distance of the components' means from the prior's adds to their scatter."""
    return 0.0 if shrinkage == 0 else scatter_of(family, mass * shrinkage / (mass + shrinkage), offsets)


def scatter_of(family, shares, offsets):
    """share_k offset_k offset_k' as covariances have it: of tied components the sum, of spherical ones the trace."""
    if family.name == "full":
        return shares[:, None, None] * offsets[:, :, None] * offsets[:, None, :]
    if family.name == "tied":
        return (shares * offsets.T) @ offsets
    squares = shares[:, None] * offsets**2
    return squares.sum(axis=1) if family.name == "spherical" else squares


def log_wishart_normalizer(degrees, dimension, log_inverse_scale):
    """log B(W, degrees) (Bishop 2006, eq. B.79) but for powers of pi."""
    gammas = sum(gammaln(0.5 * (degrees - i)) for i in range(dimension))
    return 0.5 * degrees * (log_inverse_scale - dimension * math.log(2)) - gammas
