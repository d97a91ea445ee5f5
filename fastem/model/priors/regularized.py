"""Covariance families with a conjugate prior: `maximize` and `lower_bound` are their own, all else is as in the family.

The prior counts as so many points (`shrinkage`) at its mean, and adds its `scale` to the scatter of the components'
points (Gelman et al. 2013, 'Bayesian Data Analysis', section 3.6).
"""

from dataclasses import replace

import numpy as np

from ..families.conjugate import of_each
from ..parameters import Parameters

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
    scatter = family.conjugate.scatter(mass, covariances, means.shape[1]) + _between(
        family, mass, means - mean, shrinkage
    )
    covariances = (scale + scatter) / of_each(counts, covariances)
    return (shrinkage * mean + mass[:, None] * means) / (shrinkage + mass)[:, None], covariances


def without_prior(family, mass, means, covariances, *, shrinkage, mean, scale, counts):
    """The reverse of `with_prior`: the mixture of the points alone, as `Parameters` without factors."""
    has_points = mass[:, None] > _NO_POINTS
    means = np.where(has_points, means + shrinkage / np.maximum(mass, _NO_POINTS)[:, None] * (means - mean), means)
    scatter = of_each(counts, covariances) * covariances - scale
    scatter = scatter - _between(family, mass, means - mean, shrinkage)
    mass_ = np.maximum(mass, _NO_POINTS)
    covariances = scatter / family.conjugate.scatter(mass_, np.ones(covariances.shape), means.shape[1])
    return Parameters(family, mass / mass.sum(), means, covariances, covariances)


def _between(family, mass, offsets, shrinkage):
    """What the distance of the components' means from the prior's adds to their scatter."""
    return (
        0.0 if shrinkage == 0 else family.conjugate.scatter_of_offsets(mass * shrinkage / (mass + shrinkage), offsets)
    )
