"""Covariance families with a conjugate prior: they override `maximize` and `lower_bound` of a plain family.

The prior counts as `shrinkage` points at its mean, and adds its `scale` to the scatter of the components' points
(Gelman et al. 2013, 'Bayesian Data Analysis', section 3.6).
"""

from dataclasses import replace

import numpy as np

from ..families.conjugate import of_each
from ..parameters import Parameters

# Number of points below which a component counts as empty.
_NO_POINTS = 1e-10


class RegularizedFamily:
    """A covariance family with a prior. Subclasses define `maximize` and `lower_bound`; all else is the plain family's.

    Parameters
    ----------
    plain : CovarianceFamily
    """

    compiled_m_step = None  # the M-step is another than the plain family's

    def __init__(self, plain):
        self.plain = plain

    @property
    def without_noise(self):
        """The family itself."""
        return self

    def with_precisions(self, weights, means, precisions):
        """Parameters with these precisions (symmetric positive definite)."""
        return replace(self.plain.with_precisions(weights, means, precisions), family=self)

    def points_lacking(self, mass, n_features):
        """Whether each component has too few points, (K,): none has, as the prior makes up for them."""
        return np.zeros(len(mass), bool)

    def __getattr__(self, name):
        if name == "plain":  # not set yet while the object is unpickled or copied
            raise AttributeError(name)
        return getattr(self.plain, name)

    def at_points(self, points, variance):
        """The M-step's result if each component had one of the points, (K, D), and reg_covar were `variance`."""
        plain = self.plain.at_points(points, variance)
        return self.maximize(self.plain.statistics_of(plain, len(points), variance), variance)


def with_prior(family, mass, means, covariances, *, shrinkage, mean, scale, counts):
    """(means, covariances) of components with the prior, from those of their points alone.

    Parameters
    ----------
    family : CovarianceFamily
    mass : ndarray of shape (K,)
        Number of points of each component.
    means, covariances : ndarray
        Means and covariances of these points.
    shrinkage : float
        Number of points that the prior of the mean counts as.
    mean : ndarray of shape (D,)
        The prior mean.
    scale : ndarray
        The prior's scatter, in the shape of one component's covariance.
    counts : ndarray of shape (K,), or float for tied
        Divisor of the sum of scatters.
    """
    scatter = family.conjugate.scatter(mass, covariances, means.shape[1]) + _between(
        family, mass, means - mean, shrinkage
    )
    covariances = (scale + scatter) / of_each(counts, covariances)
    return (shrinkage * mean + mass[:, None] * means) / (shrinkage + mass)[:, None], covariances


def without_prior(family, mass, means, covariances, *, shrinkage, mean, scale, counts):
    """The inverse of `with_prior`: the mixture of the points alone, as `Parameters` without precision factors."""
    has_points = mass[:, None] > _NO_POINTS
    means = np.where(has_points, means + shrinkage / np.maximum(mass, _NO_POINTS)[:, None] * (means - mean), means)
    scatter = of_each(counts, covariances) * covariances - scale
    scatter = scatter - _between(family, mass, means - mean, shrinkage)
    mass_ = np.maximum(mass, _NO_POINTS)
    covariances = scatter / family.conjugate.scatter(mass_, np.ones(covariances.shape), means.shape[1])
    return Parameters(family, mass / mass.sum(), means, covariances, covariances)


def _between(family, mass, offsets, shrinkage):
    """The scatter of the components' means about the prior mean."""
    return (
        0.0 if shrinkage == 0 else family.conjugate.scatter_of_offsets(mass * shrinkage / (mass + shrinkage), offsets)
    )
