"""Penalised EM: means and covariances have a conjugate prior, and M-steps find the mode of the posterior.

The prior density of a singular covariance is 0, so components can't collapse onto few points (Fraley & Raftery 2007,
'Bayesian regularization for normal mixture estimation and model-based clustering', tables 1 and 2).
"""

import math
from dataclasses import dataclass

import numpy as np

from ..parameters import Parameters
from .regularized import RegularizedFamily, with_prior, without_prior


@dataclass(frozen=True)
class ConjugatePrior:
    """The prior of each component: mean ~ N(mean, covariance / shrinkage), covariance ~ inverse Wishart.

    Attributes
    ----------
    shrinkage : float
        Number of points that the prior of the mean counts as; 0: no such prior.
    mean : ndarray of shape (D,)
    degrees_of_freedom : float
    scale : ndarray
        In the shape of one component's covariance, squared units of the data: (D, D) for full and tied, (D,) for diag,
        () for spherical.
    """

    shrinkage: float
    mean: np.ndarray
    degrees_of_freedom: float
    scale: np.ndarray


def default_prior(family, n_components, mean, covariance, /, **given):
    """Fraley & Raftery's prior (section 4): its scale is the covariance of all points, with 1 / K of their volume.

    If that covariance is singular, its diagonal is used, as mclust does with too few points.

    Parameters
    ----------
    family : CovarianceFamily
    n_components : int
    mean : ndarray of shape (D,)
        Of all points.
    covariance : ndarray
        Of all points, (D, D), or variances (D,) for diag and spherical.
    **given
        Attributes of the prior that replace the default ones.
    """
    n_features = len(mean)
    scale = family.conjugate.scale_of_data(covariance * n_components ** (-2 / n_features))
    default = {"shrinkage": 0.01, "mean": mean, "degrees_of_freedom": n_features + 2.0, "scale": scale}
    return ConjugatePrior(**{**default, **given})


class PenalizedFamily(RegularizedFamily):
    """A covariance family whose M-step maximises the posterior density; its lower bound includes the prior.

    Parameters
    ----------
    family : CovarianceFamily
    prior : ConjugatePrior
    """

    def __init__(self, family, prior):
        super().__init__(family)
        self.prior = prior

    def maximize(self, statistics, reg_covar, candidate=None):
        """The mode of the posterior given the responsibilities; raises CollapsedComponent as the plain family does."""
        mass, means, covariances = self.plain.moments(statistics, reg_covar)
        means, covariances = with_prior(self.plain, mass, means, covariances, **self._prior(mass, means.shape[1]))
        factors = self.plain.precisions_cholesky(covariances)
        return Parameters(self, mass / mass.sum(), means, covariances, factors)

    def statistics_of(self, parameters, weight, reg_covar):
        """Statistics of total weight `weight` from which `maximize` returns these parameters."""
        mass = weight * parameters.weights.astype(np.float64)
        means, covariances = parameters.means.astype(np.float64), parameters.covariances.astype(np.float64)
        points = without_prior(self.plain, mass, means, covariances, **self._prior(mass, means.shape[1]))
        return self.plain.statistics_of(points, weight, reg_covar)

    def _prior(self, mass, n_features):
        """The arguments of `with_prior`; counts: powers of |covariance|**(-1/2) in the posterior density."""
        prior = self.prior
        of_means = 1 if prior.shrinkage > 0 else 0
        counts = prior.degrees_of_freedom + self.plain.conjugate.counts(of_means, mass, n_features)
        return {"shrinkage": prior.shrinkage, "mean": prior.mean, "scale": prior.scale, "counts": counts}

    def lower_bound(self, statistics, candidate, successor):
        """Log-likelihood plus log prior density of the candidate, nats per unit of weight."""
        return (statistics.log_likelihood + self.log_density(candidate)) / statistics.weight

    def log_density(self, parameters):
        """log p(means, covariances), nats; up to a constant if features without spread make the scale singular."""
        prior, means = self.prior, parameters.means
        n_features = means.shape[1]
        log_det = 2 * parameters.log_determinants  # of the precisions
        total = 0.0
        if prior.shrinkage > 0:
            distances = parameters.squared_lengths(means - prior.mean)
            normalizer = n_features * math.log(prior.shrinkage / (2 * math.pi))
            total += 0.5 * (normalizer + log_det - prior.shrinkage * distances).sum()
        return total + self.plain.conjugate.log_density(parameters, prior.degrees_of_freedom, prior.scale)
