"""Penalised EM: a conjugate prior on means and covariances, of which M-steps find the posterior's mode.

Singular covariances have no density under it, so that a component can't collapse on few points (Fraley & Raftery 2007,
'Bayesian regularization for normal mixture estimation and model-based clustering', tables 1 and 2).
"""

import math
from dataclasses import dataclass

import numpy as np

from ..covariance import Parameters
from .regularized import RegularizedFamily, log_wishart_normalizer, with_prior, without_prior

# Least eigenvalue of features' correlations below which they are linearly dependent.
_DEPENDENT = 1e-10


@dataclass(frozen=True)
class ConjugatePrior:
    """Of each component: mean ~ N(mean, covariance / shrinkage), covariance ~ inverse Wishart.

    Attributes
    ----------
    shrinkage : float
        Points that the prior of the mean counts for; 0: no such prior.
    mean : ndarray of shape (D,)
    degrees_of_freedom : float
    scale : ndarray
        As `covariances_` has one component's, squared units of the data: (D, D) for full and tied, (D,) for diag, ()
        for spherical.
    """

    shrinkage: float
    mean: np.ndarray
    degrees_of_freedom: float
    scale: np.ndarray


def default_prior(family, n_components, mean, covariance, /, **given):
    """Fraley & Raftery's (section 4): each component's covariance about that of all points, shared out by volume.

    Where all points' covariance is singular, its variances serve, as in mclust where there are too few points.

    Parameters
    ----------
    family : CovarianceFamily
    n_components : int
    mean : ndarray of shape (D,)
        Of all points.
    covariance : ndarray
        Of all points, (D, D), or variances (D,) for diag and spherical.
    **given
        Attributes of the prior that are known.
    """
    n_features = len(mean)
    if family.is_triangular and _is_singular(covariance):
        covariance = np.diag(np.diagonal(covariance))
    scale = covariance * n_components ** (-2 / n_features)
    if not family.is_triangular:  # the mean variance serves every feature
        scale = np.full(scale.shape, scale.mean()) if family.name == "diag" else scale.mean()
    default = {"shrinkage": 0.01, "mean": mean, "degrees_of_freedom": n_features + 2.0, "scale": scale}
    return ConjugatePrior(**{**default, **given})


def _is_singular(covariance):
    """Whether features that vary are linearly dependent."""
    deviations = np.sqrt(np.diagonal(covariance))
    vary = np.flatnonzero(deviations)
    correlations = covariance[np.ix_(vary, vary)] / deviations[vary, None] / deviations[vary]
    return bool((np.linalg.eigvalsh(correlations) < _DEPENDENT).any())


class PenalizedFamily(RegularizedFamily):
    """A covariance family whose M-step maximises the posterior density, and its bound with it.

    Parameters
    ----------
    family : CovarianceFamily
    prior : ConjugatePrior
    """

    def __init__(self, family, prior):
        super().__init__(family)
        self.prior = prior

    def maximize(self, statistics, reg_covar, candidate=None):
        """The mode of the posterior, given the responsibilities; raises CollapsedComponent as the family does."""
        mass, means, covariances = self.plain.moments(statistics, reg_covar)
        means, covariances = with_prior(self.plain, mass, means, covariances, **self._prior(mass, means.shape[1]))
        factors = self.plain.precisions_cholesky(covariances)
        return Parameters(self, mass / mass.sum(), means, covariances, factors)

    def statistics_of(self, parameters, weight, reg_covar):
        """Statistics of so much weight from which `maximize` makes these parameters."""
        mass = weight * parameters.weights.astype(np.float64)
        means, covariances = parameters.means.astype(np.float64), parameters.covariances.astype(np.float64)
        points = without_prior(self.plain, mass, means, covariances, **self._prior(mass, means.shape[1]))
        return self.plain.statistics_of(points, weight, reg_covar)

    def _prior(self, mass, n_features):
        """As `with_prior` takes it; counts are of the factors |covariance|**(-1/2) in the posterior's density."""
        prior, name = self.prior, self.plain.name
        of_means = 1 if prior.shrinkage > 0 else 0
        counts = (
            prior.degrees_of_freedom
            + {
                "full": n_features + 1 + of_means + mass,
                "tied": n_features + 1 + of_means * len(mass) + mass.sum(),
                "diag": 2 + of_means + mass,
                "spherical": 2 + (of_means + mass) * n_features,
            }[name]
        )
        return {"shrinkage": prior.shrinkage, "mean": prior.mean, "scale": prior.scale, "counts": counts}

    def lower_bound(self, statistics, candidate, successor):
        """Log-likelihood and log-density of the prior, of the candidate, nats per unit of weight."""
        return (statistics.log_likelihood + self.log_density(candidate)) / statistics.weight

    def log_density(self, parameters):
        """log p(means, covariances), nats; but for a constant where features without spread make the scale singular."""
        prior, means = self.prior, parameters.means
        n_features = means.shape[1]
        log_det = 2 * parameters.log_determinants  # of the precisions
        total = 0.0
        if prior.shrinkage > 0:
            distances = parameters.squared_lengths(means - prior.mean)
            normalizer = n_features * math.log(prior.shrinkage / (2 * math.pi))
            total += 0.5 * (normalizer + log_det - prior.shrinkage * distances).sum()
        precisions, scale = parameters.precisions(), np.asarray(prior.scale)
        if self.plain.is_triangular:
            precisions = precisions.reshape(-1, n_features, n_features)
            log_scale, traces = np.linalg.slogdet(scale)[1], (precisions * scale).sum(axis=(1, 2))
            log_scale = log_scale if math.isfinite(log_scale) else 0.0
            return total + _log_inverse_wishart(
                prior.degrees_of_freedom, n_features, log_scale, log_det[: len(precisions)], traces
            )
        # One variance each, for a feature or for all.
        return total + _log_inverse_wishart(
            prior.degrees_of_freedom, 1, np.log(np.where(scale > 0, scale, 1.0)), np.log(precisions), precisions * scale
        )


def _log_inverse_wishart(degrees, dimension, log_scale, log_precision, traces):
    """Sum of the log-densities of covariances, by log |precision| and the trace of scale times precision."""
    normalizer = log_wishart_normalizer(degrees, dimension, log_scale)
    normalizer -= 0.25 * dimension * (dimension - 1) * math.log(math.pi)
    return float((normalizer + 0.5 * (degrees + dimension + 1) * log_precision - 0.5 * traces).sum())
