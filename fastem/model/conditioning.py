"""Marginal and conditional mixtures: what a mixture says of some features, without the others or given them.

Bishop 2006, sections 2.3.1 and 2.3.2. Covariances of the result are in the family of scikit-learn's that has the same
shape: a constraint between components need not hold for a part of the features.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from .. import kernels
from .families import FAMILIES
from .families.base import log_scale
from .noise import NoisyFamily
from .parameters import CollapsedComponent, Parameters


def marginal(parameters, features):
    """The mixture of the features with these indices."""
    family, n_components, n_features = parameters.family, *parameters.means.shape
    covariances = family.matrices(parameters.covariances.astype(np.float64), n_components, n_features)
    return _mixture(
        parameters, parameters.all_weights, parameters.means[:, features], covariances[:, features][:, :, features],
        features,
    )  # fmt: skip


def _mixture(parameters, weights, means, matrices, features):
    """The mixture over these features; a weight more than there are components is the noise's."""
    family = FAMILIES[parameters.family.as_sklearn]
    covariances, noise = np.array(family.of_matrices(matrices)), None
    factors = family.precisions_cholesky(covariances)
    weights = weights.astype(np.float64)
    weights = weights / weights.sum()
    if len(weights) > len(means):
        family = NoisyFamily(family, parameters.family.noise.over(features))
        weights, noise = weights[:-1], float(weights[-1])
    return Parameters(family, weights, means, covariances, factors, noise_weight=noise)


def one_gaussian(mean, variances, is_axis_aligned=False):
    """A mixture of one Gaussian with this mean and these variances, (D,); the deviation of a flat feature is 1."""
    family = FAMILIES["diag" if is_axis_aligned else "full"]
    return family.with_variances(mean[None], np.where(variances > 0, variances, 1.0))


_VALUES = 1 << 20  # values drawn at a time


@dataclass(frozen=True)
class Regression:
    """Each component's regression of the missing features, (m), on the observed ones, (o).

    Attributes
    ----------
    observed : Parameters
        The marginal mixture of the observed features.
    means : ndarray of shape (K, m)
        Of the missing features.
    coefficients : ndarray of shape (K, m, o)
        The change of a missing feature's expectation with an observed feature.
    covariances : ndarray of shape (K, m, m)
        Of the missing features given the observed ones.
    """

    observed: Parameters
    means: np.ndarray
    coefficients: np.ndarray
    covariances: np.ndarray

    @classmethod
    def of(cls, parameters, observed, missing):
        """The regressions of a mixture, for the indices of the observed and of the missing features."""
        n_components = len(parameters.means)
        matrices = parameters.family.matrices(parameters.covariances.astype(np.float64), *parameters.means.shape)
        coefficients = np.zeros((n_components, len(missing), len(observed)))
        covariances = matrices[:, missing][:, :, missing].copy()
        for k, matrix in enumerate(matrices):
            across = matrix[np.ix_(observed, missing)]
            if len(observed):
                coefficients[k] = cho_solve(cho_factor(matrix[np.ix_(observed, observed)], lower=True), across).T
                explained = coefficients[k] @ across
                covariances[k] -= (explained + explained.T) / 2
        seen = marginal(parameters, observed) if len(observed) else None
        return cls(seen, parameters.means[:, missing].astype(np.float64), coefficients, covariances)

    def expectations(self, k, points):
        """Expectations of the missing features in component k given the observed ones, (n, o): (n, m)."""
        if self.observed is None:
            return np.broadcast_to(self.means[k], (len(points), self.means.shape[1]))
        return self.means[k] + (points - self.observed.means[k]) @ self.coefficients[k].T


def conditional(parameters, observed, missing, point):
    """The mixture of the missing features given the values of the observed ones, (o,)."""
    regression = Regression.of(parameters, observed, missing)
    means = np.stack([regression.expectations(k, point[None])[0] for k in range(len(parameters.means))])
    with np.errstate(divide="ignore"):
        log_weights = np.log(parameters.all_weights.astype(np.float64))
    if len(observed):
        log_weights[: len(means)] += component_log_densities(regression.observed, point[None])[0]
    if parameters.noise_weight is not None:
        log_weights[-1] -= parameters.family.noise.log_sides[observed].sum()
    weights = np.exp(log_weights - log_weights.max())
    try:
        return _mixture(parameters, weights, means, regression.covariances, missing)
    except CollapsedComponent as collapse:
        raise singular(collapse) from None


def singular(collapse):
    """The error for a conditional covariance that is not positive definite."""
    which = "every component" if collapse.component is None else f"component {collapse.component}"
    return ValueError(
        f"in {which} the unknown features are functions of the known ones, but for rounding, so their conditional "
        "covariance is singular: leave one of them out (see `marginal`), or fit with a larger reg_covar"
    )


def component_log_densities(parameters, X):
    """log N(x_i; mean_k, covariance_k), (n, K), nats, without the weights."""
    family, n_components = parameters.family, len(parameters.means)
    factors = parameters.precisions_cholesky.astype(np.float64)
    constants = log_scale(replace(parameters, weights=np.ones(n_components)))
    result = np.empty((len(X), n_components))
    for k in range(n_components):
        whitened = family.whitened(X - parameters.means[k].astype(np.float64), family.chosen(factors, [k]))
        result[:, k] = constants[k] - 0.5 * (whitened**2).sum(axis=1)
    return result


def draws(parameters, X, groups, n_draws, random_state):
    """Points with missing values, (n, D), drawn given the observed ones: (n_draws, n, D).

    groups: (numbers of the rows, whether they have each feature, (D,)) of the rows that lack the same features.
    """
    filled = np.tile(X, (n_draws, 1, 1))
    for rows, has in groups:
        observed, missing = np.flatnonzero(has), np.flatnonzero(~has)
        if not missing.size:
            continue
        regression = Regression.of(parameters, observed, missing)
        roots = _roots(regression.covariances)
        step = max(1, _VALUES // (missing.size * max(missing.size, len(parameters.means))))
        for start in range(0, len(rows), step):
            part = rows[start : start + step]
            shares, expectations = _given(parameters, regression, X[np.ix_(part, observed)])
            for draw in filled:
                values = _drawn(shares, expectations, roots, random_state)
                if parameters.noise_weight is not None:
                    is_noise = random_state.uniform(size=len(part)) < 1 - shares.sum(axis=1)
                    values[is_noise] = parameters.family.noise.over(missing).draw(random_state, is_noise.sum())
                draw[np.ix_(part, missing)] = values
    return filled


def _given(parameters, regression, points):
    """Responsibilities, (n, K), and each component's expectations of what is missing, (n, K, m), given what isn't.

    The responsibilities leave that of the noise, if there is any, to 1.
    """
    n_components = len(parameters.means)
    if regression.observed is None:
        weights = parameters.all_weights.astype(np.float64)
        shares = np.broadcast_to((weights / weights.sum())[:n_components], (len(points), n_components))
    else:
        shares = np.empty((len(points), n_components))
        kernels.responsibilities(points, regression.observed.kernel_inputs(), shares)
    return shares, np.stack([regression.expectations(k, points) for k in range(n_components)], axis=1)


def _drawn(shares, expectations, roots, random_state):
    """A draw of what is missing, (n, m): of a component by its share, then of a point of it."""
    edges = np.cumsum(shares, axis=1)
    levels = random_state.uniform(size=(len(edges), 1)) * edges[:, -1:]
    chosen = np.minimum((levels >= edges).sum(axis=1), len(roots) - 1)
    noise = random_state.normal(size=(len(edges), roots.shape[1]))
    return expectations[np.arange(len(edges)), chosen] + np.einsum("ijl,il->ij", roots[chosen], noise)


def _roots(covariances):
    """Matrices L with L L' = covariance, (K, m, m), also of covariances that are singular but for rounding."""
    values, axes = np.linalg.eigh(covariances)
    return axes * np.sqrt(np.maximum(values, 0))[:, None, :]
