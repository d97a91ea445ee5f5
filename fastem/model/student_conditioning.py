"""Marginal and conditional mixtures of t components: what a mixture says of some features.

A part of the features has a t distribution with the same degrees of freedom. Given d observed features at squared
distance delta from their mean, the others have a t distribution with nu + d degrees of freedom and the Gaussian
conditional's mean and covariance, this one multiplied by (nu + delta) / (nu + d) (Kotz & Nadarajah 2004, 'Multivariate
t distributions and their applications', section 1.11; Ding 2016, 'On the conditional distribution of the multivariate t
distribution').
"""

import numpy as np

from .conditioning import Regression, singular
from .families import FAMILIES
from .families.student import StudentFamily, StudentParameters, log_density_at
from .parameters import CollapsedComponent, Parameters


def gaussian_of(parameters):
    """The mixture of Gaussians with the scales as covariances."""
    family = parameters.family.gaussian
    arrays = parameters.weights, parameters.means, parameters.covariances, parameters.precisions_cholesky
    return Parameters(family, *arrays)


def squared_distances(parameters, X):
    """Squared Mahalanobis distance of each point, (n, D), from each component, by its scale: (n, K)."""
    family, factors = parameters.family, parameters.precisions_cholesky.astype(np.float64)
    result = np.empty((len(X), len(parameters.means)))
    for k, mean in enumerate(parameters.means.astype(np.float64)):
        result[:, k] = (family.whitened(X - mean, family.chosen(factors, [k])) ** 2).sum(axis=1)
    return result


def component_log_densities(parameters, X):
    """log t(x_i; mean_k, scale_k, nu_k), (n, K), nats, without the weights."""
    degrees = parameters.degrees_of_freedom.astype(np.float64)
    n_features = X.shape[1]
    constants = parameters.log_determinants - 0.5 * n_features * np.log(2 * np.pi)
    return constants + log_density_at(squared_distances(parameters, X), degrees, n_features)


def marginal(parameters, features):
    """The mixture of the features with these indices."""
    family, (n_components, n_features) = parameters.family, parameters.means.shape
    scales = family.matrices(parameters.covariances.astype(np.float64), n_components, n_features)
    scales = np.array(family.of_matrices(scales[:, features][:, :, features]))
    means, degrees = parameters.means[:, features], parameters.degrees_of_freedom
    return _mixture(family.gaussian, parameters.weights, means, scales, degrees)


def conditional(parameters, observed, missing, point):
    """The mixture of the missing features given the values of the observed ones, (o,)."""
    regression = Regression.of(gaussian_of(parameters), observed, missing)
    means = np.stack([regression.expectations(k, point[None])[0] for k in range(len(parameters.means))])
    degrees, matrices = parameters.degrees_of_freedom.astype(np.float64), regression.covariances
    with np.errstate(divide="ignore"):
        log_weights = np.log(parameters.weights.astype(np.float64))
    if len(observed):
        seen = marginal(parameters, observed)
        log_weights = log_weights + component_log_densities(seen, point[None])[0]
        inverse = 1 / degrees
        wider = (1 + squared_distances(seen, point[None])[0] * inverse) / (1 + len(observed) * inverse)
        matrices, degrees = matrices * wider[:, None, None], degrees + len(observed)
    family = FAMILIES["full"] if parameters.family.is_shared else parameters.family.gaussian
    weights = np.exp(log_weights - log_weights.max())
    try:
        return _mixture(family, weights, means, np.array(family.of_matrices(matrices)), degrees)
    except CollapsedComponent as collapse:
        raise singular(collapse) from None


def _mixture(gaussian, weights, means, scales, degrees):
    weights, degrees = weights.astype(np.float64), np.array(degrees, dtype=np.float64)
    family = StudentFamily(gaussian, degrees)
    factors = gaussian.precisions_cholesky(scales)
    return StudentParameters(family, weights / weights.sum(), means, scales, factors, degrees)
